//! The head of a request, read from the connection before anything else reads it, and refused where two readers could
//! disagree about where the request ends or whom it is for (RFC 9112, sections 2.2, 3.2, 5.2, 6.1 and 6.3). What is
//! sent on to the daemon is written anew, so this is the second wall against smuggled requests; the first is that a
//! connection carries one request.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};

/// Request line and headers. The daemon takes 1 MiB (net/http, DefaultMaxHeaderBytes); `X-Registry-Config` with the
/// credentials of many registries is the longest header there is.
pub(super) const LIMIT: usize = 256 << 10;
pub(super) const HEADERS: usize = 100;
/// A client that has connected has something to ask.
const TIME: Duration = Duration::from_secs(10);

#[derive(Debug, Error)]
pub(super) enum HeadError {
    /// Nobody to answer to.
    #[error("the connection ended: {0}")]
    Ended(io::Error),
    #[error("no complete request within {} s", TIME.as_secs())]
    TimedOut,
    #[error("the head of the request is longer than {LIMIT} bytes")]
    TooLong,
    #[error("not a request that can be read in one way only: {0}")]
    Ambiguous(&'static str),
    #[error("not a request of HTTP/1: {0}")]
    NotHttp(httparse::Error),
}

/// What is decided by: method and target as they were sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) method: String,
    pub(super) target: String,
}

/// Reads the head, and gives the connection back with all that was read of it.
pub(super) async fn read<S: AsyncRead + Unpin>(mut stream: S) -> Result<(Head, Again<S>), (HeadError, S)> {
    let mut bytes = Vec::with_capacity(2048);
    match tokio::time::timeout(TIME, until_complete(&mut stream, &mut bytes)).await {
        Ok(Ok(head)) => Ok((head, Again { bytes, at: 0, stream })),
        Ok(Err(error)) => Err((error, stream)),
        Err(_) => Err((HeadError::TimedOut, stream)),
    }
}

async fn until_complete<S: AsyncRead + Unpin>(
    stream: &mut S,
    bytes: &mut Vec<u8>,
) -> Result<Head, HeadError> {
    let mut looked = 0;
    loop {
        let count = stream.read_buf(bytes).await.map_err(HeadError::Ended)?;
        if count == 0 {
            return Err(HeadError::Ended(io::ErrorKind::UnexpectedEof.into()));
        }
        // Only what is new may complete it, so that a byte at a time costs no more than all at once.
        if let Some(length) = end_of_head(bytes, looked) {
            return check(bytes.get(..length).unwrap_or_default());
        }
        looked = bytes.len().saturating_sub(3);
        if bytes.len() > LIMIT {
            return Err(HeadError::TooLong);
        }
    }
}

/// Where the empty line ends; lines that end with a mere line feed count too, so that they are found and refused.
fn end_of_head(bytes: &[u8], from: usize) -> Option<usize> {
    let new = bytes.get(from..)?;
    let at = new.windows(2).position(|two| two == b"\n\n");
    let with_return = new.windows(3).position(|three| three == b"\n\r\n");
    match (at, with_return) {
        (Some(plain), Some(full)) => Some(from + (plain + 2).min(full + 3)),
        (Some(plain), None) => Some(from + plain + 2),
        (None, full) => full.map(|full| from + full + 3),
    }
}

/// A whole head.
fn check(bytes: &[u8]) -> Result<Head, HeadError> {
    use HeadError::Ambiguous;
    if bytes.first().is_some_and(u8::is_ascii_whitespace) {
        return Err(Ambiguous("it begins with an empty line"));
    }
    let mut before = 0;
    for byte in bytes {
        match (before, byte) {
            (b'\r', b'\n') => {}
            (b'\r', _) | (_, b'\n') => return Err(Ambiguous("its lines must end with CR LF")),
            (b'\n', b' ' | b'\t') => return Err(Ambiguous("a header goes on in the next line")),
            _ => {}
        }
        before = *byte;
    }
    let mut headers = [httparse::EMPTY_HEADER; HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    if request.parse(bytes).map_err(HeadError::NotHttp)?.is_partial() {
        return Err(Ambiguous("its head has no end"));
    }
    let (Some(method), Some(target)) = (request.method, request.path) else {
        return Err(Ambiguous("it has no request line"));
    };
    let values = |name: &str| {
        request
            .headers
            .iter()
            .filter(|h| h.name.eq_ignore_ascii_case(name))
            .map(|h| h.value)
            .collect::<Vec<_>>()
    };
    let lengths = values("content-length");
    let encodings = values("transfer-encoding");
    if lengths.len() > 1 {
        return Err(Ambiguous("it has more than one Content-Length"));
    }
    if lengths.iter().any(|length| length.is_empty() || !length.iter().all(u8::is_ascii_digit)) {
        return Err(Ambiguous("its Content-Length is no number"));
    }
    if !lengths.is_empty() && !encodings.is_empty() {
        return Err(Ambiguous("it has both Content-Length and Transfer-Encoding"));
    }
    let chunked = |encoding: &[u8]| encoding.eq_ignore_ascii_case(b"chunked");
    if encodings.len() > 1 || !encodings.iter().all(|encoding| chunked(encoding)) {
        return Err(Ambiguous("its Transfer-Encoding is not `chunked` alone"));
    }
    let hosts = values("host").len();
    // HTTP/1.0 knows no Host; the version of httparse is the minor one.
    if hosts > 1 || hosts == 0 && request.version == Some(1) {
        return Err(Ambiguous("it must have one Host"));
    }
    Ok(Head { method: method.to_owned(), target: target.to_owned() })
}

/// A connection whose first bytes were read already: they are read again.
#[derive(Debug)]
pub(super) struct Again<S> {
    bytes: Vec<u8>,
    at: usize,
    stream: S,
}

impl<S: AsyncRead + Unpin> AsyncRead for Again<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let left = this.bytes.get(this.at..).unwrap_or_default();
        if left.is_empty() {
            return Pin::new(&mut this.stream).poll_read(context, buffer);
        }
        let (now, later) = left.split_at(left.len().min(buffer.remaining()));
        buffer.put_slice(now);
        this.at += now.len();
        if later.is_empty() {
            (this.bytes, this.at) = (Vec::new(), 0);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Again<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let count = ready!(Pin::new(&mut self.stream).poll_write(context, bytes))?;
        Poll::Ready(Ok(count))
    }
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(text: &str) -> Result<Head, String> {
        check(text.as_bytes()).map_err(|error| error.to_string())
    }

    #[test]
    fn method_and_target_are_as_they_were_sent() {
        let head = checked("GET /v1.41/_ping?a=%41 HTTP/1.1\r\nHost: docker\r\n\r\n").unwrap();
        assert_eq!((&*head.method, &*head.target), ("GET", "/v1.41/_ping?a=%41"));
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        let host = "Host: d\r\n";
        for (head, why) in [
            (
                format!("POST / HTTP/1.1\r\n{host}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"),
                "both",
            ),
            (
                format!("POST / HTTP/1.1\r\n{host}Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n"),
                "both",
            ),
            (
                format!("POST / HTTP/1.1\r\n{host}Content-Length: 5\r\nContent-Length: 5\r\n\r\n"),
                "more than one",
            ),
            (format!("POST / HTTP/1.1\r\n{host}Content-Length: 5, 5\r\n\r\n"), "no number"),
            (format!("POST / HTTP/1.1\r\n{host}Content-Length: +5\r\n\r\n"), "no number"),
            (format!("POST / HTTP/1.1\r\n{host}Content-Length: \r\n\r\n"), "no number"),
            (format!("POST / HTTP/1.1\r\n{host}Transfer-Encoding: gzip, chunked\r\n\r\n"), "not `chunked`"),
            (format!("POST / HTTP/1.1\r\n{host}Transfer-Encoding: \x0bchunked\r\n\r\n"), "HTTP/1"),
            (format!("POST / HTTP/1.1\r\n{host}Transfer-Encoding: identity\r\n\r\n"), "not `chunked`"),
            (
                format!(
                    "POST / HTTP/1.1\r\n{host}Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n"
                ),
                "not `chunked`",
            ),
            (format!("POST / HTTP/1.1\r\n{host}X: a\r\n b\r\n\r\n"), "next line"),
            (format!("POST / HTTP/1.1\r\n{host}{host}\r\n"), "one Host"),
            ("POST / HTTP/1.1\r\n\r\n".into(), "one Host"),
            ("POST / HTTP/1.1\nHost: d\n\n".into(), "CR LF"),
            ("POST / HTTP/1.1\r\nHost: d\rX: y\r\n\r\n".into(), "CR LF"),
            (format!("\r\nPOST / HTTP/1.1\r\n{host}\r\n"), "empty line"),
            (format!("POST / HTTP/1.1\r\n{host}Content-Length : 5\r\n\r\n"), "HTTP/1"),
            (format!("POST / HTTP/2.0\r\n{host}\r\n"), "HTTP/1"),
            (format!("PRI * HTTP/2.0\r\n{host}\r\n"), "HTTP/1"),
            (format!("GET / HTTP/1.1\r\n{host}X: \0\r\n\r\n"), "HTTP/1"),
        ] {
            let error = checked(&head).expect_err(&head);
            assert!(error.contains(why), "{head:?}: {error}");
        }
    }

    #[tokio::test]
    async fn a_head_in_single_bytes_is_read_once_and_again_with_what_follows_it() {
        let text = "POST /x HTTP/1.1\r\nHost: d\r\nContent-Length: 4\r\n\r\nbody";
        let (mut client, server) = tokio::io::duplex(1);
        let writes = tokio::spawn(async move {
            tokio::io::AsyncWriteExt::write_all(&mut client, text.as_bytes()).await.unwrap();
        });
        let (head, mut again) = read(server).await.unwrap();
        assert_eq!(head.target, "/x");
        let mut all = String::new();
        again.read_to_string(&mut all).await.unwrap();
        assert_eq!(all, text);
        writes.await.unwrap();
    }

    #[tokio::test]
    async fn a_head_without_end_is_refused_and_not_kept() {
        let endless = tokio::io::repeat(b'a');
        assert!(matches!(read(endless).await, Err((HeadError::TooLong, _))));
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_asks_nothing_is_not_waited_for() {
        let (_client, server) = tokio::io::duplex(64);
        assert!(matches!(read(server).await, Err((HeadError::TimedOut, _))));
    }
}

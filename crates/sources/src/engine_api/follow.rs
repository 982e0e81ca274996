//! An answer that does not end: an engine's `/events`, one JSON document a line, read as it comes.
//!
//! The head has [`http::ANSWER_TIMEOUT`]; after that every wait has a limit of the caller's, so that whoever follows
//! can also be told to stop. An engine may send anything: a line has a largest length, and what is not HTTP ends it.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use super::http::{self, ANSWER_TIMEOUT, Endpoint, HttpError};

/// The largest event seen, one with 200 labels, has 30 KB.
const LINE_LIMIT: usize = 1 << 20;

/// What a wait brought.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    Line(Vec<u8>),
    /// Nothing within the time.
    Nothing,
}

/// An open answer.
pub struct Follow {
    stream: Stream,
    path: String,
    /// As read, not yet taken apart.
    raw: Vec<u8>,
    body: Body,
    line: Vec<u8>,
}

enum Stream {
    Unix(UnixStream),
    Tcp(TcpStream),
}

impl Stream {
    fn set_timeout(&self, limit: Duration) -> std::io::Result<()> {
        // Zero means no limit to the kernel.
        let limit = Some(limit.max(Duration::from_millis(1)));
        match self {
            Stream::Unix(stream) => stream.set_read_timeout(limit),
            Stream::Tcp(stream) => stream.set_read_timeout(limit),
        }
    }
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Stream::Unix(stream) => stream.read(buffer),
            Stream::Tcp(stream) => stream.read(buffer),
        }
    }
    fn write_all(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        match self {
            Stream::Unix(stream) => stream.write_all(bytes),
            Stream::Tcp(stream) => stream.write_all(bytes),
        }
    }
}

/// Where in the body the next byte of `raw` stands (RFC 9112, section 7.1).
enum Body {
    Plain,
    ChunkSize,
    Chunk { left: u64 },
    ChunkEnd,
    Over,
}

impl Follow {
    /// Asks for `path`, which is already encoded, and waits for the head of the answer.
    pub fn open(endpoint: &Endpoint, path: &str) -> Result<Follow, HttpError> {
        let deadline = Instant::now() + ANSWER_TIMEOUT;
        let stream = match endpoint {
            Endpoint::Unix(socket) => http::connect_unix(socket).map(Stream::Unix),
            Endpoint::Tcp(address) => http::connect_tcp(address, deadline).map(Stream::Tcp),
        };
        let stream = stream.map_err(HttpError::Connect)?;
        let mut follow =
            Follow { stream, path: path.to_owned(), raw: Vec::new(), body: Body::Plain, line: Vec::new() };
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: engine\r\nUser-Agent: stockade\r\nAccept: application/json\r\n\r\n"
        );
        follow.stream.write_all(request.as_bytes()).map_err(|error| http::failed(path, error))?;
        follow.head(deadline)?;
        Ok(follow)
    }

    fn head(&mut self, deadline: Instant) -> Result<(), HttpError> {
        loop {
            let mut headers = [httparse::EMPTY_HEADER; http::HEADERS];
            let mut response = httparse::Response::new(&mut headers);
            let parsed = response.parse(&self.raw).map_err(|e| self.not_http(e.to_string()))?;
            if let httparse::Status::Complete(used) = parsed {
                let status = response.code.unwrap_or(0);
                let length = http::body_length(response.headers).map_err(|why| self.not_http(why))?;
                self.raw.drain(..used);
                self.body = match length {
                    http::Length::Chunked => Body::ChunkSize,
                    _ => Body::Plain,
                };
                if (200..300).contains(&status) {
                    return Ok(());
                }
                let message = http::error_message(&self.raw);
                return Err(HttpError::Status { path: self.path.clone(), status, message });
            }
            if self.raw.len() > http::HEAD_LIMIT {
                return Err(self.not_http("its head is too long"));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || !self.fill(left)? {
                return Err(HttpError::TimedOut { path: self.path.clone() });
            }
        }
    }

    /// The next line, without its end; empty ones are passed over. An error once the answer has ended.
    pub fn next(&mut self, wait: Duration) -> Result<Next, HttpError> {
        let deadline = Instant::now() + wait;
        loop {
            if let Some(line) = self.take_line()? {
                return Ok(Next::Line(line));
            }
            if matches!(self.body, Body::Over) {
                return Err(self.ended());
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || !self.fill(left)? {
                return Ok(Next::Nothing);
            }
        }
    }

    /// Reads some more; false where nothing came in time.
    fn fill(&mut self, wait: Duration) -> Result<bool, HttpError> {
        self.stream.set_timeout(wait).map_err(|error| http::failed(&self.path, error))?;
        let mut block = [0; 16 << 10];
        match self.stream.read(&mut block) {
            Ok(0) => Err(self.ended()),
            Ok(count) => {
                self.raw.extend_from_slice(block.get(..count).unwrap_or_default());
                Ok(true)
            }
            Err(error) => match error.kind() {
                std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut => Ok(false),
                std::io::ErrorKind::Interrupted => Ok(false),
                _ => Err(http::failed(&self.path, error)),
            },
        }
    }

    fn take_line(&mut self) -> Result<Option<Vec<u8>>, HttpError> {
        let mut at = 0;
        let mut whole = None;
        while whole.is_none() {
            let rest = self.raw.get(at..).unwrap_or_default();
            match self.body {
                Body::Over => break,
                Body::ChunkSize => match httparse::parse_chunk_size(rest) {
                    Ok(httparse::Status::Complete((used, size))) => {
                        at += used;
                        self.body = if size == 0 { Body::Over } else { Body::Chunk { left: size } };
                    }
                    Ok(httparse::Status::Partial) if rest.len() <= http::HEAD_LIMIT => break,
                    _ => return Err(self.not_http("a chunk has no valid size")),
                },
                Body::ChunkEnd => match rest {
                    [b'\r', b'\n', ..] => {
                        at += 2;
                        self.body = Body::ChunkSize;
                    }
                    [] | [b'\r'] => break,
                    _ => return Err(self.not_http("a chunk does not end where it says")),
                },
                Body::Plain | Body::Chunk { .. } => {
                    let most = match self.body {
                        Body::Chunk { left } => rest.len().min(usize::try_from(left).unwrap_or(usize::MAX)),
                        _ => rest.len(),
                    };
                    let part = rest.get(..most).unwrap_or_default();
                    if part.is_empty() {
                        break;
                    }
                    let end = part.iter().position(|byte| *byte == b'\n');
                    let used = end.map_or(part.len(), |end| end + 1);
                    self.line.extend_from_slice(part.get(..end.unwrap_or(used)).unwrap_or_default());
                    at += used;
                    if let Body::Chunk { left } = &mut self.body {
                        *left -= used as u64;
                        if *left == 0 {
                            self.body = Body::ChunkEnd;
                        }
                    }
                    if self.line.len() > LINE_LIMIT {
                        return Err(HttpError::TooLarge { path: self.path.clone() });
                    }
                    if end.is_some() {
                        let line = std::mem::take(&mut self.line);
                        whole = Some(line).filter(|line| !line.trim_ascii().is_empty());
                    }
                }
            }
        }
        self.raw.drain(..at);
        Ok(whole)
    }

    fn not_http(&self, why: impl Into<String>) -> HttpError {
        HttpError::NotHttp { path: self.path.clone(), why: why.into() }
    }

    fn ended(&self) -> HttpError {
        let error = std::io::Error::new(std::io::ErrorKind::UnexpectedEof, "the engine closed it");
        HttpError::Broken { path: self.path.clone(), error }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;

    /// What a server that sends these parts, one write each, makes of a follower.
    fn follow(parts: &'static [&'static [u8]]) -> (Vec<String>, HttpError) {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("s");
        let listener = UnixListener::bind(&socket).unwrap();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 1024];
            let _ = stream.read(&mut request).unwrap();
            for part in parts {
                // The follower may have turned away by then.
                let _ = stream.write_all(part);
                std::thread::sleep(Duration::from_millis(3));
            }
        });
        let mut lines = Vec::new();
        let end = match Follow::open(&Endpoint::Unix(socket), "/events") {
            Err(error) => error,
            Ok(mut follow) => loop {
                match follow.next(Duration::from_millis(50)) {
                    Ok(Next::Line(line)) => lines.push(String::from_utf8(line).unwrap()),
                    Ok(Next::Nothing) => {}
                    Err(error) => break error,
                }
            },
        };
        server.join().unwrap();
        (lines, end)
    }

    #[test]
    fn lines_come_whole_however_chunks_and_writes_cut_them() {
        let (lines, end) = follow(&[
            b"HTTP/1.1 200 OK\r\nTransfer-Enco",
            b"ding: chunked\r\n\r\n4\r\n{\"a\"\r",
            b"\n",
            b"9\r\n:1}\n{\"b\":\r\n3",
            b"\r\n2}\n\r\n0\r\n\r\n",
        ]);
        assert_eq!(lines, ["{\"a\":1}", "{\"b\":2}"]);
        assert!(matches!(end, HttpError::Broken { .. }), "{end}");
    }

    #[test]
    fn an_answer_without_chunks_is_followed_to_its_end() {
        let (lines, _) = follow(&[b"HTTP/1.0 200 OK\r\n\r\n{}\n\n{", b"}\nno end"]);
        assert_eq!(lines, ["{}", "{}"]);
    }

    #[test]
    fn what_is_not_http_or_not_a_chunk_is_an_error() {
        assert!(matches!(follow(&[b"SSH-2.0-x\r\n"]).1, HttpError::NotHttp { .. }));
        let bad = follow(&[b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\n\r\n"]);
        assert!(matches!(bad.1, HttpError::NotHttp { .. }), "{}", bad.1);
        let refused = follow(&[b"HTTP/1.1 403 Forbidden\r\nContent-Length: 17\r\n\r\n{\"message\":\"no!\"}"]);
        assert!(refused.1.to_string().ends_with("403: no!"), "{}", refused.1);
    }
}

//! HTTP/1.1 GET over a Unix or TCP socket, to an engine that may be absent, hang, or send anything.
//!
//! One connection a request, blocking, with one deadline over connecting, sending and reading, and a limit on
//! what is read. An engine's API needs nothing else; `httparse` reads the head and the chunk sizes.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::net::sockopt::{self, Timeout};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

/// What one answer may take. The bound for a socket that hangs is 5 s in all.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(4);
/// Request line, status line and headers.
pub(super) const HEAD_LIMIT: usize = 64 << 10;
pub(super) const HEADERS: usize = 64;
/// `/containers/json` of 10,000 containers is about 20 MB.
const BODY_LIMIT: usize = 64 << 20;

/// Where an engine's API listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    Unix(PathBuf),
    /// `host:port`, without TLS.
    Tcp(Arc<str>),
}

impl Endpoint {
    /// Reads the form of `DOCKER_HOST`: `unix:///run/docker.sock`, `tcp://127.0.0.1:2375`.
    pub fn parse(text: &str) -> Result<Endpoint, HttpError> {
        let unsupported = || HttpError::Endpoint { given: text.into() };
        let (scheme, rest) = text.split_once("://").ok_or_else(unsupported)?;
        match scheme {
            "unix" if rest.starts_with('/') => Ok(Endpoint::Unix(rest.into())),
            "tcp" | "http" if !rest.is_empty() => {
                let rest = rest.trim_end_matches('/');
                let has_port = rest.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
                // 2375 is the port that docker's client assumes (docker/cli opts/hosts.go).
                Ok(Endpoint::Tcp(if has_port { rest.into() } else { format!("{rest}:2375").into() }))
            }
            _ => Err(unsupported()),
        }
    }
}

impl std::fmt::Display for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Endpoint::Unix(path) => write!(f, "{}", path.display()),
            Endpoint::Tcp(address) => write!(f, "tcp://{address}"),
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    #[error(
        "`{given}` is not an address this program can use: unix:///PATH and tcp://HOST:PORT (without TLS) are"
    )]
    Endpoint { given: String },
    #[error("cannot connect: {0}")]
    Connect(std::io::Error),
    #[error("no complete answer to GET {path} within {} s", ANSWER_TIMEOUT.as_secs())]
    TimedOut { path: String },
    #[error("the connection failed during GET {path}: {error}")]
    Broken { path: String, error: std::io::Error },
    #[error("the answer to GET {path} is not HTTP: {why}")]
    NotHttp { path: String, why: String },
    #[error("the answer to GET {path} is larger than the limit of {BODY_LIMIT} bytes")]
    TooLarge { path: String },
    #[error("GET {path} was answered with status {status}: {message}")]
    Status { path: String, status: u16, message: String },
}

impl HttpError {
    /// The engine says that there is no such object.
    pub fn is_not_found(&self) -> bool {
        matches!(self, HttpError::Status { status: 404, .. })
    }
}

/// The body of a successful answer to `GET path`; `path` is already encoded.
pub fn get(endpoint: &Endpoint, path: &str) -> Result<Vec<u8>, HttpError> {
    let deadline = Instant::now() + ANSWER_TIMEOUT;
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: engine\r\nUser-Agent: stockade\r\nAccept: application/json\r\n\
         Connection: close\r\n\r\n"
    );
    match endpoint {
        Endpoint::Unix(socket) => {
            let stream = connect_unix(socket).map_err(HttpError::Connect)?;
            exchange(
                stream,
                UnixStream::set_read_timeout,
                UnixStream::set_write_timeout,
                &request,
                path,
                deadline,
            )
        }
        Endpoint::Tcp(address) => {
            let stream = connect_tcp(address, deadline).map_err(HttpError::Connect)?;
            exchange(
                stream,
                TcpStream::set_read_timeout,
                TcpStream::set_write_timeout,
                &request,
                path,
                deadline,
            )
        }
    }
}

/// connect(2) to a Unix socket waits for as long as the listener's backlog is full, unless the socket has a
/// send timeout (unix_stream_connect, net/unix/af_unix.c); the standard library sets one only afterwards.
pub(super) fn connect_unix(socket: &std::path::Path) -> std::io::Result<UnixStream> {
    let address = SocketAddrUnix::new(socket)?;
    let fd: OwnedFd =
        rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    sockopt::set_socket_timeout(&fd, Timeout::Send, Some(ANSWER_TIMEOUT))?;
    match rustix::net::connect(&fd, &address) {
        Err(rustix::io::Errno::AGAIN) => Err(std::io::Error::new(
            std::io::ErrorKind::TimedOut,
            format!("the listener took no connection within {} s", ANSWER_TIMEOUT.as_secs()),
        )),
        Err(error) => Err(error.into()),
        Ok(()) => Ok(UnixStream::from(fd)),
    }
}

pub(super) fn connect_tcp(address: &str, deadline: Instant) -> std::io::Result<TcpStream> {
    let mut last = std::io::Error::new(std::io::ErrorKind::NotFound, "the name has no address");
    let addresses: Vec<SocketAddr> = address.to_socket_addrs()?.collect();
    for candidate in addresses {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(std::io::ErrorKind::TimedOut.into());
        }
        match TcpStream::connect_timeout(&candidate, left) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

type SetTimeout<S> = fn(&S, Option<Duration>) -> std::io::Result<()>;

fn exchange<S: Read + Write>(
    stream: S,
    set_read: SetTimeout<S>,
    set_write: SetTimeout<S>,
    request: &str,
    path: &str,
    deadline: Instant,
) -> Result<Vec<u8>, HttpError> {
    let mut timed = Timed { stream, set_read, set_write, deadline };
    timed.write_all(request.as_bytes()).map_err(|error| failed(path, error))?;
    read_answer(&mut timed, path)
}

/// A stream whose every call ends by one deadline: a peer that sends a byte a second does not reset it.
struct Timed<S> {
    stream: S,
    set_read: SetTimeout<S>,
    set_write: SetTimeout<S>,
    deadline: Instant,
}

impl<S> Timed<S> {
    fn left(&self) -> std::io::Result<Option<Duration>> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(std::io::ErrorKind::TimedOut.into()) } else { Ok(Some(left)) }
    }
}

impl<S: Read> Read for Timed<S> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        (self.set_read)(&self.stream, self.left()?)?;
        self.stream.read(buffer)
    }
}

impl<S: Write> Write for Timed<S> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        (self.set_write)(&self.stream, self.left()?)?;
        self.stream.write(bytes)
    }
    fn flush(&mut self) -> std::io::Result<()> {
        self.stream.flush()
    }
}

pub(super) fn failed(path: &str, error: std::io::Error) -> HttpError {
    use std::io::ErrorKind::{TimedOut, WouldBlock};
    match error.kind() {
        TimedOut | WouldBlock => HttpError::TimedOut { path: path.into() },
        _ => HttpError::Broken { path: path.into(), error },
    }
}

/// How the end of a body is known: RFC 9112, section 6.3.
pub(super) enum Length {
    Chunked,
    Bytes(usize),
    UntilClosed,
}

fn read_answer(stream: &mut impl Read, path: &str) -> Result<Vec<u8>, HttpError> {
    let mut reader = Reader { stream, path, buffer: Vec::new(), at: 0 };
    let (status, length) = reader.head()?;
    let body = match length {
        Length::Chunked => reader.chunks()?,
        Length::Bytes(count) => reader.bytes(count)?,
        Length::UntilClosed => reader.rest()?,
    };
    if (200..300).contains(&status) {
        return Ok(body);
    }
    Err(HttpError::Status { path: path.into(), status, message: error_message(&body) })
}

/// Engines answer errors with `{"message": "…"}`.
pub(super) fn error_message(body: &[u8]) -> String {
    let stated = serde_json::from_slice::<serde_json::Value>(body)
        .ok()
        .and_then(|json| json.get("message").and_then(|m| m.as_str()).map(str::to_owned));
    let text =
        stated.unwrap_or_else(|| String::from_utf8_lossy(body.get(..200).unwrap_or(body)).into_owned());
    crate::measured::printable(&text)
}

/// Bytes from a stream as they are needed.
struct Reader<'a, R> {
    stream: &'a mut R,
    path: &'a str,
    buffer: Vec<u8>,
    /// What of the buffer has been used.
    at: usize,
}

impl<R: Read> Reader<'_, R> {
    fn not_http(&self, why: impl Into<String>) -> HttpError {
        HttpError::NotHttp { path: self.path.into(), why: why.into() }
    }

    fn unused(&self) -> &[u8] {
        self.buffer.get(self.at..).unwrap_or_default()
    }

    /// Reads some more; false at the end of the stream.
    fn fill(&mut self) -> Result<bool, HttpError> {
        if self.at > 0 && self.at == self.buffer.len() {
            self.buffer.clear();
            self.at = 0;
        }
        let mut block = [0; 16 << 10];
        loop {
            match self.stream.read(&mut block) {
                Ok(0) => return Ok(false),
                Ok(count) => {
                    self.buffer.extend_from_slice(block.get(..count).unwrap_or_default());
                    return Ok(true);
                }
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(failed(self.path, error)),
            }
        }
    }

    fn must_fill(&mut self) -> Result<(), HttpError> {
        if self.fill()? { Ok(()) } else { Err(self.not_http("it ends too early")) }
    }

    fn head(&mut self) -> Result<(u16, Length), HttpError> {
        loop {
            let mut headers = [httparse::EMPTY_HEADER; HEADERS];
            let mut response = httparse::Response::new(&mut headers);
            let parsed = response.parse(self.unused()).map_err(|e| self.not_http(e.to_string()))?;
            if let httparse::Status::Complete(used) = parsed {
                let status = response.code.unwrap_or(0);
                let length = body_length(response.headers).map_err(|why| self.not_http(why))?;
                self.at += used;
                return Ok((status, length));
            }
            if self.unused().len() > HEAD_LIMIT {
                return Err(self.not_http("its head is too long"));
            }
            self.must_fill()?;
        }
    }

    fn bytes(&mut self, count: usize) -> Result<Vec<u8>, HttpError> {
        let mut body = Vec::new();
        self.take(count, &mut body)?;
        Ok(body)
    }

    /// Moves `count` bytes of the stream to `body`. Memory grows with what arrives, not with what is promised.
    fn take(&mut self, count: usize, body: &mut Vec<u8>) -> Result<(), HttpError> {
        if body.len().saturating_add(count) > BODY_LIMIT {
            return Err(HttpError::TooLarge { path: self.path.into() });
        }
        let mut left = count;
        while left > 0 {
            if self.unused().is_empty() {
                self.must_fill()?;
            }
            let part = left.min(self.unused().len());
            body.extend_from_slice(self.unused().get(..part).unwrap_or_default());
            self.at += part;
            left -= part;
        }
        Ok(())
    }

    fn rest(&mut self) -> Result<Vec<u8>, HttpError> {
        while self.unused().len() <= BODY_LIMIT {
            if !self.fill()? {
                return Ok(self.unused().to_vec());
            }
        }
        Err(HttpError::TooLarge { path: self.path.into() })
    }

    fn chunks(&mut self) -> Result<Vec<u8>, HttpError> {
        let mut body = Vec::new();
        loop {
            let size = self.chunk_size()?;
            if size == 0 {
                // Trailers, if any, are of no use here.
                return Ok(body);
            }
            self.take(size, &mut body)?;
            let mut line_end = Vec::new();
            self.take(2, &mut line_end)?;
            if line_end != b"\r\n" {
                return Err(self.not_http("a chunk does not end where it says"));
            }
        }
    }

    fn chunk_size(&mut self) -> Result<usize, HttpError> {
        loop {
            let parsed = httparse::parse_chunk_size(self.unused());
            match parsed.map_err(|_| self.not_http("a chunk has no valid size"))? {
                httparse::Status::Complete((used, size)) => {
                    self.at += used;
                    return usize::try_from(size).map_err(|_| HttpError::TooLarge { path: self.path.into() });
                }
                httparse::Status::Partial if self.unused().len() > HEAD_LIMIT => {
                    return Err(self.not_http("a chunk's size is too long"));
                }
                httparse::Status::Partial => self.must_fill()?,
            }
        }
    }
}

pub(super) fn body_length(headers: &[httparse::Header<'_>]) -> Result<Length, String> {
    let mut length = Length::UntilClosed;
    for header in headers {
        let value = std::str::from_utf8(header.value).unwrap_or("").trim();
        if header.name.eq_ignore_ascii_case("transfer-encoding") {
            return match value.eq_ignore_ascii_case("chunked") {
                true => Ok(Length::Chunked),
                false => Err(format!("its transfer encoding is `{}`", crate::measured::printable(value))),
            };
        }
        if header.name.eq_ignore_ascii_case("content-length") {
            let count = value.parse().map_err(|_| "its length is not a number".to_owned())?;
            length = Length::Bytes(count);
        }
    }
    Ok(length)
}

/// A name as one segment of a path (RFC 3986, section 2.3: only unreserved characters stand as they are).
pub fn encode(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for byte in name.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(byte as char),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(text: &[u8]) -> Result<Vec<u8>, HttpError> {
        let mut stream = text;
        read_answer(&mut stream, "/x")
    }

    #[test]
    fn a_body_ends_by_its_length_its_chunks_or_the_connection() {
        assert_eq!(answer(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}rest").unwrap(), b"{}");
        let chunked =
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\n[1,\r\n2\r\n2]\r\n0\r\n\r\n";
        assert_eq!(answer(chunked).unwrap(), b"[1,2]");
        assert_eq!(answer(b"HTTP/1.0 200 OK\r\n\r\nall of it").unwrap(), b"all of it");
    }

    #[test]
    fn a_promise_of_more_than_the_limit_is_refused_before_it_is_read() {
        for head in
            ["Content-Length: 1073741824\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFF\r\n"]
        {
            let error = answer(format!("HTTP/1.1 200 OK\r\n{head}").as_bytes()).unwrap_err();
            assert!(matches!(error, HttpError::TooLarge { .. }), "{error}");
        }
    }

    #[test]
    fn nonsense_is_an_error_that_says_so() {
        let nonsense: [&[u8]; 9] = [
            b"",
            b"SSH-2.0-OpenSSH_9.2\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999999\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabcdef",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFFF\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        ];
        for text in nonsense {
            let error = answer(text).unwrap_err();
            assert!(matches!(error, HttpError::NotHttp { .. }), "{error}: {}", String::from_utf8_lossy(text));
        }
        let endless = [b"HTTP/1.1 200 OK\r\n".as_slice(), &b"X: y\r\n".repeat(100_000)].concat();
        assert!(answer(&endless).is_err());
    }

    #[test]
    fn an_error_status_carries_what_the_engine_says() {
        let error = answer(
            b"HTTP/1.1 404 Not Found\r\nContent-Length: 31\r\n\r\n{\"message\":\"No such container\"}",
        )
        .unwrap_err();
        assert!(error.is_not_found());
        assert!(error.to_string().ends_with("status 404: No such container"), "{error}");
    }

    #[test]
    fn names_are_one_segment_whatever_they_hold() {
        assert_eq!(encode("web-1_x.y"), "web-1_x.y");
        assert_eq!(encode("../a b?c#d%é"), "..%2Fa%20b%3Fc%23d%25%C3%A9");
    }

    #[test]
    fn addresses_are_read_as_docker_reads_them() {
        assert_eq!(Endpoint::parse("unix:///run/x.sock").unwrap(), Endpoint::Unix("/run/x.sock".into()));
        assert_eq!(Endpoint::parse("tcp://127.0.0.1").unwrap(), Endpoint::Tcp("127.0.0.1:2375".into()));
        assert_eq!(Endpoint::parse("tcp://[::1]:9/").unwrap(), Endpoint::Tcp("[::1]:9".into()));
        for wrong in ["ssh://host", "unix://relative", "/run/docker.sock", "", "tcp://"] {
            assert!(Endpoint::parse(wrong).is_err(), "{wrong}");
        }
    }
}

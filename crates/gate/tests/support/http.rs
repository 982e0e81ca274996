//! A client of HTTP over a Unix socket that sends what it is given, byte by byte, and takes the answer apart: what no
//! ordinary client would send can be sent.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// The body as text; for JSON with a `message` (an error of the Docker API) that message.
    pub(crate) fn text(&self) -> String {
        let text = String::from_utf8_lossy(&self.body).trim().to_owned();
        let parsed: Option<serde_json::Value> = serde_json::from_str(&text).ok();
        parsed.and_then(|value| Some(value.get("message")?.as_str()?.to_owned())).unwrap_or(text)
    }
}

pub(crate) struct Connection {
    stream: BufReader<UnixStream>,
}

impl Connection {
    pub(crate) fn open(socket: &Path, patience: Duration) -> io::Result<Connection> {
        let stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(patience))?;
        stream.set_write_timeout(Some(patience))?;
        Ok(Connection { stream: BufReader::new(stream) })
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.get_mut().write_all(bytes)
    }

    /// Reads one answer. Of an upgraded or endless one, what is there of the body before it is closed or for as long as
    /// `most` bytes have come.
    pub(crate) fn answer(&mut self) -> io::Result<Answer> {
        let status = self.line()?;
        let code = status.split(' ').nth(1).and_then(|code| code.parse().ok());
        let status = code.ok_or_else(|| io::Error::other(format!("no status line: {status:?}")))?;
        let (mut length, mut chunked) = (None, false);
        loop {
            let line = self.line()?.to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            match line.split_once(':').map(|(name, value)| (name, value.trim())) {
                Some(("content-length", value)) => length = value.parse().ok(),
                Some(("transfer-encoding", "chunked")) => chunked = true,
                _ => {}
            }
        }
        let mut body = Vec::new();
        if matches!(status, 101 | 204 | 304) {
            return Ok(Answer { status, body });
        }
        if chunked {
            loop {
                let size = self.line()?;
                let size = u64::from_str_radix(size.trim(), 16).map_err(io::Error::other)?;
                (&mut self.stream).take(size).read_to_end(&mut body)?;
                self.line()?;
                if size == 0 {
                    break;
                }
            }
        } else if let Some(length) = length {
            (&mut self.stream).take(length).read_to_end(&mut body)?;
        } else {
            self.stream.read_to_end(&mut body)?;
        }
        Ok(Answer { status, body })
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = Vec::new();
        if self.stream.read_until(b'\n', &mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(String::from_utf8_lossy(&line).trim_end().to_owned())
    }
}

/// A request with a body of known length, on a connection of its own.
pub(crate) fn ask(socket: &Path, method: &str, target: &str, body: Option<&[u8]>) -> io::Result<Answer> {
    let mut connection = Connection::open(socket, Duration::from_secs(60))?;
    let mut request = format!("{method} {target} HTTP/1.1\r\nHost: docker\r\n").into_bytes();
    if let Some(body) = body {
        let length = body.len();
        request.extend_from_slice(
            format!("Content-Type: application/json\r\nContent-Length: {length}\r\n").as_bytes(),
        );
    }
    request.extend_from_slice(b"\r\n");
    request.extend_from_slice(body.unwrap_or_default());
    connection.send(&request)?;
    connection.answer()
}

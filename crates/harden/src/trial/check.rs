//! What says whether the workload works: a command inside the container, a command on this machine, the health check of
//! the image, an HTTP request, or that the container ends well.
//!
//! | text | check |
//! | --- | --- |
//! | `redis-cli ping` | these words run inside the container (`exec`), as its user and under its confinement; 0 passes |
//! | `host:curl -fs http://$…` | a program of this machine, with STOCKADE_TRIAL_ADDRESS and STOCKADE_TRIAL_ID; 0 passes |
//! | `health` | the health check's command run inside; 0 passes |
//! | `http://:8080/path` | GET from this machine; a status of 200 to 399 passes |
//! | `exit` | the container ends by itself with code 0 |
//!
//! Words are split as a shell splits them and nothing is expanded: whoever wants a shell says `sh -c '…'`.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::str::FromStr;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use super::TrialError;
use super::engine::{Engine, last_words};
use super::program::{self, Limits};

/// One attempt of a check may take this long.
const ATTEMPT: Duration = Duration::from_secs(10);

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Check {
    Inside(Vec<String>),
    Host(Vec<String>),
    Health,
    Http { port: u16, path: String },
    Exit,
}

impl FromStr for Check {
    type Err = TrialError;
    fn from_str(text: &str) -> Result<Check, TrialError> {
        let wrong = |why: &str| TrialError::Check(format!("`{text}`: {why}"));
        match text {
            "health" => return Ok(Check::Health),
            "exit" => return Ok(Check::Exit),
            _ => {}
        }
        if let Some(rest) = text.strip_prefix("http://") {
            let (address, path) = rest.find('/').map_or((rest, "/"), |at| rest.split_at(at));
            let port = match address.strip_prefix(':') {
                Some(port) => port.parse().map_err(|_| wrong("the port is a number up to 65535"))?,
                None if address.is_empty() => 80,
                None => return Err(wrong("the address is the container's; write http://:PORT/PATH")),
            };
            let unsafe_path = path.contains(|c: char| c.is_control() || c == ' ');
            if unsafe_path {
                return Err(wrong("blanks and control characters have no place in a path"));
            }
            return Ok(Check::Http { port, path: path.to_owned() });
        }
        if text.starts_with("https://") {
            return Err(wrong("https is not spoken; use `host:` with a program that does"));
        }
        let (rest, make): (&str, fn(Vec<String>) -> Check) = match text.strip_prefix("host:") {
            Some(rest) => (rest, Check::Host),
            None => (text.strip_prefix("inside:").unwrap_or(text), Check::Inside),
        };
        let words = shlex::split(rest).ok_or_else(|| wrong("a quote stays open"))?;
        if words.is_empty() {
            return Err(wrong("there is no command"));
        }
        Ok(make(words))
    }
}

/// What one attempt of a check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) passed: bool,
    /// The end of what it said, or what came instead of an answer.
    pub(super) said: String,
    /// The program of the check is not there, or may not be run.
    pub(super) is_for_good: bool,
}

/// Where the container is.
pub(super) struct Place<'a> {
    pub(super) engine: &'a Engine,
    pub(super) id: &'a str,
    /// Empty where it has none.
    pub(super) address: &'a str,
}

pub(super) fn attempt(
    check: &Check,
    health: Option<&[String]>,
    place: &Place<'_>,
    interrupt: &AtomicBool,
) -> Result<Answer, TrialError> {
    match check {
        Check::Inside(words) => inside(words, place, interrupt),
        Check::Health => inside(health.unwrap_or_default(), place, interrupt),
        Check::Host(words) => {
            let environment = [("STOCKADE_TRIAL_ADDRESS", place.address), ("STOCKADE_TRIAL_ID", place.id)];
            command(words, &environment, interrupt)
        }
        Check::Http { port, path } => Ok(http(place.address, *port, path)),
        // Seen by the container's end alone.
        Check::Exit => Ok(Answer { passed: false, said: "it has not ended".into(), is_for_good: false }),
    }
}

fn inside(words: &[String], place: &Place<'_>, interrupt: &AtomicBool) -> Result<Answer, TrialError> {
    let mut call = place.engine.words(&["exec", place.id]);
    call.extend(words.iter().cloned());
    command(&call, &[], interrupt)
}

fn command(
    words: &[String],
    environment: &[(&str, &str)],
    interrupt: &AtomicBool,
) -> Result<Answer, TrialError> {
    let limits = Limits { time: ATTEMPT, interrupt: Some(interrupt) };
    let output = program::run_with(words, environment, None, &limits).map_err(|error| {
        TrialError::Check(format!("`{}` cannot be run: {error}", words.first().map_or("", String::as_str)))
    })?;
    let mut said = last_words(&format!("{}\n{}", output.stdout, output.stderr));
    if output.timed_out {
        said = format!("no answer in {} s. {said}", ATTEMPT.as_secs());
    } else if let Some(code) = output.code.filter(|code| *code != 0) {
        said = format!("exit code {code}. {said}");
    }
    // docker-exec(1) and POSIX shells: 126 cannot be run, 127 is not found.
    let is_for_good = matches!(output.code, Some(126 | 127));
    Ok(Answer { passed: output.success(), said: said.trim().to_owned(), is_for_good })
}

fn http(address: &str, port: u16, path: &str) -> Answer {
    match status(address, port, path) {
        Ok(status) => {
            let passed = (200..400).contains(&status);
            Answer { passed, said: format!("status {status}"), is_for_good: false }
        }
        Err(error) => {
            Answer { passed: false, said: format!("{address}:{port}: {error}"), is_for_good: false }
        }
    }
}

/// The status of a GET (RFC 9112, section 4: `HTTP/1.1 200 …`).
fn status(address: &str, port: u16, path: &str) -> std::io::Result<u16> {
    let wrong = |what: &str| std::io::Error::new(std::io::ErrorKind::InvalidData, what.to_owned());
    let address: SocketAddr = match address.contains(':') {
        true => format!("[{address}]:{port}"),
        false => format!("{address}:{port}"),
    }
    .parse()
    .map_err(|_| wrong("the container has no address"))?;
    let wait = Duration::from_secs(2);
    let mut stream = TcpStream::connect_timeout(&address, wait)?;
    stream.set_read_timeout(Some(ATTEMPT))?;
    stream.set_write_timeout(Some(wait))?;
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nUser-Agent: stockade-trial\r\nAccept: */*\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes())?;
    let mut head = Vec::new();
    while !head.contains(&b'\n') && head.len() < 1024 {
        let mut buffer = [0; 256];
        let count = stream.read(&mut buffer)?;
        if count == 0 {
            break;
        }
        head.extend_from_slice(buffer.get(..count).unwrap_or_default());
    }
    let head = String::from_utf8_lossy(&head);
    let mut words = head.split_ascii_whitespace();
    match (words.next(), words.next().map(str::parse)) {
        (Some(version), Some(Ok(status))) if version.starts_with("HTTP/1.") => Ok(status),
        _ => Err(wrong("the answer is not HTTP")),
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn every_form_of_check_is_read() {
        let read = |text: &str| text.parse::<Check>().unwrap();
        let words = |list: &[&str]| list.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        assert_eq!(read("redis-cli -p 1 'a b'"), Check::Inside(words(&["redis-cli", "-p", "1", "a b"])));
        assert_eq!(read("inside:health"), Check::Inside(words(&["health"])));
        assert_eq!(read("host:probe $X"), Check::Host(words(&["probe", "$X"])));
        assert_eq!(read("health"), Check::Health);
        assert_eq!(read("exit"), Check::Exit);
        assert_eq!(read("http://:8080/a?b=c"), Check::Http { port: 8080, path: "/a?b=c".into() });
        assert_eq!(read("http://:81"), Check::Http { port: 81, path: "/".into() });
        assert_eq!(read("http:///x"), Check::Http { port: 80, path: "/x".into() });
        for text in
            ["", "host:", "'open", "http://example.org/", "http://:99999/", "https://:443/", "http://:1/a b"]
        {
            assert!(text.parse::<Check>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_probe_passes_on_success_and_redirection_alone() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let answers =
            ["HTTP/1.1 204 No Content\r\n\r\n", "HTTP/1.0 301 M\r\n", "HTTP/1.1 500 E\r\n", "SSH-2.0-x\r\n"];
        let server = std::thread::spawn(move || {
            for answer in answers {
                let (mut stream, _) = listener.accept().unwrap();
                let mut buffer = [0; 512];
                let count = stream.read(&mut buffer).unwrap();
                assert!(buffer[..count].starts_with(b"GET /x HTTP/1.1\r\n"));
                stream.write_all(answer.as_bytes()).unwrap();
            }
        });
        let passed: Vec<bool> = answers.iter().map(|_| http("127.0.0.1", port, "/x").passed).collect();
        server.join().unwrap();
        assert_eq!(passed, [true, true, false, false]);
        assert!(!http("127.0.0.1", port, "/x").passed, "nobody listens");
        assert!(http("", 80, "/").said.contains("no address"));
    }
}

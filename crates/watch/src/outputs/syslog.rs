//! Syslog by RFC 5424: over a Unix datagram socket, over UDP (RFC 5426, one message a datagram), over TCP (RFC 6587,
//! octet counting).

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::net::{TcpStream, ToSocketAddrs, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::sync::Arc;
use std::time::Duration;

use super::{Failure, Filter, Output, OutputError, Syslog, SyslogFormat, SyslogTarget, alerts_from, text};
use crate::alert::Severity;
use crate::store::{Record, rfc3339};

const TIMEOUT: Duration = Duration::from_secs(5);
/// A datagram: RFC 5426 asks receivers for 2,048 octets, and rsyslog and journald take 8 KiB and more.
const DATAGRAM_LIMIT: usize = 8 << 10;

/// RFC 5424, table 1, by the names of syslog(3).
const FACILITIES: &[(&str, u8)] = &[
    ("kern", 0),
    ("user", 1),
    ("mail", 2),
    ("daemon", 3),
    ("auth", 4),
    ("syslog", 5),
    ("lpr", 6),
    ("news", 7),
    ("uucp", 8),
    ("cron", 9),
    ("authpriv", 10),
    ("ftp", 11),
    ("local0", 16),
    ("local1", 17),
    ("local2", 18),
    ("local3", 19),
    ("local4", 20),
    ("local5", 21),
    ("local6", 22),
    ("local7", 23),
];

pub(super) struct SyslogOutput {
    settings: Syslog,
    facility: u8,
    host: String,
    /// `sequenceId` of RFC 5424, 7.3.1: shows at the other end what was lost on the way.
    sequence: u32,
    connection: Option<Connection>,
}

enum Connection {
    Unix(UnixDatagram),
    Udp(UdpSocket),
    Tcp(TcpStream),
}

impl SyslogOutput {
    pub(super) fn new(settings: &Syslog) -> Result<SyslogOutput, OutputError> {
        let Some((_, facility)) = FACILITIES.iter().find(|(name, _)| *name == settings.facility) else {
            let known: Vec<&str> = FACILITIES.iter().map(|(name, _)| *name).collect();
            let why = format!("`{}` is not a facility; known are {}", settings.facility, known.join(", "));
            return Err(OutputError::Setting { output: "syslog".into(), why });
        };
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        Ok(SyslogOutput {
            settings: settings.clone(),
            facility: *facility,
            host,
            sequence: 0,
            connection: None,
        })
    }

    fn message(&self, record: &Record, sequence: u32) -> String {
        let Record::Alert(alert) = record else { return String::new() };
        let priority = u16::from(self.facility) * 8 + severity(alert.severity);
        let mut message = format!(
            "<{priority}>1 {} {} stockade {} alert [meta sequenceId=\"{sequence}\"] ",
            rfc3339(alert.time),
            header(&self.host, 255),
            std::process::id(),
        );
        let body = match self.settings.format {
            SyslogFormat::Text => text::line(alert),
            SyslogFormat::Json => record.to_json().to_string(),
        };
        if !body.is_ascii() {
            // Says that the text is UTF-8: RFC 5424, 6.4.
            message.push('\u{feff}');
        }
        // Writing to a String does not fail.
        let _ = write!(message, "{body}");
        message
    }

    fn connected(&mut self) -> io::Result<&mut Connection> {
        if let Some(Connection::Tcp(stream)) = &self.connection
            && is_closed(stream)
        {
            self.connection = None;
        }
        match &mut self.connection {
            Some(connection) => Ok(connection),
            none => Ok(none.insert(connect(&self.settings.to)?)),
        }
    }
}

fn connect(target: &SyslogTarget) -> io::Result<Connection> {
    match target {
        SyslogTarget::Unix(path) => {
            let socket = UnixDatagram::unbound()?;
            socket.connect(path)?;
            socket.set_write_timeout(Some(TIMEOUT))?;
            Ok(Connection::Unix(socket))
        }
        SyslogTarget::Udp(host) => {
            let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
            for address in host.to_socket_addrs()? {
                let here = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
                let socket = UdpSocket::bind(here)?;
                match socket.connect(address) {
                    Ok(()) => return Ok(Connection::Udp(socket)),
                    Err(error) => last = error,
                }
            }
            Err(last)
        }
        SyslogTarget::Tcp(host) => {
            let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
            for address in host.to_socket_addrs()? {
                match TcpStream::connect_timeout(&address, TIMEOUT) {
                    Ok(stream) => {
                        stream.set_write_timeout(Some(TIMEOUT))?;
                        stream.set_nodelay(true)?;
                        return Ok(Connection::Tcp(stream));
                    }
                    Err(error) => last = error,
                }
            }
            Err(last)
        }
    }
}

/// A first write to a connection that the other side closed succeeds, and what was written is lost. A syslog server
/// sends nothing, so that the end of the stream can be seen before.
fn is_closed(stream: &TcpStream) -> bool {
    let peeked = stream.set_nonblocking(true).and_then(|()| stream.peek(&mut [0]));
    let blocking = stream.set_nonblocking(false);
    match peeked {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => blocking.is_err(),
        Ok(count) => count == 0,
        Err(_) => true,
    }
}

impl Connection {
    fn send(&mut self, message: &str) -> io::Result<()> {
        match self {
            Connection::Unix(socket) => socket.send(cut(message)).map(drop),
            Connection::Udp(socket) => socket.send(cut(message)).map(drop),
            Connection::Tcp(stream) => stream.write_all(format!("{} {message}", message.len()).as_bytes()),
        }
    }
}

/// At most as long as a datagram may be, cut between characters.
fn cut(message: &str) -> &[u8] {
    let end = (0..=DATAGRAM_LIMIT.min(message.len())).rev().find(|&end| message.is_char_boundary(end));
    message.get(..end.unwrap_or(0)).unwrap_or(message).as_bytes()
}

/// A field of the header: printable ASCII, not empty (RFC 5424, 6).
fn header(text: &str, longest: usize) -> String {
    let field: String = text.chars().filter(char::is_ascii_graphic).take(longest).collect();
    if field.is_empty() { "-".into() } else { field }
}

/// RFC 5424, table 2: critical, error, warning, notice, informational.
fn severity(severity: Severity) -> u16 {
    match severity {
        Severity::Critical => 2,
        Severity::High => 3,
        Severity::Medium => 4,
        Severity::Low => 5,
        Severity::Info => 6,
    }
}

impl Output for SyslogOutput {
    fn name(&self) -> String {
        format!("syslog {}", self.settings.to)
    }

    fn filter(&self) -> Filter {
        alerts_from(self.settings.severity)
    }

    fn send(&mut self, records: &[Arc<Record>]) -> Result<u64, Failure> {
        for record in records {
            // 1 to 2147483647, then from 1 again.
            let sequence = if self.sequence >= 0x7fff_ffff { 1 } else { self.sequence + 1 };
            let message = self.message(record, sequence);
            if let Err(error) = self.connected().and_then(|c| c.send(&message)) {
                self.connection = None;
                return Err(Failure::later(error));
            }
            self.sequence = sequence;
        }
        Ok(0)
    }

    fn reopen(&mut self) {
        self.connection = None;
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::net::TcpListener;

    use super::*;
    use crate::store::samples;

    fn alert() -> Arc<Record> {
        Arc::new(samples::attempt().into())
    }

    fn output(to: SyslogTarget) -> SyslogOutput {
        SyslogOutput::new(&Syslog::to(to)).unwrap()
    }

    /// The parts of a message: priority and version, time, host, application, process, kind, data, text.
    fn parts(message: &str) -> Vec<String> {
        let (head, rest) = message.split_once(" [").unwrap();
        let (data, text) = rest.split_once("] ").unwrap();
        head.split(' ').chain([data, text]).map(str::to_owned).collect()
    }

    #[test]
    fn a_message_over_a_unix_socket_has_the_fields_of_rfc_5424() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let server = UnixDatagram::bind(&path).unwrap();
        output(SyslogTarget::Unix(path)).send(&[alert()]).unwrap();
        let mut buffer = [0; 9000];
        let count = server.recv(&mut buffer).unwrap();
        let parts = parts(std::str::from_utf8(&buffer[..count]).unwrap());
        // authpriv (10) x 8 + critical (2).
        assert_eq!(parts[0], "<82>1");
        assert_eq!(parts[1], "2026-11-23T03:09:26.535Z");
        assert!(!parts[2].is_empty());
        assert_eq!(parts[3..6], ["stockade", &std::process::id().to_string(), "alert"]);
        assert_eq!(parts[6], "meta sequenceId=\"1\"");
        assert!(parts[7].starts_with("critical: sh opened"), "{parts:?}");
    }

    #[test]
    fn a_unix_socket_that_is_bound_anew_is_found_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut output = output(SyslogTarget::Unix(path.clone()));
        assert!(matches!(output.send(&[alert()]), Err(Failure::Later { .. })));
        let server = UnixDatagram::bind(&path).unwrap();
        output.send(&[alert()]).unwrap();
        drop(server);
        std::fs::remove_file(&path).unwrap();
        assert!(matches!(output.send(&[alert()]), Err(Failure::Later { .. })));
        let server = UnixDatagram::bind(&path).unwrap();
        output.send(&[alert()]).unwrap();
        let mut buffer = [0; 9000];
        let count = server.recv(&mut buffer).unwrap();
        assert!(
            String::from_utf8_lossy(&buffer[..count]).contains("sequenceId=\"2\""),
            "only what was sent counts"
        );
    }

    #[test]
    fn a_message_over_udp_is_one_datagram_that_is_cut_where_it_is_too_long() {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut output = output(SyslogTarget::Udp(server.local_addr().unwrap().to_string()));
        let long = crate::alert::Alert { summary: "é".repeat(DATAGRAM_LIMIT), ..samples::attempt() };
        output.send(&[alert(), Arc::new(long.into())]).unwrap();
        let mut buffer = [0; 20_000];
        let count = server.recv(&mut buffer).unwrap();
        assert!(buffer[..count].starts_with(b"<82>1 "));
        let count = server.recv(&mut buffer).unwrap();
        assert!((DATAGRAM_LIMIT - 3..=DATAGRAM_LIMIT).contains(&count));
        assert!(std::str::from_utf8(&buffer[..count]).unwrap().contains("] \u{feff}critical"));
    }

    #[test]
    fn over_tcp_octets_are_counted_and_a_closed_connection_is_made_anew() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let settings = Syslog {
            format: SyslogFormat::Json,
            facility: "local3".into(),
            ..Syslog::to(SyslogTarget::Tcp(listener.local_addr().unwrap().to_string()))
        };
        let mut output = SyslogOutput::new(&settings).unwrap();
        for round in 1..=3 {
            output.send(&[alert()]).unwrap();
            let (mut stream, _) = listener.accept().unwrap();
            let mut length = String::new();
            let mut byte = [0];
            loop {
                stream.read_exact(&mut byte).unwrap();
                if byte[0] == b' ' {
                    break;
                }
                length.push(char::from(byte[0]));
            }
            let mut message = vec![0; length.parse().unwrap()];
            stream.read_exact(&mut message).unwrap();
            let parts = parts(std::str::from_utf8(&message).unwrap());
            assert_eq!(parts[0], "<154>1");
            assert_eq!(parts[6], format!("meta sequenceId=\"{round}\""));
            let json: serde_json::Value = serde_json::from_str(&parts[7]).unwrap();
            assert_eq!(json["schema"], "stockade.alert/1");
            drop(stream);
            std::thread::sleep(Duration::from_millis(50));
        }
        drop(listener);
        assert!(matches!(output.send(&[alert()]), Err(Failure::Later { .. })));
    }

    #[test]
    fn places_and_facilities_that_do_not_exist_are_told_at_once() {
        assert_eq!("/dev/log".parse(), Ok(SyslogTarget::Unix("/dev/log".into())));
        assert_eq!("udp://loghost".parse(), Ok(SyslogTarget::Udp("loghost:514".into())));
        assert_eq!("tcp://[::1]:6514".parse(), Ok(SyslogTarget::Tcp("[::1]:6514".into())));
        assert!("loghost".parse::<SyslogTarget>().is_err());
        let settings = Syslog { facility: "local9".into(), ..Syslog::to(SyslogTarget::Udp("x:1".into())) };
        assert!(SyslogOutput::new(&settings).is_err());
    }
}

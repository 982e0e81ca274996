//! Prometheus metrics (text format 0.0.4): served at `/metrics` on a loopback address or a Unix socket, and written to
//! a file for node_exporter's textfile collector. All are read from the board.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use sensor::event::Lane;

use super::{Board, Metrics, MetricsAddress, OutputError, Snapshot};
use crate::store::{Condition, Kind};

/// How long one client may take; there is one at a time.
const CLIENT: Duration = Duration::from_secs(2);
const HEAD_LIMIT: usize = 8 << 10;
/// How often the file is written, and the end of the run is looked for.
const TEXTFILE: Duration = Duration::from_secs(15);
const TICK: Duration = Duration::from_millis(100);

/// A thread that serves or writes metrics.
pub(super) struct Running {
    end: Arc<AtomicBool>,
    socket: Option<PathBuf>,
    thread: thread::JoinHandle<()>,
    #[cfg(test)]
    pub(super) address: Option<std::net::SocketAddr>,
}

impl Running {
    /// It notices within a moment; a client that is being served has its time.
    pub(super) fn end(self) {
        self.end.store(true, Ordering::Relaxed);
        // A panic in it was printed; nothing more is to be done about it.
        let _ = self.thread.join();
        if let Some(socket) = self.socket {
            // Left behind, it would be replaced by the next run.
            let _ = fs::remove_file(socket);
        }
    }
}

pub(super) fn start(settings: &Metrics, board: &Board) -> Result<Vec<Running>, OutputError> {
    let mut running = Vec::new();
    if let Some(address) = &settings.listen {
        running.push(serve(address, board.clone())?);
    }
    if let Some(path) = &settings.textfile {
        if path.extension().is_none_or(|e| e != "prom") {
            let why = format!("{}: node_exporter reads only files that end in .prom", path.display());
            return Err(OutputError::Setting { output: "metrics".into(), why });
        }
        running.push(textfile(path.clone(), board.clone())?);
    }
    Ok(running)
}

enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

fn serve(address: &MetricsAddress, board: Board) -> Result<Running, OutputError> {
    let name = match address {
        MetricsAddress::Tcp(address) => format!("metrics {address}"),
        MetricsAddress::Unix(path) => format!("metrics {}", path.display()),
    };
    let failed = |error| OutputError::Start { output: name.clone(), error };
    let mut socket = None;
    let listener = match address {
        MetricsAddress::Tcp(address) => {
            let listener = TcpListener::bind(address).map_err(failed)?;
            listener.set_nonblocking(true).map_err(failed)?;
            Listener::Tcp(listener)
        }
        MetricsAddress::Unix(path) => {
            let listener = bind(path).map_err(failed)?;
            listener.set_nonblocking(true).map_err(failed)?;
            socket = Some(path.clone());
            Listener::Unix(listener)
        }
    };
    #[cfg(test)]
    let bound = match &listener {
        Listener::Tcp(listener) => listener.local_addr().ok(),
        Listener::Unix(_) => None,
    };
    let (end, ended) = flag();
    let thread = thread::Builder::new()
        .name("metrics".into())
        .spawn(move || {
            while !ended.load(Ordering::Relaxed) {
                if !accept(&listener, &board) {
                    thread::sleep(TICK);
                }
            }
        })
        .map_err(failed)?;
    Ok(Running {
        end,
        socket,
        thread,
        #[cfg(test)]
        address: bound,
    })
}

fn flag() -> (Arc<AtomicBool>, Arc<AtomicBool>) {
    let flag = Arc::<AtomicBool>::default();
    (flag.clone(), flag)
}

/// For root and the group; a socket that nobody listens at any more is replaced.
fn bind(path: &Path) -> io::Result<UnixListener> {
    let is_socket = fs::symlink_metadata(path).is_ok_and(|m| m.file_type().is_socket());
    if is_socket && std::os::unix::net::UnixStream::connect(path).is_err() {
        fs::remove_file(path)?;
    }
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o660))?;
    Ok(listener)
}

/// Serves one client, if one waits. What goes wrong with a client is the client's to notice.
fn accept(listener: &Listener, board: &Board) -> bool {
    match listener {
        Listener::Tcp(listener) => {
            let Ok((stream, _)) = listener.accept() else { return false };
            let timed = stream
                .set_nonblocking(false)
                .and_then(|()| stream.set_read_timeout(Some(CLIENT)))
                .and_then(|()| stream.set_write_timeout(Some(CLIENT)));
            timed.is_ok() && answer(stream, board).is_ok()
        }
        Listener::Unix(listener) => {
            let Ok((stream, _)) = listener.accept() else { return false };
            let timed = stream
                .set_nonblocking(false)
                .and_then(|()| stream.set_read_timeout(Some(CLIENT)))
                .and_then(|()| stream.set_write_timeout(Some(CLIENT)));
            timed.is_ok() && answer(stream, board).is_ok()
        }
    }
}

fn answer(mut stream: impl Read + Write, board: &Board) -> io::Result<()> {
    let (status, body) = match request(&mut stream)? {
        Some((method, path)) if path.split('?').next() == Some("/metrics") && method == "GET" => {
            ("200 OK", text(&board.read()))
        }
        Some((method, _)) if method != "GET" => ("405 Method Not Allowed", "only GET\n".to_owned()),
        Some(_) => ("404 Not Found", "only /metrics is here\n".to_owned()),
        None => ("400 Bad Request", "not HTTP\n".to_owned()),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(body.as_bytes())?;
    stream.flush()
}

/// Method and path; None where it is not HTTP. A client that sends a byte a second does not hold others up for long.
fn request(stream: &mut impl Read) -> io::Result<Option<(String, String)>> {
    let until = Instant::now() + CLIENT;
    let mut head = Vec::new();
    let mut block = [0; 1024];
    while head.len() < HEAD_LIMIT && Instant::now() < until {
        let count = stream.read(&mut block)?;
        if count == 0 {
            break;
        }
        head.extend_from_slice(block.get(..count).unwrap_or_default());
        let mut headers = [httparse::EMPTY_HEADER; 64];
        let mut request = httparse::Request::new(&mut headers);
        match request.parse(&head) {
            Ok(httparse::Status::Complete(_)) => {
                let (method, path) = (request.method.unwrap_or(""), request.path.unwrap_or(""));
                return Ok(Some((method.to_owned(), path.to_owned())));
            }
            Ok(httparse::Status::Partial) => {}
            Err(_) => return Ok(None),
        }
    }
    Ok(None)
}

/// Written beside and renamed, so that a reader never meets half of it; removed at the end, as it is stale then.
fn textfile(path: PathBuf, board: Board) -> Result<Running, OutputError> {
    let output = format!("metrics {}", path.display());
    write(&path, &board).map_err(|error| OutputError::File {
        output: "metrics".into(),
        path: path.clone(),
        error,
    })?;
    let (end, ended) = flag();
    let of_thread = path.clone();
    let thread = thread::Builder::new()
        .name("metrics".into())
        .spawn(move || {
            let mut written = Instant::now();
            while !ended.load(Ordering::Relaxed) {
                thread::sleep(TICK);
                if written.elapsed() >= TEXTFILE {
                    // A full disk is met again at the next time; the file then shows an old heartbeat.
                    let _ = write(&of_thread, &board);
                    written = Instant::now();
                }
            }
        })
        .map_err(|error| OutputError::Start { output, error })?;
    Ok(Running {
        end,
        socket: Some(path),
        thread,
        #[cfg(test)]
        address: None,
    })
}

fn write(path: &Path, board: &Board) -> io::Result<()> {
    let beside = path.with_extension("prom.new");
    fs::write(&beside, text(&board.read()))?;
    fs::rename(&beside, path)
}

/// One family: its name, type and help, then its samples.
struct Family<'a> {
    out: &'a mut String,
    name: &'static str,
}

fn family<'a>(out: &'a mut String, name: &'static str, kind: &str, help: &str) -> Family<'a> {
    // Writing to a String does not fail.
    let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
    Family { out, name }
}

impl Family<'_> {
    fn add(&mut self, labels: &[(&str, &str)], value: impl std::fmt::Display) -> &mut Self {
        self.out.push_str(self.name);
        for (i, (name, text)) in labels.iter().enumerate() {
            let text = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let _ = write!(self.out, "{}{name}=\"{text}\"", if i == 0 { '{' } else { ',' });
        }
        if !labels.is_empty() {
            self.out.push('}');
        }
        let _ = writeln!(self.out, " {value}");
        self
    }
}

pub(super) fn text(snapshot: &Snapshot) -> String {
    let mut text = String::new();
    let out = &mut text;
    let lane = |lane| match lane {
        Lane::Rare => "rare",
        Lane::Bulk => "bulk",
    };
    family(out, "stockade_build_info", "gauge", "The version of stockade.")
        .add(&[("version", env!("CARGO_PKG_VERSION"))], 1);
    family(out, "stockade_heartbeat_timestamp_seconds", "gauge", "When the pipeline last told how it fares.")
        .add(&[], format!("{:.3}", snapshot.time as f64 / 1e9));
    let mut events = family(out, "stockade_events_total", "counter", "Events that the sensor told.");
    for count in &snapshot.events {
        events.add(&[("lane", lane(count.lane)), ("kind", &count.kind)], count.seen);
    }
    let mut lost =
        family(out, "stockade_events_lost_total", "counter", "Events that were lost before they were read.");
    for count in &snapshot.events {
        lost.add(&[("lane", lane(count.lane)), ("kind", &count.kind)], count.lost);
    }
    let mut alerts = family(out, "stockade_alerts_total", "counter", "Alerts, by cause and severity.");
    for count in &snapshot.alerts {
        let labels = [("cause", count.cause), ("name", &count.name), ("severity", count.severity.name())];
        alerts.add(&labels, count.count);
    }
    let mut verdicts = std::collections::BTreeMap::<&str, u64>::new();
    for line in &snapshot.containers {
        let verdict = line.container.verdict.as_deref().unwrap_or("not judged");
        // `held by 2` is `held`: the number of walls is not a dimension to count by.
        let verdict = verdict.split_once(" by ").map_or(verdict, |(word, _)| word);
        *verdicts.entry(verdict).or_default() += 1;
    }
    let mut containers = family(out, "stockade_containers", "gauge", "Containers that run, by verdict.");
    for (verdict, count) in verdicts {
        containers.add(&[("verdict", verdict)], count);
    }
    let mut length = family(out, "stockade_queue_length", "gauge", "What waits in a queue.");
    for queue in &snapshot.queues {
        length.add(&[("queue", &queue.name)], queue.length);
    }
    for output in &snapshot.outputs {
        length.add(&[("queue", &output.name)], output.waiting);
    }
    if let Some(store) = &snapshot.store {
        length.add(&[("queue", "store")], store.waiting);
    }
    let mut capacity = family(out, "stockade_queue_capacity", "gauge", "What a queue holds at most.");
    for queue in &snapshot.queues {
        capacity.add(&[("queue", &queue.name)], queue.capacity);
    }
    for output in &snapshot.outputs {
        capacity.add(&[("queue", &output.name)], output.capacity);
    }
    if let Some(store) = &snapshot.store {
        capacity.add(&[("queue", "store")], store.capacity);
    }
    outputs(out, snapshot);
    if let Some(store) = &snapshot.store {
        let mut written =
            family(out, "stockade_store_written_total", "counter", "Records that the store wrote.");
        for (kind, count) in Kind::ALL.into_iter().zip(store.written) {
            written.add(&[("kind", kind.name())], count);
        }
        let mut lost =
            family(out, "stockade_store_lost_total", "counter", "Records that the store could not keep.");
        for (kind, count) in Kind::ALL.into_iter().zip(store.lost) {
            lost.add(&[("kind", kind.name())], count);
        }
        family(out, "stockade_store_up", "gauge", "Whether the store can be written.")
            .add(&[], u8::from(store.condition == Condition::Works));
        family(out, "stockade_store_bytes", "gauge", "Bytes in use within the database.")
            .add(&[], store.used);
    }
    family(out, "stockade_resident_bytes", "gauge", "Resident memory of this process.")
        .add(&[], snapshot.memory);
    family(out, "stockade_processor_seconds_total", "counter", "Processor time of this process.")
        .add(&[], format!("{:.3}", snapshot.processor as f64 / 1e9));
    family(out, "stockade_problems", "gauge", "Things that do not work as they should.")
        .add(&[], snapshot.problems.len());
    text
}

fn outputs(out: &mut String, snapshot: &Snapshot) {
    type Get = fn(&super::OutputStatus) -> u64;
    let counters: [(&'static str, &str, Get); 4] = [
        ("stockade_output_sent_total", "Records that an output took.", |o| o.sent),
        ("stockade_output_dropped_total", "Records dropped for lack of room.", |o| o.dropped),
        ("stockade_output_refused_total", "Records that the other side refused for good.", |o| o.refused),
        ("stockade_output_retries_total", "Attempts that failed and were to be made again.", |o| o.retries),
    ];
    for (name, help, get) in counters {
        let mut family = family(out, name, "counter", help);
        for output in &snapshot.outputs {
            family.add(&[("output", &output.name)], get(output));
        }
    }
    let mut up =
        family(out, "stockade_output_up", "gauge", "Whether the last attempt of an output succeeded.");
    for output in &snapshot.outputs {
        up.add(&[("output", &output.name)], u8::from(output.failing.is_none()));
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;
    use std::os::unix::net::UnixStream;

    use super::*;
    use crate::alert::Severity;
    use crate::outputs::{AlertCount, ContainerLine, EventCount, OutputStatus, QueueLine};
    use crate::store::samples;

    fn snapshot() -> Snapshot {
        let line = |name: &str, verdict: Option<&str>| ContainerLine {
            container: crate::alert::Container {
                verdict: verdict.map(str::to_owned),
                ..samples::container(name)
            },
            rare: 1,
            bulk: 2,
            lost: 0,
            alerts: [0; 5],
            last_alert: None,
        };
        Snapshot {
            time: samples::TIME,
            events: vec![EventCount { lane: Lane::Bulk, kind: "open".into(), seen: 10, lost: 2 }],
            alerts: vec![AlertCount {
                cause: "rule",
                name: "a \"b\" \\ c".into(),
                severity: Severity::High,
                count: 3,
            }],
            containers: vec![line("a", Some("held by 2")), line("b", Some("held by 1")), line("c", None)],
            outputs: vec![OutputStatus {
                name: "webhook x".into(),
                retries: 4,
                failing: Some("away".into()),
                ..Default::default()
            }],
            queues: vec![QueueLine { name: "events".into(), length: 5, capacity: 9 }],
            store: Some(crate::store::Status { written: [1, 0, 0, 0, 0, 6], ..Default::default() }),
            ..Snapshot::default()
        }
    }

    fn board() -> Board {
        let board = Board::default();
        board.publish(snapshot());
        board
    }

    #[test]
    fn every_sample_belongs_to_a_family_that_is_declared_once_and_says_what_the_board_says() {
        let text = text(&snapshot());
        for expected in [
            "stockade_events_total{lane=\"bulk\",kind=\"open\"} 10\n",
            "stockade_events_lost_total{lane=\"bulk\",kind=\"open\"} 2\n",
            "stockade_alerts_total{cause=\"rule\",name=\"a \\\"b\\\" \\\\ c\",severity=\"high\"} 3\n",
            "stockade_containers{verdict=\"held\"} 2\n",
            "stockade_containers{verdict=\"not judged\"} 1\n",
            "stockade_queue_length{queue=\"events\"} 5\n",
            "stockade_output_retries_total{output=\"webhook x\"} 4\n",
            "stockade_output_up{output=\"webhook x\"} 0\n",
            "stockade_store_written_total{kind=\"trail\"} 6\n",
        ] {
            assert!(text.contains(expected), "{expected} in {text}");
        }
        let mut declared = std::collections::BTreeSet::new();
        let mut current = "";
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                current = rest.split(' ').next().unwrap();
                assert!(declared.insert(current), "{current} is declared twice");
            } else if !line.starts_with('#') {
                let name = line.split(['{', ' ']).next().unwrap();
                assert_eq!(name, current, "{line}");
                line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap();
            }
        }
    }

    fn ask(mut stream: impl Read + Write, request: &str) -> String {
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    #[test]
    fn metrics_are_served_on_loopback_and_only_there() {
        let settings = Metrics { listen: Some("127.0.0.1:0".parse().unwrap()), textfile: None };
        let mut running = start(&settings, &board()).unwrap();
        let address = running[0].address.unwrap();
        let ask = |request: &str| ask(TcpStream::connect(address).unwrap(), request);
        let answer = ask("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
        assert!(
            answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.contains("stockade_events_total{"),
            "{answer}"
        );
        assert!(ask("GET / HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 404"));
        assert!(ask("POST /metrics HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 405"));
        assert!(ask("\u{1} nonsense\r\n\r\n").starts_with("HTTP/1.1 400"));
        // One who says nothing holds others up for a bounded time.
        let silent = TcpStream::connect(address).unwrap();
        assert!(ask("GET /metrics HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 200"));
        drop(silent);
        running.remove(0).end();
        assert!(TcpStream::connect(address).is_err());
        assert!("0.0.0.0:9464".parse::<MetricsAddress>().unwrap_err().contains("other machines"));
        assert!("[::1]:9464".parse::<MetricsAddress>().is_ok());
    }

    #[test]
    fn metrics_are_served_at_a_unix_socket_which_a_dead_run_may_have_left() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.sock");
        drop(UnixListener::bind(&path).unwrap());
        let settings = Metrics { listen: Some(MetricsAddress::Unix(path.clone())), textfile: None };
        let mut running = start(&settings, &board()).unwrap();
        assert!(
            ask(UnixStream::connect(&path).unwrap(), "GET /metrics HTTP/1.0\r\n\r\n").contains("stockade_")
        );
        assert!(start(&settings, &board()).is_err(), "one that is in use is left alone");
        running.remove(0).end();
        assert!(!path.exists());
    }

    #[test]
    fn metrics_are_written_to_a_file_which_goes_with_the_run() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("stockade.prom");
        let settings = Metrics { listen: None, textfile: Some(path.clone()) };
        let mut running = start(&settings, &board()).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), text(&snapshot()));
        running.remove(0).end();
        assert!(!path.exists());
        let settings = Metrics { listen: None, textfile: Some(folder.path().join("x.txt")) };
        assert!(start(&settings, &board()).is_err());
    }
}

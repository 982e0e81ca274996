//! What goes over the wire: a daemon that keeps every byte that it gets shows what was sent on.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::support::Running;

const ALL: &str = "doors:\n  docker-proxy:\n    allow: ['* *']\n";

/// Answers each request with a text, and keeps what came on each connection.
struct FakeDaemon {
    socket: PathBuf,
    came: Arc<Mutex<Vec<Vec<u8>>>>,
    _folder: tempfile::TempDir,
}

impl FakeDaemon {
    fn answering(answer: &'static str) -> FakeDaemon {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("daemon.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let came: Arc<Mutex<Vec<Vec<u8>>>> = Arc::default();
        let all = came.clone();
        // The thread ends with the test's process.
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (mut stream, all) = (stream.unwrap(), all.clone());
                let at = {
                    let mut all = all.lock().unwrap();
                    all.push(Vec::new());
                    all.len() - 1
                };
                std::thread::spawn(move || {
                    let mut buffer = [0; 65536];
                    let mut answered = false;
                    while let Ok(count @ 1..) = stream.read(&mut buffer) {
                        let mut all = all.lock().unwrap();
                        all[at].extend_from_slice(&buffer[..count]);
                        let text = String::from_utf8_lossy(&all[at]).into_owned();
                        drop(all);
                        if !answered && is_whole(&text) {
                            answered = true;
                            let _ = stream.write_all(answer.as_bytes());
                            if !answer.starts_with("HTTP/1.1 101") {
                                let _ = stream.shutdown(Shutdown::Write);
                            }
                        }
                    }
                });
            }
        });
        FakeDaemon { socket, came, _folder: folder }
    }

    fn ok() -> FakeDaemon {
        FakeDaemon::answering(
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\nApi-Version: 1.41\r\n\r\nOK",
        )
    }

    fn came(&self) -> Vec<String> {
        let came = self.came.lock().unwrap_or_else(PoisonError::into_inner);
        came.iter().map(|bytes| String::from_utf8_lossy(bytes).into_owned()).collect()
    }
}

fn is_whole(text: &str) -> bool {
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let head = head.to_ascii_lowercase();
    let length = head.lines().find_map(|l| l.strip_prefix("content-length: ")?.parse::<usize>().ok());
    match length {
        Some(length) => body.len() >= length,
        None => !head.contains("transfer-encoding: chunked") || body.ends_with("0\r\n\r\n"),
    }
}

/// Sends bytes as they are, and reads to the end.
fn raw(proxy: &Running, bytes: &[u8]) -> String {
    let mut stream = UnixStream::connect(&proxy.socket).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let _ = stream.write_all(bytes);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn the_daemon_gets_one_request_written_anew() {
    let daemon = FakeDaemon::ok();
    let proxy = Running::before(&daemon.socket, ALL);
    let answer = raw(
        &proxy,
        b"GET http://other/v1.41/%63ontainers/json?filters=%7b%7D&all HTTP/1.1\r\nHost: evil\r\n\
          Connection: keep-alive, X-Drop\r\nX-Drop: 1\r\nTE: trailers\r\nUpgrade: h2c\r\nX-Registry-Auth: e30=\r\n\r\n",
    );
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\nOK"), "{answer}");
    assert!(answer.contains("api-version: 1.41") && !answer.to_lowercase().contains("x-hop"), "{answer}");
    let came = daemon.came();
    assert_eq!(
        came,
        [
            "GET /v1.41/containers/json?filters=%7B%7D&all= HTTP/1.1\r\nx-registry-auth: e30=\r\nhost: docker\r\n\r\n"
        ]
    );
}

#[test]
fn nothing_is_smuggled_in_behind_a_request() {
    let create = "POST /containers/create HTTP/1.1\r\nHost: d\r\nContent-Length: 2\r\n\r\n{}";
    let host = "Host: d\r\n";
    for (bytes, status) in [
        // A second request on the same connection is never read.
        (format!("GET /_ping HTTP/1.1\r\n{host}\r\n{create}"), 200),
        (format!("GET /_ping HTTP/1.1\r\n{host}Content-Length: 0\r\n\r\n{create}"), 200),
        (format!("GET /_ping HTTP/1.1\r\n{host}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n{create}"), 200),
        // Where a request ends must not be in doubt.
        (
            format!(
                "GET /_ping HTTP/1.1\r\n{host}Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{create}"
            ),
            400,
        ),
        (
            format!(
                "GET /_ping HTTP/1.1\r\n{host}Transfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n0\r\n\r\n{create}"
            ),
            400,
        ),
        (
            format!("GET /_ping HTTP/1.1\r\n{host}Content-Length: 0\r\nContent-Length: 70\r\n\r\n{create}"),
            400,
        ),
        (format!("GET /_ping HTTP/1.1\r\n{host}Transfer-Encoding: xchunked\r\n\r\n{create}"), 400),
        (format!("GET /_ping HTTP/1.1\r\n{host}Transfer-Encoding : chunked\r\n\r\n{create}"), 400),
        (format!("GET /_ping HTTP/1.1\r\n{host}X: 1\r\n Transfer-Encoding: chunked\r\n\r\n{create}"), 400),
        (format!("GET /_ping HTTP/1.1\r\n{host}X: 1\nTransfer-Encoding: chunked\r\n\r\n{create}"), 400),
        (format!("GET /_ping HTTP/1.1\r\n{host}{host}\r\n"), 400),
        ("GET /_ping HTTP/1.1\r\n\r\n".to_owned(), 400),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(), 400),
        ("GET /_ping\r\n\r\n".to_owned(), 400),
        // Paths that two readers could read in two ways.
        (format!("GET /v1.41/../containers/create HTTP/1.1\r\n{host}\r\n"), 403),
        (format!("GET //_ping HTTP/1.1\r\n{host}\r\n"), 403),
        (format!("GET /containers%2Fjson HTTP/1.1\r\n{host}\r\n"), 403),
        (format!("OPTIONS * HTTP/1.1\r\n{host}\r\n"), 403),
        (format!("CONNECT d:80 HTTP/1.1\r\n{host}\r\n"), 403),
        (format!("PATCH /containers/json HTTP/1.1\r\n{host}\r\n"), 403),
    ] {
        let daemon = FakeDaemon::ok();
        let proxy = Running::before(&daemon.socket, "doors:\n  docker-proxy:\n    allow: [read]\n");
        let answer = raw(&proxy, bytes.as_bytes());
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{bytes:?}: {answer}");
        let came = daemon.came();
        if status == 200 {
            assert_eq!(came.len(), 1, "{bytes:?}: {came:?}");
            assert_eq!(came[0].matches("HTTP/1.1").count(), 1, "{bytes:?}: {came:?}");
            assert!(!came[0].contains("create"), "{bytes:?}: {came:?}");
        } else {
            assert!(came.is_empty(), "{bytes:?}: {came:?}");
            assert!(answer.contains(r#"{"message":"stockade: "#), "{bytes:?}: {answer}");
        }
    }
}

#[test]
fn a_body_that_comes_in_chunks_is_sent_with_its_length() {
    let daemon = FakeDaemon::ok();
    let proxy = Running::before(&daemon.socket, ALL);
    let answer = raw(
        &proxy,
        b"POST /auth HTTP/1.1\r\nHost: d\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n\
          3;x=y\r\n{\"a\r\n4\r\n\":1}\r\n0\r\nX-Trailer: 1\r\n\r\n",
    );
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let came = daemon.came().concat();
    assert!(came.ends_with("\r\n\r\n{\"a\":1}") && came.contains("content-length: 7\r\n"), "{came}");
    assert!(!came.to_lowercase().contains("trailer") && !came.contains("transfer-encoding"), "{came}");
}

#[test]
fn a_stream_is_sent_on_while_it_comes() {
    let daemon = FakeDaemon::ok();
    let proxy = Running::before(&daemon.socket, ALL);
    let mut stream = UnixStream::connect(&proxy.socket).unwrap();
    stream
        .write_all(
            b"POST /images/load HTTP/1.1\r\nHost: d\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n",
        )
        .unwrap();
    let until = Instant::now() + Duration::from_secs(20);
    while !daemon.came().concat().contains("first") {
        assert!(Instant::now() < until, "the first part is not waited for: {:?}", daemon.came());
        std::thread::sleep(Duration::from_millis(10));
    }
    stream.write_all(b"4\r\nlast\r\n0\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[test]
fn a_body_that_is_too_long_or_stops_is_refused() {
    let daemon = FakeDaemon::ok();
    let proxy = Running::before(&daemon.socket, ALL);
    let length = 5 << 20;
    let mut bytes = format!("POST /containers/create HTTP/1.1\r\nHost: d\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n").into_bytes();
    bytes.resize(bytes.len() + length, b' ');
    let answer = raw(&proxy, &bytes);
    assert!(answer.starts_with("HTTP/1.1 413") && answer.contains("larger than 4194304 bytes"), "{answer}");

    let mut stream = UnixStream::connect(&proxy.socket).unwrap();
    stream.write_all(b"POST /containers/create HTTP/1.1\r\nHost: d\r\nContent-Length: 9\r\n\r\n{").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(!answer.starts_with("HTTP/1.1 2"), "{answer}");
    assert!(daemon.came().iter().all(|came| !came.contains("create")), "{:?}", daemon.came());
}

#[test]
fn a_connection_that_becomes_a_stream_is_one_in_both_ways_and_by_halves() {
    let daemon = FakeDaemon::answering(
        "HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.raw-stream\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\nhello",
    );
    // Attaching asks what is attached to; that is tested before a real daemon.
    let proxy = Running::before(
        &daemon.socket,
        "doors:\n  docker-proxy: {allow: [build-stream]}\n  docker: {build-stream: allow}\n",
    );
    let mut stream = UnixStream::connect(&proxy.socket).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
        .write_all(b"POST /session HTTP/1.1\r\nHost: d\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\nearly")
        .unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"hello") {
        let mut byte = [0];
        assert_eq!(stream.read(&mut byte).unwrap(), 1, "{}", String::from_utf8_lossy(&head));
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    assert!(head.starts_with("HTTP/1.1 101 ") && head.contains("upgrade: tcp"), "{head}");
    assert!(head.contains("application/vnd.docker.raw-stream"), "{head}");
    stream.write_all(b" and late").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut rest = String::new();
    stream.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "", "the daemon ended when its input did");
    assert!(daemon.came().concat().ends_with("\r\n\r\nearly and late"), "{:?}", daemon.came());
}

#[test]
fn an_upgrade_of_what_is_no_stream_is_not_asked_for() {
    let daemon = FakeDaemon::ok();
    let proxy = Running::before(&daemon.socket, ALL);
    let answer = raw(&proxy, b"GET /info HTTP/1.1\r\nHost: d\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(!daemon.came().concat().to_lowercase().contains("upgrade"), "{:?}", daemon.came());
}

#[test]
fn a_client_that_half_closed_is_answered() {
    let daemon = FakeDaemon::ok();
    let proxy = Running::before(&daemon.socket, ALL);
    let mut stream = UnixStream::connect(&proxy.socket).unwrap();
    stream.write_all(b"GET /info HTTP/1.1\r\nHost: d\r\n\r\n").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[test]
fn a_daemon_that_is_not_there_is_said_and_what_cannot_be_decided_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let proxy = Running::before(&folder.path().join("nobody.sock"), ALL);
    let answer = raw(&proxy, b"GET /info HTTP/1.1\r\nHost: d\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 502") && answer.contains("does not answer"), "{answer}");
    let answer = raw(
        &proxy,
        b"POST /containers/create HTTP/1.1\r\nHost: d\r\nContent-Type: application/json\r\nContent-Length: 13\r\n\r\n{\"Image\":\"x\"}",
    );
    assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
}

#[test]
fn one_caller_has_so_many_connections_and_is_told() {
    let daemon = FakeDaemon::ok();
    let proxy = Running::with(&daemon.socket, ALL, |settings| settings.connections_of_one = 2);
    let idle: Vec<UnixStream> = (0..2).map(|_| UnixStream::connect(&proxy.socket).unwrap()).collect();
    std::thread::sleep(Duration::from_millis(200));
    let answer = raw(&proxy, b"GET /info HTTP/1.1\r\nHost: d\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("too many connections"), "{answer}");
    drop(idle);
    let until = Instant::now() + Duration::from_secs(20);
    while !raw(&proxy, b"GET /info HTTP/1.1\r\nHost: d\r\n\r\n").starts_with("HTTP/1.1 200") {
        assert!(Instant::now() < until, "places are given back");
        std::thread::sleep(Duration::from_millis(50));
    }
}

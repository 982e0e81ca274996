//! Servers on loopback for the tests of the outputs: they answer as they are told and keep what they were sent.

use std::collections::{BTreeMap, VecDeque};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < until, "{what}: never");
        thread::sleep(Duration::from_millis(5));
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) line: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
}

impl Request {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

/// An HTTP server: it gives the answers in turn, and then 200 for ever. The thread ends with the test's process.
pub(crate) struct Server {
    pub(crate) port: u16,
    requests: Arc<Mutex<Vec<Request>>>,
    answers: Arc<Mutex<VecDeque<String>>>,
}

impl Server {
    pub(crate) fn start() -> Server {
        Server::with(|stream| Box::new(stream))
    }

    pub(crate) fn with(wrap: impl Fn(TcpStream) -> Box<dyn Stream> + Send + 'static) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (requests, answers) =
            (Arc::<Mutex<Vec<Request>>>::default(), Arc::<Mutex<VecDeque<String>>>::default());
        let (keep, give) = (requests.clone(), answers.clone());
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = BufReader::new(wrap(stream.unwrap()));
                while let Some(request) = read(&mut stream) {
                    keep.lock().unwrap().push(request);
                    let answer = give.lock().unwrap().pop_front().unwrap_or_else(|| answer(200, "", ""));
                    if answer.is_empty() || stream.get_mut().write_all(answer.as_bytes()).is_err() {
                        break;
                    }
                    let _ = stream.get_mut().flush();
                }
            }
        });
        Server { port, requests, answers }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The next answer. An empty text closes the connection instead.
    pub(crate) fn then(&self, answer: impl Into<String>) {
        self.answers.lock().unwrap().push_back(answer.into());
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    pub(crate) fn wait_for(&self, count: usize) -> Vec<Request> {
        eventually("the requests come", || self.requests.lock().unwrap().len() >= count);
        self.requests()
    }
}

pub(crate) trait Stream: Read + Write + Send {}
impl<T: Read + Write + Send> Stream for T {}

pub(crate) fn answer(status: u16, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status} Whatever\r\nContent-Length: {}\r\n{headers}\r\n{body}", body.len())
}

fn read(stream: &mut BufReader<Box<dyn Stream>>) -> Option<Request> {
    let mut line = String::new();
    if stream.read_line(&mut line).ok()? == 0 {
        return None;
    }
    let mut headers = BTreeMap::new();
    loop {
        let mut header = String::new();
        stream.read_line(&mut header).ok()?;
        let Some((name, value)) = header.trim_end().split_once(':') else { break };
        headers.insert(name.to_lowercase(), value.trim().to_owned());
    }
    let mut body = vec![0; headers.get("content-length").map_or(0, |l| l.parse().unwrap())];
    stream.read_exact(&mut body).ok()?;
    Some(Request { line: line.trim_end().to_owned(), headers, body: String::from_utf8(body).unwrap() })
}

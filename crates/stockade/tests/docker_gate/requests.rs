//! The table of requests (`requests.yaml`), each sent to a real daemon that asks the gate.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use crate::harness::{Daemon, IMAGE, both};
use crate::http::{Answer, Connection};

const TABLE: &str = include_str!("requests.yaml");
/// The page that shows the table; the test writes it anew with STOCKADE_OVERWRITE=1.
const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/gate-docker-requests.md");
/// The client of the daemon's own version, and a newer one where there is one.
const CLIENTS: [&str; 2] = ["/usr/bin/docker", "/usr/local/bin/docker"];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    prepare: Vec<String>,
    rows: Vec<Row>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    says: String,
    run: Option<String>,
    send: Option<String>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    body: String,
    #[serde(default)]
    framing: Framing,
    protocol: Option<String>,
    #[serde(default)]
    padding: usize,
    then: Option<Sent>,
    expect: Expect,
    #[serde(default)]
    words: Vec<String>,
}

/// The second request of a connection.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sent {
    send: String,
    body: String,
}

#[derive(Clone, Copy, Default, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Framing {
    #[default]
    Length,
    Chunked,
    None,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
enum Expect {
    #[serde(rename = "denied")]
    Denied,
    /// A path for which the daemon has no handler, so that it asks nobody and answers with an error or a redirect.
    #[serde(rename = "nobody asked")]
    NobodyAsked,
    #[serde(rename = "let in")]
    LetIn,
    /// Let in, and refused by the daemon.
    #[serde(rename = "daemon")]
    Daemon,
}

impl Expect {
    fn shown(self) -> &'static str {
        match self {
            Expect::Denied => "denied",
            Expect::NobodyAsked => "denied, or refused by the daemon before it asks",
            Expect::LetIn => "let in",
            Expect::Daemon => "let in; the daemon itself refuses",
        }
    }
}

/// What came of a request.
#[derive(Debug)]
struct Seen {
    denied: bool,
    succeeded: bool,
    text: String,
}

fn table() -> Table {
    yaml_serde::from_str(TABLE).expect("the table reads")
}

/// The bytes of a request.
fn bytes(row: &Row, target: &str, body: &str, framing: Framing) -> Vec<u8> {
    let body = body.replace("$IMAGE", IMAGE);
    let body = match body.split_at_checked(1) {
        Some((first, rest)) if row.padding > 0 => format!("{first}{}{rest}", " ".repeat(row.padding)),
        _ => body,
    };
    let protocol = row.protocol.as_deref().unwrap_or("HTTP/1.1");
    let mut head = format!("{target} {protocol}\r\nHost: docker\r\n");
    let default = ("Content-Type".to_owned(), "application/json".to_owned());
    let typed = row.headers.contains_key("Content-Type") || framing == Framing::None;
    let headers = row.headers.clone().into_iter().chain((!typed).then_some(default));
    for (name, value) in headers.filter(|(_, value)| !value.is_empty()) {
        let _ = write!(head, "{name}: {value}\r\n");
    }
    let (field, body) = match framing {
        Framing::Length => (format!("Content-Length: {}\r\n", body.len()), body),
        Framing::Chunked => {
            ("Transfer-Encoding: chunked\r\n".to_owned(), format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len()))
        }
        Framing::None => (String::new(), String::new()),
    };
    format!("{head}{field}\r\n{body}").into_bytes()
}

/// Sends a row's requests in one go; the last answer counts.
fn send(daemon: &Daemon, row: &Row, target: &str) -> Answer {
    let mut connection =
        Connection::open(&daemon.socket(), Duration::from_secs(60)).expect("the daemon listens");
    let mut all = bytes(row, target, &row.body, row.framing);
    if let Some(then) = &row.then {
        all.extend(bytes(row, &then.send, &then.body, Framing::Length));
    }
    // A daemon that has answered may close before it has read all.
    let _ = connection.send(&all);
    let first = connection.answer().expect("an answer");
    if row.then.is_some() { connection.answer().expect("a second answer") } else { first }
}

fn seen(daemon: &Daemon, row: &Row, client: &str, name: &str) -> Seen {
    let by_gate = format!("authorization denied by plugin {}: ", daemon.plugin);
    if let Some(line) = &row.run {
        let output = daemon.run(client, &format!("N={name} IMAGE={IMAGE}\n{line}"));
        let text = both(&output);
        return Seen { denied: text.contains(&by_gate), succeeded: output.status.success(), text };
    }
    let target = row.send.as_ref().expect("`run` or `send`");
    let answer = send(daemon, row, target);
    let text = answer.text();
    Seen { denied: answer.status == 403 && text.contains(&by_gate), succeeded: answer.status < 300, text }
}

/// All that requests make: containers with their state, volumes, networks, images, plugins.
fn state(daemon: &Daemon) -> Vec<String> {
    let list = |target: &str, pick: fn(&Value) -> String| {
        let answer = daemon.ask("GET", target, None);
        assert_eq!(answer.status, 200, "{target}: {}", answer.text());
        let value: Value = serde_json::from_slice(&answer.body).expect("JSON");
        let list = value.get("Volumes").cloned().unwrap_or(value);
        list.as_array().into_iter().flatten().map(pick).collect::<Vec<_>>()
    };
    let mut all = list("/containers/json?all=1", |c| format!("container {} {}", c["Id"], c["State"]));
    all.extend(list("/volumes", |v| format!("volume {}", v["Name"])));
    all.extend(list("/networks", |n| format!("network {}", n["Id"])));
    all.extend(list("/images/json?all=1", |i| format!("image {} {}", i["Id"], i["RepoTags"])));
    all.extend(list("/plugins", |p| format!("plugin {}", p["Id"])));
    all.sort();
    all
}

fn wrong(row: &Row, seen: &Seen) -> Option<&'static str> {
    match row.expect {
        Expect::Denied if !seen.denied => Some("was not denied"),
        Expect::NobodyAsked if seen.succeeded => Some("was not refused"),
        Expect::LetIn | Expect::Daemon if seen.denied => Some("was denied"),
        Expect::LetIn if !seen.succeeded => Some("did not succeed"),
        Expect::Daemon if seen.succeeded => Some("was not refused by the daemon"),
        _ if !row.words.iter().all(|word| seen.text.contains(word.as_str())) => Some("lacks words"),
        _ => None,
    }
}

#[test]
fn each_request_of_the_table_is_decided_as_it_says() {
    let Some(mut daemon) = Daemon::start() else { return };
    let table = table();
    fs::write(daemon.path("compose.yaml"), include_str!("compose.yaml")).expect("a file");
    for line in &table.prepare {
        daemon.sh(&format!("IMAGE={IMAGE}; {line}"));
    }
    let beside = |name| format!("{}/tests/docker_gate/{name}", env!("CARGO_MANIFEST_DIR"));
    daemon.start_gate(&["--policy", &beside("policy.yaml"), "--waivers", &beside("waivers.yaml")]);
    daemon.heed_gate();
    let only = std::env::var("STOCKADE_ROW").unwrap_or_default();
    let clients: Vec<&str> = CLIENTS.into_iter().filter(|client| Path::new(client).exists()).collect();
    let mut failures = String::new();
    for (number, row) in table.rows.iter().enumerate().filter(|(_, row)| row.says.contains(&only)) {
        // Who asks by bytes needs no client.
        let clients = if row.run.is_some() { clients.as_slice() } else { &clients[..1] };
        for (client_number, client) in clients.iter().enumerate() {
            let before = state(&daemon);
            let seen = seen(&daemon, row, client, &format!("r{number}c{client_number}"));
            let mut complaints: Vec<String> = wrong(row, &seen).map(str::to_owned).into_iter().collect();
            if matches!(row.expect, Expect::Denied | Expect::NobodyAsked) {
                let after = state(&daemon);
                complaints.extend(after.iter().filter(|s| !before.contains(s)).map(|s| format!("made: {s}")));
            }
            if std::env::var_os("STOCKADE_SHOW").is_some() || !complaints.is_empty() {
                let text: String = seen.text.chars().take(700).collect();
                eprintln!("{} ({client}): {:?}: {complaints:?}\n    {text}", row.says, row.expect);
            }
            if !complaints.is_empty() {
                let _ = writeln!(failures, "{}: {complaints:?}", row.says);
            }
        }
    }
    assert!(failures.is_empty(), "{failures}\nthe gate said: {}", daemon.gate_log());
}

#[test]
fn the_page_shows_the_table() {
    let mut page = String::from(
        "# Requests to a real daemon, and what becomes of them\n\n\
         Each is sent to a dockerd whose authorization plugin is `stockade gate docker`, by the `docker` client or byte by\n\
         byte; after what is denied nothing is there that was not before. The policy denies what is open, and in two rules\n\
         more modules, hardware and the host's network. Written by a test from\n\
         `crates/stockade/tests/docker_gate/requests.yaml`.\n\n\
         | what | request | answer |\n|---|---|---|\n",
    );
    let cell = |text: &str| text.replace('|', "\\|").replace('\n', " ");
    for row in table().rows {
        let request = row.run.as_deref().or(row.send.as_deref()).unwrap_or_default();
        let mut request = cell(&request.replace(" $IMAGE", " IMAGE").replace("$N", "NAME"));
        if row.then.is_some() || (row.send.is_some() && !row.body.is_empty()) {
            let body = row.then.as_ref().map_or(&row.body, |then| &then.body);
            let _ = write!(request, " {}", cell(&body.replace("$IMAGE", "IMAGE")));
        }
        let tick = if request.contains('`') { "``" } else { "`" };
        let _ = writeln!(page, "| {} | {tick}{request}{tick} | {} |", cell(&row.says), row.expect.shown());
    }
    if std::env::var_os("STOCKADE_OVERWRITE").is_some() {
        fs::write(PAGE, &page).expect("the page is written");
    }
    let there = fs::read_to_string(PAGE).unwrap_or_default();
    assert!(
        there == page,
        "docs/gate-docker-requests.md is not what the table says: write it with make docs"
    );
}

#[test]
fn the_table_has_sixty_requests_and_twenty_ordinary_ones() {
    let rows = table().rows;
    let ordinary = rows.iter().filter(|row| matches!(row.expect, Expect::LetIn | Expect::Daemon)).count();
    assert!(ordinary >= 20 && rows.len() - ordinary >= 60, "{ordinary} of {}", rows.len());
    assert!(rows.iter().all(|row| row.run.is_some() != row.send.is_some()));
}

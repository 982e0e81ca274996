//! `stockade gate log` from outside: a log is made as a door makes it, shown and verified.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use gate::log::Log;
use gate::{Door, InForce, Record, Ruling, Who};
use jiff::Timestamp;

const WEAK: &[u8] = b"services:\n  web:\n    image: nginx\n    volumes: [\"/var/run/docker.sock:/s\"]\n";

fn append(log: &Log, door: Door, asked: &str, ruling: &Ruling) {
    let who = Who { uid: Some(1000), ..Who::default() };
    let record = Record {
        schema: gate::record::SCHEMA,
        time: "2026-11-23T07:00:00Z".parse::<Timestamp>().unwrap(),
        door,
        who: &who,
        asked,
        policy: None,
        ruling,
        took: Duration::from_micros(300),
    };
    log.append(&record).unwrap();
}

fn denied() -> Ruling {
    let world = sources::gather::text(WEAK, "compose.yaml".as_ref(), &sources::Context::assumed());
    Ruling::of(&world, &InForce::default(), policy::parse_date("2026-11-23").unwrap())
}

fn written() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("decisions.log");
    let log = Log::open(&path).unwrap();
    append(&log, Door::DockerPlugin, "GET /v1.41/containers/json", &Ruling::allow());
    append(&log, Door::DockerPlugin, "POST /v1.41/containers/create?name=web", &denied());
    append(&log, Door::OciRuntime, "create \u{1b}[31mred", &Ruling::deny("the config cannot be read"));
    (folder, path)
}

fn command(path: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stockade"));
    command.args(["gate", "log"]).arg(path).args(arguments);
    command
}

fn ask(path: &Path, arguments: &[&str]) -> (i32, String, String) {
    let output = command(path, arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[test]
fn decisions_are_shown_with_their_reasons_and_the_path_they_rest_on() {
    let (_folder, path) = written();
    let (code, out, error) = ask(&path, &["--denied", "--door", "docker-plugin"]);
    assert_eq!((code, error.as_str()), (0, ""));
    let expected = "\
2026-11-23T07:00:00Z denied docker-plugin (uid 1000): POST /v1.41/containers/create?name=web
  web: deny, open
    web can become root on the host (rule open, engine-api, compose.yaml:4)
      path: engine-api -> host-root
      because: runs as root; user ids are the host's; /run/docker.sock is mounted at /s: the API of a container engine
      fix: remove the mount of /run/docker.sock
";
    assert_eq!(out, expected);

    let (_, all, _) = ask(&path, &[]);
    let heads: Vec<&str> = all.lines().filter(|line| line.starts_with("2026")).collect();
    assert_eq!(heads.len(), 4);
    assert!(heads[0].ends_with("note: the log begins"));
    assert!(!all.contains('\u{1b}'), "what others wrote does not reach the terminal as it is");
    assert_eq!(ask(&path, &["--since", "2026-11-23T07:00:01Z"]).1, "");
    let (_, json, _) = ask(&path, &["--format", "json"]);
    assert_eq!(json, std::fs::read_to_string(&path).unwrap());
}

#[test]
fn a_chain_is_verified_and_what_is_wrong_has_a_place() {
    let (_folder, path) = written();
    let head = ask(&path, &["--head"]).1;
    let (code, out, _) = ask(&path, &["--verify", "--anchor", head.trim()]);
    assert_eq!((code, out), (0, format!("whole: 4 records, the last is {head}")));
    assert_eq!(ask(&path, &["--verify", "--head"]).1, head);

    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("\"uid\":1000", "\"uid\":1001")).unwrap();
    let (code, out, _) = ask(&path, &["--verify"]);
    let first = format!("{}:2: record 2 was changed: its hash is not that of its bytes", path.display());
    assert_eq!((code, out.lines().next()), (1, Some(first.as_str())));
    let (code, _, error) = ask(&path, &[]);
    assert!(code == 1 && error.contains("the chain is not whole"), "{error}");

    let cut: String = text.split_inclusive('\n').take(3).collect();
    std::fs::write(&path, cut).unwrap();
    let (code, out, _) = ask(&path, &["--verify", "--anchor", head.trim(), "--format", "json"]);
    let json: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &json["whole"], &json["schema"]), (1, &false.into(), &"stockade.chain/1".into()));
    let kinds: Vec<_> = json["wrong"].as_array().unwrap().iter().map(|wrong| wrong["kind"].clone()).collect();
    assert_eq!(kinds, ["cut-off", "no-anchor"]);
    let schema = include_str!("../../../schemas/stockade.chain-1.schema.json");
    let schema: serde_json::Value = serde_json::from_str(schema).unwrap();
    for member in schema["required"].as_array().unwrap() {
        assert!(json.get(member.as_str().unwrap()).is_some(), "{member}");
    }
}

#[test]
fn what_cannot_be_read_or_holds_nothing_is_no_whole_chain() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    assert_eq!(ask(&path, &["--verify"]).0, 2);
    std::fs::write(&path, "").unwrap();
    assert_eq!(ask(&path, &["--verify"]).0, 2);
    assert_eq!(ask(&path, &["--head"]).0, 2);
    assert_eq!(ask(&path, &["--verify", "--anchor", "nonsense"]).0, 2);
}

#[test]
fn a_log_is_followed_into_the_file_that_takes_its_place() {
    let (_folder, path) = written();
    let mut child = command(&path, &["--follow", "--denied"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut until = |wanted: &str| {
        let mut line = String::new();
        while !line.contains(wanted) {
            line.clear();
            assert!(out.read_line(&mut line).unwrap() > 0, "the end before {wanted}");
        }
    };
    until("cannot be read");
    let log = Log::open(&path).unwrap();
    append(&log, Door::Kubernetes, "CREATE pods a", &Ruling::deny("first"));
    until("first");
    std::fs::rename(&path, path.with_extension("log.1")).unwrap();
    append(&log, Door::Kubernetes, "CREATE pods b", &Ruling::deny("second"));
    until("second");
    child.kill().unwrap();
    child.wait().unwrap();
    let (code, out, _) = ask(&path, &["--verify"]);
    assert!(code == 0 && out.starts_with("whole: 7 records"), "{out}");
}

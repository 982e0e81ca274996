use rules::{Event as _, Field, Value};
use sensor::event::{Credentials, FileId, Lane, Task, Text};

use super::*;

const O_WRONLY: u64 = 1;

fn text(text: &str) -> Text {
    Text { text: text.into(), ..Text::default() }
}

fn file(path: &str) -> File {
    File { path: text(path), id: FileId { device: (8, 1), inode: 77 }, mode: 0o100_644, ..File::default() }
}

/// An event of process 100, child of 50, in a container where `container` says so.
fn event(what: What, result: i64, container: bool) -> Event {
    Event {
        time: 10_000_000_000,
        lane: Lane::Bulk,
        cpu: 0,
        actor: Actor {
            task: Task { process: 100, thread: 100, start: 5_000_000_000 },
            parent: Task { process: 50, thread: 50, start: 1_000_000_000 },
            process_inside: 7,
            thread_inside: 7,
            name: "sh".into(),
            credentials: Credentials { euid: 33, egid: 33, effective: 1 << 21, ..Credentials::default() },
            login_uid: u32::MAX,
            container: container.then_some(ContainerKey(9)),
            ..Actor::default()
        },
        count: 1,
        // Only the name of the kind of event says what call it was.
        entry: Entry::IoUring(u8::MAX),
        result,
        what,
    }
}

fn live() -> Live {
    Live::new(Offset::between(0, 1_700_000_000_000_000_000))
}

fn said(view: &View<'_>, field: &str) -> Option<String> {
    Some(match view.field(&Field::parse(field).unwrap())? {
        Value::Text(text) => String::from_utf8_lossy(&text).into_owned(),
        Value::Unsigned(number) => number.to_string(),
        Value::Signed(number) => number.to_string(),
        Value::Bool(flag) => flag.to_string(),
        Value::Address(address) => address.to_string(),
        other => format!("{other:?}"),
    })
}

fn open(path: &str, flags: u64, result: i64) -> What {
    let _ = result;
    What::Open { file: file(path), asked: text("../x"), flags, resolve: 0, created: false }
}

#[test]
fn an_open_for_writing_is_what_rules_take_it_for() {
    let mut live = live();
    let view = live.view(&event(open("/etc/shadow", O_WRONLY | 0x8_0000, 4), 4, false)).unwrap();
    for (field, expected) in [
        ("evt.type", "openat"),
        ("evt.is_open_write", "true"),
        ("evt.is_open_read", "false"),
        ("evt.arg.flags", "O_WRONLY|O_CLOEXEC"),
        ("evt.res", "SUCCESS"),
        ("fd.num", "4"),
        ("fd.name", "/etc/shadow"),
        ("fd.nameraw", "../x"),
        ("fd.directory", "/etc"),
        ("fd.filename", "shadow"),
        ("fd.typechar", "f"),
        ("fd.ino", "77"),
        ("fd.dev.major", "8"),
        ("proc.name", "sh"),
        ("proc.pid", "100"),
        ("proc.vpid", "7"),
        ("user.uid", "33"),
        ("thread.cap_effective", "CAP_SYS_ADMIN"),
        ("container.id", "host"),
        ("evt.rawtime", "1700000010000000000"),
        ("proc.duration", "5000000000"),
    ] {
        assert_eq!(said(&view, field).as_deref(), Some(expected), "{field}");
    }
    assert_eq!(said(&view, "container.privileged"), None);
}

#[test]
fn a_refused_open_names_the_error_and_what_was_asked_for() {
    let mut live = live();
    let mut what = open("", O_WRONLY, -13);
    if let What::Open { file, .. } = &mut what {
        file.path = Text::default();
    }
    let view = live.view(&event(what, -13, false)).unwrap();
    assert_eq!(said(&view, "evt.res").as_deref(), Some("EACCES"));
    assert_eq!(said(&view, "fd.name").as_deref(), Some("../x"));
}

#[test]
fn a_process_is_remembered_with_what_it_executed_and_its_child_is_the_same() {
    let mut live = live();
    let execve = What::Execve {
        file: File { upper_layer: true, ..file("/usr/bin/dash") },
        asked: text("/bin/sh"),
        arguments: vec!["sh".into(), "-c".into(), "id; true".into()],
        environment: vec!["HOME=/root".into()],
        directory: text("/srv"),
        directory_mount_namespace: 0,
        terminal: Some((136, 2)),
        session: 90,
        group: 100,
        before: Credentials::default(),
        entered: false,
    };
    {
        let view = live.view(&event(execve, 0, true)).unwrap();
        for (field, expected) in [
            ("evt.type", "execve"),
            ("proc.cmdline", "sh -c id; true"),
            ("proc.exepath", "/usr/bin/dash"),
            ("proc.cwd", "/srv/"),
            ("proc.env[HOME]", "/root"),
            ("proc.tty", "34818"),
            ("proc.is_exe_upper_layer", "true"),
            ("proc.is_exe_from_memfd", "false"),
            ("evt.arg.filename", "/bin/sh"),
            ("container.id", "key-9"),
        ] {
            assert_eq!(said(&view, field).as_deref(), Some(expected), "{field}");
        }
    }
    let child = Task { process: 101, thread: 101, start: 9_000_000_000 };
    live.view(&event(What::Fork { child, child_inside: 8, flags: 0 }, 101, true));
    let mut by_child = event(open("/tmp/x", 0, 3), 3, true);
    by_child.actor.parent = by_child.actor.task;
    by_child.actor.task = child;
    let view = live.view(&by_child).unwrap();
    assert_eq!(said(&view, "proc.cmdline").as_deref(), Some("sh -c id; true"));
    assert_eq!(said(&view, "proc.pcmdline").as_deref(), Some("sh -c id; true"));
    assert_eq!(said(&view, "proc.ppid").as_deref(), Some("100"));
}

#[test]
fn a_number_that_comes_round_is_another_process() {
    let mut live = live();
    let execve = |path: &str| What::Execve {
        file: file(path),
        asked: text(path),
        arguments: vec![path.into()],
        environment: vec![],
        directory: text("/"),
        directory_mount_namespace: 0,
        terminal: None,
        session: 1,
        group: 1,
        before: Credentials::default(),
        entered: false,
    };
    live.view(&event(execve("/bin/first"), 0, false));
    let mut other = event(open("/tmp/x", 0, 3), 3, false);
    other.actor.task.start = 9_000_000_000;
    let view = live.view(&other).unwrap();
    assert_ne!(said(&view, "proc.exepath").as_deref(), Some("/bin/first"));
}

#[test]
fn a_connection_names_both_ends_and_the_server() {
    let mut live = live();
    let address = Address::Internet { address: "169.254.169.254".parse().unwrap(), port: 80 };
    let connect =
        What::Connect { address, family: 2, kind: 1, peer: None, bound: None, peer_file: FileId::default() };
    let view = live.view(&event(connect, 0, true)).unwrap();
    for (field, expected) in [
        ("evt.type", "connect"),
        ("fd.sip", "169.254.169.254"),
        ("fd.sport", "80"),
        ("fd.l4proto", "tcp"),
        ("fd.typechar", "4"),
        ("fd.name", "0.0.0.0:0->169.254.169.254:80"),
        ("fd.connected", "true"),
    ] {
        assert_eq!(said(&view, field).as_deref(), Some(expected), "{field}");
    }
    assert_eq!(said(&view, "fd.num"), None, "the sensor does not tell it");
}

#[test]
fn a_call_that_captures_only_name_has_its_own_type() {
    let mut live = live();
    let moved = What::MoveMount {
        from: text("/a"),
        to: text("/b"),
        flags: 0,
        file: File::default(),
        onto: File::default(),
    };
    let view = live.view(&event(moved, 0, true)).unwrap();
    assert_eq!(view.event_type().name(), "move_mount");
    assert_eq!(said(&view, "evt.type").as_deref(), Some("move_mount"));
}

#[test]
fn arguments_that_only_the_enter_event_of_a_capture_has_are_answered() {
    let mut live = live();
    let view =
        live.view(&event(What::Unshare { flags: 0x1000_0000, after: Default::default() }, 0, true)).unwrap();
    assert_eq!(said(&view, "evt.arg.flags").as_deref(), Some("CLONE_NEWUSER"));
    let target = Task { process: 5, thread: 5, start: 1 };
    let view =
        live.view(&event(What::Ptrace { request: 16, target, target_container: None }, 0, true)).unwrap();
    assert_eq!(said(&view, "evt.arg.request").as_deref(), Some("PTRACE_ATTACH"));
}

#[test]
fn an_event_from_before_is_taken_over_and_not_asked_about() {
    let mut live = live();
    let mut before = event(open("/x", 0, 1), 1, false);
    before.entry = Entry::Before;
    assert!(live.view(&before).is_none());
    assert!(live.state().thread(100).is_some());
}

#[test]
fn every_kind_of_flags_has_the_number_of_the_capture() {
    assert_eq!(values::open_flags(0o2 | 0o100 | 0o1000, true, true), 3 | 4 | 256 | 16384 | 32768);
    assert_eq!(values::open_flags(0o10_000, false, false), 1 | 16, "O_DSYNC alone");
    assert_eq!(values::open_flags(0o4_010_000, false, false), 1 | 16 | 128, "O_SYNC has the bits of O_DSYNC");
    assert_eq!(values::clone_flags(0x2000_0000 | 0x2_0000), 64 | 32);
}

/// Around an alert, live events are kept as a capture that others read.
#[test]
fn live_events_are_written_as_a_capture_that_sysdig_reads() {
    let mut live = live();
    live.view(&event(open("/etc/hosts", 0, 3), 3, false));
    let mut writer = capture::Writer::new(Vec::new(), true).unwrap();
    live.state().write_lists(&mut writer).unwrap();
    let address = Address::Internet { address: "10.0.0.9".parse().unwrap(), port: 443 };
    let connect =
        What::Connect { address, family: 2, kind: 1, peer: None, bound: None, peer_file: FileId::default() };
    for what in [
        (open("/etc/shadow", O_WRONLY, 4), 4),
        (What::Close { descriptor: 4 }, 0),
        (connect, 0),
        (What::Unlink { path: text("/tmp/x"), directory: false, file: File::default() }, 0),
        (What::Setuid { call: "setuid".into(), ids: [0; 3] }, -1),
    ] {
        let mut told = event(what.0, what.1, false);
        if let What::Setuid { .. } = told.what {
            told.entry = Entry::SystemCall(sensor::call_number("setuid", false).unwrap());
        }
        live.view(&told).unwrap().write(&mut writer).unwrap();
    }
    let file = std::env::temp_dir().join(format!("stockade-live-{}.scap", std::process::id()));
    std::fs::write(&file, writer.finish().unwrap()).unwrap();
    let mut replay = crate::replay::Replay::open(&file).unwrap();
    let mut ours = Vec::new();
    replay.for_each(|view| {
        let field = |name| said(view, name).unwrap_or_else(|| "<NA>".into());
        let line =
            ["evt.dir", "evt.type", "evt.res", "fd.name", "proc.name", "user.uid", "proc.ppid"].map(field);
        ours.push(line.join(" "));
        true
    });
    assert!(replay.faults().is_empty());
    assert_eq!(ours[1], "< openat SUCCESS /etc/shadow sh 33 50");
    let output = std::process::Command::new("sysdig")
        .args(["-r".as_ref(), file.as_os_str()])
        .args(["-p", "*%evt.dir %evt.type %evt.res %fd.name %proc.name %user.uid %proc.ppid"])
        .output();
    std::fs::remove_file(&file).unwrap();
    let Ok(output) = output else {
        eprintln!("skipped: sysdig is not installed");
        return;
    };
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let theirs: Vec<&str> = printed.lines().collect();
    // A close of what was opened before, and a connection of a socket that was made before, are named by a sensor's
    // events alone in ours.
    let names =
        |lines: &[String]| lines.iter().map(|l| l.split(' ').take(3).collect::<Vec<_>>().join(" ")).collect();
    let (ours, theirs): (Vec<String>, Vec<String>) =
        (names(&ours), names(&theirs.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>()));
    assert_eq!(ours, theirs);
}

//! The fields of every event of the real captures, compared with what sysdig 0.29 prints for them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rules::Value;
use watch::fields::View;
use watch::replay::Replay;

fn captures() -> Vec<PathBuf> {
    let corpora = std::env::var("STOCKADE_CORPORA")
        .unwrap_or_else(|_| concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/corpora").into());
    let folder = Path::new(&corpora).join("captures");
    let Ok(entries) = std::fs::read_dir(&folder) else {
        eprintln!("skipped: there is no {}", folder.display());
        return Vec::new();
    };
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    files.sort();
    files
}

/// What sysdig prints for a format, a line an event; `None` where it is not installed.
fn sysdig(file: &Path, format: &str) -> Option<Vec<String>> {
    // Values may have lines of their own.
    let output = Command::new("sysdig")
        .args(["-r".as_ref(), file.as_os_str(), "-p".as_ref(), format!("{format}\u{1e}").as_ref()])
        .env("TZ", "UTC")
        .stderr(Stdio::null())
        .output();
    let Ok(output) = output else {
        eprintln!("skipped: sysdig is not installed");
        return None;
    };
    assert!(output.status.success(), "sysdig cannot read {}", file.display());
    Some(String::from_utf8_lossy(&output.stdout).split_terminator("\u{1e}\n").map(str::to_owned).collect())
}

/// As sysdig writes a value.
fn written(value: Option<Value<'_>>) -> String {
    match value {
        None => "<NA>".into(),
        Some(Value::Text(text)) => String::from_utf8_lossy(&text).into_owned(),
        Some(Value::Unsigned(number)) => number.to_string(),
        Some(Value::Signed(number)) => number.to_string(),
        Some(Value::Float(number)) => format!("{number:.2}"),
        Some(Value::Bool(flag)) => flag.to_string(),
        Some(Value::Address(address)) => address.to_string(),
        Some(Value::Network(network)) => network.address.to_string(),
        Some(Value::List(values)) => {
            values.into_iter().map(|value| written(Some(value))).collect::<Vec<_>>().join(",")
        }
    }
}

#[test]
fn types_are_counted_as_sysdig_counts_them() {
    for file in captures() {
        let Some(lines) = sysdig(&file, "%evt.type") else { return };
        let mut expected: BTreeMap<String, u64> = BTreeMap::new();
        for line in lines {
            *expected.entry(line.replace("<unknown>", "unknown")).or_default() += 1;
        }
        let mut replay = Replay::open(&file).unwrap();
        replay.for_each(|_| true);
        let found: BTreeMap<String, u64> =
            replay.counts().by_type().into_iter().map(|(name, count)| (name.to_owned(), count)).collect();
        assert_eq!(found, expected, "{}", file.display());
        assert!(replay.faults().is_empty() && replay.dropped() == Default::default());
    }
}

/// What is compared.
const FIELDS: &[&str] = &[
    "evt.num",
    "evt.rawtime",
    "evt.reltime",
    "evt.time",
    "evt.datetime",
    "evt.cpu",
    "evt.dir",
    "evt.type",
    "evt.category",
    "evt.args",
    "evt.arg[0]",
    "evt.arg.name",
    "evt.arg.res",
    "evt.res",
    "evt.rawres",
    "evt.buflen",
    "evt.latency",
    "evt.is_io",
    "evt.is_io_read",
    "evt.is_io_write",
    "evt.io_dir",
    "evt.is_wait",
    "evt.is_syslog",
    "evt.is_open_read",
    "evt.is_open_write",
    "evt.is_open_exec",
    "fd.num",
    "fd.type",
    "fd.typechar",
    "fd.name",
    "fd.directory",
    "fd.filename",
    "fd.sip",
    "fd.cip",
    "fd.lip",
    "fd.rip",
    "fd.sport",
    "fd.cport",
    "fd.l4proto",
    "fd.sockfamily",
    "fd.connected",
    "fd.name_changed",
    "fd.is_server",
    "fd.uid",
    "fd.containername",
    "proc.name",
    "proc.exe",
    "proc.exepath",
    "proc.args",
    "proc.cmdline",
    "proc.exeline",
    "proc.cwd",
    "proc.env",
    "proc.pid",
    "proc.ppid",
    "proc.vpid",
    "proc.sid",
    "proc.vpgid",
    "proc.pname",
    "proc.pcmdline",
    "proc.aname[2]",
    "proc.aname[3]",
    "proc.apid[2]",
    "proc.sname",
    "proc.tty",
    "proc.duration",
    "proc.nthreads",
    "proc.fdopencount",
    "proc.fdlimit",
    "proc.loginshellid",
    "thread.tid",
    "thread.vtid",
    "thread.ismain",
    "thread.cgroups",
    "user.uid",
    "user.name",
    "user.homedir",
    "user.shell",
    "user.loginuid",
    "group.gid",
    "group.name",
    "container.id",
    "container.name",
    "container.image",
    "container.image.repository",
    "container.image.tag",
    "container.privileged",
    "container.mounts",
];

/// What sysdig writes where nothing is known; ours is absent there.
const STAND_INS: &[&str] = &["", "-1", "0", "1", "2", "4294967295", "true", "o", "/", ":", "<NA> "];

/// Where the two differ for a reason.
fn excused(view: &View<'_>, field: &str, expected: &str, found: &str) -> bool {
    let event = view.event();
    let known = view.thread().is_some_and(|thread| !thread.placeholder);
    match field {
        // A later sensor says that mmap uses a descriptor.
        _ if event.name() == "mmap" && field.starts_with("fd.") => true,
        // Arguments of the enter event are answered on the exit event, as later sensors put them there.
        _ if field.starts_with("evt.arg.") && expected == "<NA>" => !event.kind.enter,
        _ if found == "<NA>" && STAND_INS.contains(&expected) => true,
        // Calls that captures only name have the category of their kernel table in sysdig.
        "evt.category" => event.code <= 1 || expected == "unknown",
        "evt.type" | "evt.arg[0]" if expected == "<unknown>" => found == "unknown",
        // A call that begins has lasted no time; sysdig repeats that of the call before.
        "evt.latency" => event.kind.enter,
        // sysdig cuts long buffers at 80 bytes.
        // Both without the kind of transport, see `fd.l4proto`.
        "evt.args" | "evt.arg[0]" => {
            expected.contains("...")
                || expected.trim_end() == found
                || expected.trim_end() == found.replace("<6t>", "<6>")
        }
        // Before a socket is made, its domain tells more than sysdig's guess.
        "fd.typechar" => event.kind.name == "socket" && event.kind.enter,
        // The directory of an exec comes from the event; sysdig then asks the process list, which lacks it.
        "proc.cwd" => expected.is_empty() && found.starts_with('/'),
        // A name is sought by a session of which nothing is known.
        "proc.sname" => found == "<NA>" && view.thread().is_none_or(|thread| thread.session <= 0),
        // The kind of a socket carries SOCK_CLOEXEC, by which sysdig does not know it.
        "fd.l4proto" => expected == "<NA>" && found == "tcp",
        // sysdig writes 0 for a port that is not there, and takes a descriptor that was not seen for a container.
        "fd.cport" | "fd.sport" => expected == "0",
        "fd.cip" | "fd.sip" | "fd.lip" | "fd.rip" => expected == "<NA>",
        // Events of no process are given the container's first.
        _ if event.kind.name == "container" => !field.starts_with("container."),
        _ => !known && expected == "<NA>" && found.is_empty(),
    }
}

#[test]
fn fields_of_every_event_say_what_sysdig_says() {
    let mut differ = Vec::new();
    for file in captures() {
        let mut compared = 0;
        for field in FIELDS {
            let Some(lines) = sysdig(&file, &format!("*%{field}")) else { return };
            let mut lines = lines.into_iter();
            let mut replay = Replay::open(&file).unwrap();
            replay.for_each(|view| {
                let expected = lines.next().expect("sysdig prints a line an event");
                let found = written(view.named(field));
                if found != expected && !excused(view, field, &expected, &found) {
                    let event = view.event();
                    let which = format!(
                        "{} {} {}",
                        view.ordinal(),
                        if event.kind.enter { '>' } else { '<' },
                        event.name()
                    );
                    differ.push(format!(
                        "{} {which}: {field}: sysdig {expected:?}, ours {found:?}",
                        file.display()
                    ));
                }
                compared += u64::from(found == expected);
                true
            });
            assert_eq!(lines.next(), None);
        }
        println!("{}: {compared} values are the same", file.display());
    }
    assert!(differ.is_empty(), "{}", differ.join("\n"));
}

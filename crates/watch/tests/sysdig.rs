//! The fields of every event of the real captures, compared with what sysdig 0.29 prints for them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use capture::event::Tuple;
use capture::list::{Account, Descriptor, DescriptorKind, Group, Interface, Machine, Process, User};
use capture::table::{EventType, event_type_of, newest};
use capture::writer::{NewEvent, Writer};
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
        // sysdig fills it up with zeros.
        "evt.reltime" => expected.trim_start_matches('0') == found.trim_start_matches('0'),
        // sysdig cuts long buffers at 80 bytes, and knows the transport of a socket later than we do, see `fd.l4proto`.
        // Later sensors have more parameters, and one of execve got another name.
        "evt.args" | "evt.arg[0]" => {
            let plain =
                |text: &str| text.replace("<6t>", "<6>").replace("<4t>", "<4>").replace("<4u>", "<4>");
            let (expected, found) =
                (plain(expected), plain(found).replace("vpgid=", "pgid=").replace("(www) ", " "));
            expected.contains("...") || found.trim_end().starts_with(expected.trim_end())
        }
        // The name that a failed call asked for; sysdig takes the directory that it was relative to.
        _ if field.starts_with("fd.")
            && event.name() == "openat"
            && event.result().is_some_and(|r| r < 0) =>
        {
            true
        }
        // sysdig takes the address `::` for one of the machine's, and `0.0.0.0` not.
        "fd.is_server" if expected == "true" => {
            let socket = view.descriptor().and_then(|found| found.socket.as_deref());
            socket.is_some_and(|socket| socket.destination.0.is_unspecified())
        }
        // Before a socket is made, its domain tells more than sysdig's guess.
        "fd.typechar" => event.kind.name == "socket" && event.kind.enter,
        // The directory of an exec comes from the event; sysdig then asks the process list, which lacks it.
        "proc.cwd" => expected.is_empty() && found.starts_with('/'),
        // A name is sought by a session of which nothing is known.
        "proc.sname" => found == "<NA>" && view.thread().is_none_or(|thread| thread.session <= 0),
        // The kind of a socket carries SOCK_CLOEXEC, by which sysdig does not know it.
        "fd.l4proto" => expected == "<NA>" && matches!(found, "tcp" | "udp"),
        // sysdig writes 0 for a port that is not there, and takes a descriptor that was not seen for a container.
        "fd.cport" | "fd.sport" => expected == "0",
        "fd.cip" | "fd.sip" | "fd.lip" | "fd.rip" => expected == "<NA>",
        // Events of no process are given the container's first.
        _ if event.kind.name == "container" => !field.starts_with("container."),
        _ => !known && expected == "<NA>" && found.is_empty(),
    }
}

/// Compares every field of every event of a capture with what sysdig prints; says where they differ without an excuse.
/// `None` where sysdig is not installed.
fn compare(file: &Path) -> Option<Vec<String>> {
    let format: Vec<String> = FIELDS.iter().map(|field| format!("%{field}")).collect();
    let lines = sysdig(file, &format!("*{}", format.join("\u{1f}")))?;
    let mut lines = lines.into_iter();
    let mut differ = Vec::new();
    let mut same = 0;
    let mut replay = Replay::open(file).unwrap();
    replay.for_each(|view| {
        let line = lines.next().expect("sysdig prints a line an event");
        let expected: Vec<&str> = line.split('\u{1f}').collect();
        assert_eq!(expected.len(), FIELDS.len(), "{line:?}");
        for (field, expected) in FIELDS.iter().zip(expected) {
            let found = written(view.named(field));
            same += u64::from(found == expected);
            if found != expected && !excused(view, field, expected, &found) {
                let which = if view.event().kind.enter { '>' } else { '<' };
                let which = format!("{} {which} {}", view.ordinal(), view.event().name());
                differ.push(format!("{which}: {field}: sysdig {expected:?}, ours {found:?}"));
            }
        }
        true
    });
    assert_eq!(lines.next(), None);
    assert!(replay.faults().is_empty());
    println!("{}: {same} values are the same", file.display());
    Some(differ)
}

#[test]
fn fields_of_every_event_say_what_sysdig_says() {
    for file in captures() {
        let Some(differ) = compare(&file) else { return };
        assert!(differ.is_empty(), "{}:\n{}", file.display(), differ.join("\n"));
    }
}

/// A capture that is made by the writer, with what the real ones lack.
struct Scene {
    writer: Writer<Vec<u8>>,
    time: u64,
}

/// Bytes of a parameter.
#[derive(Clone, Copy)]
enum P<'a> {
    /// A number of the size that the table says.
    N(i64),
    T(&'a str),
    B(&'a [u8]),
}

impl Scene {
    fn new() -> Self {
        let mut writer = Writer::new(Vec::new(), true).unwrap();
        let machine =
            Machine { processors: 4, memory_bytes: 1 << 33, highest_pid: 4_194_304, host_name: b"host" };
        writer.machine(&machine).unwrap();
        let address = "10.0.0.1".parse().unwrap();
        let (netmask, broadcast) = ("255.0.0.0".parse().unwrap(), "10.255.255.255".parse().unwrap());
        writer.interfaces([Interface { name: b"eth0", address, netmask, broadcast, link_speed: 0 }]).unwrap();
        let root = User { uid: 0, gid: 0, name: b"root", home: b"/root", shell: b"/bin/bash" };
        let web = User { uid: 33, gid: 33, name: b"www", home: b"/var/www", shell: b"/bin/false" };
        let groups = [(0, &b"root"[..]), (33, b"www")].map(|(gid, name)| Account::Group(Group { gid, name }));
        writer.accounts([Account::User(root), Account::User(web)].into_iter().chain(groups)).unwrap();
        let process = |thread: i64, parent: i64, name: &'static [u8]| Process {
            thread,
            process: thread,
            parent,
            session: Some(100),
            group_inside: Some(thread),
            name,
            executable: name,
            executable_path: Some(b"/usr/bin/prog"),
            arguments: b"-x\0two words\0",
            directory: b"/home/me/",
            descriptor_limit: 1024,
            environment: b"HOME=/root\0PATH=/bin\0",
            thread_inside: Some(thread),
            process_inside: Some(thread),
            cgroups: b"cpu=/user.slice\0memory=/user.slice\0",
            root: b"/",
            login_uid: Some(33),
            executable_writable: Some(false),
            capabilities: Some(Default::default()),
            ..Process::default()
        };
        let all = [process(1, 0, b"init"), process(100, 1, b"bash"), process(200, 100, b"server")];
        writer.processes(all).unwrap();
        let open = |number, path: &'static [u8]| Descriptor {
            number,
            inode: 5,
            what: DescriptorKind::OpenFile { path, flags: 1, device: 0x803 },
        };
        let ip = |text: &str| text.parse().unwrap();
        let served = DescriptorKind::Listening { address: (ip("0.0.0.0"), 80), transport: 2 };
        let accepted = DescriptorKind::Internet {
            source: (ip("10.0.0.1"), 80),
            destination: (ip("10.0.0.9"), 4000),
            transport: 2,
        };
        let log = DescriptorKind::Unix { source: 1, destination: 2, path: b"/dev/log" };
        let sockets = [(6, served), (7, accepted), (8, log)];
        let sockets = sockets.map(|(number, what)| Descriptor { number, inode: 9, what });
        let directory = Descriptor { number: 5, inode: 4, what: DescriptorKind::Directory { path: b"/srv" } };
        writer.descriptors(200, [open(0, b"/dev/null"), directory].into_iter().chain(sockets)).unwrap();
        Scene { writer, time: 1_700_000_000_000_000_000 }
    }

    fn event(&mut self, thread: i64, kind: &'static EventType, values: &[P<'_>]) {
        self.time += 1000;
        let bytes: Vec<Vec<u8>> = values
            .iter()
            .zip(&kind.parameters)
            .map(|(value, parameter)| match value {
                P::N(number) => number.to_le_bytes()[..usize::from(parameter.size)].to_vec(),
                P::T(text) => [text.as_bytes(), b"\0"].concat(),
                P::B(bytes) => bytes.to_vec(),
            })
            .collect();
        let parameters: Vec<&[u8]> = bytes.iter().map(Vec::as_slice).collect();
        let event = NewEvent { time: self.time, thread, cpu: 1, kind, parameters: &parameters };
        self.writer.new_event(&event).unwrap();
    }

    /// A call, by the codes of today.
    fn call(&mut self, thread: i64, name: &str, enter: &[P<'_>], exit: &[P<'_>]) {
        let end = newest(name).unwrap();
        self.event(thread, event_type_of(end.code - 1).unwrap(), enter);
        self.event(thread, end, exit);
    }

    /// Writes it, compares, and says where sysdig differs.
    fn compare(self, name: &str) {
        let file = std::env::temp_dir().join(format!("stockade-{}-{name}.scap", std::process::id()));
        std::fs::write(&file, self.writer.finish().unwrap()).unwrap();
        let differ = compare(&file);
        std::fs::remove_file(&file).unwrap();
        let differ = differ.unwrap_or_default();
        assert!(differ.is_empty(), "{}", differ.join("\n"));
    }
}

fn internet(source: (&str, u16), destination: (&str, u16)) -> Vec<u8> {
    let end = |(ip, port): (&str, u16)| (ip.parse().unwrap(), port);
    let mut bytes = Vec::new();
    Tuple::Internet { source: end(source), destination: end(destination) }.write(&mut bytes);
    bytes
}

fn unix(path: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    Tuple::Unix { source: 0xAB, destination: 0xCD, path }.write(&mut bytes);
    bytes
}

const AT_FDCWD: i64 = -100;

#[test]
fn files_that_are_opened_named_and_left_are_what_sysdig_takes_them_for() {
    use P::{N, T};
    let mut scene = Scene::new();
    let opened = |fd, directory, name, flags| [N(fd), N(directory), T(name), N(flags), N(0o644), N(0x803)];
    let asked = |directory, name, flags| [N(directory), T(name), N(flags), N(0o644)];
    for (fd, directory, name, flags) in [
        (9, AT_FDCWD, "relative/../file", 3 | 4),
        (10, 5, "index.html", 1),
        (11, AT_FDCWD, "/etc//passwd", 1 | 4096),
        (12, AT_FDCWD, "/var/log", 1 | 1024),
        (-2, AT_FDCWD, "missing", 1),
        (-13, 5, "secret", 2),
    ] {
        scene.call(200, "openat", &asked(directory, name, flags), &opened(fd, directory, name, flags));
    }
    scene.call(200, "read", &[N(9), N(100)], &[N(4), P::B(b"ab\n\x01")]);
    scene.call(200, "write", &[N(10), N(3)], &[N(3), P::B(b"xyz")]);
    scene.call(200, "write", &[N(8), N(20)], &[N(20), P::B(b"<13>a log message of")]);
    scene.call(200, "close", &[N(10)], &[N(0)]);
    scene.call(200, "read", &[N(10), N(1)], &[N(-9), P::B(b"")]);
    scene.call(200, "chdir", &[], &[N(0), T("/tmp/./x/..")]);
    scene.call(200, "openat", &asked(AT_FDCWD, "here", 1), &opened(13, AT_FDCWD, "here", 1));
    scene.call(200, "fchdir", &[N(12)], &[N(0)]);
    scene.call(200, "openat", &asked(AT_FDCWD, "there", 1), &opened(14, AT_FDCWD, "there", 1));
    scene.call(200, "open", &[T("x"), N(2), N(0)], &[N(15), T("x"), N(2), N(0), N(0)]);
    scene.call(200, "creat", &[T("/tmp/made"), N(0o755)], &[N(16), T("/tmp/made"), N(0o755), N(0)]);
    scene.call(200, "fcntl", &[N(16), N(1)], &[N(17)]);
    scene.call(200, "read", &[N(17), N(1)], &[N(0), P::B(b"")]);
    scene.call(200, "pipe", &[], &[N(0), N(20), N(21), N(99)]);
    scene.call(200, "write", &[N(21), N(1)], &[N(1), P::B(b"p")]);
    scene.compare("files");
}

#[test]
fn sockets_that_are_connected_and_accepted_are_what_sysdig_takes_them_for() {
    use P::{B, N};
    let mut scene = Scene::new();
    let out = internet(("10.0.0.1", 5555), ("93.184.216.34", 443));
    scene.call(200, "read", &[N(7), N(100)], &[N(2), B(b"hi")]);
    scene.call(200, "socket", &[N(2), N(1), N(6)], &[N(20)]);
    scene.call(200, "connect", &[N(20)], &[N(0), B(&out)]);
    scene.call(200, "write", &[N(20), N(2)], &[N(2), B(b"ok")]);
    scene.call(200, "socket", &[N(2), N(2), N(17)], &[N(21)]);
    let datagram = internet(("10.0.0.1", 6000), ("10.0.0.53", 53));
    scene.call(200, "sendto", &[N(21), N(4), B(&datagram)], &[N(4), B(b"what")]);
    scene.call(200, "socket", &[N(1), N(1), N(0)], &[N(22)]);
    scene.call(200, "connect", &[N(22)], &[N(0), B(&unix(b"/run/docker.sock"))]);
    scene.call(200, "socket", &[N(2), N(1), N(6)], &[N(23)]);
    let refused = internet(("10.0.0.1", 5556), ("10.0.0.2", 22));
    scene.call(200, "connect", &[N(23)], &[N(-111), B(&refused)]);
    let arrived = internet(("10.0.0.7", 1234), ("10.0.0.1", 80));
    scene.call(200, "accept", &[], &[N(24), B(&arrived), N(0), N(0), N(128)]);
    scene.call(200, "read", &[N(24), N(4)], &[N(4), B(b"GET ")]);
    scene.call(200, "close", &[N(24)], &[N(0)]);
    scene.compare("sockets");
}

/// The parameters that fork and exec have in common.
fn program<'a>(thread: i64, process: i64, parent: i64, name: &'a str, arguments: &'a [u8]) -> Vec<P<'a>> {
    use P::{B, N, T};
    vec![
        N(0),
        T(name),
        B(arguments),
        N(thread),
        N(process),
        N(parent),
        T(""),
        N(1024),
        N(1),
        N(2),
        N(4000),
        N(500),
        N(0),
        T(name),
        B(b"cpu=/user.slice\0memory=/user.slice\0"),
    ]
}

#[test]
fn programs_that_are_forked_executed_and_ended_are_what_sysdig_takes_them_for() {
    use P::{B, N, T};
    let mut scene = Scene::new();
    let clone = newest("clone").unwrap();
    let tail = |flags, thread, process| [N(flags), N(0), N(0), N(thread), N(process)];
    let forked = |result, thread, parent, child| -> Vec<P<'_>> {
        let mut values = program(thread, thread, parent, "bash", b"-x\0two words\0");
        values[0] = N(result);
        values.into_iter().chain(tail(0, child, child)).collect()
    };
    scene.event(100, event_type_of(clone.code - 1).unwrap(), &[]);
    scene.event(100, clone, &forked(300, 100, 1, 100));
    scene.event(300, clone, &forked(0, 300, 100, 300));
    let executed: Vec<P<'_>> = program(300, 300, 100, "python3", b"-c\0print(1)\0")
        .into_iter()
        .chain([B(b"HOME=/srv\0"), N(34816), N(300), N(33), N(0)])
        .collect();
    scene.call(300, "execve", &[T("/usr/bin/python3")], &executed);
    scene.call(300, "read", &[N(0), N(1)], &[N(0), B(b"")]);
    scene.call(300, "setuid", &[N(33)], &[N(0)]);
    scene.call(300, "getuid", &[], &[N(33)]);
    scene.call(300, "setresuid", &[N(0), N(0), N(0)], &[N(-1)]);
    scene.call(300, "kill", &[N(200), N(15)], &[N(0)]);
    let failed: Vec<P<'_>> = program(300, 300, 100, "none", b"").into_iter().collect();
    let failed: Vec<P<'_>> = std::iter::once(N(-2)).chain(failed.into_iter().skip(1)).collect();
    scene.call(300, "execve", &[T("/bin/none")], &failed);
    scene.event(300, newest("procexit").unwrap(), &[N(0), N(0), N(0), N(0), N(0)]);
    scene.event(100, event_type_of(clone.code - 1).unwrap(), &[]);
    scene.event(100, clone, &forked(300, 100, 1, 100));
    scene.call(300, "read", &[N(0), N(1)], &[N(0), B(b"")]);
    scene.compare("programs");
}

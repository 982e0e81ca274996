//! How fast the stock rules are matched over made-up events. The goal is two million events a second on one core with
//! the mix of types that a capture has; events of one type show where the time goes.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use rules::{Event, EventType, Field, FieldId, Loader, Matcher, Selection, Value};

/// A process and what it does, answered without a copy.
struct Made {
    event_type: EventType,
    process: &'static str,
    command: &'static str,
    parents: &'static [&'static str],
    path: &'static str,
    container: &'static str,
    write: bool,
    address: IpAddr,
    port: u16,
}

impl Event for Made {
    fn event_type(&self) -> EventType {
        self.event_type
    }

    fn field<'a>(&'a self, field: &Field) -> Option<Value<'a>> {
        let parent = |index: usize| self.parents.get(index).map(|p| Value::text(p));
        let socket = self.path.is_empty();
        Some(match field.id {
            FieldId::ProcName | FieldId::ProcExe => Value::text(self.process),
            FieldId::ProcExepath => Value::text("/usr/bin/program"),
            FieldId::ProcCmdline => Value::text(self.command),
            FieldId::ProcArgs => Value::text("--option value"),
            FieldId::ProcPname => return parent(0),
            FieldId::ProcPcmdline => return parent(0),
            FieldId::ProcAname => return parent(field.index()?.checked_sub(1)? as usize),
            FieldId::ProcTty => Value::Unsigned(0),
            FieldId::ProcVpid => Value::Signed(7),
            FieldId::UserName => Value::text("root"),
            FieldId::UserUid => Value::Unsigned(0),
            FieldId::UserLoginuid => Value::Signed(-1),
            FieldId::ContainerId => Value::text(self.container),
            FieldId::ContainerPrivileged => Value::Bool(false),
            FieldId::ContainerImageRepository => Value::text("docker.io/library/nginx"),
            FieldId::EvtIsOpenWrite => Value::Bool(self.write),
            FieldId::EvtIsOpenRead => Value::Bool(!self.write),
            FieldId::EvtRes => Value::text("SUCCESS"),
            FieldId::EvtRawres => Value::Signed(3),
            FieldId::FdNum => Value::Signed(3),
            FieldId::FdName if !socket => Value::text(self.path),
            FieldId::FdFilename if !socket => Value::text(self.path.rsplit('/').next()?),
            FieldId::FdDirectory if !socket => Value::text(self.path.rsplit_once('/')?.0),
            FieldId::FdTypechar => Value::text(if socket { "4" } else { "f" }),
            FieldId::FdType => Value::text(if socket { "ipv4" } else { "file" }),
            FieldId::FdSip | FieldId::FdCip if socket => Value::Address(self.address),
            FieldId::FdSnet | FieldId::FdNet | FieldId::FdCnet if socket => Value::Address(self.address),
            FieldId::FdSport if socket => Value::Unsigned(u64::from(self.port)),
            FieldId::FdL4proto if socket => Value::text("tcp"),
            FieldId::ThreadCapEffective => Value::text("CAP_CHOWN CAP_KILL CAP_SETUID"),
            FieldId::EvtNum => Value::Unsigned(1),
            _ => return None,
        })
    }

    fn any(&self, field: &Field, found: &mut dyn FnMut(&Value<'_>) -> bool) -> bool {
        match field.id {
            FieldId::ProcAname => self.parents.iter().any(|parent| found(&Value::text(parent))),
            _ => self.field(field).is_some_and(|value| found(&value)),
        }
    }
}

const PATHS: [&str; 6] = [
    "/etc/ld.so.cache",
    "/usr/lib/x86_64-linux-gnu/libc.so.6",
    "/proc/self/status",
    "/var/lib/app/data.db",
    "/tmp/session-1234",
    "/home/user/.config/app/settings.json",
];
const PROCESSES: [(&str, &str); 4] = [
    ("nginx", "nginx -g daemon off;"),
    ("postgres", "postgres -D /var/lib/postgresql/data -c listen_addresses=*"),
    ("java", "java -Xmx2g -jar /srv/app/application.jar --port=8080"),
    ("sh", "sh -c sleep 1"),
];
/// How many of a hundred events are of each type, as in captures of servers.
const MIX: [(&str, usize); 12] = [
    ("read", 22),
    ("write", 14),
    ("close", 14),
    ("openat", 12),
    ("futex", 10),
    ("epoll_wait", 8),
    ("sendto", 6),
    ("recvfrom", 6),
    ("fstat", 4),
    ("connect", 2),
    ("execve", 1),
    ("mmap", 1),
];

fn made(event_type: &str, number: usize) -> Made {
    let (process, command) = PROCESSES[number % PROCESSES.len()];
    let socket = matches!(event_type, "connect" | "sendto" | "recvfrom");
    Made {
        event_type: EventType::by_name(event_type).unwrap(),
        process,
        command,
        parents: &["containerd-shim", "systemd"],
        path: if socket { "" } else { PATHS[number / 3 % PATHS.len()] },
        container: if number.is_multiple_of(5) { "host" } else { "0123456789ab" },
        write: number.is_multiple_of(4),
        address: IpAddr::V4(Ipv4Addr::new(10, 0, 0, (number % 250) as u8)),
        port: if number.is_multiple_of(2) { 443 } else { 5432 },
    }
}

fn matching(criterion: &mut Criterion) {
    let corpora = std::env::var_os("STOCKADE_CORPORA").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/corpora")),
        PathBuf::from,
    );
    let file = corpora.join("falco-rules/falco-incubating_rules.yaml");
    if !file.exists() {
        eprintln!("skipped: no stock rules at {}", file.display());
        return;
    }
    criterion.bench_function("load and compile the stock rules", |bencher| {
        bencher.iter(|| {
            let mut loader = Loader::new(Default::default());
            loader.file(&file);
            Matcher::new(&loader.finish(), &Selection::default())
        });
    });
    let mut loader = Loader::new(Default::default());
    loader.file(&file);
    let matcher = Matcher::new(&loader.finish(), &Selection::default());
    let mixed: Vec<Made> = (0..1000)
        .flat_map(|n| MIX.iter().flat_map(move |(t, count)| (0..*count).map(move |i| made(t, n + i))))
        .collect();
    let of_type = |name: &str| (0..1000).map(|n| made(name, n)).collect::<Vec<_>>();
    let sets = [
        ("mixed", mixed),
        ("openat", of_type("openat")),
        ("execve", of_type("execve")),
        ("connect", of_type("connect")),
    ];
    let mut group = criterion.benchmark_group("match");
    for (name, events) in &sets {
        group.throughput(Throughput::Elements(events.len() as u64));
        group.bench_function(*name, |bencher| {
            let mut scratch = matcher.scratch();
            bencher.iter(|| {
                events.iter().map(|event| matcher.matches(event, &mut scratch).count()).sum::<usize>()
            });
        });
    }
    group.finish();
}

criterion_group!(benches, matching);
criterion_main!(benches);

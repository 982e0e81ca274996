//! Records for the tests of the store, the outputs and the live view.

use std::collections::BTreeMap;

use sensor::event::{
    Actor, ContainerKey, Credentials, Entry, Event, File, FileId, Lane, Source, Task, Text, What,
};

use super::record::{Blind, Heartbeat, Kind, Loss, LossCause, Lost, Seen, Trail};
use crate::alert::{Alert, Cause, Container, Exposure, Outcome, Process, Severity};
use crate::trail::{Action, Exec};

/// 2026-11-23 03:09:26.535 UTC.
pub(crate) const TIME: i64 = 1_795_403_366_535_897_932;

pub(crate) fn container(name: &str) -> Container {
    Container {
        key: ContainerKey(7),
        id: Some(format!("{:0<64}", "4ba7c0ffee")),
        name: Some(name.into()),
        image: Some("nginx:1.29".into()),
        image_digest: None,
        engine: Some("docker".into()),
        pod: None,
        namespace: None,
        labels: BTreeMap::from([("com.example.team".into(), "shop".into())]),
        privileged: Some(true),
        started: Some(TIME - 1_000_000_000),
        cgroup_path: Some("/system.slice/docker-4ba7c0ffee.scope".into()),
        verdict: Some("open".into()),
    }
}

fn process(process: u32, name: &str, arguments: &[&str]) -> Process {
    Process {
        task: Task { process, thread: process, start: 5_000_000_000 },
        process_inside: process - 4000,
        name: name.into(),
        executable: Some(format!("/usr/bin/{name}")),
        executable_id: FileId { device: (0, 51), inode: 131_090 },
        sha256: Some("9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08".into()),
        arguments: arguments.iter().map(|a| (*a).to_owned()).collect(),
        credentials: Credentials { effective: 0x1ff_ffff_ffff, ..Credentials::default() },
        user: Some("root".into()),
        from_before: false,
    }
}

pub(crate) fn attempt() -> Alert {
    let path = Text { text: "/sys/fs/cgroup/release_agent".into(), source: Source::Kernel, cut: false };
    Alert {
        id: 0,
        time: TIME,
        since_boot: 86_400_000_000_000,
        cause: Cause::Attempt {
            technique: "cgroup-release-agent".into(),
            detector: "release-agent-write".into(),
            attack: vec!["T1611".into()],
        },
        severity: Severity::Critical,
        summary: "sh opened the release_agent of a cgroup for writing".into(),
        outcome: Outcome::Done,
        exposure: Exposure::Open,
        container: Some(container("web")),
        processes: vec![
            process(4242, "sh", &["sh", "-c", "echo > /sys/fs/cgroup/release_agent"]),
            process(4100, "nginx", &["nginx"]),
        ],
        advice: vec!["stop the container: docker stop web".into(), "drop CAP_SYS_ADMIN".into()],
        count: 1,
        event: Some(Event {
            time: 86_400_000_000_000,
            lane: Lane::Rare,
            cpu: 1,
            actor: Actor { name: "sh".into(), container: Some(ContainerKey(7)), ..Actor::default() },
            count: 1,
            entry: Entry::SystemCall(257),
            result: 3,
            what: What::Open {
                file: File { path: path.clone(), ..File::default() },
                asked: path,
                flags: 1,
                resolve: 0,
                created: false,
            },
        }),
    }
}

/// A rule that matched on the host, with nothing known that need not be.
pub(crate) fn rule_match() -> Alert {
    Alert {
        id: 0,
        time: TIME + 1_000_000,
        since_boot: 86_400_001_000_000,
        cause: Cause::Rule {
            name: "Read sensitive file untrusted".into(),
            priority: "warning".into(),
            tags: vec!["filesystem".into()],
            output: "Sensitive file opened".into(),
            source_file: "rules.yaml".into(),
        },
        severity: Severity::Medium,
        summary: "cat read /etc/shadow".into(),
        outcome: Outcome::Refused { errno: 13, name: "EACCES".into() },
        exposure: Exposure::DoesNotApply,
        container: None,
        processes: Vec::new(),
        advice: Vec::new(),
        count: 3,
        event: None,
    }
}

pub(crate) fn held() -> Alert {
    Alert {
        severity: Severity::Low,
        outcome: Outcome::Refused { errno: 1, name: "EPERM".into() },
        exposure: Exposure::Held { barriers: vec!["capabilities".into(), "seccomp".into()], depth: 2 },
        container: Some(Container {
            verdict: Some("held by 2".into()),
            privileged: Some(false),
            key: ContainerKey(8),
            ..container("db")
        }),
        ..attempt()
    }
}

pub(crate) fn not_known() -> Alert {
    Alert {
        severity: Severity::High,
        outcome: Outcome::NotKnown,
        exposure: Exposure::NotKnown { missing: vec!["kernel version".into()] },
        ..attempt()
    }
}

pub(crate) fn sensor_loss() -> Alert {
    Alert {
        cause: Cause::Sensor { what: "loss".into() },
        severity: Severity::High,
        summary: "12 events of the bulk lane were lost".into(),
        outcome: Outcome::NotKnown,
        exposure: Exposure::DoesNotApply,
        processes: Vec::new(),
        container: None,
        event: None,
        ..attempt()
    }
}

pub(crate) fn trail(since_boot: u64) -> Trail {
    let time = TIME + i64::try_from(since_boot).unwrap();
    let container = container("web");
    let mut step = crate::trail::Record::new(Action::ExecStart, crate::trail::Source::Engine, time);
    step.container = Some(container.key);
    step.id = container.id;
    step.name = container.name;
    step.exec = Some(Exec { privileged: Some(true), command: vec!["sh".into()], ..Exec::default() });
    Trail { since_boot, step }
}

pub(crate) fn blind() -> Blind {
    Blind {
        time: TIME,
        since_boot: 60,
        from: 50,
        lane: Lane::Bulk,
        kind: "open".into(),
        container: Some(ContainerKey(7)),
        lost: 12,
    }
}

pub(crate) fn loss() -> Loss {
    Loss {
        time: TIME,
        since_boot: 90,
        from: TIME,
        cause: LossCause::CouldNotWrite { why: "full".into() },
        lost: vec![Lost { kind: Kind::Trail, count: 3 }],
        exact: false,
    }
}

pub(crate) fn heartbeat() -> Heartbeat {
    Heartbeat {
        time: TIME,
        since_boot: 70,
        containers: 2,
        rare: 10,
        problems: vec!["x".into()],
        ..Default::default()
    }
}

pub(crate) fn seen(key: u64) -> Seen {
    Seen {
        time: TIME,
        since_boot: 80,
        container: Container { key: ContainerKey(key), ..container("web") },
        ended: None,
    }
}

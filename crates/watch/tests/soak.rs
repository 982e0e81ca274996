//! A day of events in a few seconds: what the watch keeps of processes, containers, attempts and counts has bounds, so that
//! its memory does not grow with time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use confinement::Host;
use sensor::event::{Actor, ContainerKey, Entry, Event, File, FileId, Lane, Namespaces, Task, Text, What};
use watch::containers::{Containers, Options};
use watch::pipeline::{Deliver, Pipeline};

const MINUTES: u64 = 24 * 60;
/// Containers that begin in a minute; each lives for ten.
const STARTED: u64 = 4;
/// Numbers of processes that no process of this machine has.
const FIRST: u64 = 100_000_000;
/// Resident bytes that a day may add to what the first hours took.
const GROWTH: u64 = 8 << 20;

fn event(minute: u64, container: u64, process: u64, what: What, result: i64) -> Event {
    let number = u32::try_from(FIRST + container * 64 + process).expect("a number");
    let task = Task { process: number, thread: number, start: minute * 60_000_000_000 + process };
    let mount = u32::try_from(4_000_000_000 + container).expect("a number");
    let actor = Actor {
        task,
        name: "worker".into(),
        namespaces: Namespaces { mount, ..Namespaces::default() },
        container: Some(ContainerKey(container + 1)),
        executable: FileId { device: (0, 40), inode: process },
        ..Actor::default()
    };
    let time = minute * 60_000_000_000 + process * 1_000_000;
    let lane = if matches!(what, What::Open { .. }) { Lane::Bulk } else { Lane::Rare };
    Event { time, lane, cpu: 0, actor, count: 1, entry: Entry::SystemCall(257), result, what }
}

fn text(text: &str) -> Text {
    Text { text: text.into(), ..Text::default() }
}

/// A container begins, runs programs, opens files of its own and one that it may not, and some processes end.
fn life(minute: u64, container: u64, see: &mut dyn FnMut(Event)) {
    let key = ContainerKey(container + 1);
    let root = FileId { device: (0, 40), inode: 2 };
    let cgroup_path = format!("/docker/{container:064x}");
    see(event(minute, container, 0, What::ContainerStarted { key, cgroup_path, root }, 0));
    for process in 1..20 {
        let child = event(minute, container, process, What::Exit { status: 0, signal: 0 }, 0).actor.task;
        see(event(minute, container, 0, What::Fork { child, child_inside: 7, flags: 0 }, 0));
        let open = |path: &str, magic: u64| What::Open {
            file: File {
                path: text(path),
                path_in_file_system: text(path),
                file_system: magic,
                id: FileId { device: (0, 40), inode: minute * 100 + process },
                ..File::default()
            },
            asked: text(path),
            flags: 1,
            resolve: 0,
            created: false,
        };
        see(event(minute, container, process, open(&format!("/data/{minute}/{process}"), 0x794c_7630), 3));
        see(event(minute, container, process, open("/sys/kernel/core_pattern", 0x9fa0), 3));
        if process % 2 == 0 {
            see(event(minute, container, process, What::Exit { status: 0, signal: 0 }, 0));
        }
    }
}

fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("readable");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a line");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024
}

#[test]
fn a_day_of_containers_that_come_and_go_takes_no_more_memory_than_its_first_hours() {
    let options = Options {
        discover: false,
        host: Some(Arc::new(Host::unseen())),
        most: 2_000,
        most_ended: 500,
        ..Options::default()
    };
    let told = Arc::new(AtomicU64::new(0));
    let counter = told.clone();
    let deliver: Deliver = Arc::new(move |_| {
        counter.fetch_add(1, Ordering::Relaxed);
    });
    let mut pipeline =
        Pipeline::start(Containers::start(options), None, Vec::new(), deliver).expect("it starts");
    let mut events = 0;
    let mut early = 0;
    for minute in 0..MINUTES {
        let mut see = |event: Event| {
            events += 1;
            pipeline.see(&event);
        };
        for container in minute * STARTED..(minute + 1) * STARTED {
            life(minute, container, &mut see);
        }
        // Those of ten minutes ago end; what ran in them ended without a word, as where its exit was lost.
        for container in
            (minute * STARTED).saturating_sub(10 * STARTED)..(minute * STARTED).saturating_sub(9 * STARTED)
        {
            let key = ContainerKey(container + 1);
            see(event(minute, container, 0, What::ContainerEnded { key }, 0));
        }
        if minute % 10 == 0 {
            pipeline.tick();
        }
        if minute == MINUTES / 4 {
            early = resident();
        }
    }
    let late = resident();
    pipeline.finish();
    let told = told.load(Ordering::Relaxed);
    eprintln!(
        "{events} events, {told} records; {} MiB after 6 hours, {} MiB after 24",
        early >> 20,
        late >> 20
    );
    assert!(told > 1000, "{told} records");
    assert!(late.saturating_sub(early) < GROWTH, "{early} bytes after 6 hours, {late} after 24");
}

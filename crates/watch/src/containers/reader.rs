//! The thread that reads `/proc`: what a container is confined by, and which process holds it for its engine. It asks no
//! engine, so that nothing holds it up, and a container that lives shortly is read while it lives.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use confinement::{Confinement, Namespace, NamespaceKind};
use sensor::event::{Actor, ContainerKey, Task};
use serde_json::Value;
use sources::process::{Container as Group, View, confinement_of};

use super::monitor::{self, Monitor};
use super::queue::lock;
use super::table::{Entry, Kind, Read, Table, id_in_path};
use super::{News, Shared, Why, asker, process};
use crate::alert::Container;
use crate::clock::since_boot;
use crate::exposure::{Judge, Judged, subject_id};

pub(super) enum Job {
    Read(ContainerKey),
    Entered(Box<Entered>),
    /// A process that connected to an engine.
    Client(Task),
}

/// A process that was put into a container.
#[derive(Clone, Debug)]
pub(super) struct Entered {
    pub(super) key: ContainerKey,
    /// Nanoseconds since boot.
    pub(super) time: u64,
    pub(super) actor: Actor,
    pub(super) arguments: Vec<String>,
    /// The process that holds it, where its parent is one.
    pub(super) monitor: Option<Monitor>,
    /// What the monitor was told to start: an OCI process (runtime-spec, config.md, "Process").
    pub(super) asked: Option<Value>,
}

/// Every so often what ended unseen is looked for.
const SWEEP: Duration = Duration::from_secs(20);
/// Paths through other containers are judged anew at most this often while there is other work.
const NEIGHBOURS: Duration = Duration::from_secs(1);
/// And never for more than one part in so many of the time.
const NEIGHBOURS_SHARE: u32 = 50;
/// A container whose first process is gone for this long has ended, whatever the sensor missed. Nanoseconds.
const UNSEEN_END: u64 = 60_000_000_000;

pub(super) fn run(shared: &Arc<Shared>) {
    if shared.host.get().is_none() {
        let (host, _) = sources::host::read_host();
        let _ = shared.host.set(Arc::new(host));
    }
    // Of its own, so that nobody who asks for an exposure waits for a look at all containers.
    let mut neighbours = Judge::default();
    let (mut swept, mut judged, mut took) = (Instant::now(), Instant::now(), Duration::ZERO);
    while !shared.stops() {
        match shared.to_read.pop(Duration::from_millis(200)) {
            Some(Job::Read(key)) => read(shared, key),
            Some(Job::Entered(entered)) => asked_for(shared, entered),
            Some(Job::Client(task)) => client(shared, task),
            None => {}
        }
        let idle = shared.to_read.is_empty();
        if idle && shared.look_over.swap(false, Ordering::Relaxed) {
            look_over(shared);
        }
        let changed = shared.neighbours.load(Ordering::Relaxed);
        let rested = judged.elapsed() > took * NEIGHBOURS_SHARE;
        if changed && rested && (idle || judged.elapsed() > NEIGHBOURS) {
            let began = Instant::now();
            judge_neighbours(shared, &mut neighbours);
            (judged, took) = (Instant::now(), began.elapsed());
        }
        if swept.elapsed() > SWEEP {
            sweep(shared);
            swept = Instant::now();
        }
    }
}

/// Questions that did not fit are found again in the table.
fn look_over(shared: &Shared) {
    let table = lock(&shared.table);
    let waiting: Vec<(ContainerKey, bool)> = table
        .entries()
        .filter(|(_, e)| e.waits || !e.settled)
        .map(|(key, e)| (key, e.waits))
        .take(shared.options.queue / 2)
        .collect();
    drop(table);
    for (key, waits) in waiting {
        if waits {
            shared.read(Job::Read(key));
        } else {
            shared.ask(asker::Job::Ask { key, attempt: 0 });
        }
    }
}

fn sweep(shared: &Shared) {
    let now = since_boot();
    let mut table = lock(&shared.table);
    table.expire(now);
    let old = |e: &Entry| e.ended.is_none() && now.saturating_sub(e.started) > UNSEEN_END;
    let own_processes = |e: &Entry| e.namespaces.pid != 0 && e.namespaces.pid != shared.host_namespaces.pid;
    let running: Vec<(ContainerKey, Task)> =
        table.entries().filter(|(_, e)| old(e) && own_processes(e)).map(|(key, e)| (key, e.first)).collect();
    drop(table);
    for (key, first) in running {
        // With the first process of a pid namespace every other ends (pid_namespaces(7)); one that was only the first
        // to be seen may have ended before the others, so its namespace is looked for as well.
        let gone = !process::is(first) && !is_inhabited(shared, key);
        if gone && lock(&shared.table).end(key, now) {
            shared.ask(asker::Job::Ended { key, time: now });
        }
    }
}

/// Whether the container's engine still has a process in its mount namespace.
fn is_inhabited(shared: &Shared, key: ContainerKey) -> bool {
    let Some(mount) = lock(&shared.table).get(key).map(|e| u64::from(e.namespaces.mount)) else {
        return false;
    };
    let Ok(processes) = std::fs::read_dir("/proc") else { return true };
    let mut pids = processes.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.any(|pid| sources::process::read_namespace(pid, "mnt").ok() == Some(mount))
}

fn read(shared: &Shared, key: ContainerKey) {
    let (first, parent, namespaces, generation, monitor, joined) = {
        let mut table = lock(&shared.table);
        let Some(entry) = table.get_mut(key) else { return };
        entry.waits = false;
        let (monitor, joined) = (entry.monitor.clone(), entry.joined);
        (entry.first, entry.parent, entry.namespaces, entry.generation, monitor, joined)
    };
    // The process that holds it first: of a container that ends at once it goes with it.
    let monitor = monitor.or_else(|| monitor::of(parent, shared.host_namespaces.pid).map(Arc::new));
    let observed = observe(shared, first, namespaces.mount);
    let host = shared.host();
    let mut read = None;
    let mut found = None;
    if let Some((group, view, seen)) = observed {
        let (mut confinement, _) = confinement_of(&group, &view, &seen, &host);
        share_namespaces(&lock(&shared.table), key, &mut confinement);
        found = Some(confinement.clone());
        read = Some(Arc::new(Read { observed: seen, view, confinement }));
    }
    // Files are read without the lock.
    let mut said = super::nothing_known(key);
    if let Some(monitor) = &monitor {
        let path = lock(&shared.table).get(key).and_then(|e| e.container.cgroup_path.clone());
        monitor.describe(&mut said, path.as_deref().and_then(id_in_path));
    }
    said.privileged = found.as_ref().and_then(|confinement| confinement.privileged.value);
    {
        let mut table = lock(&shared.table);
        let Some(entry) = table.get_mut(key) else { return };
        entry.monitor = monitor;
        entry.read = read;
    }
    update(shared, key, |container| fill(container, said));
    // Of a container whose engine is known it is judged with what that one says, so that a second look at the same
    // is not told as a change back and forth.
    if let (Some(confinement), None) = (found, joined) {
        let why = if generation == 0 { Why::Read } else { Why::Changed };
        judge(shared, key, confinement, why);
    }
    shared.ask(asker::Job::Ask { key, attempt: 0 });
}

/// Changes metadata, and tells it where it is another than before.
pub(super) fn update(shared: &Shared, key: ContainerKey, change: impl FnOnce(&mut Container)) {
    let mut table = lock(&shared.table);
    let Some(entry) = table.get(key) else { return };
    let mut container = (*entry.container).clone();
    change(&mut container);
    if *entry.container == container {
        return;
    }
    let container = Arc::new(container);
    table.describe(key, container.clone());
    drop(table);
    shared.tell(News::Known { key, container });
}

/// Fills in what is not known yet: an engine's own word stands above its monitor's.
fn fill(container: &mut Container, said: Container) {
    let Container { id, name, image, engine, pod, namespace, labels, privileged, .. } = said;
    let pairs = [
        (&mut container.id, id),
        (&mut container.name, name),
        (&mut container.image, image),
        (&mut container.engine, engine),
        (&mut container.pod, pod),
        (&mut container.namespace, namespace),
    ];
    for (field, value) in pairs {
        if field.is_none() {
            *field = value;
        }
    }
    container.privileged = container.privileged.or(privileged);
    if container.labels.is_empty() {
        container.labels = labels;
    }
}

/// What `/proc` shows, if the first process is still the one the sensor saw.
fn observe(
    shared: &Shared,
    first: Task,
    mount: u32,
) -> Option<(Group, Arc<View>, sources::measured::Observed)> {
    if first.process == 0 || !process::is(first) {
        return None;
    }
    let view = match View::read() {
        Ok(view) => view,
        Err(problem) => {
            shared.tell(News::Failed { what: format!("the host's part of /proc cannot be read: {problem}") });
            return None;
        }
    };
    let group = Group::of_first_process(first.process, &view)?;
    if mount != 0 && group.mount_namespace() != u64::from(mount) {
        return None;
    }
    let observed = group.observe(&view).ok()?;
    process::is(first).then_some((group, Arc::new(view), observed))
}

/// Says of each namespace that is not the host's which container had it first.
pub(super) fn share_namespaces(table: &Table, key: ContainerKey, confinement: &mut Confinement) {
    let Some(own) = table.get(key).map(|e| e.namespaces) else { return };
    for (kind, which) in [
        (NamespaceKind::Pid, Kind::Pid),
        (NamespaceKind::Net, Kind::Network),
        (NamespaceKind::Ipc, Kind::Ipc),
        (NamespaceKind::Uts, Kind::Uts),
        (NamespaceKind::Cgroup, Kind::Cgroup),
    ] {
        let fact = confinement.namespaces.get_mut(kind);
        let inode = which.of(&own);
        if inode == 0 || !matches!(fact.get(), Some(Namespace::Own | Namespace::Container(_))) {
            continue;
        }
        let holder = table.holder(which, inode).filter(|holder| *holder != key);
        fact.value = Some(holder.map_or(Namespace::Own, |holder| Namespace::Container(subject_id(holder))));
    }
}

/// Judges a confinement, keeps the judgement and tells a verdict that is new.
pub(super) fn judge(shared: &Shared, key: ContainerKey, confinement: Confinement, why: Why) {
    let judged = Arc::new(lock(&shared.judge).judge(confinement));
    let depth = judged.depth;
    let before = {
        let mut table = lock(&shared.table);
        let Some(entry) = table.get_mut(key) else { return };
        entry.judged.replace(judged).filter(|judged| !judged.is_provisional).map(|judged| judged.depth)
    };
    shared.neighbours.store(true, Ordering::Relaxed);
    // What neighbours open stands where the container itself is as it was.
    if before != Some(depth) {
        verdict(shared, key, depth, why);
    }
}

fn verdict(shared: &Shared, key: ContainerKey, depth: techniques::solver::Depth, why: Why) {
    let now = Judged::verdict(depth);
    let mut table = lock(&shared.table);
    let Some(entry) = table.get_mut(key) else { return };
    entry.verdict_depth = Some(depth);
    if entry.container.verdict.as_deref() == Some(now.as_str()) {
        return;
    }
    let mut container = (*entry.container).clone();
    let before = container.verdict.replace(now.clone());
    entry.container = Arc::new(container);
    drop(table);
    shared.tell(News::Verdict { key, before, now, why });
}

/// Judges the paths that lead through other containers.
fn judge_neighbours(shared: &Shared, judge: &mut Judge) {
    shared.neighbours.store(false, Ordering::Relaxed);
    let running: Vec<(ContainerKey, Arc<Confinement>)> = {
        let table = lock(&shared.table);
        let judged = |(key, e): (ContainerKey, &Entry)| {
            let judged = e.judged.as_ref().filter(|j| !j.is_provisional && e.ended.is_none())?;
            Some((key, judged.confinement.clone()))
        };
        let mut running: Vec<_> = table.entries().filter_map(judged).collect();
        running.sort_by_key(|(key, _)| *key);
        running
    };
    let depths = judge.depths(&running);
    for ((key, _), depth) in running.into_iter().zip(depths) {
        verdict(shared, key, depth, Why::Neighbour);
    }
}

/// A process was put in: who holds it is read now, and what that one was told to start.
fn asked_for(shared: &Shared, mut entered: Box<Entered>) {
    entered.monitor = monitor::of(entered.actor.parent, shared.host_namespaces.pid);
    let spec: Option<PathBuf> = entered.monitor.as_ref().and_then(|m| m.exec.as_ref()?.1.clone());
    entered.asked = spec.and_then(|path| {
        let bytes = sources::process::files::read_bytes(&path, 1 << 20).ok()?;
        serde_json::from_slice(&bytes).ok()
    });
    shared.ask(asker::Job::Entered(entered));
}

fn client(shared: &Shared, task: Task) {
    if process::is(task) {
        let (executable, arguments) = crate::proc::command(&crate::proc::of(task.process));
        lock(&shared.clients).complete(task, executable, arguments);
    }
}

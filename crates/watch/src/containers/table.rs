//! The table of containers: by the sensor's key, with what is known of each. Bounded: those that ended are kept for a
//! time and up to a number, so that late events still find them; the oldest go first and are counted.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use confinement::Confinement;
use sensor::event::{Actor, ContainerKey, Credentials, Namespaces, Task};
use sources::measured::Observed;
use sources::process::View;

use super::monitor::Monitor;
use super::{Asked, Joined};
use crate::alert;
use crate::exposure::Judged;

/// What `/proc` showed, until every engine was asked.
pub(super) struct Read {
    pub(super) observed: Observed,
    pub(super) view: Arc<View>,
    /// What that comes to by itself.
    pub(super) confinement: Confinement,
}

/// One container.
pub(super) struct Entry {
    pub(super) first: Task,
    pub(super) parent: Task,
    pub(super) namespaces: Namespaces,
    /// Of the first process, at its start.
    pub(super) credentials: Credentials,
    pub(super) actor: Arc<Actor>,
    /// Nanoseconds since boot.
    pub(super) started: u64,
    pub(super) ended: Option<u64>,
    pub(super) container: Arc<alert::Container>,
    pub(super) judged: Option<Arc<Judged>>,
    pub(super) verdict_depth: Option<techniques::solver::Depth>,
    pub(super) monitor: Option<Arc<Monitor>>,
    pub(super) read: Option<Arc<Read>>,
    pub(super) joined: Option<Joined>,
    pub(super) asked: BTreeMap<Arc<str>, Asked>,
    /// Nothing more is to be asked but on an engine's own word.
    pub(super) settled: bool,
    /// It waits to be read; the queue need not hold it twice.
    pub(super) waits: bool,
    /// How often it was to be read again.
    pub(super) generation: u64,
    /// Where its engine's words and the kernel differ, as it was told.
    pub(super) contradictions: Vec<String>,
}

pub(super) struct Table {
    entries: HashMap<ContainerKey, Entry>,
    by_mount: HashMap<u32, ContainerKey>,
    by_id: HashMap<Arc<str>, ContainerKey>,
    /// By the id that the path of a cgroup names, which proves nothing.
    by_claim: HashMap<String, Vec<ContainerKey>>,
    /// By kind and number of a namespace that is not the host's: who is in it and runs, first come first.
    by_namespace: HashMap<(Kind, u32), Vec<ContainerKey>>,
    host: Namespaces,
    /// In the order in which they ended.
    ended: VecDeque<(u64, ContainerKey)>,
    /// In the order in which they came; keys of those that are gone are passed over.
    order: VecDeque<ContainerKey>,
    pub(super) evicted: u64,
    /// Of those evicted: for want of room, before their time.
    pub(super) crowded_out: u64,
    limits: Limits,
}

/// Namespaces that containers may share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    Pid,
    Network,
    Ipc,
    Uts,
    Cgroup,
}

impl Kind {
    const ALL: [Kind; 5] = [Kind::Pid, Kind::Network, Kind::Ipc, Kind::Uts, Kind::Cgroup];
    pub(super) fn of(self, namespaces: &Namespaces) -> u32 {
        match self {
            Kind::Pid => namespaces.pid,
            Kind::Network => namespaces.network,
            Kind::Ipc => namespaces.ipc,
            Kind::Uts => namespaces.uts,
            Kind::Cgroup => namespaces.cgroup,
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Nanoseconds.
    pub(super) keep_ended: u64,
    pub(super) most_ended: usize,
    pub(super) most: usize,
}

impl Table {
    pub(super) fn new(limits: Limits, host: Namespaces) -> Table {
        Table {
            entries: HashMap::new(),
            by_mount: HashMap::new(),
            by_id: HashMap::new(),
            by_claim: HashMap::new(),
            by_namespace: HashMap::new(),
            host,
            ended: VecDeque::new(),
            order: VecDeque::new(),
            evicted: 0,
            crowded_out: 0,
            limits,
        }
    }

    /// Enters a container; false where it is there already.
    pub(super) fn insert(
        &mut self,
        key: ContainerKey,
        time: u64,
        actor: &Actor,
        container: alert::Container,
    ) -> bool {
        if self.entries.contains_key(&key) {
            return false;
        }
        self.make_room(time);
        let entry = Entry {
            first: actor.task,
            parent: actor.parent,
            namespaces: actor.namespaces,
            credentials: actor.credentials,
            actor: Arc::new(actor.clone()),
            started: time,
            ended: None,
            container: Arc::new(container),
            judged: None,
            verdict_depth: None,
            monitor: None,
            read: None,
            joined: None,
            asked: BTreeMap::new(),
            settled: false,
            waits: true,
            generation: 0,
            contradictions: Vec::new(),
        };
        if entry.namespaces.mount != 0 {
            self.by_mount.insert(entry.namespaces.mount, key);
        }
        if let Some(id) = claim(&entry) {
            self.by_claim.entry(id.to_owned()).or_default().push(key);
        }
        for kind in Kind::ALL {
            let inode = kind.of(&entry.namespaces);
            if inode != 0 && inode != kind.of(&self.host) {
                self.by_namespace.entry((kind, inode)).or_default().push(key);
            }
        }
        self.entries.insert(key, entry);
        self.order.push_back(key);
        true
    }

    /// Says where its cgroup is, of a container that was entered without knowing it.
    pub(super) fn place(&mut self, key: ContainerKey, cgroup_path: &str) {
        let Some(entry) = self.entries.get_mut(&key).filter(|e| e.container.cgroup_path.is_none()) else {
            return;
        };
        let mut container = (*entry.container).clone();
        container.cgroup_path = Some(cgroup_path.to_owned());
        entry.container = Arc::new(container);
        if let Some(id) = id_in_path(cgroup_path) {
            self.by_claim.entry(id.to_owned()).or_default().push(key);
        }
    }

    fn make_room(&mut self, now: u64) {
        self.expire(now);
        while self.entries.len() >= self.limits.most {
            // Those that ended go first; then the one that is known for longest.
            let oldest = match self.ended.pop_front() {
                Some((_, key)) => key,
                None => match self.order.pop_front() {
                    Some(key) => key,
                    None => return,
                },
            };
            self.crowded_out += u64::from(self.remove(oldest));
        }
        // Keys that are gone do not pile up.
        if self.order.len() > 2 * self.limits.most {
            let entries = &self.entries;
            self.order.retain(|key| entries.contains_key(key));
        }
    }

    /// Forgets what ended long ago, and what is over the number that is kept.
    pub(super) fn expire(&mut self, now: u64) {
        while let Some((time, key)) = self.ended.front().copied() {
            let old = now.saturating_sub(time) > self.limits.keep_ended;
            if !old && self.ended.len() <= self.limits.most_ended {
                return;
            }
            self.ended.pop_front();
            let removed = self.remove(key);
            self.crowded_out += u64::from(removed && !old);
        }
    }

    fn remove(&mut self, key: ContainerKey) -> bool {
        let Some(entry) = self.entries.remove(&key) else { return false };
        self.evicted += 1;
        self.leave_namespaces(key, entry.namespaces);
        if let Some(id) = claim(&entry) {
            take_out(&mut self.by_claim, &id.to_owned(), key);
        }
        if let Some(id) = &entry.container.id
            && self.by_id.get(id.as_str()) == Some(&key)
        {
            self.by_id.remove(id.as_str());
        }
        true
    }

    /// The numbers of namespaces are free for others once a container has ended.
    fn leave_namespaces(&mut self, key: ContainerKey, namespaces: Namespaces) {
        if self.by_mount.get(&namespaces.mount) == Some(&key) {
            self.by_mount.remove(&namespaces.mount);
        }
        for kind in Kind::ALL {
            take_out(&mut self.by_namespace, &(kind, kind.of(&namespaces)), key);
        }
    }

    /// False where it is not known, or has ended before.
    pub(super) fn end(&mut self, key: ContainerKey, time: u64) -> bool {
        let Some(entry) = self.entries.get_mut(&key).filter(|e| e.ended.is_none()) else { return false };
        entry.ended = Some(time);
        let namespaces = entry.namespaces;
        self.leave_namespaces(key, namespaces);
        self.ended.push_back((time, key));
        self.expire(time);
        true
    }

    pub(super) fn get(&self, key: ContainerKey) -> Option<&Entry> {
        self.entries.get(&key)
    }
    pub(super) fn get_mut(&mut self, key: ContainerKey) -> Option<&mut Entry> {
        self.entries.get_mut(&key)
    }
    pub(super) fn by_mount(&self, mount: u32) -> Option<ContainerKey> {
        self.by_mount.get(&mount).copied()
    }
    pub(super) fn by_id(&self, id: &str) -> Option<ContainerKey> {
        self.by_id.get(id).copied()
    }

    /// Puts new metadata in the place of the old; an identifier stands for the container that had it last.
    pub(super) fn describe(&mut self, key: ContainerKey, container: Arc<alert::Container>) {
        let Some(entry) = self.entries.get_mut(&key) else { return };
        if let Some(id) = &container.id {
            self.by_id.insert(id.as_str().into(), key);
        }
        entry.container = container;
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = (ContainerKey, &Entry)> {
        self.entries.iter().map(|(key, entry)| (*key, entry))
    }
    /// Who was first in a namespace, among those that run.
    pub(super) fn holder(&self, kind: Kind, inode: u32) -> Option<ContainerKey> {
        self.by_namespace.get(&(kind, inode))?.first().copied()
    }

    /// Whose cgroup's path names this id.
    pub(super) fn claimants(&self, id: &str) -> &[ContainerKey] {
        self.by_claim.get(id).map(Vec::as_slice).unwrap_or_default()
    }
}

fn claim(entry: &Entry) -> Option<&str> {
    id_in_path(entry.container.cgroup_path.as_deref()?)
}

fn take_out<K: std::hash::Hash + Eq>(index: &mut HashMap<K, Vec<ContainerKey>>, at: &K, key: ContainerKey) {
    if let Some(keys) = index.get_mut(at) {
        keys.retain(|k| *k != key);
        if keys.is_empty() {
            index.remove(at);
        }
    }
}

/// The container's id in the path of its cgroup; a claim until an object confirms it.
pub(super) fn id_in_path(path: &str) -> Option<&str> {
    path.rsplit('/').find_map(|part| {
        let part = part.strip_suffix(".scope").unwrap_or(part);
        let id = part.rsplit(['-', ':']).next()?;
        sources::measured::is_container_id(id).then_some(id)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn table(most_ended: usize, most: usize) -> Table {
        let host = Namespaces { network: 9, ..Namespaces::default() };
        Table::new(Limits { keep_ended: 60 * SECOND, most_ended, most }, host)
    }
    fn actor(number: u32) -> Actor {
        Actor {
            task: Task { process: number, thread: number, start: u64::from(number) },
            namespaces: Namespaces {
                mount: number,
                pid: number,
                network: 9,
                ipc: 7,
                ..Namespaces::default()
            },
            ..Actor::default()
        }
    }
    fn enter(table: &mut Table, number: u32, time: u64) -> ContainerKey {
        let key = ContainerKey(u64::from(number));
        assert!(table.insert(key, time, &actor(number), super::super::nothing_known(key)));
        key
    }

    #[test]
    fn a_container_that_ended_is_found_for_a_time_and_then_counted_as_evicted() {
        let mut table = table(10, 100);
        let key = enter(&mut table, 7, SECOND);
        assert_eq!(table.by_mount(7), Some(key));
        assert!(table.end(key, 2 * SECOND) && !table.end(key, 3 * SECOND));
        assert!(table.get(key).is_some());
        assert_eq!(table.by_mount(7), None, "the namespace's number may be another's now");
        table.expire(100 * SECOND);
        assert!(table.get(key).is_none());
        assert_eq!((table.evicted, table.crowded_out), (1, 0), "its time was over");
    }

    #[test]
    fn ten_thousand_containers_started_and_stopped_leave_a_bounded_table() {
        let mut table = table(100, 1000);
        for number in 1..=10_000 {
            let key = enter(&mut table, number, u64::from(number));
            table.end(key, u64::from(number));
        }
        assert_eq!(table.entries.len(), 100);
        assert_eq!(table.evicted, 9_900);
        assert_eq!(table.crowded_out, 9_900);
        assert!(table.order.len() <= 2_100 && table.by_mount.is_empty());
        assert!(table.by_namespace.is_empty() && table.by_claim.is_empty());
    }

    #[test]
    fn containers_that_never_end_are_bounded_too_the_oldest_goes() {
        let mut table = table(10, 100);
        for number in 1..=1000 {
            enter(&mut table, number, u64::from(number));
        }
        assert_eq!(table.entries.len(), 100);
        assert!(table.get(ContainerKey(1000)).is_some() && table.get(ContainerKey(1)).is_none());
        assert_eq!(table.by_mount.len(), 100);
    }

    #[test]
    fn an_identifier_that_is_used_again_leads_to_the_newer_container() {
        let mut table = table(10, 100);
        let (old, new) = (enter(&mut table, 1, 1), enter(&mut table, 2, 2));
        for key in [old, new] {
            let known = alert::Container { id: Some("x".into()), ..super::super::nothing_known(key) };
            table.describe(key, Arc::new(known));
        }
        assert_eq!(table.by_id("x"), Some(new));
        table.end(old, 3);
        table.expire(1000 * SECOND);
        assert_eq!(table.by_id("x"), Some(new), "evicting the old one leaves it");
    }

    #[test]
    fn the_first_that_runs_in_a_namespace_holds_it_and_the_hosts_is_nobodys() {
        let mut table = table(10, 100);
        let (first, second) = (enter(&mut table, 1, 1), enter(&mut table, 2, 2));
        assert_eq!(table.holder(Kind::Ipc, 7), Some(first));
        assert_eq!(table.holder(Kind::Network, 9), None);
        table.end(first, 3);
        assert_eq!(table.holder(Kind::Ipc, 7), Some(second));
        assert_eq!(table.holder(Kind::Pid, 1), None);
    }

    #[test]
    fn who_claims_an_id_by_its_cgroup_is_found_until_it_is_forgotten() {
        let mut table = table(1, 100);
        let id = "ab".repeat(32);
        for number in 1..=3 {
            let key = ContainerKey(number);
            let path = Some(format!("/docker/{id}"));
            let known = alert::Container { cgroup_path: path, ..super::super::nothing_known(key) };
            assert!(table.insert(key, number, &actor(number as u32), known));
        }
        let late = enter(&mut table, 4, 4);
        table.place(late, &format!("/system.slice/docker-{id}.scope"));
        table.place(late, "/elsewhere");
        assert_eq!(table.claimants(&id).len(), 4);
        table.end(late, 4);
        table.end(ContainerKey(1), 4);
        table.end(ContainerKey(2), 5);
        assert_eq!(
            table.claimants(&id),
            [ContainerKey(2), ContainerKey(3)],
            "two are forgotten, one is kept"
        );
    }

    #[test]
    fn a_containers_id_is_found_in_every_engines_cgroup_path() {
        let id = "3e980e834b237ab71ccebce013164c056c6ec9bea1856f4db385f52bf3c78421";
        for path in [
            "/docker/ID",
            "/system.slice/docker-ID.scope",
            "/libpod_parent/libpod-ID",
            "/machine.slice/libpod-ID.scope/container",
            "/kubepods/besteffort/pod1/ID",
            "/k.slice:cri-containerd:ID",
        ] {
            assert_eq!(id_in_path(&path.replace("ID", id)), Some(id), "{path}");
        }
        assert_eq!(id_in_path("/user.slice/session-1.scope"), None);
    }
}

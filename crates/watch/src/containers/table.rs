//! The table of containers: by the sensor's key, with what is known of each. Bounded: those that ended are kept for a
//! time and up to a number, so that late events still find them; the oldest go first and are counted.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

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
    /// A read was asked for while one waited to be finished.
    pub(super) generation: u64,
}

pub(super) struct Table {
    entries: HashMap<ContainerKey, Entry>,
    by_mount: HashMap<u32, ContainerKey>,
    by_id: HashMap<Arc<str>, ContainerKey>,
    /// In the order in which they ended.
    ended: VecDeque<(u64, ContainerKey)>,
    /// In the order in which they came; keys of those that are gone are passed over.
    order: VecDeque<ContainerKey>,
    pub(super) evicted: u64,
    limits: Limits,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Nanoseconds.
    pub(super) keep_ended: u64,
    pub(super) most_ended: usize,
    pub(super) most: usize,
}

impl Table {
    pub(super) fn new(limits: Limits) -> Table {
        Table {
            entries: HashMap::new(),
            by_mount: HashMap::new(),
            by_id: HashMap::new(),
            ended: VecDeque::new(),
            order: VecDeque::new(),
            evicted: 0,
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
        };
        if entry.namespaces.mount != 0 {
            self.by_mount.insert(entry.namespaces.mount, key);
        }
        self.entries.insert(key, entry);
        self.order.push_back(key);
        true
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
            self.remove(oldest);
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
            self.remove(key);
        }
    }

    fn remove(&mut self, key: ContainerKey) {
        let Some(entry) = self.entries.remove(&key) else { return };
        self.evicted += 1;
        if self.by_mount.get(&entry.namespaces.mount) == Some(&key) {
            self.by_mount.remove(&entry.namespaces.mount);
        }
        if let Some(id) = &entry.container.id
            && self.by_id.get(id.as_str()) == Some(&key)
        {
            self.by_id.remove(id.as_str());
        }
    }

    /// False where it is not known, or has ended before.
    pub(super) fn end(&mut self, key: ContainerKey, time: u64) -> bool {
        let Some(entry) = self.entries.get_mut(&key).filter(|e| e.ended.is_none()) else { return false };
        entry.ended = Some(time);
        // The number of a namespace is free for another now.
        if self.by_mount.get(&entry.namespaces.mount) == Some(&key) {
            self.by_mount.remove(&entry.namespaces.mount);
        }
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
    /// Who had a namespace first among those that run, by which of a container's numbers it is.
    pub(super) fn holder(&self, which: impl Fn(&Namespaces) -> u32, inode: u32) -> Option<ContainerKey> {
        let running = self.entries.iter().filter(|(_, e)| e.ended.is_none() && which(&e.namespaces) == inode);
        running.min_by_key(|(key, e)| (e.started, **key)).map(|(key, _)| *key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn table(most_ended: usize, most: usize) -> Table {
        Table::new(Limits { keep_ended: 60 * SECOND, most_ended, most })
    }
    fn actor(number: u32) -> Actor {
        Actor {
            task: Task { process: number, thread: number, start: u64::from(number) },
            namespaces: Namespaces { mount: number, ..Namespaces::default() },
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
        assert_eq!(table.evicted, 1);
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
        assert!(table.order.len() <= 2_100 && table.by_mount.is_empty());
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
}

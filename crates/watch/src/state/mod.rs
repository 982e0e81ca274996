//! What is known while events pass: threads and processes, their descriptors, containers, users and groups.
//!
//! Data comes from the lists at the beginning of a capture and from events (of a capture, or of the sensor by way of
//! [`crate::live`]), each of which changes it a little; it goes to [`crate::fields`], which answers rules from it.
//! It follows what libsinsp does with the same events (`parsers.cpp`), so that fields mean the same.
//!
//! It is bounded: by a number of threads, of descriptors and of everything that is named by an event. Where a bound is
//! reached, threads that were silent longest go, and what could not be kept is counted.

pub mod container;
pub mod descriptor;
mod hash;
pub mod path;
mod plan;
pub mod thread;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use capture::event::{Address, Event, Tuple, family};
use capture::list::{self, Account, descriptor_kind as kind};

pub use container::Container;
pub use descriptor::{Descriptor, Role, Table};
pub(crate) use plan::{Action, Plan, generic, plans};
pub use thread::{Image, NOT_KNOWN, Thread};

use descriptor::transport;
use hash::NumberMap;
use thread::{Bytes, ExecutableFile};

/// How much is kept at most.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    pub threads: usize,
    /// Of one process, and of all.
    pub descriptors: usize,
    pub all_descriptors: usize,
    pub containers: usize,
    pub accounts: usize,
    /// A thread that was silent for so long goes first where room is needed, nanoseconds.
    pub silence: u64,
}

impl Default for Bounds {
    fn default() -> Self {
        Bounds {
            threads: 1 << 17,
            descriptors: 1 << 16,
            all_descriptors: 1 << 21,
            containers: 1 << 16,
            accounts: 1 << 16,
            silence: 1_800_000_000_000,
        }
    }
}

/// What was not kept, because a bound was reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    pub threads: u64,
    pub descriptors: u64,
    pub containers: u64,
}

/// The machine, as a capture names it.
#[derive(Clone, Debug, Default)]
pub struct Machine {
    pub processors: u32,
    pub memory_bytes: u64,
    pub highest_pid: u64,
    pub host_name: Vec<u8>,
}

/// An address of a network interface.
#[derive(Clone, Debug)]
pub struct Interface {
    pub name: Vec<u8>,
    pub address: IpAddr,
    pub netmask: IpAddr,
    pub broadcast: IpAddr,
    pub link_speed: u64,
}

#[derive(Clone, Debug, Default)]
pub struct User {
    pub gid: u32,
    pub name: Bytes,
    pub home: Bytes,
    pub shell: Bytes,
}

/// Whose accounts: the host's (`None`), or those of a container.
type Place = Option<Arc<str>>;

#[derive(Default)]
pub struct State {
    bounds: Bounds,
    threads: Vec<Option<Thread>>,
    free: Vec<usize>,
    by_number: NumberMap<i64, usize>,
    /// Number and index of the thread of the last event.
    last: (i64, usize),
    tables: Vec<Table>,
    free_tables: Vec<usize>,
    /// Descriptors in all tables.
    held: usize,
    pub machine: Machine,
    pub interfaces: Vec<Interface>,
    users: HashMap<(Place, u32), User>,
    groups: HashMap<(Place, u32), Bytes>,
    containers: HashMap<Arc<str>, Container>,
    dropped: Dropped,
    /// The lists were read, events pass.
    running: bool,
    /// To be done when the next event comes: fields of this one still need what it takes away.
    closed: Option<(usize, i64)>,
    exited: Option<i64>,
}

/// A thread as the sensor saw it.
pub(crate) struct Observed<'a> {
    pub(crate) thread: i64,
    pub(crate) process: i64,
    pub(crate) parent: i64,
    /// Nanoseconds since 1970.
    pub(crate) start: u64,
    pub(crate) name: &'a [u8],
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) login_uid: u32,
    pub(crate) capabilities: list::Capabilities,
    pub(crate) thread_inside: i64,
    pub(crate) process_inside: i64,
    pub(crate) container: Option<&'a Arc<str>>,
}

/// What an event was to the state.
#[derive(Clone, Copy, Debug)]
pub struct Applied {
    pub(crate) plan: Plan,
    /// Index of the thread.
    pub(crate) thread: Option<usize>,
    /// The descriptor it is about; −1: none.
    pub(crate) descriptor: i64,
    /// The event before was the begin of the same call.
    pub(crate) paired: bool,
    /// The name of the descriptor is new.
    pub(crate) name_changed: bool,
}

impl State {
    pub fn new(bounds: Bounds) -> Self {
        State { bounds, last: (NOT_KNOWN, usize::MAX), ..State::default() }
    }

    /// Forgets all: another section of a capture begins.
    pub fn clear(&mut self) {
        let dropped = self.dropped;
        *self = State::new(self.bounds);
        self.dropped = dropped;
    }

    pub fn dropped(&self) -> Dropped {
        self.dropped
    }

    // The lists at the beginning of a capture.

    pub fn add_machine(&mut self, machine: &list::Machine<'_>) {
        self.machine = Machine {
            processors: machine.processors,
            memory_bytes: machine.memory_bytes,
            highest_pid: machine.highest_pid,
            host_name: machine.host_name.to_vec(),
        };
    }

    pub fn add_interface(&mut self, interface: &list::Interface<'_>) {
        // A machine with more addresses than a port can number has no use for all.
        if self.interfaces.len() < 1 << 16 {
            self.interfaces.push(Interface {
                name: interface.name.to_vec(),
                address: interface.address,
                netmask: interface.netmask,
                broadcast: interface.broadcast,
                link_speed: interface.link_speed,
            });
        }
    }

    pub fn add_account(&mut self, place: Option<&str>, account: &Account<'_>) {
        if self.users.len() + self.groups.len() >= self.bounds.accounts {
            return;
        }
        let place = place.map(Arc::from);
        match account {
            Account::User(user) => {
                let found = User {
                    gid: user.gid,
                    name: user.name.into(),
                    home: user.home.into(),
                    shell: user.shell.into(),
                };
                self.users.insert((place, user.uid), found);
            }
            Account::Group(group) => {
                self.groups.insert((place, group.gid), group.name.into());
            }
        }
    }

    pub fn add_process(&mut self, process: &list::Process<'_>) {
        let Some(index) = self.add(process.thread, 0) else { return };
        let Some(mut table) = self.at(index).map(|thread| thread.table) else { return };
        // Threads of a process share its descriptors; the leader comes first.
        let leader = (process.thread != process.process).then(|| self.thread(process.process)).flatten();
        if let Some(shared) = leader.map(|leader| leader.table) {
            self.share(shared);
            self.release(table);
            table = shared;
        }
        if let Some(place) = self.threads.get_mut(index) {
            *place = Some(Thread::from_list(process, table));
        }
    }

    pub fn add_descriptor(&mut self, thread: i64, descriptor: &list::Descriptor<'_>) {
        if let Some(table) = self.thread(thread).map(|thread| thread.table) {
            self.put(table, descriptor.number, Descriptor::from_list(descriptor));
        }
    }

    pub fn add_container(&mut self, container: Container) {
        if self.containers.len() >= self.bounds.containers
            && !self.containers.contains_key(container.id.as_str())
        {
            self.dropped.containers += 1;
            return;
        }
        self.containers.insert(container.id.as_str().into(), container);
    }

    /// The lists are read: says of each connection which end the process is.
    ///
    /// Whoever listens on a port is the server of what comes to it (libs, `fix_sockets_coming_from_proc`).
    fn begin(&mut self) {
        self.running = true;
        // A list may name children before their parents.
        let families: Vec<(i64, i64)> = self.threads().map(|thread| (thread.parent, thread.thread)).collect();
        for (parent, child) in families {
            self.adopt(parent, child);
        }
        let room = self.bounds.all_descriptors.saturating_sub(self.held);
        for table in &mut self.tables {
            let listening = table.listening();
            let sockets: Vec<i64> =
                table.iter().filter(|(_, found)| found.socket.is_some()).map(|(number, _)| number).collect();
            for number in sockets {
                let Some(found) = table.get_mut(number, room) else { continue };
                let connection = matches!(found.kind, kind::IPV4 | kind::IPV6);
                let Some(socket) = found.socket.as_deref().copied() else { continue };
                let serves = connection && listening.contains(&socket.source.1);
                if serves {
                    found.set_ends(socket.destination, socket.source);
                }
                if let Some(socket) = &mut found.socket {
                    socket.role = if serves || !connection { Role::Server } else { Role::Client };
                    socket.connected = connection;
                }
            }
        }
    }

    // Looking up.

    pub fn thread(&self, number: i64) -> Option<&Thread> {
        self.by_number.get(&number).and_then(|index| self.threads.get(*index)?.as_ref())
    }

    pub fn threads(&self) -> impl Iterator<Item = &Thread> {
        self.threads.iter().flatten()
    }

    #[inline]
    pub(crate) fn at(&self, index: usize) -> Option<&Thread> {
        self.threads.get(index)?.as_ref()
    }

    /// The process that forked it, or adopted it; `None` where that has ended and nobody said who adopted.
    pub fn parent(&self, thread: &Thread) -> Option<&Thread> {
        if thread.orphan || thread.parent <= 0 {
            return None;
        }
        self.thread(thread.parent).filter(|parent| parent.thread != thread.thread)
    }

    /// The process, then its parents: at most as many as can be sane, so that a circle ends.
    pub fn ancestors<'a>(&'a self, thread: &'a Thread) -> impl Iterator<Item = &'a Thread> {
        std::iter::successors(Some(thread), |thread| self.parent(thread)).take(256)
    }

    /// The first thread of its process, itself where that is not known.
    pub fn leader<'a>(&'a self, thread: &'a Thread) -> &'a Thread {
        if thread.is_leader() { thread } else { self.thread(thread.process).unwrap_or(thread) }
    }

    pub fn descriptors(&self, thread: &Thread) -> Option<&Table> {
        self.tables.get(thread.table)
    }

    pub fn container(&self, id: &str) -> Option<&Container> {
        self.containers.get(id)
    }

    pub fn containers(&self) -> impl Iterator<Item = &Container> {
        self.containers.values()
    }

    pub fn user(&self, container: Option<&Arc<str>>, uid: u32) -> Option<&User> {
        self.users.get(&(container.cloned(), uid))
    }

    pub fn group(&self, container: Option<&Arc<str>>, gid: u32) -> Option<&[u8]> {
        self.groups.get(&(container.cloned(), gid)).map(|name| &**name)
    }

    /// All accounts of the host, for the lists of a capture that is being written.
    pub fn accounts(&self) -> impl Iterator<Item = Account<'_>> {
        let users = self.users.iter().filter(|((place, _), _)| place.is_none()).map(|((_, uid), user)| {
            Account::User(list::User {
                uid: *uid,
                gid: user.gid,
                name: &user.name,
                home: &user.home,
                shell: &user.shell,
            })
        });
        let groups = self.groups.iter().filter(|((place, _), _)| place.is_none());
        users.chain(groups.map(|((_, gid), name)| Account::Group(list::Group { gid: *gid, name })))
    }

    /// Writes what is known now as the lists that a capture begins with.
    pub fn write_lists<W: std::io::Write>(
        &self,
        writer: &mut capture::Writer<W>,
    ) -> Result<(), capture::Error> {
        let machine = &self.machine;
        writer.machine(&list::Machine {
            processors: machine.processors,
            memory_bytes: machine.memory_bytes,
            highest_pid: machine.highest_pid,
            host_name: &machine.host_name,
        })?;
        writer.interfaces(self.interfaces.iter().map(|interface| list::Interface {
            name: &interface.name,
            address: interface.address,
            netmask: interface.netmask,
            broadcast: interface.broadcast,
            link_speed: interface.link_speed,
        }))?;
        writer.accounts(self.accounts())?;
        // A reader shares a leader's descriptors with its threads: leaders come first.
        let known = || self.threads().filter(|thread| !thread.placeholder);
        let leaders = known().filter(|thread| thread.is_leader());
        let others = known().filter(|thread| !thread.is_leader());
        writer.processes(leaders.chain(others).map(Thread::to_list))?;
        for thread in known() {
            let Some(table) = self.descriptors(thread).filter(|table| !table.is_empty()) else { continue };
            writer.descriptors(thread.thread, table.iter().map(|(number, found)| found.to_list(number)))?;
        }
        Ok(())
    }

    /// Whether an address is one of this machine's.
    pub fn is_local(&self, address: IpAddr) -> bool {
        address.is_loopback()
            || address.is_unspecified()
            || self.interfaces.iter().any(|interface| interface.address == address)
    }

    // Events.

    /// Takes an event: what it did is known afterwards, and what it took away still.
    #[inline]
    pub fn apply(&mut self, event: &Event<'_>) -> Applied {
        if self.closed.is_some() || self.exited.is_some() {
            self.settle();
        }
        if !self.running {
            self.begin();
        }
        let plan = plans().get(usize::from(event.code)).copied();
        let mut applied = Applied {
            plan: plan.unwrap_or(Plan {
                action: Action::Nothing,
                event_type: rules::EventType::Syscall,
                internal: true,
                descriptor: -1,
                tuple: -1,
                matched: false,
            }),
            thread: None,
            descriptor: NOT_KNOWN,
            paired: false,
            name_changed: false,
        };
        if event.code <= 1 {
            let number = event.number(0).and_then(|number| u16::try_from(number).ok());
            applied.plan.event_type = number.map_or(rules::EventType::Syscall, generic);
        }
        if applied.plan.internal || event.thread <= 0 {
            self.act(event, &mut applied);
            return applied;
        }
        applied.thread = self.index(event.thread).or_else(|| self.add(event.thread, event.time));
        let Some(thread) = applied.thread.and_then(|index| self.threads.get_mut(index)?.as_mut()) else {
            return applied;
        };
        thread.seen = event.time;
        let own = usize::try_from(applied.plan.descriptor).ok().and_then(|place| event.number(place));
        if event.kind.enter {
            if !event.kind.marks.no_pair {
                thread.descriptor = own.unwrap_or(NOT_KNOWN);
                event.keep(&mut thread.entered);
            }
            applied.descriptor = own.unwrap_or(NOT_KNOWN);
        } else {
            applied.paired = thread.entered.code() == Some(event.code - 1);
            if !applied.paired {
                thread.entered.clear();
                thread.descriptor = NOT_KNOWN;
            }
            applied.descriptor = match own {
                Some(own) => own,
                None if event.kind.marks.creates_descriptor => match event.result() {
                    Some(made) if made >= 0 => made,
                    _ => thread.descriptor,
                },
                None => thread.descriptor,
            };
        }
        if applied.plan.action != Action::Nothing {
            self.act(event, &mut applied);
        }
        applied
    }

    /// A thread acts that the sensor tells of: what it is now is taken over. Its index, where there was room for it.
    ///
    /// Numbers come round: where the number is known with another start, that thread is gone.
    pub(crate) fn observe(&mut self, seen: &Observed<'_>, time: u64) -> Option<usize> {
        let same = self.index(seen.thread).filter(|index| {
            self.at(*index).is_some_and(|thread| thread.start == seen.start && thread.process == seen.process)
        });
        let index = match same {
            Some(index) => index,
            None => {
                let index = self.add(seen.thread, time)?;
                // A thread is what its process is; a process that was not seen being forked, what its parent is.
                let from = if seen.thread == seen.process { seen.parent } else { seen.process };
                let known =
                    self.thread(from).is_some_and(|thread| !thread.placeholder && from != seen.thread);
                if known {
                    self.inherit(from, index, CLONE_FILES, time);
                }
                self.adopt(seen.parent, seen.thread);
                index
            }
        };
        let thread = self.threads.get_mut(index)?.as_mut()?;
        thread.seen = time;
        thread.placeholder = false;
        (thread.process, thread.start) = (seen.process, seen.start);
        if thread.parent != seen.parent {
            (thread.parent, thread.orphan) = (seen.parent, false);
        }
        if *thread.name != *seen.name {
            thread.name = seen.name.into();
        }
        (thread.uid, thread.gid, thread.login_uid) = (seen.uid, seen.gid, seen.login_uid);
        thread.capabilities = Some(seen.capabilities);
        (thread.thread_inside, thread.process_inside) = (seen.thread_inside, seen.process_inside);
        if thread.container.as_deref() != seen.container.map(|id| &**id) {
            thread.container = seen.container.cloned();
        }
        Some(index)
    }

    /// A thread was forked: it is what the one that forked it is.
    pub(crate) fn forked(&mut self, from: i64, child: i64, process: i64, start: u64, time: u64) {
        let Some(index) = self.add(child, time) else { return };
        self.inherit(from, index, CLONE_FILES, time);
        let parent = self.thread(from).map_or(NOT_KNOWN, |from| from.process);
        if let Some(thread) = self.threads.get_mut(index).and_then(Option::as_mut) {
            (thread.process, thread.start, thread.placeholder, thread.orphan) =
                (process, start, false, false);
            if child == process {
                thread.parent = parent;
            }
        }
        self.adopt(parent, child);
    }

    /// A program was executed.
    pub(crate) fn executed_live(
        &mut self,
        index: usize,
        image: Image,
        directory: &[u8],
        terminal: u32,
        ids: [i64; 2],
    ) {
        let Some(thread) = self.threads.get_mut(index).and_then(Option::as_mut) else { return };
        thread.image = Arc::new(image);
        thread.directory = path::join(b"", directory).into();
        thread.terminal = terminal;
        [thread.session, thread.group] = ids;
    }

    pub(crate) fn moved(&mut self, index: usize, directory: &[u8]) {
        if let Some(thread) = self.threads.get_mut(index).and_then(Option::as_mut) {
            thread.directory = path::join(b"", directory).into();
        }
    }

    /// Its last event is still to be answered: it goes when the next comes.
    pub(crate) fn ended(&mut self, thread: i64) {
        self.exited = Some(thread);
    }

    /// Does what the event before left to be done.
    #[cold]
    pub(crate) fn settle(&mut self) {
        if let Some((table, number)) = self.closed.take() {
            self.change_table(table, |table, _, room| {
                table.remove(number, room);
                0
            });
        }
        if let Some(thread) = self.exited.take() {
            self.remove(thread);
        }
    }

    #[inline]
    fn index(&mut self, number: i64) -> Option<usize> {
        if self.last.0 == number {
            return Some(self.last.1);
        }
        let index = *self.by_number.get(&number)?;
        self.last = (number, index);
        Some(index)
    }

    /// A thread of which nothing is known yet; the one that had the number before is gone.
    fn add(&mut self, number: i64, time: u64) -> Option<usize> {
        self.remove(number);
        if self.by_number.len() >= self.bounds.threads && !self.make_room(time) {
            self.dropped.threads += 1;
            return None;
        }
        let table = self.new_table(Table::default());
        let mut thread = Thread::placeholder(number, table);
        thread.seen = time;
        let index = match self.free.pop() {
            Some(index) => index,
            None => {
                self.threads.push(None);
                self.threads.len() - 1
            }
        };
        *self.threads.get_mut(index)? = Some(thread);
        self.by_number.insert(number, index);
        Some(index)
    }

    /// Lets those go that were silent for long, or else the half that was silent longest: their end was missed.
    fn make_room(&mut self, time: u64) -> bool {
        let mut seen: Vec<(u64, i64)> = self.threads().map(|thread| (thread.seen, thread.thread)).collect();
        if seen.is_empty() {
            return false;
        }
        seen.sort_unstable();
        let silent = seen.partition_point(|(seen, _)| *seen < time.saturating_sub(self.bounds.silence));
        let gone = silent.max(seen.len().div_ceil(2));
        self.dropped.threads += gone as u64;
        for (_, thread) in seen.iter().take(gone) {
            self.remove(*thread);
        }
        true
    }

    fn new_table(&mut self, mut table: Table) -> usize {
        table.shares = 1;
        match self.free_tables.pop() {
            Some(index) => {
                if let Some(place) = self.tables.get_mut(index) {
                    *place = table;
                }
                index
            }
            None => {
                self.tables.push(table);
                self.tables.len() - 1
            }
        }
    }

    fn share(&mut self, index: usize) {
        if let Some(table) = self.tables.get_mut(index) {
            table.shares += 1;
        }
    }

    /// Changes a table, within the bound on all descriptors. `change` gets the bound on one and the room left, and says
    /// how many it could not keep.
    #[inline]
    fn change_table(&mut self, index: usize, change: impl FnOnce(&mut Table, usize, usize) -> usize) {
        let room = self.bounds.all_descriptors.saturating_sub(self.held);
        let Some(table) = self.tables.get_mut(index) else { return };
        let before = table.own;
        let forgotten = change(table, self.bounds.descriptors, room);
        self.held = (self.held + table.own).saturating_sub(before);
        self.dropped.descriptors += forgotten as u64;
    }

    fn change_descriptor(
        &mut self,
        index: usize,
        number: i64,
        change: impl FnOnce(&mut Descriptor) -> bool,
    ) -> bool {
        let mut changed = false;
        self.change_table(index, |table, _, room| {
            changed = table.get_mut(number, room).is_some_and(change);
            0
        });
        changed
    }

    fn remove(&mut self, number: i64) {
        let Some(index) = self.by_number.remove(&number) else { return };
        if self.last.0 == number {
            self.last = (NOT_KNOWN, usize::MAX);
        }
        let Some(thread) = self.threads.get_mut(index).and_then(Option::take) else { return };
        self.free.push(index);
        self.release(thread.table);
        // Whoever comes under this number is not their parent.
        for child in thread.children {
            if let Some(child) = self.thread_mut(child).filter(|child| child.parent == number) {
                child.orphan = true;
            }
        }
    }

    fn release(&mut self, index: usize) {
        let Some(table) = self.tables.get_mut(index) else { return };
        table.shares = table.shares.saturating_sub(1);
        if table.shares == 0 {
            self.held = self.held.saturating_sub(table.own);
            *table = Table::default();
            self.free_tables.push(index);
        }
    }

    fn thread_mut(&mut self, number: i64) -> Option<&mut Thread> {
        let index = *self.by_number.get(&number)?;
        self.threads.get_mut(index)?.as_mut()
    }

    /// Notes a child, so that it can be told when its parent ends.
    fn adopt(&mut self, parent: i64, child: i64) {
        let Some(thread) = self.thread_mut(parent) else { return };
        thread.children.push(child);
        let count = thread.children.len();
        // Those that ended before their parent are let go now and then.
        if count >= 64 && count.is_power_of_two() {
            let mut children = std::mem::take(&mut thread.children);
            children.sort_unstable();
            children.dedup();
            children.retain(|child| self.thread(*child).is_some_and(|child| child.parent == parent));
            if let Some(thread) = self.thread_mut(parent) {
                thread.children = children;
            }
        }
    }

    fn put(&mut self, table: usize, number: i64, descriptor: Descriptor) -> bool {
        let mut kept = false;
        self.change_table(table, |table, most, room| {
            let forgotten = table.insert(number, descriptor, most, room);
            kept = forgotten == 0;
            forgotten
        });
        kept
    }

    fn act(&mut self, event: &Event<'_>, applied: &mut Applied) {
        let call = Call { event, applied: *applied };
        match applied.plan.action {
            Action::Nothing => {}
            Action::Container => {
                let told = event.kind.parameter("json").and_then(|place| event.text(place));
                if let Some(container) = told.and_then(Container::from_json) {
                    self.add_container(container);
                }
            }
            Action::UserAdded | Action::UserDeleted | Action::GroupAdded | Action::GroupDeleted => {
                self.account(&call, applied.plan.action);
            }
            action => {
                let Some(index) = applied.thread else { return };
                self.act_in(action, &call, index, applied);
            }
        }
    }

    fn account(&mut self, call: &Call<'_, '_>, action: Action) {
        let text = |name| call.text(name).unwrap_or_default();
        let place = String::from_utf8_lossy(text("container_id")).into_owned();
        let place = (!place.is_empty() && place != "host").then_some(place);
        let number = |name| call.number(name).unwrap_or_default() as u32;
        match action {
            Action::UserAdded => {
                let user = list::User {
                    uid: number("uid"),
                    gid: number("gid"),
                    name: text("name"),
                    home: text("home"),
                    shell: text("shell"),
                };
                self.add_account(place.as_deref(), &Account::User(user));
            }
            Action::GroupAdded => {
                let group = list::Group { gid: number("gid"), name: text("name") };
                self.add_account(place.as_deref(), &Account::Group(group));
            }
            Action::UserDeleted => {
                self.users.remove(&(place.map(Arc::from), number("uid")));
            }
            _ => {
                self.groups.remove(&(place.map(Arc::from), number("gid")));
            }
        }
    }

    fn act_in(&mut self, action: Action, call: &Call<'_, '_>, index: usize, applied: &mut Applied) {
        let result = call.event.result();
        let succeeded = result.is_some_and(|result| result >= 0);
        let Some(thread) = self.at(index) else { return };
        let table = thread.table;
        match action {
            Action::Exit => {
                self.exit(call, index);
            }
            Action::Clone => self.clone_thread(call, index, result),
            Action::Execute if succeeded => self.execute(call, index),
            Action::Connect => {
                applied.name_changed = self.connect(call, table, result);
            }
            // What failed changes nothing else.
            _ if !succeeded => {}
            Action::Open => {
                let opened = self.opened(call, index);
                applied.name_changed = self.put(table, applied.descriptor, opened);
            }
            Action::Close => self.closed = Some((table, applied.descriptor)),
            Action::Socket => {
                let kept = self.entered(index, call, |call| call.socket());
                self.put(table, applied.descriptor, kept);
            }
            Action::SocketPair => self.socket_pair(call, table),
            Action::Bind => applied.name_changed = self.bind(call, table),
            Action::Accept => {
                if let Some(accepted) = call.accepted() {
                    applied.name_changed = self.put(table, applied.descriptor, accepted);
                }
            }
            Action::Transfer => applied.name_changed = self.transfer(call, index),
            Action::Duplicate => self.duplicate(call, index, result, applied),
            Action::Pipe => {
                for name in ["fd1", "fd2"] {
                    if let Some(number) = call.number(name) {
                        let inode = call.number("ino").unwrap_or_default() as u64;
                        let pipe = Descriptor { inode, ..Descriptor::new(kind::PIPE, &b""[..]) };
                        self.put(table, number, pipe);
                    }
                }
                applied.descriptor = call.number("fd2").unwrap_or(NOT_KNOWN);
            }
            Action::Make(kind) => {
                let name: &[u8] =
                    if kind == kind::MEMFD { call.text("name").unwrap_or_default() } else { b"" };
                if call.event.kind.marks.creates_descriptor && applied.descriptor >= 0 {
                    self.put(table, applied.descriptor, Descriptor::new(kind, name));
                }
            }
            _ => self.change(action, call, index, result),
        }
    }

    /// Changes of who and where a thread is.
    fn change(&mut self, action: Action, call: &Call<'_, '_>, index: usize, result: Option<i64>) {
        // Numbers that mean "leave as it is" are −1.
        let id = |value: Option<i64>| value.map(|value| value as u32).filter(|value| *value != u32::MAX);
        let argument = |state: &State, names: &[&str]| {
            state.entered(index, call, |call| names.iter().find_map(|name| call.number(name)))
        };
        let directory = match action {
            Action::ChangeDirectory => {
                let base = self.directory(index);
                call.text("path").map(|path| path::join(&base, path))
            }
            Action::ChangeDirectoryTo => {
                self.descriptor_name(index, call.applied.descriptor).map(|name| name.to_vec())
            }
            _ => None,
        };
        let uid = id(argument(self, &["euid", "uid"]));
        let gid = id(argument(self, &["egid", "gid"]));
        let leader = self.at(index).map(|thread| thread.process);
        let group = argument(self, &["pgid"]);
        let Some(thread) = self.threads.get_mut(index).and_then(Option::as_mut) else { return };
        match action {
            Action::SetUid => thread.uid = uid.unwrap_or(thread.uid),
            Action::SetGid => thread.gid = gid.unwrap_or(thread.gid),
            Action::SetCapabilities => {
                let set = |name| call.number(name).map(|set| set as u64);
                if let (Some(inheritable), Some(permitted), Some(effective)) =
                    (set("cap_inheritable"), set("cap_permitted"), set("cap_effective"))
                {
                    thread.capabilities = Some(list::Capabilities { inheritable, permitted, effective });
                }
            }
            Action::SetSession => {
                thread.session = result.unwrap_or(thread.session);
                thread.group = thread.session;
                thread.terminal = 0;
            }
            Action::SetGroup => thread.group = group.filter(|group| *group > 0).unwrap_or(thread.process),
            Action::ChangeRoot => {
                if let Some(path) = call.text("path") {
                    thread.root = path.into();
                }
            }
            Action::ChangeDirectory | Action::ChangeDirectoryTo => {
                if let Some(directory) = directory {
                    let directory = Bytes::from(directory);
                    thread.directory = directory.clone();
                    if let Some(leader) = leader.and_then(|leader| self.thread_mut(leader)) {
                        leader.directory = directory;
                    }
                }
            }
            _ => {}
        }
    }

    /// Asks of the event and, what it does not have, of the one that began the call.
    fn entered<T>(&self, index: usize, call: &Call<'_, '_>, ask: impl Fn(&Both<'_, '_>) -> T) -> T {
        let before = match call.applied.paired {
            true => self.at(index).and_then(|thread| thread.entered.event()),
            false => None,
        };
        ask(&Both { after: call.event, before })
    }

    /// The directory that relative paths of this thread begin at.
    pub(crate) fn directory(&self, index: usize) -> Bytes {
        self.at(index).map(|thread| self.leader(thread).directory.clone()).unwrap_or_default()
    }

    pub(crate) fn descriptor_name(&self, index: usize, number: i64) -> Option<&[u8]> {
        let thread = self.at(index)?;
        self.tables.get(thread.table)?.get(number).map(|found| &*found.name)
    }

    /// The path of a call that takes a directory's descriptor: absolute as far as is known.
    pub(crate) fn resolve(&self, index: usize, directory: Option<i64>, path: &[u8]) -> Vec<u8> {
        if path.starts_with(b"/") {
            return path::join(b"", path);
        }
        match directory {
            None | Some(AT_FDCWD) => path::join(&self.directory(index), path),
            Some(number) => match self.descriptor_name(index, number) {
                Some(name) => path::join(name, path),
                None => [b"<UNKNOWN>/", path].concat(),
            },
        }
    }

    fn opened(&self, call: &Call<'_, '_>, index: usize) -> Descriptor {
        self.entered(index, call, |both| {
            let given = both.text("name").or_else(|| both.text("path")).unwrap_or_default();
            let name = self.resolve(index, both.number("dirfd"), given);
            let flags = both.number("flags").unwrap_or_default() as u32;
            let is_directory = flags & O_DIRECTORY != 0;
            Descriptor {
                raw: Some(given.into()),
                flags,
                device: both.number("dev").unwrap_or_default() as u32,
                inode: both.number("ino").unwrap_or_default() as u64,
                ..Descriptor::new(if is_directory { kind::DIRECTORY } else { kind::OPEN_FILE }, name)
            }
        })
    }

    fn socket_pair(&mut self, call: &Call<'_, '_>, table: usize) {
        let end = |name| call.number(name).unwrap_or_default() as u64;
        let name = descriptor::unix_name(end("source"), end("peer"), b"");
        for end in ["fd1", "fd2"] {
            if let Some(number) = call.number(end) {
                self.put(table, number, Descriptor::new(kind::UNIX, name.clone()));
            }
        }
    }

    fn bind(&mut self, call: &Call<'_, '_>, table: usize) -> bool {
        let address = call.event.kind.parameter("addr").and_then(|place| call.event.address(place));
        let number = call.applied.descriptor;
        self.change_descriptor(table, number, |found| {
            match address {
                Some(Address::Internet(ip, port)) if port != 0 => {
                    found.set_listening((ip, port));
                    if let Some(socket) = &mut found.socket {
                        socket.role = Role::Server;
                        if socket.transport == transport::UNKNOWN {
                            socket.transport = transport::TCP;
                        }
                    }
                }
                // Bound to any port: not listening yet.
                Some(Address::Internet(ip, port)) => found.name = descriptor::end_name((ip, port)).into(),
                Some(Address::Unix(path)) => found.name = path.into(),
                _ => return false,
            }
            true
        })
    }

    fn connect(&mut self, call: &Call<'_, '_>, table: usize, result: Option<i64>) -> bool {
        if !result.is_some_and(|result| result >= 0 || result == -EINPROGRESS) {
            return false;
        }
        let number = call.applied.descriptor;
        let tuple = call.tuple();
        self.change_descriptor(table, number, |found| {
            match tuple {
                Some(Tuple::Internet { source, destination }) => {
                    found.set_ends(source, destination);
                    if let Some(socket) = &mut found.socket {
                        socket.role = Role::Client;
                        socket.connected = true;
                    }
                }
                Some(Tuple::Unix { source, destination, path }) => {
                    *found = Descriptor::unix(source, destination, path);
                }
                _ => return false,
            }
            true
        })
    }

    /// A datagram, or the first bytes of a socket that was not seen being connected, tell both ends.
    fn transfer(&mut self, call: &Call<'_, '_>, index: usize) -> bool {
        let number = call.applied.descriptor;
        let ends = self.entered(index, call, |both| match both.tuple() {
            Some(Tuple::Internet { source, destination }) => Some((source, destination)),
            _ => None,
        });
        let Some((source, destination)) = ends else { return false };
        let Some(table) = self.at(index).map(|thread| thread.table) else { return false };
        let Some(found) = self.tables.get(table).and_then(|table| table.get(number)) else { return false };
        let told = found.socket.as_deref().is_some_and(|socket| {
            let known = (socket.source, socket.destination) == (source, destination);
            known || (socket.transport == transport::TCP && !found.name.is_empty())
        });
        if !found.is_internet() || told {
            return false;
        }
        let listening = self.tables.get(table).map(Table::listening).unwrap_or_default();
        let role = if listening.contains(&destination.1) { Role::Server } else { Role::Client };
        self.change_descriptor(table, number, |found| {
            found.set_ends(source, destination);
            if let Some(socket) = &mut found.socket {
                socket.connected = true;
                if socket.role == Role::NotKnown {
                    socket.role = role;
                }
            }
            true
        })
    }

    fn duplicate(&mut self, call: &Call<'_, '_>, index: usize, result: Option<i64>, applied: &mut Applied) {
        let (old, command) = self.entered(index, call, |both| {
            (both.number("oldfd").or_else(|| both.number("fd")), both.number("cmd"))
        });
        // Of fcntl(2), F_DUPFD and F_DUPFD_CLOEXEC (table `fcntl_commands`).
        let duplicates = call.event.kind.name != "fcntl" || matches!(command, Some(1 | 26));
        let (Some(old), Some(new), true) = (old, result, duplicates) else { return };
        let Some(table) = self.at(index).map(|thread| thread.table) else { return };
        let copy = self.tables.get(table).and_then(|table| table.get(old)).cloned();
        if let Some(mut copy) = copy {
            copy.flags &= !O_CLOEXEC;
            self.put(table, new, copy);
            applied.descriptor = new;
        }
    }

    fn exit(&mut self, call: &Call<'_, '_>, index: usize) {
        let Some(thread) = self.at(index) else { return };
        let (number, children) = (thread.thread, thread.children.clone());
        let reaper = call.number("reaper_tid").filter(|reaper| *reaper > 0 && *reaper != number);
        if let Some(reaper) = reaper {
            for child in children {
                if let Some(found) = self.thread_mut(child).filter(|found| found.parent == number) {
                    found.parent = reaper;
                    self.adopt(reaper, child);
                }
            }
        }
        self.exited = Some(number);
    }

    /// clone(2) and its kin return twice: in the parent with the child's number, in the child with 0.
    fn clone_thread(&mut self, call: &Call<'_, '_>, index: usize, result: Option<i64>) {
        let flags = call.number("flags").unwrap_or_default() as u32;
        match result {
            Some(0) => {
                // The child tells of itself. Where its parent told first, this only completes it.
                let Some(thread) = self.at(index) else { return };
                let number = thread.thread;
                let parent = call.number("ptid").unwrap_or(thread.parent);
                // A thread's parent is its process's parent; it shares with its leader.
                let process = call.number("pid").unwrap_or(number);
                if thread.placeholder {
                    let from = if process == number { parent } else { process };
                    self.inherit(from, index, flags, call.event.time);
                }
                self.describe(call, index, true);
                if let Some(thread) = self.threads.get_mut(index).and_then(Option::as_mut) {
                    (thread.process, thread.parent) = (process, parent);
                    thread.orphan = false;
                    thread.thread_inside = call.number("vtid").unwrap_or(thread.thread_inside);
                    thread.process_inside = call.number("vpid").unwrap_or(thread.process_inside);
                }
                self.adopt(parent, number);
            }
            Some(child) if child > 0 => {
                let Some(thread) = self.at(index) else { return };
                // In a pid namespace of its own, the parent sees another number than the host (libs,
                // `parse_clone_exit_caller`): the child will tell.
                let inside = call.number("vtid").unwrap_or(thread.thread_inside);
                if inside != NOT_KNOWN && inside != thread.thread {
                    return;
                }
                let (parent, process) = (thread.thread, thread.process);
                let known = self.thread(child).is_some_and(|found| {
                    !found.placeholder && call.event.time.saturating_sub(found.start) < 1_000_000_000
                });
                if known {
                    return;
                }
                let Some(made) = self.add(child, call.event.time) else { return };
                self.inherit(parent, made, flags, call.event.time);
                let is_thread = flags & CLONE_THREAD != 0;
                let grandparent = self.at(index).map_or(NOT_KNOWN, |thread| thread.parent);
                if let Some(thread) = self.threads.get_mut(made).and_then(Option::as_mut) {
                    thread.process = if is_thread { process } else { child };
                    thread.parent =
                        if is_thread || flags & CLONE_PARENT != 0 { grandparent } else { process };
                    thread.orphan = false;
                    (thread.thread_inside, thread.process_inside) = (child, thread.process);
                }
                let parent = self.at(made).map_or(parent, |thread| thread.parent);
                self.adopt(parent, child);
            }
            _ => {}
        }
    }

    /// Gives a new thread what its parent has.
    fn inherit(&mut self, parent: i64, index: usize, flags: u32, time: u64) {
        let Some(parent) = self.thread(parent) else { return };
        let copy = Thread {
            children: Vec::new(),
            entered: Default::default(),
            descriptor: NOT_KNOWN,
            seen: time,
            start: time,
            placeholder: false,
            flags,
            ..parent.clone()
        };
        let shared = flags & (CLONE_FILES | CLONE_THREAD) != 0;
        let (from, directory) = (copy.table, self.leader(parent).directory.clone());
        let table = if shared {
            self.share(from);
            from
        } else {
            let copied = self.tables.get(from).map(Table::inherited).unwrap_or_default();
            self.new_table(copied)
        };
        let Some(thread) = self.threads.get_mut(index).and_then(Option::as_mut) else { return };
        let (number, old) = (thread.thread, thread.table);
        *thread = Thread { thread: number, table, directory, ..copy };
        self.release(old);
    }

    fn execute(&mut self, call: &Call<'_, '_>, index: usize) {
        let path = self.executed(call, index);
        self.describe(call, index, false);
        let table = {
            let Some(thread) = self.threads.get_mut(index).and_then(Option::as_mut) else { return };
            let image = Arc::make_mut(&mut thread.image);
            image.path = path;
            image.environment = call.bytes("env").unwrap_or_default().to_vec();
            image.file = call.file();
            thread.flags &= !CLONE_VFORK;
            if let Some(terminal) = call.number("tty") {
                thread.terminal = terminal as u32;
            }
            if let Some(login) = call.number("loginuid") {
                thread.login_uid = login as u32;
            }
            let set = |name| call.number(name).map(|set| set as u64);
            if let (Some(inheritable), Some(permitted), Some(effective)) =
                (set("cap_inheritable"), set("cap_permitted"), set("cap_effective"))
            {
                thread.capabilities = Some(list::Capabilities { inheritable, permitted, effective });
            }
            if let Some(group) = call.number("vpgid") {
                thread.group_inside = group;
            }
            if let Some(group) = call.number("pgid") {
                thread.group = group;
            }
            for (name, id) in [("uid", &mut thread.uid), ("gid", &mut thread.gid)] {
                if let Some(value) = call.number(name) {
                    *id = value as u32;
                }
            }
            thread.placeholder = false;
            thread.table
        };
        // A table that others share is theirs alone after this.
        if self.tables.get(table).is_some_and(|table| table.shares > 1) {
            let own = self.tables.get(table).map(Table::inherited).unwrap_or_default();
            let own = self.new_table(own);
            self.release(table);
            if let Some(thread) = self.threads.get_mut(index).and_then(Option::as_mut) {
                thread.table = own;
            }
        }
        let table = self.at(index).map_or(table, |thread| thread.table);
        self.change_table(table, |table, _, room| {
            table.close_on_exec(O_CLOEXEC, room);
            0
        });
    }

    /// The file that was executed: as the kernel says it, or else as it was asked for.
    fn executed(&self, call: &Call<'_, '_>, index: usize) -> Option<Vec<u8>> {
        if let Some(path) = call.text("trusted_exepath").filter(|path| !path.is_empty()) {
            return Some(path.to_vec());
        }
        let (directory, path) = self.entered(index, call, |both| {
            let before = both.before.as_ref();
            let text = |name| before.and_then(|event| event.text(event.kind.parameter(name)?));
            let path = text("filename").or_else(|| text("pathname")).map(<[u8]>::to_vec);
            (both.number("dirfd"), path)
        });
        match path.as_deref() {
            None | Some(b"" | b"<NA>") => None,
            Some(path) => Some(self.resolve(index, directory, path)),
        }
    }

    /// What clone(2) and execve(2) tell of a thread. `keep`: where the program stays the same, it is not copied.
    fn describe(&mut self, call: &Call<'_, '_>, index: usize, keep: bool) {
        let Some(thread) = self.threads.get_mut(index).and_then(Option::as_mut) else { return };
        let executable = call.text("exe").unwrap_or_default();
        let arguments = call.bytes("args").unwrap_or_default();
        let same = thread.image.executable == executable && thread.image.arguments == arguments;
        if !keep || !same {
            let (path, environment, file) = match keep {
                true => (thread.image.path.clone(), thread.image.environment.clone(), thread.image.file),
                false => (None, Vec::new(), ExecutableFile::default()),
            };
            thread.image = Arc::new(Image {
                executable: executable.to_vec(),
                path,
                arguments: arguments.to_vec(),
                environment,
                file,
            });
        }
        match call.text("comm") {
            Some(name) => thread.name = name.into(),
            // Old sensors did not tell it: the last part of what was executed, 15 bytes at most.
            None if !keep => {
                let name = executable.rsplit(|byte| *byte == b'/').next().unwrap_or(executable);
                thread.name = name.get(..15).unwrap_or(name).into();
            }
            None => {}
        }
        if let Some(directory) = call.text("cwd").filter(|directory| !directory.is_empty()) {
            thread.directory = path::join(b"", directory).into();
        }
        if let Some(cgroups) = call.bytes("cgroups").filter(|cgroups| **cgroups != *thread.cgroups) {
            thread.container = container::id_of_cgroups(cgroups).map(Into::into);
            thread.cgroups = cgroups.into();
        }
        if let Some(limit) = call.number("fdlimit") {
            thread.descriptor_limit = limit;
        }
        for (name, place) in ["vm_size", "vm_rss", "vm_swap"].into_iter().zip(&mut thread.memory) {
            if let Some(value) = call.number(name) {
                *place = value as u32;
            }
        }
        for (name, place) in ["pgft_maj", "pgft_min"].into_iter().zip(&mut thread.faults) {
            if let Some(value) = call.number(name) {
                *place = value as u64;
            }
        }
        if keep {
            for (name, id) in [("uid", &mut thread.uid), ("gid", &mut thread.gid)] {
                if let Some(value) = call.number(name) {
                    *id = value as u32;
                }
            }
            if let Some(start) = call.number("pidns_init_start_ts") {
                thread.namespace_start = start as u64;
            }
        } else {
            if let Some(process) = call.number("pid") {
                thread.process = process;
            }
            if let Some(parent) = call.number("ptid").filter(|_| thread.placeholder || thread.parent <= 0) {
                thread.parent = parent;
                thread.orphan = false;
            }
        }
    }
}

/// The current directory in place of a descriptor, as captures number it.
const AT_FDCWD: i64 = -100;
/// Of the table `file_flags`.
const O_DIRECTORY: u32 = 1024;
const O_CLOEXEC: u32 = 4096;
/// Of the table `clone_flags`.
const CLONE_FILES: u32 = 1;
const CLONE_PARENT: u32 = 256;
const CLONE_THREAD: u32 = 8192;
const CLONE_VFORK: u32 = 1 << 27;
const EINPROGRESS: i64 = 115;
/// How much of a path, of arguments or of an environment is kept: what sensors tell of each (libs, `SCAP_MAX_*_SIZE`).
const MOST_TEXT: usize = 4096;

fn bounded(text: &[u8]) -> &[u8] {
    text.get(..MOST_TEXT).unwrap_or(text)
}

/// An event with what it was to the state.
struct Call<'a, 'b> {
    event: &'a Event<'b>,
    applied: Applied,
}

impl<'b> Call<'_, 'b> {
    fn number(&self, name: &str) -> Option<i64> {
        self.event.number(self.event.kind.parameter(name)?)
    }

    fn text(&self, name: &str) -> Option<&'b [u8]> {
        self.event.text(self.event.kind.parameter(name)?).map(bounded)
    }

    fn bytes(&self, name: &str) -> Option<&'b [u8]> {
        self.event.raw(self.event.kind.parameter(name)?).map(bounded)
    }

    fn tuple(&self) -> Option<Tuple<'b>> {
        self.event.tuple(usize::try_from(self.applied.plan.tuple).ok()?)
    }

    fn accepted(&self) -> Option<Descriptor> {
        Some(match self.tuple()? {
            Tuple::Internet { source, destination } => {
                let mut accepted = Descriptor::internet(source, destination, transport::TCP);
                if let Some(socket) = &mut accepted.socket {
                    socket.role = Role::Server;
                    socket.connected = true;
                }
                accepted
            }
            Tuple::Unix { source, destination, path } => Descriptor::unix(source, destination, path),
            Tuple::Other(_) => return None,
        })
    }

    /// What execve(2) tells of the file.
    fn file(&self) -> ExecutableFile {
        let flags = self.number("flags");
        let flag = |bit: i64| flags.map(|flags| flags & bit != 0);
        ExecutableFile {
            writable: flag(1),
            upper_layer: flag(2),
            memfd: flag(4),
            lower_layer: flag(8),
            inode: self.number("exe_ino").map(|inode| inode as u64),
            changed: self.number("exe_ino_ctime").map(|time| time as u64),
            modified: self.number("exe_ino_mtime").map(|time| time as u64),
        }
    }
}

/// An event, and the one that began the same call: together they have all that was told of it.
pub(crate) struct Both<'a, 'b> {
    pub(crate) after: &'a Event<'b>,
    pub(crate) before: Option<Event<'a>>,
}

impl<'a> Both<'a, '_> {
    fn number(&self, name: &str) -> Option<i64> {
        let own = self.after.kind.parameter(name).and_then(|place| self.after.number(place));
        own.or_else(|| {
            let before = self.before.as_ref()?;
            before.number(before.kind.parameter(name)?)
        })
    }

    fn text(&'a self, name: &str) -> Option<&'a [u8]> {
        let own = self.after.kind.parameter(name).and_then(|place| self.after.text(place));
        own.or_else(|| {
            let before = self.before.as_ref()?;
            before.text(before.kind.parameter(name)?)
        })
        .map(bounded)
    }

    fn tuple(&self) -> Option<Tuple<'_>> {
        let own = self.after.kind.parameter("tuple").and_then(|place| self.after.tuple(place));
        own.or_else(|| {
            let before = self.before.as_ref()?;
            before.tuple(before.kind.parameter("tuple")?)
        })
    }

    fn socket(&self) -> Descriptor {
        const STREAM: i64 = 1;
        const DATAGRAM: i64 = 2;
        const RAW: i64 = 3;
        let domain = self.number("domain").unwrap_or_default();
        // The kind may carry SOCK_NONBLOCK and SOCK_CLOEXEC.
        let shape = self.number("type").unwrap_or_default() & 0xF;
        let protocol = self.number("proto").unwrap_or_default();
        let transport = match (shape, protocol) {
            (RAW, _) | (_, 255) => transport::RAW,
            (_, 1 | 58) => transport::ICMP,
            (STREAM, _) => transport::TCP,
            (DATAGRAM, _) => transport::UDP,
            _ => transport::UNKNOWN,
        };
        match u8::try_from(domain) {
            Ok(family::UNIX) => Descriptor::new(kind::UNIX, &b""[..]),
            Ok(family::IPV4) => Descriptor::socket(kind::IPV4, transport),
            Ok(family::IPV6) => Descriptor::socket(kind::IPV6, transport),
            Ok(16) => Descriptor::new(kind::NETLINK, &b""[..]),
            _ => Descriptor::new(kind::UNSUPPORTED, &b""[..]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(number: i64) -> list::Process<'static> {
        list::Process {
            thread: number,
            process: number,
            parent: 1,
            name: b"x",
            directory: b"/",
            ..Default::default()
        }
    }

    fn number(bytes: &mut Vec<u8>, parts: &[&[u8]]) {
        bytes.clear();
        for part in parts {
            bytes.extend((part.len() as u16).to_le_bytes());
        }
        for part in parts {
            bytes.extend(*part);
        }
    }

    #[test]
    fn no_more_threads_are_kept_than_the_bound_and_the_silent_ones_go_first() {
        let mut state = State::new(Bounds { threads: 100, ..Bounds::default() });
        let kind = capture::table::newest("getpid").or(capture::table::event_type_of(7)).unwrap();
        let mut body = Vec::new();
        number(&mut body, &[&0i64.to_le_bytes(), b""]);
        for thread in 1..=1000 {
            let event = Event::from_body(thread as u64, thread, kind, 2, &body).unwrap();
            state.apply(&event);
            assert!(state.threads().count() <= 100);
        }
        assert!(state.thread(1000).is_some() && state.thread(1).is_none());
        assert!(state.dropped().threads >= 900);
    }

    #[test]
    fn a_fork_has_its_parents_descriptors_until_either_changes_them_and_all_are_bounded() {
        let mut state = State::new(Bounds { all_descriptors: 150, ..Bounds::default() });
        state.add_process(&process(10));
        let what = list::DescriptorKind::OpenFile { path: b"/x", flags: 1, device: 0 };
        for number in 0..100 {
            state.add_descriptor(10, &list::Descriptor { number, inode: 0, what });
        }
        let child = state.add(11, 5).unwrap();
        state.inherit(10, child, 0, 5);
        assert_eq!((state.held, state.descriptors(state.thread(11).unwrap()).unwrap().len()), (100, 100));
        // A copy of a hundred does not fit any more: they are forgotten, and counted.
        let table = state.thread(11).unwrap().table;
        state.put(table, 200, Descriptor::new(kind::PIPE, &b""[..]));
        assert_eq!(state.descriptors(state.thread(11).unwrap()).unwrap().len(), 1);
        assert_eq!((state.held, state.dropped().descriptors), (101, 100));
        assert_eq!(state.descriptors(state.thread(10).unwrap()).unwrap().len(), 100);
        state.remove(11);
        assert_eq!(state.held, 100);
    }

    #[test]
    fn ancestors_in_a_circle_end_and_a_number_that_comes_round_is_no_parent() {
        let mut state = State::new(Bounds::default());
        for (number, parent) in [(1, 3), (2, 1), (3, 2)] {
            state.add_process(&list::Process { parent, ..process(number) });
        }
        state.begin();
        assert_eq!(state.ancestors(state.thread(1).unwrap()).count(), 256);
        state.remove(3);
        state.add_process(&list::Process { parent: 0, ..process(3) });
        assert!(state.parent(state.thread(1).unwrap()).is_none(), "its parent was another 3");
    }
}

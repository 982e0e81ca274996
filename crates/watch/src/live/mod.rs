//! Live events as rules see them: each is written as the event of a capture that a sensor of Falco's would have made of
//! it, so that fields mean the same for both, and so that a capture can be written from it.
//!
//! What the sensor knows better than a capture could say is kept: paths and files are the kernel's own, and so what a
//! descriptor stands for comes with the event, not from a table of descriptors that was kept beside it.

mod numbers;
mod values;

use std::collections::HashMap;
use std::sync::Arc;

use capture::event::Event as Written;
use capture::list::{Capabilities, descriptor_kind as kind};
use capture::table::{self, EventType};
use sensor::event::{Actor, Address, ContainerKey, Entry, Event, File, What};

use crate::clock::Offset;
use crate::fields::{Clock, View};
use crate::state::descriptor::transport;
use crate::state::thread::ExecutableFile;
use crate::state::{Applied, Bounds, Container, Descriptor, Image, Observed, Role, State, generic, plans};

/// How many containers are remembered by the sensor's keys.
const MOST_CONTAINERS: usize = 1 << 16;

/// Turns live events into what rules are asked about.
pub struct Live {
    state: State,
    offset: Offset,
    containers: HashMap<ContainerKey, Arc<str>>,
    ordinal: u64,
    clock: Clock,
    time: u64,
    begin: Vec<u8>,
    end: Vec<u8>,
    about: Option<Descriptor>,
}

impl Live {
    pub fn new(offset: Offset) -> Self {
        Live {
            state: State::new(Bounds::default()),
            offset,
            containers: HashMap::new(),
            ordinal: 0,
            clock: Clock::default(),
            time: 0,
            begin: Vec::new(),
            end: Vec::new(),
            about: None,
        }
    }

    /// The clock of the machine was read again.
    pub fn set_clock(&mut self, offset: Offset) {
        self.offset = offset;
    }

    pub fn state(&self) -> &State {
        &self.state
    }

    /// The machine's own accounts and interfaces are told here before the first event.
    pub fn state_mut(&mut self) -> &mut State {
        &mut self.state
    }

    /// What is known of a container now. `container.id` is the one given here from the next event on.
    pub fn set_container(&mut self, key: ContainerKey, container: Container) {
        self.remember(key, container.id.as_str().into());
        self.state.add_container(container);
    }

    fn remember(&mut self, key: ContainerKey, id: Arc<str>) {
        if self.containers.len() < MOST_CONTAINERS || self.containers.contains_key(&key) {
            self.containers.insert(key, id);
        }
    }

    /// Takes an event; gives it as rules see it. `None`: it says nothing that rules could be asked about (from before
    /// the sensor started, about the sensor itself, or the kernel's own doing without a call).
    pub fn view(&mut self, event: &Event) -> Option<View<'_>> {
        self.state.settle();
        let time = u64::try_from(self.offset.wall(event.time)).unwrap_or_default();
        self.note_containers(event);
        let index = self.observe(event, time);
        self.change(event, index, time);
        if event.entry == Entry::Before {
            return None;
        }
        let name = numbers::call(event)?;
        let (written, number) = match table::newest(name) {
            Some(written) => (written, None),
            // A call that captures only name.
            None => (table::event_type_of(1)?, Some(table::call_number(name)?)),
        };
        let before = if written.enter { None } else { table::event_type_of(written.code.checked_sub(1)?) };
        values::write(&mut self.end, written, event, number)?;
        if let Some(before) = before {
            values::write(&mut self.begin, before, event, number)?;
        }
        self.about = about(event);
        self.ordinal += 1;
        if self.clock.first == 0 {
            self.clock.first = time;
            self.time = time;
        }
        self.clock.previous = std::mem::replace(&mut self.time, time);

        let thread = i64::from(event.actor.task.thread);
        let count = |of: &EventType| of.parameters.len() as u32;
        let made = Written::from_body(time, thread, written, count(written), &self.end)?;
        let begun = match before {
            Some(before) => Written::from_body(time, thread, before, count(before), &self.begin),
            None => None,
        };
        let mut plan = *plans().get(usize::from(written.code))?;
        if let Some(number) = number {
            plan.event_type = generic(number);
        }
        let descriptor = match event.what {
            What::Open { .. } | What::OpenByHandle { .. } | What::Accept { .. } if event.result >= 0 => {
                event.result
            }
            What::Close { descriptor } => descriptor.into(),
            What::Dup { to, .. } => to.into(),
            _ => -1,
        };
        let applied = Applied { plan, thread: index, descriptor, paired: false, name_changed: true };
        let mut view = View::new(&self.state, made, applied, self.ordinal, self.clock);
        view.about = self.about.as_ref();
        view.begun = begun;
        Some(view)
    }

    fn note_containers(&mut self, event: &Event) {
        if let What::ContainerStarted { key, cgroup_path, .. } = &event.what
            && !self.containers.contains_key(key)
        {
            let id = crate::state::container::id_of_cgroups(cgroup_path.as_bytes());
            self.remember(*key, id.unwrap_or_else(|| unnamed(*key)).into());
        }
        if let What::ContainerEnded { key } = &event.what {
            self.containers.remove(key);
        }
        // A container is never taken for the host because nobody told its name yet.
        if let Some(key) = event.actor.container
            && !self.containers.contains_key(&key)
        {
            self.remember(key, unnamed(key).into());
        }
    }

    fn observe(&mut self, event: &Event, time: u64) -> Option<usize> {
        let actor = &event.actor;
        if actor.task.thread == 0 {
            return None;
        }
        let container = actor.container.and_then(|key| self.containers.get(&key).cloned());
        let credentials = &actor.credentials;
        let observed = Observed {
            thread: actor.task.thread.into(),
            process: actor.task.process.into(),
            parent: actor.parent.process.into(),
            start: self.started(actor),
            name: actor.name.as_bytes(),
            uid: credentials.euid,
            gid: credentials.egid,
            login_uid: actor.login_uid,
            capabilities: Capabilities {
                inheritable: credentials.inheritable,
                permitted: credentials.permitted,
                effective: credentials.effective,
            },
            thread_inside: actor.thread_inside.into(),
            process_inside: actor.process_inside.into(),
            container: container.as_ref(),
        };
        self.state.observe(&observed, time)
    }

    fn started(&self, actor: &Actor) -> u64 {
        u64::try_from(self.offset.wall(actor.task.start)).unwrap_or_default()
    }

    /// What the event changes of the processes.
    fn change(&mut self, event: &Event, index: Option<usize>, time: u64) {
        let Some(index) = index else { return };
        if !event.succeeded() && event.entry != Entry::Before {
            return;
        }
        match &event.what {
            What::Fork { child, .. } => {
                let start = u64::try_from(self.offset.wall(child.start)).unwrap_or_default();
                self.state.forked(
                    event.actor.task.thread.into(),
                    child.thread.into(),
                    child.process.into(),
                    start,
                    time,
                );
            }
            What::Execve { file, arguments, environment, directory, terminal, session, group, .. } => {
                let image = Image {
                    executable: arguments.first().unwrap_or(&file.path.text).clone().into_bytes(),
                    path: Some(file.path.text.clone().into_bytes()),
                    arguments: values::listed(arguments.iter().skip(1)),
                    environment: values::listed(environment.iter()),
                    file: executable(file),
                };
                let terminal = terminal.map_or(0, |(major, minor)| values::device((major, minor)));
                let ids = [i64::from(*session), i64::from(*group)];
                self.state.executed_live(index, image, directory.text.as_bytes(), terminal, ids);
            }
            What::Chdir { path, file } => {
                let path = if file.path.text.is_empty() { path } else { &file.path };
                self.state.moved(index, path.text.as_bytes());
            }
            What::Exit { .. } => self.state.ended(event.actor.task.thread.into()),
            _ => {}
        }
    }
}

/// A container whose name nobody told: it must not be taken for another, nor for the host.
fn unnamed(key: ContainerKey) -> String {
    format!("key-{:x}", key.0)
}

fn executable(file: &File) -> ExecutableFile {
    ExecutableFile {
        writable: None,
        upper_layer: Some(file.upper_layer),
        lower_layer: None,
        memfd: Some(file.nameless),
        inode: Some(file.id.inode),
        changed: None,
        modified: None,
    }
}

/// What the event is about, as a descriptor would stand for it.
fn about(event: &Event) -> Option<Descriptor> {
    match &event.what {
        What::Open { file, asked, flags, created, .. } => {
            let flags = values::open_flags(*flags, *created, file.upper_layer);
            let mut found = of_file(file, flags);
            found.raw = Some(asked.text.as_bytes().into());
            if file.path.text.is_empty() {
                found.name = asked.text.as_bytes().into();
            }
            Some(found)
        }
        What::OpenByHandle { file, flags } => {
            Some(of_file(file, values::open_flags(*flags, false, file.upper_layer)))
        }
        What::Write { file }
        | What::Truncate { file }
        | What::Chmod { file, .. }
        | What::Chown { file, .. } => Some(of_file(file, 0)),
        What::Ioctl { file, .. } | What::ReceivedFile { file, .. } => Some(of_file(file, 0)),
        What::MemfdCreate { name } => Some(Descriptor::new(kind::MEMFD, name.text.as_bytes())),
        What::Connect { address, kind, .. } => of_address(address, None, *kind, Role::Client),
        What::Bind { address, kind, .. } => of_listener(address, *kind),
        What::Listen { address } => of_listener(address.as_ref()?, 1),
        What::Accept { address, local } => of_address(local.as_ref()?, address.as_ref(), 1, Role::Server),
        What::Send { address, .. } => of_address(address.as_ref()?, None, 2, Role::Client),
        What::Receive { address, .. } => of_address(address.as_ref()?, None, 2, Role::Client),
        What::IoUringRequest { path: Some(path), .. } => {
            Some(Descriptor::new(kind::OPEN_FILE, path.text.as_bytes()))
        }
        What::IoUringRequest { address: Some(address), .. } => of_address(address, None, 1, Role::Client),
        _ => None,
    }
}

fn of_file(file: &File, flags: u32) -> Descriptor {
    const S_IFMT: u32 = 0o170_000;
    const S_IFDIR: u32 = 0o040_000;
    let kind = if file.mode & S_IFMT == S_IFDIR { kind::DIRECTORY } else { kind::OPEN_FILE };
    Descriptor {
        flags,
        device: values::device(file.id.device),
        inode: file.id.inode,
        ..Descriptor::new(kind, file.path.text.as_bytes())
    }
}

/// A connection to `server`, from `client` where that is told.
fn of_address(server: &Address, client: Option<&Address>, kind: u32, role: Role) -> Option<Descriptor> {
    let transport = match kind {
        1 => transport::TCP,
        2 => transport::UDP,
        3 => transport::RAW,
        _ => transport::UNKNOWN,
    };
    match server {
        Address::Internet { address, port } => {
            let source = match client {
                Some(Address::Internet { address, port }) => (*address, *port),
                _ => (values::unspecified(*address), 0),
            };
            let mut found = Descriptor::internet(source, (*address, *port), transport);
            if let Some(socket) = &mut found.socket {
                (socket.role, socket.connected) = (role, true);
            }
            Some(found)
        }
        Address::Unix { path } => Some(Descriptor::new(
            self::kind::UNIX,
            crate::state::descriptor::unix_name(0, 0, path.text.as_bytes()),
        )),
        Address::Netlink { .. } => Some(Descriptor::new(self::kind::NETLINK, &b""[..])),
        _ => Some(Descriptor::new(self::kind::UNSUPPORTED, &b""[..])),
    }
}

fn of_listener(address: &Address, kind: u32) -> Option<Descriptor> {
    match address {
        Address::Internet { address, port } => {
            let transport = if kind == 2 { transport::UDP } else { transport::TCP };
            let mut found = Descriptor::listening((*address, *port), transport);
            if let Some(socket) = &mut found.socket {
                socket.role = Role::Server;
            }
            Some(found)
        }
        other => of_address(other, None, kind, Role::Server),
    }
}

impl From<&crate::alert::Container> for Container {
    fn from(known: &crate::alert::Container) -> Self {
        let full = known.id.clone();
        let id =
            full.as_deref().map_or_else(|| unnamed(known.key), |id| id.get(..12).unwrap_or(id).to_owned());
        let (repository, tag) = match known.image.as_deref().map(split_image) {
            Some((repository, tag)) => (Some(repository), tag),
            None => (None, None),
        };
        Container {
            id,
            full_id: full,
            name: known.name.clone(),
            image: known.image.clone(),
            repository,
            tag,
            digest: known.image_digest.clone(),
            engine: known.engine.clone(),
            privileged: known.privileged,
            labels: known.labels.clone(),
            started: known.started.and_then(|time| u64::try_from(time).ok()),
            ..Container::default()
        }
    }
}

/// `registry:5000/name:tag@digest` without tag and digest, and the tag.
fn split_image(image: &str) -> (String, Option<String>) {
    let image = image.split('@').next().unwrap_or(image);
    let name_at = image.rfind('/').map_or(0, |slash| slash + 1);
    match image.get(name_at..).and_then(|name| name.find(':')) {
        Some(colon) => {
            let (repository, tag) = image.split_at(name_at + colon);
            (repository.to_owned(), Some(tag.trim_start_matches(':').to_owned()))
        }
        None => (image.to_owned(), None),
    }
}

#[cfg(test)]
mod tests;

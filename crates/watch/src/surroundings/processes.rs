//! The processes of containers, as the sensor told of them: what each executes, who its parent was, whose it is. For the
//! line of processes in an alert, and for detectors that ask whose a process is.
//!
//! Keyed by number and start time, as numbers come round. Processes of the host are not remembered; where an alert's line
//! leads to one, `/proc` is asked at that moment.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use sensor::event::{Actor, ContainerKey, Credentials, Entry, Event, File, FileId, Task, What};

use crate::alert::Process;
use crate::proc;

/// Processes that are remembered at once. The kernel numbers no more by default on 64-bit machines (`PID_MAX_LIMIT`); a
/// record takes about 500 bytes.
const KEPT: usize = 1 << 20;
/// Containers that end before their processes are forgotten; late events still find those.
const ENDED: usize = 64;
/// The longest line that an alert shows.
const LINE: usize = 16;
/// Arguments of a process that an alert shows.
const ARGUMENTS: usize = 64;

#[derive(Debug)]
struct Known {
    container: ContainerKey,
    parent: Task,
    inside: u32,
    name: Box<str>,
    /// None until it executed something while it was watched; then it runs its parent's.
    image: Option<std::sync::Arc<Image>>,
    credentials: Credentials,
    from_before: bool,
}

/// What execve(2) put in place; shared with children that did not execute anything themselves.
#[derive(Debug)]
struct Image {
    file: File,
    arguments: Vec<String>,
}

type Key = (u32, u64);

fn key(task: &Task) -> Key {
    (task.process, task.start)
}

#[derive(Debug, Default)]
pub(super) struct Processes {
    known: HashMap<Key, Known>,
    forgotten: u64,
    /// Containers that have ended, whose processes are forgotten together: an exit may have been lost.
    ended: Vec<ContainerKey>,
}

impl Processes {
    /// How many could not be remembered because there were too many.
    pub(super) fn forgotten(&self) -> u64 {
        self.forgotten
    }

    pub(super) fn len(&self) -> usize {
        self.known.len()
    }

    /// A container has ended, and with it every process that is still remembered of it.
    pub(super) fn end(&mut self, container: ContainerKey) {
        self.ended.push(container);
        if self.ended.len() >= ENDED {
            let ended: std::collections::HashSet<ContainerKey> = self.ended.drain(..).collect();
            self.known.retain(|_, known| !ended.contains(&known.container));
        }
    }

    pub(super) fn see(&mut self, event: &Event) {
        let actor = &event.actor;
        let Some(container) = actor.container else { return };
        match &event.what {
            What::Fork { child, child_inside, .. } if child.process == child.thread => {
                let image = self.known.get(&key(&actor.task)).and_then(|parent| parent.image.clone());
                let record = Known {
                    container,
                    parent: actor.task,
                    inside: *child_inside,
                    name: actor.name.as_str().into(),
                    image,
                    credentials: actor.credentials,
                    from_before: false,
                };
                self.remember(key(child), record);
            }
            What::Execve { file, arguments, .. } if event.succeeded() => {
                let image = Image { file: file.clone(), arguments: arguments.clone() };
                let record = Known {
                    container,
                    parent: actor.parent,
                    inside: actor.process_inside,
                    name: actor.name.as_str().into(),
                    image: Some(std::sync::Arc::new(image)),
                    credentials: actor.credentials,
                    from_before: event.entry == Entry::Before,
                };
                self.remember(key(&actor.task), record);
            }
            What::Exit { .. } if actor.task.thread == actor.task.process => {
                self.known.remove(&key(&actor.task));
            }
            _ => {}
        }
    }

    fn remember(&mut self, key: Key, record: Known) {
        if self.known.len() >= KEPT && !self.known.contains_key(&key) {
            self.forgotten += 1;
            return;
        }
        self.known.insert(key, record);
    }

    pub(super) fn container(&self, task: &Task) -> Option<ContainerKey> {
        self.known.get(&key(task)).map(|known| known.container)
    }

    pub(super) fn executable(&self, task: &Task) -> Option<&File> {
        self.known.get(&key(task))?.image.as_ref().map(|image| &image.file)
    }

    /// The actor, then its parents, out of the container and up to the first process of the machine.
    pub(super) fn line(&self, actor: &Actor, proc: &Path) -> Vec<Process> {
        let mut line = vec![self.actor(actor, proc)];
        let mut next = actor.parent;
        while line.len() < LINE && next.process != 0 {
            let found = match self.known.get(&key(&next)) {
                Some(known) => Some((of_known(next, known), known.parent)),
                None => of_proc(next.process, proc),
            };
            let Some((process, parent)) = found else { break };
            line.push(process);
            next = parent;
        }
        line
    }

    fn actor(&self, actor: &Actor, proc: &Path) -> Process {
        let known = self.known.get(&key(&actor.task));
        let image = known.and_then(|known| known.image.as_deref());
        let read = match image {
            Some(_) => None,
            None => of_proc(actor.task.process, proc).map(|(process, _)| process),
        };
        let (executable, arguments) = match (image, read) {
            (Some(image), _) => (Some(image.file.path.text.clone()), image.arguments.clone()),
            (None, Some(process)) => (process.executable, process.arguments),
            (None, None) => (None, Vec::new()),
        };
        Process {
            task: actor.task,
            process_inside: actor.process_inside,
            name: actor.name.clone(),
            executable: executable.filter(|path| !path.is_empty()),
            executable_id: actor.executable,
            sha256: None,
            arguments: shortened(arguments),
            credentials: actor.credentials,
            user: None,
            from_before: known.is_none_or(|known| known.from_before),
        }
    }
}

fn shortened(mut arguments: Vec<String>) -> Vec<String> {
    arguments.truncate(ARGUMENTS);
    arguments
}

fn of_known(task: Task, known: &Known) -> Process {
    let image = known.image.as_deref();
    Process {
        task,
        process_inside: known.inside,
        name: known.name.to_string(),
        executable: image.map(|image| image.file.path.text.clone()).filter(|path| !path.is_empty()),
        executable_id: image.map(|image| image.file.id).unwrap_or_default(),
        sha256: None,
        arguments: shortened(image.map(|image| image.arguments.clone()).unwrap_or_default()),
        credentials: known.credentials,
        user: None,
        from_before: known.from_before,
    }
}

/// A process as `/proc` has it now, and its parent.
fn of_proc(number: u32, proc: &Path) -> Option<(Process, Task)> {
    let folder = proc.join(number.to_string());
    let status = fs::read_to_string(folder.join("status")).ok()?;
    let field = |name: &str| {
        status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':').map(str::trim))
    };
    let parent = field("PPid")?.parse().ok()?;
    let ids: Vec<u32> = field("Uid")?.split_whitespace().filter_map(|id| id.parse().ok()).collect();
    let groups: Vec<u32> = field("Gid")?.split_whitespace().filter_map(|id| id.parse().ok()).collect();
    let set =
        |name: &str| field(name).and_then(|text| u64::from_str_radix(text, 16).ok()).unwrap_or_default();
    let credentials = Credentials {
        uid: ids.first().copied()?,
        euid: ids.get(1).copied()?,
        suid: ids.get(2).copied()?,
        fsuid: ids.get(3).copied()?,
        gid: groups.first().copied()?,
        egid: groups.get(1).copied()?,
        effective: set("CapEff"),
        permitted: set("CapPrm"),
        inheritable: set("CapInh"),
        bounding: set("CapBnd"),
        ambient: set("CapAmb"),
        no_new_privileges: field("NoNewPrivs") == Some("1"),
        seccomp: field("Seccomp").and_then(|text| text.parse().ok()).unwrap_or_default(),
        user_namespace: 0,
    };
    let (executable, arguments) = proc::command(&folder);
    let inode = fs::metadata(folder.join("exe")).map(|file| file.ino()).unwrap_or_default();
    let task = Task { process: number, thread: number, start: 0 };
    let process = Process {
        task,
        process_inside: number,
        name: field("Name").unwrap_or_default().to_owned(),
        executable,
        executable_id: FileId { device: (0, 0), inode },
        sha256: None,
        arguments: shortened(arguments),
        credentials,
        user: None,
        from_before: true,
    };
    Some((process, Task { process: parent, thread: parent, start: 0 }))
}

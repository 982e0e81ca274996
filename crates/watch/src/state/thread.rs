//! Threads and processes: what they run, who they are, from whom they come.

use std::sync::Arc;

use capture::event::Kept;
use capture::list::{Capabilities, Process};

/// A text of the kernel's or a process's: bytes, shared by all who inherited it.
pub type Bytes = Arc<[u8]>;

/// What execve(2) put into a process; a fork shares it.
#[derive(Clone, Debug, Default)]
pub struct Image {
    /// `argv[0]`.
    pub executable: Vec<u8>,
    /// The file that was executed.
    pub path: Option<Vec<u8>>,
    /// Without the first; each ends with a zero byte.
    pub arguments: Vec<u8>,
    /// `NAME=value`, each ends with a zero byte.
    pub environment: Vec<u8>,
    pub file: ExecutableFile,
}

/// The file that was executed; `None`: not told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExecutableFile {
    pub writable: Option<bool>,
    pub upper_layer: Option<bool>,
    pub lower_layer: Option<bool>,
    pub memfd: Option<bool>,
    pub inode: Option<u64>,
    /// Nanoseconds since 1970.
    pub changed: Option<u64>,
    pub modified: Option<u64>,
}

/// No number: not known.
pub const NOT_KNOWN: i64 = -1;

#[derive(Clone, Debug)]
pub struct Thread {
    pub thread: i64,
    pub process: i64,
    pub parent: i64,
    /// The parent's number was given up, or to another process: nothing may be asked of it.
    pub(super) orphan: bool,
    /// Nothing was told of it but that it acts.
    pub placeholder: bool,
    /// When it was cloned, nanoseconds since 1970; 0 where not known.
    pub start: u64,
    /// `comm`.
    pub name: Bytes,
    pub image: Arc<Image>,
    pub directory: Bytes,
    pub root: Bytes,
    pub session: i64,
    pub group: i64,
    pub group_inside: i64,
    pub thread_inside: i64,
    pub process_inside: i64,
    pub uid: u32,
    pub gid: u32,
    /// `u32::MAX` where nobody logged in.
    pub login_uid: u32,
    pub capabilities: Option<Capabilities>,
    pub terminal: u32,
    pub cgroups: Bytes,
    /// The identifier's first 12 digits; `None` on the host.
    pub container: Option<Arc<str>>,
    pub flags: u32,
    /// KiB: virtual, resident, swapped.
    pub memory: [u32; 3],
    /// Page faults: major, minor.
    pub faults: [u64; 2],
    pub descriptor_limit: i64,
    /// Nanoseconds since 1970; 0 where not known.
    pub namespace_start: u64,
    /// Index of the descriptors it uses.
    pub(super) table: usize,
    pub(super) children: Vec<i64>,
    /// The call that it is in, and the descriptor of that call.
    pub(crate) entered: Kept,
    pub(super) descriptor: i64,
    /// Time of its last event.
    pub(super) seen: u64,
}

impl Thread {
    pub(super) fn placeholder(thread: i64, table: usize) -> Self {
        Thread {
            thread,
            process: thread,
            parent: NOT_KNOWN,
            orphan: true,
            placeholder: true,
            start: 0,
            name: Bytes::default(),
            image: Arc::default(),
            directory: Bytes::from(&b"/"[..]),
            root: Bytes::from(&b"/"[..]),
            session: NOT_KNOWN,
            group: NOT_KNOWN,
            group_inside: NOT_KNOWN,
            thread_inside: NOT_KNOWN,
            process_inside: NOT_KNOWN,
            uid: u32::MAX,
            gid: u32::MAX,
            login_uid: u32::MAX,
            capabilities: None,
            terminal: 0,
            cgroups: Bytes::default(),
            container: None,
            flags: 0,
            memory: [0; 3],
            faults: [0; 2],
            descriptor_limit: NOT_KNOWN,
            namespace_start: 0,
            table,
            children: Vec::new(),
            entered: Kept::default(),
            descriptor: NOT_KNOWN,
            seen: 0,
        }
    }

    pub(super) fn from_list(listed: &Process<'_>, table: usize) -> Self {
        let late = listed.late;
        let file = ExecutableFile {
            writable: listed.executable_writable,
            upper_layer: late.map(|late| late.upper_layer),
            lower_layer: None,
            memfd: late.map(|late| late.memfd),
            inode: late.map(|late| late.inode),
            changed: late.map(|late| late.changed),
            modified: late.map(|late| late.modified),
        };
        Thread {
            process: listed.process,
            parent: listed.parent,
            orphan: false,
            placeholder: false,
            name: listed.name.into(),
            image: Arc::new(Image {
                executable: listed.executable.into(),
                path: listed.executable_path.filter(|path| !path.is_empty()).map(Into::into),
                arguments: listed.arguments.into(),
                environment: listed.environment.into(),
                file,
            }),
            directory: super::path::join(b"", listed.directory).into(),
            root: if listed.root.is_empty() { Bytes::from(&b"/"[..]) } else { listed.root.into() },
            session: listed.session.unwrap_or(NOT_KNOWN),
            group_inside: listed.group_inside.unwrap_or(NOT_KNOWN),
            thread_inside: listed.thread_inside.unwrap_or(NOT_KNOWN),
            process_inside: listed.process_inside.unwrap_or(NOT_KNOWN),
            uid: listed.uid,
            gid: listed.gid,
            login_uid: listed.login_uid.unwrap_or(u32::MAX),
            capabilities: listed.capabilities,
            terminal: late.map_or(0, |late| late.terminal),
            cgroups: listed.cgroups.into(),
            container: super::container::id_of_cgroups(listed.cgroups).map(Into::into),
            flags: listed.flags,
            memory: listed.memory,
            faults: listed.faults,
            descriptor_limit: listed.descriptor_limit as i64,
            namespace_start: late.map_or(0, |late| late.namespace_start),
            ..Thread::placeholder(listed.thread, table)
        }
    }

    /// For the list of a capture that is being written.
    pub fn to_list(&self) -> Process<'_> {
        let known = |number: i64| (number != NOT_KNOWN).then_some(number);
        let file = &self.image.file;
        let late = file.inode.is_some() || file.upper_layer.is_some() || self.terminal != 0;
        Process {
            thread: self.thread,
            process: self.process,
            parent: self.parent,
            session: known(self.session),
            group_inside: known(self.group_inside),
            name: &self.name,
            executable: &self.image.executable,
            executable_path: self.image.path.as_deref(),
            arguments: &self.image.arguments,
            directory: &self.directory,
            descriptor_limit: self.descriptor_limit as u64,
            flags: self.flags,
            uid: self.uid,
            gid: self.gid,
            memory: self.memory,
            faults: self.faults,
            environment: &self.image.environment,
            thread_inside: known(self.thread_inside),
            process_inside: known(self.process_inside),
            cgroups: &self.cgroups,
            root: &self.root,
            login_uid: Some(self.login_uid),
            executable_writable: file.writable,
            capabilities: self.capabilities,
            late: late.then(|| capture::list::Late {
                namespace_start: self.namespace_start,
                terminal: self.terminal,
                upper_layer: file.upper_layer.unwrap_or_default(),
                inode: file.inode.unwrap_or_default(),
                changed: file.changed.unwrap_or_default(),
                modified: file.modified.unwrap_or_default(),
                memfd: file.memfd.unwrap_or_default(),
            }),
        }
    }

    /// Whether it is the first thread of its process.
    pub fn is_leader(&self) -> bool {
        self.thread == self.process
    }
}

//! Looks at files: which file an event touches and how, and whether it is one of those a detector watches.
//!
//! A file is known by its file system's magic number and its path within that file system, which bind mounts, links,
//! `/proc/self/root` and descriptors do not change; a device by its numbers; a file of the host by the host's path.
//! Only where a call failed, so that the kernel has no object, is the text that was asked for looked at.

use sensor::event::{Event, File, FileId, Kind, Source, Task, Text, What};
use serde::Deserialize;
use techniques::objects::{DeviceClass, ObjectClass};

use super::context::{Context, HostFile, Owner};
use super::pattern::{Pattern, names};

/// How a file is touched; a set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Access(u8);

impl Access {
    pub const READ: Access = Access(1);
    pub const WRITE: Access = Access(2);
    /// Made, linked, renamed or removed.
    pub const NAME: Access = Access(4);
    /// Its mode, owner or attributes changed.
    pub const META: Access = Access(8);
    pub const EXECUTE: Access = Access(16);
    /// Entered, or made the root: chdir(2), chroot(2), pivot_root(2).
    pub const ENTER: Access = Access(32);
    /// By ioctl(2), which asks as well as changes.
    pub const CONTROL: Access = Access(64);

    pub fn meets(self, other: Access) -> bool {
        self.0 & other.0 != 0
    }
    pub const fn and(self, other: Access) -> Access {
        Access(self.0 | other.0)
    }
    /// Of the flags of open(2): `O_ACCMODE`, `O_CREAT`, `O_TRUNC`, `O_PATH`.
    fn of_flags(flags: u64) -> Access {
        const CREATE: u64 = 0o100;
        const TRUNCATE: u64 = 0o1000;
        const PATH: u64 = 0o10_000_000;
        if flags & PATH != 0 {
            return Access::default();
        }
        let mode = match flags & 3 {
            0 => Access::READ,
            1 => Access::WRITE,
            _ => Access::READ.and(Access::WRITE),
        };
        if flags & (CREATE | TRUNCATE) != 0 { mode.and(Access::WRITE) } else { mode }
    }
}

/// A word of the table.
impl<'de> Deserialize<'de> for Access {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Access, D::Error> {
        let mut all = Access::default();
        for word in Vec::<String>::deserialize(deserializer)? {
            all = all.and(match word.as_str() {
                "read" => Access::READ,
                "write" => Access::WRITE,
                "name" => Access::NAME,
                "meta" => Access::META,
                "execute" => Access::EXECUTE,
                "enter" => Access::ENTER,
                "control" => Access::CONTROL,
                other => {
                    return Err(serde::de::Error::custom(format!("`{other}` is no way to touch a file")));
                }
            });
        }
        Ok(all)
    }
}

/// File systems that detectors name, by `statfs(2)` magic (`include/uapi/linux/magic.h`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[repr(u8)]
pub enum FileSystem {
    Proc,
    Sysfs,
    Cgroup,
    Cgroup2,
    Debugfs,
    Tracefs,
    Securityfs,
    Selinuxfs,
    Bpf,
    BinfmtMisc,
    Nsfs,
    Overlay,
    Tmpfs,
}

impl FileSystem {
    pub const ALL: [(FileSystem, u64, &'static str); 13] = [
        (FileSystem::Proc, 0x9fa0, "proc"),
        (FileSystem::Sysfs, 0x6265_6572, "sysfs"),
        (FileSystem::Cgroup, 0x0027_e0eb, "cgroup"),
        (FileSystem::Cgroup2, 0x6367_7270, "cgroup2"),
        (FileSystem::Debugfs, 0x6462_6720, "debugfs"),
        (FileSystem::Tracefs, 0x7472_6163, "tracefs"),
        (FileSystem::Securityfs, 0x7363_6673, "securityfs"),
        (FileSystem::Selinuxfs, 0xf97c_ff8c, "selinuxfs"),
        (FileSystem::Bpf, 0xcafe_4a11, "bpf"),
        (FileSystem::BinfmtMisc, 0x4249_4e4d, "binfmt-misc"),
        (FileSystem::Nsfs, 0x6e73_6673, "nsfs"),
        (FileSystem::Overlay, 0x794c_7630, "overlay"),
        (FileSystem::Tmpfs, 0x0102_1994, "tmpfs"),
    ];

    pub fn of_magic(magic: u64) -> Option<FileSystem> {
        FileSystem::ALL.iter().find(|(_, m, _)| *m == magic).map(|(fs, _, _)| *fs)
    }

    /// Where it is mounted as a rule, on the host and wherever the host is bound: the names by which a path that could
    /// not be opened is known. None for what has no place of its own.
    fn usual_place(self) -> Option<&'static str> {
        Some(match self {
            FileSystem::Proc => "/proc/",
            FileSystem::Sysfs => "/sys/",
            FileSystem::Cgroup | FileSystem::Cgroup2 => "/cgroup/",
            FileSystem::Debugfs => "/sys/kernel/debug/",
            FileSystem::Tracefs => "/sys/kernel/tracing/",
            FileSystem::Securityfs => "/sys/kernel/security/",
            FileSystem::Selinuxfs => "/sys/fs/selinux/",
            FileSystem::Bpf => "/sys/fs/bpf/",
            FileSystem::BinfmtMisc => "/binfmt_misc/",
            FileSystem::Nsfs | FileSystem::Overlay | FileSystem::Tmpfs => return None,
        })
    }
}

/// Whose, in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Whose {
    Host,
    /// Of another container.
    Other,
    /// Of the same container, or not known to be of anybody else.
    Own,
}

impl Whose {
    pub fn is(self, owner: Owner, event: &Event) -> bool {
        match (self, owner) {
            (Whose::Host, Owner::Host) => true,
            (Whose::Other, Owner::Container(key)) => Some(key) != event.actor.container,
            (Whose::Own, Owner::Container(key)) => Some(key) == event.actor.container,
            (Whose::Own, Owner::NotKnown) => true,
            _ => false,
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct FileLook {
    /// One of these file systems.
    pub system: Vec<FileSystem>,
    /// One of these paths within the file system.
    pub path: Vec<Pattern>,
    /// One of these paths as the kernel walks from the root of the process.
    pub at: Vec<Pattern>,
    /// The process wrote one of these paths: for what follows a link and leaves no trace in the object.
    pub asked: Vec<Pattern>,
    /// By one of these kinds of events.
    pub by: Vec<String>,
    /// A file of the host, of one of these classes (`objects.yaml` of the techniques).
    pub host: Vec<String>,
    /// A file of the host at one of these paths.
    pub host_path: Vec<Pattern>,
    /// Any file of the host.
    pub on_host: bool,
    /// Shown by a mount of this path of the host.
    pub shown_by: Option<String>,
    /// Not where the engine bound this very part for the container: a volume, `/etc/hosts`.
    pub beyond_own: bool,
    /// A device of one of these classes (`devices.yaml` of the techniques).
    pub device: Vec<String>,
    /// Any block device.
    pub block: bool,
    /// Below `/proc/PID` of a process of theirs.
    pub process: Option<Whose>,
    /// Reached through a mount in a mount namespace of theirs.
    pub through: Option<Whose>,
    /// In a cgroup of the container's own, or not.
    pub own_cgroup: Option<bool>,
    pub to: Option<Access>,
    /// One of these bits of `st_mode`.
    pub mode: u32,
    /// A regular file.
    pub regular: bool,
    pub except: Vec<Pattern>,
    #[serde(skip)]
    pub classes: Vec<&'static ObjectClass>,
    #[serde(skip)]
    pub devices: Vec<&'static DeviceClass>,
}

/// A file as one event touches it.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    pub file: &'a File,
    /// What was asked for, where there is no object.
    pub asked: &'a Text,
    pub access: Access,
}

/// Kinds of events that touch files.
pub(super) const KINDS: &[Kind] = &[
    Kind::Open,
    Kind::OpenByHandle,
    Kind::Write,
    Kind::Truncate,
    Kind::ReceivedFile,
    Kind::Splice,
    Kind::Rename,
    Kind::Link,
    Kind::Symlink,
    Kind::Unlink,
    Kind::Mkdir,
    Kind::Mknod,
    Kind::Chmod,
    Kind::Chown,
    Kind::Setxattr,
    Kind::Ioctl,
    Kind::Chdir,
    Kind::Chroot,
    Kind::PivotRoot,
    Kind::Execve,
    Kind::MakeExecutable,
    Kind::IoUringRequest,
];

/// Hands every file that the event touches to `see`.
pub(super) fn each<'a>(what: &'a What, see: &mut dyn FnMut(View<'a>)) {
    let mut view = |file: &'a File, asked: &'a Text, access: Access| see(View { file, asked, access });
    match what {
        What::Open { file, asked, flags, created, .. } => {
            let access = Access::of_flags(*flags);
            view(file, asked, if *created { access.and(Access::NAME) } else { access });
        }
        What::OpenByHandle { file, flags } => view(file, &file.path, Access::of_flags(*flags)),
        What::Write { file } | What::Truncate { file } => view(file, &file.path, Access::WRITE),
        // What the descriptor permits is not told: the one who passed it had it for something.
        What::ReceivedFile { file, .. } => view(file, &file.path, Access::READ.and(Access::WRITE)),
        What::Splice { from, to, .. } => {
            if let Some(file) = from {
                view(file, &file.path, Access::READ);
            }
            if let Some(file) = to {
                view(file, &file.path, Access::WRITE);
            }
        }
        What::Rename { file, to, .. } => view(file, to, Access::NAME),
        What::Link { file, from, .. } => view(file, from, Access::NAME),
        What::Symlink { file, path, .. }
        | What::Unlink { file, path, .. }
        | What::Mkdir { file, path, .. }
        | What::Mknod { file, path, .. } => view(file, path, Access::NAME),
        What::Chmod { file, .. } | What::Chown { file, .. } | What::Setxattr { file, .. } => {
            view(file, &file.path, Access::META);
        }
        What::Ioctl { file, .. } => view(file, &file.path, Access::CONTROL),
        What::Chdir { file, path } | What::Chroot { file, path } => view(file, path, Access::ENTER),
        What::PivotRoot { file, new_root, .. } => view(file, new_root, Access::ENTER),
        What::Execve { file, asked, .. } => view(file, asked, Access::EXECUTE),
        What::MakeExecutable { file: Some(file), .. } => view(file, &file.path, Access::EXECUTE),
        What::IoUringRequest { opcode, path: Some(path), flags, .. } => {
            let access = match *opcode {
                IO_OPENAT | IO_OPENAT2 => Access::of_flags(*flags),
                _ => Access::NAME,
            };
            view(&NO_OBJECT, path, access);
        }
        _ => {}
    }
}

/// `include/uapi/linux/io_uring.h`.
const IO_OPENAT: u8 = 18;
const IO_OPENAT2: u8 = 28;

/// For a request that the kernel has not looked up yet.
static NO_OBJECT: File = File {
    path: NO_TEXT,
    path_in_file_system: NO_TEXT,
    id: FileId { device: (0, 0), inode: 0 },
    file_system: 0,
    mount: 0,
    mount_namespace: 0,
    process: None,
    mode: 0,
    device: (0, 0),
    links: 0,
    upper_layer: false,
    nameless: false,
};
const NO_TEXT: Text = Text { text: String::new(), source: Source::Kernel, cut: false };

/// Masked paths of engines: /dev/null over a file, an empty tmpfs over a folder (`maskPath` of runc).
fn is_mask(file: &File) -> bool {
    const NULL: (u32, u32) = (1, 3);
    let path = file.path.text.as_str();
    let below = path.starts_with("/proc/") || path.starts_with("/sys/");
    let null = file.mode & TYPE == CHARACTER && file.device == NULL;
    let tmpfs = FileSystem::of_magic(file.file_system) == Some(FileSystem::Tmpfs);
    below && (null || tmpfs && file.mode & TYPE == DIRECTORY)
}

const DIRECTORY: u32 = 0o040_000;
const TYPE: u32 = 0o170_000;
const CHARACTER: u32 = 0o020_000;
const BLOCK: u32 = 0o060_000;
const REGULAR: u32 = 0o100_000;

/// What is known of a file once for all looks.
#[derive(Debug)]
pub struct Seen<'a> {
    pub view: View<'a>,
    pub system: Option<FileSystem>,
    /// Of the object within its file system, or the text that was asked for.
    pub path: &'a str,
    /// Whether `path` is the object's.
    pub of_object: bool,
    /// The engine put /dev/null or an empty folder over it: what is opened is not what was asked for.
    pub masked: bool,
    pub host: Option<HostFile<'a>>,
}

impl<'a> Seen<'a> {
    pub fn new(view: View<'a>, event: &Event, context: &'a dyn Context) -> Seen<'a> {
        let file = view.file;
        let masked = is_mask(file);
        let system = FileSystem::of_magic(file.file_system).filter(|_| !masked);
        let inside = file.path_in_file_system.text.as_str();
        let of_object = file.file_system != 0 && !inside.is_empty() && !masked;
        // Interfaces of the kernel, and files of the container's own, are none of the host's files.
        let may_be_host = !masked && (system.is_none() || system == Some(FileSystem::Tmpfs));
        let host = match event.actor.container {
            Some(key) if may_be_host => context.host_file(key, file),
            _ => None,
        };
        let mut seen = Seen { view, system, path: inside, of_object, masked, host };
        if !of_object {
            seen.path = seen.walked();
        }
        seen
    }

    pub fn source(&self) -> Source {
        match self.of_object || !self.view.file.path.text.is_empty() {
            true => self.view.file.path.source,
            false => self.view.asked.source,
        }
    }

    /// There is no object, or not the one that was asked for.
    pub fn is_text(&self) -> bool {
        self.view.file.file_system == 0 || self.masked
    }

    /// As the kernel walks from the root of the process.
    pub fn walked(&self) -> &'a str {
        match self.view.file.path.text.as_str() {
            "" => self.view.asked.text.as_str(),
            path => path,
        }
    }

    pub fn is_device(&self) -> bool {
        matches!(self.view.file.mode & TYPE, CHARACTER | BLOCK)
    }

    /// As a person would name it: as seen from inside, and what it is where that differs.
    pub fn name(&self) -> String {
        let seen = self.walked();
        match (&self.host, self.of_object) {
            (Some(host), _) if host.path != seen => format!("{seen} ({} of the host)", host.path),
            (None, true) if self.system.is_some() && !seen.ends_with(self.path) => {
                let system = FileSystem::ALL.iter().find(|(fs, _, _)| Some(*fs) == self.system);
                format!("{seen} ({} of {})", self.path, system.map_or("a file system", |(_, _, name)| name))
            }
            (None, false) if seen.is_empty() => "a file without a path".to_owned(),
            _ => seen.to_owned(),
        }
    }
}

impl FileLook {
    pub fn sees(&self, seen: &Seen<'_>, event: &Event, context: &dyn Context) -> bool {
        let file = seen.view.file;
        self.to.is_none_or(|to| to.meets(seen.view.access))
            && (self.mode == 0 || file.mode & self.mode != 0)
            && (!self.regular || file.mode & TYPE == REGULAR)
            && (self.path.is_empty() && self.system.is_empty() || self.is_in_file_system(seen))
            && (self.by.is_empty() || self.by.iter().any(|kind| kind == event.what.kind().name()))
            && (self.asked.is_empty() || self.asked.iter().any(|p| p.is(&seen.view.asked.text)))
            && (self.at.is_empty() || self.at.iter().any(|p| p.is(seen.walked())))
            && (!self.looks_at_host() || self.is_of_host(seen))
            && (!self.block || file.mode & TYPE == BLOCK)
            && (self.device.is_empty() || self.is_device(seen))
            && self.process.is_none_or(|whose| {
                process_owner(seen, event, context).is_some_and(|owner| whose.is(owner, event))
            })
            && self.through.is_none_or(|whose| {
                file.mount_namespace != 0
                    && file.mount_namespace != event.actor.namespaces.mount
                    && whose.is(context.mount_namespace(file.mount_namespace), event)
            })
            && self.own_cgroup.is_none_or(|own| {
                let cgroup = event.actor.container.and_then(|key| context.cgroup(key));
                own == cgroup.is_some_and(|cgroup| is_below(seen.path, cgroup))
            })
            && !self.except.iter().any(|p| self.fits(p, seen))
    }

    /// How a file is touched, in words for docs.
    pub fn reads(&self) -> Vec<&'static str> {
        if !self.by.is_empty() {
            return self
                .by
                .iter()
                .filter_map(|by| Kind::ALL.iter().find(|k| k.name() == by))
                .map(|k| k.name())
                .collect();
        }
        const BY: [(Access, &str); 7] = [
            (Access::READ, "file read"),
            (Access::WRITE, "file written"),
            (Access::NAME, "file named"),
            (Access::META, "mode, owner or attributes set"),
            (Access::CONTROL, "ioctl"),
            (Access::EXECUTE, "file executed"),
            (Access::ENTER, "folder entered"),
        ];
        let to = self.to.unwrap_or(Access::READ.and(Access::WRITE).and(Access::NAME).and(Access::META));
        BY.iter().filter(|(access, _)| to.meets(*access)).map(|(_, words)| *words).collect()
    }

    pub fn looks_at_host(&self) -> bool {
        self.on_host || self.shown_by.is_some() || !self.host.is_empty() || !self.host_path.is_empty()
    }

    fn fits(&self, pattern: &Pattern, seen: &Seen<'_>) -> bool {
        match &seen.host {
            Some(host) if self.looks_at_host() => pattern.is(&host.path),
            _ if seen.of_object => pattern.is(seen.path),
            _ => self.ends_with(pattern, seen.path),
        }
    }

    fn is_in_file_system(&self, seen: &Seen<'_>) -> bool {
        let system = match seen.system {
            Some(system) => self.system.contains(&system),
            // Where the kernel has no object, the path that was asked for has to do.
            None => seen.is_text(),
        };
        system
            && (self.path.is_empty() && seen.system.is_some() || self.path.iter().any(|p| self.fits(p, seen)))
    }

    /// A path of which only the text is known: after the file system's usual place, wherever that stands; for the
    /// container's own root file system, all of it.
    fn ends_with(&self, pattern: &Pattern, path: &str) -> bool {
        self.system.iter().any(|system| match system.usual_place() {
            Some(place) => {
                let mut places = path.match_indices(place);
                places.any(|(at, _)| path.get(at + place.len()..).is_some_and(|inside| pattern.is(inside)))
            }
            None => pattern.is(path),
        })
    }

    fn is_of_host(&self, seen: &Seen<'_>) -> bool {
        let Some(host) = &seen.host else { return false };
        let named = self.host.is_empty() && self.host_path.is_empty()
            || self.classes.iter().any(|class| class.has_file(&host.path))
            || self.host_path.iter().any(|p| p.is(&host.path));
        let shown = self.shown_by.as_ref().is_none_or(|path| host.mount.as_deref() == Some(path));
        named && shown && !(self.beyond_own && self.is_own(host))
    }

    /// A part that was given on purpose: the mount shows what lies inside one of the trees, not a tree or what is
    /// above it. Where the mount is not known, what an engine gives every container counts as its own.
    fn is_own(&self, host: &HostFile<'_>) -> bool {
        const GIVEN: &[&str] = &[
            "/var/lib/docker/containers/*/hosts",
            "/var/lib/docker/containers/*/hostname",
            "/var/lib/docker/containers/*/resolv.conf",
            "/var/lib/docker/containers/*/mounts/**",
            "/var/lib/kubelet/pods/*/etc-hosts",
            "/var/lib/kubelet/pods/*/volumes/**",
            "/var/lib/kubelet/pods/*/volume-subpaths/**",
            "/var/lib/kubelet/pods/*/containers/**",
            "/run/containerd/io.containerd.*/**",
            "/var/lib/containerd/io.containerd.grpc.v1.cri/sandboxes/**",
            "/var/lib/containers/storage/overlay-containers/**",
            "/run/containers/storage/overlay-containers/**",
        ];
        match &host.mount {
            Some(mount) => {
                let trees = || self.classes.iter().flat_map(|class| &class.tree).map(|t| Pattern::new(t));
                trees().any(|tree| tree.holds(mount) && !tree.is(mount))
            }
            None => GIVEN.iter().any(|p| Pattern::new(p).is(&host.path)),
        }
    }

    fn is_device(&self, seen: &Seen<'_>) -> bool {
        let file = seen.view.file;
        let kind = match file.mode & TYPE {
            _ if seen.masked => return false,
            CHARACTER => confinement::DeviceKind::Char,
            BLOCK => confinement::DeviceKind::Block,
            // No object: by the name of the node.
            _ if file.file_system == 0 => return self.devices.iter().any(|class| class.has_path(seen.path)),
            _ => return false,
        };
        self.devices.iter().any(|class| class.has_number(kind, file.device.0, file.device.1))
    }
}

/// Whose process a file below `/proc/PID` is of; None for the process's own, which are nobody else's.
fn process_owner(seen: &Seen<'_>, event: &Event, context: &dyn Context) -> Option<Owner> {
    let actor = &event.actor;
    if let Some(task) = seen.view.file.process {
        return (task.process != actor.task.process).then(|| context.owner(&task));
    }
    // By the number in the path, which is one of the pid namespace that the file system was mounted in: taken to be
    // that of the process.
    let path = if seen.of_object { seen.path } else { seen.path.split_once("/proc/")?.1 };
    let process: u32 = names(path).next()?.parse().ok()?;
    let host = context.host().pid;
    if host != 0 && actor.namespaces.pid == host {
        let task = Task { process, thread: process, start: 0 };
        return (process != actor.task.process).then(|| context.owner(&task));
    }
    let own = actor.container.map_or(Owner::NotKnown, Owner::Container);
    (process != actor.process_inside).then_some(own)
}

fn is_below(path: &str, above: &str) -> bool {
    let mut path = names(path);
    names(above).all(|name| path.next() == Some(name))
}

/// The last name of a path.
pub(super) fn last_name(path: &str) -> Option<&str> {
    names(path).next_back()
}

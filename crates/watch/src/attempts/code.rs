//! Looks that need more than a table says: one function each, named in the table under `code`.

use confinement::HostPath;
use sensor::event::{Credentials, Event, File, Kind, Namespaces, What};
use serde::Deserialize;
use techniques::objects::object_class;

use super::context::{Context, Owner};
use super::files::FileSystem;
use super::looks::Object;
use super::pattern::Pattern;

/// `CAP_SYS_ADMIN` and others by number (`include/uapi/linux/capability.h`).
const ALL_CAPABILITIES: u64 = (1 << 38) - 1;
const EXECUTABLE_BITS: u32 = 0o111;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Code {
    /// Credentials or namespaces that no call explains.
    UnexplainedGain,
    /// A program started by the kernel lies in a container.
    HelperFromContainer,
    /// A process of the host, root there, runs a file of a container.
    HostRunsContainerFile,
    /// The same, while the dynamic loader was told by the environment what to load.
    HookWithPreload,
    /// The working directory lies outside the container.
    DirectoryOutside,
    /// A program outside the image: made in the container.
    NewExecutable,
    /// A program without a name in a file system.
    NamelessExecutable,
    /// A program in shared memory.
    SharedMemoryExecutable,
    /// LD_PRELOAD or LD_AUDIT names what anybody may write.
    PreloadFromWritable,
    /// execve(2) gave capabilities that were not there.
    RaisedByExecve,
    PrivilegedStart,
    CapableStart,
    UnfilteredStart,
    HostNamespaceStart,
    /// A symbolic link to what only the host's root should read.
    LinkToSensitive,
    /// A namespace of the host, opened as a file.
    HostNamespaceFile,
    /// By a program that is not of the image.
    TokenByNewProgram,
    /// open_by_handle_at(2).
    HandleRead,
    HandleWrite,
    /// The set-user-ID bit, or file capabilities, on a file of the host; on any file.
    SetUserIdOnHost,
    SetUserId,
}

impl Code {
    pub fn kinds(self) -> &'static [Kind] {
        match self {
            Code::UnexplainedGain => &[Kind::UnexplainedGain],
            Code::HelperFromContainer => &[Kind::UsermodeHelper],
            Code::HostRunsContainerFile => &[Kind::Execve, Kind::MakeExecutable],
            Code::HookWithPreload
            | Code::DirectoryOutside
            | Code::NewExecutable
            | Code::NamelessExecutable
            | Code::SharedMemoryExecutable
            | Code::PreloadFromWritable
            | Code::RaisedByExecve => &[Kind::Execve],
            Code::PrivilegedStart | Code::CapableStart | Code::UnfilteredStart | Code::HostNamespaceStart => {
                &[Kind::ContainerStarted]
            }
            Code::LinkToSensitive => &[Kind::Symlink],
            Code::HostNamespaceFile | Code::TokenByNewProgram => &[Kind::Open],
            Code::HandleRead | Code::HandleWrite => &[Kind::OpenByHandle],
            Code::SetUserIdOnHost | Code::SetUserId => &[Kind::Chmod, Kind::Setxattr],
        }
    }

    pub fn sees(self, event: &Event, context: &dyn Context) -> Option<Object> {
        match self {
            Code::UnexplainedGain => unexplained_gain(event, context),
            Code::HelperFromContainer => helper_from_container(event, context),
            Code::HostRunsContainerFile => host_runs_container_file(event, context),
            Code::HookWithPreload => hook_with_preload(event),
            Code::DirectoryOutside => directory_outside(event, context),
            Code::NewExecutable => {
                executed(event).filter(|file| file.upper_layer && !file.nameless).map(path_of)
            }
            Code::NamelessExecutable => executed(event).filter(|file| file.nameless).map(path_of),
            Code::SharedMemoryExecutable => shared_memory_executable(event),
            Code::PreloadFromWritable => preload_from_writable(event),
            Code::RaisedByExecve => raised_by_execve(event),
            Code::PrivilegedStart => privileged_start(event, context),
            Code::CapableStart => capable_start(event, context),
            Code::UnfilteredStart => {
                let unfiltered = event.actor.credentials.seccomp == 0;
                unfiltered.then(|| Object::new("system calls"))
            }
            Code::HostNamespaceStart => host_namespace_start(event, context),
            Code::LinkToSensitive => link_to_sensitive(event),
            Code::HostNamespaceFile => host_namespace_file(event, context),
            Code::TokenByNewProgram => token_by_new_program(event, context),
            Code::HandleRead => by_handle(event, false),
            Code::HandleWrite => by_handle(event, true),
            Code::SetUserIdOnHost => set_user_id_on_host(event, context),
            Code::SetUserId => set_user_id(event).map(path_of),
        }
    }
}

/// The program that runs now.
fn executed(event: &Event) -> Option<&File> {
    match &event.what {
        What::Execve { file, .. } if event.succeeded() && file.file_system != 0 => Some(file),
        _ => None,
    }
}

/// Where it was refused, as engines mount it noexec, what was asked for has to do.
fn shared_memory_executable(event: &Event) -> Option<Object> {
    let What::Execve { file, asked, .. } = &event.what else { return None };
    let tmpfs = FileSystem::of_magic(file.file_system) == Some(FileSystem::Tmpfs);
    let text = if file.path.text.is_empty() { asked } else { &file.path };
    let there = text.text.starts_with("/dev/shm/") && !file.nameless;
    (there && (tmpfs || !event.succeeded())).then(|| Object::of(text))
}

fn path_of(file: &File) -> Object {
    match file.path.text.as_str() {
        "" => Object::new("a file without a path"),
        _ => Object::of(&file.path),
    }
}

fn capability_names(set: u64) -> String {
    let names = (0..64).filter(|n| set & (1u64 << n) != 0).map(|n| {
        confinement::Capability::from_number(n).map_or_else(|| n.to_string(), |c| c.name().to_owned())
    });
    names.collect::<Vec<_>>().join(" ")
}

/// Only gains count: a process may give up what it has by many ways.
fn unexplained_gain(event: &Event, context: &dyn Context) -> Option<Object> {
    let What::UnexplainedGain { before, after, namespaces_before } = &event.what else { return None };
    let mut gains = Vec::new();
    if after.effective & !before.effective != 0 {
        gains.push(format!("capabilities {}", capability_names(after.effective & !before.effective)));
    }
    if before.euid != 0 && after.euid == 0 {
        gains.push("user id 0".to_owned());
    }
    let host = context.host();
    for (name, was, is, of_host) in pairs(namespaces_before, &event.actor.namespaces, host) {
        if of_host != 0 && was != of_host && is == of_host {
            gains.push(format!("the host's {name} namespace"));
        }
    }
    (!gains.is_empty()).then(|| Object::new(gains.join(", ")))
}

fn pairs(a: &Namespaces, b: &Namespaces, c: &Namespaces) -> [(&'static str, u32, u32, u32); 7] {
    [
        ("user", a.user, b.user, c.user),
        ("mount", a.mount, b.mount, c.mount),
        ("pid", a.pid, b.pid, c.pid),
        ("network", a.network, b.network, c.network),
        ("ipc", a.ipc, b.ipc, c.ipc),
        ("uts", a.uts, b.uts, c.uts),
        ("cgroup", a.cgroup, b.cgroup, c.cgroup),
    ]
}

/// A file of a container's root file system: by its device, or, where the engine keeps it in a folder, by the path.
fn is_of_container(file: &File, context: &dyn Context) -> bool {
    matches!(context.device(file.id.device), Owner::Container(_)) || is_runtime_state(&file.path.text)
}

/// Where an engine keeps the layers of images and the root file systems of containers.
fn is_runtime_state(path: &str) -> bool {
    object_class("runtime-state").is_some_and(|class| class.has_file(HostPath::new(path).as_str()))
}

fn helper_from_container(event: &Event, context: &dyn Context) -> Option<Object> {
    let What::UsermodeHelper { file, .. } = &event.what else { return None };
    is_of_container(file, context).then(|| path_of(file))
}

/// What docker cp and the hooks of graphics runtimes were made to do: root of the host maps a library that the image
/// brought (CVE-2019-14271, CVE-2025-23266).
fn host_runs_container_file(event: &Event, context: &dyn Context) -> Option<Object> {
    let file = match &event.what {
        What::Execve { file, .. } | What::MakeExecutable { file: Some(file), .. } => file,
        _ => return None,
    };
    let host = context.host();
    let namespaces = &event.actor.namespaces;
    let of_host_root = event.actor.container.is_none()
        && event.actor.credentials.euid == 0
        && host.user != 0
        && namespaces.user == host.user;
    // One that has entered the container (docker exec) is about to become a process of it.
    let entering = matches!(context.mount_namespace(namespaces.mount), Owner::Container(_));
    (of_host_root && !entering && is_of_container(file, context)).then(|| path_of(file))
}

fn hook_with_preload(event: &Event) -> Option<Object> {
    let What::Execve { environment, directory, .. } = &event.what else { return None };
    let root = event.actor.container.is_none() && event.actor.credentials.euid == 0;
    let told = environment
        .iter()
        .find(|entry| entry.starts_with("LD_PRELOAD=") || entry.starts_with("LD_AUDIT="))?;
    (root && is_runtime_state(&directory.text)).then(|| Object::new(told.clone()))
}

fn directory_outside(event: &Event, context: &dyn Context) -> Option<Object> {
    let What::Execve { directory, directory_mount_namespace, .. } = &event.what else { return None };
    let elsewhere = *directory_mount_namespace != event.actor.namespaces.mount;
    let owner = context.mount_namespace(*directory_mount_namespace);
    (elsewhere && owner == Owner::Host).then(|| Object::of(directory))
}

fn preload_from_writable(event: &Event) -> Option<Object> {
    const WRITABLE: &[&str] = &["/tmp/", "/var/tmp/", "/dev/shm/", "/proc/", "/run/"];
    let What::Execve { environment, .. } = &event.what else { return None };
    let value = environment
        .iter()
        .find_map(|entry| entry.strip_prefix("LD_PRELOAD=").or_else(|| entry.strip_prefix("LD_AUDIT=")))?;
    let file = value.split([':', ' ']).find(|file| WRITABLE.iter().any(|place| file.starts_with(place)))?;
    Some(Object { text: file.to_owned(), source: sensor::event::Source::User, masked: false })
}

fn raised_by_execve(event: &Event) -> Option<Object> {
    let What::Execve { before, entered, .. } = &event.what else { return None };
    let file = executed(event)?;
    let after = &event.actor.credentials;
    // root that runs a program keeps what it has (capabilities(7)); only a set-user-ID program or one with file
    // capabilities gives more.
    let raised = after.effective & !before.effective;
    let became_root = before.euid != 0 && after.euid == 0;
    // What it had before is not always known, as of a container's first program.
    let known = *before != Credentials::default();
    if !known || *entered || raised == 0 && !became_root {
        return None;
    }
    Some(path_of(file))
}

fn is_started(event: &Event) -> Option<&Credentials> {
    matches!(event.what, What::ContainerStarted { .. }).then_some(&event.actor.credentials)
}

fn in_initial_user_namespace(event: &Event, context: &dyn Context) -> bool {
    let host = context.host().user;
    host != 0 && event.actor.namespaces.user == host
}

fn privileged_start(event: &Event, context: &dyn Context) -> Option<Object> {
    let credentials = is_started(event)?;
    let all = credentials.bounding & ALL_CAPABILITIES == ALL_CAPABILITIES && credentials.seccomp == 0;
    (all && in_initial_user_namespace(event, context))
        .then(|| Object::new("all capabilities, no seccomp filter"))
}

/// Beyond what any engine gives by default (Docker's fourteen, the most of them).
fn capable_start(event: &Event, context: &dyn Context) -> Option<Object> {
    const DEFAULT: u64 = 0xa804_25fb;
    let credentials = is_started(event)?;
    let more = credentials.bounding & ALL_CAPABILITIES & !DEFAULT;
    let all = credentials.bounding & ALL_CAPABILITIES == ALL_CAPABILITIES;
    (more != 0 && !all && in_initial_user_namespace(event, context))
        .then(|| Object::new(capability_names(more)))
}

fn host_namespace_start(event: &Event, context: &dyn Context) -> Option<Object> {
    is_started(event)?;
    let own = &event.actor.namespaces;
    let host = context.host();
    let shared: Vec<&str> = pairs(own, own, host)
        .iter()
        .filter(|(name, _, is, of_host)| {
            matches!(*name, "pid" | "network" | "ipc") && *of_host != 0 && is == of_host
        })
        .map(|(name, ..)| *name)
        .collect();
    (!shared.is_empty()).then(|| Object::new(format!("the host's {} namespace", shared.join(", "))))
}

/// Interfaces of the kernel that a detector of their own watches. An open that is refused behind a link leaves no trace of
/// where the link led (the file system's refusal comes before any file), so that the link itself has to be seen.
const INTERFACES: &[&str] = &[
    "/proc/sys/kernel/**",
    "/proc/sys/vm/**",
    "/proc/sys/fs/**",
    "/proc/sysrq-trigger",
    "/proc/kcore",
    "/proc/*/mem",
    "/proc/*/environ",
    "/sys/kernel/**",
    "/sys/fs/cgroup/**",
    "/dev/mem",
    "/dev/kmsg",
    "/dev/sd*",
];

fn link_to_sensitive(event: &Event) -> Option<Object> {
    let What::Symlink { target, path, .. } = &event.what else { return None };
    const CLASSES: [&str; 5] =
        ["system-files", "credentials", "engine-socket", "kubelet-pods", "runtime-state"];
    let path_of_target = HostPath::new(&target.text);
    let escapes =
        Pattern::new("/proc/*/root/**").is(&target.text) || Pattern::new("/proc/*/root").is(&target.text);
    let interface = INTERFACES.iter().any(|p| Pattern::new(p).is(path_of_target.as_str()));
    let sensitive = target.text.starts_with('/')
        && (escapes
            || interface
            || Pattern::new("/etc/shadow").is(path_of_target.as_str())
            || CLASSES
                .iter()
                .filter_map(|name| object_class(name))
                // A whole home or folder is no aim: `object` holds what a mount shows, /etc among it.
                .any(|class| {
                    class.has_file(path_of_target.as_str())
                        && !class.object.iter().any(|o| o == path_of_target.as_str())
                }));
    sensitive.then(|| Object { text: format!("{} -> {}", path.text, target.text), ..Object::of(target) })
}

/// A namespace's inode number is its identity (namespaces(7)); which link led to it does not matter.
fn host_namespace_file(event: &Event, context: &dyn Context) -> Option<Object> {
    let What::Open { file, .. } = &event.what else { return None };
    if FileSystem::of_magic(file.file_system) != Some(FileSystem::Nsfs) {
        return None;
    }
    let own = &event.actor.namespaces;
    let inode = u32::try_from(file.id.inode).ok()?;
    let (name, ..) = *pairs(own, own, context.host())
        .iter()
        .find(|(_, _, is, of_host)| *of_host != 0 && *of_host == inode && is != of_host)?;
    Some(Object::new(format!("the host's {name} namespace")))
}

/// `/var/run/secrets/kubernetes.io/serviceaccount/token`, by a program that was made in the container or has no name.
fn token_by_new_program(event: &Event, context: &dyn Context) -> Option<Object> {
    let What::Open { file, .. } = &event.what else { return None };
    let token = Pattern::new("/run/secrets/kubernetes.io/serviceaccount/**/token");
    if !token.is(HostPath::new(&file.path.text).as_str()) {
        return None;
    }
    let executable = context.executable(&event.actor.task)?;
    let new = executable.nameless || executable.upper_layer && executable.mode & EXECUTABLE_BITS != 0;
    new.then(|| Object::of(&file.path))
}

fn by_handle(event: &Event, to_write: bool) -> Option<Object> {
    const ACCESS_MODE: u64 = 3;
    let What::OpenByHandle { file, flags } = &event.what else { return None };
    (to_write == (flags & ACCESS_MODE != 0)).then(|| path_of(file))
}

/// The file that a call makes set-user-ID, or gives capabilities.
fn set_user_id(event: &Event) -> Option<&File> {
    const SET_USER_ID: u32 = 0o4000;
    match &event.what {
        What::Chmod { file, mode } if mode & SET_USER_ID != 0 => Some(file),
        What::Setxattr { file, name } if name.text == "security.capability" => Some(file),
        _ => None,
    }
}

/// On a regular file that the host sees: what dpkg unpacks into the container's own file system is nothing to the host.
fn set_user_id_on_host(event: &Event, context: &dyn Context) -> Option<Object> {
    const REGULAR: u32 = 0o100_000;
    let file = set_user_id(event)?;
    let on_host = event.actor.container.and_then(|key| context.host_file(key, file))?;
    let regular = file.mode & 0o170_000 == REGULAR;
    regular.then(|| Object::new(format!("{} ({} of the host)", file.path.text, on_host.path)))
}

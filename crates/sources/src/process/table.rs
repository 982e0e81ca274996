//! The processes of this machine, grouped into containers.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use confinement::{ControlApi, Fact, NamespaceKind, Origin};

use super::cgroup::Membership;
use super::devices;
use super::files::{read_bytes, read_text, read_word};
use super::status::{Status, id_map, inside};
use super::view::{self, View, mount_table, namespace};
use crate::measured::{Credentials, Label, Observed, printable};
use crate::options;

/// A group of processes with one mount namespace.
pub struct Container {
    /// As the engine has it, out of the cgroup's path.
    pub id: Option<Arc<str>>,
    /// What Podman's monitor was told to call it.
    given_name: Option<String>,
    pub init: u32,
    program: String,
    /// Clock ticks after boot.
    started: u64,
    /// Those that descend from the first; what an operator started inside (`docker exec`) is left out.
    pub members: Vec<u32>,
    namespaces: BTreeMap<NamespaceKind, u64>,
    user_namespace: u64,
    mount_namespace: u64,
    membership: Membership,
    pub runtime: Option<String>,
    pub runtime_from: String,
    bundle: Option<PathBuf>,
    pub control_apis: Vec<Fact<ControlApi>>,
    pub notes: Vec<String>,
}

impl Container {
    /// Whether one of its processes bears that name, what an operator started inside included; `None` where a name
    /// cannot be read.
    pub fn runs(&self, program: &str) -> Option<bool> {
        let mut seen = true;
        for pid in &self.members {
            match read_word(Path::new(&format!("/proc/{pid}/comm"))) {
                Some(name) if name == program => return Some(true),
                Some(_) => {}
                // One that ended meanwhile is none.
                None => seen &= !Path::new(&format!("/proc/{pid}")).exists(),
            }
        }
        seen.then_some(false)
    }

    /// Stable between runs where there is an id.
    pub fn subject_id(&self) -> Arc<str> {
        match &self.id {
            Some(id) => format!("proc:{id}").into(),
            None => format!("proc:{}", self.init).into(),
        }
    }

    pub fn name(&self) -> Arc<str> {
        let program = printable(&self.program);
        match (&self.given_name, &self.id) {
            (Some(name), _) => printable(name).into(),
            (None, Some(id)) => format!("{} ({program})", id.get(..12).unwrap_or(id)).into(),
            (None, None) => format!("{program} (process {})", self.init).into(),
        }
    }
}

/// Why a container could not be observed.
pub enum Lost {
    /// It ended meanwhile.
    Ended,
    Unreadable(String),
}

pub struct Table {
    pub containers: Vec<Container>,
    /// Processes whose namespaces this program may not see.
    pub unreadable: usize,
    /// Effective ids of the processes that are in no container.
    pub host_uids: BTreeSet<u32>,
}

/// What is read of every process.
struct Process {
    pid: u32,
    parent: u32,
    program: String,
    uid: u32,
    mount_namespace: u64,
    pid_namespace: u64,
}

impl Table {
    pub fn scan(view: &View) -> Table {
        let (processes, unreadable) = processes();
        let by_pid: BTreeMap<u32, &Process> = processes.iter().map(|p| (p.pid, p)).collect();
        let mut groups: BTreeMap<u64, Vec<&Process>> = BTreeMap::new();
        for process in &processes {
            if process.mount_namespace != view.mount_namespace {
                groups.entry(process.mount_namespace).or_default().push(process);
            }
        }
        let mut containers: Vec<Container> =
            groups.values().filter_map(|group| container(group, &by_pid, view)).collect();
        containers.sort_by_key(|c| (c.started, c.init));
        let inside: BTreeSet<u64> = containers.iter().map(|c| c.mount_namespace).collect();
        let outside = processes.iter().filter(|p| !inside.contains(&p.mount_namespace));
        let host_uids = outside.map(|p| p.uid).collect();
        // A program that unshares its mount namespace inside a container stays part of that container.
        let roots: BTreeMap<u32, Option<Arc<str>>> =
            containers.iter().flat_map(|c| c.members.iter().map(|pid| (*pid, c.id.clone()))).collect();
        containers.retain(|c| {
            let parent = by_pid.get(&c.init).map_or(0, |p| p.parent);
            !roots.get(&parent).is_some_and(|outer| *outer == c.id && c.id.is_some())
        });
        Table { containers, unreadable, host_uids }
    }

    pub fn by_id(&self, id: &str) -> Option<&Container> {
        self.containers.iter().find(|c| c.id.as_deref() == Some(id))
    }

    /// The container whose first process this is, for an engine that sets up no cgroup that bears the id.
    pub fn by_init(&self, pid: u32) -> Option<&Container> {
        self.containers.iter().find(|c| c.init == pid && c.id.is_none())
    }

    /// The container that was there first among those that share this one's namespace, unless it is itself.
    pub fn holder(&self, container: &Container, kind: NamespaceKind) -> Option<Arc<str>> {
        let inode = container.namespaces.get(&kind)?;
        // Sorted by start.
        let first = self.containers.iter().find(|c| c.namespaces.get(&kind) == Some(inode))?;
        (first.init != container.init).then(|| first.subject_id())
    }

    /// Reads everything that `/proc` shows of a container.
    pub fn observe(&self, container: &Container, view: &View) -> Result<Observed, Lost> {
        container.observe(view)
    }
}

impl Container {
    /// The container whose first process this is, looking at no other process but its parent. Whoever asks knows by
    /// other means that it is a container's.
    pub fn of_first_process(pid: u32, view: &View) -> Option<Container> {
        let first = process(pid).ok()??;
        let parent = process(first.parent).ok().flatten();
        let by_pid: BTreeMap<u32, &Process> = parent.iter().map(|p| (p.pid, p)).collect();
        described(&[&first], &by_pid, view, Any::Process)
    }

    /// When its first process started, in clock ticks after boot.
    pub fn started(&self) -> u64 {
        self.started
    }

    /// The inode number of its mount namespace.
    pub fn mount_namespace(&self) -> u64 {
        self.mount_namespace
    }

    /// Where the runtime was told how to make it (its `config.json` stands there), if its monitor tells.
    pub fn bundle(&self) -> Option<&Path> {
        self.bundle.as_deref()
    }

    /// Reads everything that `/proc` shows of the container.
    pub fn observe(&self, view: &View) -> Result<Observed, Lost> {
        let container = self;
        let folder = PathBuf::from(format!("/proc/{}", container.init));
        let text =
            |name: &str| read_text(&folder.join(name)).map_err(|error| lost(&folder.join(name), &error));
        let maps = |name: &str| {
            let map = id_map(&text(name)?);
            map.ok_or_else(|| Lost::Unreadable(format!("{}/{name} has an unknown form", folder.display())))
        };
        let (uid_map, gid_map) = (maps("uid_map")?, maps("gid_map")?);
        let mounts = mount_table(&folder.join("mountinfo"))
            .map_err(|why| Lost::Unreadable(format!("{}/mountinfo: {why}", folder.display())))?;
        let (credentials_pid, credentials) = least_confined(container, &uid_map, &gid_map)?;
        let seen = devices::nodes(&folder.join("root"), &mounts);
        let nodes = seen.as_ref().ok().map(|seen| {
            let node = |s: &devices::Seen| {
                let uid = super::status::to_inside(&uid_map, s.uid);
                view.devices.node(s, uid, super::status::to_inside(&gid_map, s.gid))
            };
            seen.iter().map(node).collect()
        });
        let host_namespaces = container
            .namespaces
            .iter()
            .filter_map(|(kind, inode)| Some((*kind, view.namespaces.get(kind)? == inode)));
        let membership = &container.membership;
        let hierarchies = &view.hierarchies;
        let observed = Observed {
            credentials_from: format!("/proc/{credentials_pid}").into(),
            container_from: format!("/proc/{}", container.init).into(),
            credentials: Some(credentials),
            host_namespaces: host_namespaces.collect(),
            initial_user_namespace: Some(container.user_namespace == view::INITIAL_USER_NAMESPACE),
            // From another user namespace the outer ids are relative to that one.
            uid_map: view.sees_host_ids.then_some(uid_map),
            gid_map: view.sees_host_ids.then_some(gid_map),
            label: label(credentials_pid),
            devices: nodes,
            all_host_devices: seen.as_ref().ok().map(|seen| view.devices.all_among(seen)),
            device_rules: membership.device_rules(hierarchies),
            seccomp_profile: container.bundle.as_deref().and_then(bundle_seccomp),
            memory: membership.memory(hierarchies),
            cpu: membership.cpu(hierarchies),
            pids: membership.pids(hierarchies),
            attached: read_text(&folder.join("net/dev")).ok().map(|text| has_interface(&text)),
            mounts: Some(mounts),
        };
        // What was read belongs together only if the process is still the one it was.
        match namespace(container.init, "mnt") {
            Ok(inode) if inode == container.mount_namespace => Ok(observed),
            _ => Err(Lost::Ended),
        }
    }
}

fn lost(path: &Path, error: &io::Error) -> Lost {
    // ESRCH: the process ended between open and read.
    if error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(3) {
        return Lost::Ended;
    }
    Lost::Unreadable(format!("{}: {error}", path.display()))
}

fn processes() -> (Vec<Process>, usize) {
    let mut found = Vec::new();
    let mut unreadable = 0;
    let Ok(entries) = std::fs::read_dir("/proc") else { return (found, 1) };
    for entry in entries.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        // kthreadd is process 2; its children are the kernel's own and have no mount namespace of their own.
        match process(pid) {
            Ok(Some(process)) if pid > 2 && process.parent != 2 => found.push(process),
            Err(_) if pid > 2 => unreadable += 1,
            _ => {}
        }
    }
    (found, unreadable)
}

/// A process; nothing where it ended meanwhile, or is a zombie, which has no namespaces any more. An error where its
/// namespaces may not be read.
fn process(pid: u32) -> io::Result<Option<Process>> {
    let Some(status) = status(pid) else { return Ok(None) };
    if status.parent == 2 {
        return Ok(None);
    }
    match (namespace(pid, "mnt"), namespace(pid, "pid")) {
        (Ok(mount_namespace), Ok(pid_namespace)) => Ok(Some(Process {
            pid,
            parent: status.parent,
            program: status.name,
            uid: status.credentials.uid,
            mount_namespace,
            pid_namespace,
        })),
        (Err(error), _) | (_, Err(error)) if error.kind() == io::ErrorKind::PermissionDenied => Err(error),
        _ => Ok(None),
    }
}

fn status(pid: u32) -> Option<Status> {
    Status::parse(&read_text(Path::new(&format!("/proc/{pid}/status"))).ok()?)
}

/// Field 22 of proc_pid_stat(5); the program's name before it may hold anything, its closing bracket is the last.
fn start_time(pid: u32) -> Option<u64> {
    let text = read_text(Path::new(&format!("/proc/{pid}/stat"))).ok()?;
    text.rsplit_once(')')?.1.split_ascii_whitespace().nth(19)?.parse().ok()
}

fn container(group: &[&Process], by_pid: &BTreeMap<u32, &Process>, view: &View) -> Option<Container> {
    described(group, by_pid, view, Any::Container)
}

/// Which groups of processes are described.
#[derive(PartialEq)]
enum Any {
    /// Those that look like a container.
    Container,
    /// All.
    Process,
}

fn described(
    group: &[&Process],
    by_pid: &BTreeMap<u32, &Process>,
    view: &View,
    any: Any,
) -> Option<Container> {
    let in_group: BTreeSet<u32> = group.iter().map(|p| p.pid).collect();
    // The first of those whose parent is outside; later ones were put in by an operator.
    let entered = group.iter().filter(|p| !in_group.contains(&p.parent));
    let (started, first) =
        entered.filter_map(|p| Some((start_time(p.pid)?, *p))).min_by_key(|(t, p)| (*t, p.pid))?;
    let init = first.pid;
    let membership = Membership::parse(&read_text(Path::new(&format!("/proc/{init}/cgroup"))).ok()?);
    let id = membership.container_id().map(Arc::from);
    let namespaces = view::readable_namespaces(init)?;
    let own_pid_namespace = namespaces.get("pid") != view.namespaces.get(&NamespaceKind::Pid);
    let mounts = mount_table(Path::new(&format!("/proc/{init}/mountinfo"))).ok();
    // A table that cannot be read is a reason to look closer, not to look away.
    let own_root = mounts.as_ref().is_none_or(|table| {
        table.root().is_none_or(|m| (m.device.as_str(), m.root.as_str()) != (&view.root.0, &view.root.1))
    });
    let is_container = match id {
        // The monitor of a rootless engine bears the id too, and sees the host's file system.
        Some(_) => own_root || own_pid_namespace,
        None => own_root && (own_pid_namespace || !membership.is_service()),
    };
    if !is_container && any == Any::Container {
        return None;
    }
    let mut children: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for process in group.iter().filter(|p| p.pid != init) {
        children.entry(process.parent).or_default().push(process.pid);
    }
    let mut members = vec![init];
    let mut at = 0;
    while let Some(parent) = members.get(at) {
        // Taken out, so that a circle of parents in a list that changed while it was read comes to an end.
        members.extend(children.remove(parent).unwrap_or_default());
        at += 1;
    }
    let kinds = NamespaceKind::ALL.into_iter();
    let mut found = Container {
        id,
        given_name: None,
        init,
        program: first.program.clone(),
        started,
        members,
        user_namespace: *namespaces.get("user")?,
        mount_namespace: first.mount_namespace,
        namespaces: kinds.filter_map(|kind| Some((kind, *namespaces.get(kind.name())?))).collect(),
        membership,
        runtime: None,
        runtime_from: String::new(),
        bundle: None,
        control_apis: control_apis(init),
        notes: Vec::new(),
    };
    if let Some(parent) = by_pid.get(&first.parent)
        && Some(&parent.pid_namespace) == view.namespaces.get(&NamespaceKind::Pid)
    {
        ask_monitor(&mut found, parent);
    }
    Some(found)
}

fn command_line(pid: u32) -> Vec<String> {
    let bytes = read_bytes(Path::new(&format!("/proc/{pid}/cmdline")), 1 << 20).unwrap_or_default();
    bytes.split(|b| *b == 0).map(|word| String::from_utf8_lossy(word).into_owned()).collect()
}

/// The process of the engine's that holds the container knows its name, its runtime and its bundle.
fn ask_monitor(container: &mut Container, monitor: &Process) {
    let words = command_line(monitor.pid);
    let option = |names: &[&str]| {
        let at = words.iter().position(|w| names.contains(&w.as_str()))?;
        words.get(at + 1).cloned()
    };
    if monitor.program == "conmon" {
        // conmon(8).
        container.given_name = option(&["-n", "--name"]);
        container.bundle = option(&["-b", "--bundle"]).map(PathBuf::from);
        container.runtime = option(&["-r", "--runtime"]);
        container.runtime_from = format!("/proc/{}/cmdline", monitor.pid);
    } else if monitor.program.starts_with("containerd-shim") {
        // A shim's working directory is the bundle of the container that it was started for; those of the same
        // pod lie beside it (containerd runtime/v2, NewBundle).
        let own = std::fs::read_link(format!("/proc/{}/cwd", monitor.pid)).ok();
        container.bundle = own.and_then(|own| {
            let beside = container.id.as_ref().and_then(|id| Some(own.parent()?.join(&**id)));
            beside.filter(|folder| folder.is_dir())
        });
        container.runtime = words.first().and_then(|path| shim_runtime(path));
        container.runtime_from = format!("/proc/{}/cmdline", monitor.pid);
    }
}

/// `containerd-shim-runsc-v1` is gVisor's; the runc shim starts whatever `BinaryName` says, runc unless set.
fn shim_runtime(path: &str) -> Option<String> {
    let name = path.rsplit('/').next()?.strip_prefix("containerd-shim-")?;
    Some(name.rsplit_once("-v").map_or(name, |(name, _)| name).to_owned())
}

fn control_apis(pid: u32) -> Vec<Fact<ControlApi>> {
    let path = format!("/proc/{pid}/environ");
    let Ok(bytes) = read_bytes(Path::new(&path), 1 << 20) else { return Vec::new() };
    let texts: Vec<String> =
        bytes.split(|b| *b == 0).map(|w| String::from_utf8_lossy(w).into_owned()).collect();
    let pairs = texts.iter().filter_map(|text| text.split_once('='));
    options::control_apis(pairs.map(|(name, value)| (name, Some(value), Origin::measured(path.as_str()))))
}

/// The credentials from which most can be reached: a path that is open to any process of a container is open.
fn least_confined(
    container: &Container,
    uid_map: &[confinement::IdRange],
    gid_map: &[confinement::IdRange],
) -> Result<(u32, Credentials), Lost> {
    let readable = container.members.iter().filter_map(|pid| {
        // A process may have made itself a user namespace, whose capabilities reach no further.
        let same = *pid == container.init || namespace(*pid, "user").ok() == Some(container.user_namespace);
        let status = status(*pid).filter(|_| same)?;
        Some((*pid, inside(status.credentials, uid_map, gid_map)))
    });
    let reach = |c: &Credentials| {
        (
            c.effective.0.count_ones(),
            c.uid == 0,
            c.bounding.0.count_ones(),
            !c.no_new_privileges,
            c.seccomp_mode == 0,
        )
    };
    // The first of equals, which is the container's first process.
    readable.reduce(|best, next| if reach(&next.1) > reach(&best.1) { next } else { best }).ok_or(Lost::Ended)
}

fn label(pid: u32) -> Option<Label> {
    for name in ["attr/apparmor/current", "attr/current"] {
        match read_text(Path::new(&format!("/proc/{pid}/{name}"))) {
            Ok(text) => return Some(Label::Text(text.trim_end_matches(['\0', '\n']).to_owned())),
            // EINVAL: no module answers (security_getprocattr, security/security.c).
            Err(error) if error.raw_os_error() == Some(22) && name == "attr/current" => {
                return Some(Label::NoModule);
            }
            Err(_) => {}
        }
    }
    None
}

/// `/proc/PID/net/dev` (proc_pid_net(5)).
fn has_interface(text: &str) -> bool {
    text.lines().filter_map(|line| line.split_once(':')).any(|(name, _)| is_interface_of_use(name.trim()))
}

/// Not the loopback, nor a device that a kernel puts into every network namespace
/// (net.core.fb_tunnels_only_for_init_net).
pub(crate) fn is_interface_of_use(name: &str) -> bool {
    const EVERYWHERE: &[&str] =
        &["lo", "tunl0", "gre0", "gretap0", "erspan0", "ip_vti0", "ip6_vti0", "sit0", "ip6tnl0", "ip6gre0"];
    !EVERYWHERE.contains(&name)
}

/// The filter in the `config.json` that the runtime was given (runtime-spec, config-linux.md, "Seccomp").
fn bundle_seccomp(bundle: &Path) -> Option<(Arc<str>, Arc<confinement::seccomp::Profile>)> {
    let path = bundle.join("config.json");
    let config: serde_json::Value = serde_json::from_str(&read_text(&path).ok()?).ok()?;
    let filter = config.get("linux")?.get("seccomp").filter(|filter| filter.is_object())?;
    let profile = confinement::seccomp::Profile::from_json(&filter.to_string()).ok()?;
    Some((path.display().to_string().into(), Arc::new(profile)))
}

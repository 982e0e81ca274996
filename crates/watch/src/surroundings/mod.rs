//! What detectors ask beside an event: whose a process, a namespace, an address or a file is.
//!
//! Data comes from the sensor's events (which task is in which container) and, once at a container's start and again when its
//! mounts change, from `/proc` of its first process; it goes to [`attempts::Context`](crate::attempts::Context). Nothing
//! here is asked of an engine, so that a detector never waits for one.

mod processes;

use std::borrow::Cow;
use std::collections::HashMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};

use sensor::event::{Actor, ContainerKey, Event, File, Namespaces, Task, What};
use sources::process::mountinfo::{HostPaths, MountTable};

use self::processes::Processes;
use crate::alert::Process;
use crate::attempts::{Context, HostFile, Owner};
use crate::proc;

/// Containers that have ended and are still remembered, as events of theirs may be on the way.
const ENDED: usize = 4096;
/// A file of /proc longer than this is not read.
const LONGEST: u64 = 16 << 20;

/// One container as `/proc` showed it.
#[derive(Debug, Default)]
struct Around {
    mount_namespace: u32,
    first: Task,
    cgroup: Option<String>,
    /// What its mounts show, the deepest root first; empty where they could not be read.
    mounts: Vec<Shown>,
    /// Device and root of what lies at its `/`.
    root: Option<((u32, u32), String)>,
    api_server: Option<(IpAddr, u16)>,
    addresses: Vec<IpAddr>,
    ended: bool,
}

/// A folder of a file system that a mount shows.
#[derive(Debug, PartialEq, Eq)]
struct Shown {
    device: (u32, u32),
    root: String,
}

pub struct Surroundings {
    /// `/proc`; another folder in tests.
    proc: PathBuf,
    host: Namespaces,
    host_paths: HostPaths,
    host_addresses: Vec<IpAddr>,
    containers: HashMap<ContainerKey, Around>,
    mount_namespaces: HashMap<u32, ContainerKey>,
    processes: Processes,
}

impl Surroundings {
    /// Reads the host as its first process has it.
    pub fn read() -> Surroundings {
        Surroundings::at(Path::new("/proc"))
    }

    fn at(proc: &Path) -> Surroundings {
        let mounts = mount_table(&proc.join("1/mountinfo")).unwrap_or_default();
        Surroundings {
            host: proc::host_namespaces(proc),
            host_paths: HostPaths::new(&mounts),
            host_addresses: addresses(&proc.join("1/net")),
            proc: proc.to_owned(),
            containers: HashMap::new(),
            mount_namespaces: HashMap::new(),
            processes: Processes::default(),
        }
    }

    /// How many processes of containers could not be remembered.
    pub fn forgotten(&self) -> u64 {
        self.processes.forgotten()
    }

    /// How many processes and containers are remembered.
    pub fn sizes(&self) -> (usize, usize) {
        (self.processes.len(), self.containers.len())
    }

    /// The actor of an event, then its parents, out of the container and up to the first process of the machine.
    pub fn line(&self, actor: &Actor) -> Vec<Process> {
        self.processes.line(actor, &self.proc)
    }

    /// Takes what an event says of processes and containers. To be called before the detectors see it.
    pub fn see(&mut self, event: &Event) {
        let actor = &event.actor;
        self.processes.see(event);
        match &event.what {
            What::ContainerStarted { key, cgroup_path, .. } => {
                self.start(*key, actor.task, actor.namespaces.mount, cgroup_path);
            }
            What::ContainerEnded { key } => self.end(*key),
            What::Mount { .. } | What::MoveMount { .. } | What::Umount { .. } | What::PivotRoot { .. }
                if event.succeeded() =>
            {
                if let Some(key) = actor.container {
                    self.read_mounts(key);
                }
            }
            _ => {}
        }
    }

    /// The host's mounts and addresses change too. To be called once in a while.
    pub fn refresh(&mut self) {
        if let Some(mounts) = mount_table(&self.proc.join("1/mountinfo")) {
            self.host_paths = HostPaths::new(&mounts);
        }
        self.host_addresses = addresses(&self.proc.join("1/net"));
    }

    fn start(&mut self, key: ContainerKey, first: Task, mount_namespace: u32, cgroup: &str) {
        let folder = self.proc.join(first.process.to_string());
        let around = Around {
            mount_namespace,
            first,
            cgroup: Some(cgroup.to_owned()).filter(|path| !path.is_empty()),
            api_server: api_server(&folder.join("environ")),
            addresses: addresses(&folder.join("net")),
            ..Around::default()
        };
        self.containers.insert(key, around);
        self.mount_namespaces.insert(mount_namespace, key);
        self.read_mounts(key);
    }

    fn end(&mut self, key: ContainerKey) {
        self.processes.end(key);
        let Some(around) = self.containers.get_mut(&key) else { return };
        around.ended = true;
        // The number of a namespace is given again.
        if self.mount_namespaces.get(&around.mount_namespace) == Some(&key) {
            self.mount_namespaces.remove(&around.mount_namespace);
        }
        let ended = self.containers.values().filter(|a| a.ended).count();
        if ended > ENDED {
            self.containers.retain(|_, a| !a.ended);
        }
    }

    /// Of a process whose namespaces may not be read: in the cgroup of a container, or, where those are all known, of
    /// the host.
    fn owner_by_cgroup(&self, folder: &Path) -> Owner {
        let Some(text) = bounded(&folder.join("cgroup")) else { return Owner::NotKnown };
        let Some(cgroup) = text.lines().find_map(|line| line.strip_prefix("0::")) else {
            return Owner::NotKnown;
        };
        let mut living = self.containers.iter().filter(|(_, around)| !around.ended);
        let mut all_known = true;
        let of = living.find(|(_, around)| {
            all_known &= around.cgroup.is_some();
            around.cgroup.as_deref().is_some_and(|of| of != "/" && is_below(cgroup, of))
        });
        match of {
            Some((key, _)) => Owner::Container(*key),
            None if all_known => Owner::Host,
            None => Owner::NotKnown,
        }
    }

    fn read_mounts(&mut self, key: ContainerKey) {
        let Some(around) = self.containers.get_mut(&key) else { return };
        let file = self.proc.join(around.first.process.to_string()).join("mountinfo");
        // A first process that is gone leaves what was known.
        let Some(table) = mount_table(&file) else { return };
        around.root = table.root().and_then(|m| Some((device(&m.device)?, m.root.clone())));
        around.mounts = table
            .entries
            .iter()
            .filter_map(|m| Some(Shown { device: device(&m.device)?, root: m.root.clone() }))
            .collect();
        around.mounts.sort_by_key(|shown| std::cmp::Reverse(shown.root.len()));
        around.mounts.dedup();
    }
}

impl Context for Surroundings {
    fn host(&self) -> &Namespaces {
        &self.host
    }

    fn owner(&self, task: &Task) -> Owner {
        if let Some(container) = self.processes.container(task) {
            return Owner::Container(container);
        }
        // A process that no event told of: the kernel is asked.
        let folder = self.proc.join(task.process.to_string());
        match proc::namespace(&folder, "mnt") {
            0 if task.process == 1 => Owner::Host,
            0 => self.owner_by_cgroup(&folder),
            inode => self.mount_namespace(inode),
        }
    }

    fn mount_namespace(&self, inode: u32) -> Owner {
        if inode != 0 && inode == self.host.mount {
            return Owner::Host;
        }
        self.mount_namespaces.get(&inode).map_or(Owner::NotKnown, |key| Owner::Container(*key))
    }

    fn device(&self, device: (u32, u32)) -> Owner {
        let mut owners = self.containers.iter().filter(|(_, around)| {
            !around.ended && around.root.as_ref().is_some_and(|(of_root, _)| *of_root == device)
        });
        match (owners.next(), owners.next()) {
            // Several roots on one device (the vfs driver) tell nothing.
            (Some((key, _)), None) => Owner::Container(*key),
            _ => Owner::NotKnown,
        }
    }

    fn address(&self, address: IpAddr) -> Owner {
        if address.is_loopback() || address.is_unspecified() {
            return Owner::NotKnown;
        }
        let found = self.containers.iter().find(|(_, a)| !a.ended && a.addresses.contains(&address));
        match found {
            // A container that shares the host's network has the host's addresses.
            _ if self.host_addresses.contains(&address) => Owner::Host,
            Some((key, _)) => Owner::Container(*key),
            None => Owner::NotKnown,
        }
    }

    fn executable(&self, task: &Task) -> Option<&File> {
        self.processes.executable(task)
    }

    fn host_file(&self, container: ContainerKey, file: &File) -> Option<HostFile<'_>> {
        let around = self.containers.get(&container)?;
        let path = file.path_in_file_system.text.as_str();
        let (device, root) = around.root.as_ref()?;
        if path.is_empty() || (*device == file.id.device && is_below(path, root)) {
            return None;
        }
        let device_text = format!("{}:{}", file.id.device.0, file.id.device.1);
        let on_host = self.host_paths.resolve(&device_text, path)?;
        let shown = around.mounts.iter().find(|m| m.device == file.id.device && is_below(path, &m.root));
        let mount = shown.and_then(|m| self.host_paths.resolve(&device_text, &m.root));
        Some(HostFile {
            path: Cow::Owned(on_host.as_str().to_owned()),
            mount: mount.map(|path| Cow::Owned(path.as_str().to_owned())),
        })
    }

    fn cgroup(&self, container: ContainerKey) -> Option<&str> {
        self.containers.get(&container)?.cgroup.as_deref()
    }

    fn api_server(&self, container: ContainerKey) -> Option<(IpAddr, u16)> {
        self.containers.get(&container)?.api_server
    }
}

fn is_below(path: &str, folder: &str) -> bool {
    folder == "/" || path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn device(text: &str) -> Option<(u32, u32)> {
    let (major, minor) = text.split_once(':')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

fn bounded(path: &Path) -> Option<String> {
    use std::io::Read as _;
    let mut text = String::new();
    fs::File::open(path).ok()?.take(LONGEST).read_to_string(&mut text).ok()?;
    Some(text)
}

fn mount_table(path: &Path) -> Option<MountTable> {
    MountTable::parse(&bounded(path)?).ok().filter(|table| !table.entries.is_empty())
}

/// Local addresses of a network namespace, loopback left out: `fib_trie` names each address above the line
/// `/32 host LOCAL`; `if_inet6` has one a line.
fn addresses(net: &Path) -> Vec<IpAddr> {
    let mut found = Vec::new();
    let mut last: Option<Ipv4Addr> = None;
    for line in bounded(&net.join("fib_trie")).unwrap_or_default().lines() {
        let line = line.trim();
        if let Some(address) = line.strip_prefix("|-- ") {
            last = address.parse().ok();
        } else if line == "/32 host LOCAL" {
            found.extend(last.map(IpAddr::V4));
        }
    }
    for line in bounded(&net.join("if_inet6")).unwrap_or_default().lines() {
        let digits = line.split(' ').next().unwrap_or_default();
        found.extend(u128::from_str_radix(digits, 16).ok().map(|bits| IpAddr::V6(Ipv6Addr::from(bits))));
    }
    found.retain(|address| !address.is_loopback());
    found.sort();
    found.dedup();
    found
}

/// Where the kubelet tells every container that its cluster's API server is.
fn api_server(environ: &Path) -> Option<(IpAddr, u16)> {
    let text = fs::read(environ).ok()?;
    let value = |name: &str| {
        text.split(|byte| *byte == 0).find_map(|entry| {
            let entry = std::str::from_utf8(entry).ok()?;
            entry.strip_prefix(name)?.strip_prefix('=').map(str::to_owned)
        })
    };
    let address = value("KUBERNETES_SERVICE_HOST")?.parse().ok()?;
    let port = value("KUBERNETES_SERVICE_PORT")?.parse().ok()?;
    Some((address, port))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use sensor::event::{Actor, Entry, FileId, Lane, Text};

    use super::*;

    const KEY: ContainerKey = ContainerKey(7);

    /// A host with an ext4 root, and process 50: a container on an overlay with /srv/data of the host bound at /data.
    fn proc() -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        for (process, number) in [("1", 100), ("50", 200)] {
            let of = folder.path().join(process);
            fs::create_dir_all(of.join("ns")).expect("made");
            fs::create_dir_all(of.join("net")).expect("made");
            symlink(format!("mnt:[{number}]"), of.join("ns/mnt")).expect("made");
        }
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).expect("written");
        write("1/mountinfo", "1 0 8:1 / / rw - ext4 /dev/sda1 rw\n2 1 0:5 / /proc rw - proc proc rw\n");
        write(
            "50/mountinfo",
            "9 1 0:40 / / rw - overlay overlay rw\n10 9 8:1 /srv/data /data rw - ext4 /dev/sda1 rw\n\
             11 9 0:41 / /tmp rw - tmpfs tmpfs rw\n",
        );
        write("1/net/fib_trie", "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 10.0.0.1\n        /32 host LOCAL\n");
        write(
            "50/net/fib_trie",
            "     |-- 172.17.0.2\n        /32 host LOCAL\n     |-- 127.0.0.1\n        /32 host LOCAL\n",
        );
        write("50/environ", "PATH=/bin\0KUBERNETES_SERVICE_HOST=10.96.0.1\0KUBERNETES_SERVICE_PORT=443\0");
        folder
    }

    fn event(process: u32, what: What) -> Event {
        let task = Task { process, thread: process, start: 1 };
        let namespaces = Namespaces { mount: 200, ..Namespaces::default() };
        let actor = Actor { task, namespaces, container: Some(KEY), ..Actor::default() };
        Event { time: 1, lane: Lane::Rare, cpu: 0, actor, count: 1, entry: Entry::Kernel, result: 0, what }
    }

    fn started(folder: &Path) -> Surroundings {
        let mut around = Surroundings::at(folder);
        let root = FileId::default();
        let cgroup_path = "/docker/x".to_owned();
        around.see(&event(50, What::ContainerStarted { key: KEY, cgroup_path, root }));
        around
    }

    fn file(device: (u32, u32), path: &str) -> File {
        File {
            path_in_file_system: Text { text: path.into(), ..Text::default() },
            id: FileId { device, inode: 5 },
            ..File::default()
        }
    }

    #[test]
    fn a_file_of_a_bind_mount_is_told_by_the_path_that_the_host_has_for_it() {
        let folder = proc();
        let around = started(folder.path());
        let of_host = file((8, 1), "/srv/data/keys");
        let found = around.host_file(KEY, &of_host).expect("a file of the host");
        assert_eq!((&*found.path, found.mount.as_deref()), ("/srv/data/keys", Some("/srv/data")));
        assert!(around.host_file(KEY, &file((0, 40), "/etc/passwd")).is_none(), "of its own root");
        assert!(around.host_file(KEY, &file((0, 41), "/x")).is_none(), "of its own tmpfs");
    }

    #[test]
    fn a_process_belongs_to_the_container_of_who_forked_it() {
        let folder = proc();
        let mut around = started(folder.path());
        let child = Task { process: 60, thread: 60, start: 9 };
        around.see(&event(50, What::Fork { child, child_inside: 2, flags: 0 }));
        assert_eq!(around.owner(&child), Owner::Container(KEY));
        let reused = Task { start: 10, ..child };
        assert_eq!(around.owner(&reused), Owner::NotKnown, "the number came round");
        assert_eq!(around.owner(&Task { process: 1, thread: 1, start: 0 }), Owner::Host);
    }

    #[test]
    fn namespaces_and_addresses_have_owners_until_the_container_ends() {
        let folder = proc();
        let mut around = started(folder.path());
        assert_eq!(around.mount_namespace(100), Owner::Host);
        assert_eq!(around.mount_namespace(200), Owner::Container(KEY));
        assert_eq!(around.device((0, 40)), Owner::Container(KEY));
        assert_eq!(around.address("172.17.0.2".parse().expect("an address")), Owner::Container(KEY));
        assert_eq!(around.address("10.0.0.1".parse().expect("an address")), Owner::Host);
        assert_eq!(around.address("127.0.0.1".parse().expect("an address")), Owner::NotKnown);
        assert_eq!(around.api_server(KEY), Some(("10.96.0.1".parse().expect("an address"), 443)));
        around.see(&event(50, What::ContainerEnded { key: KEY }));
        assert_eq!(around.mount_namespace(200), Owner::NotKnown);
        assert_eq!(around.cgroup(KEY), Some("/docker/x"), "late events still find it");
    }
}

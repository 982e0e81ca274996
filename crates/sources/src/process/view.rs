//! What of the host has to be known before a container's `/proc` files say anything: its namespaces, mounts,
//! cgroup hierarchies and devices. Read once.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use confinement::{CapabilitySet, NamespaceKind, Problem};

use super::cgroup::Hierarchies;
use super::devices::HostDevices;
use super::files::{read_bytes, read_text};
use super::mountinfo::{HostPaths, MountTable};
use super::status::Status;
use crate::measured::{HostView, ListedPaths};

/// 100,000 mounts, the kernel's default limit, at some 300 bytes each.
pub(super) const MOUNTINFO_LIMIT: u64 = 64 << 20;

/// `PROC_USER_INIT_INO` (include/linux/proc_ns.h): the initial user namespace on every kernel.
pub(super) const INITIAL_USER_NAMESPACE: u64 = 0xEFFF_FFFD;
/// `PROC_PID_INIT_INO`.
const INITIAL_PID_NAMESPACE: u64 = 0xEFFF_FFFC;

pub struct View {
    pub paths: HostPaths,
    pub hierarchies: Hierarchies,
    pub devices: HostDevices,
    pub namespaces: BTreeMap<NamespaceKind, u64>,
    pub mount_namespace: u64,
    /// Device and root of the mount at `/`.
    pub root: (String, String),
    pub bounding: CapabilitySet,
    pub absent: ListedPaths,
    cgroup_device: Option<String>,
    /// Whether ids that `/proc` shows are those of the initial user namespace.
    pub sees_host_ids: bool,
    pub notes: Vec<Problem>,
}

impl View {
    pub fn read() -> Result<View, Problem> {
        let unreadable = |what: &str, why: String| Problem::new(what, format!("cannot be read: {why}"));
        let mut notes = Vec::new();
        // The first process is in the host's namespaces; where it is out of reach (it may hold capabilities that
        // even this root lacks) this process is taken to be in them too, as a tool of the administrator's is.
        let first = readable_namespaces(1);
        let own = readable_namespaces_or(std::process::id());
        let namespaces = first.unwrap_or_else(|| own.clone());
        let get = |kind: &str| namespaces.get(kind).copied();
        let Some(mount_namespace) = get("mnt") else {
            return Err(unreadable("/proc/self/ns", "there is no mnt; is /proc mounted?".into()));
        };
        if own.get("pid") != Some(&INITIAL_PID_NAMESPACE) {
            let message = "this program runs inside a container; what it calls the host is that container";
            notes.push(Problem::new("/proc/self/ns/pid", message));
        }
        let path = if own.get("mnt") == Some(&mount_namespace) {
            "/proc/self/mountinfo"
        } else {
            "/proc/1/mountinfo"
        };
        let mounts = mount_table(Path::new(path)).map_err(|why| unreadable(path, why))?;
        let root = mounts.root().map(|m| (m.device.clone(), m.root.clone())).unwrap_or_default();
        let status = read_text(Path::new("/proc/1/status"))
            .ok()
            .and_then(|text| Status::parse(&text))
            .ok_or_else(|| unreadable("/proc/1/status", "it has an unknown form".into()))?;
        let kinds = NamespaceKind::ALL.into_iter();
        let mut absent = ListedPaths::all();
        absent.retain(is_absent);
        Ok(View {
            hierarchies: Hierarchies::of(&mounts),
            devices: HostDevices::read(&mounts),
            namespaces: kinds.filter_map(|kind| Some((kind, get(kind.name())?))).collect(),
            mount_namespace,
            root,
            bounding: services_bounding(Path::new("/proc"), status.credentials.bounding),
            absent,
            cgroup_device: mounts
                .visible()
                .into_iter()
                .find(|m| m.target == "/sys/fs/cgroup" && m.kind == "tmpfs")
                .map(|m| m.device.clone()),
            sees_host_ids: own.get("user") == Some(&INITIAL_USER_NAMESPACE),
            paths: HostPaths::new(&mounts),
            notes,
        })
    }

    pub fn host(&self) -> HostView<'_> {
        HostView {
            paths: &self.paths,
            bounding: self.bounding,
            absent: &self.absent,
            cgroup_device: self.cgroup_device.as_deref(),
        }
    }
}

/// What engines can hand to a container: they start it from their own bounding set, which is that of this host's
/// services; a first process may hold more than it hands down. This process is such a service, unless somebody took
/// capabilities from it, as its own unit does: then the engines that run are asked.
fn services_bounding(proc: &Path, first: CapabilitySet) -> CapabilitySet {
    let bounding = |folder: &Path| {
        let text = read_text(&folder.join("status")).ok()?;
        Status::parse(&text).map(|status| status.credentials.bounding)
    };
    let own = bounding(&proc.join("self")).unwrap_or(first);
    if own == first {
        return own;
    }
    let is_engine = |folder: &Path| {
        read_text(&folder.join("comm")).is_ok_and(|name| ENGINES.contains(&name.trim_end_matches('\n')))
    };
    let folders = std::fs::read_dir(proc).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
    folders
        .filter(|folder| {
            folder.file_name().is_some_and(|n| n.as_encoded_bytes().iter().all(u8::is_ascii_digit))
        })
        .filter(|folder| is_engine(folder))
        .filter_map(|folder| bounding(&folder))
        .fold(own, CapabilitySet::union)
}

/// What starts containers, by `comm`: daemons, and the monitors that stay where there is no daemon.
const ENGINES: &[&str] = &["dockerd", "containerd", "containerd-shim", "crio", "podman", "conmon"];

fn is_absent(path: &str) -> bool {
    let first = PathBuf::from(path.replace("cpu*", "cpu0"));
    matches!(first.symlink_metadata(), Err(error) if error.kind() == std::io::ErrorKind::NotFound)
}

pub(crate) fn mount_table(path: &Path) -> Result<MountTable, String> {
    let bytes = read_bytes(path, MOUNTINFO_LIMIT).map_err(|error| error.to_string())?;
    MountTable::parse(&String::from_utf8_lossy(&bytes))
}

/// Inode numbers of a process's namespaces by name; `None` where its mount namespace cannot be read.
pub(super) fn readable_namespaces(pid: u32) -> Option<BTreeMap<&'static str, u64>> {
    let found = readable_namespaces_or(pid);
    found.contains_key("mnt").then_some(found)
}

fn readable_namespaces_or(pid: u32) -> BTreeMap<&'static str, u64> {
    let names = ["mnt", "user"].into_iter().chain(NamespaceKind::ALL.into_iter().map(NamespaceKind::name));
    names.filter_map(|name| Some((name, namespace(pid, name).ok()?))).collect()
}

/// The inode number of a namespace of a process: reads `mnt:[4026531840]`.
pub fn namespace(pid: u32, name: &str) -> std::io::Result<u64> {
    let link = std::fs::read_link(format!("/proc/{pid}/ns/{name}"))?;
    let text = link.to_string_lossy();
    let number = text.split_once('[').and_then(|(_, rest)| rest.trim_end_matches(']').parse().ok());
    number.ok_or_else(|| std::io::Error::new(std::io::ErrorKind::InvalidData, text.into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_that_holds_less_asks_the_engines_what_containers_can_get() {
        let proc = tempfile::tempdir().unwrap();
        let set = |folder: &str, name: &str, bounding: &str| {
            let folder = proc.path().join(folder);
            std::fs::create_dir_all(&folder).unwrap();
            let status = std::fs::read_to_string("/proc/self/status").unwrap();
            let with = |line: &str| match line.starts_with("CapBnd:") {
                true => format!("CapBnd:\t{bounding}\n"),
                false => format!("{line}\n"),
            };
            std::fs::write(folder.join("status"), status.lines().map(with).collect::<String>()).unwrap();
            std::fs::write(folder.join("comm"), format!("{name}\n")).unwrap();
        };
        let first = CapabilitySet(0x1ff_ffff_ffff);
        let bounding = || services_bounding(proc.path(), first).0;
        set("self", "stockade", "0000000000000002");
        set("77", "bash", "0000000000000070");
        assert_eq!(bounding(), 0x2, "only engines start containers");
        set("78", "dockerd", "0000000000000500");
        assert_eq!(bounding(), 0x502);
        set("self", "stockade", "000001ffffffffff");
        assert_eq!(bounding(), first.0);
    }
}

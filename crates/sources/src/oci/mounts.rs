//! Mounts of a runtime configuration.

use std::sync::Arc;

use confinement::{Fact, Host, HostPath, Mount, MountSource, Namespace, Namespaces, Origin, Propagation};

use super::Reader;
use crate::document::Node;
use crate::measured;
use crate::options;

/// File systems of the kernel that are the same wherever they are mounted: a new mount shows what the host sees at
/// its usual place (Documentation/filesystems, `get_tree_single`).
const GLOBAL: &[(&str, &str)] = &[
    ("debugfs", "/sys/kernel/debug"),
    ("tracefs", "/sys/kernel/tracing"),
    ("securityfs", "/sys/kernel/security"),
    ("configfs", "/sys/kernel/config"),
    ("efivarfs", "/sys/firmware/efi/efivars"),
    ("pstore", "/sys/fs/pstore"),
    ("devtmpfs", "/dev"),
    ("binfmt_misc", "/proc/sys/fs/binfmt_misc"),
];

/// Mounts of the kernel that lie below every host's /sys and come along with it.
const BELOW_SYS: &[&str] =
    &["/sys/fs/cgroup", "/sys/fs/bpf", "/sys/kernel/debug", "/sys/kernel/security", "/sys/kernel/tracing"];

/// A procfs belongs to a pid namespace, a sysfs to a network namespace: where the namespace is the host's, a bind of
/// the host's in its usual place is the very file system that a new mount there would be, and masks and read-only
/// paths lie over it alike.
fn in_usual_place(mount: Mount, namespaces: &Namespaces, host: &Host) -> Vec<Mount> {
    let (kind, namespace, below) = match (&*mount.target, mount.host_path().map(HostPath::as_str)) {
        ("/proc", Some("/proc")) => ("proc", &namespaces.pid, &[][..]),
        ("/sys", Some("/sys")) => ("sysfs", &namespaces.net, BELOW_SYS),
        _ => return vec![mount],
    };
    if namespace.get() != Some(&Namespace::Host) {
        return vec![mount];
    }
    // There is one hierarchy of version 2, and a new mount would show it as well.
    let source = |path: &str| match host.cgroup_version.value {
        Some(2) if path == "/sys/fs/cgroup" => MountSource::Kernel("cgroup".into()),
        _ => MountSource::Host(HostPath::new(path)),
    };
    let brought = below.iter().filter(|_| mount.recursive).map(|path| Mount {
        target: (*path).into(),
        source: Fact::known(source(path), mount.origin().clone()),
        read_only: mount.recursive_read_only.clone(),
        ..mount.clone()
    });
    let source = Fact::known(MountSource::Kernel(kind.into()), mount.origin().clone());
    let own = Mount { source, recursive: false, ..mount.clone() };
    std::iter::once(own).chain(brought).collect()
}

/// Where engines keep what they make, which only root can write to. What lies elsewhere may only look like it.
const ENGINE_ROOTS: &[&str] = &[
    "/var/lib/docker",
    "/var/lib/containers/storage",
    "/run/containers/storage",
    "/var/lib/containerd",
    "/run/containerd",
    "/var/lib/kubelet/pods",
];

fn is_in_usual_root(path: &HostPath) -> bool {
    ENGINE_ROOTS.iter().any(|root| path.is_at_or_below(root))
}

/// Files that an engine writes for one container and binds into it, each in a folder that bears the container's or
/// pod's id: moby daemon/container_operations_unix.go (`containers/ID/hosts`, `containers/ID/mounts/shm`), Podman
/// libpod/container_internal_linux.go (`overlay-containers/ID/userdata/hosts`), containerd internal/cri
/// (`sandboxes/ID/hosts`), kubelet pkg/kubelet/kubelet_pods.go (`pods/UID/etc-hosts`). What is bound is that one file and no
/// more of the engine's state, though it lies on a file system of the host.
pub fn engine_file(target: &str, source: &HostPath) -> Option<MountSource> {
    if !is_engine_file(target, source) {
        return None;
    }
    // A tmpfs of the container's own.
    let memory = HostPath::new(target).as_str() == "/dev/shm";
    Some(if memory { MountSource::Private } else { MountSource::Volume(source.as_str().into()) })
}

fn is_engine_file(target: &str, source: &HostPath) -> bool {
    let place = HostPath::new(target);
    if place.as_str() == "/etc/hosts" && source.as_str().ends_with("/etc-hosts") {
        return source.as_str().contains("/pods/");
    }
    let names: &[&str] = match place.as_str() {
        "/etc/hosts" => &["hosts"],
        "/etc/hostname" => &["hostname"],
        "/etc/resolv.conf" => &["resolv.conf"],
        "/etc/passwd" => &["passwd"],
        "/etc/group" => &["group"],
        "/run/.containerenv" => &[".containerenv"],
        "/run/secrets" => &["run/secrets", "secrets"],
        "/dev/shm" => &["shm", "mounts/shm"],
        _ => return false,
    };
    let folders = names.iter().filter_map(|name| source.as_str().strip_suffix(name)?.strip_suffix('/'));
    folders.map(|folder| folder.strip_suffix("/userdata").unwrap_or(folder)).any(is_folder_of_container)
}

/// `…/containers/ID`, `…/overlay-containers/ID`, `…/sandboxes/ID`.
fn is_folder_of_container(folder: &str) -> bool {
    let Some((kind, id)) = folder.rsplit_once('/') else { return false };
    let kind = kind.rsplit('/').next().unwrap_or_default();
    let kind = kind.rsplit('-').next().unwrap_or_default();
    measured::is_container_id(id) && matches!(kind, "containers" | "sandboxes")
}

/// Options of one mount, the last of several that contradict each other deciding.
#[derive(Default)]
struct Options {
    read_only: Option<(bool, Origin)>,
    recursive_read_only: Option<(bool, Origin)>,
    bind: bool,
    recursive: bool,
    propagation: Option<(Propagation, Origin)>,
    nosuid: bool,
    nodev: bool,
    noexec: bool,
}

impl Reader<'_> {
    pub(super) fn mounts(&mut self, namespaces: &Namespaces, own_users: bool) -> Vec<Mount> {
        let mut mounts: Vec<Mount> = self.rootfs().into_iter().collect();
        let Some(items) = self.fields.list(self.root, "mounts") else {
            if let Some(node) = self.root.get("mounts").filter(|node| !node.is_null()) {
                mounts.push(options::unread_mount(&node.origin()));
            }
            return mounts;
        };
        for item in items {
            let mount = self.mount(&item, own_users).unwrap_or_else(|| options::unread_mount(&item.origin()));
            mounts.extend(in_usual_place(mount, namespaces, self.host));
        }
        mounts
    }

    /// The root file system is a folder of the host too; only where it is the host's own root does it show anything.
    fn rootfs(&mut self) -> Option<Mount> {
        let root = self.fields.object(self.root, "root")?;
        let path = self.fields.text(&root, "path")?;
        let read_only = self.fields.boolean(&root, "readonly");
        let folder = self.absolute(path.get()?);
        if !folder.is_root() {
            return None;
        }
        let mut mount = Mount::bind(folder, "/", false, path.origin);
        mount.read_only = read_only.unwrap_or(mount.read_only);
        mount.recursive_read_only = Fact::known(false, self.default_origin());
        Some(mount)
    }

    fn absolute(&self, path: &str) -> HostPath {
        if path.starts_with('/') {
            HostPath::new(path)
        } else {
            HostPath::new(&format!("{}/{path}", self.folder))
        }
    }

    fn mount(&mut self, item: &Node, own_users: bool) -> Option<Mount> {
        if !item.is_mapping() {
            self.fields.wrong(item, "an object");
            return None;
        }
        let Some(target) = self.fields.text(item, "destination") else {
            self.fields.wrong(item, "a mount with a destination");
            return None;
        };
        let kind = self.fields.text(item, "type");
        let source = self.fields.text(item, "source");
        let default = self.default_origin();
        let options = self.options(item)?;
        let bind = options.bind || kind.as_ref().and_then(Fact::get).is_some_and(|kind| &**kind == "bind");
        let source = self.source(item, bind, kind, source, target.get().map_or("", |target| target));
        let flag = |stated: Option<(bool, Origin)>| match stated {
            Some((value, origin)) => Fact::known(value, origin),
            None => Fact::known(false, default.clone()),
        };
        let mut read_only = flag(options.read_only);
        let recursive_read_only = flag(options.recursive_read_only);
        if recursive_read_only.value == Some(true) {
            read_only = recursive_read_only.clone();
        }
        Some(Mount {
            target: target.value?,
            source,
            read_only,
            recursive_read_only,
            recursive: bind && options.recursive,
            propagation: self.propagation(bind, options.propagation, own_users),
            nosuid: options.nosuid,
            nodev: options.nodev,
            noexec: options.noexec,
            relabelled: false,
        })
    }

    /// runc libcontainer/specconv/spec_linux.go, parseMountOptions.
    fn options(&mut self, item: &Node) -> Option<Options> {
        let mut options = Options::default();
        if item.get("options").is_none_or(|node| node.is_null()) {
            return Some(options);
        }
        for node in self.fields.list(item, "options")? {
            let Some(text) = node.as_string_strict() else {
                self.fields.wrong(&node, "text");
                return None;
            };
            let origin = node.origin();
            match text {
                "ro" | "rw" => options.read_only = Some((text == "ro", origin)),
                "rro" | "rrw" => options.recursive_read_only = Some((text == "rro", origin)),
                "bind" => options.bind = true,
                "rbind" => {
                    options.bind = true;
                    options.recursive = true;
                }
                "nosuid" | "suid" => options.nosuid = text == "nosuid",
                "nodev" | "dev" => options.nodev = text == "nodev",
                "noexec" | "exec" => options.noexec = text == "noexec",
                "rnosuid" => options.nosuid = true,
                "rnodev" => options.nodev = true,
                "rnoexec" => options.noexec = true,
                other => {
                    if let Ok(propagation) = options::propagation(other) {
                        // crun takes the recursion of the one for that of the other (measured with 1.8.1).
                        options.recursive |= self.is_crun() && other.starts_with('r');
                        options.propagation = Some((propagation, origin));
                    }
                }
            }
        }
        Some(options)
    }

    fn source(
        &mut self,
        item: &Node,
        bind: bool,
        kind: Option<Fact<Arc<str>>>,
        source: Option<Fact<Arc<str>>>,
        target: &str,
    ) -> Fact<MountSource> {
        let origin = item.origin();
        if bind {
            let Some(source) = source else {
                self.fields.wrong(item, "a bind mount with a source");
                return Fact::unknown(origin);
            };
            return source.map(|path| {
                let path = self.absolute(path);
                let engines = engine_file(target, &path).filter(|_| is_in_usual_root(&path));
                engines.or_else(|| measured::volume_of(&path)).unwrap_or(MountSource::Host(path))
            });
        }
        let Some(kind) = kind else { return Fact::unknown(origin) };
        kind.map(|kind| match &**kind {
            "tmpfs" | "ramfs" => MountSource::Private,
            "proc" => MountSource::Kernel("proc".into()),
            "sysfs" => MountSource::Kernel("sysfs".into()),
            "cgroup" | "cgroup2" => MountSource::Kernel("cgroup".into()),
            "mqueue" | "devpts" | "bpf" | "fusectl" | "hugetlbfs" => MountSource::Kernel(kind.clone()),
            other => match GLOBAL.iter().find(|(name, _)| *name == other) {
                Some((_, path)) => MountSource::Host(HostPath::new(path)),
                None => {
                    let device = source.as_ref().and_then(Fact::get).map_or("", |source| &**source);
                    MountSource::Other(format!("{other} on {device}").into())
                }
            },
        })
    }

    /// The propagation type that mountinfo will show. runc makes every mount of the new mount namespace a slave, or
    /// what `rootfsPropagation` says, and then each mount what its options say (libcontainer/rootfs_linux.go,
    /// prepareRoot, mountPropagate). crun does the same, and at the end gives the root's type to every mount again
    /// where it is recursive, which its default `rprivate` is (src/libcrun/linux.c); measured with runc 1.1.5 and crun
    /// 1.8.1.
    fn propagation(
        &mut self,
        bind: bool,
        stated: Option<(Propagation, Origin)>,
        own_users: bool,
    ) -> Fact<Propagation> {
        let default = self.default_origin();
        let root = self.linux.clone().and_then(|linux| self.fields.text(&linux, "rootfsPropagation"));
        let root = root.filter(|root| root.get().is_none_or(|text| !text.is_empty()));
        let recursive = root.as_ref().is_none_or(|root| root.get().is_some_and(|text| text.starts_with('r')));
        let root = root.map(|root| {
            let value = root.get().and_then(|text| options::propagation(text).ok());
            Fact { value, origin: root.origin }
        });
        // A mount namespace of another user namespace gets slaves of shared mounts (mount_namespaces(7)).
        if self.is_crun() && recursive {
            return match (root, stated) {
                (None, _) => Fact::known(Propagation::Private, default),
                // Shared anew, and no longer with the host.
                (Some(root), Some((stated, origin))) if root.value == Some(Propagation::Shared) => {
                    Fact::known(stated, origin)
                }
                (Some(root), _) => root,
            };
        }
        if let Some((stated, origin)) = stated {
            // mountinfo shows `shared` for it, but in a peer group of its own: only where the root stays shared is
            // that the host's (measured with runc 1.1.5; moby and Podman set rootfsPropagation with it).
            let with_host = root.as_ref().is_some_and(|root| root.value == Some(Propagation::Shared));
            return match stated {
                // What the source was shared with then depends on the mount that it lies on.
                Propagation::Shared if !recursive => Fact::unknown(origin),
                Propagation::Shared if !with_host || (own_users && !self.is_crun()) => {
                    Fact::known(Propagation::Slave, origin)
                }
                stated => Fact::known(stated, origin),
            };
        }
        if bind && !recursive {
            return Fact::unknown(root.map_or(default, |root| root.origin));
        }
        match root {
            _ if !bind => Fact::known(Propagation::Private, default),
            None => Fact::known(Propagation::Slave, default),
            Some(root) if root.value == Some(Propagation::Shared) || self.is_crun() => {
                // It is the source's own type then, except for the mount that the root file system lies on.
                Fact::unknown(root.origin)
            }
            Some(root) => root,
        }
    }

    /// Whether a cgroup hierarchy can be written in the usual place. The host's, bound elsewhere, is a mount like any.
    pub(super) fn cgroup_writable(&self, mounts: &[Mount]) -> Fact<bool> {
        let shows = |mount: &&Mount| match mount.source.get() {
            Some(MountSource::Kernel(kind)) => &**kind == "cgroup",
            Some(MountSource::Host(path)) => {
                let place = HostPath::new(&mount.target);
                let (bound, usual) = (path.is_at_or_below("/sys/fs/cgroup"), "/sys/fs/cgroup");
                (bound && place.is_at_or_below(usual))
                    || (mount.recursive && path.as_str() == "/sys" && place.as_str() == "/sys")
            }
            _ => false,
        };
        let mut hidden = std::collections::BTreeSet::new();
        let mut found = Fact::known(false, self.default_origin());
        // A mount over the same target hides the one before it.
        for mount in mounts.iter().rev().filter(|mount| hidden.insert(mount.target.clone())).filter(shows) {
            match mount.read_only.value {
                Some(false) => return Fact::known(true, mount.read_only.origin.clone()),
                Some(true) if found.is_known() => found = Fact::known(false, mount.read_only.origin.clone()),
                Some(true) => {}
                None => found = Fact::unknown(mount.read_only.origin.clone()),
            }
        }
        found
    }
}

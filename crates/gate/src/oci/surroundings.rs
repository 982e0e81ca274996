//! What the host says about a runtime configuration that its text cannot: where a path that is bound leads to, which
//! file system a volume's folder was mounted from, whose namespace a path names, and whose root the runtime's own is.
//!
//! Reads `/proc` and looks paths up; puts what it finds into the confinement that the text gave. It only ever replaces a
//! name by what the name stands for, so that one who names a thing differently is judged alike.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;

use confinement::parts::to_host_id;
use confinement::{
    Confinement, Fact, HostPath, IdRange, Mount, MountSource, Namespace, NamespaceKind, Origin, Problem,
    Propagation, UserNamespace,
};
use sources::measured::volume_of;
use sources::oci::engine_file;
use sources::process::files::read_bytes;
use sources::process::mountinfo::{HostPaths, MountEntry, MountTable};

/// `PROC_USER_INIT_INO` (include/linux/proc_ns.h).
const INITIAL_USER_NAMESPACE: u64 = 0xEFFF_FFFD;

/// 100,000 mounts, the kernel's limit, of 300 bytes each.
const MOUNTINFO_LIMIT: u64 = 64 << 20;

/// Mounts below one that is bound with all below it; more than that nobody binds who means well.
const MOST_BELOW: usize = 4096;

pub(super) fn in_initial_user_namespace() -> bool {
    fs::metadata("/proc/self/ns/user").map_or(true, |m| m.ino() == INITIAL_USER_NAMESPACE)
}

/// The mounts of the process that the runtime is, and its user namespace.
pub struct Surroundings {
    mounts: Option<Mounts>,
    /// Where the runtime itself is not in the initial user namespace (rootless): its maps.
    own_users: Option<(Vec<IdRange>, Vec<IdRange>)>,
}

struct Mounts {
    table: MountTable,
    paths: HostPaths,
}

impl Surroundings {
    /// Nothing is known but the text, as for a file that is audited elsewhere.
    pub fn unseen() -> Surroundings {
        Surroundings { mounts: None, own_users: None }
    }

    pub fn read() -> Result<Surroundings, Problem> {
        const PATH: &str = "/proc/self/mountinfo";
        let unreadable = |why: String| Problem::new(PATH, format!("cannot be read: {why}"));
        let bytes =
            read_bytes(Path::new(PATH), MOUNTINFO_LIMIT).map_err(|error| unreadable(error.to_string()))?;
        let table = MountTable::parse(&String::from_utf8_lossy(&bytes)).map_err(unreadable)?;
        let own_users = (!in_initial_user_namespace())
            .then(|| (id_map("/proc/self/uid_map"), id_map("/proc/self/gid_map")));
        Ok(Surroundings { mounts: Some(Mounts { paths: HostPaths::new(&table), table }), own_users })
    }

    /// Replaces names by what they stand for on this host. `rootfs` is the folder of the root file system, `users` the path
    /// of a user namespace that is joined.
    pub fn apply(&self, confinement: &mut Confinement, rootfs: Option<&str>, users: Option<&str>) {
        if let Some(mounts) = &self.mounts {
            mounts.apply(confinement, rootfs);
            namespaces(confinement);
            joined_users(&mut confinement.user_namespace, users);
        }
        if let Some((uids, gids)) = &self.own_users {
            inside(&mut confinement.user_namespace, uids, gids);
        }
    }
}

impl Mounts {
    fn apply(&self, confinement: &mut Confinement, rootfs: Option<&str>) {
        let mut more = Vec::new();
        for mount in &mut confinement.mounts {
            let path = match mount.source.get() {
                Some(MountSource::Host(path)) => path.as_str().to_owned(),
                Some(MountSource::Volume(path)) if path.starts_with('/') => path.to_string(),
                _ => continue,
            };
            let Some(found) = self.find(&path) else { continue };
            if let Some(source) = engine_file(&mount.target, &found.place) {
                mount.source.value = Some(source);
                continue;
            }
            more.extend(found.layers(mount));
            if mount.recursive {
                more.extend(self.below(&found, mount));
            }
            let source = volume_of(&found.place).unwrap_or_else(|| MountSource::Host(found.place.clone()));
            mount.source.value = Some(source);
        }
        if let Some(found) = rootfs.and_then(|path| self.find(path)) {
            more.extend(root_file_system(&found, confinement));
        }
        confinement.mounts.extend(more);
    }

    /// What is at a path: links followed, and the mount that it lies on undone.
    fn find(&self, path: &str) -> Option<Found<'_>> {
        let real = fs::canonicalize(path).ok()?;
        let real = real.to_str()?;
        let covers = |entry: &&MountEntry| HostPath::new(&entry.target).shows(real);
        // Of several at one place the last lies over the others.
        let entry = self.table.entries.iter().filter(covers).max_by_key(|entry| entry.target.len())?;
        let rest = real.strip_prefix(entry.target.trim_end_matches('/')).unwrap_or_default();
        let root = format!("{}{rest}", entry.root.trim_end_matches('/'));
        let root = if root.is_empty() { "/" } else { &root };
        let place = self.paths.resolve(&entry.device, root).unwrap_or_else(|| HostPath::new(real));
        Some(Found { real: HostPath::new(real), place, entry })
    }

    /// What comes along with a recursive bind and is not what lies below its source by name.
    fn below(&self, found: &Found<'_>, mount: &Mount) -> Vec<Mount> {
        let mut more = Vec::new();
        for entry in self.table.entries.iter().take(MOST_BELOW) {
            let Some(rest) = entry.target.strip_prefix(found.real.as_str().trim_end_matches('/')) else {
                continue;
            };
            if !rest.starts_with('/') || rest == "/" {
                continue;
            }
            let Some(place) = self.paths.resolve(&entry.device, &entry.root) else { continue };
            if place.is_at_or_below(found.place.as_str()) {
                continue;
            }
            let target = format!("{}{rest}", mount.target.trim_end_matches('/'));
            let source = volume_of(&place).unwrap_or(MountSource::Host(place));
            let origin = Origin::measured(format!("/proc/self/mountinfo: {}", entry.target));
            more.push(Mount {
                target: target.into(),
                source: Fact::known(source, origin),
                read_only: mount.recursive_read_only.clone(),
                ..mount.clone()
            });
        }
        more
    }
}

/// Something that a path names.
struct Found<'a> {
    /// The path without links.
    real: HostPath,
    /// Where the host shows the same thing by its plainest name.
    place: HostPath,
    entry: &'a MountEntry,
}

impl Found<'_> {
    /// Folders that an overlay at this very place shows: what is written goes to the uppermost.
    fn layers(&self, mount: &Mount) -> Vec<Mount> {
        self.folders_of_overlay()
            .into_iter()
            .map(|(folder, upper)| {
                let origin = Origin::measured(format!("/proc/self/mountinfo: {}", self.entry.target));
                let mut layer = mount.clone();
                layer.source = Fact::known(MountSource::Host(HostPath::new(&folder)), origin.clone());
                if !upper {
                    layer.read_only = Fact::known(true, origin.clone());
                    layer.recursive_read_only = Fact::known(true, origin);
                }
                layer
            })
            .collect()
    }

    /// Absolute ones, with whether it is the one that is written to; Docker names its own layers from where they lie.
    fn folders_of_overlay(&self) -> Vec<(String, bool)> {
        if self.entry.kind != "overlay" || self.entry.target != self.real.as_str() {
            return Vec::new();
        }
        let mut folders = Vec::new();
        for option in &self.entry.super_options {
            if let Some(list) = option.strip_prefix("lowerdir=") {
                folders.extend(list.split(':').map(|folder| (folder.to_owned(), false)));
            } else if let Some(folder) = option.strip_prefix("upperdir=") {
                folders.push((folder.to_owned(), true));
            }
        }
        folders.retain(|(folder, _)| folder.starts_with('/'));
        folders
    }
}

/// Folders this near to the root are the host's own and no image's.
fn is_near_root(path: &HostPath) -> bool {
    path.as_str().matches('/').count() <= 2
}

/// A root file system that is a folder of the host (`podman run --rootfs /etc`), or an overlay over one.
fn root_file_system(found: &Found<'_>, confinement: &Confinement) -> Vec<Mount> {
    let origin = Origin::measured(format!("the root file system is {}", found.place));
    let bind = |path: HostPath, read_only: bool| Mount {
        recursive_read_only: Fact::known(read_only, origin.clone()),
        propagation: Fact::known(Propagation::Private, origin.clone()),
        recursive: false,
        ..Mount::bind(path, "/", read_only, origin.clone())
    };
    let own = std::iter::once((found.place.clone(), confinement.read_only_rootfs.value == Some(true)));
    let layers = found.folders_of_overlay().into_iter().map(|(path, upper)| (HostPath::new(&path), !upper));
    let has =
        |path: &HostPath| confinement.mounts.iter().any(|m| &*m.target == "/" && m.host_path() == Some(path));
    own.chain(layers)
        .filter(|(path, _)| is_near_root(path) && !has(path))
        .map(|(path, read_only)| bind(path, read_only))
        .collect()
}

/// A namespace is the host's where it is the first process's or the runtime's own, whatever path names it
/// (`/run/docker/netns/default` is Docker's for `--network host`).
fn namespaces(confinement: &mut Confinement) {
    for kind in NamespaceKind::ALL {
        let fact = confinement.namespaces.get_mut(kind);
        let Some(Namespace::Container(named)) = fact.get() else { continue };
        let Some(path) = named.strip_prefix("ns:") else { continue };
        let Ok(there) = fs::metadata(path) else { continue };
        let is = |process: &str| {
            fs::metadata(format!("/proc/{process}/ns/{}", kind.name())).is_ok_and(|m| same(&m, &there))
        };
        if is("1") || is("self") {
            fact.value = Some(Namespace::Host);
        }
    }
    let net = &confinement.namespaces.net;
    if net.get() == Some(&Namespace::Host) {
        confinement.network.attached = Fact::known(true, net.origin.clone());
        confinement.network.shared_segment = Fact::known(true, net.origin.clone());
    }
}

fn same(a: &Metadata, b: &Metadata) -> bool {
    (a.dev(), a.ino()) == (b.dev(), b.ino())
}

/// The ids of a user namespace that is joined by the path of a process, `/proc/PID/ns/user`.
fn joined_users(users: &mut UserNamespace, path: Option<&str>) {
    let Some(path) = path else { return };
    let Ok(there) = fs::metadata(path) else { return };
    let origin = users.initial.origin.clone();
    let initial = there.ino() == INITIAL_USER_NAMESPACE;
    users.initial = Fact::known(initial, origin.clone());
    if initial {
        users.uid_map = Fact::known(Arc::from([IdRange::IDENTITY]), origin.clone());
        users.gid_map = Fact::known(Arc::from([IdRange::IDENTITY]), origin.clone());
        users.root_is_host_root = Fact::known(true, origin);
        return;
    }
    let Some(process) = path.strip_suffix("/ns/user").filter(|process| process.starts_with("/proc/")) else {
        return;
    };
    let known = |ranges: Vec<IdRange>| match ranges.is_empty() {
        true => Fact::unknown(origin.clone()),
        false => Fact::known(ranges.into(), origin.clone()),
    };
    users.uid_map = known(id_map(&format!("{process}/uid_map")));
    users.gid_map = known(id_map(&format!("{process}/gid_map")));
    users.root_is_host_root = users.uid_map.map(|map| to_host_id(map, 0) == Some(0));
}

/// What a runtime in a user namespace calls the host's ids are that namespace's.
fn inside(users: &mut UserNamespace, uids: &[IdRange], gids: &[IdRange]) {
    let origin = Origin::measured("/proc/self/uid_map");
    let map = |stated: &Fact<Arc<[IdRange]>>, own: &[IdRange], initial: bool| {
        if initial {
            return Fact::known(Arc::from(own), origin.clone());
        }
        stated.map(|ranges| ranges.iter().flat_map(|range| through(*range, own)).collect())
    };
    let initial = users.initial.value == Some(true);
    users.uid_map = map(&users.uid_map, uids, initial);
    users.gid_map = map(&users.gid_map, gids, initial);
    users.initial = Fact::known(false, origin);
    users.root_is_host_root = users.uid_map.map(|map| to_host_id(map, 0) == Some(0));
}

/// A range of a namespace inside another, by the ids outside both.
fn through(range: IdRange, outer: &[IdRange]) -> Vec<IdRange> {
    let end = u64::from(range.outside) + u64::from(range.count);
    let part = |outer: &IdRange| {
        let from = range.outside.max(outer.inside);
        let to = end.min(u64::from(outer.inside) + u64::from(outer.count));
        let count = u32::try_from(to.checked_sub(u64::from(from))?).ok().filter(|count| *count > 0)?;
        let inside = range.inside.checked_add(from - range.outside)?;
        Some(IdRange { inside, outside: outer.outside.checked_add(from - outer.inside)?, count })
    };
    outer.iter().filter_map(part).collect()
}

/// user_namespaces(7): inside, outside, count.
fn id_map(path: &str) -> Vec<IdRange> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let range = |line: &str| {
        let mut numbers = line.split_ascii_whitespace().map(|number| number.parse::<u32>().ok());
        Some(IdRange { inside: numbers.next()??, outside: numbers.next()??, count: numbers.next()?? })
    };
    text.lines().filter_map(range).collect()
}

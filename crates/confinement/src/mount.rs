//! What of the host a container's mount namespace shows, and host paths made comparable.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::fact::{Fact, Origin};

/// A path of the host, normalised: absolute, no `//`, `.` or `..`, no trailing slash, and the links that every
/// current distribution ships (`/var/run` → `/run`, the merged `/usr`) followed. Two spellings of one file
/// compare equal. What only the live file system can resolve, a live source resolves before it gets here.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct HostPath(Arc<str>);

/// Links present on every host the engines support: hier(7), the merged-/usr layout, and the views of the
/// initial namespaces that proc(5) gives under the first process.
const LINKS: &[(&str, &str)] = &[
    ("/var/run", "/run"),
    ("/var/lock", "/run/lock"),
    ("/bin", "/usr/bin"),
    ("/sbin", "/usr/sbin"),
    ("/lib", "/usr/lib"),
    ("/lib64", "/usr/lib64"),
    ("/proc/1/root", "/"),
    ("/proc/1/cwd", "/"),
    ("/proc/self/root", "/"),
    ("/dev/fd", "/proc/self/fd"),
];

impl HostPath {
    /// Normalises an absolute path. A relative path is taken from the root; a reader that knows the folder joins it first.
    pub fn new(raw: &str) -> HostPath {
        let mut parts: Vec<&str> = Vec::new();
        for part in raw.split('/') {
            match part {
                "" | "." => {}
                ".." => {
                    parts.pop();
                }
                other => parts.push(other),
            }
        }
        let mut path = String::with_capacity(raw.len() + 1);
        for part in &parts {
            path.push('/');
            path.push_str(part);
        }
        // A link may lead to another (`/proc/1/root/var/run`); each pass follows one, and none leads back.
        for _ in 0..LINKS.len() {
            let Some((link, to)) = LINKS.iter().find(|(link, _)| is_within(&path, link)) else { break };
            let rest = path[link.len()..].to_owned();
            path = if *to == "/" { rest } else { format!("{to}{rest}") };
        }
        if path.is_empty() {
            path.push('/');
        }
        HostPath(path.into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
    pub fn is_root(&self) -> bool {
        &*self.0 == "/"
    }
    /// Whether this path is `other` or lies below it.
    pub fn is_at_or_below(&self, other: &str) -> bool {
        other == "/" || is_within(&self.0, other)
    }
    /// Whether `other` lies below this path or is it: a bind mount of `self` shows `other`.
    pub fn shows(&self, other: &str) -> bool {
        self.is_root() || is_within(other, &self.0)
    }
    pub fn join(&self, relative: &str) -> HostPath {
        HostPath::new(&format!("{}/{}", self.0, relative))
    }
}

fn is_within(path: &str, ancestor: &str) -> bool {
    path.strip_prefix(ancestor).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

impl fmt::Display for HostPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
impl fmt::Debug for HostPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What is mounted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum MountSource {
    /// A bind of this path of the host, whatever spelling or volume driver led to it.
    Host(HostPath),
    /// A volume that the engine keeps, by a name that is unique among the subjects judged together.
    Volume(Arc<str>),
    /// A new tmpfs, or a volume that only this container sees.
    Private,
    /// A pseudo file system of the container's own namespaces: `proc`, `sysfs`, `cgroup`, `mqueue`, ….
    Kernel(Arc<str>),
    /// A block device, image or network file system that says nothing of the host's files.
    Other(Arc<str>),
}

/// mount_namespaces(7), "shared subtrees".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Propagation {
    Private,
    Slave,
    Shared,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Mount {
    /// Where it is inside the container.
    pub target: Arc<str>,
    pub source: Fact<MountSource>,
    pub read_only: Fact<bool>,
    /// Whether `read_only` also holds for the mounts below the source (`MOUNT_ATTR_RDONLY` with `AT_RECURSIVE`,
    /// mount_setattr(2), Linux 5.12). Without it only the top mount is read-only.
    pub recursive_read_only: Fact<bool>,
    /// Whether mounts below the source come along (`MS_REC`); engines bind recursively unless told otherwise.
    pub recursive: bool,
    pub propagation: Fact<Propagation>,
    pub nosuid: bool,
    pub nodev: bool,
    pub noexec: bool,
    /// An SELinux relabel (`:z`, `:Z`) that lets a confined container use the files.
    pub relabelled: bool,
}

impl Mount {
    /// A recursive, private bind mount, writable unless `read_only`, as engines make them.
    pub fn bind(source: HostPath, target: impl Into<Arc<str>>, read_only: bool, origin: Origin) -> Mount {
        Mount::from_source(MountSource::Host(source), target, read_only, origin)
    }

    pub fn from_source(
        source: MountSource,
        target: impl Into<Arc<str>>,
        read_only: bool,
        origin: Origin,
    ) -> Mount {
        Mount {
            target: target.into(),
            source: Fact::known(source, origin.clone()),
            read_only: Fact::known(read_only, origin.clone()),
            recursive_read_only: Fact::default(),
            recursive: true,
            propagation: Fact::known(Propagation::Private, origin),
            nosuid: false,
            nodev: false,
            noexec: false,
            relabelled: false,
        }
    }

    pub fn origin(&self) -> &Origin {
        &self.source.origin
    }
    /// The host path this mount shows, where it shows one.
    pub fn host_path(&self) -> Option<&HostPath> {
        match self.source.get() {
            Some(MountSource::Host(path)) => Some(path),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_the_docker_socket_is_one_path() {
        for raw in [
            "/var/run/docker.sock",
            "/run/docker.sock",
            "//var/run/docker.sock",
            "/var/run//docker.sock/",
            "/var/../run/./docker.sock",
            "/proc/1/root/var/run/docker.sock",
            "/../../run/docker.sock",
        ] {
            assert_eq!(HostPath::new(raw).as_str(), "/run/docker.sock", "{raw}");
        }
    }

    #[test]
    fn a_name_that_only_begins_alike_is_another_path() {
        assert_eq!(HostPath::new("/var/running").as_str(), "/var/running");
        assert_eq!(HostPath::new("/libfoo").as_str(), "/libfoo");
        assert!(!HostPath::new("/run").shows("/runner"));
        assert!(HostPath::new("/").shows("/anything"));
        assert!(
            HostPath::new("/").is_root() && HostPath::new("").is_root() && HostPath::new("/..").is_root()
        );
    }

    #[test]
    fn the_root_of_the_first_process_is_the_root() {
        assert!(HostPath::new("/proc/1/root").is_root());
        assert_eq!(HostPath::new("/proc/1/root/etc").as_str(), "/etc");
    }
}

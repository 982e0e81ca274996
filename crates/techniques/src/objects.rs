//! The objects of a host that matter, and whether a mount or a device is one of them. Tables: `data/objects.yaml`
//! and `data/devices.yaml`.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use confinement::{DeviceKind, DeviceRule, HostPath, Mount};
use serde::Deserialize;

/// A class of host files or sockets.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ObjectClass {
    /// What it is, to follow "shows".
    pub says: String,
    #[serde(default)]
    pub object: Vec<String>,
    #[serde(default)]
    pub tree: Vec<String>,
    /// Reached only where the mount is the path or lies below it: nothing says that a host has one.
    #[serde(default)]
    pub named: Vec<String>,
    #[serde(default)]
    pub except: Vec<String>,
    /// The group that may use it besides root, by its usual name.
    pub group: Option<String>,
    /// It lies on a mount of its own on every host.
    #[serde(default)]
    pub separate: bool,
}

/// A class of devices.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeviceClass {
    pub says: String,
    pub paths: Vec<String>,
    #[serde(default)]
    pub except: Vec<String>,
    #[serde(deserialize_with = "numbers")]
    pub numbers: Vec<Numbers>,
}

/// Device numbers of one class: kind, majors from..=to, minor (`None`: any).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Numbers {
    pub kind: DeviceKind,
    pub major: (u32, u32),
    pub minor: Option<u32>,
}

static OBJECTS: LazyLock<BTreeMap<String, ObjectClass>> = LazyLock::new(|| {
    serde_json::from_str(include_str!(concat!(env!("OUT_DIR"), "/objects.json")))
        .expect("checked by the build")
});
static DEVICES: LazyLock<BTreeMap<String, DeviceClass>> = LazyLock::new(|| {
    serde_json::from_str(include_str!(concat!(env!("OUT_DIR"), "/devices.json")))
        .expect("checked by the build")
});

pub fn object_class(name: &str) -> Option<&'static ObjectClass> {
    OBJECTS.get(name)
}
pub fn object_classes() -> impl Iterator<Item = (&'static str, &'static ObjectClass)> {
    OBJECTS.iter().map(|(name, class)| (name.as_str(), class))
}
/// The name as the table holds it.
pub fn device_class_name(name: &str) -> Option<&'static str> {
    DEVICES.get_key_value(name).map(|(name, _)| name.as_str())
}
pub fn device_class(name: &str) -> Option<&'static DeviceClass> {
    DEVICES.get(name)
}
pub fn device_classes() -> impl Iterator<Item = (&'static str, &'static DeviceClass)> {
    DEVICES.iter().map(|(name, class)| (name.as_str(), class))
}

/// Mounts that every host has apart from its root file system (mount_setattr(2) without AT_RECURSIVE leaves them as
/// they are); one below another comes after it.
pub const SEPARATE_MOUNTS: &[&str] = &[
    "/proc",
    "/sys",
    "/dev",
    "/run",
    "/dev/shm",
    "/sys/fs/cgroup",
    "/sys/fs/bpf",
    "/sys/kernel/debug",
    "/sys/kernel/security",
    "/sys/kernel/tracing",
    "/proc/sys/fs/binfmt_misc",
];

impl ObjectClass {
    /// The object a mount of `source` shows, if any. `recursive` is false where mounts below stay out of view.
    pub fn shown_by(&self, source: &HostPath, recursive: bool) -> Option<&str> {
        if self.except.iter().any(|pattern| is_below_pattern(source.as_str(), pattern)) {
            return None;
        }
        let from_above = self.object.iter().chain(&self.tree).find(|pattern| {
            shows_pattern(source.as_str(), pattern)
                && (recursive || separate_mount(pattern) == separate_mount(source.as_str()))
        });
        from_above
            .or_else(|| {
                self.tree.iter().chain(&self.named).find(|pattern| is_below_pattern(source.as_str(), pattern))
            })
            .map(String::as_str)
    }

    /// An object of the class that the mount shows on a mount below its own, where its options do not reach.
    pub fn shown_below(&self, mount: &Mount, source: &HostPath) -> Option<&str> {
        let mut all = self.object.iter().chain(&self.tree).map(String::as_str);
        all.find(|pattern| {
            shows_pattern(source.as_str(), pattern) && ObjectClass::writable_below(mount, source, pattern)
        })
    }

    /// Whether a file of the host, by its resolved path, is one of the class or lies in one of its trees.
    pub fn has_file(&self, path: &str) -> bool {
        let is = |pattern: &String| shows_pattern(path, pattern) && is_below_pattern(path, pattern);
        let below = |pattern: &String| is_below_pattern(path, pattern);
        !self.except.iter().any(below)
            && (self.object.iter().any(is) || self.tree.iter().chain(&self.named).any(below))
    }

    /// Whether a mount that is read-only at the top still leaves `object` writable, because it lies on a mount below.
    pub fn writable_below(mount: &Mount, source: &HostPath, object: &str) -> bool {
        mount.recursive
            && mount.recursive_read_only.value != Some(true)
            && separate_mount(object) != separate_mount(source.as_str())
    }
}

/// Where a bind mount shows a file of the host; `None` where it does not, as the file lies elsewhere or on a mount
/// below that does not come along.
pub(crate) fn shown_at(mount: &Mount, source: &HostPath, path: &str) -> Option<String> {
    let comes_along = mount.recursive || separate_mount(path) == separate_mount(source.as_str());
    if !source.shows(path) || !comes_along {
        return None;
    }
    let rest = if source.is_root() { path } else { path.strip_prefix(source.as_str())? };
    Some(format!("{}{rest}", mount.target.trim_end_matches('/')))
}

/// Whether a mount brings others of the host's along that its options do not reach.
pub(crate) fn brings_others(mount: &Mount, source: &HostPath) -> bool {
    let below = |m: &&str| **m != *source.as_str() && source.shows(m);
    mount.recursive && SEPARATE_MOUNTS.iter().any(below)
}

/// The separate mount a path lies on.
fn separate_mount(path: &str) -> Option<&'static str> {
    SEPARATE_MOUNTS
        .iter()
        .rev()
        .copied()
        .find(|m| path.strip_prefix(m).is_some_and(|r| r.is_empty() || r.starts_with('/')))
}

fn components(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|c| !c.is_empty())
}

fn component_matches(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((start, end)) => {
            name.len() >= start.len() + end.len() && name.starts_with(start) && name.ends_with(end)
        }
    }
}

/// Whether a mount of `path` shows what `pattern` names: `path` is it or lies above it.
fn shows_pattern(path: &str, pattern: &str) -> bool {
    let mut pattern = components(pattern);
    components(path).all(|name| pattern.next().is_some_and(|p| component_matches(p, name)))
}

/// Whether `path` is what `pattern` names or lies below it.
fn is_below_pattern(path: &str, pattern: &str) -> bool {
    let mut names = components(path);
    components(pattern).all(|p| names.next().is_some_and(|name| component_matches(p, name)))
}

impl DeviceClass {
    /// Whether a node of the host belongs here, by its path.
    pub fn has_path(&self, path: &str) -> bool {
        let same_depth = |p: &str| components(p).count() == components(path).count();
        let matches = |p: &String| is_below_pattern(path, p) && same_depth(p);
        self.paths.iter().any(matches) && !self.except.iter().any(matches)
    }
    /// Whether a folder of nodes given as a whole holds some of these.
    pub fn has_folder(&self, path: &str) -> bool {
        self.paths.iter().any(|p| shows_pattern(path, p) && components(p).count() > components(path).count())
    }
    pub fn has_number(&self, kind: DeviceKind, major: u32, minor: u32) -> bool {
        self.numbers.iter().any(|n| {
            (kind == n.kind || kind == DeviceKind::All)
                && (n.major.0..=n.major.1).contains(&major)
                && n.minor.is_none_or(|m| m == minor)
        })
    }
    /// The rule that permits some device of this class, where the last rule that names a device decides.
    pub fn permitted_by(&self, rules: &[DeviceRule], access: impl Fn(&DeviceRule) -> bool) -> Option<usize> {
        let by_node = |rule: &&DeviceRule| rule.allow && rule.node.is_some() && access(rule);
        let named = rules.iter().position(|rule| by_node(&rule) && self.covered_by(rule) != Coverage::None);
        named.or_else(|| {
            self.devices(rules).into_iter().find_map(|(kind, major, minor)| {
                let last = rules.iter().rposition(|rule| {
                    rule.node.is_none()
                        && access(rule)
                        && (rule.kind == DeviceKind::All || rule.kind == kind)
                        && rule.major.is_none_or(|m| m == major)
                        && rule.minor.is_none_or(|m| m == minor)
                })?;
                rules.get(last).filter(|rule| rule.allow).map(|_| last)
            })
        })
    }

    /// Devices of this class that the rules may treat differently: those that they name, and one of each kind that
    /// they do not.
    fn devices(&self, rules: &[DeviceRule]) -> Vec<(DeviceKind, u32, u32)> {
        let mut devices = Vec::new();
        for n in &self.numbers {
            let range = n.major.0..=n.major.1;
            let mut majors: Vec<u32> =
                rules.iter().filter_map(|rule| rule.major).filter(|m| range.contains(m)).collect();
            majors.extend(range.clone().find(|m| !majors.contains(m)));
            majors.sort_unstable();
            majors.dedup();
            let mut minors: Vec<u32> = match n.minor {
                Some(minor) => vec![minor],
                None => rules.iter().filter_map(|rule| rule.minor).collect(),
            };
            if n.minor.is_none() {
                minors.extend((0..).find(|m| !minors.contains(m)));
            }
            minors.sort_unstable();
            minors.dedup();
            devices.extend(majors.iter().flat_map(|a| minors.iter().map(|i| (n.kind, *a, *i))));
        }
        devices
    }

    /// Whether a device-cgroup rule speaks of all, some or none of this class.
    pub fn covered_by(&self, rule: &DeviceRule) -> Coverage {
        if let Some(node) = &rule.node {
            let named = self.has_path(node.as_str()) || self.has_folder(node.as_str());
            let numbered = match (rule.major, rule.minor) {
                (Some(major), Some(minor)) => self.has_number(rule.kind, major, minor),
                _ => false,
            };
            return if named || numbered { Coverage::Some } else { Coverage::None };
        }
        let mut all = true;
        let mut some = false;
        for n in &self.numbers {
            let kind = rule.kind == DeviceKind::All || rule.kind == n.kind;
            let major = rule.major.is_none_or(|m| (n.major.0..=n.major.1).contains(&m));
            let minor = match (rule.minor, n.minor) {
                (Some(a), Some(b)) => a == b,
                _ => true,
            };
            some |= kind && major && minor;
            let whole_major = rule.major.is_none_or(|m| n.major == (m, m));
            let whole_minor = rule.minor.is_none_or(|m| n.minor == Some(m));
            all &= kind && whole_major && whole_minor;
        }
        match (all, some) {
            (true, _) => Coverage::All,
            (false, true) => Coverage::Some,
            (false, false) => Coverage::None,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coverage {
    All,
    Some,
    None,
}

fn numbers<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<Numbers>, D::Error> {
    let texts = Vec::<String>::deserialize(deserializer)?;
    texts
        .iter()
        .map(|t| {
            Numbers::parse(t).ok_or_else(|| serde::de::Error::custom(format!("not device numbers: {t}")))
        })
        .collect()
}

impl Numbers {
    fn parse(text: &str) -> Option<Numbers> {
        let (kind, numbers) = text.split_once(' ')?;
        let (major, minor) = numbers.split_once(':')?;
        let kind = match kind {
            "b" => DeviceKind::Block,
            "c" => DeviceKind::Char,
            _ => return None,
        };
        let major = match major.split_once('-') {
            Some((from, to)) => (from.parse().ok()?, to.parse().ok()?),
            None => (major.parse().ok()?, major.parse().ok()?),
        };
        let minor = if minor == "*" { None } else { Some(minor.parse().ok()?) };
        Some(Numbers { kind, major, minor })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shows(class: &str, path: &str) -> bool {
        object_class(class).unwrap().shown_by(&HostPath::new(path), true).is_some()
    }

    #[test]
    fn a_socket_is_shown_by_itself_and_by_every_folder_above_it_and_by_nothing_else() {
        for path in
            ["/run/docker.sock", "/var/run/docker.sock", "/run", "/var/run/", "/", "//var/run/docker.sock"]
        {
            assert!(shows("engine-socket", path), "{path}");
        }
        for path in ["/var", "/run/docker", "/run/docker.sock.d", "/data/app", "/runner", "/run/user/1000"] {
            let expected = path == "/run/docker";
            assert_eq!(shows("engine-socket", path), expected, "{path}");
        }
    }

    #[test]
    fn a_tree_is_shown_from_inside_too() {
        assert!(shows("execution-path", "/etc/cron.d/job"));
        assert!(shows("execution-path", "/opt/cni/bin"));
        assert!(shows("execution-path", "/opt"));
        assert!(!shows("execution-path", "/opt/app"));
        assert!(!shows("execution-path", "/etc/myapp"));
        assert!(!shows("execution-path", "/root/project/data"));
    }

    #[test]
    fn an_agent_in_tmp_is_shown_by_its_folder_and_not_by_all_of_tmp() {
        assert!(shows("user-agent-socket", "/tmp/ssh-abc"));
        assert!(shows("user-agent-socket", "/tmp/ssh-abc/agent.1"));
        assert!(!shows("user-agent-socket", "/tmp"));
    }

    #[test]
    fn the_files_of_a_named_volume_are_not_the_engines_state() {
        assert!(shows("runtime-state", "/var/lib/docker"));
        assert!(shows("runtime-state", "/var/lib/docker/overlay2"));
        assert!(!shows("runtime-state", "/var/lib/docker/volumes/db/_data"));
    }

    #[test]
    fn device_nodes_belong_to_their_class() {
        let disk = device_class("disk").unwrap();
        assert!(
            disk.has_path("/dev/sda")
                && disk.has_path("/dev/nvme0n1")
                && disk.has_path("/dev/mapper/vg-root")
        );
        assert!(disk.has_path("/dev/disk/by-id/ata-X") && disk.has_folder("/dev/disk/by-uuid"));
        assert!(!disk.has_path("/dev/mapper/control") && !disk.has_path("/dev/null"));
        assert!(disk.has_folder("/dev"));
    }
}

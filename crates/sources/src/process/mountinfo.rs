//! `/proc/PID/mountinfo` (proc_pid_mountinfo(5)): which mounts a process sees, and which path of the host each
//! one is.

use std::collections::{HashMap, HashSet};

use confinement::HostPath;

/// A mount namespace may hold 100,000 mounts (fs.mount-max, sysctl/fs.rst); a container that made that many
/// is not believed.
const MOUNT_LIMIT: usize = 100_000;

/// One line. The container chooses paths and names in it.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct MountEntry {
    pub id: u64,
    pub parent: u64,
    /// `major:minor` of the file system.
    pub device: String,
    /// Which directory or file of the file system is shown.
    pub root: String,
    /// Where, from the process's root.
    pub target: String,
    pub options: Vec<String>,
    /// Peer group that the mount shares events with, and that it receives them from.
    pub shared: Option<u64>,
    pub master: Option<u64>,
    pub kind: String,
    pub source: String,
    pub super_options: Vec<String>,
}

impl MountEntry {
    /// Whether writes are refused by this mount or by the whole file system.
    pub fn is_read_only(&self) -> bool {
        self.has_option("ro") || self.super_options.iter().any(|o| o == "ro")
    }
    pub fn has_option(&self, name: &str) -> bool {
        self.options.iter().any(|o| o == name)
    }
}

#[derive(Clone, Debug, Default)]
pub struct MountTable {
    pub entries: Vec<MountEntry>,
}

impl MountTable {
    /// Reads the table. Lines that are not of the documented form are an error: a mount that is not understood
    /// must not be taken for one that is not there.
    pub fn parse(text: &str) -> Result<MountTable, String> {
        let mut entries = Vec::new();
        for (number, line) in text.lines().enumerate() {
            if number >= MOUNT_LIMIT {
                return Err(format!("more than {MOUNT_LIMIT} mounts"));
            }
            entries.push(parse_line(line).ok_or_else(|| format!("line {} has an unknown form", number + 1))?);
        }
        Ok(MountTable { entries })
    }

    /// The mounts that a path lookup reaches: those that no later mount lies over.
    pub fn visible(&self) -> Vec<&MountEntry> {
        let mut cover = Cover {
            on_own_root: self.entries.iter().map(|m| (m.parent, m.target.as_str())).collect(),
            by_id: self.entries.iter().map(|m| (m.id, m)).collect(),
            under_sibling: self.under_siblings(),
            buried: HashMap::new(),
        };
        self.entries.iter().filter(|mount| cover.reaches(mount)).collect()
    }

    /// Mounts that have another with the same parent at a place above them. That one can only have come later, or
    /// they would hang on it.
    fn under_siblings(&self) -> HashSet<u64> {
        let mut siblings: HashMap<u64, Vec<&MountEntry>> = HashMap::new();
        for mount in &self.entries {
            siblings.entry(mount.parent).or_default().push(mount);
        }
        let under = |group: Vec<&MountEntry>| {
            let above = nearest_above(&group);
            group
                .into_iter()
                .zip(above)
                .filter(|(_, above)| above.is_some())
                .map(|(m, _)| m.id)
                .collect::<Vec<_>>()
        };
        siblings.into_values().flat_map(under).collect()
    }

    /// The mount at `/`, as the process sees it.
    pub fn root(&self) -> Option<&MountEntry> {
        self.visible().into_iter().find(|m| m.target == "/")
    }
}

/// For each mount, which of the others sits at the nearest place above it. Takes one sort, as a container may make
/// tens of thousands of mounts at places hundreds of folders deep.
pub fn nearest_above(mounts: &[&MountEntry]) -> Vec<Option<usize>> {
    let key = |at: &usize| mounts.get(*at).map_or("", |m| m.target.as_str());
    // A folder sorts before everything in it, and nothing else in between.
    let by_path = |text: &str| text.bytes().map(|b| if b == b'/' { 0 } else { b }).collect::<Vec<u8>>();
    let mut order: Vec<usize> = (0..mounts.len()).collect();
    order.sort_by_cached_key(|at| by_path(key(at)));
    let mut found = vec![None; mounts.len()];
    let mut above: Vec<usize> = Vec::new();
    for at in order {
        while above.last().is_some_and(|last| !is_above(key(last), key(&at))) {
            above.pop();
        }
        if let Some(place) = found.get_mut(at) {
            *place = above.last().copied();
        }
        above.push(at);
    }
    found
}

/// Whether `folder` is a proper ancestor of `path`.
fn is_above(folder: &str, path: &str) -> bool {
    match folder {
        "/" => path != "/",
        _ => path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/')),
    }
}

/// Which mounts lie under others.
struct Cover<'a> {
    /// Parent and target of every mount.
    on_own_root: HashSet<(u64, &'a str)>,
    by_id: HashMap<u64, &'a MountEntry>,
    under_sibling: HashSet<u64>,
    /// Whether the place that a mount hangs on is out of reach; each is worked out once.
    buried: HashMap<u64, bool>,
}

impl<'a> Cover<'a> {
    fn reaches(&mut self, mount: &'a MountEntry) -> bool {
        // A child on a mount's own root lies over it.
        !self.on_own_root.contains(&(mount.id, mount.target.as_str())) && !self.is_buried(mount)
    }

    fn is_buried(&mut self, mount: &'a MountEntry) -> bool {
        let mut chain = Vec::new();
        let mut current = mount;
        let buried = loop {
            if let Some(known) = self.buried.get(&current.id) {
                break *known;
            }
            // Taken for reachable until known, which also ends a circle of parents in a table that changed
            // while it was read.
            self.buried.insert(current.id, false);
            chain.push(current.id);
            if self.under_sibling.contains(&current.id) {
                break true;
            }
            match self.by_id.get(&current.parent) {
                Some(parent) => current = parent,
                None => break false,
            }
        };
        for id in chain {
            self.buried.insert(id, buried);
        }
        buried
    }
}

fn parse_line(line: &str) -> Option<MountEntry> {
    let (before, after) = line.split_once(" - ")?;
    let mut fields = before.split(' ');
    let id = fields.next()?.parse().ok()?;
    let parent = fields.next()?.parse().ok()?;
    let device = fields.next()?;
    let (major, minor) = device.split_once(':')?;
    let (_, _): (u32, u32) = (major.parse().ok()?, minor.parse().ok()?);
    let root = unescape(fields.next()?);
    let target = unescape(fields.next()?);
    let options = list(fields.next()?);
    let (mut shared, mut master) = (None, None);
    for tag in fields {
        if let Some(group) = tag.strip_prefix("shared:") {
            shared = Some(group.parse().ok()?);
        } else if let Some(group) = tag.strip_prefix("master:") {
            master = Some(group.parse().ok()?);
        }
    }
    let mut fields = after.split(' ');
    let kind = unescape(fields.next()?);
    let source = unescape(fields.next()?);
    // A source may hold a space only in its escaped form, and the options come last.
    let super_options = list(fields.next().unwrap_or(""));
    let device = device.to_owned();
    Some(MountEntry {
        id,
        parent,
        device,
        root,
        target,
        options,
        shared,
        master,
        kind,
        source,
        super_options,
    })
}

fn list(text: &str) -> Vec<String> {
    text.split(',').filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

/// Space, tab, newline, backslash and `#` stand as `\ooo` (mangle_path, fs/seq_file.c).
pub fn unescape(text: &str) -> String {
    if !text.contains('\\') {
        return text.to_owned();
    }
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let octal = (byte == b'\\')
            .then(|| bytes.get(at + 1..at + 4))
            .flatten()
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match octal {
            Some(value) => {
                out.push(value);
                at += 4;
            }
            None => {
                out.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Finds the host's paths of mounts in other mount namespaces.
pub struct HostPaths {
    /// By device: the root that is shown, where, and whether a path lookup gets there.
    by_device: HashMap<String, Vec<(String, String)>>,
    targets: Vec<String>,
    pub peer_groups: HashSet<u64>,
}

impl HostPaths {
    pub fn new(host: &MountTable) -> HostPaths {
        let mut by_device: HashMap<String, Vec<(String, String)>> = HashMap::new();
        for mount in host.visible() {
            by_device
                .entry(mount.device.clone())
                .or_default()
                .push((mount.root.clone(), mount.target.clone()));
        }
        // The mount that shows most of a file system first, and of equals the shortest path.
        for places in by_device.values_mut() {
            places.sort_by_key(|(root, target)| (root.len(), target.len()));
        }
        let peer_groups = host.entries.iter().filter_map(|m| m.shared).collect();
        let targets = host.visible().into_iter().map(|m| m.target.clone()).collect();
        HostPaths { by_device, targets, peer_groups }
    }

    pub fn has_mounts_below(&self, path: &HostPath) -> bool {
        self.targets.iter().any(|target| target != path.as_str() && path.shows(target))
    }

    /// What can be told of the host's mounts by a table that is not the host's: `places` are devices with a root
    /// and the host's path for it, and every peer group may be the host's.
    pub fn guessed(places: Vec<(String, String, String)>, own: &MountTable) -> HostPaths {
        let mut by_device: HashMap<String, Vec<(String, String)>> = HashMap::new();
        for (device, root, target) in places {
            by_device.entry(device).or_default().push((root, target));
        }
        let groups = own.entries.iter().flat_map(|m| [m.shared, m.master]).flatten();
        HostPaths { by_device, targets: Vec::new(), peer_groups: groups.collect() }
    }

    /// The path of the host that shows what `mount` shows; `None` where the host has the file system mounted
    /// nowhere that shows it.
    pub fn resolve(&self, device: &str, root: &str) -> Option<HostPath> {
        let root = root.strip_suffix("//deleted").unwrap_or(root);
        self.by_device.get(device)?.iter().find_map(|(shown, target)| {
            let rest = if shown == "/" { Some(root) } else { root.strip_prefix(shown.as_str()) }?;
            if !rest.is_empty() && !rest.starts_with('/') {
                return None;
            }
            Some(HostPath::new(&format!("{target}/{rest}")))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(text: &str) -> MountTable {
        MountTable::parse(text).unwrap()
    }
    fn seen(text: &str) -> Vec<String> {
        table(text).visible().iter().map(|m| format!("{} {}", m.target, m.device)).collect()
    }

    #[test]
    fn every_part_of_a_line_is_read() {
        let text = r"36 35 98:0 /mnt1\040a /mnt2\134\011 rw,noatime master:1 shared:7 unbindable - ext3 /dev/x ro,errors=continue";
        let entry = &table(text).entries[0];
        assert_eq!((entry.root.as_str(), entry.target.as_str()), ("/mnt1 a", "/mnt2\\\t"));
        assert_eq!((entry.shared, entry.master), (Some(7), Some(1)));
        assert!(entry.is_read_only() && entry.has_option("noatime") && !entry.has_option("ro"));
    }

    #[test]
    fn a_line_of_another_form_is_an_error_and_never_left_out() {
        for text in ["x", "1 2 3 4 5", "1 2 0:1 / /x rw shared:x - t s o", "1 2 a:b / /x rw - t s o", "\0"] {
            assert!(MountTable::parse(text).is_err(), "{text}");
        }
        assert_eq!(table("").entries.len(), 0);
    }

    #[test]
    fn what_lies_under_a_later_mount_is_not_seen() {
        let stacked =
            "1 0 8:1 / / rw - ext4 a rw\n2 1 8:2 / /d rw - ext4 b rw\n3 2 8:3 / /d rw - ext4 c rw\n";
        assert_eq!(seen(stacked), ["/ 8:1", "/d 8:3"]);
        let buried = "1 0 8:1 / / rw - ext4 a rw\n2 1 8:2 / /d/e rw - ext4 b rw\n4 2 8:4 / /d/e/f rw - ext4 d rw\n\
                      3 1 8:3 / /d rw - ext4 c rw\n5 3 8:5 / /d/e rw - ext4 e rw\n";
        assert_eq!(seen(buried), ["/ 8:1", "/d 8:3", "/d/e 8:5"]);
        let rooted = "1 0 8:1 / / rw - ext4 a rw\n2 1 8:2 / /proc rw - proc p rw\n3 1 8:3 / / rw - ext4 c rw\n\
                      4 3 8:4 / /proc rw - proc q rw\n";
        assert_eq!(seen(rooted), ["/ 8:3", "/proc 8:4"]);
        let circle = "1 2 8:1 / /a rw - ext4 a rw\n2 1 8:2 / /b rw - ext4 b rw\n";
        assert_eq!(seen(circle).len(), 2);
    }

    #[test]
    fn a_bind_mount_is_found_on_the_host_by_its_device_and_root() {
        let host = table(
            "1 0 8:1 / / rw - ext4 a rw\n2 1 8:2 /sub /srv rw - btrfs b rw\n3 1 0:9 / /run rw - tmpfs t rw\n\
             4 1 8:1 /var/lib/x /var/lib/x rw - ext4 a rw\n",
        );
        let paths = HostPaths::new(&host);
        let resolve = |device: &str, root: &str| paths.resolve(device, root).map(|p| p.to_string());
        assert_eq!(resolve("8:1", "/etc").as_deref(), Some("/etc"));
        assert_eq!(resolve("8:1", "/var/lib/x/y").as_deref(), Some("/var/lib/x/y"));
        assert_eq!(resolve("8:2", "/sub/data").as_deref(), Some("/srv/data"));
        assert_eq!(resolve("8:2", "/subway"), None);
        assert_eq!(resolve("0:9", "/docker.sock").as_deref(), Some("/run/docker.sock"));
        assert_eq!(resolve("8:1", "/gone//deleted").as_deref(), Some("/gone"));
        assert_eq!(resolve("9:9", "/"), None);
    }

    /// Each of these would take hours if every mount were compared with every other.
    #[test]
    fn as_many_mounts_as_a_kernel_allows_are_worked_through() {
        let deep: String = (1..50_000u32)
            .map(|i| format!("{i} {} 8:1 / {} rw - ext4 a rw\n", i - 1, "/d".repeat(1 + i as usize % 500)))
            .collect();
        let wide: String =
            (1..50_000u32).map(|i| format!("{i} 1 8:{i} /x{i} /d/{i} rw shared:{i} - ext4 a rw\n")).collect();
        for text in [deep, format!("1 0 8:1 / / rw - ext4 a rw\n{}", wide.split_once('\n').unwrap().1)] {
            let table = table(&text);
            assert!(!table.visible().is_empty());
            assert!(!table.visible().is_empty());
        }
    }
}

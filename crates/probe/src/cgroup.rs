//! Control groups: which versions, what part of the tree is shown, whether it can be written, and the limits.

use crate::files;
use crate::measurement::{Cgroup, CgroupMembership, CgroupMount, Mount, Process};
use crate::paths::Access;
use crate::sys::{Answers, Batch};

/// Hierarchies a process may see; version 1 has one for each controller.
const MOST_MOUNTS: usize = 64;

pub(crate) struct Plan {
    memberships: Vec<CgroupMembership>,
    mounts: Vec<(CgroupMount, Vec<String>, Access, Option<Access>)>,
}

impl Plan {
    pub(crate) fn new(batch: &mut Batch, mounts: &[Mount]) -> Plan {
        let text =
            files::read("/proc/self/cgroup", files::READ_LIMIT).map(|(text, _)| text).unwrap_or_default();
        let mounts = mounts
            .iter()
            .filter_map(|mount| Some((mount, version(&mount.file_system)?)))
            .take(MOST_MOUNTS)
            .map(|(mount, version)| {
                let access = Access::new(batch, &mount.mount_point);
                let agent = join(&mount.mount_point, "release_agent");
                let agent_there = version == 1 && std::fs::symlink_metadata(&agent).is_ok();
                let shown = CgroupMount {
                    mount_point: mount.mount_point.clone(),
                    version,
                    root: mount.root.clone(),
                    read_only: is_read_only(mount),
                    ..CgroupMount::default()
                };
                let agent = agent_there.then(|| Access::new(batch, &agent));
                (shown, mount.super_options.clone(), access, agent)
            })
            .collect();
        Plan { memberships: text.lines().filter_map(parse_membership).collect(), mounts }
    }

    pub(crate) fn read(self, answers: &Answers, process: &Process) -> Cgroup {
        let v1_member = self.memberships.iter().any(|m| m.hierarchy != 0);
        let v2_member = self.memberships.iter().any(|m| m.hierarchy == 0);
        let known = !self.memberships.is_empty() || !self.mounts.is_empty();
        let has = |version| self.mounts.iter().any(|(mount, ..)| mount.version == version);
        let v2_limit = |file| self.own(2, "", file);
        let quota = || {
            let quota = self.own(1, "cpu", "cpu.cfs_quota_us")?;
            let period = self.own(1, "cpu", "cpu.cfs_period_us")?;
            Some(if quota.starts_with('-') { format!("max {period}") } else { format!("{quota} {period}") })
        };
        Cgroup {
            v1: known.then(|| v1_member || has(1)),
            v2: known.then(|| v2_member || has(2)),
            devices_list: self
                .own(1, "devices", "devices.list")
                .map(|text| text.lines().take(4096).map(str::to_owned).collect()),
            pids_max: v2_limit("pids.max").or_else(|| self.own(1, "pids", "pids.max")),
            memory_max: v2_limit("memory.max").or_else(|| self.own(1, "memory", "memory.limit_in_bytes")),
            cpu_max: v2_limit("cpu.max").or_else(quota),
            mounts: self
                .mounts
                .iter()
                .map(|(mount, _, access, agent)| CgroupMount {
                    write_access: access.read(answers, process),
                    release_agent_write_access: agent.as_ref().map(|a| a.read(answers, process)),
                    ..mount.clone()
                })
                .collect(),
            memberships: self.memberships,
        }
    }

    /// A file of the own cgroup in the hierarchy of a controller.
    fn own(&self, version: u32, controller: &str, file: &str) -> Option<String> {
        let member = self.memberships.iter().find(|m| match version {
            2 => m.hierarchy == 0,
            _ => m.controllers.iter().any(|c| c == controller),
        })?;
        self.mounts
            .iter()
            .filter(|(mount, options, ..)| {
                mount.version == version && (version == 2 || options.iter().any(|o| o == controller))
            })
            .find_map(|(mount, ..)| {
                let directory = own_directory(mount, &member.path)?;
                files::read(&join(&directory, file), files::READ_LIMIT).ok()
            })
            .map(|(text, _)| text.trim_end().to_owned())
    }
}

/// Where the own cgroup is shown. The mount shows the tree from `root` on; `path` is the own cgroup in the
/// same view (cgroup_namespaces(7)). Outside what is shown, nothing is known of it.
fn own_directory(mount: &CgroupMount, path: &str) -> Option<String> {
    let rest = path.strip_prefix(mount.root.trim_end_matches('/'))?;
    (rest.is_empty() || rest.starts_with('/')).then(|| join(&mount.mount_point, rest))
}

fn join(directory: &str, rest: &str) -> String {
    let (directory, rest) = (directory.trim_end_matches('/'), rest.trim_matches('/'));
    if rest.is_empty() { directory.to_owned() } else { format!("{directory}/{rest}") }
}

fn version(file_system: &str) -> Option<u32> {
    match file_system {
        "cgroup" => Some(1),
        "cgroup2" => Some(2),
        _ => None,
    }
}

fn is_read_only(mount: &Mount) -> bool {
    mount.options.iter().chain(&mount.super_options).any(|o| o == "ro")
}

/// Which versions this process is in, by `/proc/self/cgroup` alone.
pub(crate) fn versions() -> Cgroup {
    let text = files::read("/proc/self/cgroup", files::READ_LIMIT).map(|(text, _)| text).unwrap_or_default();
    let memberships: Vec<CgroupMembership> = text.lines().filter_map(parse_membership).collect();
    let member = |of_first: bool| {
        (!memberships.is_empty()).then(|| memberships.iter().any(|m| (m.hierarchy != 0) == of_first))
    };
    Cgroup { v1: member(true), v2: member(false), memberships, ..Cgroup::default() }
}

/// `4:memory:/docker/abc`; the hierarchy 0 is version 2 (cgroups(7)).
fn parse_membership(line: &str) -> Option<CgroupMembership> {
    let mut parts = line.splitn(3, ':');
    let hierarchy = parts.next()?.parse().ok()?;
    let controllers = parts.next()?.split(',').filter(|c| !c.is_empty()).map(str::to_owned).collect();
    Some(CgroupMembership { hierarchy, controllers, path: parts.next()?.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_own_cgroup_is_found_below_the_part_that_a_mount_shows() {
        let mount = |root: &str| CgroupMount {
            mount_point: "/sys/fs/cgroup/pids".into(),
            root: root.into(),
            ..CgroupMount::default()
        };
        let own = |root, path| own_directory(&mount(root), path);
        assert_eq!(own("/", "/"), Some("/sys/fs/cgroup/pids".into()));
        assert_eq!(own("/", "/docker/a"), Some("/sys/fs/cgroup/pids/docker/a".into()));
        assert_eq!(own("/docker/a", "/docker/a"), Some("/sys/fs/cgroup/pids".into()));
        assert_eq!(own("/docker/a", "/docker/ab"), None);
        assert_eq!(own("/../..", "/"), None);
    }

    #[test]
    fn a_membership_keeps_a_path_with_colons() {
        let member = parse_membership("3:cpu,cpuacct:/a:b").unwrap();
        assert_eq!((member.hierarchy, member.path.as_str()), (3, "/a:b"));
        assert_eq!(member.controllers, ["cpu", "cpuacct"]);
        assert_eq!(parse_membership("nonsense"), None);
    }
}

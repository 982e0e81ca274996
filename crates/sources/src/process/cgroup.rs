//! The cgroups of a process (cgroups(7)): limits, the device list of version 1, and the container's id in the path.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use confinement::DeviceRule;

use super::files::read_word;
use super::mountinfo::MountTable;
use crate::measured::{device_rules, is_container_id};

/// Where the host has each hierarchy mounted.
#[derive(Clone, Debug, Default)]
pub struct Hierarchies {
    /// By version 1 controller.
    v1: BTreeMap<String, PathBuf>,
    v2: Option<PathBuf>,
}

impl Hierarchies {
    pub fn of(host: &MountTable) -> Hierarchies {
        let mut found = Hierarchies::default();
        for mount in host.visible().into_iter().filter(|m| m.root == "/") {
            match mount.kind.as_str() {
                "cgroup2" => {
                    found.v2.get_or_insert_with(|| mount.target.as_str().into());
                }
                "cgroup" => {
                    for controller in &mount.super_options {
                        found.v1.entry(controller.clone()).or_insert_with(|| mount.target.as_str().into());
                    }
                }
                _ => {}
            }
        }
        found
    }
}

/// `/proc/PID/cgroup`: hierarchy, controllers, path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Membership {
    /// By version 1 controller.
    v1: BTreeMap<String, String>,
    v2: Option<String>,
}

impl Membership {
    pub(super) fn parse(text: &str) -> Membership {
        let mut found = Membership::default();
        for line in text.lines() {
            let mut fields = line.splitn(3, ':');
            let (Some(number), Some(controllers), Some(path)) = (fields.next(), fields.next(), fields.next())
            else {
                continue;
            };
            if number == "0" && controllers.is_empty() {
                found.v2 = Some(path.to_owned());
            } else {
                for controller in controllers.split(',') {
                    found.v1.insert(controller.to_owned(), path.to_owned());
                }
            }
        }
        found
    }

    fn paths(&self) -> impl Iterator<Item = &str> {
        self.v2.iter().chain(self.v1.values()).map(String::as_str)
    }

    /// The container's id in the path: `/docker/ID`, `…/docker-ID.scope`, `…/libpod-ID.scope/container`,
    /// `…/cri-containerd-ID.scope`, `…/crio-ID`; the innermost where containers are nested.
    pub(super) fn container_id(&self) -> Option<&str> {
        self.paths().find_map(|path| path.rsplit('/').find_map(id_in))
    }

    /// Whether the innermost cgroup is a service of systemd's, which may have a mount namespace of its own.
    pub(super) fn is_service(&self) -> bool {
        self.paths().any(|path| path.rsplit('/').any(|part| part.ends_with(".service")))
    }

    fn folder(&self, hierarchies: &Hierarchies, controller: &str) -> Option<(PathBuf, PathBuf)> {
        let (mount, path) = match (hierarchies.v1.get(controller), self.v1.get(controller)) {
            (Some(mount), Some(path)) => (mount, path),
            _ => (hierarchies.v2.as_ref()?, self.v2.as_ref()?),
        };
        // A cgroup above the reader's own cgroup namespace is shown with leading `..`.
        let relative = Path::new(path.trim_start_matches('/'));
        if relative.components().any(|c| matches!(c, std::path::Component::ParentDir)) {
            return None;
        }
        Some((mount.clone(), mount.join(relative)))
    }

    /// The smallest value on the way from the cgroup to the root; known `None` means no limit.
    fn smallest(
        &self,
        hierarchies: &Hierarchies,
        controller: &str,
        read: impl Fn(&Path) -> Option<u64>,
    ) -> Option<Option<u64>> {
        let (mount, folder) = self.folder(hierarchies, controller)?;
        if !folder.is_dir() {
            return None;
        }
        let above = folder.ancestors().take_while(|f| f.starts_with(&mount));
        Some(above.filter_map(read).min())
    }

    pub(super) fn memory(&self, hierarchies: &Hierarchies) -> Option<Option<u64>> {
        self.smallest(hierarchies, "memory", |folder| {
            let text = read_word(&folder.join("memory.max"))
                .or_else(|| read_word(&folder.join("memory.limit_in_bytes")))?;
            // Version 1 shows "no limit" as PAGE_COUNTER_MAX in bytes, just below 2^63.
            text.parse().ok().filter(|bytes| *bytes < 1 << 62)
        })
    }

    pub(super) fn pids(&self, hierarchies: &Hierarchies) -> Option<Option<u64>> {
        self.smallest(hierarchies, "pids", |folder| read_word(&folder.join("pids.max"))?.parse().ok())
    }

    /// Thousandths of a processor.
    pub(super) fn cpu(&self, hierarchies: &Hierarchies) -> Option<Option<u64>> {
        self.smallest(hierarchies, "cpu", |folder| {
            let (quota, period) = match read_word(&folder.join("cpu.max")) {
                Some(text) => {
                    let (quota, period) = text.split_once(' ')?;
                    (quota.to_owned(), period.to_owned())
                }
                None => (
                    read_word(&folder.join("cpu.cfs_quota_us"))?,
                    read_word(&folder.join("cpu.cfs_period_us"))?,
                ),
            };
            let (quota, period): (u64, u64) = (quota.parse().ok()?, period.parse().ok()?);
            (period > 0).then(|| quota.saturating_mul(1000) / period)
        })
    }

    /// The rules of the version 1 devices controller; version 2 keeps them in a BPF program.
    pub(super) fn device_rules(&self, hierarchies: &Hierarchies) -> Option<Vec<DeviceRule>> {
        if !hierarchies.v1.contains_key("devices") {
            return None;
        }
        let (_, folder) = self.folder(hierarchies, "devices")?;
        device_rules(&read_word(&folder.join("devices.list"))?)
    }
}

fn id_in(part: &str) -> Option<&str> {
    let part = part.strip_suffix(".scope").unwrap_or(part);
    let id = part.rsplit(['-', ':']).next()?;
    is_container_id(id).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_engines_cgroup_path_gives_the_containers_id() {
        let id = "3e980e834b237ab71ccebce013164c056c6ec9bea1856f4db385f52bf3c78421";
        for path in [
            "/docker/{}",
            "/system.slice/docker-{}.scope",
            "/machine.slice/libpod-{}.scope/container",
            "/libpod_parent/libpod-{}",
            "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-podx.slice/cri-containerd-{}.scope",
            "/kubepods/besteffort/pod1/{}",
            "/kubepods.slice/kubepods-pod1.slice/crio-{}.scope",
            "/system.slice/containerd.service/kubepods-besteffort-pod1.slice:cri-containerd:{}",
            "/docker/aaaa980e834b237ab71ccebce013164c056c6ec9bea1856f4db385f52bf3c784/docker/{}",
        ] {
            let text = format!("4:memory:/x\n0::{}\n", path.replace("{}", id));
            assert_eq!(Membership::parse(&text).container_id(), Some(id), "{path}");
        }
        assert_eq!(Membership::parse("0::/user.slice/user-0.slice/session-1.scope\n").container_id(), None);
        assert!(Membership::parse("0::/system.slice/systemd-logind.service\n").is_service());
    }

    #[test]
    fn a_path_that_leaves_the_hierarchy_is_not_followed() {
        let hierarchies = Hierarchies { v2: Some("/sys/fs/cgroup".into()), ..Hierarchies::default() };
        assert_eq!(Membership::parse("0::/../../etc\n").memory(&hierarchies), None);
        assert_eq!(Membership::parse("nonsense\n1:2\n").memory(&hierarchies), None);
    }
}

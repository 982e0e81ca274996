//! Device nodes and rules of a runtime configuration.
//!
//! runc starts from "deny everything", applies the rules given and then allows its own list, so that those devices
//! cannot be taken away (libcontainer/specconv/spec_linux.go, CreateCgroupConfig and AllowedDevices;
//! libcontainer/cgroups/devices/devices_emulator.go). crun without rules leaves the device cgroup as it found it; with
//! rules it writes them and then its own list on cgroup v1, where what no rule names stays as it was, while on
//! cgroup v2 its program refuses what no rule names (src/libcrun/cgroup-resources.c, write_devices_resources_v1,
//! create_dev_bpf).

use std::sync::Arc;

use confinement::{
    DeviceAccess, DeviceKind, DeviceNode, DeviceRule, Devices, Fact, HostPath, Mount, MountSource,
};

use super::Reader;
use crate::document::Node;

const RULE_ALL: DeviceRule = DeviceRule {
    allow: true,
    kind: DeviceKind::All,
    major: None,
    minor: None,
    access: DeviceAccess::ALL,
    node: None,
};

/// Nodes that every container has (config-linux.md, "Default Devices"), and console and tty.
const DEFAULT_NODES: &[(u32, u32)] = &[(1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0), (5, 1), (5, 2)];

fn rule(kind: DeviceKind, major: Option<u32>, minor: Option<u32>, access: DeviceAccess) -> DeviceRule {
    DeviceRule { allow: true, kind, major, minor, access, node: None }
}

/// What both runtimes allow whatever the configuration says, read from `devices.list` with runc 1.1.5 and crun 1.8.1.
/// `tun`: 10:200 as well, runc but for four releases; `console`: 5:1, crun.
fn always_allowed(tun: bool, console: bool) -> Vec<DeviceRule> {
    let mknod = DeviceAccess { read: false, write: false, mknod: true };
    let mut rules =
        vec![rule(DeviceKind::Char, None, None, mknod), rule(DeviceKind::Block, None, None, mknod)];
    let mut numbers = vec![
        (1, Some(3)),
        (1, Some(8)),
        (1, Some(7)),
        (5, Some(0)),
        (1, Some(5)),
        (1, Some(9)),
        (136, None),
        (5, Some(2)),
    ];
    if tun {
        numbers.push((10, Some(200)));
    }
    if console {
        numbers.push((5, Some(1)));
    }
    rules.extend(
        numbers
            .into_iter()
            .map(|(major, minor)| rule(DeviceKind::Char, Some(major), minor, DeviceAccess::ALL)),
    );
    rules
}

/// What the kernel of cgroup v1 makes of rules that are written one after the other: a rule for everything empties the
/// list of exceptions; one against what is the default adds an exception; one for it takes from the exception of the
/// very same numbers alone, so that a narrower rule is without effect (security/device_cgroup.c,
/// devcgroup_update_access, dev_exception_rm; measured with crun 1.8.1, which writes them so, and runc 1.1.5).
fn as_exceptions(written: Vec<DeviceRule>) -> Vec<DeviceRule> {
    let mut default = RULE_ALL;
    let mut exceptions: Vec<DeviceRule> = Vec::new();
    for rule in written {
        if rule.kind == DeviceKind::All {
            exceptions.clear();
            default.allow = rule.allow;
            continue;
        }
        let same = |e: &&mut DeviceRule| (e.kind, e.major, e.minor) == (rule.kind, rule.major, rule.minor);
        let exception = exceptions.iter_mut().find(same);
        let against_default = rule.allow != default.allow;
        match exception {
            Some(e) => {
                for (has, named) in [
                    (&mut e.access.read, rule.access.read),
                    (&mut e.access.write, rule.access.write),
                    (&mut e.access.mknod, rule.access.mknod),
                ] {
                    *has = if against_default { *has || named } else { *has && !named };
                }
            }
            None if against_default => exceptions.push(rule),
            None => {}
        }
    }
    std::iter::once(default).chain(exceptions).collect()
}

impl Reader<'_> {
    pub(super) fn devices(&mut self, mounts: &[Mount]) -> Devices {
        let linux = self.linux.clone();
        let nodes = linux.as_ref().and_then(|linux| self.fields.list(linux, "devices")).unwrap_or_default();
        let nodes = nodes.iter().filter_map(|node| self.node(node)).collect();
        let resources = linux.and_then(|linux| self.fields.object(&linux, "resources"));
        let stated = resources.as_ref().and_then(|resources| self.fields.list(resources, "devices"));
        let unreadable = resources
            .and_then(|resources| resources.get("devices"))
            .filter(|node| !node.is_null() && !node.is_sequence());
        let asked: Vec<Fact<DeviceRule>> =
            stated.unwrap_or_default().iter().map(|node| self.rule(node)).collect();
        let rules = match (asked.iter().find(|rule| !rule.is_known()), unreadable) {
            (Some(unknown), _) => Fact::unknown(unknown.origin.clone()),
            (None, Some(node)) => Fact::unknown(node.origin()),
            (None, None) => {
                self.effective_rules(asked.iter().filter_map(|rule| rule.get().cloned()).collect())
            }
        };
        // A new devtmpfs, or the host's /dev bound, shows every node.
        let all = mounts.iter().find(|mount| match mount.source.get() {
            Some(MountSource::Host(path)) => path.as_str() == "/dev",
            _ => false,
        });
        Devices {
            nodes,
            all_host_nodes: match all {
                Some(mount) => Fact::known(true, mount.origin().clone()),
                None => Fact::known(false, self.default_origin()),
            },
            rules,
            asked,
        }
    }

    fn effective_rules(&self, asked: Vec<DeviceRule>) -> Fact<Arc<[DeviceRule]>> {
        let deny_all = DeviceRule { allow: false, ..RULE_ALL };
        let origin = self.default_origin();
        if !self.is_crun() {
            let mut rules = vec![deny_all];
            rules.extend(asked);
            rules.extend(always_allowed(self.runc_allows_tun(), false));
            // runc keeps version 1's list of exceptions itself and makes version 2's program from it.
            return Fact::known(as_exceptions(rules).into(), origin);
        }
        if asked.is_empty() {
            return Fact::known(Arc::from([RULE_ALL]), origin);
        }
        let denies_all = |rule: &DeviceRule| !rule.allow && rule.kind == DeviceKind::All;
        let first = match self.host.cgroup_version.value {
            Some(1) => RULE_ALL,
            Some(_) => deny_all,
            // With a rule that denies everything it is all the same what was before.
            None if asked.first().is_some_and(denies_all) => deny_all,
            None => return Fact::unknown(self.host.cgroup_version.origin.clone()),
        };
        let mut rules = vec![first];
        rules.extend(asked);
        rules.extend(always_allowed(false, true));
        if self.host.cgroup_version.value == Some(1) {
            rules = as_exceptions(rules);
        }
        Fact::known(rules.into(), origin)
    }

    /// /dev/net/tun is on runc's list; without a version it is taken for none of the few that left it out.
    fn runc_allows_tun(&self) -> bool {
        let version = self
            .host
            .components
            .get("runc")
            .and_then(|runc| runc.get())
            .and_then(|runc| runc.version.clone());
        let Some(version) = version else { return true };
        let mut numbers = version.split(|c: char| !c.is_ascii_digit()).map(|n| n.parse::<u32>().unwrap_or(0));
        let mut number = || numbers.next().unwrap_or(0);
        let version = (number(), number(), number());
        // Taken out in 1.2.0, put back in 1.2.4 (opencontainers/runc#3468, #4555, #4556).
        !((1, 2, 0)..(1, 2, 4)).contains(&version)
    }

    fn rule(&mut self, node: &Node) -> Fact<DeviceRule> {
        let unknown = || Fact::unknown(node.origin());
        let allow = self.fields.boolean(node, "allow");
        let kind = self.fields.text(node, "type");
        let access = self.fields.text(node, "access");
        let mut number = |key: &str| match self.fields.integer(node, key) {
            // -1 is written for "every" by those who think of runc's own numbers.
            Some(fact) => fact.value.map(|n| u32::try_from(n).ok()),
            None => Some(None),
        };
        let (Some(major), Some(minor)) = (number("major"), number("minor")) else { return unknown() };
        if [&kind, &access].iter().any(|fact| fact.as_ref().is_some_and(|fact| !fact.is_known())) {
            return unknown();
        }
        let allow = match allow {
            Some(fact) => match fact.value {
                Some(allow) => allow,
                None => return unknown(),
            },
            None => false,
        };
        let kind = match kind.as_ref().and_then(|kind| kind.get()).map(|kind| &**kind) {
            None | Some("" | "a") => {
                // A rule for all devices is one for every number and access, whatever else it says.
                return Fact::known(DeviceRule { allow, ..RULE_ALL }, node.origin());
            }
            Some("b") => DeviceKind::Block,
            Some("c" | "u") => DeviceKind::Char,
            Some(_) => {
                self.fields.wrong(node, "a rule for devices of type a, b or c");
                return unknown();
            }
        };
        let access = access.as_ref().and_then(|access| access.get()).map_or("", |access| &**access);
        match DeviceAccess::parse(access) {
            Some(access) if access != DeviceAccess::default() => {
                Fact::known(DeviceRule { allow, kind, major, minor, access, node: None }, node.origin())
            }
            _ => {
                self.fields.wrong(node, "a rule with an access made of r, w and m");
                unknown()
            }
        }
    }

    /// A node beyond those that every container has.
    fn node(&mut self, node: &Node) -> Option<Fact<DeviceNode>> {
        let unknown = || Some(Fact::unknown(node.origin()));
        let Some(path) = self.fields.text(node, "path") else {
            self.fields.wrong(node, "a device with a path");
            return unknown();
        };
        let kind = self.fields.text(node, "type");
        let kind = match kind.as_ref().and_then(|kind| kind.get()).map(|kind| &**kind) {
            Some("b") => DeviceKind::Block,
            Some("c" | "u") => DeviceKind::Char,
            // A named pipe is no device.
            Some("p") => return None,
            _ => return unknown(),
        };
        let mut number = |key: &str| self.fields.number(node, key).and_then(|fact| fact.value);
        let (major, minor) = (number("major"), number("minor"));
        let (mode, uid, gid) = (number("fileMode"), number("uid"), number("gid"));
        if let (DeviceKind::Char, Some(major), Some(minor)) = (kind, major, minor)
            && DEFAULT_NODES.contains(&(major, minor))
        {
            return None;
        }
        let Some(path) = path.value else { return unknown() };
        let device =
            DeviceNode { host: HostPath::new(&path), kind: Some(kind), major, minor, mode, uid, gid };
        Some(Fact::known(device, node.origin()))
    }
}

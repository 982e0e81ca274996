//! Remedies written into an OCI runtime's `config.json`.
//!
//! The file says everything itself: there is no engine whose defaults a remedy could fall back on. What would need a
//! whole document (a seccomp filter) or a prepared root file system (a user namespace) is not written here; the engine
//! that makes the bundle has switches for it.

use confinement::{Capability, Confinement, DeviceRule, HostPath, NamespaceKind, Subject};
use sources::document::Node;
use techniques::needs;
use techniques::remedy::{LimitKind, Remedy, apply_all, rule_text};

use crate::draft::{Drafts, Refusal, Task};
use crate::tree::{self, Items, Value, Wish, own_value};

const CAPABILITY_SETS: [&str; 5] = ["bounding", "effective", "inheritable", "permitted", "ambient"];

/// What `cpu.period` is where nothing is said, in microseconds (Documentation/scheduler/sched-bwc.rst).
const CPU_PERIOD: i64 = 100_000;

/// Whether a runtime configuration can say the remedy.
pub fn can(_subject: &Subject, remedy: &Remedy) -> bool {
    match remedy {
        Remedy::DropCapability(_)
        | Remedy::KeepCapabilities(_)
        | Remedy::RunAsNonRoot
        | Remedy::NoNewPrivileges
        | Remedy::RemoveMount(_)
        | Remedy::ReadOnlyMount(_)
        | Remedy::PrivatePropagation(_)
        | Remedy::DefaultPaths
        | Remedy::RemoveDevice(_)
        | Remedy::RemoveDeviceRule(_)
        | Remedy::RemoveControlApi
        | Remedy::Limit(_)
        | Remedy::RemoveSysctl(_)
        | Remedy::ReadOnlyRootfs
        | Remedy::ReadOnlyCgroup => true,
        Remedy::PrivateNamespace(kind) => namespace(*kind).is_some(),
        // A whole filter would have to be written out; a profile's name means nothing where it is not loaded.
        Remedy::SeccompDefault | Remedy::LsmDefault => false,
        // The files of the root file system would have to belong to the mapped ids.
        Remedy::UserNamespace => false,
        // There is no such switch.
        Remedy::DropPrivileged | Remedy::RemoveAllCapabilities => false,
        Remedy::EngineClientCertificates
        | Remedy::NoServiceAccountToken
        | Remedy::NarrowGrants { .. }
        | Remedy::RemoveSecret
        | Remedy::PinImage
        | Remedy::OwnNetwork => false,
    }
}

/// The `type` of an entry of `linux.namespaces` (config-linux.md).
fn namespace(kind: NamespaceKind) -> Option<&'static str> {
    match kind {
        NamespaceKind::Pid => Some("pid"),
        NamespaceKind::Net => Some("network"),
        NamespaceKind::Ipc => Some("ipc"),
        NamespaceKind::Uts => Some("uts"),
        NamespaceKind::Cgroup => Some("cgroup"),
        _ => None,
    }
}

/// Writes a task's remedies into the drafts.
pub fn edit(task: &Task<'_>, drafts: &mut Drafts<'_>) -> Result<(), Refusal> {
    let Some(place) = &task.subject.place else {
        return Err(Refusal::file(task.subject.id.clone(), "it is not known where this is written"));
    };
    let root = drafts.documents(&place.path)?.iter().map(|d| d.root.clone()).find(|r| r.place() == *place);
    let Some(root) = root else { return Err(Refusal::at(place, "the file is not as it was read")) };
    let mut change = Change { root, wishes: Vec::new(), mounts: Vec::new(), namespaces: Vec::new() };
    let c = &*task.subject.confinement;
    for remedy in task.remedies {
        change.want(c, remedy)?;
    }
    change.capabilities(c, task.remedies)?;
    change.mount_list(c, task.remedies);
    change.device_rules(c, task.remedies);
    change.write(drafts)
}

struct Change {
    root: Node,
    wishes: Vec<(String, Wish)>,
    /// Options of mounts that stay, by the number of the mount.
    mounts: Vec<(usize, &'static str)>,
    /// Namespaces that are joined now, by their number.
    namespaces: Vec<usize>,
}

impl Change {
    fn node(&self, keys: &[&str]) -> Option<Node> {
        keys.iter().try_fold(self.root.clone(), |node, key| node.get(key))
    }

    fn items(&self, keys: &[&str]) -> Vec<Node> {
        self.node(keys).map(|list| list.items().collect()).unwrap_or_default()
    }

    fn wish(&mut self, keys: &[&str], wish: Wish) {
        tree::wish(&mut self.wishes, keys, wish);
    }

    fn refuse(&self, message: impl Into<String>) -> Refusal {
        Refusal::at(&self.root.place(), message)
    }

    fn want(&mut self, c: &Confinement, remedy: &Remedy) -> Result<(), Refusal> {
        match remedy {
            Remedy::RunAsNonRoot => {
                let after = remedy.apply(c).identity;
                for (key, id) in [("uid", after.uid.value), ("gid", after.gid.value)] {
                    if let Some(id) = id {
                        self.wish(&["process", "user", key], Wish::Set(Value::number(id)));
                    }
                }
            }
            Remedy::NoNewPrivileges => self.wish(&["process", "noNewPrivileges"], Wish::bool(true)),
            Remedy::ReadOnlyMount(target) => self.mount_option(target, "ro")?,
            Remedy::PrivatePropagation(target) => self.mount_option(target, "rprivate")?,
            Remedy::RemoveMount(target) => {
                if self.mounts_at(target).is_empty() {
                    return Err(self.refuse(format!("what is mounted at {target} is not in `mounts`")));
                }
            }
            Remedy::ReadOnlyCgroup => {
                let places: Vec<String> = self
                    .items(&["mounts"])
                    .iter()
                    .filter_map(|m| m.get("destination").and_then(|d| d.as_str().map(str::to_owned)))
                    .filter(|target| HostPath::new(target).is_at_or_below("/sys/fs/cgroup"))
                    .collect();
                if places.is_empty() {
                    return Err(self.refuse("what mounts the cgroup hierarchy is not in `mounts`"));
                }
                for target in places {
                    self.mount_option(&target, "ro")?;
                }
            }
            Remedy::DefaultPaths => self.paths(c, remedy),
            Remedy::PrivateNamespace(kind) => self.private_namespace(*kind)?,
            Remedy::RemoveDevice(path) => self.device(path)?,
            Remedy::RemoveControlApi => self.control_api()?,
            Remedy::Limit(kind) => self.limit(c, *kind),
            Remedy::RemoveSysctl(name) => self.wish(&["linux", "sysctl", name], Wish::Remove),
            Remedy::ReadOnlyRootfs => self.wish(&["root", "readonly"], Wish::bool(true)),
            Remedy::DropCapability(_) | Remedy::KeepCapabilities(_) | Remedy::RemoveDeviceRule(_) => {}
            Remedy::DropPrivileged
            | Remedy::RemoveAllCapabilities
            | Remedy::UserNamespace
            | Remedy::SeccompDefault
            | Remedy::LsmDefault
            | Remedy::EngineClientCertificates
            | Remedy::NoServiceAccountToken
            | Remedy::NarrowGrants { .. }
            | Remedy::RemoveSecret
            | Remedy::PinImage
            | Remedy::OwnNetwork => {
                return Err(self.refuse("a runtime configuration cannot say this; have the engine write it"));
            }
        }
        Ok(())
    }

    /// What goes from the bounding set goes from the other four, or the runtime cannot set them.
    fn capabilities(&mut self, c: &Confinement, remedies: &[Remedy]) -> Result<(), Refusal> {
        if !remedies.iter().any(|r| matches!(r, Remedy::DropCapability(_) | Remedy::KeepCapabilities(_))) {
            return Ok(());
        }
        let Some(wanted) = apply_all(remedies, c).capabilities.bounding.value else {
            return Err(self.refuse("which capabilities it has is not known"));
        };
        for set in CAPABILITY_SETS {
            let keys = ["process", "capabilities", set];
            let goes = |name: &Node| {
                name.as_str().and_then(Capability::parse).is_some_and(|capability| !wanted.has(capability))
            };
            let names = self.items(&keys);
            let remove: Vec<usize> = (0..names.len()).filter(|i| names.get(*i).is_some_and(goes)).collect();
            if !remove.is_empty() {
                self.wish(&keys, Wish::Items { remove, append: Vec::new() });
            }
        }
        Ok(())
    }

    fn mounts_at(&self, target: &str) -> Vec<usize> {
        let mounts = self.items(&["mounts"]);
        let is_it =
            |mount: &Node| mount.get("destination").is_some_and(|d| d.as_str().is_some_and(|d| d == target));
        (0..mounts.len()).filter(|i| mounts.get(*i).is_some_and(is_it)).collect()
    }

    fn mount_option(&mut self, target: &str, option: &'static str) -> Result<(), Refusal> {
        let found = self.mounts_at(target);
        if found.is_empty() {
            return Err(self.refuse(format!("what is mounted at {target} is not in `mounts`")));
        }
        self.mounts.extend(found.into_iter().map(|mount| (mount, option)));
        Ok(())
    }

    /// Mounts that go, and a tmpfs for each path that the workload writes where nothing is mounted.
    fn mount_list(&mut self, c: &Confinement, remedies: &[Remedy]) {
        let removed =
            |target: &str| remedies.iter().any(|r| matches!(r, Remedy::RemoveMount(at) if **at == *target));
        let mounts = self.items(&["mounts"]);
        let target = |mount: &Node| mount.get("destination").and_then(|d| d.as_str().map(str::to_owned));
        let goes = |mount: &Node| target(mount).is_some_and(|target| removed(&target));
        let remove: Vec<usize> = (0..mounts.len()).filter(|i| mounts.get(*i).is_some_and(goes)).collect();
        self.mounts.retain(|(mount, _)| !remove.contains(mount));
        let mut append = Vec::new();
        if remedies.contains(&Remedy::ReadOnlyRootfs) {
            let covered = |path: &str| {
                c.mounts.iter().any(|m| {
                    *m.target != *"/" && !removed(&m.target) && HostPath::new(path).is_at_or_below(&m.target)
                })
            };
            for path in needs::writable_paths(c).into_iter().filter(|path| !covered(path)) {
                append.push(Value::map([
                    ("destination", Value::text(path)),
                    ("type", Value::text("tmpfs")),
                    ("source", Value::text("tmpfs")),
                    ("options", Value::texts(["nosuid", "nodev"])),
                ]));
            }
        }
        if !remove.is_empty() || !append.is_empty() {
            self.wish(&["mounts"], Wish::Items { remove, append });
        }
    }

    /// The lists that engines write into every configuration.
    fn paths(&mut self, c: &Confinement, remedy: &Remedy) {
        let after = remedy.apply(c);
        for (key, list) in [("maskedPaths", &after.masked_paths), ("readonlyPaths", &after.readonly_paths)] {
            let there = self.items(&["linux", key]);
            let is_there = |path: &str| there.iter().any(|node| node.as_str() == Some(path));
            let missing = list.value.iter().flat_map(|list| list.iter()).filter(|path| !is_there(path));
            let append: Vec<Value> = missing.map(|path| Value::text(&**path)).collect();
            if !append.is_empty() {
                self.wish(&["linux", key], Wish::Items { remove: Vec::new(), append });
            }
        }
    }

    /// An entry with a path joins a namespace; without one it makes its own; without an entry it is the runtime's.
    fn private_namespace(&mut self, kind: NamespaceKind) -> Result<(), Refusal> {
        let Some(name) = namespace(kind) else {
            return Err(self.refuse("a runtime configuration cannot say this"));
        };
        let listed = self.items(&["linux", "namespaces"]);
        let is_it = |item: &Node| item.get("type").is_some_and(|kind| kind.as_str() == Some(name));
        if let Some(position) = listed.iter().position(is_it) {
            self.namespaces.push(position);
            return Ok(());
        }
        let entry = Value::map([("type", Value::text(name))]);
        let mut append = vec![entry];
        let earlier = self.wishes.iter().find_map(|(key, wish)| match wish {
            Wish::Within(linux) if key == "linux" => linux.iter().find(|(key, _)| key == "namespaces"),
            _ => None,
        });
        if let Some((_, Wish::Items { append: earlier, .. })) = earlier {
            append.splice(0..0, earlier.iter().cloned());
        }
        self.wish(&["linux", "namespaces"], Wish::Items { remove: Vec::new(), append });
        Ok(())
    }

    fn device(&mut self, path: &str) -> Result<(), Refusal> {
        let devices = self.items(&["linux", "devices"]);
        let is_it = |device: &Node| {
            device.get("path").is_some_and(|p| p.as_str().is_some_and(|p| HostPath::new(p).as_str() == path))
        };
        let mut remove: Vec<usize> =
            (0..devices.len()).filter(|i| devices.get(*i).is_some_and(is_it)).collect();
        if remove.is_empty() {
            return Err(self.refuse(format!("the device {path} is not in `linux.devices`")));
        }
        let earlier = self.wishes.iter().find_map(|(key, wish)| match wish {
            Wish::Within(linux) if key == "linux" => linux.iter().find(|(key, _)| key == "devices"),
            _ => None,
        });
        if let Some((_, Wish::Items { remove: earlier, .. })) = earlier {
            remove.extend(earlier);
        }
        self.wish(&["linux", "devices"], Wish::Items { remove, append: Vec::new() });
        Ok(())
    }

    fn device_rules(&mut self, c: &Confinement, remedies: &[Remedy]) {
        let goes = |rule: &DeviceRule| {
            let text = rule_text(rule);
            rule.allow && remedies.iter().any(|r| matches!(r, Remedy::RemoveDeviceRule(t) if **t == *text))
        };
        let asked = c.devices.asked.iter().enumerate();
        let remove: Vec<usize> =
            asked.filter(|(_, rule)| rule.get().is_some_and(goes)).map(|(number, _)| number).collect();
        if !remove.is_empty() {
            self.wish(&["linux", "resources", "devices"], Wish::Items { remove, append: Vec::new() });
        }
    }

    fn control_api(&mut self) -> Result<(), Refusal> {
        let variables = self.items(&["process", "env"]);
        let names_engine = |variable: &Node| {
            let name = variable.as_str().and_then(|text| text.split_once('=')).map(|(name, _)| name);
            matches!(name, Some("DOCKER_HOST" | "CONTAINER_HOST"))
        };
        let remove: Vec<usize> =
            (0..variables.len()).filter(|i| variables.get(*i).is_some_and(names_engine)).collect();
        if remove.is_empty() {
            return Err(self.refuse("what hands it the engine's API is not in `process.env`"));
        }
        self.wish(&["process", "env"], Wish::Items { remove, append: Vec::new() });
        Ok(())
    }

    fn limit(&mut self, c: &Confinement, kind: LimitKind) {
        let limit = needs::limit(kind, c);
        let resources = ["linux", "resources"];
        let mut set = |object: &str, key: &str, value: u64| {
            tree::wish(
                &mut self.wishes,
                &[resources[0], resources[1], object, key],
                Wish::Set(Value::number(value)),
            );
        };
        match kind {
            LimitKind::Memory => set("memory", "limit", limit),
            LimitKind::Pids => set("pids", "limit", limit),
            LimitKind::Cpu => {
                let stated = self.root.get("linux").and_then(|linux| linux.get("resources"));
                let stated = stated.and_then(|r| r.get("cpu")).and_then(|cpu| cpu.get("period"));
                let stated = stated.and_then(|period| period.as_i64()).filter(|period| *period > 0);
                let period = stated.unwrap_or(CPU_PERIOD).unsigned_abs();
                set("cpu", "quota", limit.saturating_mul(period) / 1000);
                if stated.is_none() {
                    set("cpu", "period", period);
                }
            }
        }
    }

    fn write(self, drafts: &mut Drafts<'_>) -> Result<(), Refusal> {
        tree::fulfil(drafts, &self.root, &self.wishes)?;
        let namespaces = self.items(&["linux", "namespaces"]);
        for position in &self.namespaces {
            if let Some(entry) = namespaces.get(*position) {
                tree::fulfil(drafts, entry, &[("path".to_owned(), Wish::Remove)])?;
            }
        }
        let mounts = self.items(&["mounts"]);
        let numbers: std::collections::BTreeSet<usize> = self.mounts.iter().map(|(n, _)| *n).collect();
        for number in numbers {
            let Some(mount) = mounts.get(number) else { continue };
            let wanted: Vec<&str> =
                self.mounts.iter().filter(|(n, _)| *n == number).map(|(_, option)| *option).collect();
            set_options(drafts, mount, &wanted)?;
        }
        Ok(())
    }
}

/// Puts each option in the place of the one that says the contrary, or behind the others: the last decides.
fn set_options(drafts: &mut Drafts<'_>, mount: &Node, wanted: &[&str]) -> Result<(), Refusal> {
    let Some(options) = own_value(mount, "options")?.filter(|node| !node.is_null()) else {
        return tree::set_entry(drafts, mount, "options", &Value::texts(wanted.iter().copied()));
    };
    let mut items = Items::default();
    for wanted in wanted {
        let contrary: &[&str] = match *wanted {
            "ro" => &["rw"],
            _ => &["shared", "rshared", "slave", "rslave", "unbindable", "runbindable"],
        };
        let mut replaced = false;
        for (position, option) in options.items().enumerate() {
            if option.as_str().is_some_and(|option| contrary.contains(&option)) {
                items.replace.push((position, Value::text(*wanted)));
                replaced = true;
            }
        }
        if !replaced && !options.items().any(|option| option.as_str() == Some(wanted)) {
            items.append.push(Value::text(*wanted));
        }
    }
    tree::change_items(drafts, &options, &items)
}

//! What a command line or a unit says, as options with values, and what remedies change about them. The same for
//! `docker run`, `podman run` and Quadlet, whose keys are options of `podman run`; how a change is put into bytes is
//! for [`write`](super::write) and [`quadlet`](crate::quadlet).

use std::sync::Arc;

use confinement::confine::selinux_domain;
use confinement::{
    AppArmor, Capability, CapabilitySet, Confinement, EngineKind, Fact, HostPath, MountSource, Namespace,
    NamespaceKind, Origin, Place, SeLinux, Seccomp, Subject,
};
use sources::options::{self, ASSUMED_HOME, Reference, Surroundings, UNKNOWN};
use techniques::needs;
use techniques::remedy::{LimitKind, Remedy, apply_all, rule_text};

use super::capabilities;
use crate::draft::Refusal;

/// One option that is given.
#[derive(Clone, Debug)]
pub(crate) struct Setting {
    /// The long name of the option.
    pub(crate) name: &'static str,
    pub(crate) value: Option<String>,
    /// Podman splits the value at commas.
    pub(crate) is_list: bool,
    /// Of the word that holds the value.
    pub(crate) place: Place,
    pub(crate) change: Change,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Kept,
    Removed,
    Value(String),
}

/// An option to be given besides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Added {
    pub(crate) name: &'static str,
    pub(crate) value: Option<String>,
}

#[derive(Debug)]
pub(crate) struct Settings<'a> {
    pub(crate) engine: EngineKind,
    pub(crate) list: Vec<Setting>,
    pub(crate) added: Vec<Added>,
    /// Where options may stand that cannot be seen.
    pub(crate) hidden: Option<Place>,
    /// Of the container: what a refusal points to where nothing else does.
    pub(crate) place: Place,
    /// Other containers of the same text, by name, with what is changed about them.
    pub(crate) others: Vec<(&'a str, &'a [Remedy])>,
}

/// Whether an option on a command line, or a key of a unit, can say the change at all.
pub(crate) fn can(subject: &Subject, engine: EngineKind, remedy: &Remedy) -> bool {
    let c = &*subject.confinement;
    // A privileged container's own settings are those it has once it is not.
    let plain = c.unprivileged.as_deref().unwrap_or(c);
    let path = subject.place.as_ref().map(|place| &place.path);
    let said_here = |origin: &Origin| origin.place().is_some_and(|place| Some(&place.path) == path);
    match remedy {
        Remedy::DropPrivileged => c.privileged.value != Some(false),
        Remedy::DropCapability(_)
        | Remedy::RemoveAllCapabilities
        | Remedy::KeepCapabilities(_)
        | Remedy::RunAsNonRoot
        | Remedy::NoNewPrivileges
        | Remedy::RemoveControlApi
        | Remedy::Limit(_)
        | Remedy::RemoveSysctl(_)
        | Remedy::ReadOnlyRootfs => true,
        Remedy::RemoveMount(target) | Remedy::ReadOnlyMount(target) | Remedy::PrivatePropagation(target) => {
            let is_kernel = |m: &confinement::Mount| matches!(m.source.get(), Some(MountSource::Kernel(_)));
            &**target != "/" && c.mounts.iter().any(|m| m.target == *target && !is_kernel(m))
        }
        Remedy::SeccompDefault => {
            let is_default = matches!(plain.seccomp.get(), Some(Seccomp::Builtin(_)));
            // Docker takes `seccomp=builtin` over what its daemon sets.
            !is_default && (said_here(&plain.seccomp.origin) || engine == EngineKind::Docker)
        }
        Remedy::LsmDefault => {
            let apparmor = plain.apparmor.get() == Some(&AppArmor::Unconfined);
            let selinux = plain.selinux.get() == Some(&SeLinux::Unconfined);
            (apparmor && said_here(&plain.apparmor.origin)) || (selinux && said_here(&plain.selinux.origin))
        }
        Remedy::DefaultPaths => {
            said_here(&plain.masked_paths.origin) || said_here(&plain.readonly_paths.origin)
        }
        Remedy::ReadOnlyCgroup => said_here(&plain.cgroup.writable.origin),
        Remedy::PrivateNamespace(kind) => option_of(*kind).is_some(),
        // Docker knows `--userns=host` alone, which leaves the remapping that the daemon does for the others.
        Remedy::UserNamespace if engine == EngineKind::Docker => {
            let remaps = c.engine.as_ref().is_some_and(|e| e.settings.userns_remap.value == Some(true));
            remaps && said_here(&c.user_namespace.initial.origin)
        }
        Remedy::UserNamespace => !is_in_pod(c),
        Remedy::RemoveDevice(_) | Remedy::RemoveDeviceRule(_) => true,
        // A network of its own is made by another command; a digest is not known here; the rest is no option's.
        Remedy::OwnNetwork
        | Remedy::PinImage
        | Remedy::EngineClientCertificates
        | Remedy::NoServiceAccountToken
        | Remedy::NarrowGrants { .. }
        | Remedy::RemoveSecret => false,
    }
}

/// Whether it shares namespaces with a pod, which then has its user namespace too.
fn is_in_pod(c: &Confinement) -> bool {
    NamespaceKind::ALL.into_iter().any(
        |kind| matches!(c.namespaces.get(kind).get(), Some(Namespace::Container(id)) if id.contains("#pod")),
    )
}

/// The option that says whose namespace of a kind it is.
fn option_of(kind: NamespaceKind) -> Option<&'static str> {
    match kind {
        NamespaceKind::Pid => Some("pid"),
        NamespaceKind::Net => Some("network"),
        NamespaceKind::Ipc => Some("ipc"),
        NamespaceKind::Uts => Some("uts"),
        NamespaceKind::Cgroup => Some("cgroupns"),
        NamespaceKind::Time => None,
    }
}

impl Settings<'_> {
    /// Makes all changes, or says which one cannot be made.
    pub(crate) fn make(&mut self, c: &Confinement, remedies: &[Remedy]) -> Result<(), Refusal> {
        let drops_privileged = remedies.contains(&Remedy::DropPrivileged);
        let plain = match c.unprivileged.as_deref() {
            Some(plain) if drops_privileged => plain,
            _ => c,
        };
        // All remedies of capabilities are one change.
        let is_capability = |remedy: &Remedy| {
            matches!(
                remedy,
                Remedy::DropCapability(_) | Remedy::RemoveAllCapabilities | Remedy::KeepCapabilities(_)
            )
        };
        if remedies.iter().any(is_capability) {
            self.capabilities(c, remedies)?;
        }
        for remedy in remedies {
            match remedy {
                Remedy::DropPrivileged => self.drop_privileged(c)?,
                Remedy::DropCapability(_) | Remedy::RemoveAllCapabilities | Remedy::KeepCapabilities(_) => {}
                Remedy::RunAsNonRoot => self.run_as_non_root(c)?,
                Remedy::UserNamespace => self.user_namespace(c)?,
                Remedy::NoNewPrivileges => self.no_new_privileges(plain),
                Remedy::RemoveMount(target) => self.remove_mount(c, target, remedy)?,
                Remedy::ReadOnlyMount(target) => self.read_only_mount(c, target, remedy)?,
                Remedy::PrivatePropagation(target) => self.private_propagation(c, target, remedy)?,
                Remedy::SeccompDefault => self.seccomp_default(plain)?,
                Remedy::LsmDefault => self.lsm_default(plain, remedies)?,
                Remedy::DefaultPaths => self.default_paths(plain)?,
                Remedy::PrivateNamespace(kind) => self.private_namespace(plain, *kind)?,
                Remedy::RemoveDevice(path) => self.remove_device(plain, path)?,
                Remedy::RemoveDeviceRule(rule) => self.remove_device_rule(plain, rule)?,
                Remedy::RemoveControlApi => self.remove_control_api(c)?,
                Remedy::Limit(kind) => self.limit(c, *kind),
                Remedy::RemoveSysctl(key) => self.remove_sysctl(c, key)?,
                Remedy::ReadOnlyRootfs => self.read_only_rootfs(c),
                Remedy::ReadOnlyCgroup => self.read_only_cgroup(plain, remedies)?,
                Remedy::OwnNetwork
                | Remedy::PinImage
                | Remedy::EngineClientCertificates
                | Remedy::NoServiceAccountToken
                | Remedy::NarrowGrants { .. }
                | Remedy::RemoveSecret => {
                    return Err(self.refuse(None, "no option of the command says this change"));
                }
            }
        }
        Ok(())
    }

    /// A refusal at the origin of a fact, where that is a place, otherwise at the container's.
    fn refuse(&self, origin: Option<&Origin>, message: impl Into<String>) -> Refusal {
        Refusal::at(origin.and_then(Origin::place).unwrap_or(&self.place), message)
    }

    fn said_elsewhere(&self, origin: &Origin, what: &str) -> Refusal {
        let message = match (origin.place(), &self.hidden) {
            (Some(place), Some(hidden)) if place == hidden => {
                format!("{what} may stand in what cannot be seen here: write it out, or change it there")
            }
            _ => format!("{what} is not an option of this container's own: change it here by hand"),
        };
        self.refuse(Some(origin), message)
    }

    /// The value that an option has after the changes so far; `None` where it is removed.
    fn now(&self, number: usize) -> Option<&str> {
        let setting = self.list.get(number)?;
        match &setting.change {
            Change::Kept => Some(setting.value.as_deref().unwrap_or("")),
            Change::Value(value) => Some(value),
            Change::Removed => None,
        }
    }

    /// The options of these names that are left, by number.
    fn named(&self, names: &[&str]) -> Vec<usize> {
        let is_one = |(number, setting): &(usize, &Setting)| {
            names.contains(&setting.name) && self.now(*number).is_some()
        };
        self.list.iter().enumerate().filter(is_one).map(|(number, _)| number).collect()
    }

    fn remove(&mut self, number: usize) {
        if let Some(setting) = self.list.get_mut(number) {
            setting.change = Change::Removed;
        }
    }

    fn set(&mut self, number: usize, value: String) {
        if self.now(number) == Some(&value) {
            return;
        }
        if let Some(setting) = self.list.get_mut(number) {
            setting.change = Change::Value(value);
        }
    }

    fn add(&mut self, name: &'static str, value: impl Into<Option<String>>) {
        let added = Added { name, value: value.into() };
        if !self.added.contains(&added) {
            self.added.push(added);
        }
    }

    /// Gives the option this value: where it stands, and otherwise as a new one.
    fn put(&mut self, name: &'static str, value: String) {
        let there = self.named(&[name]);
        for number in &there {
            self.set(*number, value.clone());
        }
        if there.is_empty() {
            self.add(name, value);
        }
    }

    /// The values that an option holds: one, or for Podman's lists each between commas.
    fn items(&self, number: usize) -> Vec<String> {
        let Some(value) = self.now(number) else { return Vec::new() };
        match self.list.get(number) {
            Some(setting) if setting.is_list => fields(value).into_iter().map(unquoted).collect(),
            _ => vec![value.to_owned()],
        }
    }

    /// Takes the values of an option that `goes` names away, and the option with its last; whether there was one.
    fn remove_items(&mut self, number: usize, goes: impl Fn(&str) -> bool) -> bool {
        let is_list = self.list.get(number).is_some_and(|setting| setting.is_list);
        let Some(value) = self.now(number).map(str::to_owned) else { return false };
        let all = if is_list { fields(&value) } else { vec![value.as_str()] };
        let left: Vec<&str> = all
            .iter()
            .copied()
            .filter(|f| !goes(&if is_list { unquoted(f) } else { (*f).to_owned() }))
            .collect();
        if left.len() == all.len() {
            return false;
        }
        if left.is_empty() {
            self.remove(number);
        } else {
            self.set(number, left.join(","));
        }
        true
    }

    fn remove_named(&mut self, names: &[&str], goes: impl Fn(&str) -> bool) -> bool {
        let mut any = false;
        for number in self.named(names) {
            any |= self.remove_items(number, &goes);
        }
        any
    }

    fn drop_privileged(&mut self, c: &Confinement) -> Result<(), Refusal> {
        let there = self.named(&["privileged"]);
        if there.is_empty() && c.privileged.value != Some(false) {
            return Err(self.said_elsewhere(&c.privileged.origin, "`--privileged`"));
        }
        if c.privileged.value != Some(false) {
            there.into_iter().for_each(|number| self.remove(number));
        }
        Ok(())
    }

    fn run_as_non_root(&mut self, c: &Confinement) -> Result<(), Refusal> {
        if c.identity.root.value == Some(false) {
            return Ok(());
        }
        let (user, group) = needs::user(c);
        self.put("user", format!("{user}:{group}"));
        Ok(())
    }

    fn user_namespace(&mut self, c: &Confinement) -> Result<(), Refusal> {
        let space = &c.user_namespace;
        if space.initial.value == Some(false) && space.root_is_host_root.value == Some(false) {
            return Ok(());
        }
        if self.engine == EngineKind::Docker {
            let is_host = |value: &str| value == "host";
            return match self.remove_named(&["userns"], is_host) {
                true => Ok(()),
                false => Err(self.refuse(
                    None,
                    "Docker has one user namespace setting for all containers: `userns-remap` in daemon.json",
                )),
            };
        }
        // podman-run(1), --userns: it cannot be set for a container of a pod.
        if let Some(number) = self.named(&["pod", "pod-id-file"]).first() {
            let place = self.list.get(*number).map_or(&self.place, |setting| &setting.place);
            return Err(Refusal::at(
                place,
                "a pod's containers share its user namespace: set it for the pod",
            ));
        }
        self.remove_named(&["uidmap", "gidmap", "subuidname", "subgidname"], |_| true);
        self.put("userns", "auto".to_owned());
        Ok(())
    }

    fn no_new_privileges(&mut self, plain: &Confinement) {
        if plain.identity.no_new_privileges.value == Some(true) {
            return;
        }
        let there = self.security_options("no-new-privileges");
        for number in &there {
            self.set(*number, "no-new-privileges".to_owned());
        }
        if there.is_empty() {
            self.add("security-opt", "no-new-privileges".to_owned());
        }
    }

    /// The security options with this key.
    fn security_options(&self, key: &str) -> Vec<usize> {
        let has_key = |number: &usize| self.now(*number).is_some_and(|value| security_option(value).0 == key);
        self.named(&["security-opt"]).into_iter().filter(has_key).collect()
    }

    /// The mount's options with this target.
    fn mounts_at(&self, target: &str) -> Vec<usize> {
        let is_there = |number: &usize| self.target(*number).is_some_and(|at| &*at == target);
        self.named(&["volume", "mount", "tmpfs"]).into_iter().filter(is_there).collect()
    }

    /// Where the mount of an option is inside the container.
    fn target(&self, number: usize) -> Option<Arc<str>> {
        let setting = self.list.get(number)?;
        let value = self.now(number)?;
        let source = |_: &str, origin: &Origin| Fact::unknown(origin.clone());
        let subject = |_: Reference<'_>| Arc::from("");
        let around = Surroundings {
            engine: self.engine,
            folder: "/",
            home: ASSUMED_HOME,
            volume: &source,
            subject: &subject,
            read_file: &|_| Err(String::new()),
        };
        let origin = Origin::File(setting.place.clone());
        let mount = match setting.name {
            "volume" => options::volume(value, &origin, &around),
            "mount" => options::mount(value, &origin, &around),
            _ => options::tmpfs(value, &origin, &around),
        };
        mount.ok().map(|mount| mount.target)
    }

    /// Whether a place is a `--volumes-from` of a container that the same remedy is made for.
    fn follows(&self, place: &Place, remedy: &Remedy) -> bool {
        let from = self.list.iter().filter(|s| s.name == "volumes-from" && holds(&s.place, place));
        let names =
            from.filter_map(|s| s.value.as_deref()).map(|value| value.split(':').next().unwrap_or(value));
        let mut others = names.flat_map(|name| self.others.iter().filter(move |(other, _)| *other == name));
        others.any(|(_, remedies)| remedies.contains(remedy))
    }

    /// The options of a mount that the confinement has; an error where it has it from somewhere else.
    fn own_mounts(&self, c: &Confinement, target: &str, remedy: &Remedy) -> Result<Vec<usize>, Refusal> {
        let there = self.mounts_at(target);
        let mut of_confinement = c.mounts.iter().filter(|mount| &*mount.target == target);
        let foreign = of_confinement.find(|mount| {
            let from = mount.origin().place();
            let own = self.list.iter().any(|setting| {
                matches!(setting.name, "volume" | "mount" | "tmpfs")
                    && from.is_some_and(|place| holds(&setting.place, place))
            });
            // A unit's volume stands in a unit of its own.
            !own && !from.is_some_and(|place| self.follows(place, remedy))
                && (there.is_empty() || from.is_some_and(|place| place.path == self.place.path))
        });
        match foreign {
            Some(mount) => Err(self.said_elsewhere(mount.origin(), &format!("the mount at {target}"))),
            None => Ok(there),
        }
    }

    fn remove_mount(&mut self, c: &Confinement, target: &str, remedy: &Remedy) -> Result<(), Refusal> {
        for number in self.own_mounts(c, target, remedy)? {
            self.remove(number);
        }
        Ok(())
    }

    fn read_only_mount(&mut self, c: &Confinement, target: &str, remedy: &Remedy) -> Result<(), Refusal> {
        let mounts = c.mounts.iter().filter(|mount| &*mount.target == target);
        if mounts.clone().all(|mount| mount.read_only.value == Some(true)) {
            return Ok(());
        }
        for number in self.own_mounts(c, target, remedy)? {
            let Some(value) = self.now(number).map(str::to_owned) else { continue };
            let name = self.list.get(number).map_or("", |setting| setting.name);
            let new = match name {
                "mount" => read_only_long(&value),
                "tmpfs" => Some(with_option(&value, value.split_once(':').map(|(_, options)| options), "ro")),
                _ if value == target => None,
                _ => Some(with_option(&value, short_options(&value, target), "ro")),
            };
            match new.filter(|_| !options_are_unknown(&value, target, name)) {
                Some(new) => self.set(number, new),
                None => return Err(self.unclear_mount(number)),
            }
        }
        Ok(())
    }

    fn unclear_mount(&self, number: usize) -> Refusal {
        let place = self.list.get(number).map_or(&self.place, |setting| &setting.place);
        Refusal::at(place, "the options of this mount cannot be set from here: write the mount out first")
    }

    fn private_propagation(&mut self, c: &Confinement, target: &str, remedy: &Remedy) -> Result<(), Refusal> {
        for number in self.own_mounts(c, target, remedy)? {
            let Some(value) = self.now(number).map(str::to_owned) else { continue };
            let name = self.list.get(number).map_or("", |setting| setting.name);
            if options_are_unknown(&value, target, name) {
                return Err(self.unclear_mount(number));
            }
            let new = if name == "mount" {
                let private = |field: &str| match field.split_once('=') {
                    Some((key, mode)) if key.eq_ignore_ascii_case("bind-propagation") => {
                        format!("{key}={}", private_mode(mode))
                    }
                    None => private_mode(field).to_owned(),
                    Some(_) => field.to_owned(),
                };
                fields(&value).into_iter().map(private).collect::<Vec<_>>().join(",")
            } else {
                let Some(options) = short_options(&value, target) else { continue };
                let private = options.split(',').map(private_mode).collect::<Vec<_>>().join(",");
                value.get(..value.len() - options.len()).unwrap_or("").to_owned() + &private
            };
            self.set(number, new);
        }
        Ok(())
    }

    fn seccomp_default(&mut self, plain: &Confinement) -> Result<(), Refusal> {
        if matches!(plain.seccomp.get(), Some(Seccomp::Builtin(_))) {
            return Ok(());
        }
        if plain.privileged.value == Some(true) {
            return Err(self.refuse(
                Some(&plain.privileged.origin),
                "a privileged container has no default seccomp profile",
            ));
        }
        let daemon_sets_another =
            plain.engine.as_ref().is_some_and(|engine| engine.settings.seccomp_profile.is_some());
        let there = self.security_options("seccomp");
        let policies = self.remove_named(&["seccomp-policy"], |value| value != "default");
        match (there.is_empty(), self.engine) {
            // moby daemon/seccomp_linux.go: `builtin` is the profile that is compiled in.
            (false, EngineKind::Docker) if daemon_sets_another => {
                for number in there {
                    self.set(number, "seccomp=builtin".to_owned());
                }
            }
            (true, EngineKind::Docker) if daemon_sets_another => {
                self.add("security-opt", "seccomp=builtin".to_owned());
            }
            (false, _) => there.into_iter().for_each(|number| self.remove(number)),
            (true, _) if policies => {}
            (true, _) => return Err(self.said_elsewhere(&plain.seccomp.origin, "the seccomp profile")),
        }
        Ok(())
    }

    fn lsm_default(&mut self, plain: &Confinement, remedies: &[Remedy]) -> Result<(), Refusal> {
        let mut done = true;
        if plain.apparmor.get() == Some(&AppArmor::Unconfined) {
            let there = self.security_options("apparmor");
            done &= !there.is_empty();
            there.into_iter().for_each(|number| self.remove(number));
        }
        if plain.selinux.get() == Some(&SeLinux::Unconfined) {
            let lifts = |number: &usize| {
                self.now(*number).and_then(|value| security_option(value).1).is_some_and(|label| {
                    let domain = label.strip_prefix("type:");
                    label == "disable" || domain.is_some_and(|d| selinux_domain(d) == SeLinux::Unconfined)
                })
            };
            let there: Vec<usize> = self.security_options("label").into_iter().filter(lifts).collect();
            // The host's namespaces lift the label too, and give it back with a namespace of the container's own.
            let namespaces = [NamespaceKind::Pid, NamespaceKind::Ipc];
            let given_back =
                namespaces.iter().any(|kind| remedies.contains(&Remedy::PrivateNamespace(*kind)));
            done &= !there.is_empty() || given_back;
            there.into_iter().for_each(|number| self.remove(number));
        }
        if !done {
            let fact = if plain.selinux.get() == Some(&SeLinux::Unconfined) {
                &plain.selinux.origin
            } else {
                &plain.apparmor.origin
            };
            return Err(self.said_elsewhere(fact, "what lifts the confinement of AppArmor or SELinux"));
        }
        Ok(())
    }

    fn default_paths(&mut self, plain: &Confinement) -> Result<(), Refusal> {
        let engine = plain.engine.as_ref();
        let is_default = engine.is_some_and(|engine| {
            let [masked, read_only] = engine.default_paths();
            plain.masked_paths.get() == Some(&masked) && plain.readonly_paths.get() == Some(&read_only)
        });
        if is_default {
            return Ok(());
        }
        let mut there = self.security_options("systempaths");
        there.extend(self.security_options("unmask"));
        if there.is_empty() {
            return Err(self.said_elsewhere(&plain.masked_paths.origin, "what unmasks the paths"));
        }
        there.into_iter().for_each(|number| self.remove(number));
        Ok(())
    }

    fn private_namespace(&mut self, plain: &Confinement, kind: NamespaceKind) -> Result<(), Refusal> {
        let fact = plain.namespaces.get(kind);
        if fact.get() == Some(&Namespace::Own) {
            return Ok(());
        }
        let Some(option) = option_of(kind) else {
            return Err(self.refuse(None, "no option says whose this namespace is"));
        };
        let names: &[&str] = if kind == NamespaceKind::Net { &["network", "net"] } else { &[option] };
        // The host's cgroup namespace is the engine's default on some hosts.
        if kind == NamespaceKind::Cgroup {
            self.put("cgroupns", "private".to_owned());
            return Ok(());
        }
        if !self.remove_named(names, shares) {
            return Err(self.said_elsewhere(&fact.origin, &format!("the {} namespace", kind.name())));
        }
        Ok(())
    }

    fn remove_device(&mut self, plain: &Confinement, path: &str) -> Result<(), Refusal> {
        let host = |value: &str| HostPath::new(device_host(value)).as_str() == path;
        let asked =
            plain.devices.nodes.iter().filter(|node| node.get().is_some_and(|n| n.host.as_str() == path));
        let count = asked.clone().count();
        let own: usize = self
            .named(&["device"])
            .into_iter()
            .map(|number| self.items(number).iter().filter(|item| host(item)).count())
            .sum();
        if let Some(node) = asked.clone().next().filter(|_| own < count) {
            let foreign = asked.clone().find(|node| !self.is_own(&node.origin)).unwrap_or(node);
            return Err(self.said_elsewhere(&foreign.origin, &format!("the device {path}")));
        }
        self.remove_named(&["device"], host);
        Ok(())
    }

    /// Whether a fact stands in an option of this container.
    fn is_own(&self, origin: &Origin) -> bool {
        origin.place().is_some_and(|place| self.list.iter().any(|setting| holds(&setting.place, place)))
    }

    fn remove_device_rule(&mut self, plain: &Confinement, rule: &str) -> Result<(), Refusal> {
        let is_it = |value: &str| {
            options::device_rule(value, &Origin::Nowhere)
                .is_ok_and(|fact| fact.get().is_some_and(|read| rule_text(read) == rule))
        };
        let asked = plain
            .devices
            .asked
            .iter()
            .find(|asked| asked.get().is_some_and(|read| read.node.is_none() && rule_text(read) == rule));
        match (self.remove_named(&["device-cgroup-rule"], is_it), asked) {
            (false, Some(asked)) => Err(self.said_elsewhere(&asked.origin, "the device rule")),
            _ => Ok(()),
        }
    }

    fn remove_control_api(&mut self, c: &Confinement) -> Result<(), Refusal> {
        for api in &c.control_apis {
            let names = |setting: &Setting| {
                let value = setting.value.as_deref().unwrap_or("");
                let named = value.starts_with("DOCKER_HOST=") || value.starts_with("CONTAINER_HOST=");
                setting.name == "use-api-socket" || (setting.name == "env" && named)
            };
            let at = self.list.iter().position(|setting| {
                names(setting) && api.origin.place().is_some_and(|place| holds(&setting.place, place))
            });
            match at {
                Some(at) => self.remove(at),
                None => return Err(self.said_elsewhere(&api.origin, "the engine's API")),
            }
        }
        Ok(())
    }

    fn limit(&mut self, c: &Confinement, kind: LimitKind) {
        let fact = match kind {
            LimitKind::Memory => &c.limits.memory,
            LimitKind::Cpu => &c.limits.cpu,
            LimitKind::Pids => &c.limits.pids,
        };
        if matches!(fact.get(), Some(Some(_))) {
            return;
        }
        let amount = needs::limit(kind, c);
        match kind {
            LimitKind::Memory => {
                // moby daemon/daemon_unix.go: a reservation above the limit is refused.
                let reserved = self.named(&["memory-reservation"]).into_iter().filter_map(|number| {
                    self.now(number).and_then(|value| options::bytes(value).ok().flatten())
                });
                let amount = reserved.max().map_or(amount, |reserved| reserved.max(amount));
                self.put("memory", bytes(amount));
            }
            LimitKind::Cpu => self.limit_processors(amount),
            LimitKind::Pids => self.put("pids-limit", amount.to_string()),
        }
    }

    /// moby daemon/daemon_unix.go: `--cpus` is refused beside a period or a quota.
    fn limit_processors(&mut self, thousandths: u64) {
        let periods = self.named(&["cpu-period"]);
        let period = periods.last().and_then(|number| self.now(*number)?.parse::<u64>().ok());
        match period.filter(|period| *period > 0) {
            Some(period) => self.put("cpu-quota", (period.saturating_mul(thousandths) / 1000).to_string()),
            None => {
                self.remove_named(&["cpu-quota", "cpu-period"], |_| true);
                self.put("cpus", decimal(thousandths));
            }
        }
    }

    fn remove_sysctl(&mut self, c: &Confinement, key: &str) -> Result<(), Refusal> {
        let is_it =
            |value: &str| options::sysctl(value, &Origin::Nowhere).is_ok_and(|(name, _)| &*name == key);
        let set = c.sysctls.iter().find(|(name, _)| &**name == key);
        match (self.remove_named(&["sysctl"], is_it), set) {
            (false, Some((_, fact))) => Err(self.said_elsewhere(&fact.origin, &format!("the sysctl {key}"))),
            _ => Ok(()),
        }
    }

    fn read_only_rootfs(&mut self, c: &Confinement) {
        if c.read_only_rootfs.value == Some(true) {
            return;
        }
        let there = self.named(&["read-only"]);
        for number in &there {
            self.set(*number, "true".to_owned());
        }
        if there.is_empty() {
            self.add("read-only", None);
        }
        let is_false = |value: &str| options::boolean(value) == Ok(false);
        let own_tmpfs = self.engine == EngineKind::Podman
            && !self.named(&["read-only-tmpfs"]).iter().any(|n| self.now(*n).is_some_and(is_false));
        for path in needs::writable_paths(c) {
            // podman-run(1), --read-only-tmpfs: these are there without being asked for.
            if own_tmpfs && matches!(path, "/dev" | "/dev/shm" | "/run" | "/tmp" | "/var/tmp") {
                continue;
            }
            let covers = |target: &str| {
                path.strip_prefix(target).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            };
            let mounted = self
                .named(&["volume", "mount", "tmpfs"])
                .into_iter()
                .any(|number| self.target(number).is_some_and(|target| covers(&target)));
            let shown = c.mounts.iter().any(|mount| covers(&mount.target));
            if !mounted && !shown {
                self.add("tmpfs", path.to_owned());
            }
        }
    }

    fn read_only_cgroup(&mut self, plain: &Confinement, remedies: &[Remedy]) -> Result<(), Refusal> {
        if plain.cgroup.writable.value == Some(false) {
            return Ok(());
        }
        let mut done = self.remove_named(&["systemd"], |value| value == "always");
        for number in self.security_options("writable-cgroups") {
            self.remove(number);
            done = true;
        }
        for number in self.security_options("unmask") {
            let Some(value) = self.now(number).map(str::to_owned) else { continue };
            let paths = security_option(&value).1.unwrap_or("");
            if paths.split(':').any(|path| path.eq_ignore_ascii_case("all")) {
                continue;
            }
            let left: Vec<&str> = paths.split(':').filter(|path| *path != "/sys/fs/cgroup").collect();
            let head = value.get(..value.len() - paths.len()).unwrap_or("").to_owned();
            done |= left.len() != paths.split(':').count();
            if left.is_empty() {
                self.remove(number);
            } else {
                self.set(number, head + &left.join(":"));
            }
        }
        if done || remedies.contains(&Remedy::DefaultPaths) {
            return Ok(());
        }
        Err(self.said_elsewhere(&plain.cgroup.writable.origin, "the writable cgroup file system"))
    }

    /// Gives the container the capabilities that it has after all remedies, by the engine's own rules.
    fn capabilities(&mut self, c: &Confinement, remedies: &[Remedy]) -> Result<(), Refusal> {
        // On a container that is not privileged it would mean one that nothing else was asked for.
        let is_moot =
            |remedy: &Remedy| *remedy == Remedy::DropPrivileged && c.privileged.value == Some(false);
        let after = apply_all(remedies.iter().filter(|remedy| !is_moot(remedy)), c);
        if c.privileged.value != Some(false) && !remedies.contains(&Remedy::DropPrivileged) {
            return Err(self.refuse(
                Some(&c.privileged.origin),
                "a privileged container has every capability, whatever is dropped",
            ));
        }
        let (Some(wanted), Some(engine)) = (after.capabilities.bounding.value, &c.engine) else {
            let origin = after.capabilities.bounding.origin;
            return Err(self.refuse(Some(&origin), "which capabilities it has is not known from here"));
        };
        let mut named = Vec::new();
        for number in self.named(&["cap-add", "cap-drop"]) {
            let adds = self.list.get(number).is_some_and(|setting| setting.name == "cap-add");
            for item in self.items(number) {
                if item.contains(UNKNOWN) {
                    let place = self.list.get(number).map_or(&self.place, |setting| &setting.place);
                    let message = "which capability this is cannot be told from here: write its name";
                    return Err(Refusal::at(place, message));
                }
                let word = if is_all(&item) { None } else { Capability::parse(&item) };
                named.push(capabilities::Named { option: number, adds, capability: word });
            }
        }
        let start = capabilities::Start {
            engine: self.engine,
            default: engine.default_capabilities(),
            all: if self.engine == EngineKind::Docker {
                engine.all_capabilities()
            } else {
                CapabilitySet::ALL
            },
            // What Podman adds for another user than root, it hands out.
            hands_out: self.engine == EngineKind::Podman && after.identity.root.value != Some(true),
        };
        let keeps = remedies.iter().any(|remedy| matches!(remedy, Remedy::KeepCapabilities(_)));
        let plan = capabilities::plan(&start, &named, wanted, keeps).ok_or_else(|| {
            self.refuse(
                Some(&c.capabilities.bounding.origin),
                "no options give exactly these capabilities: write them by hand",
            )
        })?;
        for number in self.named(&["cap-add", "cap-drop"]) {
            let gone: Vec<Option<Capability>> = plan
                .remove
                .iter()
                .filter_map(|at| named.get(*at))
                .filter(|named| named.option == number)
                .map(|named| named.capability)
                .collect();
            self.remove_items(number, |item| {
                let word = if is_all(item) { None } else { Capability::parse(item) };
                gone.contains(&word)
            });
        }
        let names = |set: CapabilitySet| set.iter().map(|cap| cap.name().to_owned()).collect::<Vec<_>>();
        for name in plan.drop_all.then(|| "ALL".to_owned()).into_iter().chain(names(plan.drop)) {
            self.add("cap-drop", name);
        }
        for name in names(plan.add) {
            self.add("cap-add", name);
        }
        Ok(())
    }
}

/// Whether a place lies within another.
fn holds(outer: &Place, inner: &Place) -> bool {
    let end = |place: &Place| u64::from(place.column) + u64::from(place.length);
    outer.path == inner.path
        && outer.line == inner.line
        && outer.column <= inner.column
        && (end(inner) <= end(outer) || outer.length == 0)
}

fn is_all(name: &str) -> bool {
    ["all", "cap_all"].iter().any(|all| name.trim().eq_ignore_ascii_case(all))
}

/// Modes that share a namespace with others.
fn shares(value: &str) -> bool {
    value == "host"
        || value.contains(UNKNOWN)
        || ["container:", "ns:", "service:"].iter().any(|start| value.starts_with(start))
}

/// A security option's key and value: parted at the first `=`, or `:` where one stands before it.
fn security_option(value: &str) -> (&str, Option<&str>) {
    match value.find(['=', ':']) {
        Some(at) => (value.get(..at).unwrap_or(value), value.get(at + 1..)),
        None => (value, None),
    }
}

fn device_host(value: &str) -> &str {
    let value = value.strip_prefix('-').unwrap_or(value);
    value.split(':').next().unwrap_or(value)
}

/// Parts between commas that stand outside of double quotes, as written.
fn fields(value: &str) -> Vec<&str> {
    let mut is_quoted = false;
    value
        .split(|c: char| {
            is_quoted ^= c == '"';
            c == ',' && !is_quoted
        })
        .collect()
}

/// A field as Go's encoding/csv reads it.
fn unquoted(field: &str) -> String {
    match field.strip_prefix('"').and_then(|field| field.strip_suffix('"')) {
        Some(inner) => inner.replace("\"\"", "\""),
        None => field.to_owned(),
    }
}

/// The options of `[SOURCE:]TARGET[:OPTIONS]`.
fn short_options<'v>(value: &'v str, target: &str) -> Option<&'v str> {
    if value.ends_with(&format!(":{target}")) {
        return None;
    }
    let head = format!(":{target}:");
    value.find(&head).and_then(|at| value.get(at + head.len()..))
}

/// Whether what a mount's options say cannot be told.
fn options_are_unknown(value: &str, target: &str, name: &str) -> bool {
    match name {
        "mount" => fields(value).iter().any(|field| {
            // A variable as a source or as a target is no option.
            let (key, setting) = field.split_once('=').unwrap_or((field, ""));
            key.contains(UNKNOWN)
                || (setting.contains(UNKNOWN)
                    && matches!(key, "readonly" | "ro" | "rw" | "readwrite" | "bind-propagation"))
        }),
        _ => short_options(value, target).is_some_and(|options| options.contains(UNKNOWN)),
    }
}

/// A short mount with one option more, or in place of its contrary.
fn with_option(value: &str, options: Option<&str>, option: &str) -> String {
    let Some(options) = options else { return format!("{value}:{option}") };
    let head = value.get(..value.len() - options.len()).unwrap_or("");
    let mut list: Vec<&str> = options.split(',').collect();
    match list.iter().position(|o| *o == "rw") {
        Some(at) => {
            list[at] = option;
            list.retain(|o| *o != "rw");
        }
        None if options.is_empty() => list = vec![option],
        None => list.push(option),
    }
    format!("{head}{}", list.join(","))
}

/// A long mount made read-only.
fn read_only_long(value: &str) -> Option<String> {
    let mut list: Vec<String> = Vec::new();
    let mut done = false;
    for field in fields(value) {
        let (key, _) = field.split_once('=').unwrap_or((field, ""));
        match key.to_ascii_lowercase().as_str() {
            "readonly" | "ro" | "rw" | "readwrite" if done => {}
            "readonly" | "ro" => {
                list.push(key.to_owned());
                done = true;
            }
            "rw" | "readwrite" => {
                list.push("readonly".to_owned());
                done = true;
            }
            _ => list.push(field.to_owned()),
        }
    }
    if !done {
        list.push("readonly".to_owned());
    }
    Some(list.join(","))
}

fn private_mode(mode: &str) -> &str {
    match mode {
        "shared" => "private",
        "rshared" => "rprivate",
        other => other,
    }
}

/// A number of bytes in the largest unit that gives it whole.
fn bytes(amount: u64) -> String {
    for (shift, unit) in [(30, 'g'), (20, 'm'), (10, 'k')] {
        if amount > 0 && amount.trailing_zeros() >= shift {
            return format!("{}{unit}", amount >> shift);
        }
    }
    amount.to_string()
}

/// Thousandths of a processor as a decimal number.
fn decimal(thousandths: u64) -> String {
    let text = format!("{}.{:03}", thousandths / 1000, thousandths % 1000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

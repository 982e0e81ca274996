//! Facts files, as `stockade facts` writes them (`stockade.facts/1`): the host for files that are judged elsewhere
//! (`--facts node.json`), and the container that a measurement was made in (`stockade facts | stockade audit -`).
//!
//! Seen from inside, a mount shows which file system it is of, not where the host has that. What the engine's own
//! files and the kernel's file systems give away is put together here; the rest is named by its file system.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use confinement::{
    Capabilities, CapabilitySet, Confinement, DeviceKind, DeviceNode, Fact, Form, Host, HostPath, IdRange,
    NamespaceKind, Origin, Problem, Runtime, Seccomp, ServiceAccount, Subject, SubjectKind,
};
use probe::measurement::{IdMapping, Measurement, Reading, Visibility};
use serde::{Deserialize, Serialize};

use crate::host::{HostFacts, host_of};
use crate::measured::{
    self, Credentials, HostView, Label, ListedPaths, Observed, device_rules, is_container_id,
};
use crate::options;
use crate::process::mountinfo::{HostPaths, MountEntry, MountTable, nearest_above};

/// One facts file.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Facts {
    #[serde(flatten)]
    pub measurement: Measurement,
    /// Only where it was written on a host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<HostFacts>,
}

/// The `schema` of every version of the file that can be read.
const SCHEMA_START: &str = "stockade.facts/1";

/// A measurement of a host has some 200 KB, most of it identifiers out of changelogs.
const SIZE_LIMIT: usize = 64 << 20;

/// Whether the text is a facts file of any version, by its schema.
pub fn recognise(text: &str) -> bool {
    let Some(start) = text.trim_start().strip_prefix('{') else { return false };
    start.trim_start().strip_prefix("\"schema\"").is_some_and(|rest| {
        let value = rest.trim_start().strip_prefix(':').unwrap_or_default().trim_start();
        value.starts_with("\"stockade.facts/")
    })
}

impl Facts {
    /// Measures this process, and its host where it runs on one.
    pub fn measure(options: &probe::Options) -> Facts {
        let measurement = probe::measure(options);
        let host = HostFacts::read(&measurement);
        Facts { measurement, host }
    }

    pub fn parse(text: &str, path: &Arc<str>) -> Result<Facts, Problem> {
        let wrong = |message: String| Problem::new(path.clone(), message);
        if text.len() > SIZE_LIMIT {
            return Err(wrong(format!("the file is larger than the limit of {SIZE_LIMIT} bytes")));
        }
        let facts: Facts = serde_json::from_str(text).map_err(|error| Problem {
            line: u32::try_from(error.line()).ok().filter(|line| *line > 0),
            column: u32::try_from(error.column()).ok().filter(|column| *column > 0),
            ..wrong(format!("not a facts file: {error}"))
        })?;
        match facts.measurement.schema.as_str() {
            schema if schema == SCHEMA_START || schema.starts_with("stockade.facts/1.") => Ok(facts),
            "" => Err(wrong("not a facts file: it has no schema".into())),
            other => {
                let other = measured::printable(other);
                Err(wrong(format!("facts of schema `{other}` cannot be read here; {SCHEMA_START} can")))
            }
        }
    }

    /// The host that the file describes.
    pub fn host(&self, path: &Arc<str>) -> Host {
        host_of(&self.measurement, self.host.as_ref(), &format!("{path}: "))
    }

    /// The container that was measured from inside, with notes; a problem where it was measured on a host.
    pub fn subject(&self, path: &Arc<str>) -> Result<(Subject, Vec<Problem>), Problem> {
        if self.host.is_some() {
            let message = "these facts were measured on a host, not in a container; give them with --facts";
            return Err(Problem::new(path.clone(), message));
        }
        let host = Arc::new(self.host(path));
        let mut confinement = crate::process::blank(&host);
        let reading = Reader { measurement: &self.measurement, path };
        let mut notes = reading.confinement(&mut confinement);
        notes.extend(self.measurement.notes.iter().cloned());
        let subject = Subject {
            id: format!("{path}#measured").into(),
            name: "the measured container".into(),
            kind: SubjectKind::Container,
            form: Form::Measured,
            place: None,
            declared: Vec::new(),
            realm: path.clone(),
            namespace: None,
            confinement: Arc::new(confinement),
            pod: None,
            labels: Default::default(),
            made: None,
        };
        Ok((subject, notes.into_iter().map(|note| Problem::new(path.clone(), note)).collect()))
    }
}

struct Reader<'a> {
    measurement: &'a Measurement,
    path: &'a Arc<str>,
}

impl Reader<'_> {
    fn origin(&self, what: &str) -> Origin {
        Origin::measured(format!("{}: {what}", self.path))
    }

    fn confinement(&self, confinement: &mut Confinement) -> Vec<String> {
        let observed = self.observed();
        let empty = MountTable::default();
        let table = observed.mounts.as_ref().unwrap_or(&empty);
        let paths = host_paths(table, self.measurement);
        let absent = self.absent();
        let host =
            HostView { paths: &paths, bounding: CapabilitySet::ALL, absent: &absent, cgroup_device: None };
        let notes = measured::overlay(confinement, &observed, &host);
        self.capabilities(&mut confinement.capabilities);
        self.identity(confinement);
        self.masks(confinement);
        self.seccomp(confinement);
        confinement.measured_writable = Arc::new(self.writable());
        confinement.devices.all_host_nodes =
            Fact::known(false, Origin::assumed("the device nodes that were seen stand one by one"));
        confinement.network.shared_segment = match confinement.namespaces.net.get() {
            Some(confinement::Namespace::Host) => {
                Fact::known(true, confinement.namespaces.net.origin.clone())
            }
            _ if confinement.network.attached.value == Some(false) => confinement.network.attached.clone(),
            _ => Fact::known(
                true,
                Origin::assumed("a container with a network is taken to sit on a bridge with others"),
            ),
        };
        let environment = &self.measurement.environment;
        confinement.control_apis = options::control_apis(
            environment
                .docker_host
                .as_deref()
                .map(|address| ("DOCKER_HOST", Some(address), self.origin("environment.docker_host"))),
        );
        if self.measurement.service_account_token.readable == Some(true) {
            let origin = self.origin("service_account_token");
            confinement.service_account = Some(ServiceAccount {
                namespace: "".into(),
                name: "".into(),
                token_mounted: Fact::known(true, origin.clone()),
                grants: Fact::unknown(origin),
            });
        }
        confinement.runtime = self.runtime();
        self.privileged(confinement);
        notes
    }

    fn observed(&self) -> Observed {
        let m = self.measurement;
        let from: Arc<str> = format!("{}: process", self.path).into();
        let initial = |name: &str| m.namespaces.get(name).and_then(|n| n.initial);
        let kinds = NamespaceKind::ALL.into_iter();
        let user_initial = initial("user");
        let map = |lines: &[IdMapping]| {
            let ranges =
                lines.iter().map(|l| IdRange { inside: l.inside, outside: l.outside, count: l.length });
            // Unread, or a namespace whose maps nobody has written yet.
            (!lines.is_empty()).then(|| ranges.collect::<Vec<_>>())
        };
        Observed {
            credentials_from: from.clone(),
            container_from: from,
            credentials: self.credentials(),
            host_namespaces: kinds.filter_map(|kind| Some((kind, initial(kind.name())?))).collect(),
            initial_user_namespace: user_initial,
            uid_map: map(&m.id_maps.uid),
            gid_map: map(&m.id_maps.gid),
            mounts: (!m.mounts.is_empty()).then(|| mount_table(m)),
            label: self.label(),
            devices: Some(self.devices()),
            all_host_devices: None,
            device_rules: m.cgroup.devices_list.as_ref().and_then(|lines| device_rules(&lines.join("\n"))),
            seccomp_profile: None,
            memory: limit(m.cgroup.memory_max.as_deref()),
            cpu: m.cgroup.cpu_max.as_deref().and_then(cpu),
            pids: limit(m.cgroup.pids_max.as_deref()),
            attached: (!m.network.interfaces.is_empty())
                .then(|| m.network.interfaces.iter().any(|name| crate::process::is_interface_of_use(name))),
        }
    }

    /// All or nothing: a set that was not measured is not empty. What is known all the same is filled in by
    /// `capabilities` and `identity`.
    fn credentials(&self) -> Option<Credentials> {
        let process = &self.measurement.process;
        let sets = &process.capabilities;
        Some(Credentials {
            // Real, effective, saved, file system.
            uid: *process.uids.get(1)?,
            gid: *process.gids.get(1)?,
            groups: process.groups.clone(),
            inheritable: sets.inheritable?,
            permitted: sets.permitted?,
            effective: sets.effective?,
            bounding: sets.bounding?,
            ambient: sets.ambient?,
            no_new_privileges: process.no_new_privs?,
            seccomp_mode: process.seccomp_mode?,
        })
    }

    fn capabilities(&self, found: &mut Capabilities) {
        let sets = &self.measurement.process.capabilities;
        for (name, fact, value) in [
            ("effective", &mut found.effective, sets.effective),
            ("permitted", &mut found.permitted, sets.permitted),
            ("inheritable", &mut found.inheritable, sets.inheritable),
            ("bounding", &mut found.bounding, sets.bounding),
            ("ambient", &mut found.ambient, sets.ambient),
        ] {
            if value.is_some() {
                *fact = Fact { value, origin: self.origin(&format!("process.capabilities.{name}")) };
            }
        }
    }

    fn identity(&self, confinement: &mut Confinement) {
        let process = &self.measurement.process;
        let identity = &mut confinement.identity;
        if let Some(uid) = process.uids.get(1) {
            identity.uid = Fact::known(*uid, self.origin("process.uids"));
            identity.root = Fact::known(*uid == 0, self.origin("process.uids"));
        }
        if let Some(gid) = process.gids.get(1) {
            identity.gid = Fact::known(*gid, self.origin("process.gids"));
        }
        if let Some(no_new_privileges) = process.no_new_privs {
            identity.no_new_privileges = Fact::known(no_new_privileges, self.origin("process.no_new_privs"));
        }
    }

    fn label(&self) -> Option<Label> {
        let modules = &self.measurement.security_modules;
        if let (Some(name), Some(mode)) = (&modules.apparmor_profile, &modules.apparmor_mode) {
            return Some(Label::Text(format!("{name} ({mode})")));
        }
        let text = modules.apparmor_profile.as_ref().or(modules.selinux_context.as_ref());
        if let Some(text) = text.or(modules.attr_current.as_ref()) {
            return Some(Label::Text(text.clone()));
        }
        if modules.labels == Some(false) {
            return Some(Label::NoModule);
        }
        // The kernel's own list without either of the two.
        let active = modules.active.as_ref()?;
        let labels = |name: &String| matches!(name.as_str(), "apparmor" | "selinux");
        (!active.iter().any(labels)).then_some(Label::NoModule)
    }

    /// Beyond those that every container has; a path names the host's node of the same name.
    fn devices(&self) -> Vec<DeviceNode> {
        const USUAL: &[&str] = &[
            "/dev/null",
            "/dev/zero",
            "/dev/full",
            "/dev/random",
            "/dev/urandom",
            "/dev/tty",
            "/dev/console",
            "/dev/ptmx",
        ];
        let nodes = self.measurement.devices.iter();
        nodes
            .filter(|d| !USUAL.contains(&d.path.as_str()) && !d.path.starts_with("/dev/pts/"))
            .map(|d| DeviceNode {
                host: HostPath::new(&d.path),
                kind: Some(if d.kind == "b" { DeviceKind::Block } else { DeviceKind::Char }),
                major: Some(d.major),
                minor: Some(d.minor),
                mode: Some(d.mode & 0o7777),
                uid: Some(d.uid),
                gid: Some(d.gid),
            })
            .collect()
    }

    /// What this kernel does not have and no engine needs to mask.
    fn absent(&self) -> ListedPaths {
        let m = self.measurement;
        let masked = m.masked_paths.iter().filter(|p| p.state == Visibility::Absent);
        let gone = m.kernel_interfaces.iter().filter(|i| i.exists == Some(false));
        let gone: BTreeSet<&str> = gone.map(|i| i.path.as_str()).collect();
        ListedPaths {
            masked: masked.map(|p| measured::fold_processors(&p.path)).collect(),
            readonly: ListedPaths::all().readonly.into_iter().filter(|p| gone.contains(&**p)).collect(),
        }
    }

    /// The masks as they were seen, whatever lies over the paths.
    fn masks(&self, confinement: &mut Confinement) {
        let seen = &self.measurement.masked_paths;
        if seen.is_empty() || seen.iter().any(|p| p.state == Visibility::Unmeasured) {
            return;
        }
        let covered = |p: &&probe::measurement::MaskedPath| p.state != Visibility::Visible;
        let mut masked: Vec<Arc<str>> =
            seen.iter().filter(covered).map(|p| measured::fold_processors(&p.path)).collect();
        let visible: BTreeSet<&str> =
            seen.iter().filter(|p| p.state == Visibility::Visible).map(|p| p.path.as_str()).collect();
        // Masks of one's own, beyond the engines' lists.
        let others = confinement.masked_paths.get().cloned().unwrap_or_default();
        masked.extend(others.iter().filter(|p| !visible.contains(&***p)).cloned());
        confinement.masked_paths = Fact::known(measured::sorted(masked), self.origin("masked_paths"));
    }

    fn seccomp(&self, confinement: &mut Confinement) {
        if self.measurement.process.seccomp_mode == Some(0) {
            confinement.seccomp = Fact::known(Seccomp::Disabled, self.origin("process.seccomp_mode"));
            return;
        }
        let answers: BTreeMap<String, bool> = self
            .measurement
            .system_calls
            .iter()
            .filter_map(|(name, conclusion)| match conclusion.reads_as {
                Reading::Permitted => Some((name.clone(), true)),
                Reading::Blocked => Some((name.clone(), false)),
                // A call that the kernel lacks is neither.
                Reading::Ambiguous | Reading::Absent | Reading::Unmeasured => None,
            })
            .collect();
        if !answers.is_empty() {
            confinement.seccomp =
                Fact::known(Seccomp::Measured(Arc::new(answers)), self.origin("system_calls"));
        }
    }

    fn writable(&self) -> BTreeMap<Arc<str>, Fact<bool>> {
        let interfaces =
            self.measurement.kernel_interfaces.iter().map(|i| (&i.path, i.reads_as, "kernel_interfaces"));
        let sockets = self.measurement.sockets.iter().map(|s| (&s.path, s.reads_as, "sockets"));
        interfaces
            .chain(sockets)
            .filter_map(|(path, reading, list)| {
                let writable = match reading {
                    Reading::Permitted => true,
                    Reading::Blocked | Reading::Absent => false,
                    Reading::Ambiguous | Reading::Unmeasured => return None,
                };
                let origin = self.origin(&format!("{list}: {}", measured::printable(path)));
                Some((Arc::from(path.as_str()), Fact::known(writable, origin)))
            })
            .collect()
    }

    fn runtime(&self) -> Fact<Runtime> {
        // gVisor answers uname(2) for itself, with a fixed build (pkg/sentry/syscalls/linux/linux64.go).
        if self.measurement.kernel.version == "#1 SMP Sun Jan 10 15:06:54 PST 2016" {
            return Fact::known(Runtime::Gvisor, self.origin("kernel.version"));
        }
        Fact::known(
            Runtime::Runc,
            Origin::assumed("from inside, the runtime is taken to be runc on the host's kernel"),
        )
    }

    /// There is no such flag in the kernel; this is what an engine's flag leads to.
    fn privileged(&self, confinement: &mut Confinement) {
        let all = confinement.capabilities.bounding.get().map(|set| *set == CapabilitySet::ALL);
        let kcore = self
            .measurement
            .masked_paths
            .iter()
            .find(|p| p.path == "/proc/kcore" || p.path == "/sys/firmware");
        let unmasked = kcore.map(|p| p.state == Visibility::Visible);
        confinement.privileged = Fact {
            value: all.zip(unmasked).map(|(all, unmasked)| all && unmasked),
            origin: self.origin("process.capabilities and masked_paths"),
        };
    }
}

fn limit(text: Option<&str>) -> Option<Option<u64>> {
    let text = text?.trim();
    if text == "max" {
        return Some(None);
    }
    // Version 1 shows "no limit" of memory as a number just below 2^63.
    text.parse::<u64>().ok().map(|n| Some(n).filter(|n| *n < 1 << 62))
}

/// `max 100000`, `50000 100000`: thousandths of a processor.
fn cpu(text: &str) -> Option<Option<u64>> {
    let (quota, period) = text.split_once(' ')?;
    let period: u64 = period.trim().parse().ok().filter(|p| *p > 0)?;
    match quota {
        "max" => Some(None),
        quota => Some(Some(quota.parse::<u64>().ok()?.saturating_mul(1000) / period)),
    }
}

fn mount_table(measurement: &Measurement) -> MountTable {
    let entry = |m: &probe::measurement::Mount| MountEntry {
        id: m.id,
        parent: m.parent,
        device: m.device.clone(),
        root: m.root.clone(),
        target: m.mount_point.clone(),
        options: m.options.clone(),
        shared: m.shared,
        master: m.master,
        kind: m.file_system.clone(),
        source: m.source.clone(),
        super_options: m.super_options.clone(),
    };
    MountTable { entries: measurement.mounts.iter().map(entry).collect() }
}

/// Where engines keep the files that they bind into every container, by default.
const ENGINE_FOLDERS: &[&str] = &[
    "/var/lib/docker/containers/",
    "/var/lib/containers/storage/overlay-containers/",
    "/run/containers/storage/overlay-containers/",
    "/var/lib/kubelet/pods/",
    "/var/lib/containerd/io.containerd.grpc.v1.cri/sandboxes/",
    "/run/containerd/io.containerd.grpc.v1.cri/sandboxes/",
];

/// What is known to lie on a tmpfs at /run, by the first part of the path there.
const RUN_NAMES: &[&str] = &[
    "docker.sock",
    "containerd",
    "crio",
    "podman",
    "dockershim.sock",
    "systemd",
    "dbus",
    "udev",
    "kubernetes",
    "lock",
    "secrets",
    "snapd.sock",
    "libvirt",
    "k3s",
    "buildkit",
    "docker",
];

/// The host's paths of devices, as far as the container's own table gives them away.
fn host_paths(table: &MountTable, measurement: &Measurement) -> HostPaths {
    let device_at =
        |target: &str| table.entries.iter().rev().find(|m| m.target == target).map(|m| m.device.clone());
    let (own_proc, own_sys, own_dev) = (device_at("/proc"), device_at("/sys"), device_at("/dev"));
    let root_device = device_at("/");
    let mut places = Vec::new();
    for mount in &table.entries {
        let mut place = |root: &str, target: &str| {
            places.push((mount.device.clone(), root.to_owned(), target.to_owned()));
        };
        match mount.kind.as_str() {
            // Another procfs or sysfs than its own can only have come from outside.
            "proc" if Some(&mount.device) != own_proc.as_ref() => place("/", "/proc"),
            "sysfs" if Some(&mount.device) != own_sys.as_ref() => place("/", "/sys"),
            // Of a devtmpfs there is only one in the kernel; a single node bound in stands as a device already.
            "devtmpfs" if Some(&mount.device) != own_dev.as_ref() || mount.target == "/dev" => {
                place("/", "/dev")
            }
            "tmpfs" => {
                if let Some(at) = mount_point_by_engine_file(&mount.root) {
                    place("/", &at);
                } else if run_name(&mount.root) || shows_run_socket(mount, measurement) {
                    place("/", "/run");
                }
            }
            "overlay" => {}
            kind if measured::is_kernel_file_system(kind) => {}
            _ if Some(&mount.device) == root_device.as_ref() && mount.target == "/" => {}
            // A file system on a disk, or one that another machine serves.
            _ => {
                if let Some(at) = mount_point_by_engine_file(&mount.root) {
                    place("/", &at);
                } else if mount.root != "/" {
                    // A part of a file system was bound in; most hosts have but one, mounted at its root.
                    place(&mount.root, &mount.root);
                }
            }
        }
    }
    // What the engine's own files say goes first.
    places.sort_by_key(|(_, root, _)| root.len());
    let known = HostPaths::guessed(places.clone(), table);
    places.extend(came_with_binds(table, &known));
    HostPaths::guessed(places, table)
}

/// What is mounted below a bind of the host's tree is what the host has mounted there; the container's own tree
/// among it is not taken for the host's.
fn came_with_binds(table: &MountTable, known: &HostPaths) -> Vec<(String, String, String)> {
    let mounts = table.visible();
    let own_root = mounts.iter().find(|m| m.target == "/").map(|m| (&m.device, &m.root));
    let above = nearest_above(&mounts);
    let mut order: Vec<usize> = (0..mounts.len()).collect();
    order.sort_by_key(|at| mounts.get(*at).map_or(0, |m| m.target.len()));
    let mut at: Vec<Option<HostPath>> = vec![None; mounts.len()];
    let mut own_place: Option<HostPath> = None;
    let mut found = Vec::new();
    for index in order {
        let Some(mount) = mounts.get(index) else { continue };
        let outer = above.get(index).copied().flatten();
        let place = outer.and_then(|outer| {
            let path = at.get(outer)?.as_ref()?;
            Some(path.join(mount.target.strip_prefix(mounts.get(outer)?.target.trim_end_matches('/'))?))
        });
        let resolved = if mount.target == "/" { None } else { known.resolve(&mount.device, &mount.root) };
        if let Some(place) = &place {
            if Some((&mount.device, &mount.root)) == own_root {
                own_place = Some(place.clone());
            }
            let own =
                own_place.as_ref().is_some_and(|own| own != place && place.is_at_or_below(own.as_str()));
            if resolved.is_none() && !own {
                found.push((mount.device.clone(), mount.root.clone(), place.to_string()));
            }
        }
        if let Some(slot) = at.get_mut(index) {
            *slot = resolved.or(place);
        }
    }
    found
}

/// Where the file system is mounted that holds an engine's file under this path of it: of
/// `/docker/containers/ID/hosts` and the usual folder `/var/lib/docker/containers/`, it is `/var/lib`.
fn mount_point_by_engine_file(root: &str) -> Option<String> {
    if !root.split('/').any(is_container_id) && !root.contains("/pods/") {
        return None;
    }
    let usual = ENGINE_FOLDERS.iter().find_map(|folder| {
        let cuts = folder.char_indices().filter(|(_, c)| *c == '/').map(|(at, _)| at);
        // At least two parts have to agree, for `/containers/` alone is anybody's.
        cuts.filter(|at| folder[*at..].matches('/').count() >= 3)
            .find(|at| root.starts_with(&folder[*at..]))
            .map(|at| folder[..at].to_owned())
    });
    // Elsewhere than usual, it is the root file system's.
    let point = usual.or_else(|| root.contains("/containers/").then(String::new))?;
    Some(if point.is_empty() { "/".to_owned() } else { point })
}

fn run_name(root: &str) -> bool {
    root.split('/').nth(1).is_some_and(|first| RUN_NAMES.contains(&first))
}

/// Whether a control socket was found directly below the mount, as below a bind of /run itself.
fn shows_run_socket(mount: &MountEntry, measurement: &Measurement) -> bool {
    mount.root == "/"
        && measurement.sockets.iter().any(|socket| {
            let below = socket.path.strip_prefix(&mount.target).and_then(|rest| rest.strip_prefix('/'));
            below.is_some_and(|rest| run_name(&format!("/{rest}"))) && socket.serves.is_some()
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn engine_files_tell_where_their_file_system_is_mounted() {
        let id = "3e980e834b237ab71ccebce013164c056c6ec9bea1856f4db385f52bf3c78421";
        for (root, at) in [
            (format!("/var/lib/docker/containers/{id}/hosts"), Some("/")),
            (format!("/lib/docker/containers/{id}/hosts"), Some("/var")),
            (format!("/docker/containers/{id}/hosts"), Some("/var/lib")),
            (format!("/containers/storage/overlay-containers/{id}/userdata/hosts"), Some("/var/lib")),
            (format!("/srv/engine/containers/{id}/hosts"), Some("/")),
            ("/var/lib/kubelet/pods/8f2b/etc-hosts".to_owned(), Some("/")),
            ("/etc/hosts".to_owned(), None),
        ] {
            assert_eq!(mount_point_by_engine_file(&root).as_deref(), at, "{root}");
        }
    }

    #[test]
    fn a_facts_file_is_known_by_its_schema() {
        assert!(recognise("\n { \"schema\" : \"stockade.facts/1\", \"active\": false}"));
        assert!(
            !recognise("{\"kind\": \"Pod\"}") && !recognise("schema: stockade.facts/1") && !recognise("")
        );
        let path: Arc<str> = "x.json".into();
        assert!(Facts::parse("{\"schema\": \"stockade.facts/1\"}", &path).is_ok());
        let newer = Facts::parse("{\"schema\": \"stockade.facts/2\"}", &path).unwrap_err();
        assert!(newer.message.contains("stockade.facts/2"), "{newer}");
        assert!(Facts::parse("{}", &path).is_err());
        let broken = Facts::parse("{\"schema\": \"stockade.facts/1\",\n \"active\": 3}", &path).unwrap_err();
        assert!(broken.message.contains("active") || broken.message.contains("boolean"), "{broken}");
    }

    #[test]
    fn what_was_not_measured_is_unknown() {
        let text = "{\"schema\": \"stockade.facts/1\", \"process\": {\"uids\": [0, 0, 0, 0]}}";
        let (subject, _) = Facts::parse(text, &"x".into()).unwrap().subject(&"x".into()).unwrap();
        let c = &subject.confinement;
        assert_eq!(c.identity.root.value, Some(true));
        assert_eq!(c.capabilities.effective.value, None);
        assert_eq!(c.seccomp.value, None);
        assert_eq!(c.user_namespace.initial.value, None);
        assert_eq!(c.masked_paths.value, None);
    }
}

//! Podman Quadlet: the `.container` units from which Podman's systemd generator makes `podman run` services. Each
//! key is the option of `podman run` that the generator turns it into, read by [`run`](crate::run); units that it
//! names (`.pod`, `.volume`, `.container`, `.image`) are read from beside it.
//!
//! Source: podman-systemd.unit(5), podman-container.unit(5), podman-pod.unit(5), podman-volume.unit(5), and Podman
//! pkg/systemd/quadlet/quadlet.go.

mod unit;
pub mod written;

use std::path::Path;
use std::sync::Arc;

use confinement::confine::NamespaceRequest;
use confinement::{
    Engine, EngineKind, Fact, Form, MountSource, Origin, Problem, Request, Subject, SubjectKind, World,
    confine,
};

use crate::Context;
use crate::options::{self, ASSUMED_HOME, Reference, Surroundings};
use crate::run::{self, Asked, shell::Word};
use unit::{Entry, Unit};

/// The largest unit that is read.
const LARGEST: usize = 1 << 20;

/// How the values of a key become values of an option.
#[derive(Clone, Copy, PartialEq)]
enum Values {
    /// Each assignment is one value.
    Each,
    /// Each assignment is a list of words.
    Words,
    /// The last assignment counts.
    Last,
    /// A truth value; the option is taken where it is true.
    Switch,
}

use Values::{Each, Last, Switch, Words};

/// Keys of `[Container]` that say something about confinement: the option each becomes, and what stands before its
/// value. `Image`, `Rootfs`, `User`, `Group`, `Pod` and `PodmanArgs` are read on their own.
const KEYS: &[(&str, Values, &str, &str)] = &[
    ("AddCapability", Words, "cap-add", ""),
    ("AddDevice", Words, "device", ""),
    ("AppArmor", Last, "security-opt", "apparmor="),
    ("CgroupsMode", Last, "cgroups", ""),
    ("ContainerName", Last, "name", ""),
    ("DropCapability", Words, "cap-drop", ""),
    ("Environment", Words, "env", ""),
    ("GIDMap", Words, "gidmap", ""),
    ("GroupAdd", Each, "group-add", ""),
    ("Label", Words, "label", ""),
    ("Mask", Last, "security-opt", "mask="),
    ("Memory", Last, "memory", ""),
    ("Mount", Words, "mount", ""),
    ("Network", Each, "network", ""),
    ("NoNewPrivileges", Switch, "security-opt", "no-new-privileges"),
    ("PidsLimit", Last, "pids-limit", ""),
    ("PublishPort", Each, "publish", ""),
    ("ReadOnly", Switch, "read-only", "true"),
    ("SeccompProfile", Last, "security-opt", "seccomp="),
    ("SecurityLabelDisable", Switch, "security-opt", "label=disable"),
    ("SecurityLabelFileType", Last, "security-opt", "label=filetype:"),
    ("SecurityLabelLevel", Last, "security-opt", "label=level:"),
    ("SecurityLabelNested", Switch, "security-opt", "label=nested"),
    ("SecurityLabelType", Last, "security-opt", "label=type:"),
    ("SubGIDMap", Last, "subgidname", ""),
    ("SubUIDMap", Last, "subuidname", ""),
    ("Sysctl", Words, "sysctl", ""),
    ("Tmpfs", Each, "tmpfs", ""),
    ("UIDMap", Words, "uidmap", ""),
    ("Unmask", Last, "security-opt", "unmask="),
    ("UserNS", Last, "userns", ""),
    ("Volume", Each, "volume", ""),
];

/// The other keys of `[Container]`, of the manual of Podman 5 and of earlier versions.
const OTHER_KEYS: &[&str] = &[
    "AddHost",
    "Annotation",
    "AutoUpdate",
    "ContainersConfModule",
    "DNS",
    "DNSOption",
    "DNSSearch",
    "Entrypoint",
    "EnvironmentFile",
    "EnvironmentHost",
    "Exec",
    "ExposeHostPort",
    "GlobalArgs",
    "Group",
    "HealthCmd",
    "HealthInterval",
    "HealthLogDestination",
    "HealthMaxLogCount",
    "HealthMaxLogSize",
    "HealthOnFailure",
    "HealthRetries",
    "HealthStartPeriod",
    "HealthStartupCmd",
    "HealthStartupInterval",
    "HealthStartupRetries",
    "HealthStartupSuccess",
    "HealthStartupTimeout",
    "HealthTimeout",
    "HostName",
    "HttpProxy",
    "IP",
    "IP6",
    "Image",
    "LogDriver",
    "LogOpt",
    "NetworkAlias",
    "Notify",
    "Pod",
    "PodmanArgs",
    "Pull",
    "ReadOnlyTmpfs",
    "ReloadCmd",
    "ReloadSignal",
    "RemapGid",
    "RemapUid",
    "RemapUidSize",
    "RemapUsers",
    "Retry",
    "RetryDelay",
    "Rootfs",
    "RunInit",
    "Secret",
    "ServiceName",
    "ShmSize",
    "SocketActivated",
    "StartWithPod",
    "StopSignal",
    "StopTimeout",
    "Timezone",
    "Ulimit",
    "User",
    "VolatileTmp",
    "WorkingDir",
];

/// Keys of `[Pod]` that its containers share.
const POD_KEYS: &[(&str, Values, &str, &str)] = &[
    ("GIDMap", Words, "gidmap", ""),
    ("Network", Each, "network", ""),
    ("PublishPort", Each, "publish", ""),
    ("SubGIDMap", Last, "subgidname", ""),
    ("SubUIDMap", Last, "subuidname", ""),
    ("UIDMap", Words, "uidmap", ""),
    ("UserNS", Last, "userns", ""),
    ("Volume", Each, "volume", ""),
];

/// Whether bytes are a container unit: they hold a `[Container]` section.
pub fn recognise(bytes: &[u8], path: &str) -> bool {
    let head = bytes.get(..64 << 10).unwrap_or(bytes);
    let section = head.split(|byte| *byte == b'\n').any(|line| line.trim_ascii() == b"[Container]");
    section && (path.ends_with(".container") || !path.rsplit('/').next().unwrap_or(path).contains('.'))
}

/// The container of a unit; units that it names are read from its folder. Units of other types and drop-ins make no
/// container, and are an empty world: they count where a container unit names them.
pub fn read(bytes: &[u8], path: &Arc<str>, context: &Context) -> World {
    if !path.ends_with(".container") && !recognise(bytes, path) {
        return World::default();
    }
    let folder = run::folder_of(path);
    let mut world = read_with(bytes, path, &|name| run::read_file(&folder, name).ok(), context);
    if !world.subjects.is_empty() && Path::new(&format!("{path}.d")).is_dir() {
        let message = format!("the drop-ins in {path}.d are not read, and may change this unit");
        world.notes.push(Problem::new(path.clone(), message));
    }
    world
}

/// As [`read`], with the text of the units beside it, by name, from the caller.
pub fn read_with(
    bytes: &[u8],
    path: &Arc<str>,
    beside: &dyn Fn(&str) -> Option<String>,
    context: &Context,
) -> World {
    let mut world = World::default();
    if bytes.len() > LARGEST {
        let message = format!("the unit is larger than the limit of {LARGEST} bytes");
        world.problems.push(Problem::new(path.clone(), message));
        return world;
    }
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let before = bytes.get(..error.valid_up_to()).unwrap_or_default();
            let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
            world.problems.push(Problem {
                path: path.clone(),
                line: u32::try_from(line).ok(),
                column: None,
                message: "this line is not valid UTF-8".to_owned(),
            });
            return world;
        }
    };
    let unit = Unit::parse(text, path, &mut world.problems);
    Reader::new(path, beside, context).container(&unit, &mut world);
    world
}

struct Reader<'a> {
    path: &'a Arc<str>,
    folder: String,
    name: &'a str,
    /// A unit of a user's manager, so that Podman runs without root.
    user: bool,
    home: &'static str,
    beside: &'a dyn Fn(&str) -> Option<String>,
    context: &'a Context,
    realm: Arc<str>,
}

impl<'a> Reader<'a> {
    fn new(
        path: &'a Arc<str>,
        beside: &'a dyn Fn(&str) -> Option<String>,
        context: &'a Context,
    ) -> Reader<'a> {
        let folder = run::folder_of(path);
        // podman-systemd.unit(5), "Podman rootless unit search path".
        let user = folder.contains("/.config/containers/systemd")
            || folder.contains("/containers/systemd/users")
            || folder.contains("/run/user/");
        let realm = options::local_realm(EngineKind::Podman);
        Reader {
            path,
            name: path.rsplit('/').next().unwrap_or(path),
            home: if user { ASSUMED_HOME } else { "/root" },
            // A user's volumes and pods are not root's.
            realm: if user { format!("{realm}/user").into() } else { realm },
            folder,
            user,
            beside,
            context,
        }
    }

    fn container(&self, unit: &Unit, world: &mut World) {
        let section = unit.entries.iter().find(|entry| entry.section == "Container");
        let Some(section) = section else {
            world
                .problems
                .push(Problem::new(self.path.clone(), "the unit has no [Container] section with keys"));
            return;
        };
        self.unknown_keys(unit, world);
        let mut asked = Asked::default();
        let volume = |name: &str, origin: &Origin| self.volume(name, origin);
        let subject = |reference: Reference<'_>| self.id(reference);
        let read = |name: &str| run::read_file(&self.folder, name);
        let around = Surroundings {
            engine: EngineKind::Podman,
            folder: &self.folder,
            home: self.home,
            volume: &volume,
            subject: &subject,
            read_file: &read,
        };
        self.take(unit, "Container", KEYS, &around, &mut asked);
        self.podman_arguments(unit, "Container", &around, &mut asked);
        self.user(unit, &mut asked, &mut world.problems);
        self.remapped(unit, &mut asked);
        self.image(unit, section, &around, &mut asked);
        asked.finish();
        let pod = unit
            .last("Container", "Pod")
            .map(|entry| (entry.value.clone(), Origin::File(entry.place.clone())));
        if let Some((pod, origin)) = pod.or(asked.pod.take()) {
            self.join_pod(&pod, &origin, &around, &mut asked);
        }
        world.problems.append(&mut asked.problems);
        let stem = self.name.strip_suffix(".container").unwrap_or(self.name);
        let name = asked.name.as_ref().filter(|word| !word.is_unknown()).map(|word| word.value.clone());
        let name = name.unwrap_or_else(|| format!("systemd-{stem}"));
        world.subjects.push(Subject {
            id: format!("{}#container", self.path).into(),
            name: name.into(),
            kind: SubjectKind::Container,
            form: Form::Quadlet,
            place: Some(section.place.clone()),
            declared: Vec::new(),
            realm: self.realm.clone(),
            namespace: None,
            confinement: Arc::new(confine(&asked.request, &self.engine(), &self.context.host)),
            pod: None,
            labels: Arc::new(asked.labels),
            made: None,
        });
    }

    fn engine(&self) -> Arc<Engine> {
        if !self.user {
            return self.context.podman.clone();
        }
        let mut engine = (*self.context.podman).clone();
        engine.settings.rootless =
            Fact::known(true, Origin::assumed("the unit lies where Podman looks for a user's units"));
        Arc::new(engine)
    }

    /// Podman's generator refuses a unit with a key it does not know.
    fn unknown_keys(&self, unit: &Unit, world: &mut World) {
        for entry in unit.entries.iter().filter(|entry| entry.section == "Container") {
            let known =
                OTHER_KEYS.contains(&entry.key.as_str()) || KEYS.iter().any(|(key, ..)| *key == entry.key);
            if !known {
                let message = format!("`{}` is not a key of [Container] that is known here", entry.key);
                world.problems.push(Problem::at(&entry.place, message));
            }
        }
    }

    fn specifiers(&self, text: &str) -> String {
        unit::specifiers(text, self.name, self.user, self.home)
    }

    fn take(
        &self,
        unit: &Unit,
        section: &str,
        keys: &[(&str, Values, &str, &str)],
        around: &Surroundings<'_>,
        asked: &mut Asked,
    ) {
        for (key, values, option, prefix) in keys {
            for entry in self.entries(unit, section, key, *values) {
                let words = match values {
                    Words => unit::words(entry, &|text| self.specifiers(text)),
                    _ => vec![unit::word(entry, self.specifiers(&entry.value))],
                };
                for mut word in words {
                    match values {
                        Switch => match truth(&word.value) {
                            Some(true) => word.value = (*prefix).to_owned(),
                            Some(false) => continue,
                            None => {
                                let message = format!("`{key}` is true or false");
                                asked.problems.push(Problem::at(&word.place, message));
                                continue;
                            }
                        },
                        _ => word.value = format!("{prefix}{}", self.rewritten(key, &word.value)),
                    }
                    asked.take(option, &word, around);
                }
            }
        }
    }

    fn entries<'u>(&self, unit: &'u Unit, section: &str, key: &str, values: Values) -> Vec<&'u Entry> {
        match values {
            Last | Switch => unit.last(section, key).into_iter().collect(),
            Each | Words => unit.all(section, key),
        }
    }

    /// What the generator changes in a value before it is an option's.
    fn rewritten(&self, key: &str, value: &str) -> String {
        match key {
            // A leading `-` makes the device optional.
            "AddDevice" => value.strip_prefix('-').unwrap_or(value).to_owned(),
            "Network" => match value.split(':').next().unwrap_or(value).strip_suffix(".container") {
                Some(stem) => format!("container:systemd-{stem}"),
                None => value.to_owned(),
            },
            _ => value.to_owned(),
        }
    }

    fn podman_arguments(&self, unit: &Unit, section: &str, around: &Surroundings<'_>, asked: &mut Asked) {
        let mut words: Vec<Word> = Vec::new();
        for entry in unit.all(section, "PodmanArgs") {
            words.extend(unit::words(entry, &|text| self.specifiers(text)));
        }
        let used = run::read_options(&words, around, &[], asked);
        if let Some(word) = words.get(used) {
            let message = "this is no option, so that Podman would take it for the image";
            asked.problems.push(Problem::at(&word.place, message));
        }
    }

    /// `User=` and `Group=` become `--user USER:GROUP`.
    fn user(&self, unit: &Unit, asked: &mut Asked, problems: &mut Vec<Problem>) {
        let user = unit.last("Container", "User");
        let group = unit.last("Container", "Group");
        match (user, group) {
            (Some(user), group) => {
                let group = group.map_or(String::new(), |group| format!(":{}", group.value));
                let value = self.specifiers(&format!("{}{group}", user.value));
                asked.request.user = Some(options::text(&value, Origin::File(user.place.clone())));
            }
            (None, Some(group)) => {
                problems.push(Problem::at(
                    &group.place,
                    "`Group` without `User` is refused by Podman's generator",
                ));
            }
            (None, None) => {}
        }
    }

    /// `RemapUsers=`, the older form of `UserNS=`.
    fn remapped(&self, unit: &Unit, asked: &mut Asked) {
        let Some(entry) = unit.last("Container", "RemapUsers") else { return };
        let mode = match entry.value.as_str() {
            "manual" => "private",
            other => other,
        };
        let origin = Origin::File(entry.place.clone());
        match options::user_namespace(mode, &origin) {
            Ok(mode) => asked.request.user_namespace = asked.request.user_namespace.take().or(mode),
            Err(message) => {
                asked.problems.push(Problem::at(&entry.place, format!("`RemapUsers`: {message}")));
                asked.request.user_namespace = Some(Fact::unknown(origin));
            }
        }
    }

    fn image(&self, unit: &Unit, section: &Entry, around: &Surroundings<'_>, asked: &mut Asked) {
        if let Some(entry) = unit.last("Container", "Rootfs") {
            let value = self.specifiers(&entry.value);
            let folder = value.strip_suffix(":O").unwrap_or(&value);
            let origin = Origin::File(entry.place.clone());
            let mut mount = options::unread_mount(&origin);
            if let Ok(source) = options::path_source(folder, &origin, around) {
                mount.source = source;
                mount.read_only = Fact::known(value.ends_with(":O"), origin);
            }
            mount.target = "/".into();
            asked.request.mounts.push(mount);
            return;
        }
        let Some(entry) = unit.last("Container", "Image") else {
            asked
                .problems
                .push(Problem::at(&section.place, "the unit names neither an `Image` nor a `Rootfs`"));
            return;
        };
        let mut value = self.specifiers(&entry.value);
        if value.ends_with(".image")
            && let Some(other) = self.unit(&value)
            && let Some(image) = other.last("Image", "Image")
        {
            value = self.specifiers(&image.value);
        } else if value.ends_with(".build") || value.ends_with(".image") {
            asked.request.image = Some(Fact::unknown(Origin::File(entry.place.clone())));
            return;
        }
        asked.request.image_user = self.context.image_user(&value);
        asked.request.image = Some(options::text(&value, Origin::File(entry.place.clone())));
    }

    /// A unit beside this one. Its own faults are told where it is read for itself.
    fn unit(&self, name: &str) -> Option<Unit> {
        if name.contains('/') || name.contains(options::UNKNOWN) {
            return None;
        }
        let path: Arc<str> = self.sibling(name).into();
        Some(Unit::parse(&(self.beside)(name)?, &path, &mut Vec::new()))
    }

    fn sibling(&self, name: &str) -> String {
        match self.path.rsplit_once('/') {
            Some((folder, _)) => format!("{folder}/{name}"),
            None => name.to_owned(),
        }
    }

    /// A volume by name, or by the unit that declares it: `Volume=data.volume:/data`.
    fn volume(&self, name: &str, origin: &Origin) -> Fact<MountSource> {
        let Some(stem) = name.strip_suffix(".volume") else {
            return Fact::known(MountSource::Volume(format!("{}/{name}", self.realm).into()), origin.clone());
        };
        let Some(unit) = self.unit(name) else { return Fact::unknown(origin.clone()) };
        let setting = |key: &str| unit.last("Volume", key).map(|entry| self.specifiers(&entry.value));
        let (driver, kind, flags, device) =
            (setting("Driver"), setting("Type"), setting("Options"), setting("Device"));
        let options = [("type", &kind), ("o", &flags), ("device", &device)];
        let options = options.iter().filter_map(|(key, value)| Some((*key, value.as_deref()?)));
        // The place that decides is in the volume's own unit.
        let place = unit.last("Volume", "Device").map(|entry| Origin::File(entry.place.clone()));
        let content = options::volume_content(driver.as_deref(), options, place.as_ref().unwrap_or(origin));
        content.unwrap_or_else(|| {
            let name = setting("VolumeName").unwrap_or_else(|| format!("systemd-{stem}"));
            Fact::known(MountSource::Volume(format!("{}/{name}", self.realm).into()), origin.clone())
        })
    }

    /// The subject of a container: the unit that makes a container of that name.
    fn id(&self, reference: Reference<'_>) -> Arc<str> {
        let (Reference::Container(name) | Reference::Service(name)) = reference;
        let stem = name.strip_prefix("systemd-").unwrap_or(name);
        format!("{}#container", self.sibling(&format!("{stem}.container"))).into()
    }

    /// podman-pod-create(1), --share: a pod's containers have its network, IPC and UTS namespaces.
    fn join_pod(&self, name: &str, origin: &Origin, around: &Surroundings<'_>, asked: &mut Asked) {
        let id: Arc<str> = format!("{}#pod", self.sibling(name)).into();
        let of_pod = || Some(Fact::known(NamespaceRequest::Container(id.clone()), origin.clone()));
        let pod = self.unit(name).map(|unit| {
            let mut pod = Asked::default();
            self.take(&unit, "Pod", POD_KEYS, around, &mut pod);
            self.podman_arguments(&unit, "Pod", around, &mut pod);
            pod.finish();
            pod.request
        });
        let request = &mut asked.request;
        let pod = pod.unwrap_or_else(|| Request {
            // Whose namespaces a pod that is not here has, only it can say.
            net: Some(Fact::unknown(origin.clone())),
            user_namespace: Some(Fact::unknown(origin.clone())),
            ..Request::default()
        });
        let net = pod.net.filter(|net| net.get() != Some(&NamespaceRequest::Private));
        request.net = request.net.take().or(net).or_else(of_pod);
        request.ipc = request.ipc.take().or_else(of_pod);
        request.uts = request.uts.take().or_else(of_pod);
        request.pid = request.pid.take().or(pod.pid);
        request.user_namespace = request.user_namespace.take().or(pod.user_namespace);
        request.mounts.extend(pod.mounts);
        request.published.extend(pod.published);
        request.attached = request.attached.take().or(pod.attached);
        request.shared_segment = request.shared_segment.take().or(pod.shared_segment);
    }
}

/// systemd.syntax(7), boolean arguments.
fn truth(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "yes" | "y" | "true" | "t" | "on" => Some(true),
        "0" | "no" | "n" | "false" | "f" | "off" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests;

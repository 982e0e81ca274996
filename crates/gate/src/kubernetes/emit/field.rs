//! The fields of a pod that conditions hang on, each with the few values that make a difference: what a value asks the
//! engine for, and which containers have it, in CEL.
//!
//! How a pod's words become a request is `sources::kubernetes`' knowledge; here it is said a second time, in another
//! language, and the tests hold both against each other.

use std::sync::Arc;

use confinement::confine::{
    AppArmorRequest, NamespaceRequest, SeLinuxRequest, SeccompRequest, SystemPaths, UserNamespaceRequest,
};
use confinement::{Capability, Engine, EngineKind, Fact, Origin, Request};

use super::cube::Values;
use super::mount::Shown;
use super::text::{list, not};

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Field {
    Privileged,
    /// Runs as root: no, yes.
    Root,
    /// In the host's user namespace: no, yes.
    HostUsers,
    HostPid,
    HostIpc,
    HostNetwork,
    /// [`RUNTIME`].
    Runtime,
    /// [`SECCOMP`].
    Seccomp,
    /// [`APPARMOR`].
    AppArmor,
    /// [`SELINUX`].
    SeLinux,
    /// [`PROC_MOUNT`].
    ProcMount,
    ReadOnlyRoot,
    /// In the bounding set of a container that is not privileged: no, yes.
    Capability(Capability),
    MemoryLimit,
    CpuLimit,
    /// May be in a group of the host that is not root's.
    Group,
    /// Is pointed to an engine's API over the network.
    EngineAddress,
    /// Some mount shows this: no, yes.
    Mount(Shown),
}

/// By the names of the types; the last stands for every other text, and for annotations, which may be heard or not.
const SECCOMP: &[&str] = &["", "Unconfined", "RuntimeDefault", "Localhost", "unknown"];
/// Nothing and the runtime's default are one; the last stands for every other text.
const APPARMOR: &[&str] = &["RuntimeDefault", "Unconfined", "named"];
/// No type, one that confines nothing, one of a container's, another.
const SELINUX: &[&str] = &["none", "unconfined", "confined", "custom"];
const PROC_MOUNT: &[&str] = &["Default", "Unmasked", "unknown"];
/// No class, one on the host's kernel, one with a kernel of its own, another.
const RUNTIME: &[&str] = &["none", "host", "own", "unknown"];

const SELINUX_UNCONFINED: &[&str] = &["spc_t", "unconfined_t", "container_runtime_t", "super_t"];
const SELINUX_CONFINED: &[&str] = &[
    "container_t",
    "container_init_t",
    "container_kvm_t",
    "container_engine_t",
    "svirt_lxc_net_t",
    "container_userns_t",
    "container_logreader_t",
    "container_device_t",
];

const OF_POD: &str = "variables.spec.?securityContext";
const OF_CONTAINER: &str = "c.?securityContext";

/// What a variable holds.
pub(super) enum Kind {
    /// True or false of the pod as a whole.
    Pod,
    /// The names of containers.
    Names,
}

impl Field {
    pub(super) fn count(&self) -> usize {
        self.labels().map_or(2, <[&str]>::len)
    }

    fn labels(&self) -> Option<&'static [&'static str]> {
        match self {
            Field::Seccomp => Some(SECCOMP),
            Field::AppArmor => Some(APPARMOR),
            Field::SeLinux => Some(SELINUX),
            Field::ProcMount => Some(PROC_MOUNT),
            Field::Runtime => Some(RUNTIME),
            _ => None,
        }
    }

    /// Asks the engine for what a value stands for. Fields that no request holds ask for nothing.
    pub(super) fn ask(&self, value: usize, request: &mut Request) {
        fn written<T>(value: T) -> Option<Fact<T>> {
            Some(Fact::known(value, Origin::Nowhere))
        }
        let yes = value == 1;
        let namespace =
            |host: bool| written(if host { NamespaceRequest::Host } else { NamespaceRequest::Private });
        match self {
            Field::Privileged => request.privileged = written(yes),
            Field::Root => request.user = written(Arc::from(if yes { "0" } else { "1000" })),
            Field::HostUsers => {
                request.user_namespace =
                    written(if yes { UserNamespaceRequest::Host } else { UserNamespaceRequest::Private });
            }
            Field::HostPid => request.pid = namespace(yes),
            Field::HostIpc => request.ipc = namespace(yes),
            Field::HostNetwork => request.net = namespace(yes),
            Field::Runtime => {
                request.runtime = match value {
                    1 => written("runc".into()),
                    2 => written("kata".into()),
                    3 => written("not-known".into()),
                    _ => None,
                }
            }
            Field::Seccomp => {
                request.seccomp = match value {
                    1 => written(SeccompRequest::Unconfined),
                    2 => written(SeccompRequest::EngineDefault),
                    3 => written(SeccompRequest::Unread("profile".into())),
                    4 => Some(Fact::unknown(Origin::Nowhere)),
                    _ => None,
                }
            }
            Field::AppArmor => {
                request.apparmor = match value {
                    1 => written(AppArmorRequest::Unconfined),
                    2 => written(AppArmorRequest::Named("profile".into())),
                    _ => None,
                }
            }
            Field::SeLinux => {
                let domain = |name: &str| written(SeLinuxRequest::Domain(name.into()));
                request.selinux = match value {
                    1 => domain("spc_t"),
                    2 => domain("container_t"),
                    3 => domain("custom_t"),
                    _ => None,
                }
            }
            Field::ProcMount => {
                request.system_paths = match value {
                    1 => written(SystemPaths::Unconfined),
                    2 => Some(Fact::unknown(Origin::Nowhere)),
                    _ => None,
                }
            }
            Field::ReadOnlyRoot => request.read_only_rootfs = written(yes),
            Field::Capability(capability) => {
                let list = if yes { &mut request.cap_add } else { &mut request.cap_drop };
                list.extend(written(capability.name().into()));
            }
            Field::MemoryLimit => request.memory = yes.then(|| Fact::known(Some(1 << 30), Origin::Nowhere)),
            Field::CpuLimit => request.cpu = yes.then(|| Fact::known(Some(1000), Origin::Nowhere)),
            Field::Group | Field::EngineAddress | Field::Mount(_) => {}
        }
    }

    /// The variable that says whether a field has one of these values, its kind and its expression; a variable of two
    /// values always says that the field has the second.
    pub(super) fn variable(&self, values: Values, engine: &Engine) -> (String, Kind, String) {
        let names = |bad: String| format!("variables.containers.filter(c, {bad}).map(c, c.name)");
        let container = |name: &str, bad: String| (name.to_owned(), Kind::Names, names(bad));
        let pod = |name: &str, truth: &str| (name.to_owned(), Kind::Pod, truth.to_owned());
        let spec = |field: &str, default: &str| format!("variables.spec.?{field}.orValue({default})");
        match self {
            Field::Privileged => {
                container("privileged", format!("{OF_CONTAINER}.?privileged.orValue(false)"))
            }
            Field::Root => container("root", root()),
            Field::HostUsers => pod("hostUsers", &spec("hostUsers", "true")),
            Field::HostPid => pod("hostPID", &spec("hostPID", "false")),
            Field::HostIpc => pod("hostIPC", &spec("hostIPC", "false")),
            Field::HostNetwork => pod("hostNetwork", &spec("hostNetwork", "false")),
            Field::ReadOnlyRoot => {
                container("readOnlyRoot", format!("{OF_CONTAINER}.?readOnlyRootFilesystem.orValue(false)"))
            }
            Field::Capability(capability) => {
                let name = format!("capability{}", camel(capability.name()));
                container(&name, has_capability(*capability, engine))
            }
            Field::MemoryLimit => container("memoryLimit", has_limit("memory")),
            Field::CpuLimit => container("cpuLimit", has_limit("cpu")),
            Field::Group => container("otherGroup", other_group()),
            Field::EngineAddress => container("engineAddress", engine_address()),
            Field::Mount(shown) => (shown.variable(), Kind::Names, shown.containers()),
            Field::Runtime => pod(&self.name("runtime", values), &self.is_one_of(values, &runtime())),
            Field::Seccomp => {
                container(&self.name("seccomp", values), self.is_one_of(values, &seccomp(engine)))
            }
            Field::AppArmor => container(&self.name("appArmor", values), self.is_one_of(values, &apparmor())),
            Field::SeLinux => container(&self.name("seLinux", values), self.is_one_of(values, &selinux())),
            Field::ProcMount => {
                let value = format!("{OF_CONTAINER}.?procMount.orValue('Default')");
                let value = format!("({value} == '' ? 'Default' : {value})");
                container(&self.name("procMount", values), self.is_one_of(values, &value))
            }
        }
    }

    /// `seccompNoneUnconfined`.
    fn name(&self, field: &str, values: Values) -> String {
        let mut name = field.to_owned();
        for (n, label) in self.labels().unwrap_or_default().iter().enumerate() {
            if values >> n & 1 == 1 {
                name.push_str(&capitalised(if label.is_empty() { "none" } else { label }));
            }
        }
        name
    }

    /// The last label stands for every text that is not among the others.
    fn is_one_of(&self, values: Values, text: &str) -> String {
        let labels = self.labels().unwrap_or_default();
        let last = labels.len().saturating_sub(1);
        let with = |wanted: Values| -> Vec<&str> {
            let named = labels.iter().enumerate().take(last);
            named.filter(|(n, _)| values >> n & 1 == wanted).map(|(_, label)| *label).collect()
        };
        if values >> last & 1 == 1 {
            not(&format!("{text} in {}", list(&with(0))))
        } else {
            format!("{text} in {}", list(&with(1)))
        }
    }
}

/// A container's user is its own, else the pod's; without one the image's counts, which is taken to be root unless the
/// kubelet refuses root.
fn root() -> String {
    let user = format!("{OF_CONTAINER}.?runAsUser.orValue({OF_POD}.?runAsUser.orValue(-1))");
    format!("{user} == 0 || ({user} == -1 && !{})", refuses_root())
}

fn refuses_root() -> String {
    format!("{OF_CONTAINER}.?runAsNonRoot.orValue({OF_POD}.?runAsNonRoot.orValue(false))")
}

/// The number of the user, -1 where it is not known.
pub(super) fn user() -> String {
    format!("{OF_CONTAINER}.?runAsUser.orValue({OF_POD}.?runAsUser.orValue({} ? -1 : 0))", refuses_root())
}

/// As containerd and CRI-O do it: add ALL, drop ALL, then each that is added, then each that is dropped; names in any
/// case, with or without `CAP_`.
fn has_capability(capability: Capability, engine: &Engine) -> String {
    let named = |list: &str, name: &str| {
        format!(
            "{OF_CONTAINER}.?capabilities.?{list}.orValue([]).exists(n, n.matches(r'(?i)^\\s*(cap_)?{name}\\s*$'))"
        )
    };
    let by_default = engine.default_capabilities().has(capability);
    let all_added = if by_default { "true".to_owned() } else { named("add", "all") };
    let given = super::text::all(vec![all_added, not(&named("drop", "all"))]);
    let added = named("add", capability.name());
    super::text::all(vec![not(&named("drop", capability.name())), super::text::any(vec![added, given])])
}

fn has_limit(resource: &str) -> String {
    format!(
        "c.?resources.?limits.?{resource}.hasValue() || variables.spec.?resources.?limits.?{resource}.hasValue()"
    )
}

/// Whether its group may be the one that may use a socket besides root: any number may be that group's on a host.
fn other_group() -> String {
    let group = format!("{OF_CONTAINER}.?runAsGroup.orValue({OF_POD}.?runAsGroup.orValue(0))");
    format!(
        "{OF_POD}.?supplementalGroups.orValue([]).exists(g, g != 0) || {OF_POD}.?fsGroup.orValue(0) != 0 || \
         ({group} > 0 && {group} < 1000 && !({}))",
        root()
    )
}

/// `DOCKER_HOST` and its like, unless the client is told to show a certificate.
fn engine_address() -> String {
    let variables = "c.?env.orValue([])";
    format!(
        "{variables}.exists(e, e.name in ['DOCKER_HOST', 'CONTAINER_HOST'] && \
         e.?value.orValue('').matches('^(tcp|https?)://') && (variables.spec.?hostNetwork.orValue(false) || \
         !e.?value.orValue('').matches(r'^[a-z]+://(localhost|127[.]|\\[::1\\])'))) && \
         !{variables}.exists(e, e.name in ['DOCKER_TLS_VERIFY', 'DOCKER_CERT_PATH'] && \
         e.?value.orValue('x') != '')"
    )
}

/// The name of a class is taken for what it stands for.
fn runtime() -> String {
    let name = "variables.spec.?runtimeClassName.orValue('').lowerAscii()";
    format!(
        "({name} == '' ? 'none' : {name} in {} ? 'host' : {name}.matches('{}') ? 'own' : 'unknown')",
        list(&[
            "runc",
            "io.containerd.runc.v2",
            "io.containerd.runc.v1",
            "io.containerd.runtime.v1.linux",
            "crun",
            "youki",
            "nvidia",
            "nvidia-container-runtime",
        ]),
        "^(runsc|gvisor|io[.]containerd[.]runsc[.]v1|(io[.]containerd[.])?kata.*|.*wasm.*|.*spin.*)$"
    )
}

/// What an annotation of seccomp or AppArmor names, as a type.
fn annotated(value: &str) -> String {
    format!(
        "({value} == 'unconfined' ? 'Unconfined' : {value} in ['runtime/default', 'docker/default'] ? \
         'RuntimeDefault' : {value}.startsWith('localhost/') ? 'Localhost' : 'other')"
    )
}

const ANNOTATIONS: &str = "variables.pod.?metadata.?annotations.orValue({})";

fn annotation(key: &str) -> String {
    format!("{ANNOTATIONS}[?{key}].orValue('')")
}

/// The container's field, the container's annotation, the pod's field, the pod's annotation. From Kubernetes 1.27 on no
/// annotation is heard; of which release the nodes are, containerd's version does not tell, so that an annotation that
/// says another thing than the pod's field makes it not known (`sources::kubernetes` decides so).
fn seccomp(engine: &Engine) -> String {
    let own = format!("{OF_CONTAINER}.?seccompProfile.?type.orValue('')");
    let of_pod = format!("{OF_POD}.?seccompProfile.?type.orValue('')");
    let for_container = annotation("('container.seccomp.security.alpha.kubernetes.io/' + c.name)");
    let for_pod = annotation("'seccomp.security.alpha.kubernetes.io/pod'");
    let (of_container_note, of_pod_note) = match (engine.kind, engine.at_least(1, 27)) {
        (EngineKind::Crio, true) => return format!("({own} != '' ? {own} : {of_pod})"),
        (EngineKind::Crio, false) => (annotated(&for_container), annotated(&for_pod)),
        _ => {
            let said = annotated(&for_container);
            (format!("({said} == {of_pod} ? {of_pod} : 'unknown')"), "'unknown'".to_owned())
        }
    };
    format!(
        "({own} != '' ? {own} : {for_container} != '' ? {of_container_note} : {of_pod} != '' ? {of_pod} : \
         {for_pod} != '' ? {of_pod_note} : '')"
    )
}

/// The container's field, its annotation, the pod's field.
fn apparmor() -> String {
    let own = format!("{OF_CONTAINER}.?appArmorProfile.?type.orValue('')");
    let of_pod = format!("{OF_POD}.?appArmorProfile.?type.orValue('RuntimeDefault')");
    let noted = annotation("('container.apparmor.security.beta.kubernetes.io/' + c.name)");
    format!("({own} != '' ? {own} : {noted} != '' ? {} : {of_pod})", annotated(&noted))
}

/// A container's options replace the pod's as a whole.
fn selinux() -> String {
    let own = format!("{OF_CONTAINER}.?seLinuxOptions");
    let domain = format!("{own}.orValue({OF_POD}.?seLinuxOptions.orValue({{}})).?type.orValue('')");
    format!(
        "({domain} == '' ? 'none' : {domain} in {} ? 'unconfined' : {domain} in {} ? 'confined' : 'custom')",
        list(SELINUX_UNCONFINED),
        list(SELINUX_CONFINED)
    )
}

/// `SYS_ADMIN`, `engine-socket`: `SysAdmin`, `EngineSocket`.
pub(super) fn camel(name: &str) -> String {
    name.split(['_', '-', '.', '/', ' ']).map(|part| capitalised(&part.to_lowercase())).collect()
}

fn capitalised(word: &str) -> String {
    let mut chars = word.chars();
    chars.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(chars).collect()
}

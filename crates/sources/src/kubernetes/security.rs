//! `securityContext` of pods and of containers, the annotations that came before its fields, and which of several that
//! speak of one container is heard.

use std::sync::Arc;

use confinement::Fact;
use confinement::confine::{AppArmorRequest, SeLinuxRequest, SeccompRequest};
use confinement::pod::{Field, SeLinuxDeclaration, SecurityContext};

use crate::document::Node;

use super::field::{Reader, present};

/// Key of the pod's seccomp annotation.
pub(super) const SECCOMP_POD: &str = "seccomp.security.alpha.kubernetes.io/pod";
/// Followed by the container's name.
pub(super) const SECCOMP_CONTAINER: &str = "container.seccomp.security.alpha.kubernetes.io/";
/// Followed by the container's name.
pub(super) const APPARMOR_CONTAINER: &str = "container.apparmor.security.beta.kubernetes.io/";

/// Whose `securityContext` it is: each has fields that the other has not, and what stands at the wrong one has no effect.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    Pod,
    Container,
}

/// What one `securityContext` asks the engine for beside what its declaration holds.
#[derive(Debug, Default)]
pub(super) struct Security {
    pub(super) run_as_group: Option<Fact<i64>>,
    pub(super) seccomp: Option<Fact<SeccompRequest>>,
    pub(super) apparmor: Option<Fact<AppArmorRequest>>,
    pub(super) selinux: Option<Fact<SeLinuxRequest>>,
    pub(super) read_only_rootfs: Option<Fact<bool>>,
    /// `supplementalGroups` and `fsGroup`.
    pub(super) groups: Vec<Fact<Arc<str>>>,
    pub(super) sysctls: Vec<Sysctl>,
}

/// Name and value.
pub(super) type Sysctl = (Fact<Arc<str>>, Fact<Arc<str>>);

/// The annotations of a pod that speak of seccomp and AppArmor.
pub(super) type Annotations = Vec<(Arc<str>, Fact<Arc<str>>)>;

pub(super) fn read(parent: &Node, level: Level, reader: &mut Reader) -> (SecurityContext, Security) {
    let mut security = Security::default();
    let mut declared = SecurityContext::default();
    let Some(context) = reader.mapping(parent, "securityContext") else { return (declared, security) };
    declared.place = parent.get_key("securityContext").map(|(key, _)| key.place());
    declared.run_as_non_root = reader.boolean(&context, "runAsNonRoot");
    declared.run_as_user = reader.integer(&context, "runAsUser");
    security.run_as_group = reader.integer(&context, "runAsGroup");
    if let Some(windows) = reader.mapping(&context, "windowsOptions") {
        declared.windows_host_process = reader.boolean(&windows, "hostProcess");
    }
    if let Some(options) = reader.mapping(&context, "seLinuxOptions") {
        let (declaration, request) = selinux(&options, reader);
        declared.selinux = Some(Fact::known(declaration, options.origin()));
        security.selinux = request;
    }
    if let Some(profile) = reader.mapping(&context, "seccompProfile") {
        let (kind, request) = seccomp_profile(&profile, reader);
        declared.seccomp_type = Some(kind);
        security.seccomp = Some(request);
    }
    if let Some(profile) = reader.mapping(&context, "appArmorProfile") {
        let (kind, request) = apparmor_profile(&profile, reader);
        declared.apparmor_type = Some(kind);
        security.apparmor = Some(request);
    }
    match level {
        Level::Container => {
            declared.privileged = reader.boolean(&context, "privileged");
            declared.allow_privilege_escalation = reader.boolean(&context, "allowPrivilegeEscalation");
            declared.proc_mount = reader.string(&context, "procMount");
            if let Some(capabilities) = reader.mapping(&context, "capabilities") {
                declared.capabilities_add = reader.strings(&capabilities, "add");
                declared.capabilities_drop = reader.strings(&capabilities, "drop");
            }
            security.read_only_rootfs = reader.boolean(&context, "readOnlyRootFilesystem");
        }
        Level::Pod => pod_only(&context, &mut security, reader),
    }
    (declared, security)
}

fn pod_only(context: &Node, security: &mut Security, reader: &mut Reader) {
    let as_text = |fact: Fact<i64>| fact.map(|number| Arc::from(number.to_string()));
    for group in reader.items(context, "supplementalGroups") {
        let group = reader.number(&group, "supplementalGroups");
        security.groups.push(as_text(group));
    }
    security.groups.extend(reader.integer(context, "fsGroup").map(as_text));
    for sysctl in reader.mappings(context, "sysctls") {
        if let Some(name) = reader.string(&sysctl, "name") {
            let value =
                reader.string(&sysctl, "value").unwrap_or_else(|| Fact::known("".into(), sysctl.origin()));
            security.sysctls.push((name, value));
        }
    }
}

fn selinux(options: &Node, reader: &mut Reader) -> (SeLinuxDeclaration, Option<Fact<SeLinuxRequest>>) {
    let kind: Field<Arc<str>> = reader.string(options, "type");
    let request = kind
        .as_ref()
        .filter(|kind| kind.get().is_none_or(|text| !text.is_empty()))
        .map(|kind| kind.map(|domain| SeLinuxRequest::Domain(domain.clone())));
    let declaration = SeLinuxDeclaration {
        user: reader.string(options, "user"),
        role: reader.string(options, "role"),
        kind,
    };
    (declaration, request)
}

/// The three types of profiles, for seccomp and AppArmor alike.
enum Profile {
    Unconfined,
    RuntimeDefault,
    Localhost(Arc<str>),
}

/// `{type, localhostProfile}`.
fn profile(node: &Node, reader: &mut Reader) -> (Fact<Arc<str>>, Fact<Profile>) {
    let Some(kind) = reader.string(node, "type") else {
        reader.problem(node, "a profile needs a `type`: RuntimeDefault, Localhost or Unconfined");
        return (Fact::unknown(node.origin()), Fact::unknown(node.origin()));
    };
    let asked = match kind.get().map(|text| &**text) {
        None => None,
        Some("Unconfined") => Some(Profile::Unconfined),
        Some("RuntimeDefault") => Some(Profile::RuntimeDefault),
        Some("Localhost") => {
            let name = reader.string(node, "localhostProfile").and_then(|name| name.value);
            Some(Profile::Localhost(name.unwrap_or_default()))
        }
        Some(other) => {
            let message =
                format!("no type of profile is named `{other}`; use RuntimeDefault, Localhost or Unconfined");
            reader.problem(&present(node, "type").unwrap_or_else(|| node.clone()), message);
            None
        }
    };
    let asked = Fact { value: asked, origin: kind.origin.clone() };
    (kind, asked)
}

fn seccomp_profile(node: &Node, reader: &mut Reader) -> (Fact<Arc<str>>, Fact<SeccompRequest>) {
    let (kind, asked) = profile(node, reader);
    (kind, asked.map(seccomp_request))
}

fn seccomp_request(profile: &Profile) -> SeccompRequest {
    match profile {
        Profile::Unconfined => SeccompRequest::Unconfined,
        Profile::RuntimeDefault => SeccompRequest::EngineDefault,
        // The file lies under /var/lib/kubelet/seccomp of the node.
        Profile::Localhost(name) => SeccompRequest::Unread(name.clone()),
    }
}

fn apparmor_profile(node: &Node, reader: &mut Reader) -> (Fact<Arc<str>>, Fact<AppArmorRequest>) {
    let (kind, asked) = profile(node, reader);
    (kind, asked.map(apparmor_request))
}

fn apparmor_request(profile: &Profile) -> AppArmorRequest {
    match profile {
        Profile::Unconfined => AppArmorRequest::Unconfined,
        Profile::RuntimeDefault => AppArmorRequest::EngineDefault,
        Profile::Localhost(name) => AppArmorRequest::Named(name.clone()),
    }
}

/// The values of the annotations: `runtime/default`, `docker/default` (its older name), `localhost/NAME`, `unconfined`.
fn annotated(value: &Fact<Arc<str>>) -> Fact<Profile> {
    let profile = value.get().and_then(|text| match &**text {
        "unconfined" => Some(Profile::Unconfined),
        "runtime/default" | "docker/default" => Some(Profile::RuntimeDefault),
        other => other.strip_prefix("localhost/").map(|name| Profile::Localhost(name.into())),
    });
    Fact { value: profile, origin: value.origin.clone() }
}

/// Reads `metadata.annotations`, as far as it speaks of confinement.
pub(super) fn annotations(object: &Node, reader: &mut Reader) -> Annotations {
    let Some(metadata) = reader.mapping(object, "metadata") else { return Annotations::new() };
    let Some(annotations) = reader.mapping(&metadata, "annotations") else { return Annotations::new() };
    let mut kept = Annotations::new();
    for (key, value) in annotations.entries() {
        let Some(key) = key.as_str() else { continue };
        if key == SECCOMP_POD || key.starts_with(SECCOMP_CONTAINER) || key.starts_with(APPARMOR_CONTAINER) {
            kept.push((key.into(), reader.text(&value, key)));
        }
    }
    kept
}

fn annotation<'a>(annotations: &'a Annotations, prefix: &str, name: &str) -> Option<&'a Fact<Arc<str>>> {
    let found = annotations.iter().find(|(key, _)| key.strip_prefix(prefix) == Some(name));
    found.map(|(_, value)| value)
}

/// What is asked of seccomp for one container.
#[derive(Debug)]
pub(super) enum SeccompAsked {
    Nothing,
    Field(Fact<SeccompRequest>),
    /// Only an annotation says it; `otherwise` is the pod's field, which counts where annotations do not.
    Annotation {
        annotated: Fact<SeccompRequest>,
        otherwise: Option<Fact<SeccompRequest>>,
    },
}

/// The container's field, the container's annotation, the pod's field, the pod's annotation: the order of clusters up to
/// 1.26 (pkg/kubelet/kuberuntime/helpers.go, `getSeccompProfile`). From 1.27 on annotations have no effect
/// (kubernetes#109819 for kubelets, #114947 for the API server).
pub(super) fn seccomp(
    container: &Security,
    name: &str,
    pod: &Security,
    annotations: &Annotations,
) -> SeccompAsked {
    if let Some(field) = &container.seccomp {
        return SeccompAsked::Field(field.clone());
    }
    let asked = |value: &Fact<Arc<str>>| annotated(value).map(seccomp_request);
    if let Some(value) = annotation(annotations, SECCOMP_CONTAINER, name) {
        return SeccompAsked::Annotation { annotated: asked(value), otherwise: pod.seccomp.clone() };
    }
    if let Some(field) = &pod.seccomp {
        return SeccompAsked::Field(field.clone());
    }
    match annotation(annotations, SECCOMP_POD, "") {
        Some(value) => SeccompAsked::Annotation { annotated: asked(value), otherwise: None },
        None => SeccompAsked::Nothing,
    }
}

/// The container's field, the container's annotation, the pod's field (pkg/security/apparmor/helpers.go, `GetProfile`).
pub(super) fn apparmor(
    container: &Security,
    name: &str,
    pod: &Security,
    annotations: &Annotations,
) -> Option<Fact<AppArmorRequest>> {
    let annotated = || {
        let value = annotation(annotations, APPARMOR_CONTAINER, name)?;
        // An empty value is the runtime's default, as if it were not there.
        (value.get().is_none_or(|text| !text.is_empty())).then(|| annotated(value).map(apparmor_request))
    };
    container.apparmor.clone().or_else(annotated).or_else(|| pod.apparmor.clone())
}

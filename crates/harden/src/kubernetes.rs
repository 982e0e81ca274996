//! Remedies written into Kubernetes manifests.
//!
//! A container is found where it is written; what a remedy sets goes into its `securityContext`, or stays at the pod
//! where the pod says it and every container that heeds it wants the same. What only a pod can say (`hostPID`,
//! `volumes`, …) is put together from the remedies of all its containers, so that each of them asks for the same
//! edits, which are made once.

use std::collections::BTreeSet;
use std::sync::Arc;

use confinement::{Capability, CapabilitySet, Confinement, Namespace, NamespaceKind, Place, Subject};
use sources::document::{Node, Step};
use techniques::needs;
use techniques::remedy::{LimitKind, Remedy, apply_all};

use crate::draft::{Drafts, Refusal, Task};
use crate::tree::{self, Value, Wish, own_value};

/// Whether a pod says it for all of its containers, so that each of them changes when one of them asks for it.
pub fn is_of_pod(remedy: &Remedy) -> bool {
    matches!(
        remedy,
        Remedy::PrivateNamespace(_)
            | Remedy::UserNamespace
            | Remedy::NoServiceAccountToken
            | Remedy::RemoveSysctl(_)
    )
}

/// The lists of a pod that hold containers.
const CONTAINERS: [&str; 3] = ["initContainers", "containers", "ephemeralContainers"];

/// Followed by the container's name. What they say is heard before the pod's fields, and by older clusters alone.
const SECCOMP_ANNOTATION: &str = "container.seccomp.security.alpha.kubernetes.io/";
const SECCOMP_POD_ANNOTATION: &str = "seccomp.security.alpha.kubernetes.io/pod";
const APPARMOR_ANNOTATION: &str = "container.apparmor.security.beta.kubernetes.io/";

/// Whether a manifest can say the remedy.
pub fn can(_subject: &Subject, remedy: &Remedy) -> bool {
    match remedy {
        Remedy::DropPrivileged
        | Remedy::DropCapability(_)
        | Remedy::RemoveAllCapabilities
        | Remedy::KeepCapabilities(_)
        | Remedy::RunAsNonRoot
        // Beside one of the host's namespaces the plan takes that first.
        | Remedy::UserNamespace
        | Remedy::NoNewPrivileges
        | Remedy::RemoveMount(_)
        | Remedy::ReadOnlyMount(_)
        | Remedy::PrivatePropagation(_)
        | Remedy::SeccompDefault
        | Remedy::LsmDefault
        | Remedy::DefaultPaths
        | Remedy::RemoveControlApi
        | Remedy::NoServiceAccountToken
        | Remedy::Limit(LimitKind::Memory | LimitKind::Cpu)
        | Remedy::RemoveSysctl(_)
        | Remedy::ReadOnlyRootfs => true,
        Remedy::PrivateNamespace(kind) => {
            matches!(kind, NamespaceKind::Pid | NamespaceKind::Net | NamespaceKind::Ipc)
        }
        // Processes are limited by the kubelet's configuration, devices are handed out by plug-ins, and rights by
        // other objects.
        Remedy::Limit(LimitKind::Pids)
        | Remedy::RemoveDevice(_)
        | Remedy::RemoveDeviceRule(_)
        | Remedy::EngineClientCertificates
        | Remedy::NarrowGrants { .. }
        | Remedy::RemoveSecret
        | Remedy::PinImage
        | Remedy::OwnNetwork
        | Remedy::ReadOnlyCgroup => false,
    }
}

/// Writes a task's remedies into the drafts.
pub fn edit(task: &Task<'_>, drafts: &mut Drafts<'_>) -> Result<(), Refusal> {
    let pod = PodText::find(task, drafts)?;
    let mut of_pod = Wishes::default();
    for container in &pod.containers {
        let wishes = Change::of(&pod, container).wishes();
        if container.is_same(&pod.edited) {
            let wishes = wishes?;
            wishes.write(&pod, container, drafts)?;
            of_pod.join_pod(wishes);
        } else {
            // What cannot be done for another is said there; its mounts stay.
            of_pod.join_pod(wishes.unwrap_or_else(|_| Change::of(&pod, container).only_mounts()));
        }
    }
    of_pod.write_pod(&pod, drafts)
}

/// A container where it is written, and what is to change about it.
struct ContainerText<'a> {
    node: Node,
    name: Option<Arc<str>>,
    task: Option<(&'a Subject, &'a [Remedy])>,
}

impl ContainerText<'_> {
    fn is_same(&self, node: &Node) -> bool {
        self.node.is_same(node)
    }
    fn wants(&self, is_it: impl Fn(&Remedy) -> bool) -> bool {
        self.task.is_some_and(|(_, remedies)| remedies.iter().any(is_it))
    }
}

/// A pod where it is written.
struct PodText<'a> {
    /// The container that the task is about.
    edited: Node,
    spec: Node,
    /// What holds `metadata` and `spec`.
    template: Node,
    containers: Vec<ContainerText<'a>>,
}

impl<'a> PodText<'a> {
    fn find(task: &Task<'a>, drafts: &mut Drafts<'_>) -> Result<PodText<'a>, Refusal> {
        let subject = task.subject;
        let Some(place) = &subject.place else {
            return Err(Refusal::file(subject.id.clone(), "it is not known where this is written"));
        };
        let at = drafts.range_of(place)?.start;
        let found = drafts.documents(&place.path)?.iter().find_map(|d| tree::written_at(&d.root, at));
        let elsewhere = || Refusal::at(place, "the container is put together by anchors; change it by hand");
        let edited = found.and_then(|node| container_of(&node)).ok_or_else(elsewhere)?;
        let spec = edited.parent().and_then(|list| list.parent()).ok_or_else(elsewhere)?;
        let template = spec.parent().ok_or_else(elsewhere)?;
        if let Some(used) = tree::is_shared(&edited, &edited.document_root()) {
            let message =
                format!("the container is also used at line {} by an alias; write it out there", used.line);
            return Err(Refusal::at(place, message));
        }
        let mut containers = Vec::new();
        for key in CONTAINERS {
            for node in spec.get(key).iter().flat_map(|list| list.items().collect::<Vec<_>>()) {
                if !node.is_mapping() {
                    continue;
                }
                let name = node.get("name").filter(|name| !name.is_null());
                let place = name.as_ref().unwrap_or(&node).place();
                containers.push(ContainerText {
                    name: name.and_then(|name| name.as_str().map(Arc::from)),
                    task: task_at(task, &place),
                    node,
                });
            }
        }
        Ok(PodText { edited, spec, template, containers })
    }

    fn context(&self) -> Option<Node> {
        self.spec.get("securityContext").filter(Node::is_mapping)
    }

    /// Whether the pod says something that every container which heeds it wants changed.
    fn says_for_all(&self, key: &str, remedy: &Remedy) -> bool {
        let is_said = |context: Option<Node>| context.and_then(|c| c.get(key)).is_some_and(|n| !n.is_null());
        let own = |c: &ContainerText<'_>| is_said(c.node.get("securityContext"));
        is_said(self.context())
            && self.containers.iter().all(|c| own(c) || c.wants(|wanted| wanted == remedy))
    }

    fn annotation(&self, key: &str) -> Result<Option<Node>, Refusal> {
        let Some(metadata) = own_value(&self.template, "metadata")? else { return Ok(None) };
        match metadata.get("annotations").filter(Node::is_mapping) {
            Some(annotations) if annotations.get(key).is_some() => own_value(&annotations, key),
            _ => Ok(None),
        }
    }
}

/// The container that a node of its text belongs to.
fn container_of(node: &Node) -> Option<Node> {
    let mut at = Some(node.clone());
    while let Some(node) = at {
        let list = node.parent();
        let in_list = list.as_ref().filter(|list| list.is_sequence()).is_some_and(
            |list| matches!(list.route().last(), Some(Step::Key(key)) if CONTAINERS.contains(&&**key)),
        );
        if in_list && node.is_mapping() {
            return Some(node);
        }
        at = list;
    }
    None
}

fn task_at<'a>(task: &Task<'a>, place: &Place) -> Option<(&'a Subject, &'a [Remedy])> {
    if task.subject.place.as_ref() == Some(place) {
        return Some((task.subject, task.remedies));
    }
    let of_pod = |subject: &Subject| match (&subject.pod, &task.subject.pod) {
        (Some(a), Some(b)) => Arc::ptr_eq(a, b),
        _ => false,
    };
    let mut all = task.all.iter().copied();
    all.find(|(subject, _)| of_pod(subject) && subject.place.as_ref() == Some(place))
}

/// What is to be written for one container, in the container and in its pod.
#[derive(Default)]
struct Wishes {
    context: Vec<(String, Wish)>,
    container: Vec<(String, Wish)>,
    /// Keys of the mounts that stay, by their number.
    mounts: Vec<(usize, &'static str, Value)>,
    annotations: Vec<(String, &'static str)>,
    pod: Vec<(String, Wish)>,
    pod_context: Vec<(String, Wish)>,
    /// Sysctls of the pod that go, by their number.
    sysctls: BTreeSet<usize>,
    /// Volumes whose mounts go.
    unmounted: BTreeSet<String>,
    /// Volumes that are mounted still.
    mounted: BTreeSet<String>,
    new_volumes: Vec<Value>,
}

impl Wishes {
    fn write(
        &self,
        pod: &PodText<'_>,
        container: &ContainerText<'_>,
        drafts: &mut Drafts<'_>,
    ) -> Result<(), Refusal> {
        let mut wishes = Vec::new();
        if !self.context.is_empty() {
            wishes.push(("securityContext".to_owned(), Wish::Within(self.context.clone())));
        }
        wishes.extend(self.container.iter().cloned());
        tree::fulfil(drafts, &container.node, &wishes)?;
        for (number, key, value) in &self.mounts {
            let mounts = own_value(&container.node, "volumeMounts")?;
            if let Some(mount) = mounts.and_then(|mounts| mounts.item(*number)) {
                let wish = (String::from(*key), Wish::Set(value.clone()));
                own_item(&mount)?;
                tree::fulfil(drafts, &mount, &[wish])?;
            }
        }
        for (key, text) in &self.annotations {
            if let Some(annotation) = pod.annotation(key)? {
                tree::set_scalar(drafts, &annotation, text)?;
            }
        }
        Ok(())
    }

    /// Takes what concerns the pod.
    fn join_pod(&mut self, other: Wishes) {
        let add = |list: &mut Vec<(String, Wish)>, more: Vec<(String, Wish)>| {
            for wish in more {
                if !list.contains(&wish) {
                    list.push(wish);
                }
            }
        };
        add(&mut self.pod, other.pod);
        add(&mut self.pod_context, other.pod_context);
        self.sysctls.extend(other.sysctls);
        self.unmounted.extend(other.unmounted);
        self.mounted.extend(other.mounted);
        self.new_volumes.extend(other.new_volumes);
    }

    fn write_pod(&self, pod: &PodText<'_>, drafts: &mut Drafts<'_>) -> Result<(), Refusal> {
        let mut wishes = self.pod.clone();
        let mut context = self.pod_context.clone();
        if !self.sysctls.is_empty() {
            let remove = self.sysctls.iter().copied().collect();
            context.push(("sysctls".into(), Wish::Items { remove, append: Vec::new() }));
        }
        if !context.is_empty() {
            wishes.push(("securityContext".into(), Wish::Within(context)));
        }
        let volumes = pod.spec.get("volumes").filter(Node::is_sequence);
        let goes = |name: &str| self.unmounted.contains(name) && !self.mounted.contains(name);
        let remove: Vec<usize> = volumes
            .iter()
            .flat_map(|list| list.items().enumerate().collect::<Vec<_>>())
            .filter(|(_, volume)| volume.get("name").is_some_and(|n| n.as_str().is_some_and(goes)))
            .map(|(number, _)| number)
            .collect();
        if !remove.is_empty() || !self.new_volumes.is_empty() {
            wishes.push(("volumes".into(), Wish::Items { remove, append: self.new_volumes.clone() }));
        }
        tree::fulfil(drafts, &pod.spec, &wishes)
    }
}

/// An item of a list that is written there, and not an alias.
fn own_item(item: &Node) -> Result<(), Refusal> {
    match item.alias_place() {
        Some(place) => Err(Refusal::at(&place, "this is an alias; write the value out")),
        None => Ok(()),
    }
}

/// The remedies of one container as they become wishes.
struct Change<'p, 'a> {
    pod: &'p PodText<'a>,
    container: &'p ContainerText<'a>,
    context: Option<Node>,
    wishes: Wishes,
}

impl<'p, 'a> Change<'p, 'a> {
    fn of(pod: &'p PodText<'a>, container: &'p ContainerText<'a>) -> Change<'p, 'a> {
        let context = container.node.get("securityContext").filter(Node::is_mapping);
        Change { pod, container, context, wishes: Wishes::default() }
    }

    fn only_mounts(mut self) -> Wishes {
        // Without remedies there is none that could not be found.
        let _ = self.mounts(&[]);
        self.wishes
    }

    fn wishes(mut self) -> Result<Wishes, Refusal> {
        let Some((subject, remedies)) = self.container.task else {
            return Ok(self.only_mounts());
        };
        let c = &*subject.confinement;
        for remedy in remedies {
            self.want(c, remedy)?;
        }
        self.capabilities(c, remedies)?;
        self.mounts(remedies)?;
        if remedies.contains(&Remedy::ReadOnlyRootfs) {
            self.writable_paths(c, remedies);
        }
        Ok(self.wishes)
    }

    fn refuse(&self, message: impl Into<String>) -> Refusal {
        let place = self.container.task.and_then(|(subject, _)| subject.place.clone());
        Refusal::at(&place.unwrap_or_else(|| self.container.node.place()), message)
    }

    fn set(&mut self, key: &str, value: Value) {
        self.wishes.context.push((key.into(), Wish::Set(value)));
    }

    fn set_pod(&mut self, key: &str, value: bool) {
        self.wishes.pod.push((key.into(), Wish::bool(value)));
    }

    fn own(&self, key: &str) -> Option<Node> {
        self.context.as_ref().and_then(|context| context.get(key)).filter(|node| !node.is_null())
    }

    fn of_pod(&self, key: &str) -> Option<Node> {
        self.pod.context().and_then(|context| context.get(key)).filter(|node| !node.is_null())
    }

    fn want(&mut self, c: &Confinement, remedy: &Remedy) -> Result<(), Refusal> {
        match remedy {
            Remedy::DropPrivileged => self.set("privileged", Value::bool(false)),
            Remedy::RunAsNonRoot => self.run_as_non_root(c),
            Remedy::NoNewPrivileges => {
                self.check_escalation(c)?;
                self.set("allowPrivilegeEscalation", Value::bool(false));
            }
            Remedy::SeccompDefault => self.seccomp(remedy),
            Remedy::LsmDefault => self.security_modules(remedy)?,
            Remedy::DefaultPaths => {
                if self.own("procMount").is_some() {
                    self.set("procMount", Value::text("Default"));
                }
            }
            Remedy::PrivateNamespace(kind) => self.namespace(c, *kind)?,
            Remedy::UserNamespace => {
                self.check_user_namespace()?;
                self.set_pod("hostUsers", false);
            }
            Remedy::NoServiceAccountToken => self.service_account_token(c)?,
            Remedy::RemoveSysctl(name) => self.sysctl(name),
            Remedy::Limit(kind) => self.limit(c, *kind)?,
            Remedy::RemoveControlApi => self.control_api()?,
            Remedy::ReadOnlyRootfs => self.set("readOnlyRootFilesystem", Value::bool(true)),
            Remedy::DropCapability(_)
            | Remedy::RemoveAllCapabilities
            | Remedy::KeepCapabilities(_)
            | Remedy::RemoveMount(_)
            | Remedy::ReadOnlyMount(_)
            | Remedy::PrivatePropagation(_) => {}
            // As `can` says.
            _ => return Err(self.refuse("a manifest of a pod cannot say this")),
        }
        Ok(())
    }

    fn run_as_non_root(&mut self, c: &Confinement) {
        let (user, group) = needs::user(c);
        let alone = self.pod.containers.len() == 1;
        let put = |change: &mut Self, key: &str, value: Value, is_wrong: &dyn Fn(&Node) -> bool| {
            let (own, of_pod) = (change.own(key), change.of_pod(key));
            if own.as_ref().or(of_pod.as_ref()).is_some_and(|node| !is_wrong(node)) {
                return;
            }
            // A pod of one container may say it; else the container's own word is what counts.
            if own.is_none() && of_pod.is_some() && alone {
                change.wishes.pod_context.push((key.into(), Wish::Set(value)));
            } else {
                change.set(key, value);
            }
        };
        put(self, "runAsNonRoot", Value::bool(true), &|node| node.as_bool_yaml11() != Some(true));
        put(self, "runAsUser", Value::number(user), &|node| node.as_i64() == Some(0));
        put(self, "runAsGroup", Value::number(group), &|node| node.as_i64() == Some(0));
    }

    /// The API server refuses the field beside what makes it void (pkg/apis/core/validation).
    fn check_escalation(&self, c: &Confinement) -> Result<(), Refusal> {
        let remedies = self.container.task.map_or(&[][..], |(_, remedies)| remedies);
        let after = apply_all(remedies, c);
        if after.privileged.value != Some(false) {
            return Err(self.refuse("a privileged container cannot refuse new privileges"));
        }
        if after.capabilities.bounding.is(|set| set.has(Capability::SYS_ADMIN)).is_true() {
            let message = "`allowPrivilegeEscalation: false` cannot stand beside CAP_SYS_ADMIN";
            return Err(self.refuse(message));
        }
        Ok(())
    }

    /// Fields and the annotations that came before them. The container's field is heard first.
    fn seccomp(&mut self, remedy: &Remedy) {
        let profile = |node: Option<Node>| profile("seccompProfile", node.as_ref());
        if self.own("seccompProfile").is_none() && self.pod.says_for_all("seccompProfile", remedy) {
            self.wishes.pod_context.push(profile(self.of_pod("seccompProfile")));
        } else {
            self.wishes.context.push(profile(self.own("seccompProfile")));
        }
        // The API server of a cluster that still heeds them asks that both say the same.
        if let Some(name) = &self.container.name {
            self.wishes.annotations.push((format!("{SECCOMP_ANNOTATION}{name}"), "runtime/default"));
        }
        if self.pod.containers.iter().all(|c| c.wants(|wanted| wanted == remedy)) {
            self.wishes.annotations.push((SECCOMP_POD_ANNOTATION.into(), "runtime/default"));
        }
    }

    fn security_modules(&mut self, remedy: &Remedy) -> Result<(), Refusal> {
        let unconfined =
            |node: &Node| node.get("type").is_some_and(|kind| kind.as_str() == Some("Unconfined"));
        let (own, of_pod) = (self.own("appArmorProfile"), self.of_pod("appArmorProfile"));
        let annotation = match &self.container.name {
            Some(name) => {
                let key = format!("{APPARMOR_ANNOTATION}{name}");
                self.pod.annotation(&key)?.map(|node| (key, node))
            }
            None => None,
        };
        if let Some((key, node)) = annotation
            && node.as_str() == Some("unconfined")
        {
            self.wishes.annotations.push((key, "runtime/default"));
        }
        if own.as_ref().is_some_and(unconfined) {
            self.wishes.context.push(profile("appArmorProfile", own.as_ref()));
        } else if own.is_none() && of_pod.as_ref().is_some_and(unconfined) {
            if self.pod.says_for_all("appArmorProfile", remedy) {
                self.wishes.pod_context.push(profile("appArmorProfile", of_pod.as_ref()));
            } else {
                self.wishes.context.push(profile("appArmorProfile", None));
            }
        }
        let lifts = |node: &Node| {
            let domain =
                node.get("type").and_then(|kind| kind.as_str().map(confinement::confine::selinux_domain));
            domain == Some(confinement::SeLinux::Unconfined)
        };
        let (own, of_pod) = (self.own("seLinuxOptions"), self.of_pod("seLinuxOptions"));
        let no_type = || ("seLinuxOptions".to_owned(), Wish::Within(vec![("type".into(), Wish::Remove)]));
        if own.as_ref().is_some_and(lifts) {
            // Without options of its own, the pod's would count.
            if of_pod.as_ref().is_some_and(lifts) {
                self.wishes.context.push(domain());
            } else {
                self.wishes.context.push(no_type());
            }
        } else if own.is_none() && of_pod.as_ref().is_some_and(lifts) {
            if self.pod.says_for_all("seLinuxOptions", remedy) {
                self.wishes.pod_context.push(no_type());
            } else {
                self.wishes.context.push(domain());
            }
        }
        Ok(())
    }

    fn namespace(&mut self, c: &Confinement, kind: NamespaceKind) -> Result<(), Refusal> {
        let key = match kind {
            NamespaceKind::Pid => "hostPID",
            NamespaceKind::Net => "hostNetwork",
            NamespaceKind::Ipc => "hostIPC",
            _ => return Err(self.refuse("a manifest of a pod cannot say this")),
        };
        let is_true = |key: &str| self.pod.spec.get(key).is_some_and(|n| n.as_bool_yaml11() == Some(true));
        let (of_host, of_pod) =
            (is_true(key), kind == NamespaceKind::Pid && is_true("shareProcessNamespace"));
        let joins = matches!(c.namespaces.get(kind).get(), Some(Namespace::Container(_)));
        if joins && !of_pod {
            return Err(self.refuse("the container joins another's namespace (`targetContainerName`)"));
        }
        if of_host {
            self.set_pod(key, false);
        }
        if of_pod {
            self.set_pod("shareProcessNamespace", false);
        }
        Ok(())
    }

    /// As [`can`] says, but for namespaces that go in the same change.
    fn check_user_namespace(&self) -> Result<(), Refusal> {
        let hosts = [
            ("hostPID", NamespaceKind::Pid),
            ("hostNetwork", NamespaceKind::Net),
            ("hostIPC", NamespaceKind::Ipc),
        ];
        for (key, kind) in hosts {
            let is_on = self.pod.spec.get(key).is_some_and(|node| node.as_bool_yaml11() == Some(true));
            let goes = self.pod.containers.iter().any(|c| c.wants(|r| *r == Remedy::PrivateNamespace(kind)));
            if is_on && !goes {
                return Err(self.refuse(format!("`hostUsers: false` cannot stand beside `{key}: true`")));
            }
        }
        Ok(())
    }

    fn service_account_token(&mut self, c: &Confinement) -> Result<(), Refusal> {
        let origin = c.service_account.as_ref().and_then(|account| account.token_mounted.origin.place());
        let volumes = self.pod.spec.get("volumes");
        if let (Some(origin), Some(volumes)) = (origin, volumes)
            && let Some(volume) = volumes.items().find(|v| stands_in(origin, v))
        {
            return Err(Refusal::at(
                &volume.place(),
                "a projected volume hands the token in; remove it by hand",
            ));
        }
        self.set_pod("automountServiceAccountToken", false);
        Ok(())
    }

    fn sysctl(&mut self, name: &str) {
        let sysctls = self.of_pod("sysctls");
        for (number, sysctl) in sysctls.iter().flat_map(|list| list.items().enumerate().collect::<Vec<_>>()) {
            if sysctl.get("name").is_some_and(|node| node.as_str() == Some(name)) {
                self.wishes.sysctls.insert(number);
            }
        }
    }

    fn limit(&mut self, c: &Confinement, kind: LimitKind) -> Result<(), Refusal> {
        let least = needs::limit(kind, c);
        let (key, value) = match kind {
            LimitKind::Memory => ("memory", bytes(least)),
            LimitKind::Cpu => ("cpu", thousandths(least)),
            LimitKind::Pids => return Err(self.refuse("the kubelet's configuration limits processes")),
        };
        let requests = self.container.node.get("resources").and_then(|r| r.get("requests"));
        let asked = requests.and_then(|requests| requests.get(key)).filter(|node| !node.is_null());
        // A limit below what is requested is refused by the API server.
        let value = match asked {
            None => value,
            Some(asked) => {
                let text = asked.as_str().unwrap_or("");
                match quantity(text).map(|n| if kind == LimitKind::Cpu { n * 1000.0 } else { n }) {
                    Some(n) if n > least as f64 => text.to_owned(),
                    Some(_) => value,
                    None => {
                        return Err(Refusal::at(
                            &asked.place(),
                            "this request is no quantity; set the limit by hand",
                        ));
                    }
                }
            }
        };
        tree::wish(&mut self.wishes.container, &["resources", "limits", key], Wish::text(value));
        Ok(())
    }

    /// The variables that clients of Docker and Podman take the engine's address from.
    fn control_api(&mut self) -> Result<(), Refusal> {
        let variables = own_value(&self.container.node, "env")?;
        let names_engine = |node: &Node| {
            node.get("name").is_some_and(|n| matches!(n.as_str(), Some("DOCKER_HOST" | "CONTAINER_HOST")))
        };
        let remove: Vec<usize> = variables
            .iter()
            .flat_map(|list| list.items().enumerate().collect::<Vec<_>>())
            .filter(|(_, variable)| names_engine(variable))
            .map(|(number, _)| number)
            .collect();
        if remove.is_empty() {
            return Err(self.refuse("what hands it the engine's API is not written here"));
        }
        self.wishes.container.push(("env".into(), Wish::Items { remove, append: Vec::new() }));
        Ok(())
    }

    /// What is in the bounding set follows from `add` and `drop`: ALL of both first, then each add, then each drop
    /// (containerd internal/cri/server/container_create.go).
    fn capabilities(&mut self, c: &Confinement, remedies: &[Remedy]) -> Result<(), Refusal> {
        let keeps = remedies.iter().any(|r| matches!(r, Remedy::KeepCapabilities(_)));
        let without_all = keeps || remedies.contains(&Remedy::RemoveAllCapabilities);
        if !without_all && !remedies.iter().any(|r| matches!(r, Remedy::DropCapability(_))) {
            return Ok(());
        }
        let after = apply_all(remedies, c);
        if after.privileged.value != Some(false) {
            return Err(self.refuse("a privileged container has every capability"));
        }
        let Some(wanted) = after.capabilities.bounding.value else {
            return Err(self.refuse("which capabilities it has is not known"));
        };
        let default = c.engine.as_ref().map_or(CapabilitySet::EMPTY, |engine| engine.default_capabilities());
        let (added, dropped) = (self.listed("add"), self.listed("drop"));
        let is_all = |text: &str| text.trim().eq_ignore_ascii_case("all");
        let stays = |text: &str| match Capability::parse(text) {
            Some(capability) => wanted.has(capability),
            None => !(is_all(text) && without_all),
        };
        let kept: Vec<&String> = added.iter().filter(|text| stays(text)).collect();
        let named = |list: &mut dyn Iterator<Item = &String>| {
            CapabilitySet::of(&list.filter_map(|text| Capability::parse(text)).collect::<Vec<_>>())
        };
        let adds = named(&mut kept.iter().copied());
        let drops = named(&mut dropped.iter());
        let drops_all = dropped.iter().any(|text| is_all(text));
        let (mut more, mut fewer): (Vec<Value>, Vec<Value>) = (Vec::new(), Vec::new());
        if keeps {
            more.extend(wanted.minus(adds).iter().map(|capability| Value::text(capability.name())));
            fewer.extend((!drops_all).then(|| Value::text("ALL")));
        } else {
            let base = match (drops_all, kept.iter().any(|text| is_all(text))) {
                (true, _) => CapabilitySet::EMPTY,
                (false, true) => CapabilitySet::ALL,
                (false, false) => default,
            };
            let has = base.union(adds).minus(drops);
            fewer.extend(has.minus(wanted).iter().map(|capability| Value::text(capability.name())));
        }
        let remove: Vec<usize> =
            added.iter().enumerate().filter(|(_, text)| !stays(text)).map(|(number, _)| number).collect();
        let mut lists = Vec::new();
        if !remove.is_empty() || !more.is_empty() {
            lists.push(("add".to_owned(), Wish::Items { remove, append: more }));
        }
        if !fewer.is_empty() {
            lists.push(("drop".to_owned(), Wish::Items { remove: Vec::new(), append: fewer }));
        }
        if !lists.is_empty() {
            self.wishes.context.push(("capabilities".into(), Wish::Within(lists)));
        }
        Ok(())
    }

    fn listed(&self, key: &str) -> Vec<String> {
        let list = self.own("capabilities").and_then(|capabilities| capabilities.get(key));
        let texts = list.iter().flat_map(|list| list.items().collect::<Vec<_>>());
        texts.map(|item| item.as_str().unwrap_or("").to_owned()).collect()
    }

    fn mounts(&mut self, remedies: &[Remedy]) -> Result<(), Refusal> {
        let mounts = self.container.node.get("volumeMounts").filter(Node::is_sequence);
        let mut remove = Vec::new();
        let mut found: BTreeSet<&str> = BTreeSet::new();
        for (number, mount) in mounts.iter().flat_map(|list| list.items().enumerate().collect::<Vec<_>>()) {
            let text = |key: &str| mount.get(key).and_then(|node| node.as_str().map(str::to_owned));
            let (target, volume) = (text("mountPath").unwrap_or_default(), text("name").unwrap_or_default());
            let mut goes = false;
            for remedy in remedies {
                match remedy {
                    Remedy::RemoveMount(at) if **at == *target => {
                        goes = true;
                        found.insert(at);
                    }
                    Remedy::ReadOnlyMount(at) if **at == *target => {
                        found.insert(at);
                        self.wishes.mounts.push((number, "readOnly", Value::bool(true)));
                    }
                    Remedy::PrivatePropagation(at) if **at == *target => {
                        found.insert(at);
                        self.wishes.mounts.push((number, "mountPropagation", Value::text("None")));
                    }
                    _ => {}
                }
            }
            if goes {
                remove.push(number);
                self.wishes.mounts.retain(|(other, ..)| *other != number);
                self.wishes.unmounted.insert(volume);
            } else {
                self.wishes.mounted.insert(volume);
            }
        }
        let devices = self.container.node.get("volumeDevices");
        for device in devices.iter().flat_map(|list| list.items().collect::<Vec<_>>()) {
            self.wishes.mounted.extend(device.get("name").and_then(|n| n.as_str().map(str::to_owned)));
        }
        for remedy in remedies {
            if let Remedy::RemoveMount(at) | Remedy::ReadOnlyMount(at) | Remedy::PrivatePropagation(at) =
                remedy
                && !found.contains(&**at)
            {
                return Err(self.refuse(format!("what is mounted at {at} is not written in this container")));
            }
        }
        if !remove.is_empty() {
            self.wishes.container.push(("volumeMounts".into(), Wish::Items { remove, append: Vec::new() }));
        }
        Ok(())
    }

    /// An emptyDir for each path that the workload writes, where nothing is mounted yet.
    fn writable_paths(&mut self, c: &Confinement, remedies: &[Remedy]) {
        let stays =
            |target: &str| !remedies.iter().any(|r| matches!(r, Remedy::RemoveMount(at) if **at == *target));
        let covered = |path: &str| {
            c.mounts.iter().any(|m| {
                let below = path
                    .strip_prefix(&*m.target)
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
                below && stays(&m.target)
            })
        };
        let mut new = Vec::new();
        for path in needs::writable_paths(c) {
            if covered(path) {
                continue;
            }
            let name = self.volume_name(path);
            new.push(Value::map([("name", Value::text(name.clone())), ("mountPath", Value::text(path))]));
            let volume = [("name", Value::text(name)), ("emptyDir", Value::Map(Vec::new()))];
            self.wishes.new_volumes.push(Value::map(volume));
        }
        if new.is_empty() {
            return;
        }
        match self.wishes.container.iter_mut().find(|(key, _)| key == "volumeMounts") {
            Some((_, Wish::Items { append, .. })) => append.extend(new),
            _ => {
                let wish = Wish::Items { remove: Vec::new(), append: new };
                self.wishes.container.push(("volumeMounts".into(), wish));
            }
        }
    }

    /// A name of its own for each container and path: an emptyDir that two containers mount is shared. Names of
    /// volumes are DNS labels.
    fn volume_name(&self, path: &str) -> String {
        let label = |text: &str| -> String {
            let dashed: String = text
                .chars()
                .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' })
                .collect();
            dashed.trim_matches('-').to_owned()
        };
        let mut name = label(path);
        if self.pod.containers.len() > 1 {
            name = format!("{}-{name}", label(self.container.name.as_deref().unwrap_or("container")));
        }
        let cut = name.char_indices().nth(56).map_or(name.len(), |(at, _)| at);
        let name = name.get(..cut).unwrap_or(&name).trim_matches('-').to_owned();
        let taken = |name: &str| {
            let volumes = self.pod.spec.get("volumes").into_iter();
            let mounts = self.pod.containers.iter().filter_map(|c| c.node.get("volumeMounts"));
            let lists: Vec<Node> = volumes.chain(mounts).collect();
            let has =
                |list: &Node| list.items().any(|i| i.get("name").is_some_and(|n| n.as_str() == Some(name)));
            lists.iter().any(has) || self.wishes.new_volumes.iter().any(|v| names(v, name))
        };
        if !taken(&name) {
            return name;
        }
        (2..).map(|n| format!("{name}-{n}")).find(|name| !taken(name)).unwrap_or(name)
    }
}

fn names(volume: &Value, name: &str) -> bool {
    match volume {
        Value::Map(entries) => {
            entries.iter().any(|(key, value)| key == "name" && *value == Value::text(name))
        }
        _ => false,
    }
}

/// `type: RuntimeDefault`, and no profile's name beside it, which the API server takes for `Localhost` only.
fn profile(key: &str, node: Option<&Node>) -> (String, Wish) {
    let mut wishes = vec![("type".to_owned(), Wish::text("RuntimeDefault"))];
    if node.is_some_and(|node| node.get("localhostProfile").is_some()) {
        wishes.push(("localhostProfile".into(), Wish::Remove));
    }
    (key.into(), Wish::Within(wishes))
}

/// The domain of ordinary containers (container-selinux, container.te).
fn domain() -> (String, Wish) {
    ("seLinuxOptions".into(), Wish::Within(vec![("type".into(), Wish::text("container_t"))]))
}

fn stands_in(place: &Place, node: &Node) -> bool {
    let text = node.file_text();
    let bytes = node.bytes();
    let line = |at: usize| text.get(..at).unwrap_or("").matches('\n').count() + 1;
    node.place().path == place.path && (line(bytes.start)..=line(bytes.end)).contains(&(place.line as usize))
}

fn bytes(n: u64) -> String {
    match n {
        n if n % (1 << 30) == 0 => format!("{}Gi", n >> 30),
        n if n % (1 << 20) == 0 => format!("{}Mi", n >> 20),
        n => n.to_string(),
    }
}

fn thousandths(n: u64) -> String {
    if n.is_multiple_of(1000) { (n / 1000).to_string() } else { format!("{n}m") }
}

/// A quantity of Kubernetes: a number, and a suffix of powers of 1000 or of 1024 (apimachinery, `resource.Quantity`).
fn quantity(text: &str) -> Option<f64> {
    let suffixes: [(&str, f64); 12] = [
        ("Ki", 1024.0),
        ("Mi", 1024f64.powi(2)),
        ("Gi", 1024f64.powi(3)),
        ("Ti", 1024f64.powi(4)),
        ("Pi", 1024f64.powi(5)),
        ("k", 1e3),
        ("M", 1e6),
        ("G", 1e9),
        ("T", 1e12),
        ("P", 1e15),
        ("m", 1e-3),
        ("", 1.0),
    ];
    let (number, factor) =
        suffixes.iter().find_map(|(suffix, factor)| Some((text.strip_suffix(suffix)?, *factor)))?;
    number.parse::<f64>().ok().filter(|n| n.is_finite()).map(|n| n * factor)
}

//! Joins the objects of a run: claims with volumes, accounts with bindings, runtime classes with handlers; and confines each
//! container.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use confinement::confine::{DeviceRequest, NamespaceRequest, SeccompRequest};
use confinement::pod::{ContainerDeclaration, ContainerRole, SecurityContext};
use confinement::{
    DeviceKind, EngineKind, Fact, Form, Host, HostPath, Mount, MountSource, Origin, Problem, Propagation,
    Request, ServiceAccount, Subject, SubjectKind, World, confine,
};

use crate::Context;

use super::account::{Account, Grants};
use super::container::{Container, VolumeMount};
use super::pod::{DEFAULT_NAMESPACE, Pod};
use super::request::request;
use super::security::{self, SeccompAsked};
use super::storage::{self, Bound, Claim, ClaimSpec, PersistentVolume, Volume, VolumeSource};
use super::{Objects, REALM, RuntimeClass};

/// Where the token of a service account is mounted (plugin/pkg/admission/serviceaccount, `DefaultAPITokenMountPath`).
const TOKEN_PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

pub(super) fn into_world(objects: Objects, context: &Context) -> World {
    let Objects {
        pods,
        claims,
        persistent_volumes,
        accounts,
        roles,
        bindings,
        runtime_classes,
        problems,
        notes,
    } = objects;
    let mut index = Index::new(&claims, &persistent_volumes, &accounts, &runtime_classes);
    let mut grants = Grants::new(&roles, &bindings);
    let mut world = World { subjects: Vec::with_capacity(pods.len()), problems, notes };
    let mut taken = Ids::default();
    for pod in pods {
        if let Some(place) = &pod.windows {
            world.notes.push(Problem::at(place, windows_note(&pod)));
            continue;
        }
        let mut joined = Joined { context, index: &mut index, grants: &mut grants, world: &mut world };
        joined.pod(pod, &mut taken);
    }
    world
}

fn windows_note(pod: &Pod) -> String {
    let asks = |context: &SecurityContext| {
        context.windows_host_process.as_ref().is_some_and(|asked| asked.value != Some(false))
    };
    let declaration = &pod.declaration;
    let host_process = asks(&declaration.security)
        || declaration.containers.iter().any(|container| asks(&container.security));
    let host_process =
        if host_process { " It asks for hostProcess: programs of the host itself." } else { "" };
    let (kind, name) = (&declaration.kind, &pod.name);
    format!("{kind} {name} runs on Windows nodes: its containers are not judged.{host_process}")
}

/// Identifiers given out so far. Two objects of one name in one file get distinct ones by their order.
#[derive(Default)]
struct Ids {
    taken: HashMap<Arc<str>, usize>,
}

impl Ids {
    fn unique(&mut self, id: Arc<str>) -> Arc<str> {
        let count = self.taken.entry(id.clone()).or_insert(0);
        *count += 1;
        if *count == 1 { id } else { format!("{id}~{count}").into() }
    }
}

/// Objects by what refers to them. Where several have one name, the one in the referring file is meant, else the last.
struct Index<'a> {
    claims: HashMap<(&'a str, &'a str), Vec<&'a Claim>>,
    volumes: &'a [PersistentVolume],
    /// Volumes kept for no claim, by class.
    free_volumes: HashMap<&'a str, Vec<&'a PersistentVolume>>,
    /// What claims were matched with so far.
    matches: HashMap<*const Claim, Bound<'a>>,
    volumes_by_name: HashMap<&'a str, Vec<&'a PersistentVolume>>,
    volumes_by_claim: HashMap<(&'a str, &'a str), Vec<&'a PersistentVolume>>,
    accounts: HashMap<(&'a str, &'a str), Vec<&'a Account>>,
    runtime_classes: HashMap<&'a str, Vec<&'a RuntimeClass>>,
}

fn pick<'a, T>(
    list: Option<&Vec<&'a T>>,
    path: &Arc<str>,
    path_of: impl Fn(&T) -> &Arc<str>,
) -> Option<&'a T> {
    let list = list?;
    list.iter().find(|item| path_of(item) == path).or_else(|| list.last()).copied()
}

impl<'a> Index<'a> {
    fn new(
        claims: &'a [Claim],
        volumes: &'a [PersistentVolume],
        accounts: &'a [Account],
        runtime_classes: &'a [RuntimeClass],
    ) -> Index<'a> {
        let mut index = Index {
            claims: HashMap::new(),
            volumes,
            free_volumes: HashMap::new(),
            matches: HashMap::new(),
            volumes_by_name: HashMap::new(),
            volumes_by_claim: HashMap::new(),
            accounts: HashMap::new(),
            runtime_classes: HashMap::new(),
        };
        for claim in claims {
            let namespace = claim.namespace.as_deref().unwrap_or(DEFAULT_NAMESPACE);
            index.claims.entry((namespace, &claim.name)).or_default().push(claim);
        }
        for volume in volumes {
            index.volumes_by_name.entry(&volume.name).or_default().push(volume);
            match &volume.claim {
                Some((namespace, name)) => {
                    index.volumes_by_claim.entry((namespace, name)).or_default().push(volume);
                }
                None => {
                    let class = volume.class.as_deref().unwrap_or("");
                    index.free_volumes.entry(class).or_default().push(volume);
                }
            }
        }
        for account in accounts {
            index.accounts.entry((&account.namespace, &account.name)).or_default().push(account);
        }
        for class in runtime_classes {
            index.runtime_classes.entry(&class.name).or_default().push(class);
        }
        index
    }

    fn claim(&mut self, path: &Arc<str>, namespace: &str, name: &str) -> Bound<'a> {
        let claim = pick(self.claims.get(&(namespace, name)), path, |claim| &claim.path);
        let kept = pick(self.volumes_by_claim.get(&(namespace, name)), path, |volume| &volume.path);
        match (claim, kept) {
            (Some(claim), Some(kept)) => self.bound(path, &claim.spec, Some(kept)),
            (Some(claim), None) if claim.spec.volume_name.is_some() => self.bound(path, &claim.spec, None),
            // Any number of pods may mount one claim, and a match looks at every volume.
            (Some(claim), None) => {
                let known = self.matches.get(&std::ptr::from_ref(claim)).copied();
                known.unwrap_or_else(|| {
                    let found = self.bound(path, &claim.spec, None);
                    self.matches.insert(std::ptr::from_ref(claim), found);
                    found
                })
            }
            (None, Some(volume)) => Bound::To(volume),
            (None, None) => Bound::NotInView,
        }
    }

    /// `kept` is a volume whose `claimRef` names this claim.
    fn bound(&self, path: &Arc<str>, spec: &ClaimSpec, kept: Option<&'a PersistentVolume>) -> Bound<'a> {
        if let Some(name) = &spec.volume_name {
            let volume = pick(self.volumes_by_name.get(&**name), path, |volume| &volume.path);
            return volume.map_or(Bound::NotInView, Bound::To);
        }
        match kept {
            Some(volume) => Bound::To(volume),
            None => {
                let class = spec.class.as_deref().unwrap_or("");
                storage::best_match(self.free_volumes.get(class).map_or(&[][..], |volumes| volumes), spec)
            }
        }
    }

    /// A StatefulSet's claims are named TEMPLATE-SET-ORDINAL; a volume kept for any of them is met by that replica.
    fn claim_of_template(
        &self,
        path: &Arc<str>,
        namespace: &str,
        set: &str,
        template: &str,
        spec: &ClaimSpec,
    ) -> Bound<'a> {
        let is_ordinal = |claim: &str| {
            let rest = claim.strip_prefix(template).and_then(|rest| rest.strip_prefix('-'));
            let ordinal =
                rest.and_then(|rest| rest.strip_prefix(set)).and_then(|rest| rest.strip_prefix('-'));
            ordinal.is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
        };
        let kept = self.volumes.iter().filter(|volume| {
            volume.claim.as_ref().is_some_and(|(of, claim)| &**of == namespace && is_ordinal(claim))
        });
        let worst = kept.max_by_key(|volume| volume.host.is_some());
        self.bound(path, spec, worst)
    }
}

struct Joined<'w, 'a> {
    context: &'w Context,
    index: &'w mut Index<'a>,
    grants: &'w mut Grants<'a>,
    world: &'w mut World,
}

/// What is known of a pod while its containers are confined.
struct Place<'p> {
    pod: &'p PodParts,
    volumes: HashMap<&'p str, &'p Volume>,
    templates: HashMap<&'p str, &'p ClaimSpec>,
    /// Volumes that more than one container of the pod mounts.
    shared: HashSet<Arc<str>>,
}

/// A pod without its containers.
struct PodParts {
    id: Arc<str>,
    path: Arc<str>,
    namespace: Arc<str>,
    name: Arc<str>,
}

impl Joined<'_, '_> {
    fn pod(&mut self, pod: Pod, taken: &mut Ids) {
        let id = taken.unique(pod.id.clone());
        let parts = PodParts {
            path: pod.path,
            namespace: pod.declaration.namespace.clone(),
            name: pod.declaration.name.clone(),
            id: id.clone(),
        };
        let place = Place {
            volumes: pod.volumes.iter().map(|volume| (&*volume.name, volume)).collect(),
            templates: pod.claim_templates.iter().map(|(name, spec)| (&**name, spec)).collect(),
            shared: shared_volumes(&pod.containers),
            pod: &parts,
        };
        let account = self.account(&pod.account, &pod.automount, &parts);
        let runtime = pod.runtime_class.as_ref().map(|class| self.handler(class, &parts.path));
        let declaration = &pod.declaration;
        for (container, declared) in pod.containers.iter().zip(&declaration.containers) {
            let subject_id = taken.unique(format!("{id}/{}", declared.name).into());
            let mut request = request(container, declared, &pod.shared, declaration, &id);
            request.runtime = runtime.clone();
            request.seccomp = self.seccomp(security::seccomp(
                &container.security,
                &declared.name,
                &pod.shared.security,
                &declaration.annotations,
            ));
            self.complete(&mut request, container, declared, &place, account.as_ref());
            let confinement = confine(&request, &self.context.kubernetes, &self.context.host);
            self.world.subjects.push(Subject {
                id: subject_id,
                name: format!("{}/{}", pod.name, declared.name).into(),
                kind: SubjectKind::Workload,
                form: Form::Kubernetes,
                place: declared.place.clone(),
                declared: Vec::new(),
                realm: REALM.into(),
                namespace: Some(parts.namespace.clone()),
                confinement: Arc::new(confinement),
                pod: Some(declaration.clone()),
                labels: pod.labels.clone(),
                made: None,
            });
        }
    }

    /// Fills in what the container's own fields leave to other objects.
    fn complete(
        &mut self,
        request: &mut Request,
        container: &Container,
        declared: &ContainerDeclaration,
        place: &Place,
        account: Option<&ServiceAccount>,
    ) {
        let image = request.image.as_ref().and_then(|image| image.get());
        request.image_user = image.and_then(|image| self.context.image_user(image));
        if let Some(target) = container.target.as_ref()
            && request.pid.is_none()
        {
            let id = |name: &Arc<str>| NamespaceRequest::Container(format!("{}/{name}", place.pod.id).into());
            request.pid = Some(target.map(id));
        }
        let mut token = None;
        for mount in &container.mounts {
            let mount = self.mount(mount, place, &mut token);
            request.mounts.push(mount);
        }
        for device in &container.devices {
            request.devices.extend(self.device(device, place));
        }
        request.service_account = account.map(|account| {
            let mut account = account.clone();
            if declared.role == ContainerRole::Ephemeral && account.token_mounted.value != Some(false) {
                // The admission plugin mounts the token into init and ordinary containers only
                // (plugin/pkg/admission/serviceaccount, mountServiceAccountToken).
                account.token_mounted = Fact::known(false, Origin::engine("kubernetes"));
            }
            let occupied = container.mounts.iter().find(|mount| &*mount.target == TOKEN_PATH);
            match (token.clone(), occupied) {
                (Some(origin), _) => account.token_mounted = Fact::known(true, origin),
                // The admission plugin leaves a path alone where something is mounted already.
                (None, Some(mount)) => {
                    account.token_mounted = Fact::known(false, Origin::File(mount.place.clone()));
                }
                (None, None) => {}
            }
            account
        });
    }

    /// Whether annotations have an effect hangs on the cluster's version, which CRI-O shares (they are released together)
    /// and containerd does not.
    fn seccomp(&mut self, asked: SeccompAsked) -> Option<Fact<SeccompRequest>> {
        let (annotated, otherwise) = match asked {
            SeccompAsked::Nothing => return None,
            SeccompAsked::Field(field) => return Some(field),
            SeccompAsked::Annotation { annotated, otherwise } => (annotated, otherwise),
        };
        let engine = &self.context.kubernetes;
        let heard = match engine.kind {
            EngineKind::Crio => Some(!engine.at_least(1, 27)),
            _ => None,
        };
        if heard == Some(true)
            || annotated.get().is_some_and(|a| otherwise.as_ref().and_then(|o| o.get()) == Some(a))
        {
            return Some(annotated);
        }
        if let Some(place) = annotated.origin.place() {
            let message =
                "from Kubernetes 1.27 on this annotation has no effect; write securityContext.seccompProfile";
            let note = Problem::at(place, message);
            // The pod's annotation speaks of each of its containers.
            if self.world.notes.last() != Some(&note) {
                self.world.notes.push(note);
            }
        }
        match heard {
            Some(_) => otherwise,
            None => Some(Fact::unknown(annotated.origin)),
        }
    }

    fn account(
        &mut self,
        name: &Option<Fact<Arc<str>>>,
        automount: &Option<Fact<bool>>,
        pod: &PodParts,
    ) -> Option<ServiceAccount> {
        let known = match name {
            None => Some(Arc::from("default")),
            Some(name) => name.value.clone(),
        };
        let object = known.as_ref().and_then(|name| {
            pick(self.index.accounts.get(&(&*pod.namespace, &**name)), &pod.path, |account| &account.path)
        });
        let token_mounted = automount
            .clone()
            .or_else(|| object.and_then(|account| account.automount.clone()))
            .unwrap_or_else(|| Fact::known(true, Origin::engine("kubernetes")));
        let grants = match (&known, name) {
            (Some(account), _) => self.grants.of(&pod.namespace, account),
            (None, Some(name)) => Fact::unknown(name.origin.clone()),
            (None, None) => Fact::default(),
        };
        let name = known.unwrap_or_else(|| "-".into());
        Some(ServiceAccount { namespace: pod.namespace.clone(), name, token_mounted, grants })
    }

    /// A class given beside the pod names its handler; otherwise the class's own name is taken for it, as they mostly agree.
    fn handler(&self, class: &Fact<Arc<str>>, path: &Arc<str>) -> Fact<Arc<str>> {
        let object = class
            .get()
            .and_then(|name| pick(self.index.runtime_classes.get(&**name), path, |class| &class.path));
        object.map_or_else(|| class.clone(), |object| object.handler.clone())
    }

    fn mount(&mut self, mount: &VolumeMount, place: &Place, token: &mut Option<Origin>) -> Mount {
        let origin = || Origin::File(mount.place.clone());
        let (source, forced_read_only) = self.source(mount, place, token);
        let source = match (&source.value, &mount.sub_path) {
            (Some(MountSource::Host(_)), Some(sub)) if !sub.is_known() => Fact::unknown(sub.origin.clone()),
            (Some(MountSource::Host(path)), Some(sub)) => {
                let below = sub.get().map(|sub| MountSource::Host(path.join(sub)));
                Fact { value: below, origin: source.origin.clone() }
            }
            _ => source,
        };
        let read_only = match (&mount.read_only, forced_read_only) {
            (_, Some(forced)) => forced,
            (Some(asked), None) => asked.clone(),
            (None, None) => Fact::known(false, origin()),
        };
        Mount {
            target: mount.target.clone(),
            recursive_read_only: recursive_read_only(&mount.recursive_read_only, &self.context.host),
            recursive: true,
            propagation: mount
                .propagation
                .clone()
                .unwrap_or_else(|| Fact::known(Propagation::Private, Origin::engine("kubernetes"))),
            nosuid: false,
            nodev: false,
            noexec: false,
            relabelled: false,
            source,
            read_only,
        }
    }

    /// What a mount shows, and what forces it to be read-only.
    fn source(
        &mut self,
        mount: &VolumeMount,
        place: &Place,
        token: &mut Option<Origin>,
    ) -> (Fact<MountSource>, Option<Fact<bool>>) {
        let here = || Origin::File(mount.place.clone());
        let known = |source: MountSource| (Fact::known(source, here()), None);
        let api = || Some(Fact::known(true, Origin::engine("kubelet")));
        let Some(name) = mount.volume.get() else {
            return (Fact::unknown(mount.volume.origin.clone()), None);
        };
        let pod = place.pod;
        // A claim template wins over a volume of its name (updateStorage, pkg/controller/statefulset).
        if let Some(spec) = place.templates.get(&**name) {
            let bound = self.index.claim_of_template(&pod.path, &pod.namespace, &pod.name, name, spec);
            return (bound_source(bound, here(), || format!("{}/{name}", pod.id)), None);
        }
        let Some(volume) = place.volumes.get(&**name) else {
            self.world.problems.push(Problem::at(
                &mount.place,
                format!("`{name}` is no volume of this pod, so what is mounted here is not known"),
            ));
            return (Fact::unknown(mount.volume.origin.clone()), None);
        };
        match &volume.source {
            VolumeSource::HostPath(path) => (path.map(|path| MountSource::Host(HostPath::new(path))), None),
            VolumeSource::EmptyDir if place.shared.contains(name) => {
                known(MountSource::Volume(format!("{}/{name}", pod.id).into()))
            }
            VolumeSource::EmptyDir => known(MountSource::Private),
            VolumeSource::Claim { name: claim, read_only } => {
                let forced = read_only.clone().filter(|read_only| read_only.value != Some(false));
                let Some(claim) = claim.get() else { return (Fact::unknown(claim.origin.clone()), forced) };
                let bound = self.index.claim(&pod.path, &pod.namespace, claim);
                let source =
                    bound_source(bound, here(), || format!("{REALM}/{}/claim/{claim}", pod.namespace));
                (source, forced)
            }
            VolumeSource::Ephemeral(spec) => {
                let bound = self.index.bound(&pod.path, spec, None);
                (bound_source(bound, here(), || format!("{}/{name}", pod.id)), None)
            }
            VolumeSource::Token(at) => {
                token.get_or_insert(Origin::File(at.clone()));
                (Fact::known(MountSource::Other("projected".into()), here()), api())
            }
            VolumeSource::FromApi(kind) => (Fact::known(MountSource::Other(kind.clone()), here()), api()),
            VolumeSource::Elsewhere(kind) => known(MountSource::Other(kind.clone())),
        }
    }

    /// A claim handed in as a block device, where it ends in a device of the node.
    fn device(&mut self, volume: &Fact<Arc<str>>, place: &Place) -> Option<Fact<DeviceRequest>> {
        let name = volume.get()?;
        let pod = place.pod;
        let bound = match (place.templates.get(&**name), place.volumes.get(&**name).map(|v| &v.source)) {
            (Some(spec), _) => self.index.claim_of_template(&pod.path, &pod.namespace, &pod.name, name, spec),
            (None, Some(VolumeSource::Claim { name, .. })) => {
                self.index.claim(&pod.path, &pod.namespace, name.get()?)
            }
            (None, Some(VolumeSource::Ephemeral(spec))) => self.index.bound(&pod.path, spec, None),
            _ => return None,
        };
        match bound {
            Bound::To(volume) => volume.host.as_ref().map(|path| {
                path.map(|path| DeviceRequest { kind: Some(DeviceKind::Block), ..DeviceRequest::path(path) })
            }),
            Bound::Undecided => Some(Fact::unknown(volume.origin.clone())),
            Bound::NotInView => None,
        }
    }
}

fn bound_source(bound: Bound, here: Origin, name: impl FnOnce() -> String) -> Fact<MountSource> {
    match bound {
        Bound::To(PersistentVolume { host: Some(path), .. }) => {
            path.map(|path| MountSource::Host(HostPath::new(path)))
        }
        Bound::To(_) | Bound::NotInView => Fact::known(MountSource::Volume(name().into()), here),
        Bound::Undecided => Fact::unknown(here),
    }
}

/// `recursiveReadOnly`: the kubelet's default is none, `IfPossible` takes it where runtime and kernel can.
fn recursive_read_only(asked: &Option<Fact<Arc<str>>>, host: &Host) -> Fact<bool> {
    let Some(asked) = asked else { return Fact::default() };
    match asked.get().map(|mode| &**mode) {
        Some("Enabled") => Fact::known(true, asked.origin.clone()),
        Some("IfPossible") => match host.kernel_version() {
            Some(version) => Fact::known(version >= (5, 12), host.kernel_release.origin.clone()),
            None => Fact::known(true, Origin::assumed("the host's kernel is 5.12 or newer")),
        },
        _ => Fact::default(),
    }
}

fn shared_volumes(containers: &[Container]) -> HashSet<Arc<str>> {
    let mut first: HashMap<&Arc<str>, usize> = HashMap::new();
    let mut shared = HashSet::new();
    for (n, container) in containers.iter().enumerate() {
        for mount in &container.mounts {
            let Some(name) = mount.volume.get() else { continue };
            if *first.entry(name).or_insert(n) != n {
                shared.insert(name.clone());
            }
        }
    }
    shared
}

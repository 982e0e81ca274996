//! A pod, or the template a workload makes pods of: what its containers share, and its declaration for standards.

use std::sync::Arc;

use confinement::pod::{ContainerRole, PodDeclaration, VolumeDeclaration};
use confinement::{Fact, Labels, Origin, Place};

use crate::document::Node;

use super::container::{self, Container, ResourceLimits};
use super::field::{CONTAINER_COST, Reader, present};
use super::security::{self, Level, Security};
use super::selector::object_labels;
use super::storage::{self, ClaimSpec, Volume};

/// Where a pod stands in its document.
pub(super) struct Source<'a> {
    pub(super) object: &'a Node,
    pub(super) kind: &'a str,
    /// What holds `metadata` and `spec`: the object itself for a Pod.
    pub(super) template: &'a Node,
    pub(super) spec: &'a Node,
    /// From the object to the template: `spec.template`, empty for a Pod.
    pub(super) route: &'a str,
    /// Which template of its object this is, where it holds several.
    pub(super) part: Option<&'a str>,
}

#[derive(Debug)]
pub(super) struct Pod {
    pub(super) path: Arc<str>,
    /// `PATH#Kind/namespace/name`.
    pub(super) id: Arc<str>,
    /// `namespace/name`.
    pub(super) name: Arc<str>,
    pub(super) declaration: Arc<PodDeclaration>,
    /// Of the template, which are the pod's.
    pub(super) labels: Labels,
    pub(super) shared: Shared,
    /// In the order of their declarations.
    pub(super) containers: Box<[Container]>,
    pub(super) volumes: Box<[Volume]>,
    /// A StatefulSet's `volumeClaimTemplates`, by name.
    pub(super) claim_templates: Box<[(Arc<str>, ClaimSpec)]>,
    pub(super) account: Option<Fact<Arc<str>>>,
    pub(super) automount: Option<Fact<bool>>,
    pub(super) runtime_class: Option<Fact<Arc<str>>>,
    /// What says that it runs on Windows.
    pub(super) windows: Option<Place>,
}

/// What the containers of a pod have in common beside its declaration.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) security: Security,
    pub(super) share_pid: Option<Fact<bool>>,
    pub(super) limits: ResourceLimits,
}

/// The namespace of what names none.
pub(super) const DEFAULT_NAMESPACE: &str = "default";

pub(super) fn pod(source: &Source, reader: &mut Reader) -> Option<Pod> {
    let spec = source.spec;
    if !spec.is_mapping() {
        reader.problem(spec, "the specification of a pod must be a mapping");
        return None;
    }
    let (object_name, namespace) = identity(source.object, reader);
    let (id, name) = names(source, &object_name, namespace.as_deref(), reader.path());

    let (declared, security) = security::read(spec, Level::Pod, reader);
    let route = if source.route.is_empty() { "spec".to_owned() } else { format!("{}.spec", source.route) };
    let mut containers = Vec::new();
    let mut declarations = Vec::new();
    for (key, role) in [
        ("initContainers", ContainerRole::Init),
        ("containers", ContainerRole::Main),
        ("ephemeralContainers", ContainerRole::Ephemeral),
    ] {
        for (n, node) in reader.items(spec, key).iter().enumerate() {
            if node.is_null() {
                continue;
            }
            if !reader.spend(CONTAINER_COST, node) {
                break;
            }
            if !node.is_mapping() {
                reader.problem(node, format!("`{key}` must be a list of mappings"));
                continue;
            }
            let (container, declaration) =
                container::container(node, role, &format!("{route}.{key}[{n}]"), reader);
            containers.push(container);
            declarations.push(declaration);
        }
    }

    let os = reader.mapping(spec, "os").and_then(|os| reader.string(&os, "name"));
    let windows = windows(os.as_ref(), spec, reader);
    declarations.shrink_to_fit();
    let volumes: Box<[Volume]> = reader
        .mappings(spec, "volumes")
        .iter()
        .filter_map(|volume| storage::volume(volume, reader))
        .collect();
    let declaration = PodDeclaration {
        kind: source.kind.into(),
        name: object_name,
        namespace: namespace.unwrap_or_else(|| DEFAULT_NAMESPACE.into()),
        place: Some(spec.place()),
        os,
        host_network: reader.boolean(spec, "hostNetwork"),
        host_pid: reader.boolean(spec, "hostPID"),
        host_ipc: reader.boolean(spec, "hostIPC"),
        host_users: reader.boolean(spec, "hostUsers"),
        sysctls: security.sysctls.iter().map(|(name, _)| name.clone()).collect(),
        security: declared,
        annotations: security::annotations(source.template, reader),
        volumes: volumes
            .iter()
            .map(|volume| VolumeDeclaration { name: volume.name.clone(), source: volume.kind.clone() })
            .collect(),
        containers: declarations,
    };
    Some(Pod {
        path: reader.path().clone(),
        id,
        name,
        declaration: Arc::new(declaration),
        labels: Arc::new(object_labels(source.template, reader).into_iter().collect()),
        shared: Shared {
            security,
            share_pid: reader.boolean(spec, "shareProcessNamespace"),
            limits: container::resource_limits(spec, reader),
        },
        containers: containers.into(),
        volumes,
        claim_templates: claim_templates(source, reader),
        // `serviceAccount` is the older name of `serviceAccountName`.
        account: reader
            .string(spec, "serviceAccountName")
            .or_else(|| reader.string(spec, "serviceAccount"))
            .filter(|name| name.get().is_none_or(|name| !name.is_empty())),
        automount: reader.boolean(spec, "automountServiceAccountToken"),
        runtime_class: reader
            .string(spec, "runtimeClassName")
            .filter(|name| name.get().is_none_or(|n| !n.is_empty())),
        windows,
    })
}

/// `metadata.name` (or `generateName`) and `metadata.namespace` of an object.
pub(super) fn identity(object: &Node, reader: &mut Reader) -> (Arc<str>, Option<Arc<str>>) {
    let metadata = reader.mapping(object, "metadata");
    let field = |key: &str, reader: &mut Reader| {
        let fact = reader.string(metadata.as_ref()?, key)?;
        // A name that is not rendered still tells one object from another.
        let written = || Some(Arc::from(present(metadata.as_ref()?, key)?.as_str()?));
        fact.value.or_else(written).filter(|text| !text.is_empty())
    };
    let name = field("name", reader).or_else(|| field("generateName", reader));
    let namespace = field("namespace", reader);
    (name.unwrap_or_else(|| "-".into()), namespace)
}

fn names(source: &Source, name: &Arc<str>, namespace: Option<&str>, path: &Arc<str>) -> (Arc<str>, Arc<str>) {
    let mut full = String::new();
    if let Some(namespace) = namespace {
        full.push_str(namespace);
        full.push('/');
    }
    full.push_str(name);
    if let Some(part) = source.part {
        full.push('/');
        full.push_str(part);
    }
    let id = format!("{path}#{}/{full}", source.kind);
    (id.into(), full.into())
}

/// `spec.os.name`, or a node selector that leads to Windows nodes only.
fn windows(os: Option<&Fact<Arc<str>>>, spec: &Node, reader: &mut Reader) -> Option<Place> {
    let is_windows = |fact: &Fact<Arc<str>>| fact.get().is_some_and(|text| &**text == "windows");
    let place = |fact: &Fact<Arc<str>>| match &fact.origin {
        Origin::File(place) => Some(place.clone()),
        _ => None,
    };
    if let Some(os) = os {
        return is_windows(os).then(|| place(os)).flatten();
    }
    let selector = reader.mapping(spec, "nodeSelector")?;
    ["kubernetes.io/os", "beta.kubernetes.io/os"].iter().find_map(|key| {
        let os = reader.string(&selector, key)?;
        is_windows(&os).then(|| place(&os)).flatten()
    })
}

fn claim_templates(source: &Source, reader: &mut Reader) -> Box<[(Arc<str>, ClaimSpec)]> {
    let mut templates = Vec::new();
    let Some(spec) = source.object.get("spec").filter(|spec| spec.get("volumeClaimTemplates").is_some())
    else {
        return templates.into();
    };
    for template in reader.mappings(&spec, "volumeClaimTemplates") {
        let (name, _) = identity(&template, reader);
        let claim = storage::claim_spec(&template, reader);
        templates.push((name, claim));
    }
    templates.into()
}

//! Volumes of pods, and the claims and PersistentVolumes behind them: which end in a path of the host.

use std::sync::Arc;

use confinement::{Fact, Place};

use crate::document::Node;

use super::field::{Reader, present};
use super::pod::identity;
use super::quantity;
use super::selector::{Labels, Selector, object_labels};

/// A volume of a pod.
#[derive(Debug)]
pub(super) struct Volume {
    pub(super) name: Arc<str>,
    /// The key that says what it is, for the declaration.
    pub(super) kind: Fact<Option<Arc<str>>>,
    pub(super) source: VolumeSource,
}

#[derive(Debug)]
pub(super) enum VolumeSource {
    HostPath(Fact<Arc<str>>),
    EmptyDir,
    Claim {
        name: Fact<Arc<str>>,
        read_only: Option<Fact<bool>>,
    },
    /// A claim made for this pod alone, and gone with it.
    Ephemeral(ClaimSpec),
    /// `projected`, with a token for the API server among its sources.
    Token(Place),
    /// Made by the kubelet from the API (`configMap`, `secret`, …): always mounted read-only.
    FromApi(Arc<str>),
    /// A network file system, a cloud's disk, a driver: nothing of the host's files.
    Elsewhere(Arc<str>),
}

/// Kinds that the kubelet fills from API objects and mounts read-only (kubernetes#58720), and images, which are read-only too.
const FROM_API: &[&str] = &["configMap", "secret", "downwardAPI", "projected", "image"];

pub(super) fn volume(node: &Node, reader: &mut Reader) -> Option<Volume> {
    let name = reader.string(node, "name")?.value?;
    let found =
        node.entries().find(|(key, value)| key.as_str().is_some_and(|key| key != "name") && !value.is_null());
    // `emptyDir:` with nothing behind it is decoded as absent, and what names no source is an emptyDir
    // (SetDefaults_Volume, pkg/apis/core/v1/defaults.go).
    let Some((key, value)) = found else {
        let kind = Fact::known(None, node.origin());
        return Some(Volume { name, kind, source: VolumeSource::EmptyDir });
    };
    let kind: Arc<str> = key.as_str().unwrap_or("").into();
    let source = match &*kind {
        "hostPath" => {
            let path = if value.is_mapping() { reader.string(&value, "path") } else { None };
            let path = path.filter(|path| path.get().is_none_or(|path| !path.is_empty()));
            VolumeSource::HostPath(path.unwrap_or_else(|| {
                reader.problem(&value, "a hostPath volume needs a `path`");
                Fact::unknown(value.origin())
            }))
        }
        "emptyDir" => VolumeSource::EmptyDir,
        "persistentVolumeClaim" => VolumeSource::Claim {
            name: reader.string(&value, "claimName").unwrap_or_else(|| Fact::unknown(value.origin())),
            read_only: reader.boolean(&value, "readOnly"),
        },
        "ephemeral" => match present(&value, "volumeClaimTemplate") {
            Some(template) => VolumeSource::Ephemeral(claim_spec(&template, reader)),
            None => VolumeSource::Elsewhere(kind.clone()),
        },
        "projected" => match api_token(&value, reader) {
            Some(place) => VolumeSource::Token(place),
            None => VolumeSource::FromApi(kind.clone()),
        },
        other if FROM_API.contains(&other) => VolumeSource::FromApi(kind.clone()),
        _ => VolumeSource::Elsewhere(kind.clone()),
    };
    Some(Volume { name, kind: Fact::known(Some(kind), key.origin()), source })
}

/// A projected token that the API server accepts: one without an audience of its own, or with the API server's.
fn api_token(projected: &Node, reader: &mut Reader) -> Option<Place> {
    let sources = reader.mappings(projected, "sources");
    sources.iter().find_map(|source| {
        let token = present(source, "serviceAccountToken")?;
        let audience = reader.string(&token, "audience").and_then(|audience| audience.value);
        let for_api = audience.is_none_or(|text| text.is_empty() || text.contains("kubernetes.default.svc"));
        for_api.then(|| token.place())
    })
}

/// What a claim asks of a volume.
#[derive(Debug, Default)]
pub(super) struct ClaimSpec {
    pub(super) volume_name: Option<Arc<str>>,
    /// `Some("")` asks for a volume of no class.
    pub(super) class: Option<Arc<str>>,
    pub(super) selector: Option<Selector>,
    pub(super) request: Option<f64>,
    pub(super) access_modes: Vec<Arc<str>>,
    pub(super) block: bool,
}

#[derive(Debug)]
pub(super) struct Claim {
    pub(super) path: Arc<str>,
    pub(super) namespace: Option<Arc<str>>,
    pub(super) name: Arc<str>,
    pub(super) spec: ClaimSpec,
}

#[derive(Debug)]
pub(super) struct PersistentVolume {
    pub(super) path: Arc<str>,
    pub(super) name: Arc<str>,
    pub(super) labels: Labels,
    pub(super) class: Option<Arc<str>>,
    /// `claimRef`: the namespace and name of the one claim it is kept for.
    pub(super) claim: Option<(Arc<str>, Arc<str>)>,
    pub(super) capacity: Option<f64>,
    pub(super) access_modes: Vec<Arc<str>>,
    pub(super) block: bool,
    /// `hostPath.path` or `local.path`.
    pub(super) host: Option<Fact<Arc<str>>>,
}

pub(super) fn claim(node: &Node, reader: &mut Reader) -> Option<Claim> {
    let (name, namespace) = identity(node, reader);
    Some(Claim { path: reader.path().clone(), namespace, name, spec: claim_spec(node, reader) })
}

/// The `spec` of a claim or of a template for claims.
pub(super) fn claim_spec(claim: &Node, reader: &mut Reader) -> ClaimSpec {
    let annotated = class_annotation(claim, reader);
    let Some(spec) = reader.mapping(claim, "spec") else { return ClaimSpec::default() };
    let request = reader
        .mapping(&spec, "resources")
        .and_then(|resources| reader.mapping(&resources, "requests"))
        .and_then(|requests| reader.string(&requests, "storage"));
    ClaimSpec {
        volume_name: name_at(&spec, "volumeName", reader).filter(|name| !name.is_empty()),
        class: annotated.or_else(|| name_at(&spec, "storageClassName", reader)),
        selector: reader.mapping(&spec, "selector").map(|selector| Selector::read(&selector, reader)),
        request: request.and_then(|text| quantity::parse(text.get()?)),
        access_modes: reader.names(&spec, "accessModes"),
        block: name_at(&spec, "volumeMode", reader).as_deref() == Some("Block"),
    }
}

pub(super) fn persistent_volume(node: &Node, reader: &mut Reader) -> Option<PersistentVolume> {
    let (name, _) = identity(node, reader);
    let annotated = class_annotation(node, reader);
    let spec = reader.mapping(node, "spec")?;
    let claim = reader.mapping(&spec, "claimRef").and_then(|claim| {
        let name = name_at(&claim, "name", reader)?;
        Some((
            name_at(&claim, "namespace", reader).unwrap_or_else(|| super::pod::DEFAULT_NAMESPACE.into()),
            name,
        ))
    });
    let capacity =
        reader.mapping(&spec, "capacity").and_then(|capacity| name_at(&capacity, "storage", reader));
    let host = ["hostPath", "local"].iter().find_map(|key| {
        let source = reader.mapping(&spec, key)?;
        Some(reader.string(&source, "path").unwrap_or_else(|| Fact::unknown(source.origin())))
    });
    Some(PersistentVolume {
        path: reader.path().clone(),
        name,
        labels: object_labels(node, reader),
        class: annotated.or_else(|| name_at(&spec, "storageClassName", reader)),
        claim,
        capacity: capacity.and_then(|text| quantity::parse(&text)),
        access_modes: reader.names(&spec, "accessModes"),
        block: name_at(&spec, "volumeMode", reader).as_deref() == Some("Block"),
        host,
    })
}

fn name_at(node: &Node, key: &str, reader: &mut Reader) -> Option<Arc<str>> {
    reader.string(node, key)?.value
}

/// The class as it was named before it had a field.
fn class_annotation(object: &Node, reader: &mut Reader) -> Option<Arc<str>> {
    let annotations = present(&present(object, "metadata")?, "annotations")?;
    name_at(&annotations, "volume.beta.kubernetes.io/storage-class", reader)
}

/// Which volume a claim ends in, of those in view.
#[derive(Clone, Copy)]
pub(super) enum Bound<'a> {
    /// None in view: one will be made, or is elsewhere.
    NotInView,
    To(&'a PersistentVolume),
    /// Several would do, and which is taken changes what is mounted.
    Undecided,
}

impl PersistentVolume {
    /// Whether the claim's wishes other than its class are met: labels, modes, size
    /// (`FindMatchingVolume`, component-helpers/storage/volume/pv_helpers.go).
    fn suits(&self, spec: &ClaimSpec) -> bool {
        self.block == spec.block
            && spec.selector.as_ref().is_none_or(|selector| selector.matches(&self.labels))
            && spec.access_modes.iter().all(|mode| self.access_modes.contains(mode))
            && match (spec.request, self.capacity) {
                (Some(request), Some(capacity)) => capacity >= request,
                _ => true,
            }
    }
}

/// Of free volumes of the claim's class, the smallest that suits is taken; of equals, any.
pub(super) fn best_match<'a>(volumes: &[&'a PersistentVolume], spec: &ClaimSpec) -> Bound<'a> {
    let mut best: Option<&PersistentVolume> = None;
    let mut undecided = false;
    for volume in volumes.iter().copied().filter(|volume| volume.suits(spec)) {
        let size = |volume: &PersistentVolume| volume.capacity.unwrap_or(0.0);
        match best {
            Some(held) if size(volume) > size(held) => {}
            Some(held) if size(volume) == size(held) => {
                undecided |= volume.host.as_ref().map(|h| &h.value) != held.host.as_ref().map(|h| &h.value);
            }
            _ => {
                best = Some(volume);
                undecided = false;
            }
        }
    }
    match best {
        Some(_) if undecided => Bound::Undecided,
        Some(volume) => Bound::To(volume),
        None => Bound::NotInView,
    }
}

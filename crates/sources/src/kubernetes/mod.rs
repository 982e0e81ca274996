//! Kubernetes manifests: every kind that starts containers becomes one subject a container.
//!
//! Documents come from files (or a live cluster's answer); out of them come subjects, each with its
//! confinement and the pod as it was written. What one object says is often decided by another (a claim by
//! its PersistentVolume, a service account by the bindings that name it), so reading has two steps:
//! [`Objects::read`] takes one document apart and needs nothing else, which may be done for many files at
//! once; [`Objects::into_world`] joins what all of them said.
//!
//! What the API server, the kubelet and the CRI engine do with a field is cited where it is decided; engine
//! defaults are not decided here but in `confinement::confine`.

mod account;
mod builtin_roles;
mod container;
mod field;
mod pod;
mod quantity;
mod request;
mod resolve;
mod security;
mod selector;
mod storage;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use confinement::{Problem, World};

use crate::Context;
use crate::document::{Document, Node};
use account::{Account, Binding, Role};
use field::Reader;
use pod::Pod;
use storage::{Claim, PersistentVolume};

/// The realm of everything given together: files name no cluster, so one run is one cluster.
pub const REALM: &str = "kubernetes";

/// The API group and version are not looked at: `extensions/v1beta1` of 2015 and `apps/v1` have the same shape.
const TEMPLATE_KINDS: &[&str] =
    &["Deployment", "ReplicaSet", "ReplicationController", "StatefulSet", "DaemonSet", "Job"];

/// Kinds whose content may look like a pod template without being one.
const NEVER_WORKLOADS: &[&str] = &[
    "ConfigMap",
    "Secret",
    "CustomResourceDefinition",
    "Kustomization",
    "Component",
    "ValidatingWebhookConfiguration",
    "MutatingWebhookConfiguration",
];

/// A pod template of a kind that is not known here lies at most this many levels below the object.
const DEEPEST_TEMPLATE: usize = 12;

/// Whether every cluster has a ClusterRole of this name, and what it grants is known here.
pub fn is_builtin_role(name: &str) -> bool {
    builtin_roles::rules(name).is_some()
}

/// Whether a document is a Kubernetes object: it says its kind and the version of its API.
pub fn recognise(root: &Node) -> bool {
    let text = |key: &str| root.get(key).is_some_and(|node| node.as_string_strict().is_some());
    text("kind") && text("apiVersion")
}

/// The objects of any number of documents, taken apart but not yet joined.
#[derive(Debug, Default)]
pub struct Objects {
    pods: Vec<Pod>,
    claims: Vec<Claim>,
    persistent_volumes: Vec<PersistentVolume>,
    accounts: Vec<Account>,
    roles: Vec<Role>,
    bindings: Vec<Binding>,
    runtime_classes: Vec<RuntimeClass>,
    problems: Vec<Problem>,
    notes: Vec<Problem>,
}

/// A RuntimeClass: its name stands for a handler in the engine's configuration.
#[derive(Debug)]
struct RuntimeClass {
    path: Arc<str>,
    name: Arc<str>,
    handler: confinement::Fact<Arc<str>>,
}

impl Objects {
    /// Takes one document apart. A document that is no Kubernetes object, or of a kind that starts no container and says
    /// nothing of one, adds nothing.
    pub fn read(document: &Document) -> Objects {
        let mut objects = Objects::default();
        objects.add(document);
        objects
    }

    /// As [`Objects::read`], beside what is already here.
    pub fn add(&mut self, document: &Document) {
        self.add_with(document, Reader::new(&document.path, &document.root));
    }

    /// As [`Objects::add`], for an object as an API server has it: braces in its texts are no marker of a template tool.
    pub fn add_held(&mut self, document: &Document) {
        self.add_with(document, Reader::new(&document.path, &document.root).rendered());
    }

    fn add_with(&mut self, document: &Document, mut reader: Reader) {
        self.object(&document.root, None, &mut reader);
        self.problems.extend(reader.into_problems());
    }

    /// Puts the objects of other documents behind these. The order of documents is the order of subjects.
    pub fn merge(&mut self, other: Objects) {
        self.pods.extend(other.pods);
        self.claims.extend(other.claims);
        self.persistent_volumes.extend(other.persistent_volumes);
        self.accounts.extend(other.accounts);
        self.roles.extend(other.roles);
        self.bindings.extend(other.bindings);
        self.runtime_classes.extend(other.runtime_classes);
        self.problems.extend(other.problems);
        self.notes.extend(other.notes);
    }

    /// Joins everything that was read, and confines every container.
    pub fn into_world(self, context: &Context) -> World {
        resolve::into_world(self, context)
    }

    /// `item_kind` is what an item of a typed list is where it does not say so itself, as in the items of a
    /// `PodList` that an API server wrote.
    fn object(&mut self, node: &Node, item_kind: Option<&str>, reader: &mut Reader) {
        let kind = match node.get("kind") {
            Some(kind) => kind,
            None if item_kind.is_some() => node.clone(),
            None => return,
        };
        let kind = kind.as_string_strict().or(item_kind).unwrap_or("");
        if let Some(items) = kind.strip_suffix("List").and_then(|of| Some((of, node.get("items")?))) {
            let (of, items) = items;
            for item in reader.sequence(&items, "items") {
                self.object(&item, (!of.is_empty()).then_some(of), reader);
            }
            return;
        }
        match kind {
            "PersistentVolume" => self.persistent_volumes.extend(storage::persistent_volume(node, reader)),
            "PersistentVolumeClaim" => self.claims.extend(storage::claim(node, reader)),
            "ServiceAccount" => self.accounts.extend(account::account(node, reader)),
            "Role" | "ClusterRole" => self.roles.extend(account::role(node, kind, reader)),
            "RoleBinding" | "ClusterRoleBinding" => {
                self.bindings.extend(account::binding(node, kind, reader))
            }
            "RuntimeClass" => self.runtime_classes.extend(runtime_class(node, reader)),
            _ => self.workload(node, kind, reader),
        }
    }

    fn workload(&mut self, node: &Node, kind: &str, reader: &mut Reader) {
        let step = |from: &Node, keys: &[&str]| -> Option<Node> {
            keys.iter().try_fold(from.clone(), |node, key| node.get(key))
        };
        let (route, template) = match kind {
            "Pod" => ("", Some(node.clone())),
            "PodTemplate" => ("template", step(node, &["template"])),
            "CronJob" | "ScheduledJob" => {
                ("spec.jobTemplate.spec.template", step(node, &["spec", "jobTemplate", "spec", "template"]))
            }
            _ if TEMPLATE_KINDS.contains(&kind) => ("spec.template", step(node, &["spec", "template"])),
            _ if NEVER_WORKLOADS.contains(&kind) => return,
            _ => {
                self.templates_within(node, kind, reader);
                return;
            }
        };
        let spec = template.as_ref().and_then(|t| t.get("spec"));
        match (template, spec) {
            (Some(template), Some(spec)) if !spec.is_null() => {
                self.pod(node, kind, &template, &spec, route, None, reader);
            }
            // A patch (Kustomize) may name a Deployment and change only its replicas.
            _ => self.notes.push(Problem::at(
                &node.place(),
                format!("this {kind} holds no pod specification: nothing to judge in it"),
            )),
        }
    }

    /// Kinds that are not Kubernetes' own (Rollout, Service of Knative, JobSet, RayCluster, …) carry pod
    /// templates as Kubernetes' own do: a mapping with `spec.containers`, under a key of any name.
    fn templates_within(&mut self, node: &Node, kind: &str, reader: &mut Reader) {
        let Some(spec) = node.get("spec") else { return };
        let mut found = Vec::new();
        find_templates(&spec, "spec".to_owned(), 0, &mut found);
        let several = found.len() > 1;
        for (route, template) in found {
            let Some(spec) = template.get("spec") else { continue };
            let part = several.then_some(route.as_str());
            self.pod(node, kind, &template, &spec, &route, part, reader);
        }
    }

    #[allow(clippy::too_many_arguments)]
    fn pod(
        &mut self,
        object: &Node,
        kind: &str,
        template: &Node,
        spec: &Node,
        route: &str,
        part: Option<&str>,
        reader: &mut Reader,
    ) {
        if let Some(pod) = pod::pod(&pod::Source { object, kind, template, spec, route, part }, reader) {
            if pod.declaration.containers.is_empty() {
                self.notes.push(Problem::at(
                    &spec.place(),
                    format!(
                        "the pod of {kind} {} holds no container: nothing to judge in it",
                        pod.declaration.name
                    ),
                ));
            }
            self.pods.push(pod);
        }
    }
}

fn find_templates(node: &Node, route: String, depth: usize, found: &mut Vec<(String, Node)>) {
    // What a document can reach is bounded by the reader of documents; what is looked at here is bounded again,
    // because most kinds hold no template at all.
    if depth > DEEPEST_TEMPLATE || found.len() >= 64 {
        return;
    }
    if node.is_mapping() {
        let containers = node.get("spec").and_then(|spec| spec.get("containers"));
        if containers.is_some_and(|c| c.is_sequence()) {
            found.push((route, node.clone()));
            return;
        }
        for (key, value) in node.entries() {
            if (value.is_mapping() || value.is_sequence())
                && let Some(key) = key.as_str()
            {
                find_templates(&value, format!("{route}.{key}"), depth + 1, found);
            }
        }
    } else if node.is_sequence() {
        for (n, item) in node.items().enumerate() {
            if item.is_mapping() {
                find_templates(&item, format!("{route}[{n}]"), depth + 1, found);
            }
        }
    }
}

fn runtime_class(node: &Node, reader: &mut Reader) -> Option<RuntimeClass> {
    let metadata = node.get("metadata")?;
    let name = reader.string(&metadata, "name")?.value?;
    // node.k8s.io/v1alpha1 kept it under `spec.runtimeHandler`.
    let handler = match reader.string(node, "handler") {
        Some(handler) => handler,
        None => {
            let spec = reader.mapping(node, "spec")?;
            reader.string(&spec, "runtimeHandler")?
        }
    };
    Some(RuntimeClass { path: reader.path().clone(), name, handler })
}

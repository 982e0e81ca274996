//! RBAC, judged by what the rights open: to a container that nothing is against, but for the token of a service account that
//! is given them.
//!
//! A role is judged when it is written, as a binding does not hold it; a binding only where it hands out a role that every
//! cluster has.

use serde_json::{Value, json};
use sources::kubernetes::Objects;

use super::object::{Court, document};
use super::review::Request;
use super::volume::judge;
use crate::ruling::Ruling;

const HOLDER: &str = "holder";

pub(super) fn ruling(object: &Value, request: &Request, court: &Court) -> Ruling {
    let policy = &court.rules.policy;
    let outcome = policy.doors.kubernetes.roles.unwrap_or(policy.open);
    let (kind, name) = (request.kind.as_str(), request.name());
    let namespace = Some(request.namespace.as_str()).filter(|n| !n.is_empty());
    let shown = match namespace {
        Some(namespace) => format!("{namespace}/{kind}/{name}"),
        None => format!("{kind}/{name}"),
    };
    let given = if kind.ends_with("Binding") {
        given_by_binding(object, request)
    } else {
        given_by_role(object, request)
    };
    let Some(given) = given else { return Ruling::allow() };
    let mut objects = Objects::default();
    for object in given {
        match document(&object) {
            Ok(document) => objects.add_held(&document),
            Err(why) => return Ruling::deny(why),
        }
    }
    judge(objects.into_world(court.context), &shown, namespace, outcome, court)
}

fn home(request: &Request) -> &str {
    if request.namespace.is_empty() { "default" } else { &request.namespace }
}

/// The role, and a container whose account is bound to it.
fn given_by_role(role: &Value, request: &Request) -> Option<Vec<Value>> {
    let mut role = role.clone();
    let fields = role.as_object_mut()?;
    // What a controller gathered into the role stands in its rules.
    fields.remove("aggregationRule");
    fields.insert("metadata".into(), json!({ "name": HOLDER, "namespace": home(request) }));
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": format!("{}Binding", request.kind),
        "metadata": { "name": HOLDER, "namespace": home(request) },
        "roleRef": { "kind": request.kind, "name": HOLDER },
        "subjects": [{ "kind": "ServiceAccount", "name": HOLDER, "namespace": home(request) }],
    });
    Some([vec![role, binding], around(HOLDER, home(request))].concat())
}

/// The binding, and a container of the first account that it names, where it hands out a role that is known.
fn given_by_binding(binding: &Value, request: &Request) -> Option<Vec<Value>> {
    let role = binding.pointer("/roleRef/name")?.as_str()?;
    if binding.pointer("/roleRef/kind")?.as_str()? != "ClusterRole"
        || !sources::kubernetes::is_builtin_role(role)
    {
        return None;
    }
    let (namespace, account) =
        binding.get("subjects")?.as_array()?.iter().find_map(|subject| account_of(subject, home(request)))?;
    let mut binding = binding.clone();
    binding.as_object_mut()?.insert(
        "subjects".into(),
        json!([{ "kind": "ServiceAccount", "name": account, "namespace": namespace }]),
    );
    Some([vec![binding], around(&account, &namespace)].concat())
}

/// A service account that a binding names, by itself or through a group. People are no containers; who is not
/// authenticated may be one (`system:unauthenticated`: whoever reaches the API server).
fn account_of(subject: &Value, home: &str) -> Option<(String, String)> {
    let name = subject.get("name")?.as_str()?;
    match subject.get("kind")?.as_str()? {
        "ServiceAccount" => {
            let namespace = subject.get("namespace").and_then(Value::as_str).unwrap_or(home);
            Some((namespace.to_owned(), name.to_owned()))
        }
        "User" if name == "system:anonymous" => Some((home.to_owned(), HOLDER.to_owned())),
        "User" => {
            let (namespace, account) = name.strip_prefix("system:serviceaccount:")?.split_once(':')?;
            Some((namespace.to_owned(), account.to_owned()))
        }
        "Group" => match name {
            "system:serviceaccounts" | "system:authenticated" | "system:unauthenticated" => {
                Some((home.to_owned(), HOLDER.to_owned()))
            }
            other => Some((other.strip_prefix("system:serviceaccounts:")?.to_owned(), HOLDER.to_owned())),
        },
        _ => None,
    }
}

/// A container that nothing but its account's rights speak against, and the pods that such rights lead to in every cluster:
/// kube-proxy as kubeadm makes it (cmd/kubeadm/app/phases/addons/proxy/manifests.go), privileged on every node.
fn around(account: &str, namespace: &str) -> Vec<Value> {
    let sound = json!({
        "allowPrivilegeEscalation": false,
        "readOnlyRootFilesystem": true,
        "capabilities": { "drop": ["ALL"] },
    });
    let holder = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": { "name": HOLDER, "namespace": namespace },
        "spec": {
            "serviceAccountName": account,
            "automountServiceAccountToken": true,
            "hostUsers": false,
            "securityContext": {
                "runAsNonRoot": true, "runAsUser": 65534, "runAsGroup": 65534,
                "seccompProfile": { "type": "RuntimeDefault" },
            },
            "containers": [{ "name": HOLDER, "image": HOLDER, "securityContext": sound }],
        },
    });
    let proxy = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": { "name": "kube-proxy", "namespace": "kube-system" },
        "spec": {
            "serviceAccountName": "kube-proxy",
            "hostNetwork": true,
            "containers": [{
                "name": "kube-proxy", "image": "kube-proxy", "securityContext": { "privileged": true },
            }],
        },
    });
    vec![holder, proxy]
}

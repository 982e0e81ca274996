//! Reviews in the shapes that an API server sends, decided and answered.

#[path = "kubernetes/wrap.rs"]
mod wrap;

use gate::InForce;
use gate::kubernetes::review::{Decided, decide};
use policy::{Date, NoFiles, Outcome, Policy, Waivers};
use serde_json::{Value, json};
use sources::Context;
use wrap::Review;

fn rules(policy: &str) -> InForce {
    let policy = Policy::parse(&format!("version: 1\n{policy}"), &"policy.yaml".into(), &NoFiles).unwrap();
    InForce { policy, waivers: Waivers::default() }
}

fn today() -> Date {
    "2027-01-10".parse().unwrap()
}

fn decided(review: &Review, policy: &str) -> Decided {
    let bytes = serde_json::to_vec(&review.to_json()).unwrap();
    decide(&bytes, &Context::assumed(), &rules(policy), today()).unwrap()
}

fn pod(spec: Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": { "name": "web", "namespace": "shop", "labels": { "app": "web" } },
        "spec": spec,
    })
}

fn sound() -> Value {
    json!({ "containers": [{ "name": "web", "image": "nginx" }] })
}

fn privileged() -> Value {
    json!({ "containers": [{ "name": "web", "image": "nginx", "securityContext": { "privileged": true } }] })
}

#[test]
fn a_sound_pod_is_let_in_and_a_privileged_one_refused_with_its_reason() {
    let decided_sound = decided(&Review::create(pod(sound())), "");
    assert_eq!(decided_sound.ruling.outcome, Outcome::Allow);
    assert_eq!(decided_sound.answer()["response"]["allowed"], true);

    let refused = decided(&Review::create(pod(privileged())), "");
    let answer = refused.answer();
    let response = &answer["response"];
    assert_eq!(answer["kind"], "AdmissionReview");
    assert_eq!(answer["apiVersion"], "admission.k8s.io/v1");
    assert_eq!(response["uid"], Review::UID);
    assert_eq!(response["allowed"], false);
    assert_eq!(response["status"]["code"], 403);
    let message = response["status"]["message"].as_str().unwrap();
    assert!(
        message.starts_with("shop/web/web: denied: shop/web/web can become root on the host"),
        "{message}"
    );
    assert!(message.contains("securityContext.privileged: false"), "{message}");
    assert_eq!(response["auditAnnotations"]["outcome"], "deny");
    assert_eq!(refused.asked, "CREATE pods shop/web");
    assert_eq!(refused.who.user.as_deref(), Some("ada"));
}

fn role(rules: Value) -> Value {
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
        "metadata": { "name": "reader" }, "rules": rules,
    })
}

#[test]
fn a_role_is_refused_where_its_rights_open_a_path() {
    for (resource, verb, technique) in [
        ("secrets", "get", "read-secrets"),
        ("pods", "create", "create-pods"),
        ("pods/ephemeralcontainers", "patch", "debug-pods"),
        ("nodes/proxy", "get", "kubelet-api-by-grant"),
        ("serviceaccounts/token", "create", "create-service-account-tokens"),
        ("users", "impersonate", "impersonate-others"),
    ] {
        let role = role(json!([{ "apiGroups": [""], "resources": [resource], "verbs": [verb] }]));
        let decided = decided(&Review::create(role), "");
        assert!(decided.ruling.is_denied(), "{resource}");
        assert!(decided.ruling.message.contains(technique), "{resource}: {}", decided.ruling.message);
        assert!(decided.ruling.message.starts_with("ClusterRole/reader: denied"), "{resource}");
    }
    let exec = role(json!([{ "apiGroups": [""], "resources": ["pods/exec"], "verbs": ["create"] }]));
    assert!(decided(&Review::create(exec), "").ruling.message.contains("can become root on the host"));
    for harmless in [json!([{ "apiGroups": [""], "resources": ["pods"], "verbs": ["get"] }]), json!([])] {
        assert_eq!(decided(&Review::create(role(harmless)), "").ruling.outcome, Outcome::Allow);
    }
}

#[test]
fn a_binding_is_refused_where_it_hands_a_containers_account_a_role_that_opens_a_path() {
    let binding = |role: &str, subject: Value| {
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
            "metadata": { "name": "b" },
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role },
            "subjects": [subject],
        })
    };
    let account = json!({ "kind": "ServiceAccount", "name": "a", "namespace": "shop" });
    let group = |name: &str| json!({ "kind": "Group", "name": name });
    let user = |name: &str| json!({ "kind": "User", "name": name });
    for (role, subject, outcome) in [
        ("cluster-admin", account.clone(), Outcome::Deny),
        ("edit", account.clone(), Outcome::Deny),
        ("view", account.clone(), Outcome::Allow),
        ("cluster-admin", group("system:serviceaccounts:shop"), Outcome::Deny),
        ("cluster-admin", group("system:authenticated"), Outcome::Deny),
        ("cluster-admin", group("system:unauthenticated"), Outcome::Deny),
        ("cluster-admin", user("system:serviceaccount:shop:a"), Outcome::Deny),
        ("cluster-admin", user("system:anonymous"), Outcome::Deny),
        ("cluster-admin", user("ada"), Outcome::Allow),
        ("cluster-admin", group("admins"), Outcome::Allow),
        // Its rules were judged when it was made.
        ("mine", account, Outcome::Allow),
    ] {
        let told = format!("{role} {subject}");
        assert_eq!(decided(&Review::create(binding(role, subject)), "").ruling.outcome, outcome, "{told}");
    }
}

#[test]
fn a_volume_is_refused_where_what_it_shows_opens_a_path() {
    for (source, outcome) in [
        (json!({ "hostPath": { "path": "/" } }), Outcome::Deny),
        (json!({ "hostPath": { "path": "/var/run/docker.sock" } }), Outcome::Deny),
        (json!({ "local": { "path": "/etc" } }), Outcome::Deny),
        (json!({ "local": { "path": "/mnt/disks/one" } }), Outcome::Allow),
        (json!({ "nfs": { "server": "files", "path": "/" } }), Outcome::Allow),
    ] {
        let mut volume = json!({
            "apiVersion": "v1", "kind": "PersistentVolume", "metadata": { "name": "data" },
            "spec": { "capacity": { "storage": "1Gi" }, "accessModes": ["ReadWriteOnce"] },
        });
        for (key, value) in source.as_object().unwrap() {
            volume["spec"][key] = value.clone();
        }
        let decided = decided(&Review::create(volume), "");
        assert_eq!(decided.ruling.outcome, outcome, "{source}: {}", decided.ruling.message);
    }
}

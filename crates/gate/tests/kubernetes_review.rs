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

/// What holds a pod, with the route from it to the pod's specification.
fn holding(spec: &Value) -> Vec<(&'static str, Value)> {
    let template = json!({ "metadata": { "labels": { "app": "web" } }, "spec": spec });
    let metadata = json!({ "name": "web", "namespace": "shop" });
    let object = |api: &str, kind: &str, spec: Value| json!({ "apiVersion": api, "kind": kind, "metadata": metadata, "spec": spec });
    let job = json!({ "template": template });
    let selector = json!({ "matchLabels": { "app": "web" } });
    let controller = json!({ "replicas": 2, "selector": selector, "template": template });
    vec![
        ("Pod", object("v1", "Pod", spec.clone())),
        ("Deployment", object("apps/v1", "Deployment", controller.clone())),
        ("ReplicaSet", object("apps/v1", "ReplicaSet", controller.clone())),
        ("StatefulSet", object("apps/v1", "StatefulSet", controller.clone())),
        ("DaemonSet", object("apps/v1", "DaemonSet", controller.clone())),
        ("ReplicationController", object("v1", "ReplicationController", controller)),
        ("Job", object("batch/v1", "Job", job.clone())),
        (
            "CronJob",
            object("batch/v1", "CronJob", json!({ "schedule": "0 * * * *", "jobTemplate": { "spec": job } })),
        ),
        (
            "PodTemplate",
            json!({ "apiVersion": "v1", "kind": "PodTemplate", "metadata": metadata, "template": template }),
        ),
        ("Rollout", object("argoproj.io/v1alpha1", "Rollout", json!({ "template": template }))),
        ("RayCluster", object("ray.io/v1", "RayCluster", json!({ "groups": [{ "template": template }] }))),
    ]
}

#[test]
fn whatever_holds_a_pod_is_decided_as_the_pod() {
    for (kind, object) in holding(&sound()) {
        assert_eq!(decided(&Review::create(object), "").ruling.outcome, Outcome::Allow, "{kind}");
    }
    for (kind, object) in holding(&privileged()) {
        let decided = decided(&Review::create(object), "");
        assert_eq!(decided.ruling.outcome, Outcome::Deny, "{kind}");
        assert_eq!(&*decided.kind, kind);
        assert_eq!(decided.ruling.subjects.len(), 1, "{kind}");
    }
    let data = json!({ "template": { "spec": privileged() } });
    let map = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "m" }, "data": data });
    assert_eq!(decided(&Review::create(map), "").ruling.outcome, Outcome::Allow);
}

#[test]
fn containers_of_every_role_count_and_the_whole_pod_of_a_subresource() {
    let bad = json!({ "name": "bad", "image": "nginx", "securityContext": { "privileged": true } });
    for key in ["initContainers", "ephemeralContainers"] {
        let mut spec = sound();
        spec[key] = json!([bad]);
        let create = Review::create(pod(spec.clone()));
        assert!(decided(&create, "").ruling.message.starts_with("shop/web/bad: denied"), "{key}");
        for subresource in ["ephemeralcontainers", "resize"] {
            let mut update = Review::update(pod(sound()), pod(spec.clone()));
            update.subresource = Some(subresource);
            let decided = decided(&update, "");
            assert!(decided.ruling.is_denied(), "{key} {subresource}");
            assert_eq!(decided.asked, format!("UPDATE pods/{subresource} shop/web"));
        }
    }
}

#[test]
fn the_namespace_of_the_request_counts_where_the_object_names_none() {
    let policy = "rules:\n- {name: strict, subjects: {namespaces: [prod-*]}, require: {standards: pss-restricted@latest}}\n";
    let mut object = pod(sound());
    object["metadata"] = json!({ "generateName": "web-" });
    let mut review = Review::create(object);
    for (namespace, outcome) in [("prod-eu", Outcome::Deny), ("test", Outcome::Allow)] {
        review.namespace = Some(namespace.into());
        let decided = decided(&review, policy);
        assert_eq!(decided.ruling.outcome, outcome, "{namespace}");
        assert_eq!(decided.asked, format!("CREATE pods {namespace}/web-"));
    }
    review.object = Some(pod(sound()));
    let decided = decided(&review, policy);
    assert!(decided.ruling.message.contains("is in the namespace `shop`, and the request says `test`"));
}

#[test]
fn an_update_that_makes_nothing_worse_is_let_in_with_a_warning() {
    let mut labelled = pod(privileged());
    labelled["metadata"]["labels"]["team"] = "a".into();
    let mut ending = pod(privileged());
    ending["metadata"]["deletionTimestamp"] = "2027-01-10T00:00:00Z".into();
    for (old, new) in [
        (pod(privileged()), labelled),
        (ending.clone(), {
            ending["metadata"]["finalizers"] = json!([]);
            ending
        }),
    ] {
        let decided = decided(&Review::update(old, new), "");
        assert_eq!(decided.ruling.outcome, Outcome::Warn);
        let warnings = decided.answer()["response"]["warnings"].clone();
        assert_eq!(warnings[0], "let in because this update makes nothing worse");
        assert!(warnings[1].as_str().unwrap().contains("can become root on the host"), "{warnings}");
    }
    for (_, object) in holding(&privileged()).into_iter().skip(1) {
        let mut scaled = object.clone();
        scaled["metadata"]["annotations"] = json!({ "note": "x" });
        assert_eq!(decided(&Review::update(object, scaled), "").ruling.outcome, Outcome::Warn);
    }
}

#[test]
fn an_update_that_makes_something_worse_or_changes_what_is_bad_is_refused() {
    let changed = |change: &dyn Fn(&mut Value)| {
        let mut new = pod(privileged());
        change(&mut new);
        Review::update(pod(privileged()), new)
    };
    let refused = [
        Review::update(pod(sound()), pod(privileged())),
        changed(&|p| p["spec"]["containers"][0]["image"] = "evil".into()),
        changed(&|p| p["spec"]["hostPID"] = true.into()),
        changed(&|p| {
            p["spec"]["containers"]
                .as_array_mut()
                .unwrap()
                .push(json!({ "name": "two", "image": "x", "securityContext": { "privileged": true } }));
        }),
        changed(&|p| p["spec"]["volumes"] = json!([{ "name": "root", "hostPath": { "path": "/" } }])),
    ];
    for review in &refused {
        assert!(decided(review, "").ruling.is_denied(), "{}", review.to_json()["request"]["object"]);
    }
    // A better one is let in as it is.
    let better = Review::update(pod(privileged()), pod(sound()));
    assert_eq!(decided(&better, "").ruling.outcome, Outcome::Allow);
    let grown = [json!({ "apiGroups": [""], "resources": ["secrets"], "verbs": ["get"] })];
    let more =
        [grown[0].clone(), json!({ "apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"] })];
    assert!(decided(&Review::update(role(json!(grown)), role(json!(more))), "").ruling.is_denied());
    let mut labelled = role(json!(grown));
    labelled["metadata"]["labels"] = json!({ "a": "b" });
    assert_eq!(decided(&Review::update(role(json!(grown)), labelled), "").ruling.outcome, Outcome::Warn);
}

#[test]
fn what_is_deleted_or_scaled_or_a_status_is_none_of_its_business() {
    let mut status = Review::update(pod(privileged()), pod(privileged()));
    status.subresource = Some("status");
    let scale = json!({
        "apiVersion": "autoscaling/v1", "kind": "Scale",
        "metadata": { "name": "web", "namespace": "shop" }, "spec": { "replicas": 3 },
    });
    let mut scale = Review::update(scale.clone(), scale);
    scale.resource = Some(("apps", "deployments"));
    scale.subresource = Some("scale");
    for review in [Review::delete(pod(privileged())), status, scale] {
        let decided = decided(&review, "");
        assert_eq!(decided.ruling.outcome, Outcome::Allow, "{}", decided.asked);
        assert_eq!(decided.ruling.message, "");
    }
}

#[test]
fn a_connection_is_decided_by_the_policys_word() {
    let policy = "doors:\n  kubernetes:\n    connect:\n    - {to: [exec, attach], namespaces: [shop], users: [ada], outcome: deny, message: use the runbook}\n    - {to: nodes/proxy, outcome: warn}\n";
    let connect = |kind: &str, resource: &'static str, subresource: &'static str, namespace: Option<&str>| {
        let options =
            json!({ "apiVersion": "v1", "kind": kind, "command": ["sh"], "container": "web", "stdin": true });
        let mut review = Review::create(options);
        review.operation = "CONNECT";
        review.resource = Some(("", resource));
        review.subresource = Some(subresource);
        review.name = Some("web".into());
        review.namespace = namespace.map(str::to_owned);
        review
    };
    let exec = connect("PodExecOptions", "pods", "exec", Some("shop"));
    let refused = decided(&exec, policy);
    assert_eq!(refused.ruling.message, "web/exec: denied: use the runbook");
    assert_eq!(refused.asked, "CONNECT pods/exec shop/web");
    assert_eq!(decided(&exec, "").ruling.outcome, Outcome::Allow);
    for (review, outcome) in [
        (connect("PodAttachOptions", "pods", "attach", Some("shop")), Outcome::Deny),
        (connect("PodExecOptions", "pods", "exec", Some("test")), Outcome::Allow),
        (connect("PodPortForwardOptions", "pods", "portforward", Some("shop")), Outcome::Allow),
        (connect("NodeProxyOptions", "nodes", "proxy", None), Outcome::Warn),
    ] {
        assert_eq!(decided(&review, policy).ruling.outcome, outcome, "{:?}", review.resource);
    }
}

#[test]
fn a_mirror_pod_of_a_kubelet_is_shown_and_that_of_anybody_else_refused() {
    let mut object = pod(privileged());
    object["metadata"]["annotations"] = json!({ "kubernetes.io/config.mirror": "0123" });
    let mut review = Review::create(object);
    assert!(decided(&review, "").ruling.is_denied());
    review.user = "system:node:one";
    review.groups = vec!["system:nodes", "system:authenticated"];
    let decided = decided(&review, "");
    assert_eq!(decided.ruling.outcome, Outcome::Warn);
    assert!(decided.ruling.message.starts_with("a static pod"), "{}", decided.ruling.message);
}

#[test]
fn a_pod_that_cannot_be_judged_is_refused_unless_the_policy_says_otherwise() {
    let mut spec = sound();
    spec["os"] = json!({ "name": "windows" });
    let review = Review::create(pod(spec));
    let refused = decided(&review, "");
    assert!(refused.ruling.is_denied());
    assert!(refused.ruling.message.contains("runs on Windows nodes"), "{}", refused.ruling.message);
    for (word, outcome) in [("warn", Outcome::Warn), ("allow", Outcome::Allow)] {
        let policy = format!("doors: {{kubernetes: {{not-judged: {word}}}}}\n");
        assert_eq!(decided(&review, &policy).ruling.outcome, outcome);
    }
    // What was there before the gate goes on working.
    let mut labelled = pod(review.object.as_ref().unwrap()["spec"].clone());
    labelled["metadata"]["labels"] = json!({ "team": "a" });
    let update = Review::update(review.object.clone().unwrap(), labelled.clone());
    assert_eq!(decided(&update, "").ruling.outcome, Outcome::Warn);
    labelled["spec"]["hostNetwork"] = true.into();
    assert!(decided(&Review::update(review.object.clone().unwrap(), labelled), "").ruling.is_denied());
    // What another group calls a Deployment may be anything.
    let own = json!({
        "apiVersion": "own.example/v1", "kind": "Deployment", "metadata": { "name": "x" }, "spec": {},
    });
    assert_eq!(decided(&Review::create(own), "").ruling.outcome, Outcome::Allow);
}

#[test]
fn a_waiver_in_an_object_counts_only_where_the_policy_lets_it() {
    let mut object = pod(json!({
        "hostNetwork": true,
        "containers": [{ "name": "web", "image": "nginx", "volumeMounts": [{ "name": "s", "mountPath": "/s" }] }],
        "volumes": [{ "name": "s", "hostPath": { "path": "/var/run/docker.sock" } }],
    }));
    object["metadata"]["annotations"] =
        json!({ "stockade.dev/waive": "* until=2027-01-31 reason=\"the CNI plugin\"" });
    let review = Review::create(object);
    assert!(decided(&review, "").ruling.is_denied());
    let waived = decided(&review, "waivers-in-place: everywhere\n");
    assert_eq!(waived.ruling.outcome, Outcome::Allow, "{}", waived.ruling.message);
    assert!(!waived.ruling.subjects[0].decision.waived.is_empty());
}

#[test]
fn braces_in_a_live_object_are_no_templates() {
    let mut object = pod(sound());
    object["metadata"]["annotations"] = json!({
        "vault.hashicorp.com/agent-inject-template": "{{ with secret \"a\" }}{{ end }}",
        "seccomp.security.alpha.kubernetes.io/pod": "{{ x }}",
    });
    object["spec"]["containers"][0]["args"] = json!(["${HOME}", "{{ .Values }}"]);
    object["spec"]["containers"][0]["workingDir"] = "{% x %}".into();
    let decided = decided(&Review::create(object), "");
    assert!(!decided.ruling.message.contains("template"), "{}", decided.ruling.message);
}

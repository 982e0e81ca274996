//! What is in packaging/kubernetes: held by our own audit, let in by the gate itself, and one and the same as the chart
//! makes of its default values.

#[path = "kubernetes/wrap.rs"]
mod wrap;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use gate::InForce;
use gate::kubernetes::review::decide;
use policy::pod_security::{Standard, Verdict as Passes, evaluate};
use policy::{Date, NoFiles, Outcome, Policy, Waivers};
use serde_json::{Value, json};
use sources::document::{Limits, Node, Value as Kind, parse_bytes};
use sources::{Context, gather};
use techniques::judge::{Options, Verdict, judge};
use techniques::severity::Severity;
use wrap::Review;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging/kubernetes")
}

fn today() -> Date {
    "2027-01-10".parse().unwrap()
}

fn to_json(node: &Node) -> Value {
    match node.value() {
        Kind::Null => Value::Null,
        Kind::Bool(value) => value.into(),
        Kind::Integer(value) => value.into(),
        Kind::Float(value) => value.into(),
        Kind::String => node.as_str().unwrap().into(),
        Kind::Sequence => node.items().map(|item| to_json(&item)).collect(),
        Kind::Mapping => {
            let fields = node.entries().map(|(k, v)| (k.as_str().unwrap().to_owned(), to_json(&v)));
            Value::Object(fields.collect())
        }
    }
}

fn documents(text: &str, path: &Path) -> Vec<Value> {
    let path: Arc<str> = path.to_string_lossy().into();
    parse_bytes(text.as_bytes(), &path, &Limits::default())
        .into_iter()
        .map(|document| to_json(&document.unwrap().root))
        .filter(|value| !value.is_null())
        .collect()
}

/// Every object of the plain manifests, by kind and name.
fn plain() -> BTreeMap<String, Value> {
    let mut objects = BTreeMap::new();
    for entry in std::fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "yaml") {
            for object in documents(&std::fs::read_to_string(&path).unwrap(), &path) {
                objects.insert(name(&object), object);
            }
        }
    }
    objects
}

fn name(object: &Value) -> String {
    let text = |route: &str| object.pointer(route).and_then(Value::as_str).unwrap_or_default().to_owned();
    format!("{}/{}", text("/kind"), text("/metadata/name"))
}

fn in_force(objects: &BTreeMap<String, Value>) -> InForce {
    let data = &objects["ConfigMap/stockade-policy"]["data"];
    let policy = data["policy.yaml"].as_str().unwrap();
    let waivers = data["waivers.yaml"].as_str().unwrap();
    InForce {
        policy: Policy::parse(policy, &"policy.yaml".into(), &NoFiles).unwrap(),
        waivers: Waivers::parse(waivers, &"waivers.yaml".into()).unwrap(),
    }
}

#[test]
fn our_own_audit_finds_the_manifests_held_with_nothing_alarming() {
    let files = std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path());
    let files: Vec<PathBuf> = files.filter(|path| path.is_file()).collect();
    let world = gather::paths(&files, &Context::assumed());
    assert!(world.problems.is_empty(), "{:?}", world.problems);
    let judgement = judge(&world, Options::default());
    let pods = world.subjects.iter().filter(|subject| subject.pod.is_some());
    assert_eq!(pods.count(), 1);
    for judged in &judgement.subjects {
        let subject = &world.subjects[judged.subject];
        assert_eq!(judged.verdict, Verdict::Held, "{}", subject.name);
        assert!(judged.depth.min >= 2, "{}", subject.name);
        for finding in judged.weaknesses.iter().chain(&judged.lateral) {
            let id = finding.technique().id;
            assert!(finding.severity <= Severity::Low, "{}: {id}", subject.name);
            let unlimited = id.starts_with("no-memory") || id.starts_with("no-processor");
            assert!(subject.pod.is_none() || !unlimited, "{}: {id}", subject.name);
        }
        let Some(pod) = &subject.pod else { continue };
        let standard = Standard::parse("pss-restricted@latest").unwrap();
        let result = evaluate(&standard, pod);
        assert_eq!(result.result, Passes::Pass, "{:?}", result.controls);
    }
}

#[test]
fn the_gate_lets_its_own_manifests_in_by_the_policy_beside_them_and_refuses_a_privileged_pod() {
    let objects = plain();
    let rules = in_force(&objects);
    for (name, object) in &objects {
        let review = serde_json::to_vec(&Review::create(object.clone()).to_json()).unwrap();
        let decided = decide(&review, &Context::assumed(), &rules, today()).unwrap();
        assert_eq!(decided.ruling.outcome, Outcome::Allow, "{name}: {}", decided.ruling.message);
    }
    let mut deployment = objects["Deployment/stockade-gate"].clone();
    deployment["spec"]["template"]["spec"]["containers"][0]["securityContext"] =
        json!({ "privileged": true });
    deployment["spec"]["template"]["spec"]["securityContext"] = json!({});
    let review = serde_json::to_vec(&Review::create(deployment).to_json()).unwrap();
    assert!(decide(&review, &Context::assumed(), &rules, today()).unwrap().ruling.is_denied());
}

#[test]
fn the_webhook_names_every_resource_that_the_gate_decides_about_and_cannot_lock_the_cluster() {
    let objects = plain();
    let configuration = &objects["ValidatingWebhookConfiguration/stockade-gate"];
    let mut asked: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for webhook in configuration["webhooks"].as_array().unwrap() {
        assert_eq!(webhook["failurePolicy"], "Fail");
        assert_eq!(webhook["sideEffects"], "None");
        assert_eq!(webhook["matchPolicy"], "Equivalent");
        assert_eq!(webhook["admissionReviewVersions"], json!(["v1"]));
        let left_out = &webhook["namespaceSelector"]["matchExpressions"][0];
        assert_eq!(left_out["values"], json!(["kube-system", "stockade"]));
        assert_eq!(left_out["operator"], "NotIn");
        let within: u64 =
            objects["Deployment/stockade-gate"]["spec"]["template"]["spec"]["containers"][0]["args"]
                .as_array()
                .unwrap()
                .iter()
                .find_map(|arg| arg.as_str()?.strip_prefix("--answer-within=")?.parse().ok())
                .unwrap();
        assert!(within < webhook["timeoutSeconds"].as_u64().unwrap());
        for rule in webhook["rules"].as_array().unwrap() {
            for resource in rule["resources"].as_array().unwrap() {
                let group = rule["apiGroups"][0].as_str().unwrap();
                let operations = rule["operations"].as_array().unwrap();
                let operations = operations.iter().map(|o| o.as_str().unwrap().to_owned()).collect();
                asked.insert(format!("{group}/{}", resource.as_str().unwrap()), operations);
            }
        }
    }
    let written = ["CREATE", "UPDATE"];
    for (resource, operations) in [
        ("/pods", &written[..]),
        ("/pods/ephemeralcontainers", &["UPDATE"]),
        ("/pods/resize", &["UPDATE"]),
        ("/replicationcontrollers", &written),
        ("/podtemplates", &written),
        ("/persistentvolumes", &written),
        ("/pods/exec", &["CONNECT"]),
        ("/pods/attach", &["CONNECT"]),
        ("/pods/portforward", &["CONNECT"]),
        ("/pods/proxy", &["CONNECT"]),
        ("/services/proxy", &["CONNECT"]),
        ("/nodes/proxy", &["CONNECT"]),
        ("apps/deployments", &written),
        ("apps/replicasets", &written),
        ("apps/statefulsets", &written),
        ("apps/daemonsets", &written),
        ("batch/jobs", &written),
        ("batch/cronjobs", &written),
        ("rbac.authorization.k8s.io/roles", &written),
        ("rbac.authorization.k8s.io/rolebindings", &written),
        ("rbac.authorization.k8s.io/clusterroles", &written),
        ("rbac.authorization.k8s.io/clusterrolebindings", &written),
    ] {
        assert_eq!(asked.remove(resource).unwrap_or_default(), operations, "{resource}");
    }
    assert!(asked.is_empty(), "the gate has no word about {asked:?}");
}

/// What the chart makes of its values, some of them changed.
fn rendered(change: impl Fn(&mut Value)) -> Option<Result<BTreeMap<String, Value>, String>> {
    let chart = folder().join("chart");
    let path = chart.join("values.yaml");
    let mut values = documents(&std::fs::read_to_string(&path).unwrap(), &path).remove(0);
    change(&mut values);
    let mut templates = BTreeMap::new();
    for entry in std::fs::read_dir(chart.join("templates")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        templates.insert(name, std::fs::read_to_string(&path).unwrap());
    }
    let input = json!({ "values": values, "namespace": "stockade", "templates": templates });
    let renderer = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kubernetes/render.go");
    let go = Command::new("go")
        .arg("run")
        .arg(renderer)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut go) = go else {
        println!("skipped: there is no Go, whose templates charts are written in");
        return None;
    };
    go.stdin.take().unwrap().write_all(input.to_string().as_bytes()).unwrap();
    let output = go.wait_with_output().unwrap();
    if !output.status.success() {
        return Some(Err(String::from_utf8_lossy(&output.stderr).into_owned()));
    }
    let files: BTreeMap<String, String> = serde_json::from_slice(&output.stdout).unwrap();
    let objects = files
        .iter()
        .filter(|(name, _)| name.ends_with(".yaml"))
        .flat_map(|(name, text)| documents(text, Path::new(name)))
        .map(|object| (name(&object), object));
    Some(Ok(objects.collect()))
}

#[test]
fn the_chart_makes_of_its_default_values_what_the_plain_manifests_say() {
    let Some(rendered) = rendered(|_| {}) else { return };
    let mut plain = plain();
    // A release makes no namespace, and knows no Kustomize.
    plain.retain(|name, _| !name.starts_with("Namespace/") && !name.starts_with("Kustomization/"));
    let rendered = rendered.unwrap();
    assert_eq!(rendered.keys().collect::<Vec<_>>(), plain.keys().collect::<Vec<_>>());
    for (name, object) in &plain {
        assert_eq!(&rendered[name], object, "{name}");
    }
}

#[test]
fn the_values_of_the_chart_reach_what_they_are_for() {
    let changed = rendered(|values| {
        values["replicas"] = 1.into();
        values["image"]["digest"] = "sha256:00".into();
        values["assume"] = "crio-1.34".into();
        values["certificate"] = json!({ "certManager": false, "secretName": "mine", "caBundle": "QUFB" });
        values["webhook"]["leaveOutNamespaces"] = json!(["calico-system"]);
        values["prometheusNamespace"] = "".into();
        values["apiServers"] = json!(["10.0.0.1/32"]);
        values["nodeSelector"] = json!({ "pool": "system" });
        values["tolerations"] = json!([{ "operator": "Exists" }]);
    });
    let Some(changed) = changed else { return };
    let objects = changed.unwrap();
    assert!(
        !objects
            .keys()
            .any(|name| name.starts_with("PodDisruptionBudget") || name.starts_with("Certificate"))
    );
    let pod = &objects["Deployment/stockade-gate"]["spec"]["template"]["spec"];
    assert_eq!(pod["containers"][0]["image"], "stockade@sha256:00");
    assert!(pod["containers"][0]["args"].as_array().unwrap().contains(&"--assume=crio-1.34".into()));
    assert_eq!(pod["nodeSelector"]["pool"], "system");
    assert_eq!(pod["tolerations"][0]["operator"], "Exists");
    assert_eq!(pod["volumes"][0]["secret"]["secretName"], "mine");
    let ingress = &objects["NetworkPolicy/stockade-gate"]["spec"]["ingress"];
    assert_eq!(ingress.as_array().unwrap().len(), 1);
    assert_eq!(ingress[0]["from"][0]["ipBlock"]["cidr"], "10.0.0.1/32");
    for webhook in objects["ValidatingWebhookConfiguration/stockade-gate"]["webhooks"].as_array().unwrap() {
        assert_eq!(webhook["clientConfig"]["caBundle"], "QUFB");
        let left_out = &webhook["namespaceSelector"]["matchExpressions"][0]["values"];
        assert_eq!(left_out, &json!(["kube-system", "stockade", "calico-system"]));
    }
    // Neither cert-manager nor an authority: a webhook that no API server could ask.
    let wrong = rendered(|values| values["certificate"]["certManager"] = false.into()).unwrap().unwrap_err();
    assert!(wrong.contains("certificate.caBundle"), "{wrong}");
}

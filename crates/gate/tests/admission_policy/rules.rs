//! Whom rules are about, what updates change, and what modes come to.

use gate::kubernetes::emit::object::Object;
use serde_json::{Value, json};

use crate::agreement::{Deciders, NAMESPACE, request};

fn pod(name: &str, labels: Value, containers: Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": { "name": name, "namespace": NAMESPACE, "labels": labels },
        "spec": { "containers": containers },
    })
}

fn privileged(image: &str) -> Value {
    json!({ "name": "main", "image": image, "securityContext": { "privileged": true } })
}

fn with_rule(rule: &str) -> Deciders {
    Deciders::of(&format!("version: 1\nopen: allow\nundetermined: allow\nrules:\n- name: r\n{rule}"))
}

#[test]
fn a_rule_is_about_the_same_pods_for_webhook_and_policies() {
    let pods = [
        pod("web", json!({ "team": "shop", "tier": "front" }), json!([privileged("nginx")])),
        pod("db-0", json!({ "team": "data" }), json!([privileged("registry.example.com:5000/db@sha256:ab")])),
        pod(
            "agent",
            json!({}),
            json!([{ "name": "main", "image": "ghcr.io/o/a:2" }, { "name": "x", "image": "docker.io/library/redis:7", "securityContext": { "privileged": true } }]),
        ),
        pod("it's", json!({ "a.b/c": "d" }), json!([privileged("index.docker.io/library/nginx:1.2")])),
    ];
    let mut asked = 0;
    for selector in [
        "subjects: {namespaces: shop}",
        "subjects: {namespaces: [prod-*, shop]}",
        "subjects: {namespaces: prod-*}",
        "except: {namespaces: [kube-system, sh*p]}",
        "subjects: {labels: {team: shop}}",
        "subjects: {labels: {team: '*', tier: front}}",
        "subjects: {labels: {a.b/c: d}}",
        "subjects: {names: web}",
        "subjects: {names: ['shop/*/x']}",
        "subjects: {names: [\"it's\", 'db-*']}",
        "subjects: {images: nginx}",
        "subjects: {images: 'docker.io/nginx:latest'}",
        "subjects: {images: ['docker.io/redis:*', 'registry.example.com:5000/*']}",
        "subjects: {images: 'docker.io/nginx:1.2'}",
        "except: {images: 'docker.io/*'}",
        "except: [{names: web}, {labels: {team: data}, namespaces: shop}]",
        "subjects: {forms: kubernetes, kinds: workload}",
        "subjects: {forms: compose}",
        "subjects: {paths: 'deploy/*'}",
        "except: {paths: 'deploy/*'}",
    ] {
        for require in [
            "standards: pss-baseline@1.37",
            "verdict: held",
            "images: {registries: [ghcr.io, '*example.com*']}",
            "images: {latest: false}",
            "images: {digest: true}",
            "images: {registries: [docker.io/nginx]}",
        ] {
            // Compiling every technique takes its time: with some of the selectors is enough.
            if require.starts_with("verdict") && !selector.contains("names: web") {
                continue;
            }
            let deciders = with_rule(&format!("  {selector}\n  require: {{{require}}}\n"));
            for pod in &pods {
                let request = request(pod, None);
                let (webhook, emitted) = (deciders.webhook(&request), deciders.emitted(&request));
                assert!(emitted.objections.iter().all(|o| !o.is_error), "{selector}, {require}: {emitted:?}");
                assert_eq!(
                    webhook.is_denied(),
                    emitted.is_denied(),
                    "{selector}, {require}: {}\n{emitted:?}\n{pod}",
                    webhook.message
                );
                asked += 1;
            }
        }
    }
    println!("{asked} decisions alike");
}

#[test]
fn an_update_that_touches_nothing_that_is_refused_is_let_in_and_any_other_is_not() {
    let deciders = with_rule("  require: {standards: pss-baseline@1.37, verdict: held}\n");
    let workload = |replicas: u32, image: &str, annotation: &str, sidecar: bool| {
        let mut containers = vec![privileged("nginx")];
        if sidecar {
            containers
                .push(json!({ "name": "side", "image": image, "securityContext": { "privileged": true } }));
        }
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "d", "namespace": NAMESPACE },
            "spec": { "replicas": replicas, "template": {
                "metadata": { "annotations": { "kubectl.kubernetes.io/restartedAt": annotation } },
                "spec": { "containers": containers },
            } },
        })
    };
    let old = workload(1, "a", "then", true);
    for (what, new, denied) in [
        ("the number of replicas", workload(2, "a", "then", true), false),
        ("a restart", workload(1, "a", "now", true), false),
        ("an image of what is refused", workload(1, "b", "then", true), true),
        ("one container less", workload(1, "a", "then", false), false),
    ] {
        let request = request(&new, Some(&old));
        assert_eq!(deciders.webhook(&request).is_denied(), denied, "webhook: {what}");
        let emitted = deciders.emitted(&request);
        assert_eq!(emitted.is_denied(), denied, "emitted: {what}: {emitted:?}");
    }
    // Another container that is refused, and a field of the pod.
    let more = request(&old, Some(&workload(1, "a", "then", false)));
    assert!(deciders.webhook(&more).is_denied() && deciders.emitted(&more).is_denied());
    let mut shares = old.clone();
    shares["spec"]["template"]["spec"]["hostPID"] = true.into();
    let shares = request(&shares, Some(&old));
    assert!(deciders.webhook(&shares).is_denied() && deciders.emitted(&shares).is_denied());
    let mut unconfined = old.clone();
    unconfined["spec"]["template"]["metadata"]["annotations"]["container.apparmor.security.beta.kubernetes.io/main"] =
        "unconfined".into();
    assert!(deciders.emitted(&request(&unconfined, Some(&old))).is_denied());
}

#[test]
fn containers_that_are_added_to_a_running_pod_are_judged() {
    let deciders = Deciders::of("version: 1\n");
    let old = pod("web", json!({}), json!([{ "name": "main", "image": "nginx" }]));
    let mut new = old.clone();
    new["spec"]["ephemeralContainers"] =
        json!([{ "name": "debug", "image": "x", "securityContext": { "privileged": true } }]);
    let mut asked = request(&new, Some(&old));
    asked["subResource"] = "ephemeralcontainers".into();
    let (denied, told) = deciders.ask(&asked);
    assert!(denied.alike() && denied.emitted, "{denied:?} {told}");
    let answer = deciders.emitted(&asked);
    assert!(
        answer
            .objections
            .iter()
            .any(|o| o.message.starts_with("container debug can become root on the host")),
        "{told}"
    );
    // What the API server keeps of it is nothing but the status.
    asked["subResource"] = "status".into();
    assert!(!deciders.emitted(&asked).is_denied() && !deciders.webhook(&asked).is_denied());
}

#[test]
fn a_static_pod_is_let_in_by_its_kubelet_alone() {
    let deciders = Deciders::of("version: 1\n");
    let mut mirror = pod("kube-proxy", json!({}), json!([privileged("proxy")]));
    mirror["metadata"]["annotations"] = json!({ "kubernetes.io/config.mirror": "x" });
    let mut asked = request(&mirror, None);
    assert!(deciders.emitted(&asked).is_denied());
    asked["userInfo"]["groups"] = json!(["system:nodes"]);
    assert!(!deciders.emitted(&asked).is_denied() && !deciders.webhook(&asked).is_denied());
}

#[test]
fn a_pod_of_windows_nodes_is_refused_unless_the_policy_says_otherwise() {
    let mut windows = pod("w", json!({}), json!([{ "name": "main", "image": "iis" }]));
    windows["spec"]["nodeSelector"] = json!({ "kubernetes.io/os": "windows" });
    for (policy, denied) in
        [("version: 1\n", true), ("version: 1\ndoors: {kubernetes: {not-judged: allow}}\n", false)]
    {
        let deciders = Deciders::of(policy);
        let asked = request(&windows, None);
        assert_eq!(deciders.webhook(&asked).is_denied(), denied);
        assert_eq!(deciders.emitted(&asked).is_denied(), denied);
    }
}

#[test]
fn a_mode_says_what_an_api_server_does() {
    let object = request(&pod("web", json!({}), json!([privileged("nginx")])), None);
    for (mode, denied, warned) in [("enforce", true, false), ("warn", false, true), ("record", false, false)]
    {
        let deciders = with_rule(&format!(
            "  mode: {mode}\n  message: ask the platform team\n  require: {{standards: pss-baseline@1.37}}\n"
        ));
        let answer = deciders.emitted(&object);
        assert_eq!((answer.is_denied(), answer.warns()), (denied, warned), "{mode}");
        let said: Vec<&str> = answer.objections.iter().map(|o| o.message.as_str()).collect();
        assert_eq!(
            said,
            [
                "ask the platform team: container main must not set securityContext.privileged to true (pss-baseline/privileged, rule r)"
            ]
        );
    }
}

#[test]
fn what_cannot_be_evaluated_is_refused() {
    let deciders = with_rule("  require: {standards: pss-baseline@1.37}\n");
    let answer = deciders.emitted(&request(
        &pod(
            "web",
            json!({}),
            json!([{ "name": "main", "image": "i", "securityContext": { "privileged": "yes" } }]),
        ),
        None,
    ));
    assert!(answer.is_denied() && answer.objections.iter().any(|o| o.is_error), "{answer:?}");
}

/// What an API server or kubectl would refuse of an object (kubernetes pkg/apis/admissionregistration/validation; cel-go
/// parser, `defaultExpressionSizeCodePointLimit`; apimachinery, `TotalAnnotationSizeLimitB`, which the whole object has to
/// keep within where it is applied by kubectl).
#[test]
fn objects_are_within_what_an_api_server_takes() {
    let policy = "version: 1\nrules:\n- {name: 'Müller & co', require: {standards: [pss-restricted@1.37, pss-baseline@1.0]}}\n\
                  - {name: '&', forbid: {techniques: '*'}}\n";
    let policy = policy::Policy::parse(policy, &"p.yaml".into(), &policy::NoFiles).expect("a policy");
    let rules = gate::InForce { policy, waivers: policy::Waivers::default() };
    let emitted = gate::kubernetes::emit::emit(&rules, &sources::Context::assumed());
    let mut names = std::collections::BTreeSet::new();
    let (mut longest, mut largest) = (0, 0);
    for object in &emitted.objects {
        let size = serde_json::to_vec(object).expect("JSON").len();
        largest = largest.max(size);
        let Object::Policy(policy) = object else { continue };
        let name = &policy.metadata.name;
        assert!(names.insert(name.clone()), "{name}");
        assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'), "{name}");
        let spec = &policy.spec;
        assert!(spec.match_conditions.len() <= 64);
        let variables: Vec<&str> = spec.variables.iter().map(|v| v.name.as_str()).collect();
        assert_eq!(variables.iter().collect::<std::collections::BTreeSet<_>>().len(), variables.len());
        for (n, variable) in spec.variables.iter().enumerate() {
            assert!(variable.name.bytes().all(|b| b.is_ascii_alphanumeric()), "{}", variable.name);
            // A variable is made of those before it.
            for later in &variables[n..] {
                let named = format!("variables.{later}");
                let whole = |at: usize| {
                    !variable.expression[at + named.len()..].starts_with(|c: char| c.is_ascii_alphanumeric())
                };
                let used = variable.expression.match_indices(&named).any(|(at, _)| whole(at));
                assert!(!used, "{} is made of {later}", variable.name);
            }
        }
        let expressions =
            spec.variables.iter().map(|v| &v.expression).chain(spec.validations.iter().flat_map(|v| {
                assert!(!v.message.contains('\n') && !v.message.trim().is_empty());
                std::iter::once(&v.expression).chain(&v.message_expression)
            }));
        longest = expressions.map(|e| e.chars().count()).chain([longest]).max().unwrap_or_default();
    }
    println!("longest expression {longest}, largest object {largest} bytes");
    assert!(longest < 100_000 && largest < 200 << 10);
    // And what is printed is what was meant.
    let yaml = emitted.yaml().expect("YAML");
    let read: Vec<Object> = yaml
        .split("---\n")
        .filter(|d| !d.is_empty())
        .map(|d| yaml_serde::from_str(d).expect("an object"))
        .collect();
    assert_eq!(read, emitted.objects);
}

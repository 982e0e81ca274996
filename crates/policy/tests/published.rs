//! What is published follows its schema, for every kind of subject there is.

use std::path::Path;

use policy::published::{self, facts};
use serde_json::Value;
use sources::Context;
use techniques::judge::{Options, judge};

fn schema() -> jsonschema::Validator {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../schemas/stockade.confinement-1.schema.json");
    let text = std::fs::read_to_string(path).expect("the schema");
    let schema: Value = serde_json::from_str(&text).expect("JSON");
    jsonschema::validator_for(&schema).expect("a schema")
}

const GIVEN: &[(&str, &str)] = &[
    ("run.sh", "docker run x"),
    (
        "run.sh",
        "docker run --privileged --device /dev/sda --sysctl net.core.somaxconn=1 --gpus all -p 80:80 x",
    ),
    (
        "run.sh",
        "docker run --pid host --device-cgroup-rule 'c 1:* rwm' -m 100m --pids-limit 5 -v $X:/x $IMAGE",
    ),
    ("run.sh", "podman run --userns=auto --group-add keep-groups -e CONTAINER_HOST=tcp://h:2375 x@sha256:00"),
    (
        "run.sh",
        "docker run --security-opt seccomp=unconfined --security-opt apparmor=own --security-opt label=type:t x",
    ),
    (
        "daemon.json",
        r#"{"userns-remap": "default", "hosts": ["tcp://0.0.0.0:2375"], "insecure-registries": ["r"]}"#,
    ),
    ("Dockerfile", "FROM x\nENV AWS_SECRET_ACCESS_KEY=abcdefabcdefabcdefabcdefabcdefabcdefabcd\nUSER 5\n"),
    (
        "pod.yaml",
        "apiVersion: v1\nkind: Pod\nmetadata: {name: p, namespace: n, labels: {a: b}}\n\
         spec: {serviceAccountName: s, containers: [{name: a, image: x, securityContext: {procMount: Unmasked}}]}\n\
         ---\napiVersion: v1\nkind: ServiceAccount\nmetadata: {name: s, namespace: n}\n\
         ---\napiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRoleBinding\nmetadata: {name: b}\n\
         roleRef: {kind: ClusterRole, name: cluster-admin, apiGroup: rbac.authorization.k8s.io}\n\
         subjects: [{kind: ServiceAccount, name: s, namespace: n}]\n",
    ),
    (
        "config.json",
        r#"{"ociVersion":"1.0.2","process":{"cwd":"/","args":["a"]},"root":{"path":"r"},"linux":{}}"#,
    ),
];

#[test]
fn every_subject_is_published_by_the_schema() {
    let schema = schema();
    for (name, text) in GIVEN {
        let world = sources::gather::text(text.as_bytes(), Path::new(name), &Context::assumed());
        assert!(!world.subjects.is_empty(), "{text}: {:?}", world.problems);
        for depth in [1, 3] {
            let judgement = judge(&world, Options { depth });
            for judged in &judgement.subjects {
                let subject = &world.subjects[judged.subject];
                let document = published::document(&world, subject, judged);
                let errors: Vec<String> =
                    schema.iter_errors(&document).map(|e| format!("{}: {e}", e.instance_path())).collect();
                assert!(errors.is_empty(), "{text}: {errors:#?}");
            }
        }
    }
}

#[test]
fn every_fact_has_a_name_of_its_own() {
    for (name, text) in GIVEN {
        let world = sources::gather::text(text.as_bytes(), Path::new(name), &Context::assumed());
        for subject in &world.subjects {
            let mut keys: Vec<String> =
                facts(&subject.confinement).iter().map(|f| f.key.to_string()).collect();
            let all = keys.len();
            keys.sort();
            keys.dedup();
            assert_eq!(keys.len(), all, "{text}");
        }
    }
}

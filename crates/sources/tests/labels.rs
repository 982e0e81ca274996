//! Labels are read from every form that has them, whatever way they are written.

use std::path::Path;

use sources::Context;

fn labels(name: &str, text: &str) -> Vec<(String, String)> {
    let world = sources::gather::text(text.as_bytes(), Path::new(name), &Context::assumed());
    assert_eq!(world.problems, [], "{name}");
    let subject = world.subjects.first().expect("a subject");
    subject.labels.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect()
}

#[test]
fn a_label_is_the_same_in_every_form() {
    let expected = [("team".to_owned(), "web".to_owned()), ("tier".to_owned(), String::new())];
    for (name, text) in [
        ("compose.yaml", "services:\n  a:\n    image: x\n    labels: {team: web, tier: ''}\n"),
        ("compose.yaml", "services:\n  a:\n    image: x\n    labels:\n      - team=web\n      - tier\n"),
        ("run.sh", "docker run -l team=web --label tier x\n"),
        ("run.sh", "podman run --label=team=web --label=tier= x\n"),
        ("a.container", "[Container]\nImage=x\nLabel=team=web\nLabel=tier\n"),
        (
            "pod.yaml",
            "apiVersion: v1\nkind: Pod\nmetadata: {name: p, labels: {team: web, tier: ''}}\n\
             spec: {containers: [{name: a, image: x}]}\n",
        ),
        (
            "deployment.yaml",
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d, labels: {team: other}}\nspec:\n  \
             selector: {matchLabels: {team: web}}\n  template:\n    metadata: {labels: {team: web, tier: ''}}\n    \
             spec: {containers: [{name: a, image: x}]}\n",
        ),
        (
            "config.json",
            r#"{"ociVersion":"1.0.2","process":{"cwd":"/","args":["a"]},"root":{"path":"r"},
               "annotations":{"team":"web","tier":""},"linux":{}}"#,
        ),
    ] {
        assert_eq!(labels(name, text), expected, "{name}: {text}");
    }
}

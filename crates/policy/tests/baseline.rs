//! Drift is of meaning: what is written otherwise and means the same is no change, and what became worse is named with the
//! fact that changed.

use std::path::Path;

use confinement::World;
use policy::baseline::{Baseline, Change, Drift, OPTIONS};
use sources::Context;
use techniques::judge::{Judgement, judge};

fn judged(name: &str, text: &str) -> (World, Judgement) {
    let mut world = sources::gather::text(text.as_bytes(), Path::new(name), &Context::assumed());
    assert_eq!(world.problems, [], "{text}");
    world.follow_namespaces();
    let judgement = judge(&world, OPTIONS);
    (world, judgement)
}

fn baseline(name: &str, text: &str) -> Baseline {
    let (world, judgement) = judged(name, text);
    let written = Baseline::of(&world, &judgement, "0").to_json();
    Baseline::parse(&written, "b.json").expect("what is written is read")
}

fn drift(before: (&str, &str), after: (&str, &str)) -> Drift {
    let (world, judgement) = judged(after.0, after.1);
    baseline(before.0, before.1).compare(&world, &judgement)
}

const COMPOSE: &str = "services:
  web:
    image: nginx:1.27
    cap_drop: [NET_RAW, MKNOD]
    security_opt: ['no-new-privileges:true']
    sysctls: {net.core.somaxconn: 5, net.ipv4.ip_forward: 0}
    ports: ['80:80', '443:443']
    volumes: ['/srv/a:/a', 'data:/data']
    pid: service:db
  db:
    image: postgres:17
volumes: {data: {}}
";

#[test]
fn moving_lines_reordering_lists_and_renaming_a_file_changes_nothing() {
    let other = "# a comment
volumes:
  data:
services:
  db: {image: 'postgres:17'}

  web:
    pid: 'service:db'
    volumes:
    - data:/data
    - type: bind
      source: //srv/./a
      target: /a
    ports: ['443:443', '80:80']
    sysctls: [net.ipv4.ip_forward=0, net.core.somaxconn=5]
    security_opt: [no-new-privileges]
    cap_drop: [CAP_MKNOD, cap_net_raw]
    image: nginx:1.27
";
    for name in ["compose.yaml", "docker-compose.yml"] {
        let drift = drift(("compose.yaml", COMPOSE), (name, other));
        assert_eq!(
            (drift.same, drift.changed.len(), drift.new.len(), drift.gone.len()),
            (2, 0, 0, 0),
            "{drift:#?}"
        );
    }
}

#[test]
fn a_new_open_path_is_worse_and_named_with_the_mount_that_opens_it() {
    let after = COMPOSE.replace("'/srv/a:/a'", "'/srv/a:/a', '/var/run/docker.sock:/s'");
    let drift = drift(("compose.yaml", COMPOSE), ("compose.yaml", &after));
    assert!(drift.is_worse());
    let web = drift.changed.first().expect("web");
    assert_eq!((web.name.as_str(), drift.same), ("web", 1));
    assert!(matches!(web.worse.first(), Some(Change::Verdict { .. })), "{:#?}", web.worse);
    assert!(web.worse.iter().any(|c| matches!(c, Change::FindingDepth { techniques, new, .. }
        if techniques == "engine-api" && new.max == Some(0))));
    assert!(web.worse.contains(&Change::Gain { gain: "host-root".into() }));
    let [fact] = web.facts.as_slice() else { panic!("{:#?}", web.facts) };
    assert_eq!((fact.fact.as_str(), fact.old.is_none()), ("mounts[/s]", true));
    let place = fact.origin.as_ref().and_then(|o| o.place()).expect("a place");
    assert_eq!((&*place.path, place.line), ("compose.yaml", 8));
}

#[test]
fn a_member_of_a_mount_is_named_alone_with_its_old_and_new_value() {
    let before = "services:\n  a:\n    image: x\n    volumes: ['/srv/a:/a:ro']\n";
    let after = "services:\n  a:\n    image: x\n    volumes: ['/srv/a:/a']\n";
    let drift = drift(("c.yaml", before), ("c.yaml", after));
    let facts: Vec<String> = drift.changed[0]
        .facts
        .iter()
        .map(|f| {
            format!(
                "{} {:?} {:?}",
                f.fact,
                f.old.as_ref().map(ToString::to_string),
                f.new.as_ref().map(ToString::to_string)
            )
        })
        .collect();
    assert!(facts.contains(&r#"mounts[/a].readOnly Some("true") Some("false")"#.to_owned()), "{facts:?}");
}

#[test]
fn less_depth_is_worse_and_more_is_offered_for_tightening() {
    let (one, two) = ("docker run --name a x\n", "docker run --name a --user 1000 x\n");
    let worse = drift(("run.sh", two), ("run.sh", one));
    assert!(worse.is_worse());
    assert!(worse.changed[0].worse.iter().any(|c| matches!(c, Change::Depth { .. })), "{:#?}", worse.changed);
    assert!(worse.changed[0].facts.iter().any(|f| f.fact == "identity.root"));

    let (world, judgement) = judged("run.sh", two);
    let before = baseline("run.sh", one);
    let better = before.compare(&world, &judgement);
    assert!(!better.is_worse() && !better.changed[0].better.is_empty());
    let tightened = before.tightened(&world, &judgement);
    assert_eq!(tightened.compare(&world, &judgement).same, 1);
    let (world, judgement) = judged("run.sh", one);
    assert!(tightened.compare(&world, &judgement).is_worse(), "what was approved as better is asked for now");
}

#[test]
fn tightening_approves_nothing_that_became_worse_and_nothing_new() {
    let before = "docker run --name a x\ndocker run --name b x\ndocker run --name c x\n";
    let after = "docker run --name a --privileged x\ndocker run --name b --user 1000 x\ndocker run --name d -v /:/h x\n";
    let (world, judgement) = judged("run.sh", after);
    let tightened = baseline("run.sh", before).tightened(&world, &judgement);
    let names: Vec<&str> = tightened.subjects.iter().map(|s| s.name.as_str()).collect();
    assert_eq!(names, ["a", "b"], "c is gone, and d was never approved");
    let drift = tightened.compare(&world, &judgement);
    assert!(drift.changed.iter().any(|s| s.name == "a" && !s.worse.is_empty()));
    assert_eq!((drift.same, drift.new.len()), (1, 1));
}

#[test]
fn a_new_subject_fails_where_it_is_open_and_is_only_told_where_it_is_held() {
    let before = "docker run --name a x\n";
    let held = drift(("run.sh", before), ("run.sh", "docker run --name a x\ndocker run --name b x\n"));
    assert_eq!((held.new.len(), held.is_worse()), (1, false));
    let open =
        drift(("run.sh", before), ("run.sh", "docker run --name a x\ndocker run --name b --privileged x\n"));
    assert_eq!((open.new.len(), open.is_worse()), (1, true));
    let possible = "docker run --name a x\ndocker run --name b --pid host --cap-add SYS_PTRACE x\n";
    assert!(drift(("run.sh", before), ("run.sh", possible)).is_worse());
    let gone = drift(("run.sh", "docker run --name a x\ndocker run --name b x\n"), ("run.sh", before));
    assert_eq!((gone.gone.as_slice(), gone.is_worse()), (["b".to_owned()].as_slice(), false));
}

#[test]
fn a_setting_of_the_daemon_is_named_with_its_old_and_new_value() {
    let before = r#"{"userns-remap": "default", "icc": false}"#;
    let after = "{\n \"icc\": false,\n \"hosts\": [\"tcp://0.0.0.0:2375\"]\n}";
    let drift = drift(("daemon.json", before), ("daemon.json", after));
    assert!(drift.is_worse());
    let facts: Vec<&str> = drift.changed[0].facts.iter().map(|f| f.fact.as_str()).collect();
    assert!(facts.contains(&"engine.settings.usernsRemap"), "{facts:?}");
    assert!(facts.contains(&"engine.settings.tcp[tcp://0.0.0.0:2375]"), "{facts:?}");
    let same = self::drift(
        ("daemon.json", before),
        ("daemon.json", "{\"icc\": false,\n\"userns-remap\": \"default\"}"),
    );
    assert_eq!(same.same, 1);
}

#[test]
fn what_is_no_baseline_is_told_with_its_place() {
    for (text, expected) in [
        ("", "b.json:1:0: this is no baseline"),
        ("{\n\"schema\": 3}", "b.json:2:"),
        (
            r#"{"schema": "stockade.baseline/2", "tool": {"name": "stockade", "version": "9"}, "subjects": []}"#,
            "only `stockade.baseline/1` is known here",
        ),
    ] {
        let told = Baseline::parse(text, "b.json").expect_err("no baseline").to_string();
        assert!(told.contains(expected), "{told}");
    }
}

#[test]
fn a_baseline_and_its_drift_follow_their_schemas() {
    let schema = |name: &str| {
        let path = format!("{}/../../schemas/stockade.{name}-1.schema.json", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(path).expect("the schema");
        jsonschema::validator_for(&serde_json::from_str(&text).expect("JSON")).expect("a schema")
    };
    let errors = |schema: &jsonschema::Validator, value: &serde_json::Value| {
        schema.iter_errors(value).map(|e| format!("{}: {e}", e.instance_path())).collect::<Vec<_>>()
    };
    let before = baseline("compose.yaml", COMPOSE);
    let written = serde_json::from_str(&before.to_json()).expect("JSON");
    assert_eq!(errors(&schema("baseline"), &written), Vec::<String>::new());
    let after = COMPOSE.replace("nginx:1.27", "nginx:1.28\n    privileged: true");
    let after = after
        .replace("  db:\n    image: postgres:17\n", "  db2: {image: x, pid: host}\n")
        .replace("service:db", "service:db2");
    let (world, judgement) = judged("compose.yaml", &after);
    let mut drift = serde_json::to_value(before.compare(&world, &judgement)).expect("JSON");
    drift["schema"] = "stockade.drift/1".into();
    assert_eq!(errors(&schema("drift"), &drift), Vec::<String>::new());
}

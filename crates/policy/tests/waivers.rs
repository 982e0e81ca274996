//! Waivers hold for what they are for, until their day, and are told of before and after.

use std::path::Path;
use std::sync::Arc;

use confinement::World;
use policy::published::every_finding;
use policy::{Date, NoticeKind, Waived, Waivers, parse_date};
use sources::Context;
use techniques::judge::{Judgement, Options, judge};

fn day(text: &str) -> Date {
    parse_date(text).expect("a day")
}

fn judged(name: &str, text: &str) -> (World, Judgement) {
    let mut world = sources::gather::text(text.as_bytes(), Path::new(name), &Context::assumed());
    assert_eq!(world.problems, [], "{text}");
    world.follow_namespaces();
    let judgement = judge(&world, Options::default());
    (world, judgement)
}

fn in_place(name: &str, text: &str) -> Waivers {
    let (waivers, problems) = Waivers::in_place(text, &name.into());
    assert_eq!(problems, [], "{text}");
    waivers
}

/// Technique and subject of each open path that is waived, and of each that is not.
fn split(name: &str, text: &str, today: &str) -> (Vec<String>, Vec<String>) {
    let (world, judgement) = judged(name, text);
    let waived = Waived::of(&world, &judgement, in_place(name, text), day(today));
    let (mut yes, mut no) = (Vec::new(), Vec::new());
    for judged in &judgement.subjects {
        for finding in judged.paths.iter().filter(|f| f.is_complete()) {
            let what = format!("{} {}", world.subjects[judged.subject].name, finding.technique().id);
            if waived.waiver(judged.subject, finding).is_some() { &mut yes } else { &mut no }.push(what);
        }
    }
    (yes, no)
}

const WAIVE: &str = "stockade: waive engine-api until=2027-01-31 reason=\"builds images\" owner=ops";

#[test]
fn a_comment_is_for_its_line_or_for_what_stands_below_it() {
    let compose = |above: &str, on: &str, service: &str| {
        format!(
            "services:\n  {service}\n  a:\n    image: x\n    volumes:\n      {above}\n      - /run/docker.sock:/s{on}\n  b:\n    image: x\n    volumes: [/run/docker.sock:/s]\n"
        )
    };
    let comment = format!("# {WAIVE}");
    for text in [
        compose(&comment, "", ""),
        compose("# why\n", &format!(" {comment}"), ""),
        compose(&format!("{comment}\n\n      # another comment"), "", ""),
        compose("", "", &comment),
    ] {
        let (yes, no) = split("compose.yaml", &text, "2027-01-01");
        assert_eq!((yes, no), (vec!["a engine-api".into()], vec!["b engine-api".into()]), "{text}");
    }
}

#[test]
fn a_comment_of_another_technique_or_in_a_text_waives_nothing() {
    for text in [
        "services:\n  a:\n    image: x\n    volumes:\n      # stockade: waive core-pattern-handler until=2027-01-31 reason=x\n      - /run/docker.sock:/s\n".to_owned(),
        format!("services:\n  a:\n    image: x\n    command: 'echo x#{WAIVE}'\n    volumes:\n      - /run/docker.sock:/s\n"),
    ] {
        assert_eq!(split("compose.yaml", &text, "2027-01-01").0, Vec::<String>::new(), "{text}");
    }
}

#[test]
fn a_command_over_several_lines_is_waived_from_above() {
    let text = format!(
        "#!/bin/sh\n# {WAIVE}\ndocker run \\\n  --name a \\\n  -v /run/docker.sock:/s x\ndocker run --name b -v /run/docker.sock:/s x\n"
    );
    let (yes, no) = split("run.sh", &text, "2027-01-01");
    assert_eq!((yes, no), (vec!["a engine-api".into()], vec!["b engine-api".into()]));
}

#[test]
fn an_annotation_is_for_its_object_and_a_template_for_its_pods() {
    let pod = |annotations: &str| {
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata:\n  name: p\n{annotations}spec:\n  containers:\n  - name: a\n    image: x\n    securityContext: {{privileged: true}}\n"
        )
    };
    let annotation =
        "  annotations:\n    stockade.dev/waive: |\n      * until=2027-01-31 reason=\"the CNI plugin\"\n";
    let text = format!("{}---\n{}", pod(annotation), pod("").replace("name: p", "name: q"));
    let (yes, no) = split("pods.yaml", &text, "2027-01-01");
    assert!(!yes.is_empty() && yes.iter().all(|w| w.starts_with("p/")), "{yes:?}");
    assert!(!no.is_empty() && no.iter().all(|w| w.starts_with("q/")), "{no:?}");

    let deployment = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\nspec:\n  selector: {matchLabels: {a: b}}\n  template:\n    metadata:\n      labels: {a: b}\n      annotations:\n        stockade.dev/waive: '* until=2027-01-31 reason=x'\n    spec:\n      containers:\n      - {name: a, image: x, securityContext: {privileged: true}}\n";
    let (yes, no) = split("d.yaml", deployment, "2027-01-01");
    assert!(!yes.is_empty() && no.is_empty(), "{no:?}");
}

#[test]
fn x_stockade_is_for_its_service_or_for_the_whole_file() {
    let waive = "x-stockade: {waive: [{technique: engine-api, until: 2027-01-31, reason: x, owner: o}]}";
    let text = |top: &str, a: &str| {
        format!(
            "{top}\nservices:\n  a:\n    image: x\n    {a}\n    volumes: [/run/docker.sock:/s]\n  b:\n    image: x\n    volumes: [/run/docker.sock:/s]\n"
        )
    };
    let (yes, no) = split("compose.yaml", &text("", waive), "2027-01-01");
    assert_eq!((yes, no), (vec!["a engine-api".into()], vec!["b engine-api".into()]));
    let (yes, no) = split("compose.yaml", &text(waive, ""), "2027-01-01");
    assert_eq!((yes.len(), no.len()), (2, 0));
    let short = "x-stockade: {waive: 'engine-api until=2027-01-31 reason=x'}";
    assert_eq!(split("compose.yaml", &text("", short), "2027-01-01").0.len(), 1);
}

#[test]
fn a_path_through_another_container_is_not_waived_by_that_containers_lines() {
    let text = "services:\n  a:\n    image: x\n    pid: service:b\n    cap_add: [SYS_PTRACE]\n    security_opt: ['apparmor=unconfined']\n  # stockade: waive * until=2027-01-31 reason=x\n  b:\n    image: x\n    privileged: true\n";
    let (yes, no) = split("compose.yaml", text, "2027-01-01");
    assert!(yes.iter().all(|w| w.starts_with("b ")), "{yes:?}");
    assert!(no.iter().any(|w| w.starts_with("a ")), "{no:?}");
}

#[test]
fn what_is_meant_as_a_waiver_and_cannot_be_read_is_told() {
    for (words, expected) in [
        ("", "names no technique"),
        ("engine-api", "has no end"),
        ("engine-api until=2027-01-31", "has no reason"),
        ("engine-api until=soon reason=x", "is no day"),
        ("engine-api until=2027-02-30 reason=x", "is no day"),
        ("engine-apy until=2027-01-31 reason=x", "there is no technique `engine-apy`"),
        ("engine-api for=ever reason=x", "`for` is not a part of a waiver"),
        ("engine-api until=2027-01-31 reason=\"x", "not closed"),
        ("engine-api and until=2027-01-31 reason=x", "`and` is not understood"),
        ("engine-api until=2027-01-31 until=2028-01-31 reason=x", "stands twice"),
    ] {
        let text = format!("a: 1\n  # stockade: waive {words}\nb: 2\n");
        let (waivers, problems) = Waivers::in_place(&text, &"c.yaml".into());
        assert!(waivers.is_empty(), "{words}");
        let told = problems.first().map(ToString::to_string).unwrap_or_default();
        assert!(told.starts_with("c.yaml:2:3: ") && told.contains(expected), "{words}: {told}");
    }
    let (_, problems) = Waivers::in_place("x-stockade: {wave: 1}\n", &"c.yaml".into());
    assert!(
        problems.first().is_some_and(|p| p.to_string().contains("did you mean `waive`?")),
        "{problems:?}"
    );
}

#[test]
fn everything_that_is_wrong_in_a_file_of_waivers_is_told_with_its_line() {
    let text = "version: 1
waivers:
- technique: engine-api
  reason: x
  owner: y
- technique: engine-apy
  until: 2027-1-1
  resaon: x
- reason: x
  owner: y
  until: 2027-01-01
- fingerprint: aa
  names: b
  reason: x
  owner: y
  until: 2027-01-01
";
    let told = Waivers::parse(text, &"w.yaml".into()).expect_err("wrong").to_string();
    for expected in [
        "w.yaml:3:3: the waiver has no `until`",
        "w.yaml:6:14: there is no technique `engine-apy`",
        "w.yaml:7:10: `until` must be a day written as 2027-01-31",
        "w.yaml:8:3: `resaon` is not a key of a waiver; did you mean `reason`?",
        "w.yaml:6:3: the waiver has no `owner`",
        "w.yaml:9:3: the waiver does not say what it waives",
        "w.yaml:12:3: `fingerprint` names one finding; nothing else may select beside it",
    ] {
        assert!(told.contains(expected), "{expected}\nin\n{told}");
    }
}

#[test]
fn a_waiver_warns_from_fourteen_days_before_its_last_and_is_refused_once_past() {
    let text = format!("# {WAIVE}\ndocker run -v /run/docker.sock:/s x\n");
    let (world, judgement) = judged("run.sh", &text);
    for (today, holds, kind, said) in [
        ("2027-01-16", true, None, ""),
        ("2027-01-17", true, Some(NoticeKind::Ending), "ends in 14 days (2027-01-31)"),
        ("2027-01-21", true, Some(NoticeKind::Ending), "ends in 10 days (2027-01-31)"),
        ("2027-01-30", true, Some(NoticeKind::Ending), "ends tomorrow"),
        ("2027-01-31", true, Some(NoticeKind::Ending), "ends today"),
        ("2027-02-01", false, Some(NoticeKind::Expired), "ended on 2027-01-31, yesterday"),
        ("2027-03-01", false, Some(NoticeKind::Expired), "29 days ago; what it waived is still there"),
    ] {
        let waived = Waived::of(&world, &judgement, in_place("run.sh", &text), day(today));
        let judged = &judgement.subjects[0];
        let (_, finding) = every_finding(judged).next().expect("a finding");
        assert_eq!(waived.waiver(0, finding).is_some(), holds, "{today}");
        assert_eq!(waived.expired(0, finding).is_some(), !holds, "{today}");
        assert_eq!(waived.has_expired(), !holds, "{today}");
        let notices = waived.notices();
        assert_eq!(notices.first().map(|n| n.kind), kind, "{today}");
        let told = notices.first().map(|n| n.problem.to_string()).unwrap_or_default();
        assert!(told.contains(said), "{today}: {told}");
    }
}

#[test]
fn a_waiver_that_matches_nothing_is_told_and_fails_nothing() {
    let (world, judgement) = judged("run.sh", "docker run x\n");
    let text = "version: 1\nwaivers:\n- {technique: engine-api, reason: x, owner: y, until: 2020-01-01}\n";
    let waivers = Waivers::parse(text, &Arc::from("w.yaml")).expect("waivers");
    let waived = Waived::of(&world, &judgement, waivers, day("2027-01-01"));
    assert_eq!(waived.notices().first().map(|n| n.kind), Some(NoticeKind::Unused));
    assert!(!waived.has_expired());
}

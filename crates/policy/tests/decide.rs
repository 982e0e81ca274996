//! Policies decide about subjects that the readers read and the techniques judged.

use std::path::Path;

use confinement::World;
use policy::{Date, Decision, NoFiles, Outcome, Policy, Waivers, parse_date};
use sources::Context;
use techniques::judge::{Judgement, judge};

const POD: &str = "apiVersion: v1
kind: Pod
metadata:
  name: web
  namespace: prod
  labels: {team: web}
spec:
  containers:
  - name: app
    image: registry.example.com/web:1.2
";

fn today() -> Date {
    parse_date("2027-01-01").expect("a day")
}

fn policy(text: &str) -> Policy {
    match Policy::parse(text, &"p.yaml".into(), &NoFiles) {
        Ok(policy) => policy,
        Err(error) => panic!("{error}"),
    }
}

fn judged(policy: &Policy, name: &str, text: &str) -> (World, Judgement) {
    let mut world = sources::gather::text(text.as_bytes(), Path::new(name), &Context::assumed());
    assert_eq!(world.problems, [], "{text}");
    world.follow_namespaces();
    let judgement = judge(&world, policy.options());
    (world, judgement)
}

fn decide_with(policy: &Policy, name: &str, text: &str, waivers: &Waivers) -> Decision {
    let (world, judgement) = judged(policy, name, text);
    let judged = judgement.subjects.first().expect("a subject");
    let subject = world.subjects.get(judged.subject).expect("a subject");
    policy.decide(&world, subject, judged, waivers, today())
}

fn run(policy: &Policy, line: &str) -> Decision {
    decide_with(policy, "run.sh", line, &Waivers::default())
}

fn pod(text: &str) -> Decision {
    decide_with(&policy(text), "pod.yaml", POD, &Waivers::default())
}

fn rules(decision: &Decision) -> Vec<&str> {
    decision.reasons.iter().map(|r| &*r.rule).collect()
}

#[test]
fn without_a_file_what_is_open_or_may_be_is_denied_and_the_rest_allowed() {
    let policy = Policy::default();
    let open = run(&policy, "docker run -v /var/run/docker.sock:/s x");
    assert_eq!(open.outcome, Outcome::Deny);
    let reason = open.reasons.first().expect("a reason");
    assert_eq!((&*reason.rule, reason.technique.as_deref()), ("open", Some("engine-api")));
    assert!(reason.fingerprint.is_some() && reason.place.is_some() && reason.remedy.is_some());
    let told = open.message("x");
    assert!(told.starts_with("x: denied: x can become root on the host (rule open, engine-api)"), "{told}");
    assert_eq!(run(&policy, "docker run x").outcome, Outcome::Allow);
    let undetermined = run(&policy, "docker run --pid host --cap-add SYS_PTRACE x");
    assert_eq!(undetermined.outcome, Outcome::Deny);
    assert!(rules(&undetermined).iter().all(|rule| *rule == "undetermined"));
}

#[test]
fn what_is_undetermined_is_as_the_policy_says() {
    let line = "docker run --pid host --cap-add SYS_PTRACE x";
    for (word, outcome) in [("allow", Outcome::Allow), ("warn", Outcome::Warn), ("deny", Outcome::Deny)] {
        let policy = policy(&format!("version: 1\nundetermined: {word}\n"));
        assert_eq!(run(&policy, line).outcome, outcome, "{word}");
    }
}

#[test]
fn the_mode_of_a_rule_is_what_comes_of_it() {
    for (mode, outcome) in [("record", Outcome::Allow), ("warn", Outcome::Warn), ("enforce", Outcome::Deny)] {
        let decision = pod(&format!(
            "version: 1\nrules:\n- name: digest\n  mode: {mode}\n  require: {{images: {{digest: true}}}}\n"
        ));
        assert_eq!(decision.outcome, outcome, "{mode}");
        assert_eq!(rules(&decision), ["digest"], "what is only recorded is in the record");
    }
}

#[test]
fn a_rule_is_about_the_subjects_it_selects_and_no_others() {
    for (selector, applies) in [
        ("subjects: {namespaces: prod}", true),
        ("subjects: {namespaces: [dev, 'prod*']}", true),
        ("subjects: {namespaces: dev}", false),
        ("subjects: {labels: {team: w*}}", true),
        ("subjects: {labels: {team: '*', tier: '*'}}", false),
        ("subjects: {images: registry.example.com/*}", true),
        ("subjects: {images: ['*@sha256:*']}", false),
        ("subjects: {names: web}", true),
        ("subjects: {names: prod/web/app}", true),
        ("subjects: {forms: [kubernetes, oci]}", true),
        ("subjects: {forms: compose}", false),
        ("subjects: {kinds: workload}", true),
        ("subjects: {paths: pod.yaml}", true),
        ("except: [{namespaces: prod}]", false),
        ("except: {namespaces: prod, names: other}", true),
    ] {
        let decision = pod(&format!("version: 1\nrules:\n- name: r\n  {selector}\n  condition: 'false'\n"));
        assert_eq!(rules(&decision).contains(&"r"), applies, "{selector}");
    }
}

#[test]
fn an_image_that_is_not_known_may_be_meant_by_a_rule_and_not_by_an_exception() {
    let line = "docker run --name a $IMAGE";
    let rule = |part: &str| policy(&format!("version: 1\nrules:\n- name: r\n  {part}\n"));
    let selected = rule("subjects: {images: ghcr.io/*}\n  condition: 'false'");
    assert_eq!(rules(&run(&selected, line)), ["r"]);
    let excepted = rule("except: {images: ghcr.io/*}\n  condition: 'false'");
    assert_eq!(rules(&run(&excepted, line)), ["r"]);
    let required = rule("require: {images: {registries: ghcr.io}}");
    assert_eq!(run(&required, line).outcome, Outcome::Deny);
}

#[test]
fn each_bound_holds_what_it_says() {
    for (part, line, denied) in [
        ("require: {depth: 1}", "docker run x", false),
        ("require: {depth: 2}", "docker run x", true),
        ("require: {depth: 2}", "docker run --user 1000 x", false),
        ("require: {verdict: held}", "docker run --privileged x", true),
        ("require: {verdict: [held, undetermined]}", "docker run --pid host --cap-add SYS_PTRACE x", false),
        ("require: {images: {latest: false}}", "docker run nginx", true),
        ("require: {images: {latest: false}}", "docker run nginx:1.27", false),
        ("require: {images: {registries: docker.io}}", "docker run nginx", false),
        ("require: {images: {registries: docker.io/bitnami/*}}", "docker run nginx", true),
        ("require: {images: {digest: true}}", "docker run nginx@sha256:aa", false),
        ("forbid: {techniques: engine-api}", "docker run -v /run/docker.sock:/s x", true),
        ("forbid: {techniques: engine-api}", "docker run x", false),
        ("forbid: {gains: host-root}", "docker run --privileged x", true),
        ("forbid: {gains: host-root}", "docker run x", false),
        ("condition: confinement.privileged == false", "docker run --privileged x", true),
        ("condition: subject.name.startsWith('a-')", "docker run --name a-b x", false),
    ] {
        let policy =
            policy(&format!("version: 1\nopen: allow\nundetermined: allow\nrules:\n- name: r\n  {part}\n"));
        let decision = run(&policy, line);
        assert_eq!(decision.outcome == Outcome::Deny, denied, "{part}: {line}: {decision:?}");
    }
}

#[test]
fn a_standard_is_asked_of_pods_and_of_nothing_else() {
    let text = "version: 1\nrules:\n- name: pss\n  require: {standards: pss-restricted@1.30}\n";
    let decision = pod(text);
    assert_eq!(decision.outcome, Outcome::Deny);
    let named = |t: &str| t.starts_with("pss-restricted/");
    assert!(decision.reasons.iter().all(|r| r.technique.as_deref().is_some_and(named)));
    assert_eq!(run(&policy(text), "docker run x").outcome, Outcome::Allow);
}

#[test]
fn the_cis_benchmark_is_asked_of_dockers_containers_and_what_is_unknown_is_as_the_policy_says() {
    let text = |undetermined: &str| {
        let rule = "rules:\n- name: cis\n  require: {standards: cis-docker@1.6}\n";
        format!("version: 1\nopen: allow\nundetermined: {undetermined}\n{rule}")
    };
    let sound = "docker run --user 1 --read-only --security-opt no-new-privileges --memory 64m --cpus 1 --pids-limit 9 \
                 --health-cmd true --network app x";
    let decision = run(&policy(&text("allow")), sound);
    assert_eq!(decision.outcome, Outcome::Allow, "{:?}", decision.reasons);
    let numbers = |decision: &Decision| {
        let named = |r: &policy::Reason| r.technique.as_deref().unwrap_or_default().to_owned();
        decision.reasons.iter().map(named).collect::<Vec<_>>()
    };
    // Whether the host runs AppArmor and SELinux, and what will run in it.
    let unknown = run(&policy(&text("deny")), sound);
    assert_eq!(numbers(&unknown), ["cis-docker/5.2", "cis-docker/5.3", "cis-docker/5.7"]);
    let weak = run(&policy(&text("allow")), &sound.replace("--cpus 1", "--cpus 1 --pid host"));
    // Docker confines by no SELinux label what shares the host's processes (moby daemon/create_unix.go).
    assert_eq!(
        (numbers(&weak), weak.outcome),
        (vec!["cis-docker/5.3".into(), "cis-docker/5.16".into()], Outcome::Deny)
    );
    assert_eq!(weak.reasons.last().and_then(|r| r.remedy.as_deref()), Some("take pid: host out"));
    assert!(weak.reasons.iter().all(|r| r.place.is_some()), "{:?}", weak.reasons);
    assert_eq!(pod(&text("deny")).reasons, []);
}

#[test]
fn a_condition_that_fails_to_evaluate_denies_in_enforce_mode_and_is_told_in_every_mode() {
    for (mode, outcome) in [("enforce", Outcome::Deny), ("warn", Outcome::Warn), ("record", Outcome::Allow)] {
        let policy = policy(&format!(
            "version: 1\nrules:\n- name: r\n  mode: {mode}\n  condition: confinement.limits.memory < 1000\n"
        ));
        let decision = run(&policy, "docker run x");
        assert_eq!(decision.outcome, outcome, "{mode}");
        assert_eq!(decision.errors.len(), 1);
        assert!(decision.reasons.is_empty());
    }
}

fn waivers(text: &str) -> Waivers {
    let text = format!("version: 1\nwaivers:\n- {text}\n  reason: needed\n  owner: ops\n");
    Waivers::parse(&text, &"w.yaml".into()).unwrap_or_else(|e| panic!("{e}"))
}

#[test]
fn a_waiver_takes_back_the_reason_it_is_for_and_no_other() {
    let line = "docker run --name bot -v /var/run/docker.sock:/s x";
    let policy = Policy::default();
    for (text, outcome) in [
        ("technique: engine-api\n  until: 2027-01-31", Outcome::Allow),
        ("technique: engine-api\n  names: b*\n  until: 2027-01-01", Outcome::Allow),
        ("technique: engine-api\n  names: other\n  until: 2027-01-31", Outcome::Deny),
        ("technique: core-pattern-handler\n  until: 2027-01-31", Outcome::Deny),
        ("rule: open\n  until: 2027-01-31", Outcome::Allow),
        ("technique: engine-api\n  until: 2026-12-31", Outcome::Deny),
    ] {
        let decision = decide_with(&policy, "run.sh", line, &waivers(text));
        assert_eq!(decision.outcome, outcome, "{text}");
        assert_eq!(decision.waived.len(), usize::from(outcome == Outcome::Allow), "{text}");
    }
    let expired = decide_with(&policy, "run.sh", line, &waivers("technique: '*'\n  until: 2026-12-31"));
    assert!(expired.reasons.iter().any(|r| r.message.contains("its waiver (w.yaml) ended on 2026-12-31")));
    let fingerprint = run(&policy, line).reasons.first().and_then(|r| r.fingerprint.clone()).expect("one");
    let waivers = waivers(&format!("fingerprint: {fingerprint}\n  until: 2027-01-31"));
    assert_eq!(decide_with(&policy, "run.sh", line, &waivers).outcome, Outcome::Allow);
}

#[test]
fn one_policy_decides_for_many_threads() {
    let policy = Policy::default();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..5 {
                    let decision = run(&policy, "docker run --privileged x");
                    assert_eq!(decision.outcome, Outcome::Deny);
                }
            });
        }
    });
}

#[test]
fn everything_that_is_wrong_in_a_policy_is_told_at_once_with_its_line() {
    let text = "version: 1
opne: deny
rules:
- name: a
  mode: enforced
  require: {depth: 0}
- nmae: b
  condition: 'true'
- name: c
- name: a
  forbid: {techniques: engine-apy, gains: [host-rot]}
- name: open
  condition: verdict ==
- name: d
  subjects: {}
  require: {images: {}, standards: pss-basline}
";
    let error = Policy::parse(text, &"p.yaml".into(), &NoFiles).expect_err("wrong");
    let told = error.to_string();
    for expected in [
        "p.yaml:2:1: `opne` is not a key of a policy; did you mean `open`?",
        "p.yaml:5:9: `mode` must be one of enforce, warn, record",
        "p.yaml:6:20: `depth` must be a number of walls from 1 to 9",
        "p.yaml:7:3: `nmae` is not a key of a rule; did you mean `name`?",
        "p.yaml:7:3: the rule has no `name`: decisions and waivers name the rule by it",
        "p.yaml:9:3: the rule `c` asks nothing",
        "p.yaml:10:3: the rule `a` is there already, in line 4",
        "p.yaml:11:24: there is no technique `engine-apy`",
        "`gains` must be one of host-root",
        "p.yaml:12:3: `open` names the policy's own decision; choose another name",
        "p.yaml:13:14: the condition is not CEL",
        "p.yaml:15:13: `subjects` selects nothing in particular",
        "`images` asks nothing",
        "no standard is named `pss-basline`",
    ] {
        assert!(told.contains(expected), "{expected}\nin\n{told}");
    }
}

#[test]
fn rules_that_can_never_match_are_told() {
    for (rule, expected) in [
        (
            "subjects: {names: a}\n  except: {names: 'a*'}\n  condition: 'verdict == \"held\"'",
            "`except` leaves out all",
        ),
        ("subjects: {forms: compose, namespaces: x}\n  require: {depth: 1}", "have a namespace"),
        ("subjects: {forms: daemon, kinds: workload}\n  require: {depth: 1}", "of these `kinds`"),
        ("subjects: {forms: compose}\n  require: {standards: pss-baseline}", "form kubernetes only"),
        ("subjects: {forms: kubernetes}\n  require: {standards: cis-docker}", "about Docker only"),
        ("require: {standards: pss-privileged}", "allows everything"),
        ("condition: 1 == 1", "looks at nothing"),
        ("mode: warn\n  require: {verdict: held}", "refuses already"),
    ] {
        let policy = policy(&format!("version: 1\nrules:\n- name: r\n  {rule}\n"));
        let told = policy::check::oddities(&policy);
        let text = told.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
        assert!(text.contains(expected) && text.starts_with("p.yaml:3:9: "), "{rule}: {text}");
    }
    let sound =
        policy("version: 1\nrules:\n- name: r\n  subjects: {namespaces: prod}\n  require: {depth: 2}\n");
    assert_eq!(policy::check::oddities(&sound), []);
}

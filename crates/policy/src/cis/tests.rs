//! Every check on cases that are data (`cases.txt`), and beside docker-bench-security on one recorded host
//! (`peer/`).

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use confinement::{Engine, EngineKind, Fact, Origin, Request, World, confine};
use sources::{Context, gather, run};

use super::*;

fn context(lsms: Option<&str>) -> Context {
    let mut context = Context::assumed();
    let mut host = confinement::Host::unseen();
    if let Some(lsms) = lsms {
        let list: Vec<Arc<str>> = lsms.split(',').filter(|name| *name != "-").map(Arc::from).collect();
        host.lsms = Fact::known(list.into(), Origin::measured("lsm"));
        host.selinux_enforcing = Fact::known(lsms.contains("selinux"), Origin::measured("selinuxfs"));
    }
    context.host = Arc::new(host);
    context
}

/// A live engine whose own configuration could not be read, as a subject.
fn unread() -> Subject {
    let mut engine = Engine::of_version(EngineKind::Docker, (29, 0), None, "docker-29");
    engine.settings.own_configuration = Some(false);
    let context = context(None);
    let world = gather::text(b"{\"icc\": true}", Path::new("daemon.json"), &context);
    let mut subject = world.subjects.into_iter().next().expect("a subject");
    subject.form = Form::DockerLive;
    let confined = confine(&Request::default(), &Arc::new(engine), &context.host);
    subject.confinement = Arc::new(confined);
    subject
}

/// A host or a live engine, of which only the inventory is asked.
fn of_kind(kind: SubjectKind) -> Subject {
    Subject { kind, ..unread() }
}

fn judged(kind: &str, given: &str) -> StandardResult {
    let none = Inventory::default();
    let first =
        |world: World| world.subjects.into_iter().next().unwrap_or_else(|| panic!("nothing in {given}"));
    let (subject, inventory) = match kind {
        "run" => (first(run::read_line(given, &"--run".into(), 1, &context(None))), none),
        "on" => {
            let (lsms, line) = given.split_once(' ').expect("modules before the line");
            (first(run::read_line(line, &"--run".into(), 1, &context(Some(lsms)))), none)
        }
        "compose" => {
            let text = format!("services:\n  web: {given}\n");
            (first(gather::text(text.as_bytes(), Path::new("compose.yaml"), &context(None))), none)
        }
        "dockerfile" => {
            let text = given.replace("\\n", "\n");
            (first(gather::text(text.as_bytes(), Path::new("Dockerfile"), &context(None))), none)
        }
        "daemon" => (first(gather::text(given.as_bytes(), Path::new("daemon.json"), &context(None))), none),
        "unread" => (unread(), none),
        "host" => {
            let host = serde_json::from_str(given).expect(given);
            (of_kind(SubjectKind::Host), Inventory { host: Some(host), engine: None })
        }
        "engine" => {
            let engine = serde_json::from_str(given).expect(given);
            (of_kind(SubjectKind::Engine), Inventory { host: None, engine: Some(engine) })
        }
        other => panic!("no kind is called {other}"),
    };
    evaluate(&subject, &inventory).unwrap_or_else(|| panic!("nothing is asked of {given}"))
}

struct Case {
    line: usize,
    check: &'static str,
    result: &'static str,
    kind: &'static str,
    given: &'static str,
}

fn cases() -> Vec<Case> {
    let lines = include_str!("cases.txt").lines().enumerate();
    let written = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    written
        .map(|(at, line)| {
            let mut parts = line.splitn(4, ' ');
            let mut next = || parts.next().unwrap_or_else(|| panic!("line {}: {line}", at + 1));
            Case { line: at + 1, check: next(), result: next(), kind: next(), given: next() }
        })
        .collect()
}

#[test]
fn every_case_has_the_result_that_is_written() {
    let mut wrong = Vec::new();
    for case in cases() {
        let result = judged(case.kind, case.given);
        let control = result.controls.iter().find(|control| control.id == case.check);
        let found = control.map_or("not asked", |control| control.result.name());
        if found != case.result {
            let message = control.map_or("", |control| &control.message);
            wrong
                .push(format!("{}: {} is {found} and not {}: {message}", case.line, case.check, case.result));
        }
    }
    assert!(wrong.is_empty(), "cases.txt:\n{}", wrong.join("\n"));
}

/// Checks that no fact can fail or pass, by what the table says of them.
fn is_by_hand(check: &Check) -> bool {
    check.reads == "nothing"
}

#[test]
fn every_check_has_cases_for_passing_and_failing() {
    let mut seen: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for case in cases() {
        seen.entry(case.check).or_default().insert(case.result);
    }
    let has = |check: &Check, result: &str| seen.get(check.id).is_some_and(|set| set.contains(result));
    for check in CHECKS {
        let by_hand = is_by_hand(check) || matches!(check.id, "1.2.2" | "6.1" | "6.2");
        let decided = match check.id {
            _ if by_hand => has(check, "manual"),
            // What somebody may want is never wrong by itself.
            "1.1.2" | "2.1" | "2.8" | "5.9" | "5.19" | "7.4" | "7.7" => {
                has(check, "pass") && has(check, "manual")
            }
            // That there is nothing bad in what is seen is not that there is nothing.
            "4.8" | "4.10" => has(check, "fail") && has(check, "manual"),
            // Its passing needs processes, or an engine that labels: see below.
            "5.3" => has(check, "fail") && has(check, "not-applicable"),
            "5.7" => has(check, "unknown"),
            _ => has(check, "pass") && has(check, "fail"),
        };
        assert!(decided, "{}: {:?}", check.id, seen.get(check.id));
    }
    for number in seen.keys() {
        assert!(check(number).is_some(), "there is no check {number}");
    }
}

#[test]
fn an_ssh_server_is_known_by_the_processes_of_a_container() {
    let line = "docker run x";
    let world = run::read_line(line, &"--run".into(), 1, &context(None));
    let mut subject = world.subjects.into_iter().next().unwrap();
    for (runs, wanted) in [(true, Verdict::Fail), (false, Verdict::Pass)] {
        let confinement = Arc::make_mut(&mut subject.confinement);
        Arc::make_mut(&mut confinement.operation).ssh_server = Some(Fact::known(runs, Origin::Nowhere));
        assert_eq!(runtime::ssh_server(&subject).result, wanted);
    }
}

#[test]
fn a_labelled_container_is_confined_by_selinux() {
    let world = run::read_line("docker run x", &"--run".into(), 1, &context(Some("selinux")));
    let mut subject = world.subjects.into_iter().next().unwrap();
    Arc::make_mut(&mut subject.confinement).selinux =
        Fact::known(confinement::SeLinux::Confined { domain: "container_t".into() }, Origin::Nowhere);
    assert_eq!(runtime::selinux(&subject).result, Verdict::Pass);
}

#[test]
fn the_table_is_in_order_and_holds_every_number_of_the_benchmark() {
    let numbers: Vec<Vec<u32>> =
        CHECKS.iter().map(|c| c.id.split('.').map(|part| part.parse().unwrap()).collect()).collect();
    assert!(numbers.is_sorted() && numbers.windows(2).all(|pair| pair[0] != pair[1]));
    // docker-bench-security 1.6.0 counts 117 checks.
    let sections = |section: &str| CHECKS.iter().filter(|c| c.section() == section).count();
    assert_eq!(["1", "2", "3", "4", "5", "6", "7"].map(sections), [20, 18, 24, 12, 32, 2, 9]);
    for check in CHECKS {
        assert!(
            matches!(check.level, 1 | 2) && !check.nist.is_empty() && !check.attack().is_empty(),
            "{check:?}"
        );
        assert!(SECTIONS.iter().any(|(section, _)| *section == check.section()));
        assert!(check.nist.iter().all(|section| section.starts_with("3.")), "{check:?}: {:?}", check.nist);
    }
}

#[test]
fn numbers_in_technique_files_are_checks() {
    for technique in &Catalogue::get().techniques {
        for number in &technique.references.cis_docker {
            assert!(check(number).is_some(), "{} names check {number}", technique.id);
        }
    }
}

#[test]
fn what_is_not_dockers_is_not_asked() {
    let podman = run::read_line("podman run --privileged x", &"--run".into(), 1, &context(None));
    assert!(podman.subjects.iter().all(|s| evaluate(s, &Inventory::default()).is_none()));
    let pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {containers: [{name: a, image: b}]}\n";
    let world = gather::text(pod.as_bytes(), Path::new("pod.yaml"), &context(None));
    assert!(world.subjects.iter().all(|s| evaluate(s, &Inventory::default()).is_none()));
}

#[test]
fn live_restore_is_not_asked_of_a_swarm() {
    let engine = sources::inventory::EngineInventory {
        swarm: Some(sources::inventory::Swarm { active: true, ..Default::default() }),
        ..Default::default()
    };
    let mut subject = unread();
    let mut settings = (**subject.confinement.engine.as_ref().unwrap()).clone();
    settings.settings.live_restore = Fact::known(false, Origin::measured("docker info"));
    Arc::make_mut(&mut subject.confinement).engine = Some(Arc::new(settings));
    let of = |inventory: &Inventory| {
        let result = evaluate(&subject, inventory).unwrap();
        result.controls.iter().find(|c| c.id == "2.15").unwrap().result
    };
    assert_eq!(of(&Inventory::default()), Verdict::Fail);
    assert_eq!(of(&Inventory { host: None, engine: Some(engine) }), Verdict::NotApplicable);
}

mod peer {
    //! Beside docker-bench-security: the same host and containers, by number. What it said is recorded (`result.txt`),
    //! and so are the facts of the host (`inventory.json`) and the lines that made the containers. Every difference is
    //! written down with who is right (`differences.txt`), and every one that is written occurs.

    use super::*;

    fn lines(text: &'static str) -> impl Iterator<Item = &'static str> {
        text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'))
    }

    /// By number: the word, and the containers it names.
    fn recorded() -> BTreeMap<&'static str, (&'static str, BTreeSet<&'static str>)> {
        let read = |line: &'static str| {
            let mut words = line.split(' ');
            let (number, word) = (words.next().unwrap(), words.next().unwrap());
            (number, (word, words.collect()))
        };
        lines(include_str!("peer/result.txt")).map(read).collect()
    }

    /// By number, the result of each container (`-` for what is about no container).
    fn here() -> BTreeMap<&'static str, BTreeMap<&'static str, Verdict>> {
        let mut found: BTreeMap<&str, BTreeMap<&str, Verdict>> = BTreeMap::new();
        let inventory: Inventory = serde_json::from_str(include_str!("peer/inventory.json")).unwrap();
        let mut engine = Engine::of_release(EngineKind::Docker, "20.10.24");
        engine.settings.own_configuration = Some(true);
        engine.settings.log_driver = Some(Fact::known("json-file".into(), Origin::measured("docker info")));
        let mut context = context(Some("-"));
        context.docker = Arc::new(engine);
        context.image_users = Arc::new(
            [("busybox".into(), Fact::known("".into(), Origin::measured("docker image inspect")))].into(),
        );
        let mut take = |name: &'static str, result: StandardResult| {
            for control in result.controls {
                found.entry(control.id).or_default().insert(name, control.result);
            }
        };
        let mut live = unread();
        live.confinement = Arc::new(confine(&Request::default(), &context.docker, &context.host));
        take("-", evaluate(&live, &inventory).unwrap());
        take("-", evaluate(&of_kind(SubjectKind::Host), &inventory).unwrap());
        for line in lines(include_str!("peer/containers.txt")) {
            let (name, run_line) = line.split_once(": ").unwrap();
            let world = run::read_line(run_line, &"--run".into(), 1, &context);
            assert!(world.problems.is_empty(), "{:?}", world.problems);
            let mut subject = world.subjects.into_iter().next().unwrap();
            // What a command line does not say and a live engine did.
            let operation = Arc::make_mut(&mut Arc::make_mut(&mut subject.confinement).operation);
            operation
                .health_check
                .get_or_insert(Fact::known(false, Origin::measured("docker image inspect")));
            operation.ssh_server = Some(Fact::known(name == "sshd", Origin::measured("/proc")));
            take(name, evaluate(&subject, &inventory).unwrap());
        }
        found
    }

    /// Whether both say the same of a check as a whole.
    fn same(word: &str, verdict: Verdict) -> bool {
        match word {
            // "Swarm mode not enabled" is a pass of the script's.
            "PASS" => matches!(verdict, Verdict::Pass | Verdict::NotApplicable),
            "WARN" => verdict == Verdict::Fail,
            "INFO" | "NOTE" => matches!(verdict, Verdict::Manual | Verdict::NotApplicable),
            other => panic!("{other}"),
        }
    }

    /// Numbers with their containers and results that differ from what the script said.
    fn differences() -> BTreeMap<(&'static str, &'static str), BTreeSet<&'static str>> {
        let recorded = recorded();
        let mut found: BTreeMap<(&str, &str), BTreeSet<&str>> = BTreeMap::new();
        for (number, results) in here() {
            let (word, named) = &recorded[number];
            let of_containers = results.keys().any(|name| *name != "-");
            for (name, verdict) in results {
                let agrees = match (of_containers, named.contains(name)) {
                    (false, _) => same(word, verdict),
                    // Nothing is asked: both leave it to people.
                    _ if matches!(number, "5.23" | "5.24" | "5.28") => verdict == Verdict::Manual,
                    (true, true) => verdict == Verdict::Fail,
                    (true, false) => matches!(verdict, Verdict::Pass | Verdict::NotApplicable),
                };
                if !agrees {
                    found.entry((number, verdict.name())).or_default().insert(name);
                }
            }
        }
        found
    }

    #[test]
    fn every_difference_to_the_peer_is_written_down_and_no_other() {
        let mut found = differences();
        let mut missing = Vec::new();
        for line in lines(include_str!("peer/differences.txt")) {
            let [number, containers, verdict, _] = line.split(" | ").collect::<Vec<_>>()[..] else {
                panic!("{line}")
            };
            let wanted: BTreeSet<&str> = containers.split(' ').collect();
            match found.remove(&(number, verdict)) {
                Some(names) if containers == "*" && names.len() > 1 || names == wanted => {}
                other => missing.push(format!("{line}: {other:?}")),
            }
        }
        assert!(missing.is_empty() && found.is_empty(), "not so: {missing:#?}\nnot written: {found:#?}");
    }

    #[test]
    fn the_peer_and_this_table_have_the_same_numbers() {
        let here: BTreeSet<&str> = CHECKS.iter().map(|check| check.id).collect();
        assert_eq!(here, recorded().into_keys().collect());
    }
}

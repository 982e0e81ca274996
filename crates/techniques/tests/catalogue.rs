//! The catalogue as a whole: every technique is complete, every row of the knowledge is accounted for, and the
//! depths of the containers that everybody knows are what the design promises.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use confinement::confine::UserNamespaceRequest;
use confinement::{
    Confinement, Engine, EngineKind, Fact, Host, HostPath, Mount, MountSource, Origin, Request, confine,
};
use techniques::condition::Condition;
use techniques::flaw;
use techniques::judge::Solver;
use techniques::rows::rows;
use techniques::solver::{Depth, Outcome, solve};
use techniques::technique::{Catalogue, Expected, Technique};

/// Techniques with a file of their own; the rest are made of known flaws.
fn written() -> impl Iterator<Item = &'static Technique> {
    Catalogue::get().techniques.iter().filter(|t| t.file.starts_with("techniques/"))
}

fn flaws() -> impl Iterator<Item = &'static Technique> {
    Catalogue::get().techniques.iter().filter(|t| !t.file.starts_with("techniques/"))
}

#[test]
fn every_technique_explains_itself_and_names_its_sources() {
    for t in written() {
        let sentences = t.explanation.matches(". ").count() + 1;
        assert!((1..=5).contains(&sentences), "{}: {sentences} sentences", t.id);
        assert!(t.path.len() >= 2, "{}: a path has two ends", t.id);
        assert!(!t.sensor.is_empty(), "{}: what does a sensor see?", t.id);
        assert!(!t.mitigations.is_empty(), "{}: what helps?", t.id);
        assert!(!t.covers.is_empty(), "{}: which row is it?", t.id);
        assert!(!t.references.attack.is_empty(), "{}: no ATT&CK technique", t.id);
        assert!(!t.references.nist_800_190.is_empty(), "{}: no section of SP 800-190", t.id);
        assert!(!t.references.see.is_empty(), "{}: no source", t.id);
        assert_eq!(t.file, format!("techniques/{}.yaml", t.id), "a technique stands in the file of its name");
    }
}

#[test]
fn every_technique_has_a_case_that_it_completes_and_one_that_it_does_not() {
    let catalogue = Catalogue::get();
    let accomplice = catalogue.condition_id(&Condition::HostAccomplice);
    for t in written() {
        let has = |wanted: &[Expected]| t.cases.iter().any(|case| wanted.contains(&case.is));
        // What takes another person's help is never complete by itself.
        let needs_help = t.terms.iter().all(|term| accomplice.is_some_and(|a| term.contains(&a)));
        assert!(has(&[Expected::Open]) || needs_help, "{}: no case that is open", t.id);
        assert!(has(&[Expected::Held, Expected::Absent]), "{}: no case that is held", t.id);
    }
}

#[test]
fn every_row_is_covered_or_says_why_not_and_every_technique_covers_a_row() {
    let mut covered: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for t in written() {
        for row in &t.covers {
            covered.entry(row).or_default().insert(t.id);
        }
    }
    for (id, row) in rows() {
        let listed: BTreeSet<&str> = row.covered_by.iter().map(String::as_str).collect();
        assert_eq!(covered.get(id.as_str()).cloned().unwrap_or_default(), listed, "row {id}");
        let answers =
            [!row.covered_by.is_empty() || !row.flaws.is_empty(), row.fact.is_some(), row.left_out.is_some()];
        assert_eq!(answers.iter().filter(|a| **a).count(), 1, "row {id} wants exactly one answer");
        for name in &row.flaws {
            let known = flaw::load().iter().any(|f| f.id == *name || f.component == name);
            assert!(known, "row {id}: no flaw or component is named {name}");
        }
    }
    for t in written().chain(flaws()) {
        for row in &t.covers {
            assert!(rows().contains_key(row), "{} covers {row}, which is no row", t.id);
        }
    }
    assert_eq!(rows().len(), 122);
}

// ---- containers that everybody knows ------------------------------------------------------------------------

fn fact<T>(value: T) -> Fact<T> {
    Fact::known(value, Origin::assumed("the test says so"))
}

fn text(value: &str) -> Fact<Arc<str>> {
    fact(value.into())
}

fn engine(kind: EngineKind) -> Arc<Engine> {
    Arc::new(Engine::of_version(kind, (u32::MAX, 0), None, kind.name()))
}

fn docker(request: Request) -> Confinement {
    confine(&request, &engine(EngineKind::Docker), &Arc::new(Host::unseen()))
}

fn outcomes(c: &Confinement) -> Vec<Outcome> {
    let catalogue = Catalogue::get();
    let vector = Solver::new(catalogue).vector(c);
    solve(catalogue, &vector).outcomes
}

fn of<'a>(outcomes: &'a [Outcome], id: &str) -> &'a Outcome {
    let technique = |o: &&Outcome| Catalogue::get().techniques[o.technique as usize].id == id;
    outcomes.iter().find(technique).unwrap_or_else(|| panic!("{id} is not judged"))
}

fn depth(c: &Confinement) -> Depth {
    Solver::new(Catalogue::get()).depth(c)
}

fn unprivileged() -> Request {
    Request {
        user: Some(text("1000")),
        cap_drop: vec![text("ALL")],
        no_new_privileges: Some(fact(true)),
        ..Request::default()
    }
}

fn in_user_namespace(request: Request) -> Request {
    Request { user_namespace: Some(fact(UserNamespaceRequest::Private)), ..request }
}

#[test]
fn the_ladder_from_privileged_to_locked_down_rises_strictly() {
    let privileged = Request { privileged: Some(fact(true)), ..Request::default() };
    let ladder = [
        depth(&docker(privileged)),
        depth(&docker(Request::default())),
        depth(&docker(in_user_namespace(Request::default()))),
        depth(&docker(in_user_namespace(unprivileged()))),
    ];
    assert_eq!(ladder[0], Depth { min: 0, max: 0 });
    assert_eq!(ladder[1], Depth { min: 1, max: 1 });
    assert_eq!(ladder[2].min, 2);
    assert!(ladder[3].min >= 3);
    assert!(ladder.windows(2).all(|w| w[0].max < w[1].min), "{ladder:?}");
}

#[test]
fn what_an_engine_gives_by_default_is_neither_open_nor_undetermined() {
    for kind in [EngineKind::Docker, EngineKind::Podman, EngineKind::Containerd, EngineKind::Crio] {
        let c = confine(&Request::default(), &engine(kind), &Arc::new(Host::unseen()));
        assert!(depth(&c).min >= 1, "{}", kind.name());
        for o in outcomes(&c) {
            let t = &Catalogue::get().techniques[o.technique as usize];
            assert!(!t.gain.is_host() || o.depth.min >= 1, "{} under {}", t.id, kind.name());
        }
    }
}

fn bind(source: &str, target: &str, read_only: bool) -> Request {
    let origin = Origin::assumed("the test says so");
    Request {
        mounts: vec![Mount::bind(HostPath::new(source), target, read_only, origin)],
        ..Request::default()
    }
}

#[test]
fn a_read_only_mount_stops_writing_and_nothing_else() {
    let read_only = outcomes(&docker(bind("/", "/host", true)));
    assert_eq!(of(&read_only, "host-root-mount").depth.min, 1);
    assert_eq!(of(&read_only, "read-system-files").depth.max, 0);
    assert_eq!(of(&read_only, "engine-api").depth.max, 0);
}

#[test]
fn below_a_read_only_mount_that_is_not_recursively_so_the_hosts_proc_is_writable() {
    let request = bind("/", "/host", true);
    let pod = confine(&request, &engine(EngineKind::Containerd), &Arc::new(Host::unseen()));
    assert_eq!(of(&outcomes(&pod), "core-pattern-handler").depth.max, 0);
    let docker = docker(bind("/", "/host", true));
    assert_eq!(of(&outcomes(&docker), "core-pattern-handler").depth.min, 1);
}

#[test]
fn a_folder_of_data_is_no_way_out() {
    let c = docker(bind("/data/app", "/data", false));
    assert_eq!(depth(&c).min, 1);
}

#[test]
fn a_volume_of_the_engine_is_no_file_of_the_host() {
    let origin = Origin::assumed("the test says so");
    let volume = Mount::from_source(MountSource::Volume("db".into()), "/data", false, origin);
    let c = docker(Request { mounts: vec![volume], ..Request::default() });
    assert_eq!(depth(&c), Depth { min: 1, max: 1 });
}

#[test]
fn a_sandbox_kernel_stands_before_kernel_interfaces_but_not_before_mounts() {
    let privileged =
        Request { privileged: Some(fact(true)), runtime: Some(text("runsc")), ..bind("/", "/host", false) };
    let found = outcomes(&docker(privileged));
    for id in
        ["core-pattern-handler", "load-kernel-module", "block-device", "mount-block-device", "release-agent"]
    {
        assert!(of(&found, id).depth.min >= 1, "{id}");
    }
    assert_eq!(of(&found, "host-root-mount").depth.max, 0);
}

use super::*;

use confinement::{Capability, CapabilitySet};
use sources::Context;

use at_start::INITIAL_USER_NAMESPACE as INITIAL;

fn given(line: &str) -> Confinement {
    let mut context = Context::assumed();
    let mut host = Host::unseen();
    host.lsms = confinement::Fact::known(Vec::new().into(), confinement::Origin::assumed("test"));
    host.cgroup_version = confinement::Fact::known(1, confinement::Origin::assumed("test"));
    host.machine = confinement::Fact::known("x86_64".into(), confinement::Origin::assumed("test"));
    host.kernel_release = confinement::Fact::known("6.12.1".into(), confinement::Origin::assumed("test"));
    context.host = Arc::new(host);
    let world = sources::run::read_line(line, &"t".into(), 1, &context);
    assert_eq!(world.subjects.len(), 1, "{line}: {:?}", world.problems);
    (*world.subjects[0].confinement).clone()
}

/// The credentials of a root process of a container with these capabilities.
fn root_with(capabilities: CapabilitySet) -> Credentials {
    let set = capabilities.0;
    Credentials {
        effective: set,
        permitted: set,
        bounding: set,
        seccomp: 2,
        user_namespace: INITIAL,
        ..Credentials::default()
    }
}

const SOUND: &str = "docker run --user 10001 --cap-drop ALL --security-opt no-new-privileges x";
const WEAK: &str = "docker run --privileged x";
const TECHNIQUE: &str = "release-agent";

#[test]
fn a_technique_is_open_for_a_weak_container_and_held_by_named_barriers_for_a_sound_one() {
    let mut judge = Judge::default();
    let weak = judge.judge(given(WEAK));
    let sound = judge.judge(given(SOUND));
    assert_eq!(weak.exposure(TECHNIQUE), Exposure::Open);
    let Exposure::Held { barriers, depth } = sound.exposure(TECHNIQUE) else {
        panic!("{:?}", sound.exposure(TECHNIQUE))
    };
    assert_eq!(barriers.len(), usize::from(depth));
    assert!(barriers.contains(&"capabilities".to_owned()), "{barriers:?}");
    assert_eq!(Judged::verdict(weak.depth), "open");
    assert!(Judged::verdict(sound.depth).starts_with("held by "), "{:?}", sound.depth);
}

#[test]
fn every_technique_of_the_catalogue_is_answered_for_and_no_other_applies() {
    let mut judge = Judge::default();
    let judged = judge.judge(given("docker run x"));
    let mut answered = [0; 4];
    for technique in &Catalogue::get().techniques {
        let kind = match judged.exposure(technique.id) {
            Exposure::Open => 0,
            Exposure::Held { barriers, depth } => {
                assert!(!barriers.is_empty() && depth > 0, "{}", technique.id);
                1
            }
            Exposure::NotKnown { missing } => {
                assert!(!missing.is_empty(), "{}: what is missing is named", technique.id);
                2
            }
            Exposure::DoesNotApply => 3,
        };
        answered[kind] += 1;
    }
    assert!(answered[1] > 20 && answered[2] > 20, "{answered:?}");
    assert_eq!(judged.exposure("no-such-technique"), Exposure::DoesNotApply);
}

#[test]
fn what_the_audit_finds_open_is_open_here() {
    use techniques::judge::{Options, judge};
    for line in
        [WEAK, SOUND, "docker run x", "docker run -v /var/run/docker.sock:/s x", "docker run --pid host x"]
    {
        let confinement = given(line);
        let judged = Judge::default().judge(confinement.clone());
        let world = World {
            subjects: vec![Subject {
                id: "s".into(),
                name: "s".into(),
                kind: SubjectKind::Container,
                form: confinement::Form::DockerRun,
                place: None,
                declared: Vec::new(),
                realm: "r".into(),
                namespace: None,
                labels: Default::default(),
                made: None,
                confinement: Arc::new(confinement),
                pod: None,
            }],
            ..World::default()
        };
        let audit = judge(&world, Options::default());
        assert_eq!(judged.depth, audit.subjects[0].depth, "{line}");
        for path in &audit.subjects[0].paths {
            let exposure = judged.exposure(path.technique().id);
            assert_eq!(exposure == Exposure::Open, path.is_complete(), "{line}: {}", path.technique().id);
        }
    }
}

#[test]
fn a_process_that_was_put_in_with_more_is_judged_by_what_it_has() {
    let mut judge = Judge::default();
    let sound = judge.judge(given(SOUND));
    let own = Credentials {
        uid: 10001,
        euid: 10001,
        no_new_privileges: true,
        seccomp: 2,
        user_namespace: INITIAL,
        ..Credentials::default()
    };
    let held = sound.exposure(TECHNIQUE);
    assert_eq!(judge.exposure(&sound, TECHNIQUE, INITIAL, &own), held, "its own credentials change nothing");
    let privileged = Credentials { seccomp: 0, ..root_with(CapabilitySet::ALL) };
    assert_eq!(judge.exposure(&sound, TECHNIQUE, INITIAL, &privileged), Exposure::Open);
    let less = root_with(CapabilitySet::of(&[Capability::NET_RAW]));
    let Exposure::Held { depth, .. } = judge.exposure(&sound, TECHNIQUE, INITIAL, &less) else { panic!() };
    let Exposure::Held { depth: before, .. } = held else { panic!() };
    assert!(depth <= before, "root and privileges that may rise are walls less: {depth} of {before}");
}

#[test]
fn capabilities_in_a_user_namespace_of_the_processs_own_raise_nothing() {
    let mut judge = Judge::default();
    let sound = judge.judge(given(SOUND));
    let inside = Credentials {
        uid: 10001,
        euid: 10001,
        effective: CapabilitySet::ALL.0,
        permitted: CapabilitySet::ALL.0,
        bounding: CapabilitySet::ALL.0,
        no_new_privileges: true,
        seccomp: 2,
        user_namespace: 4_026_533_000,
        ..Credentials::default()
    };
    assert_eq!(judge.exposure(&sound, TECHNIQUE, INITIAL, &inside), sound.exposure(TECHNIQUE));
}

#[test]
fn a_process_in_the_hosts_user_namespace_is_no_longer_held_by_the_containers() {
    let mut judge = Judge::default();
    let remapped = judge.judge({
        let mut c = given("docker run --privileged x");
        let at = || confinement::Origin::assumed("test");
        c.user_namespace.initial = confinement::Fact::known(false, at());
        c.user_namespace.root_is_host_root = confinement::Fact::known(false, at());
        c.user_namespace.uid_map = confinement::Fact::known(
            [confinement::IdRange { inside: 0, outside: 100_000, count: 65536 }].into(),
            at(),
        );
        c
    });
    let own = 4_026_533_000;
    let Exposure::Held { barriers, .. } = remapped.exposure(TECHNIQUE) else {
        panic!("{:?}", remapped.exposure(TECHNIQUE))
    };
    assert!(barriers.contains(&"user namespace".to_owned()), "{barriers:?}");
    let entered = Credentials { seccomp: 0, ..root_with(CapabilitySet::ALL) };
    assert_eq!(judge.exposure(&remapped, TECHNIQUE, own, &entered), Exposure::Open);
    let within =
        Credentials { uid: 100_000, euid: 100_000, user_namespace: own, ..root_with(CapabilitySet::ALL) };
    assert_eq!(judge.exposure(&remapped, TECHNIQUE, own, &within), remapped.exposure(TECHNIQUE));
}

#[test]
fn before_anything_is_read_a_wall_that_the_kernel_shows_holds_and_the_rest_is_not_known() {
    let mut judge = Judge::default();
    let host = given("docker run x").host.clone();
    let namespaces = Namespaces { user: INITIAL, mount: 2, pid: 3, network: 4, ipc: 5, uts: 6, cgroup: 7 };
    let of_host = Namespaces { user: INITIAL, mount: 1, pid: 1, network: 1, ipc: 1, uts: 1, cgroup: 1 };
    let mut actor = Actor {
        credentials: Credentials {
            uid: 10001,
            euid: 10001,
            no_new_privileges: true,
            seccomp: 2,
            user_namespace: INITIAL,
            ..Credentials::default()
        },
        namespaces,
        ..Actor::default()
    };
    let weak_user = judge.judge_at_start(&actor, &of_host, &host);
    assert!(
        matches!(weak_user.exposure(TECHNIQUE), Exposure::Held { .. }),
        "{:?}",
        weak_user.exposure(TECHNIQUE)
    );
    assert!(
        matches!(weak_user.exposure("engine-api"), Exposure::NotKnown { .. }),
        "whether a socket is mounted was not told: {:?}",
        weak_user.exposure("engine-api")
    );
    actor.credentials = Credentials { seccomp: 0, ..root_with(CapabilitySet::ALL) };
    let strong = judge.judge_at_start(&actor, &of_host, &host);
    for technique in &Catalogue::get().techniques {
        if let Exposure::Held { barriers, .. } = strong.exposure(technique.id) {
            let untold = barriers.iter().find(|b| ["mount namespace", "device cgroup"].contains(&b.as_str()));
            assert_eq!(untold, None, "{}: mounts and devices were not told", technique.id);
        }
    }
}

#[test]
fn ten_thousand_containers_that_are_confined_alike_are_solved_once() {
    let mut judge = Judge::default();
    let confinement = given("docker run x");
    let first = judge.judge(confinement.clone());
    let kept = judge.solver.kept();
    let started = std::time::Instant::now();
    for _ in 0..10_000 {
        let again = judge.judge(confinement.clone());
        assert!(Arc::ptr_eq(&again.solution, &first.solution));
        assert!(Arc::ptr_eq(&again.confinement, &first.confinement));
    }
    let each = started.elapsed() / 10_000;
    assert_eq!(judge.solver.kept(), kept);
    assert!(each < std::time::Duration::from_millis(1), "{each:?} a container");
}

#[test]
fn memory_is_bounded_where_no_two_containers_are_alike() {
    let mut judge = Judge::default();
    let base = given("docker run x");
    for number in 0..KEPT as u32 + 200 {
        let mut c = base.clone();
        c.limits.pids = confinement::Fact::known(Some(u64::from(number)), confinement::Origin::Nowhere);
        judge.judge(c);
    }
    assert!(judge.distinct.len() <= KEPT && judge.solver.kept() <= 2 * KEPT, "{}", judge.solver.kept());
}

#[test]
fn a_neighbour_that_is_open_shortens_the_way_to_the_host() {
    let mut judge = Judge::default();
    let volume = |line: &str| Arc::new(given(line));
    let a = volume("docker run --user 10001 -v /srv/shared:/d x");
    let b = volume("docker run --privileged -v /srv/shared:/d x");
    let alone = judge.depths(&[(ContainerKey(1), a.clone())]);
    let together = judge.depths(&[(ContainerKey(1), a), (ContainerKey(2), b)]);
    assert!(together[0].min < alone[0].min, "{together:?} {alone:?}");
    assert_eq!(together[1].max, 0);
}

#[test]
fn paths_through_others_are_found_among_a_thousand_containers_in_good_time() {
    let mut judge = Judge::default();
    let base = given("docker run -v /srv/shared:/d x");
    for many in [50, 1000] {
        let containers: Vec<(ContainerKey, Arc<Confinement>)> = (0..many)
            .map(|number| {
                let mut c = base.clone();
                c.limits.pids = confinement::Fact::known(Some(number), confinement::Origin::Nowhere);
                (ContainerKey(number), Arc::new(c))
            })
            .collect();
        judge.depths(&containers);
        let started = std::time::Instant::now();
        judge.depths(&containers);
        let took = started.elapsed();
        println!("{took:?} for {many} containers, each confined otherwise and solved before");
        assert!(took < std::time::Duration::from_secs(5), "{took:?}");
    }
}

//! The recommended level: every known image gets what its row says, pins hold, and made recommendations are met.

mod support;

use std::collections::HashMap;
use std::sync::Arc;

use confinement::{Capability, CapabilitySet, Confinement};
use proptest::prelude::*;
use techniques::keep::Keep;
use techniques::needs::{self, ImageNeeds, NoNewPrivileges, UserKind};
use techniques::recommended::{Recommendation, recommended};
use techniques::remedy::{LimitKind, Remedy, apply_all};

fn under(assume: Option<&str>, given: &str) -> Arc<Confinement> {
    support::world(given, assume, &HashMap::new()).subjects[0].confinement.clone()
}

fn with_pins(given: &str, pins: &[&str]) -> Vec<Recommendation> {
    let pins: Vec<Keep> = pins.iter().map(|p| Keep::parse(p).unwrap()).collect();
    recommended(&under(None, given), &pins, None)
}

fn remedies(given: &str) -> Vec<Remedy> {
    with_pins(given, &[]).into_iter().map(|r| r.remedy).collect()
}

fn set(list: &[Capability]) -> CapabilitySet {
    CapabilitySet::of(list)
}

fn kept(list: &[Recommendation]) -> Option<CapabilitySet> {
    list.iter().find_map(|r| match r.remedy {
        Remedy::KeepCapabilities(set) => Some(set),
        _ => None,
    })
}

/// What is recommended without knowing that it will work; limits, which are guesses for nearly all, apart.
fn guesses(list: &[Recommendation]) -> Vec<&Remedy> {
    let guesses = list.iter().filter(|r| r.guess).map(|r| &r.remedy);
    guesses.filter(|r| !matches!(r, Remedy::Limit(_))).collect()
}

fn pod(spec: &str, container: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: p, namespace: n}}\n\
         spec: {{{spec}containers: [{{name: c, {container}}}]}}"
    )
}

// ---- known images -------------------------------------------------------------------------------------------

use Capability::{
    CHOWN, DAC_OVERRIDE, FOWNER, NET_ADMIN, NET_BIND_SERVICE, NET_RAW, SETGID, SETPCAP, SETUID,
};
const MEMORY: Remedy = Remedy::Limit(LimitKind::Memory);
const PIDS: Remedy = Remedy::Limit(LimitKind::Pids);

#[test]
fn images_by_name_get_what_they_are_documented_to_take() {
    use Remedy::{KeepCapabilities, NoNewPrivileges, ReadOnlyRootfs, RunAsNonRoot};
    let keep = |list: &[Capability]| KeepCapabilities(set(list));
    let table: &[(&str, Vec<Remedy>)] = &[
        (
            "docker run postgres:17",
            vec![RunAsNonRoot, keep(&[]), NoNewPrivileges, ReadOnlyRootfs, MEMORY, PIDS],
        ),
        (
            "docker run nginx",
            vec![keep(&[CHOWN, SETGID, SETUID]), NoNewPrivileges, ReadOnlyRootfs, MEMORY, PIDS],
        ),
        (
            "podman run nginx",
            vec![keep(&[CHOWN, SETGID, SETUID, NET_BIND_SERVICE]), NoNewPrivileges, ReadOnlyRootfs, MEMORY],
        ),
        ("docker run caddy", vec![keep(&[NET_BIND_SERVICE]), NoNewPrivileges, MEMORY, PIDS]),
        (
            "docker run -v d:/data -v c:/config caddy",
            vec![keep(&[NET_BIND_SERVICE]), NoNewPrivileges, ReadOnlyRootfs, MEMORY, PIDS],
        ),
        (
            "podman run --user 1000 -v d:/data -v c:/config caddy",
            vec![keep(&[NET_BIND_SERVICE]), ReadOnlyRootfs, MEMORY],
        ),
        ("docker run httpd", vec![keep(&[SETGID, SETUID]), NoNewPrivileges, ReadOnlyRootfs, MEMORY, PIDS]),
        (
            "docker run --user 999 --cap-drop ALL --read-only --security-opt no-new-privileges -m 1g \
             --pids-limit 100 redis",
            vec![],
        ),
    ];
    for (given, expected) in table {
        assert_eq!(&remedies(given), expected, "{given}");
    }
}

/// A tag that leads to the row.
fn tag(row: &ImageNeeds) -> String {
    let before = match row.before.as_deref() {
        Some("2.4") => Some("2.3"),
        Some("18") => Some("17"),
        Some("8.0.2") => Some("8.0.1"),
        Some("3") => Some("2"),
        Some(other) => panic!("{}: name a version before {other}", row.image),
        None => None,
    };
    let version = before.or(row.since.as_deref()).unwrap_or("99");
    row.variant.as_ref().map_or(version.to_owned(), |variant| format!("{version}-{variant}"))
}

/// What a row says of a container that asks for nothing else.
fn said(row: &ImageNeeds, low_ports_free: bool, in_pod: bool, pids_limited: bool) -> Vec<Remedy> {
    let low_port = row.low_port.is_some() && !low_ports_free;
    let mut list = Vec::new();
    let own_user = matches!(row.user.kind, UserKind::Named | UserKind::Takes)
        && (!low_port || row.bounding.has(NET_BIND_SERVICE));
    let mut keep = row.bounding;
    if own_user {
        list.push(Remedy::RunAsNonRoot);
    } else {
        keep = keep.union(row.capabilities);
        if low_port {
            keep = keep.with(NET_BIND_SERVICE);
        }
    }
    list.push(Remedy::KeepCapabilities(keep));
    if row.no_new_privileges == NoNewPrivileges::Safe {
        list.push(Remedy::NoNewPrivileges);
    }
    if in_pod {
        list.push(Remedy::SeccompDefault);
    }
    if row.edited.is_empty() && (in_pod || row.data.is_empty()) {
        list.push(Remedy::ReadOnlyRootfs);
    }
    list.push(MEMORY);
    if !pids_limited {
        list.push(PIDS);
    }
    if in_pod {
        list.push(Remedy::NoServiceAccountToken);
    }
    list
}

#[test]
fn every_known_image_is_recommended_what_its_row_says() {
    for row in needs::all() {
        for path in &row.paths {
            let image = format!("{path}:{}", tag(row));
            assert_eq!(needs::of(&image).map(|n| &n.image), Some(&row.image), "{image}");
            let run = |engine: &str| {
                let list = recommended(&under(None, &format!("{engine} run {image}")), &[], None);
                let guesses = guesses(&list).len();
                assert!(guesses == 0 || row.programs, "{image}: {list:?}");
                assert!(list.iter().all(|r| r.why.len() > 10), "{image}: {list:?}");
                list.into_iter().map(|r| r.remedy).collect::<Vec<_>>()
            };
            assert_eq!(run("docker"), said(row, true, false, false), "{image} under Docker");
            // None of the rows names a capability that Podman does not give.
            assert_eq!(run("podman"), said(row, false, false, true), "{image} under Podman");
            let pod = pod("", &format!("image: '{image}'"));
            for (engine, free) in [("containerd-2", true), ("containerd-1.7", false)] {
                let list = recommended(&under(Some(engine), &pod), &[], None);
                let list: Vec<Remedy> = list.into_iter().map(|r| r.remedy).collect();
                assert_eq!(list, said(row, free, true, true), "{image} under {engine}");
            }
        }
    }
}

// ---- images that are not known ------------------------------------------------------------------------------

#[test]
fn an_unknown_image_that_runs_as_root_keeps_what_stepping_down_takes_as_a_guess() {
    let list = with_pins("docker run acme/app", &[]);
    assert_eq!(kept(&list), Some(set(&[CHOWN, DAC_OVERRIDE, FOWNER, SETGID, SETUID])));
    let guesses = guesses(&list);
    assert!(matches!(guesses[..], [Remedy::KeepCapabilities(_), Remedy::ReadOnlyRootfs]), "{guesses:?}");
    for guess in list.iter().filter(|r| r.guess) {
        assert!(guess.why.contains("a guess, to be "), "{}", guess.why);
    }
    assert!(
        !list.iter().any(|r| r.remedy == Remedy::RunAsNonRoot),
        "nothing says that it takes another user"
    );
    let on_the_host = with_pins("docker run --network host acme/app", &[]);
    assert!(kept(&on_the_host).unwrap().has(NET_BIND_SERVICE));
}

#[test]
fn an_image_for_programs_of_ones_own_says_nothing_of_the_program() {
    let list = with_pins("docker run python:3", &[]);
    assert_eq!(kept(&list), Some(CapabilitySet::EMPTY));
    let guesses = guesses(&list);
    assert!(matches!(guesses[..], [Remedy::KeepCapabilities(_), Remedy::ReadOnlyRootfs]), "{guesses:?}");
}

#[test]
fn a_user_other_than_root_keeps_no_capability_and_that_is_no_guess() {
    let list = with_pins("docker run --user 1000 acme/app", &[]);
    assert_eq!(kept(&list), Some(CapabilitySet::EMPTY));
    assert_eq!(guesses(&list), [&Remedy::ReadOnlyRootfs]);
}

#[test]
fn what_somebody_added_by_name_is_kept() {
    let list = with_pins("docker run --cap-add NET_ADMIN --cap-add SYS_TIME postgres", &[]);
    let root = set(&[CHOWN, DAC_OVERRIDE, FOWNER, SETGID, SETUID, NET_ADMIN, Capability::SYS_TIME]);
    assert_eq!(kept(&list), Some(root), "Docker gives what was added to root alone, so it stays root");
    assert!(!list.iter().any(|r| r.remedy == Remedy::RunAsNonRoot));
    // ALL names nobody.
    assert_eq!(kept(&with_pins("docker run --cap-add ALL postgres", &[])), Some(CapabilitySet::EMPTY));
    // Added for another user it is there for a program's file capabilities, which no_new_privs stops.
    let list = with_pins("docker run --user 5 --cap-add NET_ADMIN acme/app", &[]);
    assert_eq!(kept(&list), Some(set(&[NET_ADMIN])));
    assert!(!list.iter().any(|r| r.remedy == Remedy::NoNewPrivileges));
}

#[test]
fn capabilities_that_are_dropped_already_are_not_given_back() {
    let list = with_pins("docker run --cap-drop SETUID --cap-drop NET_RAW acme/app", &[]);
    assert_eq!(kept(&list), Some(set(&[CHOWN, DAC_OVERRIDE, FOWNER, SETGID])));
    assert_eq!(kept(&with_pins("docker run --cap-drop ALL --cap-add CHOWN acme/app", &[])), None);
}

#[test]
fn a_limit_is_a_guess_unless_the_image_documents_what_it_needs() {
    let limits = |given: &str| -> Vec<(Remedy, bool)> {
        let list = with_pins(given, &[]).into_iter().filter(|r| matches!(r.remedy, Remedy::Limit(_)));
        list.map(|r| (r.remedy, r.guess)).collect()
    };
    assert_eq!(limits("docker run acme/app"), [(MEMORY, true), (PIDS, true)]);
    assert_eq!(limits("docker run sonarqube"), [(MEMORY, false), (PIDS, false)]);
}

// ---- single recommendations ---------------------------------------------------------------------------------

#[test]
fn a_pod_without_a_filter_gets_the_runtimes_default() {
    let has = |given: &str| remedies(given).contains(&Remedy::SeccompDefault);
    assert!(has(&pod("", "image: a")));
    assert!(!has(&pod("securityContext: {seccompProfile: {type: RuntimeDefault}}, ", "image: a")));
    assert!(!has("docker run a"));
    assert!(has("docker run --security-opt seccomp=unconfined a"));
    assert!(!has("docker run --privileged a"), "it would have no effect");
}

#[test]
fn no_new_privileges_is_not_recommended_where_the_api_refuses_it() {
    let has = |given: &str| remedies(given).contains(&Remedy::NoNewPrivileges);
    let with = |context: &str| pod("", &format!("image: a, securityContext: {context}"));
    assert!(has(&with("{}")));
    assert!(!has(&with("{allowPrivilegeEscalation: false}")));
    assert!(!has(&with("{privileged: true}")));
    assert!(!has(&with("{capabilities: {add: [SYS_ADMIN]}}")));
    assert!(has(&with("{capabilities: {add: [ALL]}}")), "SYS_ADMIN goes with the rest");
    assert!(has("docker run --privileged a"));
}

#[test]
fn the_token_goes_where_nothing_says_that_it_is_used() {
    let has = |given: &str| {
        let world = support::world(given, None, &HashMap::new());
        let subject = world.subjects.iter().find(|s| &*s.name == "n/p/c" || s.name.ends_with("c")).unwrap();
        let list = recommended(&subject.confinement, &[], None);
        list.iter().any(|r| r.remedy == Remedy::NoServiceAccountToken)
    };
    assert!(has(&pod("", "image: a")), "the default account");
    assert!(!has(&pod("automountServiceAccountToken: false, ", "image: a")));
    assert!(!has(&pod("serviceAccountName: bot, ", "image: a")), "somebody made it for a purpose");
    let account = "\n---\napiVersion: v1\nkind: ServiceAccount\nmetadata: {name: bot, namespace: n}";
    let role = "\n---\napiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {name: r, namespace: n}\n\
                rules: [{apiGroups: [''], resources: [pods], verbs: [list]}]\n---\n\
                apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {name: b, namespace: n}\n\
                roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: r}\n\
                subjects: [{kind: ServiceAccount, name: bot, namespace: n}]";
    assert!(
        !has(&(pod("serviceAccountName: bot, ", "image: a") + account + role)),
        "it is granted something"
    );
}

#[test]
fn an_image_is_pinned_where_its_digest_is_known() {
    let c = under(None, "docker run nginx:1.27");
    let pinned = |c: &Confinement, digest| {
        recommended(c, &[], digest).into_iter().find(|r| r.remedy == Remedy::PinImage)
    };
    assert!(pinned(&c, None).is_none());
    assert!(pinned(&c, Some("sha256:00ff")).is_some_and(|r| r.why.contains("sha256:00ff")));
    let by_digest = under(None, &format!("docker run nginx@sha256:{}", "0".repeat(64)));
    assert!(pinned(&by_digest, Some("sha256:00ff")).is_none());
}

#[test]
fn an_unknown_bounding_set_is_left_to_a_person() {
    let given = "services: {a: {image: postgres, cap_add: ['${NEEDED:?}']}}";
    let context = support::context(None, &HashMap::new());
    let world =
        sources::gather::text(given.as_bytes(), std::path::Path::new("/srv/case/case.yaml"), &context);
    let list = recommended(&world.subjects[0].confinement, &[], None);
    assert_eq!(kept(&list), None, "what the variable adds would be dropped with the rest");
}

// ---- pins ---------------------------------------------------------------------------------------------------

#[test]
fn what_is_pinned_stays() {
    let given = "docker run postgres";
    assert_eq!(kept(&with_pins(given, &["cap:NET_RAW"])).map(|k| k.has(NET_RAW)), Some(true));
    // With root pinned, the capabilities are those of a start as root.
    let list = with_pins(given, &["root"]);
    assert!(!list.iter().any(|r| r.remedy == Remedy::RunAsNonRoot));
    assert_eq!(kept(&list), Some(set(&[CHOWN, DAC_OVERRIDE, FOWNER, SETGID, SETUID])));
    for (pin, remedy) in [
        ("new-privileges", Remedy::NoNewPrivileges),
        ("writable-rootfs", Remedy::ReadOnlyRootfs),
        ("unlimited:memory", MEMORY),
        ("unlimited:pids", PIDS),
    ] {
        assert!(remedies(given).contains(&remedy));
        assert!(!with_pins(given, &[pin]).iter().any(|r| r.remedy == remedy), "{pin}");
    }
    // As SETPCAP is among Docker's own, redis has it to keep.
    assert!(kept(&with_pins("docker run redis", &["root"])).unwrap().has(SETPCAP));
}

// ---- random containers --------------------------------------------------------------------------------------

const IMAGES: &[&str] = &[
    "acme/app",
    "acme/nginx",
    "nginx",
    "nginx:1.27-alpine",
    "postgres:17",
    "postgres",
    "redis:7",
    "redis",
    "caddy",
    "httpd",
    "haproxy:2.3",
    "haproxy",
    "grafana/grafana",
    "cassandra",
    "php:8-apache",
    "memcached",
    "traefik",
    "python:3",
    "golang",
    "elasticsearch:9",
    "alpine",
];
const FLAGS: &[&str] = &[
    "--privileged",
    "--cap-add NET_ADMIN",
    "--cap-add SYS_ADMIN",
    "--cap-add ALL",
    "--cap-add SYS_NICE",
    "--cap-drop ALL",
    "--cap-drop NET_RAW",
    "--cap-drop SETUID",
    "--user 1000:1000",
    "--user 0",
    "--user app",
    "--read-only",
    "--security-opt no-new-privileges",
    "--security-opt seccomp=unconfined",
    "--network host",
    "--network none",
    "--pid host",
    "--memory 1g",
    "--pids-limit 100",
    "--pids-limit -1",
    "-v data:/data",
    "-v /srv/x:/var/lib/postgresql/data",
    "-v /:/host",
    "--tmpfs /run",
    "--device /dev/fuse",
    "--sysctl net.ipv4.ip_unprivileged_port_start=0",
    "--userns host",
];
const CONTEXT: &[&str] = &[
    "privileged: true",
    "privileged: false",
    "allowPrivilegeEscalation: false",
    "allowPrivilegeEscalation: true",
    "runAsNonRoot: true",
    "runAsUser: 0",
    "runAsUser: 1000",
    "readOnlyRootFilesystem: true",
    "seccompProfile: {type: RuntimeDefault}",
    "seccompProfile: {type: Unconfined}",
    "capabilities: {add: [ALL]}",
    "capabilities: {add: [SYS_ADMIN, NET_ADMIN]}",
    "capabilities: {drop: [ALL]}",
    "capabilities: {drop: [ALL], add: [NET_BIND_SERVICE]}",
];
const SERVICE: &[&str] = &[
    "privileged: true",
    "privileged: '${P}'",
    "cap_add: [NET_ADMIN, '${C:?}']",
    "cap_add: [SYS_PTRACE]",
    "cap_drop: [ALL]",
    "user: '1000'",
    "user: '${U}'",
    "read_only: true",
    "read_only: '${R}'",
    "network_mode: host",
    "security_opt: ['no-new-privileges:true']",
    "security_opt: ['seccomp:unconfined', 'apparmor:unconfined']",
    "mem_limit: 1g",
    "mem_limit: '${M}'",
    "pids_limit: 50",
    "tmpfs: /tmp",
    "volumes: ['data:/data']",
    "userns_mode: host",
    "use_api_socket: true",
    "image: '${I}'",
];
const PINS: &[&str] = &[
    "cap:NET_ADMIN",
    "cap:NET_RAW",
    "cap:SETUID",
    "cap:SYS_ADMIN",
    "root",
    "privileged",
    "writable-rootfs",
    "new-privileges",
    "seccomp",
    "unlimited:memory",
    "unlimited:pids",
    "service-account-token",
    "network",
    "lsm",
    "mount:/data",
    "device:/dev/fuse",
    "namespace:pid",
    "namespace:user",
];
const ENGINES: &[&str] = &[
    "docker-20.10",
    "docker-29",
    "podman-4",
    "podman-5",
    "containerd-1.7",
    "containerd-2",
    "crio-1.30",
    "crio-1.36",
];

/// Some settings, each key once as YAML wants it.
fn some(of: &'static [&'static str], most: usize) -> impl Strategy<Value = Vec<&'static str>> {
    prop::sample::subsequence(of.to_vec(), 0..=most).prop_shuffle().prop_map(|list| {
        let mut keys = std::collections::HashSet::new();
        list.into_iter().filter(|item| !item.contains(": ") || keys.insert(item.split(':').next())).collect()
    })
}

fn given() -> impl Strategy<Value = (&'static str, String)> {
    let engine = prop::sample::select(ENGINES);
    let image = prop::sample::select(IMAGES);
    (engine, image, some(FLAGS, 6), some(CONTEXT, 5), some(SERVICE, 6), any::<bool>()).prop_map(
        |(engine, image, flags, context, service, compose)| {
            let text = match engine.split('-').next() {
                Some("docker") if compose && service.iter().any(|s| s.starts_with("image")) => {
                    format!("services: {{a: {{{}}}}}\nvolumes: {{data: {{}}}}", service.join(", "))
                }
                Some("docker") if compose => {
                    let rest: String = service.iter().map(|s| format!(", {s}")).collect();
                    format!("services: {{a: {{image: '{image}'{rest}}}}}\nvolumes: {{data: {{}}}}")
                }
                Some(program @ ("docker" | "podman")) => format!("{program} run {} {image}", flags.join(" ")),
                _ => pod("", &format!("image: '{image}', securityContext: {{{}}}", context.join(", "))),
            };
            (engine, text)
        },
    )
}

fn read(engine: &str, text: &str) -> Option<Arc<Confinement>> {
    let context = support::context(Some(engine), &HashMap::new());
    let world = if text.starts_with("docker ") || text.starts_with("podman ") {
        sources::run::read_line(text, &"case".into(), 1, &context)
    } else {
        sources::gather::text(text.as_bytes(), std::path::Path::new("/srv/case/case.yaml"), &context)
    };
    world.subjects.first().map(|s| s.confinement.clone())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn what_is_recommended_and_made_is_recommended_no_more(
        (engine, text) in given(),
        pins in some(PINS, 4),
        digest in any::<bool>(),
    ) {
        let Some(c) = read(engine, &text) else { return Ok(()) };
        let pins: Vec<Keep> = pins.iter().map(|p| Keep::parse(p).unwrap()).collect();
        let digest = digest.then_some("sha256:00ff");
        let list = recommended(&c, &pins, digest);
        for r in &list {
            prop_assert!(r.why.len() > 10, "{text}: {r:?}");
            prop_assert!(r.remedy.apply(&c) != *c, "{text}: {r:?} changes nothing");
            for pin in &pins {
                prop_assert!(!pin.forbids(&r.remedy, &c), "{text}: {pin} forbids {r:?}");
            }
        }
        let after = apply_all(list.iter().map(|r| &r.remedy), &c);
        let again = recommended(&after, &pins, digest);
        prop_assert!(again.is_empty(), "{text}: {list:?}, and then {again:?}");
        for pin in &pins {
            let Keep::Capability(cap) = pin else { continue };
            let had = c.capabilities.effective.is(|s| s.has(*cap)).is_true();
            prop_assert!(!had || after.capabilities.effective.is(|s| s.has(*cap)).is_true(), "{text}: {pin}");
        }
    }
}

// ---- other people's containers ------------------------------------------------------------------------------

#[test]
fn whatever_people_wrote_recommendations_once_made_are_met() {
    let folder = std::env::var_os("STOCKADE_CORPORA").map_or_else(
        || std::path::PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/corpora")),
        std::path::PathBuf::from,
    );
    if !folder.is_dir() {
        eprintln!("skipped: the corpora are absent (STOCKADE_CORPORA)");
        return;
    }
    let targets: Vec<_> = ["compose", "kubernetes", "dockerfiles"].map(|name| folder.join(name)).into();
    let world = sources::gather::paths(&targets, &sources::Context::assumed());
    let (mut known, mut made) = (0, 0);
    for subject in &world.subjects {
        let c = &subject.confinement;
        known += usize::from(needs::of_image(c).is_some());
        let list = recommended(c, &[], None);
        for r in &list {
            assert!(r.remedy.apply(c) != **c, "{}: {r:?} changes nothing", subject.id);
        }
        made += list.len();
        let again = recommended(&apply_all(list.iter().map(|r| &r.remedy), c), &[], None);
        assert!(again.is_empty(), "{}: {again:?}", subject.id);
    }
    eprintln!("{} subjects, {known} of known images, {made} recommendations", world.subjects.len());
    assert!(known > 100 && made > world.subjects.len(), "{known} known, {made} made");
}

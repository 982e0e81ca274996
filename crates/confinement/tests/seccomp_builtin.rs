//! The built-in tables against the profiles that the engines publish, and facts about versions.

use std::collections::BTreeSet;
use std::path::PathBuf;

use confinement::seccomp::{
    Architecture, Argument, Arguments, Builtin, Containerd, Crio, Docker, Podman, Profile, Resolved,
};
use confinement::{Capability, CapabilitySet, Truth};

const NATIVE: [Architecture; 2] = [Architecture::X86_64, Architecture::Aarch64];
const KERNEL: Option<(u32, u32)> = Some((6, 12));

/// CapBnd of a Docker container with default capabilities.
const DOCKER_DEFAULT: CapabilitySet = CapabilitySet(0xa804_25fb);

fn corpora() -> Option<PathBuf> {
    let path = std::env::var_os("STOCKADE_CORPORA").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/corpora")),
        PathBuf::from,
    );
    path.is_dir().then_some(path)
}

fn published(name: &str) -> Option<Profile> {
    let Some(corpora) = corpora() else {
        eprintln!("skipped: the corpora are absent (STOCKADE_CORPORA)");
        return None;
    };
    let text = std::fs::read_to_string(corpora.join("engine-defaults").join(name)).unwrap();
    Some(Profile::from_json(&text).unwrap())
}

fn bounding_sets() -> Vec<CapabilitySet> {
    let single = Capability::ALL.iter().map(|c| CapabilitySet::of(&[*c]));
    [CapabilitySet::EMPTY, DOCKER_DEFAULT, CapabilitySet::ALL].into_iter().chain(single).collect()
}

fn disagreements(ours: &Profile, theirs: &Profile) -> Vec<String> {
    let names: BTreeSet<&str> =
        ours.syscalls().chain(theirs.syscalls()).chain(["io_uring_setup", "no_such_call"]).collect();
    let arguments: Vec<[u64; 6]> = (0..64)
        .chain([0x20000, 0x20008, 0xffff_ffff, 0x1000_0000, 0x7e02_0000, 1 << 32, u64::MAX])
        .flat_map(|a| [[a, 0, 0, 0, 0, 0], [a, 0x1000_0000, 9, 0, 0, 0], [a, a, 8, 0, 0, 0]])
        .collect();
    let mut found = Vec::new();
    for native in NATIVE {
        for bounding in bounding_sets() {
            for kernel in [None, Some((4, 4)), KERNEL] {
                let (a, b) =
                    (ours.resolve(bounding, native, kernel), theirs.resolve(bounding, native, kernel));
                assert_eq!(a.architectures(), b.architectures());
                for name in &names {
                    let arguments =
                        if compared(ours, name) || compared(theirs, name) { &*arguments } else { &[[0; 6]] };
                    let same = a.permits(name, &Arguments::ANY) == b.permits(name, &Arguments::ANY)
                        && arguments.iter().all(|x| a.action(name, x) == b.action(name, x))
                        && a.architectures().iter().all(|arch| {
                            arguments
                                .iter()
                                .take(6)
                                .all(|x| a.action_on(*arch, name, x) == b.action_on(*arch, name, x))
                        });
                    if !same {
                        found.push(format!("{name} on {native:?} with {bounding}, kernel {kernel:?}"));
                    }
                }
            }
        }
    }
    found
}

/// Whether a rule looks at the arguments of this call, or of one that it carries.
fn compared(profile: &Profile, name: &str) -> bool {
    name == "socketcall"
        || profile.rules().iter().any(|r| !r.comparisons.is_empty() && r.names.iter().any(|n| n == name))
}

#[test]
fn the_docker_table_is_the_published_profile() {
    if let Some(published) = published("docker-seccomp.json") {
        let found = disagreements(Builtin::Docker(Docker::LATEST).profile(), &published);
        assert!(found.is_empty(), "{found:#?}");
    }
}

#[test]
fn the_podman_table_is_the_published_profile() {
    if let Some(published) = published("podman-seccomp.json") {
        let found = disagreements(Builtin::Podman(Podman::LATEST).profile(), &published);
        assert!(found.is_empty(), "{found:#?}");
    }
}

/// Set `SECCOMP_PROFILES` to a folder of `docker-20.10.json`, `docker-25.json`, `docker-28.json`,
/// `podman-4.3.json`, `podman-5.4.json` and `podman-5.8.json` to compare the older tables with the profiles
/// of those releases.
#[test]
fn the_older_tables_are_the_published_profiles() {
    let Some(folder) = std::env::var_os("SECCOMP_PROFILES").map(PathBuf::from) else {
        eprintln!("skipped: no profiles of older releases (SECCOMP_PROFILES)");
        return;
    };
    for (file, builtin) in [
        ("docker-20.10.json", Builtin::Docker(Docker::V20_10)),
        ("docker-25.json", Builtin::Docker(Docker::V25)),
        ("docker-28.json", Builtin::Docker(Docker::V28)),
        ("podman-4.3.json", Builtin::Podman(Podman::V4_3)),
        ("podman-5.4.json", Builtin::Podman(Podman::V5_4)),
        ("podman-5.8.json", Builtin::Podman(Podman::V5_8)),
    ] {
        let text = std::fs::read_to_string(folder.join(file)).unwrap();
        let found = disagreements(builtin.profile(), &Profile::from_json(&text).unwrap());
        assert!(found.is_empty(), "{file}: {found:#?}");
    }
}

fn resolved(builtin: Builtin, bounding: CapabilitySet) -> Resolved<'static> {
    builtin.profile().resolve(bounding, Architecture::X86_64, KERNEL)
}

fn socket(family: u64) -> Arguments {
    Arguments::of(&[family])
}

#[test]
fn io_uring_and_socket_families_are_blocked_from_the_releases_that_block_them() {
    for docker in Docker::ALL {
        let filter = resolved(Builtin::Docker(docker), DOCKER_DEFAULT);
        let permits = |name, a: &Arguments| filter.permits(name, a).is_true();
        assert_eq!(permits("io_uring_setup", &Arguments::ANY), docker < Docker::V25, "{docker:?}");
        assert_eq!(permits("socket", &socket(40)), docker < Docker::V23, "{docker:?}");
        assert_eq!(permits("socket", &socket(38)), docker < Docker::V29_4_2, "{docker:?}");
        assert!(permits("socket", &socket(39)) && permits("socket", &socket(2)), "{docker:?}");
    }
    for containerd in Containerd::ALL {
        let filter = resolved(Builtin::Containerd(containerd), DOCKER_DEFAULT);
        let permits = |name, a: &Arguments| filter.permits(name, a).is_true();
        assert_eq!(
            permits("io_uring_setup", &Arguments::ANY),
            containerd < Containerd::V2_0,
            "{containerd:?}"
        );
        assert_eq!(permits("socket", &socket(40)), containerd < Containerd::V1_7, "{containerd:?}");
        assert_eq!(permits("socket", &socket(38)), containerd < Containerd::V2_4, "{containerd:?}");
    }
}

#[test]
fn docker_lets_a_32_bit_program_reach_any_socket_but_in_one_release() {
    for docker in Docker::ALL {
        let filter = resolved(Builtin::Docker(docker), DOCKER_DEFAULT);
        let any_socket = filter.permits_on(Architecture::X86, "socketcall", &socket(1));
        assert_eq!(any_socket.is_true(), docker != Docker::V29_4_2, "{docker:?}");
        assert_eq!(filter.permits("socketcall", &Arguments::ANY), Truth::False);
    }
}

#[test]
fn sys_admin_in_the_bounding_set_opens_namespaces_and_mounts() {
    let none = resolved(Builtin::Docker(Docker::LATEST), CapabilitySet::EMPTY);
    let admin = resolved(Builtin::Docker(Docker::LATEST), CapabilitySet::of(&[Capability::SYS_ADMIN]));
    for name in ["mount", "unshare", "setns", "clone3", "bpf", "open_tree", "fsopen", "umount2", "syslog"] {
        assert_eq!(none.permits(name, &Arguments::ANY), Truth::False, "{name}");
        assert_eq!(admin.permits(name, &Arguments::ANY), Truth::True, "{name}");
    }
}

#[test]
fn clone_without_sys_admin_makes_every_namespace_impossible_but_the_time_namespace() {
    let filter = resolved(Builtin::Docker(Docker::LATEST), DOCKER_DEFAULT);
    let with = |flag: u64| filter.permits("clone", &Arguments::ANY.with(0, Argument::bits(flag, flag)));
    for flag in [0x0002_0000, 0x0200_0000, 0x0400_0000, 0x0800_0000, 0x1000_0000, 0x2000_0000, 0x4000_0000] {
        assert_eq!(with(flag), Truth::False, "{flag:#x}");
    }
    assert_eq!(with(0x80), Truth::True);
    assert_eq!(filter.permits("clone", &Arguments::ANY), Truth::True);
}

#[test]
fn an_unknown_kernel_leaves_only_ptrace_undecided() {
    let filter =
        Builtin::Docker(Docker::LATEST).profile().resolve(DOCKER_DEFAULT, Architecture::X86_64, None);
    let undecided: Vec<&str> = Builtin::Docker(Docker::LATEST)
        .profile()
        .syscalls()
        .filter(|name| filter.permits(name, &Arguments::ANY).is_unknown())
        .collect();
    assert_eq!(undecided, ["process_vm_readv", "process_vm_writev", "ptrace"]);
}

#[test]
fn crio_differs_from_podman_in_what_makes_namespaces_alone() {
    for version in Crio::ALL {
        let (crio, podman) = (
            resolved(Builtin::Crio(version), DOCKER_DEFAULT),
            resolved(Builtin::Podman(version.podman()), DOCKER_DEFAULT),
        );
        let differ: Vec<&str> = Builtin::Podman(version.podman())
            .profile()
            .syscalls()
            .filter(|n| crio.permits(n, &Arguments::ANY) != podman.permits(n, &Arguments::ANY))
            .collect();
        let expected: &[&str] = if version == Crio::V1_25 { &["unshare"] } else { &["clone3", "unshare"] };
        assert_eq!(differ, expected, "{version:?}");
    }
}

#[test]
fn crio_since_1_31_makes_no_namespace_by_clone_without_sys_admin() {
    let flagged = |version, bounding, flag: u64| {
        resolved(Builtin::Crio(version), bounding)
            .permits("clone", &Arguments::ANY.with(0, Argument::bits(flag, flag)))
    };
    for flag in [0x0002_0000, 0x0200_0000, 0x0400_0000, 0x0800_0000, 0x1000_0000, 0x2000_0000, 0x4000_0000] {
        assert_eq!(flagged(Crio::V1_25, DOCKER_DEFAULT, flag), Truth::True, "{flag:#x}");
        assert_eq!(flagged(Crio::V1_31, DOCKER_DEFAULT, flag), Truth::False, "{flag:#x}");
        assert_eq!(flagged(Crio::LATEST, CapabilitySet::ALL, flag), Truth::True, "{flag:#x}");
    }
    assert_eq!(flagged(Crio::LATEST, DOCKER_DEFAULT, 0x100), Truth::True, "a thread");
}

#[test]
fn a_release_has_the_profile_of_the_last_change_before_it() {
    assert_eq!(Docker::of((20, 10, 24)), Docker::V20_10);
    assert_eq!(Docker::of((27, 5, 1)), Docker::V25);
    assert_eq!(Docker::of((29, 4, 1)), Docker::V28);
    assert_eq!(Docker::of((29, 4, 2)), Docker::V29_4_2);
    assert_eq!(Docker::of((29, 7, 0)), Docker::LATEST);
    assert_eq!(Containerd::of((1, 7, 24)), Containerd::V1_7);
    assert_eq!(Podman::of((5, 6, 2)), Podman::V5_4);
    assert_eq!(Crio::of((1, 29, 8)), Crio::V1_25);
    assert_eq!(Crio::of((1, 29, 9)), Crio::V1_31);
    assert_eq!(Crio::of((1, 30, 5)), Crio::V1_25);
    assert_eq!(Crio::of((1, 30, 6)), Crio::V1_31);
    assert_eq!(Crio::of((1, 35, 0)), Crio::V1_33);
}

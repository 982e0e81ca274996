//! The flaw data is sound, and presence is decided as the rules say.

use std::collections::BTreeSet;

use confinement::host::{Installed, Package};
use techniques::condition::Condition;
use techniques::flaw::{Confidence, Needs, Presence, affecting, cves_in_changelog, load};
use techniques::flaw_technique::not_judged;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expected {
    Present,
    Fixed,
    Unknown,
}
use Expected::{Fixed, Present, Unknown};

fn presence(component: &str, id: &str, installed: &Installed) -> Presence {
    let found = affecting(component, installed);
    let (_, presence) = found
        .into_iter()
        .find(|(flaw, _)| flaw.id == id)
        .unwrap_or_else(|| panic!("no flaw {id} of {component}"));
    presence
}

fn check(component: &str, id: &str, installed: &Installed, expected: Expected, reason: &str) {
    let presence = presence(component, id, installed);
    let kind = match presence {
        Presence::Present { .. } => Present,
        Presence::Fixed { .. } => Fixed,
        Presence::Unknown { .. } => Unknown,
    };
    assert_eq!(
        kind,
        expected,
        "{id} in {component} {installed:?}\n  reason: {reason}\n  said: {}",
        presence.why()
    );
    let named =
        installed.version.as_deref().into_iter().chain(installed.package.as_ref().map(|p| &*p.version));
    assert!(
        expected == Unknown || named.into_iter().any(|version| presence.why().contains(version)),
        "the reason must name the version that decided: {}",
        presence.why()
    );
}

fn version(version: &str) -> Installed {
    Installed { version: Some(version.into()), ..Installed::default() }
}

fn package(distribution: &str, release: &str, name: &str, version: &str) -> Installed {
    let package = Package {
        name: name.into(),
        version: version.into(),
        distribution: distribution.into(),
        release: release.into(),
    };
    Installed { package: Some(package), ..Installed::default() }
}

fn running(release: &str, mut installed: Installed) -> Installed {
    installed.version = Some(release.into());
    installed
}

fn with_changelog(mut installed: Installed, cves: &[&str]) -> Installed {
    installed.changelog_cves = cves.iter().map(|cve| (*cve).into()).collect();
    installed
}

#[test]
fn upstream_builds_are_decided_by_their_version() {
    let cases = [
        ("runc", "1.0.0-rc2", "CVE-2016-9962", Present, "before rc3"),
        ("runc", "1.0.0-rc3", "CVE-2016-9962", Fixed, "the fixed release candidate"),
        (
            "runc",
            "1.0.0-rc6+dev",
            "CVE-2019-5736",
            Present,
            "rc6 is the last affected; build marks do not order",
        ),
        ("runc", "1.0.0-rc10", "CVE-2019-5736", Fixed, "rc10 is after rc7, not before it"),
        ("runc", "1.0.0-rc94", "CVE-2021-30465", Present, "one before rc95"),
        ("runc", "1.0.0-rc95", "CVE-2021-30465", Fixed, "the fix"),
        ("runc", "1.0.0-rc94", "CVE-2023-27561", Fixed, "came with rc95"),
        ("runc", "1.1.4", "CVE-2023-27561", Present, "came back in rc95, until 1.1.5"),
        ("runc", "1.0.0-rc92", "CVE-2024-21626", Fixed, "came with rc93"),
        ("runc", "1.0.3", "CVE-2024-21626", Present, "1.0 never got the fix"),
        ("runc", "1.1.11", "CVE-2024-21626", Present, "one before the fix"),
        ("runc", "1.1.12", "CVE-2024-21626", Fixed, "the fix"),
        ("runc", "1.2.0", "CVE-2024-21626", Fixed, "a stream that began after the fix"),
        ("runc", "1.2.7", "CVE-2025-31133", Present, "one before the fix of 1.2"),
        ("runc", "1.2.8", "CVE-2025-31133", Fixed, "the fix of 1.2"),
        ("runc", "1.3.2", "CVE-2025-31133", Present, "one before the fix of 1.3, though after 1.2.8"),
        ("runc", "1.3.3", "CVE-2025-31133", Fixed, "the fix of 1.3"),
        ("runc", "1.4.0-rc.2", "CVE-2025-31133", Present, "a candidate before the fix of 1.4"),
        ("runc", "1.4.0", "CVE-2025-31133", Fixed, "the release after the fixed candidate"),
        ("runc", "1.1.15", "CVE-2025-31133", Present, "1.1 never got the fix"),
        ("crun", "1.18.2", "CVE-2026-30892", Fixed, "came with 1.19"),
        ("crun", "1.26", "CVE-2026-30892", Present, "before 1.27"),
        ("crun", "1.27", "CVE-2026-30892", Fixed, "the fix"),
        ("crun", "1.29.1", "CVE-2026-88264", Present, "the newest known to be affected, and no fix"),
        ("crun", "1.29.2", "CVE-2026-88264", Unknown, "nobody said anything of it yet"),
        ("containerd", "v2.1.0", "CVE-2025-47290", Present, "only 2.1.0 has it"),
        ("containerd", "1.7.27", "CVE-2025-47290", Fixed, "came with 2.1.0"),
        ("containerd", "2.1.1", "CVE-2025-47290", Fixed, "the fix"),
        ("containerd", "2.1.8", "CVE-2026-53488", Present, "one before the fix of 2.1"),
        ("containerd", "2.1.9", "CVE-2026-53488", Fixed, "the fix of 2.1"),
        ("containerd", "1.6.38", "CVE-2026-53488", Present, "1.6 never got the fix"),
        ("containerd", "1.7.33", "CVE-2026-50195", Present, "no fix is listed for 1.x"),
        ("docker", "29.3.0", "CVE-2026-34040", Present, "one before the fix"),
        ("docker", "29.4.2", "CVE-2026-34040", Fixed, "after the fix"),
        ("docker", "25.0.14", "CVE-2026-34040", Unknown, "25.0 got a backport in a release not known here"),
        ("docker", "26.0.2", "CVE-2024-41110", Present, "26.0 never got the fix, 26.1 did"),
        ("docker", "18.09.7-ce", "CVE-2018-15664", Fixed, "the old names of releases are read"),
        ("docker", "29.7.0", "CVE-2026-17106", Unknown, "what it needs is not published"),
        ("buildkit", "v0.12.4", "CVE-2024-23652", Present, "one before the fix"),
        ("cri-o", "1.22.2", "CVE-2022-0811", Present, "one before the fix of 1.22"),
        ("cri-o", "1.18.4", "CVE-2022-0811", Fixed, "came with 1.19"),
        ("cri-o", "1.33.0", "CVE-2025-0750", Unknown, "no range is published"),
        ("kubernetes", "v1.30.2", "CVE-2024-10220", Present, "one before the fix of 1.30"),
        ("kubernetes", "v1.31.0", "CVE-2024-10220", Fixed, "a stream that began after the fix"),
        ("podman", "5.6.0", "CVE-2025-9566", Present, "one before the fix"),
        ("nvidia-container-toolkit", "1.17.7", "CVE-2025-23266", Present, "one before the fix"),
        ("nvidia-container-toolkit", "1.17.8", "CVE-2025-23266", Fixed, "the fix"),
        ("incus", "6.20", "CVE-2026-23953", Present, "before 6.21, and not of the 6.0 branch"),
        ("incus", "6.0.6", "CVE-2026-23953", Fixed, "the branch under long-term support got it"),
    ];
    for (component, release, id, expected, reason) in cases {
        check(component, id, &version(release), expected, reason);
    }
}

#[test]
fn a_distributions_package_is_decided_by_its_own_version() {
    let debian = |release, name, version| package("debian", release, name, version);
    let cases = [
        ("runc", debian("12", "runc", "1.1.5+ds1-1"), "CVE-2024-21626", Present, "before Debian's fix"),
        (
            "runc",
            debian("12", "runc", "1.1.5+ds1-1+deb12u1"),
            "CVE-2024-21626",
            Fixed,
            "the same upstream, fixed",
        ),
        (
            "runc",
            debian("12", "runc", "1.1.5+ds1-1+deb12u1"),
            "CVE-2025-31133",
            Present,
            "uploaded before it was known",
        ),
        (
            "runc",
            debian("12", "runc", "1.1.5+ds1-1+deb12u2"),
            "CVE-2025-31133",
            Unknown,
            "an upload not known here",
        ),
        (
            "runc",
            debian("12", "runc", "1.1.5+ds1-1+deb12u1"),
            "CVE-2023-28642",
            Fixed,
            "upstream 1.1.5 has the fix",
        ),
        (
            "runc",
            debian("13", "runc", "1.1.15+ds1-2+b4"),
            "CVE-2025-52881",
            Present,
            "a rebuild fixes nothing",
        ),
        (
            "runc",
            debian("13", "runc", "1.1.15+ds1-2+b4"),
            "CVE-2024-45310",
            Fixed,
            "upstream 1.1.14 fixed it",
        ),
        (
            "containerd",
            debian("12", "containerd", "1.6.20~ds1-1+deb12u1"),
            "CVE-2024-40635",
            Present,
            "u2 fixed it",
        ),
        (
            "containerd",
            debian("12", "containerd", "1.6.20~ds1-1+deb12u3"),
            "CVE-2024-40635",
            Fixed,
            "after u2",
        ),
        (
            "containerd",
            debian("13", "containerd", "1.7.24~ds1-6"),
            "CVE-2024-40635",
            Fixed,
            "backported into 1.7.24",
        ),
        (
            "containerd",
            debian("13", "containerd", "1.7.24~ds1-6+deb13u1"),
            "CVE-2026-53488",
            Present,
            "no upload since",
        ),
        ("docker", debian("12", "docker.io", "20.10.24+dfsg1-1+b3"), "CVE-2024-41110", Present, "before u1"),
        (
            "docker",
            debian("12", "docker.io", "20.10.24+dfsg1-1+deb12u1+b6"),
            "CVE-2024-41110",
            Fixed,
            "u1, rebuilt",
        ),
        (
            "docker",
            debian("12", "docker.io", "20.10.24+dfsg1-1+deb12u1+b6"),
            "CVE-2026-34040",
            Present,
            "of 2024",
        ),
        (
            "docker",
            debian("13", "docker.io", "26.1.5+dfsg1-9"),
            "CVE-2026-34040",
            Present,
            "before the security upload",
        ),
        (
            "docker",
            debian("13", "docker.io", "26.1.5+dfsg1-9+deb13u1"),
            "CVE-2026-34040",
            Fixed,
            "the security upload",
        ),
        (
            "docker",
            debian("13", "docker.io", "26.1.5+dfsg1-9+deb13u1"),
            "CVE-2026-41567",
            Unknown,
            "not named in it",
        ),
        (
            "buildkit",
            debian("13", "docker.io", "26.1.5+dfsg1-9+deb13u1"),
            "CVE-2026-33747",
            Fixed,
            "vendored there",
        ),
        (
            "podman",
            debian("12", "podman", "4.3.1+ds1-8+deb12u1+b3"),
            "CVE-2025-9566",
            Present,
            "of February 2024",
        ),
        (
            "docker",
            debian("12.8", "docker.io", "20.10.24+dfsg1-1+deb12u1"),
            "CVE-2024-41110",
            Fixed,
            "a point release",
        ),
        ("runc", debian("120", "runc", "1.1.5+ds1-1"), "CVE-2024-21626", Unknown, "120 is not 12"),
        (
            "runc",
            package("ubuntu", "22.04", "runc", "1.1.7-0ubuntu1~22.04.2"),
            "CVE-2024-21626",
            Unknown,
            "affected upstream, but Ubuntu may have carried the fix back",
        ),
        (
            "runc",
            package("rhel", "9.4", "runc", "4:1.1.12-4.el9_4"),
            "CVE-2024-21626",
            Fixed,
            "upstream 1.1.12 has it",
        ),
        (
            "runc",
            package("rhel", "9.4", "runc", "4:1.1.9-1.el9"),
            "CVE-2024-21626",
            Unknown,
            "Red Hat carries back",
        ),
        (
            "runc",
            package("alpine", "3.18", "runc", "1.1.7-r2"),
            "CVE-2024-21626",
            Unknown,
            "no data on Alpine",
        ),
    ];
    for (component, installed, id, expected, reason) in cases {
        check(component, id, &installed, expected, reason);
    }
}

#[test]
fn a_projects_own_package_has_no_backports() {
    let docker = package("debian", "12", "docker-ce", "5:29.3.0-1~debian.12~bookworm");
    check("docker", "CVE-2026-34040", &docker, Present, "Docker's package of 29.3.0");
    let docker = package("debian", "12", "docker-ce", "5:29.4.2-1~debian.12~bookworm");
    check("docker", "CVE-2026-34040", &docker, Fixed, "Docker's package of 29.4.2");
    let containerd = package("ubuntu", "24.04", "containerd.io", "2.1.5-1~ubuntu.24.04~noble");
    check("containerd", "CVE-2026-53488", &containerd, Present, "Docker's package of containerd 2.1.5");
    check(
        "runc",
        "CVE-2025-31133",
        &containerd,
        Unknown,
        "its version is containerd's, not that of the runc in it",
    );
    check(
        "runc",
        "CVE-2025-31133",
        &running("1.3.2", containerd),
        Present,
        "the runc in it says its own version",
    );
}

#[test]
fn a_version_that_a_distribution_marked_is_not_taken_for_the_projects_build() {
    check("docker", "CVE-2026-34040", &version("20.10.24+dfsg1"), Unknown, "as the engine's API tells it");
    check("containerd", "CVE-2024-25621", &version("1.6.20~ds1"), Unknown, "as containerd tells it");
    check("podman", "CVE-2025-9566", &version("4.9.4-rhel"), Unknown, "as Red Hat's podman tells it");
    check("kubernetes", "CVE-2024-10220", &version("v1.29.3-eks-ae9a62a"), Unknown, "a provider's build");
    check("docker", "CVE-2019-14271", &version("20.10.24+dfsg1"), Fixed, "upstream fixed it long before");
}

#[test]
fn a_changelog_that_names_the_flaw_settles_it_and_one_that_does_not_settles_nothing() {
    let ubuntu = package("ubuntu", "22.04", "runc", "1.1.7-0ubuntu1~22.04.2");
    let named = with_changelog(ubuntu.clone(), &["CVE-2024-21626"]);
    check("runc", "CVE-2024-21626", &named, Fixed, "the changelog names it");
    let other = with_changelog(ubuntu, &["CVE-2023-27561"]);
    check("runc", "CVE-2024-21626", &other, Unknown, "a fix may have been uploaded before it had a number");
    let debian = package("debian", "12", "runc", "1.1.5+ds1-1+deb12u1");
    let named = with_changelog(debian, &["CVE-2025-31133"]);
    check("runc", "CVE-2025-31133", &named, Fixed, "a changelog wins over data that knows of no fix");
    let red_hat = package("rhel", "9", "kernel-core", "5.14.0-427.13.1.el9_4");
    let red_hat = running("5.14.0-427.13.1.el9_4.x86_64", with_changelog(red_hat, &["CVE-2024-1086"]));
    check("linux", "CVE-2024-1086", &red_hat, Fixed, "Red Hat's changelog names it");
}

/// For every stream that got a fix: the release before it has the flaw, the fixed one has not.
#[test]
fn every_kernel_stream_is_affected_one_below_its_fix_and_fixed_at_it() {
    let mut checked = 0;
    for flaw in load().iter().filter(|flaw| flaw.component == "linux" && flaw.undecidable.is_none()) {
        let affected = flaw.affected.as_ref().expect("decidable");
        for fixed in &affected.fixed {
            check("linux", &flaw.id, &version(fixed), Fixed, "at the fix");
            let (stream, last) = fixed.rsplit_once('.').expect("a stable release");
            let last: u32 = last.parse().expect("a stable release");
            let before = if last == 1 { format!("{stream}.0") } else { format!("{stream}.{}", last - 1) };
            check("linux", &flaw.id, &version(&before), Present, "one below the fix");
            checked += 1;
        }
    }
    assert!(checked > 130, "only {checked} streams");
}

#[test]
fn kernels_are_decided_by_their_stream_and_by_who_built_them() {
    let linux = |release: &str| version(release);
    let cases = [
        ("6.18.44-fc-v657", "CVE-2026-31431", Fixed, "after 6.18.22"),
        ("6.18.44-fc-v657", "CVE-2026-64581", Present, "before 6.18.48, with a local suffix only"),
        ("7.0.1", "CVE-2026-31431", Fixed, "a stream that began after every fix: never had it"),
        ("7.0.3", "CVE-2026-43284", Present, "7.0 got its fix in 7.0.5"),
        ("6.8.5", "CVE-2026-31431", Present, "6.8 never got the fix"),
        ("5.10.250", "CVE-2026-31431", Unknown, "5.10 got it in a release not known here"),
        ("4.13.9", "CVE-2026-31431", Fixed, "came with 4.14"),
        ("6.3.5", "CVE-2026-46323", Unknown, "when it came is not known, and 6.3 got no fix"),
        ("6.3.5", "CVE-2026-46242", Fixed, "came with 6.4"),
        ("6.1.174", "CVE-2026-46242", Fixed, "carried back into 6.1 with 6.1.175"),
        ("6.1.175", "CVE-2026-46242", Present, "carried back into 6.1 with 6.1.175"),
        ("6.5.1", "CVE-2026-46242", Present, "between 6.4 and the first stream that was fixed"),
        ("5.16.20", "CVE-2022-0847", Fixed, "after 5.16.11"),
        ("5.17.0", "CVE-2022-0847", Fixed, "a newer stream"),
        ("5.4.0", "CVE-2022-0847", Fixed, "came with 5.8"),
        ("5.14.21", "CVE-2022-0847", Present, "5.14 ended before the fix"),
        ("6.1.0-28-amd64", "CVE-2024-1086", Unknown, "Debian's release name hides the stable release"),
        ("6.1.0-28-amd64", "CVE-2022-0847", Fixed, "every 6.1 has the fix"),
        ("6.1.0-28-amd64", "CVE-2016-5195", Fixed, "every 6.1 has the fix"),
        (
            "6.12.74+deb13-amd64",
            "CVE-2026-31431",
            Unknown,
            "below the fix, but Debian may have carried it back",
        ),
        ("6.12.86+deb13-amd64", "CVE-2026-31431", Fixed, "Debian builds from the stable release it names"),
        ("5.15.0-179-generic", "CVE-2022-0185", Unknown, "Ubuntu's third number is always 0"),
        ("6.8.0-31-generic", "CVE-2024-1086", Fixed, "every 6.8 has the fix of 6.7.3"),
        ("6.8.0-31-generic", "CVE-2026-31431", Unknown, "below upstream, the package is not known"),
        ("5.14.0-427.13.1.el9_4.x86_64", "CVE-2024-1086", Unknown, "Red Hat carries fixes back"),
        ("4.18.0-553.el8_10.x86_64", "CVE-2022-0185", Unknown, "Red Hat carries features back as well"),
        ("6.8.5-301.fc40.x86_64", "CVE-2024-1086", Fixed, "Fedora follows the stable releases"),
        ("6.6.10-200.fc39.x86_64", "CVE-2024-1086", Unknown, "below the fix, but Fedora patches"),
        ("6.1.112-122.189.amzn2023.x86_64", "CVE-2024-1086", Fixed, "after 6.1.76"),
        ("6.1.70-1.amzn2023.x86_64", "CVE-2024-1086", Unknown, "below the fix, but Amazon patches"),
        ("5.10.200-linuxkit", "CVE-2024-1086", Present, "Docker Desktop's kernel below 5.10.210"),
        ("6.4.0-150600.23.25-default", "CVE-2023-32233", Fixed, "SUSE began after the fix of 6.3.2"),
        ("6.4.0-150600.23.25-default", "CVE-2026-31431", Unknown, "SUSE carries fixes back"),
        ("6.12.75+rpt-rpi-v8", "CVE-2026-31431", Unknown, "Raspberry Pi patches"),
        ("next", "CVE-2024-1086", Unknown, "not a release"),
    ];
    for (release, id, expected, reason) in cases {
        check("linux", id, &linux(release), expected, reason);
    }
}

#[test]
fn distribution_kernels_are_decided_by_their_package() {
    let bookworm =
        |version| running("6.1.0-44-amd64", package("debian", "12", "linux-image-6.1.0-44-amd64", version));
    let trixie = |version| {
        running("6.12.85+deb13-amd64", package("debian", "13", "linux-image-6.12.85+deb13-amd64", version))
    };
    let jammy = |release: &str, version| {
        running(release, package("ubuntu", "22.04", &format!("linux-image-{release}"), version))
    };
    let cases = [
        (bookworm("6.1.164-1"), "CVE-2026-31431", Present, "before 6.1.170-1"),
        (bookworm("6.1.170-1"), "CVE-2026-31431", Fixed, "the fix"),
        (bookworm("6.1.170-1"), "CVE-2026-43284", Present, "one below the fix"),
        (
            bookworm("6.1.170-2"),
            "CVE-2026-43284",
            Fixed,
            "fixed before upstream's 6.1.172, without naming it",
        ),
        (bookworm("6.1.174-1"), "CVE-2026-46300", Fixed, "the fix"),
        (bookworm("6.1.172-1"), "CVE-2026-46300", Present, "before the fix"),
        (bookworm("6.1.180-1"), "CVE-2026-53361", Present, "before 6.1.187-1"),
        (bookworm("6.1.174-1"), "CVE-2026-46242", Fixed, "before Debian's fix, but before the flaw as well"),
        (bookworm("6.1.176-1"), "CVE-2026-46242", Fixed, "taken out again where upstream 6.1.176 has it"),
        (bookworm("6.1.192-2"), "CVE-2026-80590", Fixed, "after 6.1.187-1"),
        (bookworm("6.1.8-1"), "CVE-2023-0386", Unknown, "below upstream's 6.1.9, Debian may have patched"),
        (bookworm("6.1.20-1"), "CVE-2023-0386", Fixed, "the package begins with the stable release"),
        (bookworm("6.1.164-1"), "CVE-2022-0185", Fixed, "every 6.1 has the fix"),
        (trixie("6.12.85-1"), "CVE-2026-31431", Fixed, "the fix"),
        (trixie("6.12.74-2"), "CVE-2026-31431", Present, "before the fix"),
        (trixie("6.12.86-1"), "CVE-2026-43284", Fixed, "before upstream's 6.12.87"),
        (trixie("6.12.90-1"), "CVE-2026-43494", Present, "90-2 has the fix"),
        (trixie("6.12.90-2"), "CVE-2026-43494", Fixed, "the fix"),
        (jammy("5.15.0-173-generic", "5.15.0-173.183"), "CVE-2026-31431", Present, "before -179"),
        (jammy("5.15.0-179-generic", "5.15.0-179.189"), "CVE-2026-31431", Fixed, "the fix"),
        (
            running(
                "6.12.74+bpo-amd64",
                package("debian", "12", "linux-image-6.12.74+bpo-amd64", "6.12.74-1~bpo12+1"),
            ),
            "CVE-2026-31431",
            Unknown,
            "a backported 6.12 sorts after the fix of 6.1 and lacks it",
        ),
        (
            running(
                "6.12.90+bpo-amd64",
                package("debian", "12", "linux-image-6.12.90+bpo-amd64", "6.12.90-1~bpo12+1"),
            ),
            "CVE-2026-31431",
            Fixed,
            "a backported 6.12 after upstream's fix",
        ),
        (
            jammy("6.8.0-60-generic", "6.8.0-60.63~22.04.1"),
            "CVE-2026-31431",
            Unknown,
            "not the 5.15 of this release",
        ),
        (jammy("5.15.0-1071-aws", "5.15.0-1071.77"), "CVE-2026-31431", Unknown, "a cloud numbers on its own"),
    ];
    for (installed, id, expected, reason) in cases {
        check("linux", id, &installed, expected, reason);
    }
}

#[test]
fn nothing_known_of_what_is_installed_decides_nothing() {
    for flaw in load() {
        check(flaw.component, &flaw.id, &Installed::default(), Unknown, "nothing is known");
    }
    assert!(affecting("no such component", &version("1.0")).is_empty());
}

#[test]
fn every_flaw_has_a_gain_a_sentence_and_a_range_or_the_reason_why_not() {
    let gains = [
        "host-root",
        "host-write",
        "host-read",
        "other-container",
        "credentials",
        "host-info",
        "kernel-surface",
        "denial-of-service",
    ];
    let mut seen = BTreeSet::new();
    for flaw in load() {
        let id = &flaw.id;
        assert!(seen.insert((flaw.component, id)), "{id} stands twice under {}", flaw.component);
        assert_eq!(cves_in_changelog(id), BTreeSet::from([id.clone()]), "{id} is not an identifier");
        assert!(gains.contains(&flaw.gain.as_str()), "{id}: no gain {}", flaw.gain);
        assert!(!flaw.title.is_empty() && !flaw.when.is_empty(), "{id}: no words");
        assert!(flaw.affected.is_some() || flaw.undecidable.is_some(), "{id}: neither a range nor a reason");
        assert!(
            flaw.undecidable.is_some()
                || !flaw.needs.is_empty()
                || flaw.when.contains("any code")
                || ["CVE-2026-30892", "CVE-2026-80590"].contains(&id.as_str()),
            "{id}: needs nothing, and its sentence does not say so"
        );
        for known in &flaw.distributions {
            assert!(known.fixed.is_some() != known.unfixed.is_some(), "{id}: fixed, or unfixed");
        }
        let _: Confidence = flaw.confidence;
    }
    assert!(seen.len() >= 120, "only {} flaws", seen.len());
}

#[test]
fn every_range_is_made_of_releases() {
    use confinement::version::Release;
    for flaw in load() {
        let Some(affected) = &flaw.affected else { continue };
        let versions = affected
            .fixed
            .iter()
            .chain(&affected.fixed_in_unknown_release_of)
            .chain(&affected.introduced_in_streams)
            .chain(&affected.introduced)
            .chain(&affected.last_affected);
        for version in versions {
            assert!(Release::parse(version).is_some(), "{}: {version} is not a release", flaw.id);
        }
        let streams: Vec<_> = affected
            .fixed
            .iter()
            .chain(&affected.fixed_in_unknown_release_of)
            .map(|v| Release::parse(v).map(|r| r.stream()))
            .collect();
        let distinct: BTreeSet<_> = streams.iter().copied().collect();
        assert_eq!(distinct.len(), streams.len(), "{}: a stream stands twice", flaw.id);
    }
}

#[test]
fn every_condition_is_one_of_the_techniques_or_waits_for_one_in_the_readme() {
    let readme = include_str!("../flaws/README.md");
    for flaw in load() {
        for text in flaw.needs.iter().flat_map(Needs::conditions) {
            let known = Condition::parse(&text.replace("cap(", "bounding("));
            assert!(
                known.is_ok() || readme.contains(&format!("* `{text}`: ")),
                "{}: nobody says what `{text}` is",
                flaw.id
            );
        }
    }
}

#[test]
fn no_two_flaws_that_are_judged_share_an_identifier() {
    let mut judged = BTreeSet::new();
    for flaw in load().iter().filter(|flaw| not_judged(flaw).is_none()) {
        assert!(judged.insert(&flaw.id), "{} is a technique's identifier twice", flaw.id);
    }
    assert!(judged.len() >= 60, "only {} flaws can be judged", judged.len());
}

#[test]
fn identifiers_are_read_out_of_a_changelog() {
    let text = "\
runc (1.1.5+ds1-1+deb12u1) bookworm-security; urgency=high

  * CVE-2024-21626: several container breakouts (Closes: #1062532)
  * fixes cve-2023-27561 and CVE-2019-19921, again CVE-2024-21626
  * CVE-2026-1000001 has seven digits; CVE-20-1234, CVE-2024-123, XCVE-2020-1111, CVE-2024 and C are none
";
    let expected = ["CVE-2019-19921", "CVE-2023-27561", "CVE-2024-21626", "CVE-2026-1000001"];
    assert_eq!(cves_in_changelog(text), expected.iter().map(|cve| cve.to_string()).collect());
    assert!(cves_in_changelog("").is_empty());
    assert!(cves_in_changelog("é—CVE-ä024-1234 CVE-2024-€234 CVE-").is_empty());
}

#[test]
fn a_changelog_without_end_is_read_within_bounds() {
    let many: String = (0..150_000).map(|n| format!("CVE-2024-{n:06} ")).collect();
    assert_eq!(cves_in_changelog(&many).len(), 100_000);
    let far = format!("{}CVE-2024-1234", " ".repeat(33 << 20));
    assert!(cves_in_changelog(&far).is_empty());
}

//! Version comparison against the distributions' own tools and published vectors.

use std::cmp::Ordering;
use std::process::Command;

use confinement::version::{
    KernelBuilder, KernelRelease, Release, Scheme, compare_apk, compare_dpkg, compare_rpm, compare_upstream,
};
use proptest::prelude::*;

/// Lines `a < b`, `a = b`, `a > b`; each is checked in both directions.
fn check(compare: fn(&str, &str) -> Ordering, vectors: &str) {
    let mut checked = 0;
    for line in vectors.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [a, sign, b] = words[..] else { panic!("not a vector: {line}") };
        let expected = match sign {
            "<" => Ordering::Less,
            "=" => Ordering::Equal,
            ">" => Ordering::Greater,
            _ => panic!("not a sign: {line}"),
        };
        assert_eq!(compare(a, b), expected, "{line}");
        assert_eq!(compare(b, a), expected.reverse(), "{line}, the other way round");
        checked += 1;
    }
    assert!(checked > 20, "only {checked} vectors");
}

#[test]
fn dpkg_versions_sort_as_debian_packages_do() {
    check(
        compare_dpkg,
        "1.1.5+ds1-1 < 1.1.5+ds1-1+deb12u1
         1.1.5+ds1-1+deb12u1 < 1.1.12+ds1-1
         1.0.0~rc93+ds1-5 < 1.0.0~rc93+ds1-5+deb11u3
         1.0.0~rc93+ds1-5 < 1.0.0~rc94+ds1-1
         1.0.0~rc95+ds1-1 < 1.0.0+ds1-1
         1.6.20~ds1-1+deb12u1 < 1.6.20~ds1-1+deb12u3
         1.6.20~ds1-1 < 1.6.20-1
         20.10.24+dfsg1-1+deb12u1 < 20.10.24+dfsg1-1+deb12u1+b6
         26.1.5+dfsg1-9 < 26.1.5+dfsg1-9+deb13u1
         6.1.164-1 < 6.1.170-1
         6.1.99-1 < 6.1.170-1
         6.1.170-1 < 6.1.170-2
         6.12.74-1~bpo12+1 < 6.12.74-1
         5.15.0-179 < 5.15.0-179.189
         5.15.0-179.189 > 5.15.0-178.188
         5:27.0.3-1~debian.12~bookworm < 5:27.1.1-1~debian.12~bookworm
         5:20.10.24~3-0~debian-bookworm > 26.1.5+dfsg1-9
         0:1.0-1 = 1.0-1
         1.0 = 1.00
         1.0a < 1.0b
         1.0a > 1.0
         1.0+ > 1.0a
         1.0~ < 1.0
         1.0~~ < 1.0~
         1.0-1~ < 1.0-1
         1.10 > 1.9
         99999999999999999999999 > 99999999999999999999998",
    );
}

/// Facts from rpm's own tests/rpmvercmp.at, and of its caret tests.
#[test]
fn rpm_versions_sort_as_rpmvercmp_sorts_them() {
    check(
        compare_rpm,
        "1.0 = 1.0
         1.0 < 2.0
         2.0 < 2.0.1
         2.0.1a > 2.0.1
         5.5p1 < 5.5p2
         5.5p1 < 5.5p10
         10xyz < 10.1xyz
         xyz10 < xyz10.1
         xyz.4 < 8
         xyz.4 < 2
         5.5p2 < 5.6p1
         5.6p1 < 6.5p1
         6.0.rc1 > 6.0
         10b2 > 10a1
         10a2 < 10b2
         1.0a < 1.0aa
         10.0001 = 10.1
         10.0001 < 10.0039
         4.999.9 < 5.0
         20101121 < 20101122
         2_0 = 2.0
         a+ = a_
         +a = _a
         +_ = _+
         + = _
         1.0~rc1 = 1.0~rc1
         1.0~rc1 < 1.0
         1.0~rc1 < 1.0~rc2
         1.0~rc1~git123 < 1.0~rc1
         1.0^ = 1.0^
         1.0^ > 1.0
         1.0^git1 > 1.0
         1.0^git1 < 1.0^git2
         1.0^git1 < 1.01
         1.0^20160101 < 1.0.1
         1.0^20160102 > 1.0^20160101^git1
         1.0~rc1^git1 > 1.0~rc1
         1.0^git1~pre < 1.0^git1",
    );
}

#[test]
fn rpm_epochs_and_releases_count_and_a_missing_release_matches_any() {
    check(
        compare_rpm,
        "1:1.0-1 > 2.0-1
         0:1.0-1 = 1.0-1
         1.2.8-1.el9 < 1.2.8-2.el9
         1.2.8-1.el9 = 1.2.8
         1.2.8 = 1.2.8-99.fc42
         1.2.7-9.el9 < 1.2.8
         2:1.18.0-1.el9 > 1:1.19.0-1.el9
         4:1.1.12-1.el9 < 4:1.1.12-2.el9_4
         5.14.0-427.13.1.el9_4 < 5.14.0-427.16.1.el9_4
         5.14.0-427.13.1.el9_4 < 5.14.0-503.11.1.el9_5
         1.1.12-1.fc39 < 1.1.12-1.fc40
         28.0.4-1.fc41 < 28.0.4-1.fc41.1
         1.3.3-1.amzn2023.0.1 < 1.3.3-2.amzn2023.0.1
         1.0-1 < 1.0-1.1
         1.0-1~rc1 < 1.0-1
         1.0-1a < 1.0-1b
         1.0-10 > 1.0-9
         1.0~rc1-9 < 1.0-1
         1.0^git-1 > 1.0-9
         1.0.1-1 > 1.0^git-9
         :1.0 < 2.0",
    );
}

/// Facts from apk-tools' own test/version.data; the second and third lines, on leading zeros, from its src/version.c.
#[test]
fn apk_versions_sort_as_apk_tools_sorts_them() {
    check(
        compare_apk,
        "2.34 > 0.1.0_alpha
         1.02 < 1.1
         1.01 > 1.0
         23_foo > 4_beta
         1.0 < 1.0bc
         0.1.0_alpha = 0.1.0_alpha
         0.1.0_alpha < 0.1.3_alpha
         0.1.0_alpha2 > 0.1.0_alpha
         0.1.0_alpha < 2.2.39-r1
         1.0.4-r3 < 1.0.4-r4
         1.0.4-r4 < 1.6
         0.7-r1 < 1.0.0
         1.1 > 1.1_alpha1
         1.2.1 > 1.2
         1.2 < 1.3_alpha
         1.3_alpha2 < 1.3_alpha3
         0.8_beta1 < 0.8_beta2
         0.8_beta4 < 4.8-r1
         2.3.0b-r1 < 2.3.0b-r2
         0.13_beta5 > 0.9.12
         1.2.11 < 1.2.12.1
         1.2.12.1 < 1.2.13
         3.1_p16 < 3.1_p17
         3.1_p17 > 1.06-r6
         1.06-r6 < 006
         006 > 1.0.0
         1.2.2-r1 > 1.2.2
         1.2.2.1 < 1.4.1-r1
         20050718-r1 < 20050718-r2
         20050718-r2 > 3.9.8-r5
         2.01.01_alpha10 > 0.94
         1.0 > 0.99.3.20040818
         1.21-r1 > 0.13
         0.90.1-r1 > 0.10.2
         1.39 > 1.00_beta2
         1.02 < 1.03-r1
         4.2.52_p2-r1 < 4.2.52_p4-r2
         1.02.07 < 1.02.10-r1
         2.18.3-r10 > 1.05-r18
         1.05-r18 < 1.05-r19
         2.8 < 2.20.1
         20060720 > 3.0.20060720
         2.5.1-r8 < 2.5.1a-r1
         2.1.9.200602141850 > 1.6
         20020207-r2 > 1.31-r2
         021109-r3 < 20060512
         3.9_pre20060124 > 0.01
         0.01 < 0.06
         6b-r7 > 1.12-r7
         0.10.0 < 0.10.1_rc1
         1.1a < 1.3a
         0.15.1b-r2 > 0.15.1b
         2.1_pre20 < 2.1_pre26
         02.08.01b < 4.77
         2.02.06 < 2.02.10
         1.6d > 1.2.07.8
         1.07-r1 < 1.07.5
         0.59s-r11 < 0.65
         0.20070207_rc1 < 1.0
         3.7_p1 > 1.3
         4.5_p1-r1 > 4.5_p1
         0.9.8c-r1 < 0.9.8d
         013 < 014-r1
         0.3.1_rc8 < 22.2
         1.7 < 1.7b
         1.8.5 < 1.8.5_p2
         2.9.11_pre20061021-r1 < 2.9.11_pre20061021-r2
         2.6.1.3-r1 > 2.6.1.3
         0.9.28-r2 < 0.9.28.1
         1.2.5_rc2 > 0.1
         2.12r-r4 < 2.12r-r5
         1.3-r0 < 1.3.1-r0
         1.3_pre1-r1 < 1.3.2
         1.0_p10-r0 > 1.0_p9-r0
         0.1.0_alpha_pre2 < 0.1.0_alpha
         1.0.0_pre20191002222144-r0 < 1.0.0_pre20210530193627-r0",
    );
}

#[test]
fn upstream_releases_sort_with_their_release_candidates_and_without_build_marks() {
    check(
        compare_upstream,
        "1.0.0-rc93 < 1.0.0-rc95
         1.0.0-rc10 > 1.0.0-rc9
         1.0.0-rc95 < 1.0.0
         1.4.0-rc.3 < 1.4.0
         1.4.0-rc.2 < 1.4.0-rc.3
         1.4.0-rc3 = 1.4.0-rc.3
         1.0.0~rc93+ds1 = 1.0.0-rc93
         1.0.1-dev < 1.0.1-alpha.1
         1.0.1-dev > 1.0.0
         1.0.0-rc6+dev = 1.0.0-rc6
         2.0.0-beta.8 < 2.0.0-rc.0
         29.4.2 > 29.4.1
         29.10.0 > 29.9.9
         1.1.5+ds1 = 1.1.5
         1.6.20~ds1 = 1.6.20
         20.10.24+dfsg1 = 20.10.24
         v2.1.1 = 2.1.1
         5:29.4.2 = 29.4.2
         18.09.7-ce = 18.09.7
         18.09.2 = 18.9.2
         1.2 = 1.2.0
         6.12.85 > 6.12.9
         7.0-rc1 < 7.0
         unknown < 0.0.1",
    );
}

#[test]
fn a_kernel_release_tells_its_builder_and_whether_it_names_the_stable_release() {
    let cases = [
        ("6.1.0-28-amd64", KernelBuilder::Debian, false),
        ("6.1.0-44-cloud-amd64", KernelBuilder::Debian, false),
        ("6.1.0-28-rt-amd64", KernelBuilder::Debian, false),
        ("6.12.85+deb13-amd64", KernelBuilder::Debian, true),
        ("6.12.12+bpo-amd64", KernelBuilder::Debian, true),
        ("5.15.0-179-generic", KernelBuilder::Ubuntu, false),
        ("6.8.0-1021-aws", KernelBuilder::Ubuntu, false),
        ("6.8.0-60-generic-64k", KernelBuilder::Ubuntu, false),
        ("6.8.5-301.fc40.x86_64", KernelBuilder::Distribution("Fedora"), true),
        ("5.14.0-427.13.1.el9_4.x86_64", KernelBuilder::LongTerm("Red Hat"), false),
        ("4.18.0-553.el8_10.x86_64", KernelBuilder::LongTerm("Red Hat"), false),
        ("3.10.0-1160.el7.x86_64", KernelBuilder::LongTerm("Red Hat"), false),
        ("6.1.112-122.189.amzn2023.x86_64", KernelBuilder::Distribution("Amazon"), true),
        ("6.18.44-fc-v657", KernelBuilder::Other, true),
        ("5.10.234-linuxkit", KernelBuilder::Other, true),
        ("6.6.87.2-microsoft-standard-WSL2", KernelBuilder::Other, true),
        ("6.12.75+rpt-rpi-v8", KernelBuilder::Distribution("Raspberry Pi"), true),
        ("5.15.0-307.178.5.el9uek.x86_64", KernelBuilder::LongTerm("Red Hat"), false),
        ("6.4.0-150600.23.25-default", KernelBuilder::LongTerm("SUSE"), false),
        ("5.10.0-216.0.0.115.oe2203sp4.x86_64", KernelBuilder::LongTerm("openEuler"), false),
        ("6.6.78.1-1.azl3", KernelBuilder::Distribution("Azure Linux"), true),
        ("6.8.12-4-pve", KernelBuilder::Distribution("Proxmox"), true),
        ("6.6.58-0-lts", KernelBuilder::Distribution("Alpine or Arch"), true),
        ("6.12.1-arch1-1", KernelBuilder::Distribution("Arch"), true),
        ("6.6.72+", KernelBuilder::Other, true),
        ("6.18.0", KernelBuilder::Other, true),
        ("7.0-rc3", KernelBuilder::Other, true),
    ];
    for (text, builder, names_stable_release) in cases {
        let kernel = KernelRelease::parse(text).unwrap_or_else(|| panic!("{text} was not read"));
        assert_eq!((kernel.builder, kernel.names_stable_release), (builder, names_stable_release), "{text}");
    }
    for text in ["", "linux", "6", "-6.1", "é6.1"] {
        assert_eq!(KernelRelease::parse(text), None, "{text:?}");
    }
}

#[test]
fn ubuntus_abi_number_is_read_for_generic_kernels_only() {
    let abi = |text: &str| KernelRelease::parse(text).and_then(|kernel| kernel.ubuntu_abi());
    assert_eq!(abi("5.15.0-179-generic"), Some(179));
    assert_eq!(abi("6.8.0-1021-aws"), None, "a cloud's kernels number on their own");
    assert_eq!(abi("6.1.0-28-amd64"), None);
    assert_eq!(abi("5.15.0-99999999999999999999999-generic"), None);
}

#[test]
fn a_release_is_shown_as_it_is_compared() {
    let show = |text: &str| Release::parse(text).map(|release| release.to_string());
    assert_eq!(show("1.0.0-rc93+ds1").as_deref(), Some("1.0.0-rc.93"));
    assert_eq!(show("v29.4.2").as_deref(), Some("29.4.2"));
    assert_eq!(show("next"), None);
}

fn dpkg_itself(a: &str, b: &str) -> Option<Ordering> {
    let says = |operator: &str| {
        Command::new("dpkg").args(["--compare-versions", a, operator, b]).status().ok().map(|s| s.success())
    };
    if says("lt")? {
        Some(Ordering::Less)
    } else if says("eq")? {
        Some(Ordering::Equal)
    } else {
        Some(Ordering::Greater)
    }
}

/// A valid Debian version, from few characters, so that two of them often agree for a while.
fn debian_version() -> impl Strategy<Value = String> {
    ("([0-2]:)?", "[0-9][0-2a-bA~+.]{0,6}", "(-[0-1a~+.]{1,4})?").prop_map(|(e, u, r)| format!("{e}{u}{r}"))
}

#[test]
fn dpkg_itself_agrees_on_random_versions() {
    if Command::new("dpkg").arg("--version").output().is_err() {
        eprintln!("skipped: no dpkg on this machine to ask");
        return;
    }
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(300));
    runner
        .run(&(debian_version(), debian_version()), |(a, b)| {
            prop_assert_eq!(Some(compare_dpkg(&a, &b)), dpkg_itself(&a, &b), "{} and {}", a, b);
            Ok(())
        })
        .unwrap();
}

proptest! {
    #[test]
    fn every_scheme_orders_any_text_both_ways_alike(a in "\\PC{0,12}", b in "[0-9a-z.~^_:+-]{0,12}") {
        for scheme in [Scheme::Dpkg, Scheme::Rpm, Scheme::Apk, Scheme::Upstream] {
            prop_assert_eq!(scheme.compare(&a, &b), scheme.compare(&b, &a).reverse());
            prop_assert_eq!(scheme.compare(&a, &a), Ordering::Equal);
            prop_assert_eq!(scheme.compare(&b, &b), Ordering::Equal);
        }
        let _ = KernelRelease::parse(&a).map(|kernel| kernel.ubuntu_abi());
    }

    #[test]
    fn dpkg_and_upstream_orders_are_transitive(
        a in "[0-2a~.+_r-]{1,6}", b in "[0-2a~.+_r-]{1,6}", c in "[0-2a~.+_r-]{1,6}"
    ) {
        for scheme in [Scheme::Dpkg, Scheme::Upstream] {
            if scheme.compare(&a, &b) != Ordering::Greater && scheme.compare(&b, &c) != Ordering::Greater {
                prop_assert_ne!(scheme.compare(&a, &c), Ordering::Greater, "{:?}: {} {} {}", scheme, a, b, c);
            }
        }
    }
}

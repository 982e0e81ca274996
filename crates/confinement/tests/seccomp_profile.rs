//! Reading profiles: what engines accept is read as they read it, what runtimes refuse is an error with its
//! place, and nothing panics or hangs.

use std::time::{Duration, Instant};

use confinement::seccomp::{
    Action, Architecture, Argument, Arguments, Builtin, Docker, Profile, ProfileError,
};
use confinement::{Capability, CapabilitySet, Truth};
use proptest::prelude::*;

fn profile(syscalls: &str) -> Profile {
    Profile::from_json(&format!(r#"{{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{syscalls}]}}"#)).unwrap()
}

fn permits(profile: &Profile, name: &str, arguments: &Arguments) -> Truth {
    profile.resolve(CapabilitySet::EMPTY, Architecture::X86_64, None).permits(name, arguments)
}

fn error(text: &str) -> ProfileError {
    Profile::from_json(text).unwrap_err()
}

#[test]
fn an_oci_object_an_old_profile_and_any_case_of_a_key_are_read_alike() {
    for text in [
        r#"{"defaultAction":"SCMP_ACT_ERRNO","architectures":["SCMP_ARCH_X86"],
            "syscalls":[{"names":["mount"],"action":"SCMP_ACT_ALLOW"}],"flags":["SECCOMP_FILTER_FLAG_LOG"]}"#,
        r#"{"defaultAction":"SCMP_ACT_ERRNO","architectures":["SCMP_ARCH_X86"],
            "syscalls":[{"name":"mount","action":"SCMP_ACT_ALLOW","args":null}]}"#,
        r#"{"DefaultAction":"SCMP_ACT_ERRNO","archmap":null,"ARCHITECTURES":["SCMP_ARCH_X86"],"x":{"y":[1]},
            "SysCalls":[{"NAMES":["mount"],"Action":"SCMP_ACT_ALLOW","includes":{},"excludes":null}]}"#,
    ] {
        let profile = Profile::from_json(text).unwrap();
        let filter = profile.resolve(CapabilitySet::EMPTY, Architecture::X86_64, None);
        assert_eq!(filter.architectures(), [Architecture::X86_64, Architecture::X86]);
        assert_eq!(filter.permits("mount", &Arguments::ANY), Truth::True);
        assert_eq!(filter.action("umount2", &[0; 6]), Some(Action::Errno(1)));
        assert_eq!(filter.permits_on(Architecture::X32, "mount", &Arguments::ANY), Truth::False);
    }
}

#[test]
fn an_error_says_line_column_and_what_to_write() {
    let found = error("{\n  \"defaultAction\": \"SCMP_ACT_ALOW\"\n}");
    assert_eq!(found.position(), Some((2, 34)));
    assert!(
        found.to_string().starts_with("line 2, column 34: `SCMP_ACT_ALOW` is not a seccomp action"),
        "{found}"
    );
    for (text, what) in [
        (r#"{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{"names":["a"]}]}"#, "no `action`"),
        (r#"{"syscalls":[{"names":["a"],"action":"SCMP_ACT_ALLOW"}]}"#, "`defaultAction` is missing"),
        (r#"{"defaultAction":"SCMP_ACT_ALLOW","architectures":["SCMP_ARCH_Z80"]}"#, "`SCMP_ARCH_Z80`"),
        (
            r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"name":"a","names":["b"],"action":"SCMP_ACT_LOG"}]}"#,
            "both `name` and `names`",
        ),
        (
            r#"{"defaultAction":"SCMP_ACT_LOG","syscalls":[{"names":["a"],"action":"SCMP_ACT_LOG","args":[{"index":6,"op":"SCMP_CMP_EQ"}]}]}"#,
            "beyond 5",
        ),
        (
            r#"{"defaultAction":"SCMP_ACT_LOG","syscalls":[{"names":["a"],"action":"SCMP_ACT_LOG","args":[{"op":"SCMP_CMP_XX"}]}]}"#,
            "`SCMP_CMP_XX`",
        ),
        (
            r#"{"defaultAction":"SCMP_ACT_LOG","syscalls":[{"names":["a"],"action":"SCMP_ACT_LOG","includes":{"minKernel":"4"}}]}"#,
            "`4` is not a kernel version",
        ),
        (
            r#"{"defaultAction":"SCMP_ACT_LOG","architectures":["SCMP_ARCH_ARM"],"archMap":[{"architecture":"SCMP_ARCH_ARM"}]}"#,
            "both `architectures` and `archMap`",
        ),
        ("[1", "invalid type"),
        ("", "EOF"),
    ] {
        let found = error(text);
        assert!(found.to_string().contains(what), "{found}");
        assert!(found.position().is_some());
    }
}

#[test]
fn an_empty_profile_is_no_seccomp() {
    let empty = Profile::from_json("{}").unwrap();
    assert!(empty.is_disabled());
    assert_eq!(permits(&empty, "mount", &Arguments::ANY), Truth::True);
    assert!(!profile("").is_disabled());
    assert_eq!(permits(&profile(""), "read", &Arguments::ANY), Truth::False);
}

#[test]
fn two_conditions_on_one_argument_are_alternatives() {
    let blocked = profile(
        r#"{"names":["socket"],"action":"SCMP_ACT_ALLOW","args":[
            {"index":0,"value":38,"op":"SCMP_CMP_NE"},{"index":0,"value":40,"op":"SCMP_CMP_NE"}]}"#,
    );
    assert_eq!(permits(&blocked, "socket", &Arguments::of(&[38])), Truth::True);
    assert_eq!(permits(&blocked, "socket", &Arguments::of(&[40])), Truth::True);
}

#[test]
fn the_first_rule_without_conditions_wins_and_clears_those_with() {
    let first = profile(
        r#"{"names":["setns"],"action":"SCMP_ACT_ALLOW"},{"names":["setns"],"action":"SCMP_ACT_KILL"},
           {"names":["bpf"],"action":"SCMP_ACT_ALLOW","args":[{"index":0,"value":5,"op":"SCMP_CMP_EQ"}]},
           {"names":["bpf"],"action":"SCMP_ACT_TRAP"}"#,
    );
    assert_eq!(permits(&first, "setns", &Arguments::ANY), Truth::True);
    assert_eq!(permits(&first, "bpf", &Arguments::of(&[5])), Truth::False);
}

#[test]
fn a_rule_like_the_default_is_left_out() {
    let open = profile(
        r#"{"names":["bpf"],"action":"SCMP_ACT_ERRNO"},
           {"names":["bpf"],"action":"SCMP_ACT_ALLOW","args":[{"index":0,"value":5,"op":"SCMP_CMP_EQ"}]}"#,
    );
    assert_eq!(permits(&open, "bpf", &Arguments::of(&[5])), Truth::True);
    assert_eq!(permits(&open, "bpf", &Arguments::of(&[6])), Truth::False);
}

#[test]
fn a_supervisor_or_a_tracer_leaves_the_answer_unknown() {
    let asked = profile(
        r#"{"names":["mount"],"action":"SCMP_ACT_NOTIFY"},{"names":["bpf"],"action":"SCMP_ACT_TRACE"},
           {"names":["read"],"action":"SCMP_ACT_LOG"}"#,
    );
    assert_eq!(permits(&asked, "mount", &Arguments::ANY), Truth::Unknown);
    assert_eq!(permits(&asked, "bpf", &Arguments::ANY), Truth::Unknown);
    assert_eq!(permits(&asked, "read", &Arguments::ANY), Truth::True);
}

#[test]
fn rules_that_contradict_each_other_have_no_answer() {
    let torn = profile(
        r#"{"names":["bpf"],"action":"SCMP_ACT_ALLOW","args":[{"index":0,"value":5,"op":"SCMP_CMP_EQ"}]},
           {"names":["bpf"],"action":"SCMP_ACT_TRAP","args":[{"index":0,"value":5,"op":"SCMP_CMP_EQ"}]}"#,
    );
    assert_eq!(permits(&torn, "bpf", &Arguments::ANY), Truth::Unknown);
    assert_eq!(permits(&torn, "read", &Arguments::ANY), Truth::False);
}

#[test]
fn conditions_take_the_bounding_set_whole_names_and_all_or_any() {
    let text = r#"{"names":["a"],"action":"SCMP_ACT_ALLOW","includes":{"caps":["CAP_SYS_ADMIN","CAP_BPF"]}},
        {"names":["b"],"action":"SCMP_ACT_ALLOW","excludes":{"caps":["CAP_SYS_ADMIN","CAP_BPF"]}},
        {"names":["c"],"action":"SCMP_ACT_ALLOW","includes":{"caps":["SYS_ADMIN"]}},
        {"names":["d"],"action":"SCMP_ACT_ALLOW","includes":{"arches":["arm64"]}},
        {"names":["e"],"action":"SCMP_ACT_ALLOW","excludes":{"minKernel":"5.10"}}"#;
    let profile = profile(text);
    let open = |caps: &[Capability], native, kernel| {
        let filter = profile.resolve(CapabilitySet::of(caps), native, kernel);
        ["a", "b", "c", "d", "e"].map(|n| filter.permits(n, &Arguments::ANY))
    };
    let (yes, no, perhaps) = (Truth::True, Truth::False, Truth::Unknown);
    assert_eq!(open(&[], Architecture::X86_64, None), [no, yes, no, no, perhaps]);
    assert_eq!(open(&[Capability::BPF], Architecture::X86_64, Some((5, 9))), [no, no, no, no, yes]);
    let both = [Capability::BPF, Capability::SYS_ADMIN];
    assert_eq!(open(&both, Architecture::Aarch64, Some((6, 1))), [yes, no, no, yes, no]);
}

#[test]
fn hard_questions_end() {
    // A profile at the limit, and a question that is satisfiability: avoid many masked comparisons at once.
    let many: Vec<String> = (0..4000u64)
        .map(|i| {
            format!(
                r#"{{"names":["bpf"],"action":"SCMP_ACT_TRAP","args":[{{"index":0,"op":"SCMP_CMP_MASKED_EQ",
                    "value":{},"valueTwo":{}}}]}}"#,
                0x1111_1111u64.rotate_left(i as u32 % 32) | (i * 2_654_435_761 % 0xffff_ffff),
                i * 40_503 % 0xffff_ffff,
            )
        })
        .collect();
    let profile = profile(&many.join(","));
    let start = Instant::now();
    assert_ne!(permits(&profile, "bpf", &Arguments::ANY.with(0, Argument::bits(1, 1))), Truth::True);
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
}

#[test]
fn too_long_and_too_deep_texts_are_refused() {
    assert!(matches!(error(&" ".repeat(5 << 20)), ProfileError::TooLong { .. }));
    assert!(error(&format!("{{\"x\":{}", "[".repeat(100_000))).position().is_some());
    let argument = r#"{"index":0,"op":"SCMP_CMP_EQ"},"#.repeat(5000);
    let many = format!(
        r#"{{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{{"names":["a"],"action":"SCMP_ACT_ALLOW","args":[{}]}}]}}"#,
        argument.trim_end_matches(',')
    );
    assert!(matches!(error(&many), ProfileError::TooManyComparisons { count: 5000 }));
}

fn json() -> impl Strategy<Value = String> {
    let words = prop::sample::select(vec![
        "\"defaultAction\":",
        "\"syscalls\":",
        "\"names\":",
        "\"name\":",
        "\"action\":",
        "\"args\":",
        "\"index\":",
        "\"value\":",
        "\"op\":",
        "\"includes\":",
        "\"caps\":",
        "\"minKernel\":",
        "\"archMap\":",
        "\"errno\":",
        "\"SCMP_ACT_ALLOW\"",
        "\"SCMP_ACT_ERRNO\"",
        "\"SCMP_CMP_EQ\"",
        "\"CAP_BPF\"",
        "\"4.8\"",
        "\"\"",
        "\"é\\u0000\"",
        "{",
        "}",
        "[",
        "]",
        ",",
        "null",
        "1",
        "-1",
        "1e400",
        "18446744073709551616",
        "\\",
        "\"",
    ]);
    prop::collection::vec(words, 0..40).prop_map(|w| w.concat())
}

proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(text in prop_oneof![json(), any::<String>()]) {
        let _ = Profile::from_json(&text);
    }

    #[test]
    fn no_change_of_a_real_profile_makes_the_reader_panic(at in 0usize..4000, byte in any::<u8>(), cut in any::<bool>()) {
        let mut text = BASE.repeat(3).into_bytes();
        let at = at % text.len();
        if cut { text.truncate(at) } else { text[at] = byte }
        if let Ok(text) = String::from_utf8(text)
            && let Ok(profile) = Profile::from_json(&text)
        {
            let filter = profile.resolve(CapabilitySet::ALL, Architecture::S390x, None);
            for name in profile.syscalls() {
                filter.permits(name, &Arguments::ANY);
            }
        }
    }
}

const BASE: &str = r#"{"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":38,"defaultErrno":"ENOSYS","archMap":[
{"architecture":"SCMP_ARCH_X86_64","subArchitectures":["SCMP_ARCH_X86","SCMP_ARCH_X32"]}],"syscalls":[
{"names":["clone"],"action":"SCMP_ACT_ALLOW","args":[{"index":0,"value":2114060288,"valueTwo":0,"op":"SCMP_CMP_MASKED_EQ"}],
"includes":{"arches":["amd64"],"minKernel":"4.8"},"excludes":{"caps":["CAP_SYS_ADMIN"]}}]}"#;

#[test]
fn a_built_in_profile_is_ready_at_once_and_a_question_costs_next_to_nothing() {
    let start = Instant::now();
    let profile = Builtin::Docker(Docker::LATEST).profile();
    let first = start.elapsed();
    let start = Instant::now();
    for _ in 0..1000 {
        std::hint::black_box(profile.resolve(
            std::hint::black_box(CapabilitySet::EMPTY),
            Architecture::X86_64,
            None,
        ));
    }
    let resolve = start.elapsed() / 1000;
    let filter = profile.resolve(CapabilitySet::EMPTY, Architecture::X86_64, Some((6, 1)));
    let time = |name, arguments: Arguments| {
        let start = Instant::now();
        for _ in 0..1000 {
            std::hint::black_box(filter.permits(name, std::hint::black_box(&arguments)));
        }
        start.elapsed() / 1000
    };
    let times =
        [time("mount", Arguments::ANY), time("read", Arguments::ANY), time("socket", Arguments::of(&[38]))];
    eprintln!("first use {first:?}, resolve {resolve:?}, mount, read and socket {times:?}");
    // Far above what is measured in a release build, for debug builds on busy machines.
    assert!(first < Duration::from_millis(50));
    assert!(times.iter().all(|t| *t < Duration::from_micros(500)), "{times:?}");
}

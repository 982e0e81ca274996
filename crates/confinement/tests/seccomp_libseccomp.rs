//! The model against the real libseccomp: random rules are loaded into both, libseccomp's program is run by a
//! small BPF interpreter, and every answer must agree. Needs Debian's python3-seccomp; says so and skips
//! without it.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Mutex;

use confinement::seccomp::{
    Action, Architecture, Argument, Arguments, Builtin, Docker, Podman, Profile, Resolved,
};
use confinement::{Capability, CapabilitySet, Truth};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::{Value, json};

/// The library in a process of its own.
struct Library {
    child: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Library {
    /// `None`, with the reason printed, where no Python on this machine has the bindings.
    fn start() -> Option<Library> {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/seccomp/libseccomp.py");
        for python in ["/usr/bin/python3", "python3"] {
            let has = Command::new(python).args(["-c", "import seccomp"]).stderr(Stdio::null()).status();
            if !has.is_ok_and(|status| status.success()) {
                continue;
            }
            let mut child = Command::new(python)
                .arg(script)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            let requests = child.stdin.take().unwrap();
            let answers = BufReader::new(child.stdout.take().unwrap());
            return Some(Library { child, requests, answers });
        }
        eprintln!("skipped: Python has no libseccomp bindings (Debian package python3-seccomp)");
        None
    }

    fn load(&mut self, request: &Value) -> Loaded {
        writeln!(self.requests, "{request}").unwrap();
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        if line.is_empty() {
            *self = Library::start().unwrap();
            return Loaded::Endless;
        }
        let answer: Value = serde_json::from_str(&line).unwrap();
        match answer["refused"].as_str() {
            Some(reason) => Loaded::Refused(reason.to_owned()),
            None => Loaded::Program {
                instructions: serde_json::from_value(answer["program"].clone()).unwrap(),
                numbers: answer["numbers"].clone(),
            },
        }
    }
}

impl Drop for Library {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

enum Loaded {
    Refused(String),
    /// libseccomp ran into a ring of its own making; a runtime would never start the container.
    Endless,
    Program {
        instructions: Vec<(u16, u8, u8, u32)>,
        numbers: Value,
    },
}

/// `AUDIT_ARCH_*`, linux/audit.h.
const ARCHITECTURES: [(Architecture, &str, u32); 6] = [
    (Architecture::X86_64, "SCMP_ARCH_X86_64", 0xC000_003E),
    (Architecture::X86, "SCMP_ARCH_X86", 0x4000_0003),
    (Architecture::X32, "SCMP_ARCH_X32", 0xC000_003E),
    (Architecture::Aarch64, "SCMP_ARCH_AARCH64", 0xC000_00B7),
    (Architecture::Arm, "SCMP_ARCH_ARM", 0x4000_0028),
    (Architecture::Ppc64le, "SCMP_ARCH_PPC64LE", 0xC000_0015),
];

/// Runs a program of the kind libseccomp makes on `struct seccomp_data` (linux/seccomp.h).
fn run(program: &[(u16, u8, u8, u32)], number: u32, audit_architecture: u32, arguments: &[u64; 6]) -> Action {
    let mut words = vec![number, audit_architecture, 0, 0];
    words.extend(arguments.iter().flat_map(|a| [*a as u32, (*a >> 32) as u32]));
    let (mut accumulator, mut at) = (0u32, 0usize);
    loop {
        let (code, on_true, on_false, k) = program[at];
        at += 1;
        let branch = |taken| usize::from(if taken { on_true } else { on_false });
        match code {
            0x20 => accumulator = words[k as usize / 4],
            0x54 => accumulator &= k,
            0x05 => at += k as usize,
            0x15 => at += branch(accumulator == k),
            0x25 => at += branch(accumulator > k),
            0x35 => at += branch(accumulator >= k),
            0x45 => at += branch(accumulator & k != 0),
            0x06 => return action(k),
            other => panic!("instruction {other:#x}"),
        }
    }
}

fn action(value: u32) -> Action {
    match value & 0xffff_0000 {
        0x7fff_0000 => Action::Allow,
        0x7ffc_0000 => Action::Log,
        0x0005_0000 => Action::Errno(value as u16),
        0x0003_0000 => Action::Trap,
        0x0000_0000 => Action::KillThread,
        0x8000_0000 => Action::KillProcess,
        other => panic!("action {other:#x}"),
    }
}

/// The number of a call, where it exists. libseccomp gives `socketcall` for `socket` on x86; the direct call
/// is 359.
fn number_of(numbers: &Value, architecture: Architecture, oci: &str, name: &str) -> Option<u32> {
    let number = match (architecture, name) {
        (Architecture::X86, "socket") => 359,
        (Architecture::X86, "semget") => 393,
        (Architecture::Ppc64le, "socket") => 326,
        (Architecture::Ppc64le, "semget") => 393,
        (Architecture::X86 | Architecture::Ppc64le, "socketcall") => 102,
        (Architecture::X86 | Architecture::Ppc64le, "ipc") => 117,
        _ => numbers[oci][name].as_i64()?,
    };
    u32::try_from(number).ok()
}

const NAMES: [&str; 4] = ["prctl", "socket", "socketcall", "semget"];
const VALUES: [u64; 9] = [0, 1, 2, 3, 16, 40, 0xffff_ffff, 0x1_0000_0001, u64::MAX];
const MASKS: [u64; 6] = [0, 1, 3, 0xffff_ffff, 0x7e02_0000, 0x1_0000_0003];

fn rule(names: &[&'static str], most_comparisons: usize) -> impl Strategy<Value = Value> + use<> {
    let value = prop::sample::select(VALUES.to_vec());
    let comparison = (0..3u8, 0..7usize, value, prop::sample::select(MASKS.to_vec())).prop_map(
        |(index, operator, value, mask)| {
            let op = ["NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ"][operator];
            let (first, second) = if op == "MASKED_EQ" { (mask, value) } else { (value, 0) };
            json!({"index": index, "op": format!("SCMP_CMP_{op}"), "value": first, "valueTwo": second})
        },
    );
    let action = prop::sample::select(vec![
        json!({"action": "SCMP_ACT_ALLOW"}),
        json!({"action": "SCMP_ACT_ALLOW"}),
        json!({"action": "SCMP_ACT_ALLOW"}),
        json!({"action": "SCMP_ACT_LOG"}),
        json!({"action": "SCMP_ACT_ERRNO", "errnoRet": 1}),
        json!({"action": "SCMP_ACT_ERRNO", "errnoRet": 22}),
        json!({"action": "SCMP_ACT_TRAP"}),
    ]);
    let comparisons = prop::collection::vec(comparison, 0..=most_comparisons);
    (prop::sample::select(names.to_vec()), action, comparisons).prop_map(|(name, mut rule, args)| {
        rule["names"] = json!([name]);
        rule["args"] = json!(args);
        rule
    })
}

/// Several rules for one call, or simple ones for calls that share a multiplexer. Which blocks two calls
/// share in a program is not modelled, so calls whose rules have much in common would differ in what
/// libseccomp miscompiles.
fn rules() -> impl Strategy<Value = Vec<Value>> {
    prop_oneof![
        3 => prop::collection::vec(rule(&["prctl"], 3), 1..7),
        1 => prop::collection::vec(rule(&["socket", "socketcall", "semget"], 1), 1..7),
    ]
}

fn arguments() -> impl Strategy<Value = [u64; 3]> {
    let near = prop::sample::select(VALUES.to_vec()).prop_flat_map(|v| {
        prop::sample::select(vec![
            v,
            v.wrapping_sub(1),
            v.wrapping_add(1),
            v | 0x1000_0000,
            v ^ (1 << 32),
            v + (v == 0) as u64,
        ])
    });
    prop::array::uniform3(near)
}

/// Every profile begins with calls that no program does without. libseccomp 2.5.4 makes a broken program (all
/// calls get the default action) for x86_64 with x32 when the first call it sorts has no number there.
fn profile_of(rules: &[Value], architectures: &[&str]) -> (Value, Profile) {
    let start = json!({"names": ["read", "write", "openat"], "action": "SCMP_ACT_ALLOW", "args": []});
    let rules: Vec<&Value> = std::iter::once(&start).chain(rules).collect();
    let profile = json!({
        "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 1, "architectures": architectures, "syscalls": rules,
    });
    let request = json!({"default": 1, "architectures": architectures, "syscalls": rules});
    (request, Profile::from_json(&profile.to_string()).unwrap())
}

fn six(three: &[u64; 3]) -> [u64; 6] {
    [three[0], three[1], three[2], 0, 0, 0]
}

/// Whether the model finds a contradiction anywhere.
fn refuses(filter: &Resolved<'_>) -> bool {
    let calls = NAMES.iter().chain(&["ipc"]);
    calls.into_iter().any(|name| filter.action(name, &[0; 6]).is_none())
}

#[test]
fn random_rules_decide_as_libseccomp_decides() {
    let Some(library) = Library::start() else { return };
    let library = Mutex::new(library);
    let mut runner = runner(500);
    let strategy = (rules(), prop::collection::vec(arguments(), 60), 0..ARCHITECTURES.len());
    runner
        .run(&strategy, |(rules, samples, which)| {
            let (architecture, oci, audit) = ARCHITECTURES[which];
            let (request, profile) = profile_of(&rules, &[oci]);
            let filter = profile.resolve(CapabilitySet::EMPTY, architecture, None);
            let loaded = library.lock().unwrap().load(&request);
            let (instructions, numbers) = match loaded {
                Loaded::Endless => return Ok(()),
                Loaded::Refused(reason) => {
                    prop_assert!(refuses(&filter), "libseccomp refuses: {}", reason);
                    return Ok(());
                }
                Loaded::Program { instructions, numbers } => (instructions, numbers),
            };
            prop_assert!(!refuses(&filter), "the model refuses");
            for name in NAMES {
                let Some(number) = number_of(&numbers, architecture, oci, name) else { continue };
                for three in &samples {
                    let arguments = six(three);
                    let real = run(&instructions, number, audit, &arguments);
                    let ours = filter.action(name, &arguments);
                    prop_assert_eq!(ours, Some(real), "{} on {:?} with {:x?}", name, architecture, three);
                    if real.permits().is_true() {
                        prop_assert_eq!(filter.permits(name, &Arguments::ANY), Truth::True, "{}", name);
                    }
                }
            }
            Ok(())
        })
        .unwrap();
}

/// The same cases every time; other ones, and as many as it says, with PROPTEST_CASES.
fn runner(cases: u32) -> TestRunner {
    match std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok()) {
        Some(cases) => TestRunner::new(Config { failure_persistence: None, ..Config::with_cases(cases) }),
        None => {
            let config = Config { failure_persistence: None, ..Config::with_cases(cases) };
            TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha))
        }
    }
}

#[test]
fn some_arguments_are_permitted_exactly_when_trying_them_all_finds_one() {
    let known = (0..9usize, prop::sample::select(vec![0u64, 1, 3, 0x1000_0000, 0x1_0000_0001]))
        .prop_map(|(value, free)| (VALUES[value], free));
    let strategy = (rules(), prop::array::uniform3(known), 0..ARCHITECTURES.len());
    let mut runner = runner(2000);
    runner
        .run(&strategy, |(rules, known, which)| {
            let (architecture, oci, _) = ARCHITECTURES[which];
            let (_, profile) = profile_of(&rules, &[oci]);
            let filter = profile.resolve(CapabilitySet::EMPTY, architecture, None);
            if refuses(&filter) {
                return Ok(());
            }
            let mut asked = Arguments::of(&[0; 6]);
            for (index, (value, free)) in known.iter().enumerate() {
                asked = asked.with(index, Argument::bits(!free, *value));
            }
            for name in NAMES.into_iter().filter(|n| *n != "socketcall" || architecture.multiplexes()) {
                let mut found = false;
                for a in choices(known[0]) {
                    for b in choices(known[1]) {
                        for c in choices(known[2]) {
                            let action = filter.action(name, &[a, b, c, 0, 0, 0]);
                            found |= action.is_some_and(|a| a.permits().is_true());
                        }
                    }
                }
                prop_assert_eq!(
                    filter.permits(name, &asked),
                    Truth::from(found),
                    "{} on {:?}",
                    name,
                    architecture
                );
            }
            Ok(())
        })
        .unwrap();
}

/// Every value with these bits of `free` set or not.
fn choices((value, free): (u64, u64)) -> Vec<u64> {
    let bits: Vec<u64> = (0..64).map(|b| 1u64 << b).filter(|b| free & b != 0).collect();
    (0..1u64 << bits.len())
        .map(|choice| {
            let set =
                bits.iter().enumerate().filter(|(i, _)| choice >> i & 1 == 1).fold(0, |all, (_, b)| all | b);
            value & !free | set
        })
        .collect()
}

/// The rules that an engine would hand to its runtime, for libseccomp.
fn as_loaded(profile: &Profile, bounding: CapabilitySet) -> Vec<Value> {
    let filter = profile.resolve(bounding, Architecture::X86_64, Some((6, 12)));
    filter
        .rules()
        .map(|r| {
            let errno = if let Action::Errno(e) = r.action { e } else { 0 };
            let action = if errno == 0 { r.action.to_string() } else { "SCMP_ACT_ERRNO".to_owned() };
            let args: Vec<Value> = r
                .comparisons
                .iter()
                .map(|c| {
                    json!({"index": c.index, "op": c.operator.oci_name(), "value": c.value, "valueTwo": c.value_two})
                })
                .collect();
            json!({"names": r.names, "action": action, "errnoRet": errno, "args": args})
        })
        .collect()
}

#[test]
fn built_in_profiles_decide_as_libseccomp_decides() {
    let Some(mut library) = Library::start() else { return };
    let admin = CapabilitySet::of(&[Capability::SYS_ADMIN, Capability::AUDIT_WRITE]);
    for (builtin, default) in [
        (Builtin::Docker(Docker::V20_10), 1),
        (Builtin::Docker(Docker::V29_4_2), 1),
        (Builtin::Docker(Docker::LATEST), 1),
        (Builtin::Podman(Podman::V4_3), 38),
        (Builtin::Podman(Podman::LATEST), 38),
    ] {
        for bounding in [CapabilitySet::EMPTY, admin, CapabilitySet::ALL] {
            let profile = builtin.profile();
            let filter = profile.resolve(bounding, Architecture::X86_64, Some((6, 12)));
            let architectures = ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"];
            let mut rules = as_loaded(profile, bounding);
            // Names that the installed libseccomp does not know are skipped by runtimes.
            let known = json!({"default": default, "architectures": architectures, "syscalls": []});
            assert!(matches!(library.load(&known), Loaded::Program { .. }));
            for rule in &mut rules {
                let names = rule["names"].as_array_mut().unwrap();
                names.retain(|n| !NEWER_THAN_LIBSECCOMP_2_5_4.contains(&n.as_str().unwrap()));
            }
            let request = json!({"default": default, "architectures": architectures, "syscalls": rules});
            let Loaded::Program { instructions, numbers } = library.load(&request) else {
                panic!("{builtin:?} is refused");
            };
            for (architecture, oci, audit) in &ARCHITECTURES[..3] {
                for name in profile.syscalls().filter(|n| !NEWER_THAN_LIBSECCOMP_2_5_4.contains(n)) {
                    let Some(number) = number_of(&numbers, *architecture, oci, name) else { continue };
                    for first in [0, 1, 2, 8, 16, 38, 39, 40, 41, 0x20008, 0x1000_0000, 0xffff_ffff, 1 << 33]
                    {
                        for third in [0, 9] {
                            let arguments = [first, 0, third, 0, 0, 0];
                            // x86 resolves what socketcall and ipc carry to them; their direct numbers
                            // differ.
                            if *architecture == Architecture::X86
                                && (number == 102 || number == 117)
                                && !["socketcall", "ipc"].contains(&name)
                            {
                                continue;
                            }
                            let real = run(&instructions, number, *audit, &arguments);
                            let ours = filter.action_on(*architecture, name, &arguments);
                            assert_eq!(
                                ours,
                                Some(real),
                                "{builtin:?}, {bounding}: {name} on {architecture:?} {first:#x}"
                            );
                        }
                    }
                }
            }
        }
    }
}

/// Calls of Linux 5.18 and later, which Debian 12's library has no numbers for.
const NEWER_THAN_LIBSECCOMP_2_5_4: [&str; 23] = [
    "cachestat",
    "fchmodat2",
    "futex_requeue",
    "futex_wait",
    "futex_wake",
    "getxattrat",
    "listmount",
    "listxattrat",
    "lsm_get_self_attr",
    "lsm_list_modules",
    "lsm_set_self_attr",
    "map_shadow_stack",
    "mseal",
    "removexattrat",
    "riscv_hwprobe",
    "setxattrat",
    "statmount",
    "uretprobe",
    "timerfd",
    "nice",
    "sgetmask",
    "ssetmask",
    "oldolduname",
];

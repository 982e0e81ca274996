//! Random seccomp filters in the form of a `config.json`: none, an engine's built-in profile, the same with changes,
//! and lists of refusals.
//!
//! An engine resolves its profile before it writes the configuration: rules whose capability, architecture or kernel
//! condition does not hold are left out. That is done here once more, apart from `confinement::seccomp`, so that the
//! kernel's answers judge the tables and the evaluator both.

use confinement::CapabilitySet;
use confinement::seccomp::{
    Action, Architecture, Builtin, Comparison, Containerd, Crio, Docker, Operator, Podman, Profile, Rule,
    Scope,
};
use serde_json::{Value, json};

use crate::configuration::chance;

pub(crate) struct Filter {
    /// `linux.seccomp`; `None` for no filter.
    pub(crate) seccomp: Option<Value>,
    /// What it was made from, where it is that profile unchanged.
    pub(crate) builtin: Option<Builtin>,
}

/// System calls that a probe tells of and that the payload does not need itself.
const PROBED: &[&str] = &[
    "add_key",
    "bpf",
    "chroot",
    "clock_settime",
    "clone3",
    "delete_module",
    "fanotify_init",
    "finit_module",
    "fsconfig",
    "fsetxattr",
    "fsmount",
    "fsopen",
    "fspick",
    "get_mempolicy",
    "io_uring_setup",
    "ioperm",
    "iopl",
    "kcmp",
    "keyctl",
    "mknodat",
    "mount",
    "mount_setattr",
    "move_mount",
    "name_to_handle_at",
    "open_by_handle_at",
    "open_tree",
    "perf_event_open",
    "pidfd_getfd",
    "pivot_root",
    "process_madvise",
    "process_vm_readv",
    "process_vm_writev",
    "ptrace",
    "quotactl",
    "quotactl_fd",
    "reboot",
    "request_key",
    "setdomainname",
    "sethostname",
    "setns",
    "settimeofday",
    "swapon",
    "syslog",
    "umount2",
    "unshare",
    "userfaultfd",
];

/// What crun or the payload's libraries call behind the filter, ready for a refusal but not for their end.
const NEEDED: &[&str] = &["clone3", "mount", "umount2", "pivot_root", "setns", "unshare", "sethostname"];

/// Address families that a filter may refuse one by one.
const FAMILIES: &[u64] = &[16, 17, 29, 31, 38, 40];

const CLONE_NEWUSER: u64 = 0x1000_0000;

pub(crate) fn random(rng: &mut fastrand::Rng, bounding: CapabilitySet) -> Filter {
    match rng.u32(..100) {
        0..25 => Filter { seccomp: None, builtin: None },
        25..60 => {
            let builtin = builtin(rng);
            Filter { seccomp: Some(resolved(builtin.profile(), bounding)), builtin: Some(builtin) }
        }
        60..75 => {
            let mut profile = resolved(builtin(rng).profile(), bounding);
            change(rng, &mut profile);
            Filter { seccomp: Some(profile), builtin: None }
        }
        _ => Filter { seccomp: Some(refusals(rng)), builtin: None },
    }
}

fn builtin(rng: &mut fastrand::Rng) -> Builtin {
    let docker = Docker::ALL.map(Builtin::Docker);
    let containerd = Containerd::ALL.map(Builtin::Containerd);
    let podman = Podman::ALL.map(Builtin::Podman);
    let crio = Crio::ALL.map(Builtin::Crio);
    let all: Vec<Builtin> = [&docker[..], &containerd, &podman, &crio].concat();
    all[rng.usize(..all.len())]
}

/// Takes permissions away and adds others, as a profile that somebody has edited.
fn change(rng: &mut fastrand::Rng, profile: &mut Value) {
    let Some(rules) = profile["syscalls"].as_array_mut() else { return };
    let gone: Vec<&str> = PROBED.iter().copied().filter(|_| chance(rng, 10)).collect();
    for rule in rules.iter_mut() {
        if let Some(names) = rule["names"].as_array_mut() {
            names.retain(|name| name.as_str().is_none_or(|name| !gone.contains(&name)));
        }
    }
    // A rule without names is refused by crun.
    rules.retain(|rule| rule["names"].as_array().is_some_and(|names| !names.is_empty()));
    let more: Vec<&str> =
        PROBED.iter().copied().filter(|name| !gone.contains(name) && chance(rng, 10)).collect();
    let named = |name: &str| {
        rules.iter().any(|r| r["names"].as_array().is_some_and(|names| names.iter().any(|n| n == name)))
    };
    // A second rule for a call may contradict the first, and then no runtime loads the filter.
    let more: Vec<&str> = more.into_iter().filter(|name| !named(name)).collect();
    if !more.is_empty() {
        rules.push(json!({"names": more, "action": "SCMP_ACT_ALLOW"}));
    }
}

/// A filter that lets everything pass but some calls, or some arguments of them.
fn refusals(rng: &mut fastrand::Rng) -> Value {
    let mut rules = Vec::new();
    let share = rng.u32(5..60);
    for name in PROBED {
        if !chance(rng, share) {
            continue;
        }
        let mut rule = json!({"names": [name]});
        refuse(rng, &mut rule, !NEEDED.contains(name));
        if *name == "unshare" && chance(rng, 50) {
            rule["args"] = masked(0, CLONE_NEWUSER, CLONE_NEWUSER);
        }
        rules.push(rule);
    }
    // Of 32-bit programs libseccomp sees socketcall(2) alone, so two refusals of socket(2) have to be one there.
    let mut socket = json!({"names": ["socket"]});
    refuse(rng, &mut socket, true);
    for family in FAMILIES {
        if chance(rng, share) {
            let mut rule = socket.clone();
            rule["args"] = json!([{"index": 0, "value": family, "op": "SCMP_CMP_EQ"}]);
            rules.push(rule);
        }
    }
    if chance(rng, share) {
        let mut rule = json!({"names": ["clone"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1});
        rule["args"] = masked(0, CLONE_NEWUSER, CLONE_NEWUSER);
        rules.push(rule);
    }
    let mut profile = json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": rules});
    profile["architectures"] = architectures(rng);
    profile
}

/// With an error that the kernel itself does not give to a probe, or by killing.
fn refuse(rng: &mut fastrand::Rng, rule: &mut Value, may_kill: bool) {
    match rng.u32(..10) {
        0 if may_kill => rule["action"] = json!("SCMP_ACT_KILL_PROCESS"),
        // Lets the call pass and writes it down.
        1 => rule["action"] = json!("SCMP_ACT_LOG"),
        n => {
            rule["action"] = json!("SCMP_ACT_ERRNO");
            rule["errnoRet"] = json!(match n {
                2 | 3 => 38,
                4 => 13,
                _ => 1,
            });
        }
    }
}

fn masked(index: u8, mask: u64, value: u64) -> Value {
    json!([{"index": index, "value": mask, "valueTwo": value, "op": "SCMP_CMP_MASKED_EQ"}])
}

fn architectures(rng: &mut fastrand::Rng) -> Value {
    let native = native();
    match (native, chance(rng, 60)) {
        (Architecture::X86_64, true) => json!(["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"]),
        (Architecture::X86_64, false) => json!(["SCMP_ARCH_X86_64"]),
        _ => json!(["SCMP_ARCH_AARCH64"]),
    }
}

pub(crate) fn native() -> Architecture {
    if cfg!(target_arch = "aarch64") { Architecture::Aarch64 } else { Architecture::X86_64 }
}

/// What an engine writes into `config.json` for a container with this bounding set (moby/profiles
/// `seccomp_linux.go`, `setupSeccomp`).
fn resolved(profile: &Profile, bounding: CapabilitySet) -> Value {
    let kernel = kernel();
    let rules: Vec<Value> =
        profile.rules().iter().filter(|rule| applies(rule, bounding, kernel)).map(written).collect();
    let mut value =
        json!({"syscalls": rules, "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"]});
    if native() == Architecture::Aarch64 {
        value["architectures"] = json!(["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"]);
    }
    action(profile.default_action(), &mut value, "defaultAction", "defaultErrnoRet");
    value
}

fn applies(rule: &Rule, bounding: CapabilitySet, kernel: (u32, u32)) -> bool {
    let Rule { includes, excludes, .. } = rule;
    let all_capabilities = |scope: &Scope| scope.capabilities.iter().all(|c| bounding.has(c));
    let here = |scope: &Scope| scope.architectures.as_ref().is_none_or(|list| list.contains(&native()));
    let new_enough = |scope: &Scope| scope.min_kernel.is_none_or(|least| kernel >= least);
    if !(all_capabilities(includes) && here(includes) && new_enough(includes)) {
        return false;
    }
    let excluded = excludes.capabilities.iter().any(|c| bounding.has(c))
        || excludes.architectures.as_ref().is_some_and(|list| list.contains(&native()))
        || excludes.min_kernel.is_some_and(|least| kernel >= least);
    !excluded
}

fn kernel() -> (u32, u32) {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map_while(|n| n.parse().ok());
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

fn written(rule: &Rule) -> Value {
    let mut value = json!({"names": rule.names});
    action(rule.action, &mut value, "action", "errnoRet");
    if !rule.comparisons.is_empty() {
        value["args"] = rule.comparisons.iter().map(comparison).collect();
    }
    value
}

fn action(action: Action, value: &mut Value, key: &str, errno_key: &str) {
    let name = action.to_string();
    value[key] = json!(name.split('(').next());
    if let Action::Errno(errno) = action {
        value[errno_key] = json!(errno);
    }
}

fn comparison(comparison: &Comparison) -> Value {
    json!({
        "index": comparison.index,
        "value": comparison.value,
        "valueTwo": comparison.value_two,
        "op": match comparison.operator {
            Operator::NotEqual => "SCMP_CMP_NE",
            Operator::Less => "SCMP_CMP_LT",
            Operator::LessOrEqual => "SCMP_CMP_LE",
            Operator::Equal => "SCMP_CMP_EQ",
            Operator::GreaterOrEqual => "SCMP_CMP_GE",
            Operator::Greater => "SCMP_CMP_GT",
            Operator::MaskedEqual => "SCMP_CMP_MASKED_EQ",
        },
    })
}

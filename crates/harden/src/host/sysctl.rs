//! Settings of the kernel, as a file of sysctl.d(5). Only those are proposed that a technique of the catalogue or a
//! flaw that is present here hangs on, and whose value here is weaker.

use super::disk::Disk;
use super::updates::{Found, needs};
use super::{Command, FileProposal, Known, Proposal, Reason};

const FILE: &str = "/etc/sysctl.d/80-stockade.conf";
const HEADER: &str = "# Settings that keep containers from the kernel, proposed by stockade.\n";

/// When a value is as strong as wanted.
#[derive(Clone, Copy)]
enum Strong {
    AtLeast(i64),
    AtMost(i64),
    NotEqual(i64),
}

/// When a setting is proposed.
#[derive(Clone, Copy)]
enum When {
    /// Wherever it is weaker.
    Always,
    /// Wherever it is weaker, and it answers the flaws that need this condition too.
    AlsoFlaw(&'static str),
    /// Where a flaw is, or may be, present that this condition is part of.
    Flaw(&'static str),
}

struct Setting {
    key: &'static str,
    strong: Strong,
    value: &'static str,
    when: When,
    why: &'static str,
    answers: &'static [&'static str],
    breaks: &'static str,
}

/// Sources: Documentation/admin-guide/sysctl/{kernel,net,vm,fs}.rst and LSM/Yama.rst, proc_sys_fs(5).
const SETTINGS: &[Setting] = &[
    Setting {
        key: "kernel.unprivileged_bpf_disabled",
        strong: Strong::AtLeast(1),
        value: "2",
        when: When::AlsoFlaw("sysctl(kernel.unprivileged_bpf_disabled=0)"),
        why: "BPF programs are loaded by who has CAP_BPF only; the verifier's flaws need one",
        answers: &["load-bpf-programs"],
        breaks: "ordinary users cannot load BPF programs",
    },
    Setting {
        key: "net.core.bpf_jit_harden",
        strong: Strong::AtLeast(1),
        value: "1",
        when: When::Flaw("sysctl(kernel.unprivileged_bpf_disabled=0)"),
        why: "constants of ordinary users' BPF programs do not come through as machine code",
        answers: &["load-bpf-programs"],
        breaks: "",
    },
    Setting {
        key: "kernel.dmesg_restrict",
        strong: Strong::AtLeast(1),
        value: "1",
        when: When::Always,
        why: "the kernel's log is read with CAP_SYSLOG only",
        answers: &["kernel-log"],
        breaks: "ordinary users of the host see nothing in `dmesg`",
    },
    Setting {
        key: "kernel.kptr_restrict",
        strong: Strong::AtLeast(1),
        value: "1",
        when: When::Always,
        why: "addresses of the kernel, which an exploit has to know, are hidden from who lacks CAP_SYSLOG",
        answers: &["kernel-log"],
        breaks: "profilers of ordinary users show no names of kernel functions",
    },
    Setting {
        key: "kernel.perf_event_paranoid",
        strong: Strong::AtLeast(2),
        value: "2",
        when: When::Always,
        why: "the kernel's own events are measured with CAP_PERFMON only",
        answers: &["performance-events"],
        breaks: "`perf` shows ordinary users nothing of the kernel",
    },
    Setting {
        key: "kernel.yama.ptrace_scope",
        strong: Strong::AtLeast(1),
        value: "1",
        when: When::Always,
        why: "a process traces its own children only",
        answers: &["ptrace-host-process", "ptrace-neighbour"],
        breaks: "a debugger attaches to a running program with CAP_SYS_PTRACE only",
    },
    Setting {
        key: "kernel.kexec_load_disabled",
        strong: Strong::AtLeast(1),
        value: "1",
        when: When::Always,
        why: "no other kernel is loaded over the running one until the next boot",
        answers: &["replace-running-kernel"],
        breaks: "kexec reboots, and crash kernels that are loaded later than this",
    },
    Setting {
        key: "kernel.io_uring_disabled",
        strong: Strong::AtLeast(1),
        value: "1",
        when: When::Flaw("syscall(io_uring_setup)"),
        why: "io_uring is for processes with CAP_SYS_ADMIN, or in kernel.io_uring_group",
        answers: &["rarely-used-system-calls"],
        breaks: "programs of ordinary users fall back to other calls, or fail where they have none",
    },
    Setting {
        key: "vm.unprivileged_userfaultfd",
        strong: Strong::AtMost(0),
        value: "0",
        when: When::Always,
        why: "userfaultfd, by which exploits hold the kernel at a page of their choice, takes CAP_SYS_PTRACE for that",
        answers: &["rarely-used-system-calls"],
        breaks: "live migration of virtual machines that ordinary users run",
    },
    Setting {
        key: "dev.tty.legacy_tiocsti",
        strong: Strong::AtMost(0),
        value: "0",
        when: When::Always,
        why: "nothing is typed into a terminal from outside of it, such as that of `docker attach`",
        answers: &["input-device"],
        breaks: "screen readers that type for their users",
    },
    Setting {
        key: "fs.protected_symlinks",
        strong: Strong::AtLeast(1),
        value: "1",
        when: When::Always,
        why: "a link that a container leaves in a shared folder with the sticky bit is not followed by others",
        answers: &["shared-volume"],
        breaks: "",
    },
    Setting {
        key: "fs.protected_hardlinks",
        strong: Strong::AtLeast(1),
        value: "1",
        when: When::Always,
        why: "nobody links to a file that he may not write",
        answers: &["shared-volume"],
        breaks: "",
    },
    Setting {
        key: "fs.protected_fifos",
        strong: Strong::AtLeast(1),
        value: "1",
        when: When::Always,
        why: "a pipe that a container leaves in such a folder is not opened for writing by others",
        answers: &["shared-volume"],
        breaks: "",
    },
    Setting {
        key: "fs.protected_regular",
        strong: Strong::AtLeast(1),
        value: "1",
        when: When::Always,
        why: "nor is a file",
        answers: &["shared-volume"],
        breaks: "",
    },
    Setting {
        key: "fs.suid_dumpable",
        strong: Strong::NotEqual(1),
        value: "0",
        when: When::Always,
        why: "programs that change their user leave no memory image for who may not read theirs",
        answers: &["core-pattern-handler"],
        breaks: "",
    },
];

pub(super) fn propose(known: &Known<'_>, flaws: &[Found], disk: &Disk<'_>, proposal: &mut Proposal) {
    let before = disk.read(FILE);
    let mut after = before.clone().unwrap_or_default();
    let mut reasons = Vec::new();
    let mut live = false;
    let mut put = |setting: &Setting, why: &str, answers: &[String], proposal: &mut Proposal| {
        live = true;
        let line = format!("{} = {}", setting.key, setting.value);
        if set(&mut after, setting, why, answers) {
            reasons.push(Reason { setting: line, why: why.to_owned(), answers: answers.to_vec() });
            if !setting.breaks.is_empty() {
                proposal.breaks.push(format!("{}: {}", setting.key, setting.breaks));
            }
        }
    };
    for setting in SETTINGS {
        let hangs_on = hanging(setting, flaws);
        if hangs_on.is_none() || !is_weaker(known, disk, setting) || is_needed_here(setting, disk, proposal) {
            continue;
        }
        let mut answers: Vec<String> = setting.answers.iter().map(|answer| (*answer).to_owned()).collect();
        answers.extend(hangs_on.into_iter().flatten());
        put(setting, setting.why, &answers, proposal);
    }
    if let Some((setting, answers)) = user_namespaces(known, flaws, disk, proposal) {
        put(&setting, setting.why, &answers, proposal);
    }
    if before.as_deref() != Some(after.as_str()) && !reasons.is_empty() {
        proposal.files.push(FileProposal { path: FILE.into(), before, after, reasons });
    }
    if live {
        proposal.commands.push(
            Command::new(
                ["sysctl", "--load", FILE],
                "the settings hold now, and not from the next boot on only",
            )
            .undone_by(format!("rm {FILE}, and the former values with `sysctl --write`, or a reboot")),
        );
    }
    modules_disabled(known, disk, proposal);
}

/// The flaws that a setting is proposed for; `None` where it is not to be proposed.
fn hanging(setting: &Setting, flaws: &[Found]) -> Option<Vec<String>> {
    let needing = |condition: &str| -> Vec<String> {
        let found = flaws.iter().filter(|found| needs(found.flaw, condition));
        found.map(|found| found.flaw.id.clone()).collect()
    };
    match setting.when {
        When::Always => Some(Vec::new()),
        When::AlsoFlaw(condition) => Some(needing(condition)),
        When::Flaw(condition) => Some(needing(condition)).filter(|found| !found.is_empty()),
    }
}

/// What the kernel does not have cannot be set, whatever its absence stands for.
fn is_weaker(known: &Known<'_>, disk: &Disk<'_>, setting: &Setting) -> bool {
    let Some(text) = disk.sysctl(setting.key) else { return false };
    let measured = known.host.sysctl(setting.key).value;
    let Some(value) = text.parse::<i64>().ok().or(measured) else { return false };
    match setting.strong {
        Strong::AtLeast(least) => value < least,
        Strong::AtMost(most) => value > most,
        Strong::NotEqual(not) => value == not,
    }
}

/// Settings that something here is seen to need.
fn is_needed_here(setting: &Setting, disk: &Disk<'_>, proposal: &mut Proposal) -> bool {
    let who = match setting.key {
        "kernel.io_uring_disabled" => {
            let users = disk.users_of("anon_inode:[io_uring]");
            if users.is_empty() {
                return false;
            }
            format!("{} use io_uring", users.join(", "))
        }
        "kernel.kexec_load_disabled" => {
            let crash =
                ["/etc/default/kdump-tools", "/etc/kdump.conf"].into_iter().find(|path| disk.exists(path));
            let Some(path) = crash else { return false };
            format!("a crash kernel is set up ({path})")
        }
        _ => return false,
    };
    proposal.notes.push(format!("{} = {} is left out: {who}", setting.key, setting.value));
    true
}

/// User namespaces that anyone can make are the way to most flaws of netfilter and traffic control. Of three switches
/// the first that this kernel has is taken, and none where something here needs them.
fn user_namespaces(
    known: &Known<'_>,
    flaws: &[Found],
    disk: &Disk<'_>,
    proposal: &mut Proposal,
) -> Option<(Setting, Vec<String>)> {
    let answers: Vec<String> = flaws
        .iter()
        .filter(|found| needs(found.flaw, "user-namespaces-enabled"))
        .map(|found| found.flaw.id.clone())
        .collect();
    if answers.is_empty() {
        return None;
    }
    let mut all = vec!["nested-user-namespace".to_owned()];
    all.extend(answers);
    let setting = |key, strong, value, breaks| Setting {
        key,
        strong,
        value,
        when: When::Always,
        why: "flaws that are here need a user namespace of one's own, or a capability that Docker does not give",
        answers: &[],
        breaks,
    };
    let apparmor = setting(
        "kernel.apparmor_restrict_unprivileged_userns",
        Strong::AtLeast(1),
        "1",
        "programs without an AppArmor profile that permits user namespaces have no rights in theirs (rootless engines, \
         browsers and bubblewrap from elsewhere than the distribution)",
    );
    if disk.sysctl(apparmor.key).is_some() {
        return is_weaker(known, disk, &apparmor).then_some((apparmor, all));
    }
    let clone = setting(
        "kernel.unprivileged_userns_clone",
        Strong::AtMost(0),
        "0",
        "ordinary users make no user namespaces: no rootless engines, and no sandboxes of browsers, Flatpak and \
         bubblewrap that are not set-user-ID",
    );
    let none = setting(
        "user.max_user_namespaces",
        Strong::AtMost(0),
        "0",
        "nobody makes user namespaces, root neither: no userns-remap, no rootless engines, no sandboxes of browsers \
         and systemd's PrivateUsers=",
    );
    let chosen = if disk.sysctl(clone.key).is_some() { clone } else { none };
    if !is_weaker(known, disk, &chosen) {
        return None;
    }
    let root_needs = chosen.key == "user.max_user_namespaces";
    if let Some(why) = needs_user_namespaces(known, disk, root_needs, proposal) {
        proposal.notes.push(format!(
            "{} = 0 would close the way to {}, and is left out: {why}",
            chosen.key,
            all.get(1..).unwrap_or_default().join(", ")
        ));
        return None;
    }
    Some((chosen, all))
}

/// What here makes user namespaces.
fn needs_user_namespaces(
    known: &Known<'_>,
    disk: &Disk<'_>,
    root_too: bool,
    proposal: &Proposal,
) -> Option<String> {
    let settings = known.docker.map(|running| &running.engine.settings);
    if settings.is_some_and(|settings| settings.rootless.value == Some(true)) {
        return Some("Docker runs rootless".into());
    }
    let podman = known.podman.map(|running| &running.engine.settings);
    if podman.is_some_and(|settings| settings.rootless.value == Some(true)) {
        return Some("Podman runs rootless".into());
    }
    if root_too {
        let set = settings.is_some_and(|settings| settings.userns_remap.value == Some(true));
        let asked = proposal.files.iter().any(|file| file.after.contains("\"userns-remap\""));
        if set || asked {
            return Some("userns-remap needs them".into());
        }
        let mapped = known.podman.is_some_and(|running| {
            running.raw.containers.iter().any(|c| !c.container["HostConfig"]["IDMappings"].is_null())
        });
        if mapped {
            return Some("containers of Podman's have user namespaces".into());
        }
    }
    // subuid(5): ranges for people are there for rootless engines.
    let text = disk.read("/etc/subuid").unwrap_or_default();
    let people: Vec<&str> = text
        .lines()
        .filter_map(|line| line.split(':').next())
        .filter(|name| !name.is_empty() && !matches!(*name, "dockremap" | "containers"))
        .filter(|name| {
            ["docker", "containers"]
                .iter()
                .any(|store| disk.exists(&format!("/home/{name}/.local/share/{store}")))
        })
        .collect();
    if people.is_empty() { None } else { Some(format!("{} have rootless containers", people.join(", "))) }
}

/// Not in the file: it is read before all that needs a module is up.
fn modules_disabled(known: &Known<'_>, disk: &Disk<'_>, proposal: &mut Proposal) {
    if known.host.modules_loadable.value != Some(true)
        || disk.sysctl("kernel.modules_disabled").as_deref() != Some("0")
    {
        return;
    }
    proposal.notes.push(
        "kernel.modules_disabled = 1, set by `sysctl --write` once all is up, keeps every further module out until the \
         next boot [load-kernel-module]: also those of a USB disk, of a VPN and of a file system that is not mounted \
         yet"
            .into(),
    );
}

/// Puts a setting into the text: in the place of a weaker value, else at its end. Whether the text was changed.
fn set(text: &mut String, setting: &Setting, why: &str, answers: &[String]) -> bool {
    let line = format!("{} = {}", setting.key, setting.value);
    let is_key = |line: &str| {
        let line = line.trim().trim_start_matches('-');
        let key = line.split('=').next().unwrap_or("").trim();
        !line.starts_with(['#', ';']) && key.replace('/', ".") == setting.key
    };
    let given: Vec<String> = text.lines().filter(|line| is_key(line)).map(str::to_owned).collect();
    if let Some(last) = given.last() {
        let value = last.split_once('=').map_or("", |(_, value)| value.trim());
        let strong = value.parse::<i64>().is_ok_and(|value| match setting.strong {
            Strong::AtLeast(least) => value >= least,
            Strong::AtMost(most) => value <= most,
            Strong::NotEqual(not) => value != not,
        });
        if strong {
            return false;
        }
        *text = text
            .lines()
            .map(|old| if is_key(old) { line.as_str() } else { old })
            .collect::<Vec<_>>()
            .join("\n");
        text.push('\n');
        return true;
    }
    if text.is_empty() {
        text.push_str(HEADER);
    } else if !text.ends_with('\n') {
        text.push('\n');
    }
    text.push_str(&format!("\n# {why}\n# {}\n{line}\n", answers.join(", ")));
    true
}

/// For tests of the table.
#[cfg(test)]
pub(super) fn answers() -> impl Iterator<Item = &'static str> {
    SETTINGS.iter().flat_map(|setting| setting.answers.iter().copied())
}

//! The measuring process: `/proc/self/status`, and the same from system calls where procfs is absent or
//! disagrees (a procfs that is not the kernel's own, such as gVisor's, or a bind mount over it).

use confinement::{Capability, CapabilitySet};

use crate::files;
use crate::measurement::{Capabilities, Process};
use crate::sys::{self, Answers, Arg, Batch, CallId, OutputId};

/// What `/proc/self/status` says; `None` where there is none.
pub(crate) fn from_procfs() -> Option<Process> {
    files::read("/proc/self/status", files::READ_LIMIT).ok().map(|(text, _)| parse_status(&text))
}

fn parse_status(text: &str) -> Process {
    let mut process = Process::default();
    for line in text.lines() {
        let Some((key, value)) = line.split_once(':') else { continue };
        let value = value.trim();
        let numbers = || value.split_whitespace().filter_map(|n| n.parse().ok()).collect::<Vec<u32>>();
        let number = || value.parse::<u32>().ok();
        let set = || u64::from_str_radix(value, 16).ok().map(CapabilitySet);
        match key {
            "Pid" => process.pid = number(),
            "NSpid" => process.namespace_pids = numbers(),
            "Uid" => process.uids = numbers(),
            "Gid" => process.gids = numbers(),
            "Groups" => process.groups = numbers(),
            "CapInh" => process.capabilities.inheritable = set(),
            "CapPrm" => process.capabilities.permitted = set(),
            "CapEff" => process.capabilities.effective = set(),
            "CapBnd" => process.capabilities.bounding = set(),
            "CapAmb" => process.capabilities.ambient = set(),
            "NoNewPrivs" => process.no_new_privs = number().map(|n| n != 0),
            "Seccomp" => process.seccomp_mode = number(),
            "Seccomp_filters" => process.seccomp_filters = number(),
            _ => {}
        }
    }
    process
}

/// The calls that say the same without procfs. All of them only read the caller's own state.
pub(crate) struct Plan {
    capget: CallId,
    sets: OutputId,
    bounding: Vec<(Capability, CallId)>,
    ambient: Vec<(Capability, CallId)>,
    no_new_privs: CallId,
    seccomp: CallId,
    securebits: CallId,
    personality: CallId,
}

/// `_LINUX_CAPABILITY_VERSION_3` of linux/capability.h.
const CAPABILITY_VERSION_3: u32 = 0x2008_0522;

impl Plan {
    pub(crate) fn new(batch: &mut Batch) -> Plan {
        let prctl = |batch: &mut Batch, option: i32, a: i64, b: i64| {
            let args = [Arg::Int(option.into()), Arg::Int(a), Arg::Int(b), Arg::Int(0), Arg::Int(0)];
            batch.call(libc::SYS_prctl, &args)
        };
        // struct __user_cap_header_struct { version, pid = 0: the caller }
        let header = Arg::Output(batch.input(&[CAPABILITY_VERSION_3.to_ne_bytes(), [0; 4]].concat()));
        let sets = batch.output(24);
        let each = |batch: &mut Batch, option: i32, first: Option<i64>| {
            let mut calls = Vec::with_capacity(Capability::ALL.len());
            for &capability in Capability::ALL {
                let number = capability as i64;
                let call = match first {
                    Some(operation) => prctl(batch, option, operation, number),
                    None => prctl(batch, option, number, 0),
                };
                calls.push((capability, call));
            }
            calls
        };
        Plan {
            seccomp: prctl(batch, libc::PR_GET_SECCOMP, 0, 0),
            no_new_privs: prctl(batch, libc::PR_GET_NO_NEW_PRIVS, 0, 0),
            securebits: prctl(batch, libc::PR_GET_SECUREBITS, 0, 0),
            personality: batch.call(libc::SYS_personality, &[Arg::Int(0xffff_ffff)]),
            capget: batch.call(libc::SYS_capget, &[header, Arg::Output(sets)]),
            sets,
            bounding: each(batch, libc::PR_CAPBSET_READ, None),
            ambient: each(batch, libc::PR_CAP_AMBIENT, Some(libc::PR_CAP_AMBIENT_IS_SET.into())),
        }
    }

    fn as_calls_tell(&self, answers: &Answers) -> Process {
        let number = |call| answers.of(call).value.and_then(|v| u32::try_from(v).ok());
        let (users, groups) = sys::ids();
        let halves = answers.half_words(self.sets);
        let set = |index: usize| {
            answers.of(self.capget).value?;
            let (low, high) = (halves.get(index)?, halves.get(index + 3)?);
            Some(CapabilitySet(u64::from(*high) << 32 | u64::from(*low)))
        };
        Process {
            pid: Some(std::process::id()),
            namespace_pids: Vec::new(),
            uids: users.to_vec(),
            gids: groups.to_vec(),
            groups: sys::supplementary_groups(),
            capabilities: Capabilities {
                effective: set(0),
                permitted: set(1),
                inheritable: set(2),
                bounding: set_of(&self.bounding, answers),
                ambient: set_of(&self.ambient, answers),
            },
            no_new_privs: number(self.no_new_privs).map(|n| n != 0),
            seccomp_mode: number(self.seccomp),
            seccomp_filters: None,
            securebits: number(self.securebits),
            personality: answers.of(self.personality).value.map(|v| v as u32),
        }
    }

    /// Procfs first, the calls where it says nothing, and a note where both say different things.
    pub(crate) fn read(
        &self,
        procfs: Option<Process>,
        answers: &Answers,
        notes: &mut Vec<String>,
    ) -> Process {
        let calls = self.as_calls_tell(answers);
        let Some(mut process) = procfs else {
            notes.push("/proc/self/status is not readable; credentials come from system calls".to_owned());
            return calls;
        };
        process.securebits = calls.securebits;
        process.personality = calls.personality;
        let sets = &mut process.capabilities;
        let other = &calls.capabilities;
        // The bits above the kernel's last capability are set in no call's answer.
        merge("inheritable capabilities", &mut sets.inheritable, other.inheritable, notes);
        merge("permitted capabilities", &mut sets.permitted, other.permitted, notes);
        merge("effective capabilities", &mut sets.effective, other.effective, notes);
        merge("bounding capabilities", &mut sets.bounding, other.bounding, notes);
        merge("ambient capabilities", &mut sets.ambient, other.ambient, notes);
        merge("no_new_privs", &mut process.no_new_privs, calls.no_new_privs, notes);
        merge("seccomp mode", &mut process.seccomp_mode, calls.seccomp_mode, notes);
        if process.uids.is_empty() {
            process.uids = calls.uids;
            process.gids = calls.gids;
            process.groups = calls.groups;
        }
        process
    }
}

fn merge<T: PartialEq + std::fmt::Debug>(
    what: &str,
    procfs: &mut Option<T>,
    call: Option<T>,
    notes: &mut Vec<String>,
) {
    match (&*procfs, &call) {
        (Some(a), Some(b)) if a != b => {
            notes.push(format!("{what}: /proc/self/status says {a:?}, the system call says {b:?}"));
            *procfs = call;
        }
        (None, Some(_)) => *procfs = call,
        _ => {}
    }
}

/// The set of capabilities for which a call answered 1; `None` where any call was refused. A capability the
/// kernel does not know (`EINVAL`) is in no set.
fn set_of(calls: &[(Capability, CallId)], answers: &Answers) -> Option<CapabilitySet> {
    let mut set = CapabilitySet::EMPTY;
    for (capability, call) in calls {
        let answer = answers.of(*call);
        match answer.value {
            Some(1) => set = set.with(*capability),
            Some(_) => {}
            None if answer.is_error("EINVAL") => {}
            None => return None,
        }
    }
    Some(set)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_is_read_member_by_member_and_broken_lines_are_left_out() {
        let text = "Name:\tx\nPid:\t7\nNSpid:\t900\t7\nUid:\t1\t2\t3\t4\nGroups:\t\nCapEff:\t00000000a80425fb\n\
                    CapBnd:\tzz\nNoNewPrivs:\t1\nSeccomp:\t2\nSeccomp_filters:\t3\nno colon\n";
        let process = parse_status(text);
        assert_eq!(process.namespace_pids, [900, 7]);
        assert_eq!(process.uids, [1, 2, 3, 4]);
        assert_eq!(process.capabilities.effective, Some(CapabilitySet(0xa804_25fb)));
        assert_eq!(process.capabilities.bounding, None);
        assert_eq!(process.no_new_privs, Some(true));
        assert_eq!((process.seccomp_mode, process.seccomp_filters), (Some(2), Some(3)));
    }
}

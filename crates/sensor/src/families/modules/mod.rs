//! The kernel itself: modules, BPF, kexec, and the calls that set or read the machine's state.

use super::{Call, HOST, Test, WORKING_DIRECTORY, rare_call};
use crate::event::{Text, What};
use crate::kinds::Kind;
use crate::record::{Record, string};

pub(crate) const CALLS: &[Call] = &[
    Call { text: [3, 0, 0, 0], ..Call::rare(&["init_module"], Kind::Module, module) },
    Call { text: [2, 0, 0, 0], file: [1, 0], ..Call::rare(&["finit_module"], Kind::Module, module) },
    Call { text: [1, 0, 0, 0], ..Call::rare(&["delete_module"], Kind::Module, module) },
    Call { block: (2, 128), flags: HOST, ..Call::rare(&["bpf"], Kind::Bpf, bpf) },
    Call::rare(&["kexec_load"], Kind::Kexec, kexec_load),
    Call { file: [1, 0], ..Call::rare(&["kexec_file_load"], Kind::Kexec, kexec_file_load) },
    Call::rare(&["reboot"], Kind::Reboot, reboot),
    Call { block: (1, 24), ..Call::rare(&["perf_event_open"], Kind::PerfEventOpen, perf_event_open) },
    Call::rare(&["userfaultfd"], Kind::Userfaultfd, userfaultfd),
    Call::rare(&["syslog"], Kind::Syslog, syslog),
    Call::rare(&["settimeofday", "clock_settime", "clock_settime64", "stime"], Kind::SetTime, set_time),
    // Reading the clock's state has no bit of `modes` set, the first word of `struct timex`.
    Call {
        test: Test::BitsAt(1, 0xffff_ffff),
        flags: super::ONLY,
        ..Call::rare(&["adjtimex"], Kind::SetTime, set_time)
    },
    Call {
        test: Test::BitsAt(2, 0xffff_ffff),
        flags: super::ONLY,
        ..Call::rare(&["clock_adjtime", "clock_adjtime64"], Kind::SetTime, set_time)
    },
    Call { block: (1, 65), ..Call::rare(&["sethostname", "setdomainname"], Kind::SetName, set_name) },
    Call::rare(&["personality"], Kind::Personality, personality),
    Call {
        text: [1, 0, 0, 0],
        directory: [WORKING_DIRECTORY, 0],
        ..Call::rare(&["swapon", "swapoff", "acct"], Kind::RareCall, rare_call)
    },
    // Databases and displays attach shared memory all day.
    Call::bulk(&["shmget", "shmat"], Kind::RareCall, rare_call),
    Call::rare(
        &[
            "quotactl",
            "quotactl_fd",
            "sched_setscheduler",
            "sched_setattr",
            "fanotify_init",
            "fanotify_mark",
            "lookup_dcookie",
            "move_pages",
            "migrate_pages",
            "vhangup",
            "modify_ldt",
            "vm86",
            "vm86old",
            "uselib",
            "nfsservctl",
            "create_module",
            "get_kernel_syms",
            "query_module",
            "memfd_secret",
            "process_mrelease",
            "lsm_set_self_attr",
            "statmount",
            "listmount",
        ],
        Kind::RareCall,
        rare_call,
    ),
];

fn module(record: &Record<'_>) -> What {
    What::Module { call: record.call_name(), name: record.text(0), file: record.file(0) }
}

/// `union bpf_attr` begins with the program's type at BPF_PROG_LOAD (5), and with a map's at BPF_MAP_CREATE (0); names
/// and attach types are where include/uapi/linux/bpf.h has them.
fn bpf(record: &Record<'_>) -> What {
    const MAP_CREATE: u32 = 0;
    const PROG_LOAD: u32 = 5;
    const PROG_ATTACH: u32 = 8;
    const LINK_CREATE: u32 = 28;
    let command = record.word(0);
    let name_at = match command {
        PROG_LOAD => Some(48),
        MAP_CREATE => Some(28),
        _ => None,
    };
    let attach_at = match command {
        PROG_LOAD => Some(68),
        PROG_ATTACH | LINK_CREATE => Some(8),
        _ => None,
    };
    let name = name_at
        .and_then(|at| record.block(0).and_then(|block| block.get(at..at + 16)))
        .map(|bytes| string(bytes.split(|byte| *byte == 0).next().unwrap_or_default()))
        .unwrap_or_default();
    What::Bpf {
        command,
        program_type: if command == PROG_LOAD { record.block_u32(0) } else { 0 },
        attach_type: attach_at.map_or(0, |at| record.block_u32(at)),
        name,
    }
}

fn kexec_load(record: &Record<'_>) -> What {
    What::Kexec { call: record.call_name(), flags: record.argument(3) }
}

fn kexec_file_load(record: &Record<'_>) -> What {
    What::Kexec { call: record.call_name(), flags: record.argument(4) }
}

fn reboot(record: &Record<'_>) -> What {
    What::Reboot { command: record.word(2) }
}

/// `struct perf_event_attr`: type, size, config.
fn perf_event_open(record: &Record<'_>) -> What {
    What::PerfEventOpen {
        kind: record.block_u32(0),
        config: record.block_u64(8),
        target: record.word(1) as i32,
    }
}

fn userfaultfd(record: &Record<'_>) -> What {
    What::Userfaultfd { flags: record.argument(0) }
}

fn syslog(record: &Record<'_>) -> What {
    What::Syslog { action: record.word(0) as i32 }
}

fn set_time(record: &Record<'_>) -> What {
    What::SetTime { call: record.call_name() }
}

/// The name has a length and no end.
fn set_name(record: &Record<'_>) -> What {
    let length = record.argument(1) as usize;
    let bytes = record.block(0).map(|block| block.get(..length).unwrap_or(block)).unwrap_or_default();
    let bytes = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
    What::SetName {
        call: record.call_name(),
        name: Text { text: string(bytes), source: crate::event::Source::User, cut: false },
    }
}

fn personality(record: &Record<'_>) -> What {
    What::Personality { value: record.argument(0) }
}

pub(crate) fn decode(kind: Kind, record: &Record<'_>) -> Option<What> {
    match kind {
        // The kernel's own word that a module is in, whatever loaded it.
        Kind::Module => Some(What::Module { call: "load".to_owned(), name: record.text(0), file: None }),
        Kind::CgroupMade => Some(What::CgroupMade { id: record.argument(0), path: record.text(0).text }),
        Kind::CgroupRemoved => {
            Some(What::CgroupRemoved { id: record.argument(0), path: record.text(0).text })
        }
        _ => None,
    }
}

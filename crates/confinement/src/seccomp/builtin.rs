//! The profiles that engines bring with them, by version.
//!
//! Each engine is a table of groups: the calls of one rule, the versions that have it, and the conditions it
//! stands under. Read from moby/profiles `seccomp/default_linux.go` (and moby `profiles/seccomp` before 28),
//! containerd `contrib/seccomp/seccomp_default.go`, containers/common and container-libs
//! `pkg/seccomp/seccomp.json`, and CRI-O `internal/config/seccomp/seccomp.go`, at the releases that the
//! variants name. A version in between is taken for the last variant before it.

use std::borrow::Cow;
use std::sync::OnceLock;

use super::{Action, Architecture, Comparison, Coverage, Operator, Profile, Rule, Scope};
use crate::capability::{Capability, CapabilitySet};

/// A built-in profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Builtin {
    Docker(Docker),
    Containerd(Containerd),
    Podman(Podman),
    Crio(Crio),
}

/// Docker's profile, by the release from which it is so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Docker {
    /// 20.10.10 and later, when `clone3` came to answer `ENOSYS` (moby#42681). Permits io_uring and every
    /// socket (20.10.22 alone had no AF_VSOCK; 20.10.23 took that back, moby#44712).
    V20_10,
    /// The last of 23.0 and 24.0 (with moby#47345 and moby#47346). No AF_VSOCK (moby#44562).
    V23,
    /// 25 to 27. No io_uring (moby#46762).
    V25,
    V28,
    /// 29.4.2. No AF_ALG (moby#52501), no `socketcall`.
    V29_4_2,
    /// `socketcall` again; AF_ALG through it is left to the LSM (moby#52547).
    V29_4_3,
}

/// containerd's profile, by the release from which it is so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Containerd {
    /// Permits io_uring and every socket.
    V1_6,
    /// No AF_VSOCK.
    V1_7,
    /// No io_uring (containerd#9320).
    V2_0,
    /// No AF_ALG (containerd#13327).
    V2_4,
}

/// Podman's profile, by the release from which it is so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Podman {
    /// containers/common 0.50.
    V4_3,
    /// containers/common 0.62.
    V5_4,
    /// containers/common 0.67. No AF_VSOCK.
    V5_8,
    /// container-libs of April 2026.
    V6_0,
}

/// CRI-O's profile, by the release from which it is so: Podman's of the same time, with some calls refused to
/// who lacks CAP_SYS_ADMIN.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Crio {
    /// 1.25. No `unshare` (cri-o#5788).
    V1_25,
    /// 1.31, and 1.29.9 and 1.30.6 of the same month. No `clone` with a flag for a namespace, and no `clone3`
    /// (cri-o#8514, #8568, #8569).
    V1_31,
    V1_33,
    V1_36,
}

impl Docker {
    pub const ALL: [Docker; 6] =
        [Docker::V20_10, Docker::V23, Docker::V25, Docker::V28, Docker::V29_4_2, Docker::V29_4_3];
    pub const LATEST: Docker = Docker::V29_4_3;

    /// The profile of a release. Releases before 20.10 are taken for 20.10.
    pub fn of(version: (u32, u32, u32)) -> Docker {
        match version {
            v if v < (23, 0, 0) => Docker::V20_10,
            v if v < (25, 0, 0) => Docker::V23,
            v if v < (28, 0, 0) => Docker::V25,
            v if v < (29, 4, 2) => Docker::V28,
            (29, 4, 2) => Docker::V29_4_2,
            _ => Docker::V29_4_3,
        }
    }
}

impl Containerd {
    pub const ALL: [Containerd; 4] = [Containerd::V1_6, Containerd::V1_7, Containerd::V2_0, Containerd::V2_4];
    pub const LATEST: Containerd = Containerd::V2_4;

    /// The profile of a release. Releases before 1.6 are taken for 1.6.
    pub fn of(version: (u32, u32, u32)) -> Containerd {
        match version {
            v if v < (1, 7, 0) => Containerd::V1_6,
            v if v < (2, 0, 0) => Containerd::V1_7,
            v if v < (2, 4, 0) => Containerd::V2_0,
            _ => Containerd::V2_4,
        }
    }
}

impl Podman {
    pub const ALL: [Podman; 4] = [Podman::V4_3, Podman::V5_4, Podman::V5_8, Podman::V6_0];
    pub const LATEST: Podman = Podman::V6_0;

    /// The profile of a release. Releases before 4.3 are taken for 4.3.
    pub fn of(version: (u32, u32, u32)) -> Podman {
        match version {
            v if v < (5, 4, 0) => Podman::V4_3,
            v if v < (5, 8, 0) => Podman::V5_4,
            v if v < (6, 0, 0) => Podman::V5_8,
            _ => Podman::V6_0,
        }
    }
}

impl Crio {
    pub const ALL: [Crio; 4] = [Crio::V1_25, Crio::V1_31, Crio::V1_33, Crio::V1_36];
    pub const LATEST: Crio = Crio::V1_36;

    /// The profile of a release. Releases before 1.25 are taken for 1.25.
    pub fn of(version: (u32, u32, u32)) -> Crio {
        match version {
            v if v < (1, 29, 9) => Crio::V1_25,
            (1, 30, patch) if patch < 6 => Crio::V1_25,
            v if v < (1, 33, 0) => Crio::V1_31,
            v if v < (1, 36, 0) => Crio::V1_33,
            _ => Crio::V1_36,
        }
    }

    /// The profile of Podman's that it starts from.
    pub fn podman(self) -> Podman {
        match self {
            Crio::V1_25 | Crio::V1_31 => Podman::V4_3,
            Crio::V1_33 => Podman::V5_4,
            Crio::V1_36 => Podman::V6_0,
        }
    }
}

impl Builtin {
    /// Whose profile it is, for people.
    pub fn engine(self) -> &'static str {
        match self {
            Builtin::Docker(_) => "Docker",
            Builtin::Containerd(_) => "containerd",
            Builtin::Podman(_) => "Podman",
            Builtin::Crio(_) => "CRI-O",
        }
    }

    /// The profile itself, made on first use.
    pub fn profile(self) -> &'static Profile {
        static DOCKER: [OnceLock<Profile>; Docker::ALL.len()] =
            [const { OnceLock::new() }; Docker::ALL.len()];
        static CONTAINERD: [OnceLock<Profile>; Containerd::ALL.len()] =
            [const { OnceLock::new() }; Containerd::ALL.len()];
        static PODMAN: [OnceLock<Profile>; Podman::ALL.len()] =
            [const { OnceLock::new() }; Podman::ALL.len()];
        static CRIO: [OnceLock<Profile>; Crio::ALL.len()] = [const { OnceLock::new() }; Crio::ALL.len()];
        match self {
            Builtin::Docker(v) => DOCKER[v as usize]
                .get_or_init(|| make(EPERM, v as u8, &[DOCKER_SOCKETCALL, COMMON, DOCKER_ONLY, DOCKER_LIKE])),
            Builtin::Containerd(v) => CONTAINERD[v as usize]
                .get_or_init(|| make(EPERM, v as u8, &[COMMON, CONTAINERD_ONLY, DOCKER_LIKE])),
            Builtin::Podman(v) => PODMAN[v as usize]
                .get_or_init(|| make(ENOSYS, v as u8, &[COMMON, PODMAN_NAMESPACES, PODMAN_LIKE])),
            Builtin::Crio(v) => CRIO[v as usize].get_or_init(|| {
                let namespaces = if v < Crio::V1_31 { CRIO_NAMESPACES_UNTIL_1_31 } else { CRIO_NAMESPACES };
                make(ENOSYS, v.podman() as u8, &[COMMON, namespaces, PODMAN_LIKE])
            }),
        }
    }
}

const EPERM: Action = Action::Errno(1);
const EINVAL: Action = Action::Errno(22);
const ENOSYS: Action = Action::Errno(38);

/// Calls with the same action under the same conditions.
#[derive(Clone, Copy)]
struct Group {
    /// Separated by white space.
    names: &'static str,
    action: Action,
    /// The variants that have the group, as numbers; the last is not among them.
    versions: (u8, u8),
    /// All of them in the bounding set.
    with: CapabilitySet,
    /// None of them there.
    without: CapabilitySet,
    on: Option<&'static [Architecture]>,
    not_on: Option<&'static [Architecture]>,
    min_kernel: Option<(u32, u32)>,
    comparisons: &'static [Comparison],
}

const fn group(action: Action, names: &'static str) -> Group {
    Group {
        names,
        action,
        versions: (0, u8::MAX),
        with: CapabilitySet::EMPTY,
        without: CapabilitySet::EMPTY,
        on: None,
        not_on: None,
        min_kernel: None,
        comparisons: &[],
    }
}

const fn allow(names: &'static str) -> Group {
    group(Action::Allow, names)
}

impl Group {
    const fn since(self, version: u8) -> Group {
        Group { versions: (version, self.versions.1), ..self }
    }
    const fn until(self, version: u8) -> Group {
        Group { versions: (self.versions.0, version), ..self }
    }
    const fn with(self, capability: Capability) -> Group {
        Group { with: self.with.with(capability), ..self }
    }
    const fn without(self, capability: Capability) -> Group {
        Group { without: self.without.with(capability), ..self }
    }
    const fn on(self, architectures: &'static [Architecture]) -> Group {
        Group { on: Some(architectures), ..self }
    }
    const fn not_on(self, architectures: &'static [Architecture]) -> Group {
        Group { not_on: Some(architectures), ..self }
    }
    const fn since_kernel(self, version: (u32, u32)) -> Group {
        Group { min_kernel: Some(version), ..self }
    }
    const fn when(self, comparisons: &'static [Comparison]) -> Group {
        Group { comparisons, ..self }
    }

    fn rule(&self) -> Rule {
        let scope = |capabilities, architectures: Option<&[Architecture]>, min_kernel| Scope {
            capabilities,
            names_no_capability: false,
            architectures: architectures.map(<[_]>::to_vec),
            min_kernel,
        };
        Rule {
            names: self.names.split_ascii_whitespace().map(Cow::Borrowed).collect(),
            action: self.action,
            comparisons: self.comparisons.to_vec(),
            includes: scope(self.with, self.on, self.min_kernel),
            excludes: scope(self.without, self.not_on, None),
        }
    }
}

fn make(default: Action, version: u8, tables: &[&[Group]]) -> Profile {
    let has = |g: &&Group| (g.versions.0..g.versions.1).contains(&version);
    let rules = tables.iter().flat_map(|t| t.iter()).filter(has).map(Group::rule).collect();
    Profile::new(
        default,
        Coverage::Mapped(COVERED.iter().map(|(a, subs)| (*a, subs.to_vec())).collect()),
        rules,
    )
}

/// The ABIs that come with a native architecture. An architecture that is missing comes alone.
const COVERED: &[(Architecture, &[Architecture])] = &[
    (Architecture::X86_64, &[Architecture::X86, Architecture::X32]),
    (Architecture::Aarch64, &[Architecture::Arm]),
    (Architecture::Mips64, &[Architecture::Mips, Architecture::MipsN32]),
    (Architecture::MipsN32, &[Architecture::Mips, Architecture::Mips64]),
    (Architecture::Mipsel64, &[Architecture::Mipsel, Architecture::MipselN32]),
    (Architecture::MipselN32, &[Architecture::Mipsel, Architecture::Mipsel64]),
    (Architecture::S390x, &[Architecture::S390]),
];

const S390: &[Architecture] = &[Architecture::S390, Architecture::S390x];
const ARM: &[Architecture] = &[Architecture::Arm, Architecture::Aarch64];

const fn compare(index: u8, operator: Operator, value: u64) -> Comparison {
    Comparison { index, operator, value, value_two: 0 }
}

const AF_NETLINK: u64 = 16;
const NETLINK_AUDIT: u64 = 9;
const AF_ALG: u64 = 38;
const AF_VSOCK: u64 = 40;

/// `CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID |
/// CLONE_NEWNET`, but not `CLONE_NEWTIME` (`linux/sched.h`).
const NEW_NAMESPACES: u64 = 0x7E02_0000;

/// What every engine has, whatever its version.
const COMMON: &[Group] = &[
    allow(include_str!("../../data/seccomp/common.txt")),
    // personality(2): PER_LINUX, PER_LINUX32, with and without UNAME26, and the query.
    allow("personality").when(&[compare(0, Operator::Equal, 0)]),
    allow("personality").when(&[compare(0, Operator::Equal, 0x8)]),
    allow("personality").when(&[compare(0, Operator::Equal, 0x2_0000)]),
    allow("personality").when(&[compare(0, Operator::Equal, 0x2_0008)]),
    allow("personality").when(&[compare(0, Operator::Equal, 0xffff_ffff)]),
    allow("sync_file_range2").on(&[Architecture::Ppc64le]),
    allow("arm_fadvise64_64 arm_sync_file_range sync_file_range2 breakpoint cacheflush set_tls").on(ARM),
    allow("arch_prctl").on(&[Architecture::X86_64, Architecture::X32]),
    allow("modify_ldt").on(&[Architecture::X86_64, Architecture::X32, Architecture::X86]),
    allow("s390_pci_mmio_read s390_pci_mmio_write s390_runtime_instr").on(S390),
    allow("open_by_handle_at").with(Capability::DAC_READ_SEARCH),
    allow("bpf lookup_dcookie quotactl setdomainname sethostname setns").with(Capability::SYS_ADMIN),
    allow("chroot").with(Capability::SYS_CHROOT),
    allow("delete_module init_module finit_module").with(Capability::SYS_MODULE),
    allow("acct").with(Capability::SYS_PACCT),
    allow("kcmp process_madvise").with(Capability::SYS_PTRACE),
    allow("iopl ioperm").with(Capability::SYS_RAWIO),
    allow("settimeofday stime clock_settime").with(Capability::SYS_TIME),
    allow("vhangup").with(Capability::SYS_TTY_CONFIG),
];

/// What Docker and containerd share beyond that.
const DOCKER_LIKE: &[Group] = &[
    allow("futex_waitv io_pgetevents io_pgetevents_time64 vmsplice"),
    allow("ptrace").since_kernel((4, 8)),
    allow(
        "clone clone3 fanotify_init fsconfig fsmount fsopen fspick mount mount_setattr move_mount open_tree \
         perf_event_open quotactl_fd syslog umount umount2 unshare",
    )
    .with(Capability::SYS_ADMIN),
    allow("clone").without(Capability::SYS_ADMIN).not_on(S390).when(&[compare(
        0,
        Operator::MaskedEqual,
        NEW_NAMESPACES,
    )]),
    // The flags are the second argument there.
    allow("clone").without(Capability::SYS_ADMIN).on(S390).when(&[compare(
        1,
        Operator::MaskedEqual,
        NEW_NAMESPACES,
    )]),
    // ENOSYS, so that libraries fall back to clone(2), whose flags can be seen.
    group(ENOSYS, "clone3").without(Capability::SYS_ADMIN),
    allow("reboot").with(Capability::SYS_BOOT),
    allow("pidfd_getfd process_vm_readv process_vm_writev ptrace").with(Capability::SYS_PTRACE),
    allow("get_mempolicy mbind set_mempolicy").with(Capability::SYS_NICE),
    allow("syslog").with(Capability::SYSLOG),
];

/// Before every other rule, and not EPERM: libseccomp adds `socketcall` beside each rule for `socket`, the
/// first rule without conditions wins, and a rule that equals the default is not added at all
/// (containerd#13330).
const DOCKER_SOCKETCALL: &[Group] =
    &[group(ENOSYS, "socketcall").since(Docker::V29_4_2 as u8).until(Docker::V29_4_3 as u8)];

const DOCKER_ONLY: &[Group] = {
    const V23: u8 = Docker::V23 as u8;
    const V25: u8 = Docker::V25 as u8;
    const V28: u8 = Docker::V28 as u8;
    const V29_4_2: u8 = Docker::V29_4_2 as u8;
    &[
        allow("socket").until(V23),
        allow("socket").since(V23).until(V29_4_2).when(&[compare(0, Operator::NotEqual, AF_VSOCK)]),
        allow("socket").since(V29_4_2).when(&[compare(0, Operator::Less, AF_ALG)]),
        allow("socket").since(V29_4_2).when(&[compare(0, Operator::Equal, 39)]),
        allow("socket").since(V29_4_2).when(&[compare(0, Operator::Greater, AF_VSOCK)]),
        allow("io_uring_enter io_uring_register io_uring_setup").until(V25),
        allow("name_to_handle_at").until(V23).with(Capability::SYS_ADMIN),
        allow(
            "cachestat fchmodat2 futex_requeue futex_wait futex_wake map_shadow_stack name_to_handle_at \
             pkey_alloc pkey_free pkey_mprotect",
        )
        .since(V23),
        allow("process_vm_readv process_vm_writev").since(V23).since_kernel((4, 8)),
        allow("swapcontext").since(V23).on(&[Architecture::Ppc64le]),
        allow("riscv_flush_icache").since(V23).on(&[Architecture::Riscv64]),
        allow("clock_settime64").since(V23).with(Capability::SYS_TIME),
        allow("set_mempolicy_home_node").since(V23).with(Capability::SYS_NICE),
        allow("bpf").since(V23).with(Capability::BPF),
        allow("perf_event_open").since(V23).with(Capability::PERFMON),
        allow(
            "getxattrat listmount listxattrat mseal removexattrat riscv_hwprobe setxattrat statmount uretprobe",
        )
        .since(V28),
        allow("lsm_get_self_attr lsm_list_modules lsm_set_self_attr").since(V28).with(Capability::SYS_ADMIN),
    ]
};

const CONTAINERD_ONLY: &[Group] = {
    const V1_7: u8 = Containerd::V1_7 as u8;
    const V2_0: u8 = Containerd::V2_0 as u8;
    const V2_4: u8 = Containerd::V2_4 as u8;
    &[
        allow("socket").until(V1_7),
        allow("socket").since(V1_7).until(V2_4).when(&[compare(0, Operator::NotEqual, AF_VSOCK)]),
        allow("socket").since(V2_4).when(&[compare(0, Operator::Less, AF_ALG)]),
        allow("socket").since(V2_4).when(&[compare(0, Operator::Equal, 39)]),
        allow("socket").since(V2_4).when(&[compare(0, Operator::Greater, AF_VSOCK)]),
        allow("io_uring_enter io_uring_register io_uring_setup").until(V2_0),
        allow("pkey_alloc pkey_free pkey_mprotect"),
        allow("name_to_handle_at").until(V1_7).with(Capability::SYS_ADMIN),
        allow("cachestat fchmodat2 futex_requeue futex_wait futex_wake map_shadow_stack name_to_handle_at")
            .since(V1_7),
        allow("process_vm_readv process_vm_writev").since(V1_7).since_kernel((4, 8)),
        allow("swapcontext").on(&[Architecture::Ppc64le]),
        allow("riscv_flush_icache").on(&[Architecture::Riscv64]),
        allow("riscv_hwprobe").since(V2_4).on(&[Architecture::Riscv64]),
        allow("clock_settime64").with(Capability::SYS_TIME),
        allow("set_mempolicy_home_node").since(V1_7).with(Capability::SYS_NICE),
        allow("bpf").with(Capability::BPF),
        allow("perf_event_open").with(Capability::PERFMON),
        allow(
            "getxattrat listmount listxattrat lsm_get_self_attr lsm_list_modules lsm_set_self_attr mseal \
             removexattrat setxattrat statmount uretprobe",
        )
        .since(V2_4),
    ]
};

/// What Podman and CRI-O share. Its default is ENOSYS, so refusals that are meant are spelled out as EPERM.
const PODMAN_LIKE: &[Group] = {
    use Capability::*;
    const V5_4: u8 = Podman::V5_4 as u8;
    const V5_8: u8 = Podman::V5_8 as u8;
    const V6_0: u8 = Podman::V6_0 as u8;
    &[
        group(
            EPERM,
            "bdflush io_pgetevents kexec_file_load kexec_load migrate_pages move_pages nfsservctl nice \
             oldfstat oldlstat oldolduname oldstat olduname pciconfig_iobase pciconfig_read pciconfig_write \
             sgetmask ssetmask swapoff swapon sysfs uselib userfaultfd ustat vm86 vm86old vmsplice",
        ),
        group(EPERM, "swapcontext").until(V5_4),
        group(EPERM, "cachestat io_pgetevents_time64 map_shadow_stack syscall").since(V5_4),
        group(EPERM, "futex_requeue futex_wait futex_waitv futex_wake").since(V5_4).until(V6_0),
        allow("futex_requeue futex_wait futex_waitv futex_wake").since(V6_0),
        allow("readdir sigaction sigpending sigsuspend syscall timerfd").until(V5_4),
        allow(
            "fsconfig fsmount fsopen fspick get_mempolicy keyctl mbind mount mount_setattr \
             move_mount name_to_handle_at open_tree pidfd_getfd pivot_root pkey_alloc pkey_free \
             pkey_mprotect process_vm_readv process_vm_writev ptrace reboot set_mempolicy setns signal \
             syslog umount umount2",
        ),
        allow("fchmodat2").since(V5_4),
        allow("fanotify_init").until(V5_8).with(SYS_ADMIN),
        group(EPERM, "fanotify_init").until(V5_8).without(SYS_ADMIN),
        allow("fanotify_init").since(V5_8),
        allow("swapcontext").since(V5_4).on(&[Architecture::Ppc64le]),
        allow("riscv_flush_icache").since(V5_4).on(&[Architecture::Riscv64]),
        group(EPERM, "open_by_handle_at").without(DAC_READ_SEARCH),
        allow("perf_event_open").until(V5_4).with(SYS_ADMIN),
        allow("perf_event_open").since(V6_0).with(SYS_ADMIN),
        allow("quotactl_fd").since(V5_4).with(SYS_ADMIN),
        group(EPERM, "lookup_dcookie quotactl setdomainname sethostname").without(SYS_ADMIN),
        group(EPERM, "perf_event_open").until(V6_0).without(SYS_ADMIN),
        group(EPERM, "quotactl_fd").since(V5_4).without(SYS_ADMIN),
        group(EPERM, "bpf").until(V5_4).without(SYS_ADMIN),
        group(EPERM, "chroot").without(SYS_CHROOT),
        allow("query_module").with(SYS_MODULE),
        group(EPERM, "delete_module finit_module init_module query_module").without(SYS_MODULE),
        group(EPERM, "acct").without(SYS_PACCT),
        group(EPERM, "kcmp process_madvise").without(SYS_PTRACE),
        group(EPERM, "ioperm iopl").without(SYS_RAWIO),
        allow("clock_settime64").with(SYS_TIME),
        group(EPERM, "clock_settime clock_settime64 settimeofday stime").without(SYS_TIME),
        group(EPERM, "vhangup").without(SYS_TTY_CONFIG),
        group(EPERM, "socket").since(V5_8).when(&[compare(0, Operator::Equal, AF_VSOCK)]),
        group(EINVAL, "socket")
            .without(AUDIT_WRITE)
            .when(&[compare(0, Operator::Equal, AF_NETLINK), compare(2, Operator::Equal, NETLINK_AUDIT)]),
        allow("socket").until(V5_8).without(AUDIT_WRITE).when(&[compare(
            2,
            Operator::NotEqual,
            NETLINK_AUDIT,
        )]),
        allow("socket")
            .since(V5_8)
            .without(AUDIT_WRITE)
            .when(&[compare(0, Operator::Equal, AF_NETLINK), compare(2, Operator::NotEqual, NETLINK_AUDIT)]),
        allow("socket").without(AUDIT_WRITE).when(&[compare(0, Operator::NotEqual, AF_NETLINK)]),
        allow("socket").until(V5_8).with(AUDIT_WRITE),
        allow("socket").since(V5_8).with(AUDIT_WRITE).when(&[compare(0, Operator::NotEqual, AF_VSOCK)]),
        group(EPERM, "bpf").since(V5_4).without(SYS_ADMIN).without(BPF),
        allow("bpf").since(V5_4).with(BPF),
        // Until 5.8 the refusal asked for CAP_BPF where CAP_PERFMON was meant (container-libs#424).
        group(EPERM, "perf_event_open").since(V5_4).until(V6_0).without(SYS_ADMIN).without(BPF),
        group(EPERM, "perf_event_open").since(V6_0).without(SYS_ADMIN).without(PERFMON),
        allow("perf_event_open").since(V5_4).with(PERFMON),
    ]
};

const PODMAN_NAMESPACES: &[Group] = &[allow("clone clone3 unshare")];

/// cri-o#5788.
const CRIO_NAMESPACES_UNTIL_1_31: &[Group] =
    &[allow("clone clone3"), allow("unshare").with(Capability::SYS_ADMIN)];

/// cri-o#8514, with the flags as the second argument on s390. Several comparisons of one argument are so many
/// rules: a clone with any of the flags is refused.
const CRIO_NAMESPACES: &[Group] = &[
    allow("clone clone3 unshare").with(Capability::SYS_ADMIN),
    allow("clone").not_on(S390).when(&[compare(0, Operator::MaskedEqual, NEW_NAMESPACES)]),
    allow("clone").on(S390).when(&[compare(1, Operator::MaskedEqual, NEW_NAMESPACES)]),
    group(EPERM, "clone").without(Capability::SYS_ADMIN).not_on(S390).when(&EACH_NEW_NAMESPACE[0]),
    group(EPERM, "clone").without(Capability::SYS_ADMIN).on(S390).when(&EACH_NEW_NAMESPACE[1]),
    group(ENOSYS, "clone3").without(Capability::SYS_ADMIN),
];

const fn new_namespace(index: u8, flag: u64) -> Comparison {
    Comparison { index, operator: Operator::MaskedEqual, value: flag, value_two: flag }
}

/// CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID and NEWNET, in the first and in the second argument.
const EACH_NEW_NAMESPACE: [[Comparison; 7]; 2] = {
    const fn each(index: u8) -> [Comparison; 7] {
        [
            new_namespace(index, 0x0002_0000),
            new_namespace(index, 0x0200_0000),
            new_namespace(index, 0x0400_0000),
            new_namespace(index, 0x0800_0000),
            new_namespace(index, 0x1000_0000),
            new_namespace(index, 0x2000_0000),
            new_namespace(index, 0x4000_0000),
        ]
    }
    [each(0), each(1)]
};

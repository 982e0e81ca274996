//! The types of events by their Falco names, as small integers, with their categories. Data: the event table of
//! falcosecurity/libs (`driver/event_table.c`) for events it takes apart, and the system calls of x86 and arm64 Linux
//! (`unistd.h`) for those it only names. Whoever has an event gives it one of these; rules are grouped by them.

use std::collections::HashMap;
use std::sync::LazyLock;

/// What a call is about. For input and output it follows the descriptor's type, which the event knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Category {
    File,
    IoRead,
    IoWrite,
    IoOther,
    Net,
    Ipc,
    Memory,
    Process,
    Signal,
    User,
    Time,
    Sleep,
    Wait,
    Scheduler,
    System,
    Internal,
    Other,
}

impl Category {
    /// As `evt.category` says it; None for input and output, which the descriptor decides (`file`, `net`, `ipc`).
    pub fn name(self) -> Option<&'static str> {
        Some(match self {
            Category::File => "file",
            Category::IoRead | Category::IoWrite | Category::IoOther => return None,
            Category::Net => "net",
            Category::Ipc => "ipc",
            Category::Memory => "memory",
            Category::Process => "process",
            Category::Signal => "signal",
            Category::User => "user",
            Category::Time => "time",
            Category::Sleep => "sleep",
            Category::Wait => "wait",
            Category::Scheduler => "scheduler",
            Category::System => "system",
            Category::Internal => "internal",
            Category::Other => "other",
        })
    }
}

macro_rules! event_types {
    ($($category:ident { $($variant:ident $name:literal,)* })*) => {
        /// The type of an event. `as u16` counts from 0 without gaps, up to [`EventType::COUNT`].
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u16)]
        pub enum EventType { $($($variant,)*)* }

        static TABLE: &[(EventType, &str, Category)] =
            &[$($((EventType::$variant, $name, Category::$category),)*)*];
    };
}

event_types! {
    File {
        Open "open", Openat "openat", Openat2 "openat2", Creat "creat", OpenByHandleAt "open_by_handle_at",
        Close "close", Stat "stat", Lstat "lstat", Fstat "fstat", Stat64 "stat64", Lstat64 "lstat64",
        Fstat64 "fstat64", Lseek "lseek", Llseek "llseek", Getcwd "getcwd", Chdir "chdir", Fchdir "fchdir",
        Mkdir "mkdir", Mkdirat "mkdirat", Rmdir "rmdir", Link "link", Linkat "linkat", Unlink "unlink",
        Unlinkat "unlinkat", Rename "rename", Renameat "renameat", Renameat2 "renameat2", Symlink "symlink",
        Symlinkat "symlinkat", Access "access", Chmod "chmod", Fchmod "fchmod", Fchmodat "fchmodat",
        Chown "chown", Lchown "lchown", Fchown "fchown", Fchownat "fchownat", Flock "flock", Mount "mount",
        Umount "umount", Umount2 "umount2", Chroot "chroot", Mknod "mknod", Mknodat "mknodat",
        Quotactl "quotactl", CopyFileRange "copy_file_range", Dup "dup", Dup2 "dup2", Dup3 "dup3",
        Fcntl "fcntl",
    }
    IoRead {
        Read "read", Readv "readv", Pread "pread", Preadv "preadv", Recv "recv", Recvfrom "recvfrom",
        Recvmsg "recvmsg", Recvmmsg "recvmmsg",
    }
    IoWrite {
        Write "write", Writev "writev", Pwrite "pwrite", Pwritev "pwritev", Send "send", Sendto "sendto",
        Sendmsg "sendmsg", Sendmmsg "sendmmsg", Sendfile "sendfile", Splice "splice",
    }
    IoOther {
        Ioctl "ioctl", IoUringSetup "io_uring_setup", IoUringEnter "io_uring_enter",
        IoUringRegister "io_uring_register",
    }
    Net {
        Socket "socket", Bind "bind", Connect "connect", Listen "listen", Accept "accept",
        Accept4 "accept4", Shutdown "shutdown", Getsockname "getsockname", Getpeername "getpeername",
        Setsockopt "setsockopt", Getsockopt "getsockopt",
    }
    Ipc {
        Socketpair "socketpair", Pipe "pipe", Pipe2 "pipe2", Eventfd "eventfd", Eventfd2 "eventfd2",
        Futex "futex", InotifyInit "inotify_init", InotifyInit1 "inotify_init1", Semop "semop",
        Semctl "semctl", Semget "semget",
    }
    Memory {
        Brk "brk", Mmap "mmap", Mmap2 "mmap2", Munmap "munmap", Mprotect "mprotect", Mlock "mlock",
        Mlock2 "mlock2", Munlock "munlock", Mlockall "mlockall", Munlockall "munlockall",
        PageFault "page_fault", Userfaultfd "userfaultfd", MemfdCreate "memfd_create",
    }
    Process {
        Clone "clone", Clone3 "clone3", Fork "fork", Vfork "vfork", Execve "execve", Execveat "execveat",
        Procexit "procexit", Prlimit "prlimit", Setrlimit "setrlimit", Getrlimit "getrlimit",
        Unshare "unshare", Setns "setns", Setpgid "setpgid", Setsid "setsid", Capset "capset",
        Ptrace "ptrace", Seccomp "seccomp", ProcessVmReadv "process_vm_readv",
        ProcessVmWritev "process_vm_writev", PidfdGetfd "pidfd_getfd", PidfdOpen "pidfd_open",
        Prctl "prctl", Procinfo "procinfo",
    }
    Signal {
        Kill "kill", Tkill "tkill", Tgkill "tgkill", Signalfd "signalfd", Signalfd4 "signalfd4",
        Signaldeliver "signaldeliver",
    }
    User {
        Setuid "setuid", Setgid "setgid", Setreuid "setreuid", Setregid "setregid", Setresuid "setresuid",
        Setresgid "setresgid", Getuid "getuid", Geteuid "geteuid", Getgid "getgid", Getegid "getegid",
        Getresuid "getresuid", Getresgid "getresgid", Useradded "useradded", Userdeleted "userdeleted",
        Groupadded "groupadded", Groupdeleted "groupdeleted",
    }
    Time {
        TimerfdCreate "timerfd_create",
    }
    Sleep {
        Nanosleep "nanosleep",
    }
    Wait {
        EpollWait "epoll_wait", EpollCreate "epoll_create", EpollCreate1 "epoll_create1", Poll "poll",
        Ppoll "ppoll", Select "select",
    }
    Scheduler {
        Switch "switch",
    }
    System {
        Bpf "bpf", InitModule "init_module", FinitModule "finit_module", DeleteModule "delete_module",
        Fsconfig "fsconfig", CpuHotplug "cpu_hotplug",
    }
    Internal {
        Drop "drop", Scapevent "scapevent", Container "container", K8s "k8s", Mesos "mesos",
        Tracer "tracer", Notification "notification", Infra "infra", Asyncevent "asyncevent",
        Pluginevent "pluginevent",
    }
    Other {
        Sysctl "_sysctl", Acct "acct", AddKey "add_key", Adjtimex "adjtimex", Alarm "alarm",
        ArchPrctl "arch_prctl", Bdflush "bdflush", Cachestat "cachestat", Capget "capget",
        ClockAdjtime "clock_adjtime", ClockAdjtime64 "clock_adjtime64", ClockGetres "clock_getres",
        ClockGetresTime64 "clock_getres_time64", ClockGettime "clock_gettime",
        ClockGettime64 "clock_gettime64", ClockNanosleep "clock_nanosleep",
        ClockNanosleepTime64 "clock_nanosleep_time64", ClockSettime "clock_settime",
        ClockSettime64 "clock_settime64", CloseRange "close_range", CreateModule "create_module",
        EpollCtl "epoll_ctl", EpollCtlOld "epoll_ctl_old", EpollPwait "epoll_pwait",
        EpollPwait2 "epoll_pwait2", EpollWaitOld "epoll_wait_old", Exit "exit", ExitGroup "exit_group",
        Faccessat "faccessat", Faccessat2 "faccessat2", Fadvise64 "fadvise64", Fadvise6464 "fadvise64_64",
        Fallocate "fallocate", FanotifyInit "fanotify_init", FanotifyMark "fanotify_mark",
        Fchmodat2 "fchmodat2", Fdatasync "fdatasync", Fgetxattr "fgetxattr", FileGetattr "file_getattr",
        FileSetattr "file_setattr", Flistxattr "flistxattr", Fremovexattr "fremovexattr",
        Fsetxattr "fsetxattr", Fsmount "fsmount", Fsopen "fsopen", Fspick "fspick", Fstatat64 "fstatat64",
        Fstatfs "fstatfs", Fstatfs64 "fstatfs64", Fsync "fsync", Ftruncate "ftruncate",
        Ftruncate64 "ftruncate64", FutexRequeue "futex_requeue", FutexTime64 "futex_time64",
        FutexWait "futex_wait", FutexWaitv "futex_waitv", FutexWake "futex_wake", Futimesat "futimesat",
        GetKernelSyms "get_kernel_syms", GetMempolicy "get_mempolicy", GetRobustList "get_robust_list",
        GetThreadArea "get_thread_area", Getcpu "getcpu", Getdents "getdents", Getdents64 "getdents64",
        Getgroups "getgroups", Getitimer "getitimer", Getpgid "getpgid", Getpgrp "getpgrp", Getpid "getpid",
        Getppid "getppid", Getpriority "getpriority", Getrandom "getrandom", Getrusage "getrusage",
        Getsid "getsid", Gettid "gettid", Gettimeofday "gettimeofday", Getxattr "getxattr",
        Getxattrat "getxattrat", InotifyAddWatch "inotify_add_watch", InotifyRmWatch "inotify_rm_watch",
        IoCancel "io_cancel", IoDestroy "io_destroy", IoGetevents "io_getevents",
        IoPgetevents "io_pgetevents", IoPgeteventsTime64 "io_pgetevents_time64", IoSetup "io_setup",
        IoSubmit "io_submit", Ioperm "ioperm", Iopl "iopl", IoprioGet "ioprio_get", IoprioSet "ioprio_set",
        Ipc "ipc", Kcmp "kcmp", KexecFileLoad "kexec_file_load", KexecLoad "kexec_load", Keyctl "keyctl",
        LandlockAddRule "landlock_add_rule", LandlockCreateRuleset "landlock_create_ruleset",
        LandlockRestrictSelf "landlock_restrict_self", Lgetxattr "lgetxattr", Listmount "listmount",
        Listxattr "listxattr", Listxattrat "listxattrat", Llistxattr "llistxattr",
        LookupDcookie "lookup_dcookie", Lremovexattr "lremovexattr", Lsetxattr "lsetxattr",
        LsmGetSelfAttr "lsm_get_self_attr", LsmListModules "lsm_list_modules",
        LsmSetSelfAttr "lsm_set_self_attr", Madvise "madvise", MapShadowStack "map_shadow_stack",
        Mbind "mbind", Membarrier "membarrier", MemfdSecret "memfd_secret", MigratePages "migrate_pages",
        Mincore "mincore", ModifyLdt "modify_ldt", MountSetattr "mount_setattr", MoveMount "move_mount",
        MovePages "move_pages", MqGetsetattr "mq_getsetattr", MqNotify "mq_notify", MqOpen "mq_open",
        MqTimedreceive "mq_timedreceive", MqTimedreceiveTime64 "mq_timedreceive_time64",
        MqTimedsend "mq_timedsend", MqTimedsendTime64 "mq_timedsend_time64", MqUnlink "mq_unlink",
        Mremap "mremap", Mseal "mseal", Msgctl "msgctl", Msgget "msgget", Msgrcv "msgrcv", Msgsnd "msgsnd",
        Msync "msync", NameToHandleAt "name_to_handle_at", Newfstatat "newfstatat", Nfsservctl "nfsservctl",
        Nice "nice", Oldfstat "oldfstat", Oldlstat "oldlstat", Oldolduname "oldolduname", Oldstat "oldstat",
        Olduname "olduname", OpenTree "open_tree", OpenTreeAttr "open_tree_attr", Pause "pause",
        PerfEventOpen "perf_event_open", Personality "personality", PidfdSendSignal "pidfd_send_signal",
        PivotRoot "pivot_root", PkeyAlloc "pkey_alloc", PkeyFree "pkey_free", PkeyMprotect "pkey_mprotect",
        PpollTime64 "ppoll_time64", Preadv2 "preadv2", ProcessMadvise "process_madvise",
        ProcessMrelease "process_mrelease", Pselect6 "pselect6", Pselect6Time64 "pselect6_time64",
        Pwritev2 "pwritev2", QueryModule "query_module", QuotactlFd "quotactl_fd", Readahead "readahead",
        Readdir "readdir", Readlink "readlink", Readlinkat "readlinkat", Reboot "reboot",
        RecvmmsgTime64 "recvmmsg_time64", RemapFilePages "remap_file_pages", Removexattr "removexattr",
        Removexattrat "removexattrat", RequestKey "request_key", RestartSyscall "restart_syscall",
        RiscvFlushIcache "riscv_flush_icache", RiscvHwprobe "riscv_hwprobe", Rseq "rseq",
        RtSigaction "rt_sigaction", RtSigpending "rt_sigpending", RtSigprocmask "rt_sigprocmask",
        RtSigqueueinfo "rt_sigqueueinfo", RtSigreturn "rt_sigreturn", RtSigsuspend "rt_sigsuspend",
        RtSigtimedwait "rt_sigtimedwait", RtSigtimedwaitTime64 "rt_sigtimedwait_time64",
        RtTgsigqueueinfo "rt_tgsigqueueinfo", S390GuardedStorage "s390_guarded_storage",
        S390PciMmioRead "s390_pci_mmio_read", S390PciMmioWrite "s390_pci_mmio_write",
        S390RuntimeInstr "s390_runtime_instr", S390Sthyi "s390_sthyi",
        SchedGetPriorityMax "sched_get_priority_max", SchedGetPriorityMin "sched_get_priority_min",
        SchedGetaffinity "sched_getaffinity", SchedGetattr "sched_getattr", SchedGetparam "sched_getparam",
        SchedGetscheduler "sched_getscheduler", SchedRrGetInterval "sched_rr_get_interval",
        SchedRrGetIntervalTime64 "sched_rr_get_interval_time64", SchedSetaffinity "sched_setaffinity",
        SchedSetattr "sched_setattr", SchedSetparam "sched_setparam",
        SchedSetscheduler "sched_setscheduler", SchedYield "sched_yield", Semtimedop "semtimedop",
        SemtimedopTime64 "semtimedop_time64", SetMempolicy "set_mempolicy",
        SetMempolicyHomeNode "set_mempolicy_home_node", SetRobustList "set_robust_list",
        SetThreadArea "set_thread_area", SetTidAddress "set_tid_address", Setdomainname "setdomainname",
        Setfsgid "setfsgid", Setfsuid "setfsuid", Setgroups "setgroups", Sethostname "sethostname",
        Setitimer "setitimer", Setpriority "setpriority", Settimeofday "settimeofday", Setxattr "setxattr",
        Setxattrat "setxattrat", Sgetmask "sgetmask", Shmat "shmat", Shmctl "shmctl", Shmdt "shmdt",
        Shmget "shmget", Sigaction "sigaction", Sigaltstack "sigaltstack", Signal "signal",
        Sigpending "sigpending", Sigprocmask "sigprocmask", Sigreturn "sigreturn", Sigsuspend "sigsuspend",
        Socketcall "socketcall", Ssetmask "ssetmask", Statfs "statfs", Statfs64 "statfs64",
        Statmount "statmount", Statx "statx", Stime "stime", Swapoff "swapoff", Swapon "swapon",
        Sync "sync", SyncFileRange "sync_file_range", SyncFileRange2 "sync_file_range2", Syncfs "syncfs",
        Sysfs "sysfs", Sysinfo "sysinfo", Syslog "syslog", Tee "tee", Time "time",
        TimerCreate "timer_create", TimerDelete "timer_delete", TimerGetoverrun "timer_getoverrun",
        TimerGettime "timer_gettime", TimerGettime64 "timer_gettime64", TimerSettime "timer_settime",
        TimerSettime64 "timer_settime64", TimerfdGettime "timerfd_gettime",
        TimerfdGettime64 "timerfd_gettime64", TimerfdSettime "timerfd_settime",
        TimerfdSettime64 "timerfd_settime64", Times "times", Truncate "truncate", Truncate64 "truncate64",
        Umask "umask", Uname "uname", Uretprobe "uretprobe", Uselib "uselib", Ustat "ustat", Utime "utime",
        Utimensat "utimensat", UtimensatTime64 "utimensat_time64", Utimes "utimes", Vhangup "vhangup",
        Vm86 "vm86", Vm86old "vm86old", Vmsplice "vmsplice", Wait4 "wait4", Waitid "waitid",
        Waitpid "waitpid", Syscall "syscall",
    }
}

/// Other names of system calls, and the type their events have.
static ALIASES: &[(&str, EventType)] = &[
    ("_llseek", EventType::Llseek),
    ("_newselect", EventType::Select),
    ("chown32", EventType::Chown),
    ("fchown32", EventType::Fchown),
    ("fcntl64", EventType::Fcntl),
    ("getegid32", EventType::Getegid),
    ("geteuid32", EventType::Geteuid),
    ("getgid32", EventType::Getgid),
    ("getgroups32", EventType::Getgroups),
    ("getresgid32", EventType::Getresgid),
    ("getresuid32", EventType::Getresuid),
    ("getuid32", EventType::Getuid),
    ("lchown32", EventType::Lchown),
    ("pread64", EventType::Pread),
    ("prlimit64", EventType::Prlimit),
    ("pwrite64", EventType::Pwrite),
    ("sendfile64", EventType::Sendfile),
    ("setfsgid32", EventType::Setfsgid),
    ("setfsuid32", EventType::Setfsuid),
    ("setgid32", EventType::Setgid),
    ("setgroups32", EventType::Setgroups),
    ("setregid32", EventType::Setregid),
    ("setresgid32", EventType::Setresgid),
    ("setresuid32", EventType::Setresuid),
    ("setreuid32", EventType::Setreuid),
    ("setuid32", EventType::Setuid),
    ("ugetrlimit", EventType::Getrlimit),
];

static BY_NAME: LazyLock<HashMap<&'static str, EventType>> =
    LazyLock::new(|| TABLE.iter().map(|row| (row.1, row.0)).chain(ALIASES.iter().copied()).collect());

impl EventType {
    pub const COUNT: usize = TABLE.len();

    /// As `evt.type` says it.
    pub fn name(self) -> &'static str {
        TABLE[self as usize].1
    }

    pub fn category(self) -> Category {
        TABLE[self as usize].2
    }

    /// By its name, or by another name of the same system call (`pread64` is `pread`).
    pub fn by_name(name: &str) -> Option<EventType> {
        BY_NAME.get(name).copied()
    }

    pub fn all() -> impl Iterator<Item = EventType> {
        TABLE.iter().map(|row| row.0)
    }

    /// Whether it is a system call; only then `syscall.type` has a value.
    pub fn is_system_call(self) -> bool {
        !matches!(
            self,
            EventType::Asyncevent
                | EventType::Container
                | EventType::CpuHotplug
                | EventType::Drop
                | EventType::Groupadded
                | EventType::Groupdeleted
                | EventType::Infra
                | EventType::K8s
                | EventType::Mesos
                | EventType::Notification
                | EventType::PageFault
                | EventType::Pluginevent
                | EventType::Procexit
                | EventType::Procinfo
                | EventType::Scapevent
                | EventType::Signaldeliver
                | EventType::Switch
                | EventType::Tracer
                | EventType::Useradded
                | EventType::Userdeleted
        )
    }
}

/// A set of event types.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct TypeSet([u64; EventType::COUNT.div_ceil(64)]);

impl TypeSet {
    pub fn none() -> TypeSet {
        TypeSet([0; EventType::COUNT.div_ceil(64)])
    }

    pub fn all() -> TypeSet {
        EventType::all().collect()
    }

    pub fn insert(&mut self, event_type: EventType) {
        let bit = event_type as usize;
        self.0[bit / 64] |= 1 << (bit % 64);
    }

    pub fn contains(&self, event_type: EventType) -> bool {
        let bit = event_type as usize;
        self.0[bit / 64] & (1 << (bit % 64)) != 0
    }

    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    pub fn len(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }

    pub fn iter(&self) -> impl Iterator<Item = EventType> + '_ {
        EventType::all().filter(|t| self.contains(*t))
    }

    pub fn union(&self, other: &TypeSet) -> TypeSet {
        TypeSet(std::array::from_fn(|i| self.0[i] | other.0[i]))
    }

    pub fn intersection(&self, other: &TypeSet) -> TypeSet {
        TypeSet(std::array::from_fn(|i| self.0[i] & other.0[i]))
    }

    pub fn complement(&self) -> TypeSet {
        EventType::all().filter(|t| !self.contains(*t)).collect()
    }
}

impl FromIterator<EventType> for TypeSet {
    fn from_iter<I: IntoIterator<Item = EventType>>(types: I) -> TypeSet {
        let mut set = TypeSet::none();
        for event_type in types {
            set.insert(event_type);
        }
        set
    }
}

impl std::fmt::Debug for TypeSet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.iter().map(EventType::name)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_is_found_by_its_name_and_numbered_without_gaps() {
        for (index, event_type) in EventType::all().enumerate() {
            assert_eq!(event_type as usize, index);
            assert_eq!(EventType::by_name(event_type.name()), Some(event_type));
        }
        assert_eq!(EventType::by_name("pread64"), Some(EventType::Pread));
        assert_eq!(EventType::by_name("opne"), None);
    }

    #[test]
    fn a_set_and_its_complement_share_nothing_and_together_are_all() {
        let set: TypeSet = [EventType::Openat, EventType::Syscall].into_iter().collect();
        assert_eq!(set.len(), 2);
        assert!(set.intersection(&set.complement()).is_empty());
        assert_eq!(set.union(&set.complement()), TypeSet::all());
    }
}

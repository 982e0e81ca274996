//! Barriers: the mechanisms that hold a false condition shut. Two conditions of one barrier fall together.

use std::fmt;

use serde::{Serialize, Serializer};

macro_rules! barriers {
    ($($(#[$doc:meta])* $name:ident = $text:literal),* $(,)?) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Barrier { $($(#[$doc])* $name),* }

        impl Barrier {
            pub const ALL: &'static [Barrier] = &[$(Barrier::$name),*];
            /// The name in output, in the words of the manual pages.
            pub const fn name(self) -> &'static str {
                match self { $(Barrier::$name => $text),* }
            }
        }
    };
}

barriers! {
    /// The container's view of files: its mount namespace, read-only and masked paths.
    MountNamespace = "mount namespace",
    UserNamespace = "user namespace",
    /// Not being root, and no_new_privs, which keeps it so.
    Identity = "identity",
    Capabilities = "capabilities",
    Seccomp = "seccomp",
    /// AppArmor or SELinux.
    Lsm = "LSM",
    DeviceCgroup = "device cgroup",
    PidNamespace = "pid namespace",
    NetworkNamespace = "network namespace",
    IpcNamespace = "ipc namespace",
    UtsNamespace = "uts namespace",
    CgroupNamespace = "cgroup namespace",
    TimeNamespace = "time namespace",
    /// Whether an API asks its callers who they are and what they may do.
    Authorization = "API authorization",
    NetworkReach = "network reach",
    /// Settings of the host's kernel: sysctls, lockdown, cgroup version.
    KernelSettings = "kernel settings",
    /// A kernel of its own between the container and the host's: gVisor, Kata Containers.
    SandboxKernel = "sandbox kernel",
    ResourceLimits = "resource limits",
    ImageTrust = "image trust",
    /// Nobody with an account on the host is in league with the program inside.
    HostAccounts = "host accounts",
}

impl fmt::Display for Barrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Serialize for Barrier {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// A set of barriers: a cut set, or what still stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Barriers(pub u32);

impl Barriers {
    pub const NONE: Barriers = Barriers(0);

    #[must_use]
    pub fn with(self, barrier: Barrier) -> Barriers {
        Barriers(self.0 | 1 << barrier as u8)
    }
    pub fn has(self, barrier: Barrier) -> bool {
        self.0 & (1 << barrier as u8) != 0
    }
    pub fn len(self) -> u32 {
        self.0.count_ones()
    }
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
    pub fn is_subset(self, of: Barriers) -> bool {
        self.0 & !of.0 == 0
    }
    pub fn iter(self) -> impl Iterator<Item = Barrier> {
        Barrier::ALL.iter().copied().filter(move |b| self.has(*b))
    }
}

impl Serialize for Barriers {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

//! Capabilities: the names of capabilities(7) and the five sets a process has.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A set of capabilities, one bit each in the kernel's numbering (`linux/capability.h`), so that the value is
/// what `/proc/PID/status` prints.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CapabilitySet(pub u64);

macro_rules! capabilities {
    ($($name:ident = $number:literal),* $(,)?) => {
        /// One capability, spelled as capabilities(7) spells it, without `CAP_`.
        #[allow(non_camel_case_types, clippy::upper_case_acronyms)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[repr(u8)]
        pub enum Capability { $($name = $number),* }

        impl Capability {
            /// Every capability the kernel knows, in its numbering.
            pub const ALL: &'static [Capability] = &[$(Capability::$name),*];
            /// The name without `CAP_`.
            pub const fn name(self) -> &'static str {
                match self { $(Capability::$name => stringify!($name)),* }
            }
        }
    };
}

capabilities! {
    CHOWN = 0, DAC_OVERRIDE = 1, DAC_READ_SEARCH = 2, FOWNER = 3, FSETID = 4, KILL = 5, SETGID = 6, SETUID = 7,
    SETPCAP = 8, LINUX_IMMUTABLE = 9, NET_BIND_SERVICE = 10, NET_BROADCAST = 11, NET_ADMIN = 12, NET_RAW = 13,
    IPC_LOCK = 14, IPC_OWNER = 15, SYS_MODULE = 16, SYS_RAWIO = 17, SYS_CHROOT = 18, SYS_PTRACE = 19,
    SYS_PACCT = 20, SYS_ADMIN = 21, SYS_BOOT = 22, SYS_NICE = 23, SYS_RESOURCE = 24, SYS_TIME = 25,
    SYS_TTY_CONFIG = 26, MKNOD = 27, LEASE = 28, AUDIT_WRITE = 29, AUDIT_CONTROL = 30, SETFCAP = 31,
    MAC_OVERRIDE = 32, MAC_ADMIN = 33, SYSLOG = 34, WAKE_ALARM = 35, BLOCK_SUSPEND = 36, AUDIT_READ = 37,
    PERFMON = 38, BPF = 39, CHECKPOINT_RESTORE = 40,
}

impl Capability {
    /// Reads a name in any of the spellings engines accept: `SYS_ADMIN`, `CAP_SYS_ADMIN`, any case.
    /// `ALL` is not a capability; see [`CapabilitySet::ALL`].
    pub fn parse(name: &str) -> Option<Capability> {
        let upper = name.trim().to_ascii_uppercase();
        let bare = upper.strip_prefix("CAP_").unwrap_or(&upper);
        Capability::ALL.iter().copied().find(|c| c.name() == bare)
    }
    pub fn from_number(number: u8) -> Option<Capability> {
        Capability::ALL.get(number as usize).copied()
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CAP_{}", self.name())
    }
}

impl CapabilitySet {
    pub const EMPTY: CapabilitySet = CapabilitySet(0);
    /// All 41 capabilities of Linux 5.9 and later.
    pub const ALL: CapabilitySet = CapabilitySet((1 << 41) - 1);

    pub const fn of(list: &[Capability]) -> CapabilitySet {
        let mut bits = 0;
        let mut i = 0;
        while i < list.len() {
            bits |= 1 << list[i] as u8;
            i += 1;
        }
        CapabilitySet(bits)
    }
    pub const fn has(self, cap: Capability) -> bool {
        self.0 & (1 << cap as u8) != 0
    }
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
    #[must_use]
    pub const fn with(self, cap: Capability) -> CapabilitySet {
        CapabilitySet(self.0 | 1 << cap as u8)
    }
    #[must_use]
    pub const fn without(self, cap: Capability) -> CapabilitySet {
        CapabilitySet(self.0 & !(1 << cap as u8))
    }
    #[must_use]
    pub const fn union(self, other: CapabilitySet) -> CapabilitySet {
        CapabilitySet(self.0 | other.0)
    }
    #[must_use]
    pub const fn minus(self, other: CapabilitySet) -> CapabilitySet {
        CapabilitySet(self.0 & !other.0)
    }
    pub fn iter(self) -> impl Iterator<Item = Capability> {
        Capability::ALL.iter().copied().filter(move |c| self.has(*c))
    }
}

impl fmt::Debug for CapabilitySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// Prints `all`, `none`, or the names separated by spaces.
impl fmt::Display for CapabilitySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 & CapabilitySet::ALL.0 == CapabilitySet::ALL.0 {
            return f.write_str("all");
        }
        if self.is_empty() {
            return f.write_str("none");
        }
        for (i, c) in self.iter().enumerate() {
            if i > 0 {
                f.write_str(" ")?;
            }
            f.write_str(c.name())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_engines_accept_names_the_same_capability() {
        for s in ["SYS_ADMIN", "CAP_SYS_ADMIN", "cap_sys_admin", "sys_admin", " Sys_Admin"] {
            assert_eq!(Capability::parse(s), Some(Capability::SYS_ADMIN), "{s}");
        }
        assert_eq!(Capability::parse("ALL"), None);
        assert_eq!(Capability::parse("CAP_CAP_CHOWN"), None);
    }

    #[test]
    fn numbers_are_the_kernels() {
        for (i, c) in Capability::ALL.iter().enumerate() {
            assert_eq!(*c as usize, i);
        }
        assert_eq!(CapabilitySet::ALL.0, 0x1ff_ffff_ffff);
    }
}

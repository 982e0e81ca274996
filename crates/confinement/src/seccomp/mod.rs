//! Seccomp by content: which system calls, with which arguments, a profile really lets through.
//!
//! Profiles come from three places: a file an operator names ([`Profile::from_json`]: the format Docker,
//! Podman and CRI-O share, and the `linux.seccomp` object of an OCI `config.json`), an engine's built-in
//! profile ([`Builtin`]), and code ([`Profile::new`]). [`Profile::resolve`] does what an engine does before
//! the container starts (drop the rules whose capability, architecture or kernel condition does not hold) and
//! the [`Resolved`] filter answers questions as the kernel would, by modelling how libseccomp turns rules
//! into a program (`chain`, `program`). It goes to the conditions of `techniques`.
//!
//! What is not modelled: a system call the runtime's libseccomp is too old to know (its rules are skipped, so
//! the default action applies), and runc's answer of `ENOSYS` instead of the default errno for calls newer
//! than the newest one the profile names. Neither turns a refusal into a permission.

mod builtin;
mod chain;
mod json;
mod program;
mod resolve;
mod satisfy;

use std::borrow::Cow;
use std::fmt;

use crate::capability::CapabilitySet;
use crate::fact::Truth;

pub use builtin::{Builtin, Containerd, Crio, Docker, Podman};
pub use json::ProfileError;
pub use resolve::Resolved;

/// An architecture as libseccomp names it (`SCMP_ARCH_*`): an instruction set together with a system call
/// ABI.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Architecture {
    X86,
    X86_64,
    X32,
    Arm,
    Aarch64,
    LoongArch64,
    M68k,
    Mips,
    MipsN32,
    Mips64,
    Mipsel,
    MipselN32,
    Mipsel64,
    Parisc,
    Parisc64,
    Ppc,
    Ppc64,
    Ppc64le,
    Riscv64,
    S390,
    S390x,
    Sh,
    Sheb,
}

/// How one architecture is spelled: OCI runtime-spec `config-linux.md` (`SCMP_ARCH_*`), and the name that
/// `includes.arches` and `excludes.arches` use (moby/profiles `seccomp_linux.go`, `goToNative`; Podman asks
/// libseccomp for the same names).
struct Spelling(Architecture, &'static str, &'static str);

const SPELLINGS: &[Spelling] = &[
    Spelling(Architecture::X86, "SCMP_ARCH_X86", "x86"),
    Spelling(Architecture::X86_64, "SCMP_ARCH_X86_64", "amd64"),
    Spelling(Architecture::X32, "SCMP_ARCH_X32", "x32"),
    Spelling(Architecture::Arm, "SCMP_ARCH_ARM", "arm"),
    Spelling(Architecture::Aarch64, "SCMP_ARCH_AARCH64", "arm64"),
    Spelling(Architecture::LoongArch64, "SCMP_ARCH_LOONGARCH64", "loongarch64"),
    Spelling(Architecture::M68k, "SCMP_ARCH_M68K", "m68k"),
    Spelling(Architecture::Mips, "SCMP_ARCH_MIPS", "mips"),
    Spelling(Architecture::MipsN32, "SCMP_ARCH_MIPS64N32", "mips64n32"),
    Spelling(Architecture::Mips64, "SCMP_ARCH_MIPS64", "mips64"),
    Spelling(Architecture::Mipsel, "SCMP_ARCH_MIPSEL", "mipsel"),
    Spelling(Architecture::MipselN32, "SCMP_ARCH_MIPSEL64N32", "mipsel64n32"),
    Spelling(Architecture::Mipsel64, "SCMP_ARCH_MIPSEL64", "mipsel64"),
    Spelling(Architecture::Parisc, "SCMP_ARCH_PARISC", "parisc"),
    Spelling(Architecture::Parisc64, "SCMP_ARCH_PARISC64", "parisc64"),
    Spelling(Architecture::Ppc, "SCMP_ARCH_PPC", "ppc"),
    Spelling(Architecture::Ppc64, "SCMP_ARCH_PPC64", "ppc64"),
    Spelling(Architecture::Ppc64le, "SCMP_ARCH_PPC64LE", "ppc64le"),
    Spelling(Architecture::Riscv64, "SCMP_ARCH_RISCV64", "riscv64"),
    Spelling(Architecture::S390, "SCMP_ARCH_S390", "s390"),
    Spelling(Architecture::S390x, "SCMP_ARCH_S390X", "s390x"),
    Spelling(Architecture::Sh, "SCMP_ARCH_SH", "sh"),
    Spelling(Architecture::Sheb, "SCMP_ARCH_SHEB", "sheb"),
];

impl Architecture {
    /// From the OCI spelling, such as `SCMP_ARCH_X86_64`.
    pub fn from_oci(name: &str) -> Option<Architecture> {
        SPELLINGS.iter().find(|s| s.1 == name).map(|s| s.0)
    }
    /// From the spelling of `includes.arches`, such as `amd64`.
    pub fn from_engine_name(name: &str) -> Option<Architecture> {
        SPELLINGS.iter().find(|s| s.2 == name).map(|s| s.0)
    }
    /// From what `uname -m` prints.
    pub fn from_machine(name: &str) -> Option<Architecture> {
        Some(match name {
            "x86_64" => Architecture::X86_64,
            "i386" | "i486" | "i586" | "i686" => Architecture::X86,
            "aarch64" | "arm64" => Architecture::Aarch64,
            "ppc64le" => Architecture::Ppc64le,
            "ppc64" => Architecture::Ppc64,
            "s390x" => Architecture::S390x,
            "riscv64" => Architecture::Riscv64,
            "loongarch64" => Architecture::LoongArch64,
            arm if arm.starts_with("armv") => Architecture::Arm,
            _ => return None,
        })
    }
    /// The name that profiles use in `includes.arches`.
    pub fn engine_name(self) -> &'static str {
        SPELLINGS.iter().find(|s| s.0 == self).map_or("", |s| s.2)
    }
    /// Whether a system call argument has 64 bits in this ABI (libseccomp `arch_def.size`).
    pub fn has_64_bit_arguments(self) -> bool {
        use Architecture::*;
        match self {
            X86_64 | Aarch64 | LoongArch64 | Mips64 | Mipsel64 | Parisc64 | Ppc64 | Ppc64le | Riscv64
            | S390x => true,
            X86 | X32 | Arm | M68k | Mips | MipsN32 | Mipsel | MipselN32 | Parisc | Ppc | S390 | Sh
            | Sheb => false,
        }
    }
    /// Whether the kernel has `socketcall(2)` and `ipc(2)` here, which carry the real call behind a pointer
    /// that a filter cannot follow (libseccomp: the architectures whose `rule_add` is `abi_rule_add`).
    pub fn multiplexes(self) -> bool {
        use Architecture::*;
        matches!(self, X86 | Mips | Mipsel | Ppc | Ppc64 | Ppc64le | S390 | S390x | M68k | Sh | Sheb)
    }
}

/// What the kernel does with a system call, seccomp(2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    Allow,
    /// Permits, and writes an audit record.
    Log,
    /// A supervisor outside decides.
    Notify,
    /// A tracer decides; without one the call fails with `ENOSYS`.
    Trace,
    Errno(u16),
    Trap,
    KillThread,
    KillProcess,
}

impl Action {
    /// Whether the call goes ahead. Unknown where somebody else decides: a supervisor, or a tracer, which any
    /// process of the container may be where ptrace(2) is permitted.
    pub fn permits(self) -> Truth {
        match self {
            Action::Allow | Action::Log => Truth::True,
            Action::Notify | Action::Trace => Truth::Unknown,
            Action::Errno(_) | Action::Trap | Action::KillThread | Action::KillProcess => Truth::False,
        }
    }
}

/// How a rule compares an argument (`SCMP_CMP_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operator {
    NotEqual,
    Less,
    LessOrEqual,
    Equal,
    GreaterOrEqual,
    Greater,
    /// `argument & value == value_two`
    MaskedEqual,
}

const OPERATORS: &[(Operator, &str)] = &[
    (Operator::NotEqual, "SCMP_CMP_NE"),
    (Operator::Less, "SCMP_CMP_LT"),
    (Operator::LessOrEqual, "SCMP_CMP_LE"),
    (Operator::Equal, "SCMP_CMP_EQ"),
    (Operator::GreaterOrEqual, "SCMP_CMP_GE"),
    (Operator::Greater, "SCMP_CMP_GT"),
    (Operator::MaskedEqual, "SCMP_CMP_MASKED_EQ"),
];

impl Operator {
    pub fn from_oci(name: &str) -> Option<Operator> {
        OPERATORS.iter().find(|(_, n)| *n == name).map(|(o, _)| *o)
    }
    /// The name that profiles use.
    pub fn oci_name(self) -> &'static str {
        OPERATORS.iter().find(|(o, _)| *o == self).map_or("", |(_, n)| n)
    }
}

/// One condition on one argument. All values are unsigned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Comparison {
    /// 0 to 5.
    pub index: u8,
    pub operator: Operator,
    pub value: u64,
    /// Read by [`Operator::MaskedEqual`] only.
    pub value_two: u64,
}

/// When a rule of a profile is taken into the filter, or left out. An empty scope says nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Scope {
    /// Compared with the *bounding* set, not with what is effective (moby/profiles `seccomp_linux.go`,
    /// container-libs `seccomp_linux.go`).
    pub capabilities: CapabilitySet,
    /// A capability is named that no container can have, or in a spelling engines do not match (they compare
    /// whole strings: `SYS_ADMIN` is not `CAP_SYS_ADMIN`).
    pub names_no_capability: bool,
    /// The native architectures; `None` means any. A list may be empty of known names, and then matches none.
    pub architectures: Option<Vec<Architecture>>,
    /// This kernel version or later.
    pub min_kernel: Option<(u32, u32)>,
}

/// One rule: if the call is one of `names` and every comparison holds, `action`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Rule {
    pub names: Vec<Cow<'static, str>>,
    pub action: Action,
    pub comparisons: Vec<Comparison>,
    /// All of it must hold.
    pub includes: Scope,
    /// None of it may hold.
    pub excludes: Scope,
}

/// Which architectures the filter covers. The native one always is; on any other the kernel kills the thread.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Coverage {
    /// OCI `architectures`: these, whatever the host is.
    Listed(Vec<Architecture>),
    /// Docker's `archMap`: the native architecture brings the others with it.
    Mapped(Vec<(Architecture, Vec<Architecture>)>),
}

/// A seccomp profile as it is written: before an engine has looked at the container and the host.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Profile {
    default: Action,
    coverage: Coverage,
    rules: Vec<Rule>,
    flags: Vec<String>,
    /// Docker and Podman take a profile with neither a default action nor system calls as "no seccomp".
    disabled: bool,
    /// Every name with the rules that carry it, ordered by name, then by place in the profile.
    index: Vec<Mention>,
}

/// One name in one rule.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Mention {
    name: Cow<'static, str>,
    rule: u32,
    place: u32,
}

impl Profile {
    pub fn new(default: Action, coverage: Coverage, rules: Vec<Rule>) -> Profile {
        let mut index: Vec<Mention> = (0..)
            .zip(&rules)
            .flat_map(|(rule, r)| {
                (0..).zip(&r.names).map(move |(place, n)| Mention { name: n.clone(), rule, place })
            })
            .collect();
        index.sort_unstable();
        Profile { default, coverage, rules, flags: Vec::new(), disabled: false, index }
    }
    /// The absence of seccomp: everything is permitted.
    pub fn unconfined() -> Profile {
        Profile { disabled: true, ..Profile::new(Action::Allow, Coverage::Listed(Vec::new()), Vec::new()) }
    }
    /// Whether the profile switches seccomp off rather than filtering anything.
    pub fn is_disabled(&self) -> bool {
        self.disabled
    }
    pub fn default_action(&self) -> Action {
        self.default
    }
    pub fn coverage(&self) -> &Coverage {
        &self.coverage
    }
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }
    /// `SECCOMP_FILTER_FLAG_*` as written.
    pub fn flags(&self) -> &[String] {
        &self.flags
    }
    /// Every system call that a rule names, each once, in order.
    pub fn syscalls(&self) -> impl Iterator<Item = &str> {
        let mut last = None;
        self.index.iter().map(|m| &*m.name).filter(move |name| last.replace(*name) != Some(*name))
    }
    /// The filter that the engine would load for a container with this bounding set, on this native
    /// architecture and kernel. An unknown kernel makes only those answers unknown that depend on it.
    pub fn resolve(
        &self,
        bounding: CapabilitySet,
        native: Architecture,
        kernel: Option<(u32, u32)>,
    ) -> Resolved<'_> {
        Resolved::new(self, bounding, native, kernel)
    }

    fn mentions(&self, name: &str) -> &[Mention] {
        let start = self.index.partition_point(|m| &*m.name < name);
        let rest = &self.index[start..];
        &rest[..rest.partition_point(|m| &*m.name == name)]
    }
}

/// What is known of one argument: of the bits in `mask`, that they are those of `value`. The default knows
/// nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Argument {
    mask: u64,
    value: u64,
}

impl Argument {
    pub const ANY: Argument = Argument { mask: 0, value: 0 };
    pub const fn known(value: u64) -> Argument {
        Argument { mask: u64::MAX, value }
    }
    /// The bits in `mask` are those of `value`; the others may be anything.
    pub const fn bits(mask: u64, value: u64) -> Argument {
        Argument { mask, value: value & mask }
    }
}

/// What is known of the six arguments of a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Arguments(pub [Argument; 6]);

impl Arguments {
    /// Any call of that name.
    pub const ANY: Arguments = Arguments([Argument::ANY; 6]);

    /// These values from the first argument on; the rest may be anything.
    pub const fn of(values: &[u64]) -> Arguments {
        let mut arguments = Arguments::ANY;
        let mut i = 0;
        while i < values.len() && i < 6 {
            arguments.0[i] = Argument::known(values[i]);
            i += 1;
        }
        arguments
    }
    /// The same with one more argument known. An index beyond 5 changes nothing.
    #[must_use]
    pub const fn with(mut self, index: usize, argument: Argument) -> Arguments {
        if index < 6 {
            self.0[index] = argument;
        }
        self
    }
}

impl fmt::Display for Action {
    /// The name that profiles use, with the errno where there is one.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Action::Allow => "SCMP_ACT_ALLOW",
            Action::Log => "SCMP_ACT_LOG",
            Action::Notify => "SCMP_ACT_NOTIFY",
            Action::Trace => "SCMP_ACT_TRACE",
            Action::Errno(errno) => return write!(f, "SCMP_ACT_ERRNO({errno})"),
            Action::Trap => "SCMP_ACT_TRAP",
            Action::KillThread => "SCMP_ACT_KILL_THREAD",
            Action::KillProcess => "SCMP_ACT_KILL_PROCESS",
        })
    }
}

//! What an engine makes of a profile for one container on one host, and the questions that can be asked of
//! it.

use super::chain::{Chain, Contradiction};
use super::program::Program;
use super::{Action, Architecture, Arguments, Comparison, Coverage, Mention, Profile, Rule, Scope, satisfy};
use crate::capability::CapabilitySet;
use crate::fact::Truth;

/// A profile as it is loaded: rules chosen by bounding set, native architecture and kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved<'p> {
    profile: &'p Profile,
    native: Architecture,
    architectures: Vec<Architecture>,
    /// Which rules are taken. More than one where an unknown kernel decides: one choice for each range of
    /// kernel versions that the profile tells apart.
    choices: Vec<Vec<bool>>,
}

impl<'p> Resolved<'p> {
    pub(super) fn new(
        profile: &'p Profile,
        bounding: CapabilitySet,
        native: Architecture,
        kernel: Option<(u32, u32)>,
    ) -> Resolved<'p> {
        let taken = |kernel| profile.rules.iter().map(|r| applies(r, bounding, native, kernel)).collect();
        let mut choices: Vec<Vec<bool>> = match kernel {
            Some(version) => vec![taken(version)],
            None => kernels_told_apart(profile).into_iter().map(taken).collect(),
        };
        choices.dedup();
        Resolved { profile, native, architectures: covered(&profile.coverage, native), choices }
    }

    /// The architectures whose calls are filtered by rules, the native one first. Calls of any other kill.
    pub fn architectures(&self) -> &[Architecture] {
        &self.architectures
    }

    /// The rules that are taken, in the order of the profile; with an unknown kernel, those that any kernel
    /// takes.
    pub fn rules(&self) -> impl Iterator<Item = &'p Rule> {
        let taken = |i: usize| self.choices.iter().any(|c| c.get(i).copied().unwrap_or(false));
        self.profile.rules.iter().enumerate().filter(move |(i, _)| taken(*i)).map(|(_, r)| r)
    }

    /// Whether there are arguments, among those that `arguments` allows, with which a native call of this
    /// name is permitted. Unknown where a supervisor, a tracer or an unknown kernel decides, and where the
    /// rules of the call contradict each other so that no runtime would load them.
    pub fn permits(&self, syscall: &str, arguments: &Arguments) -> Truth {
        self.permits_on(self.native, syscall, arguments)
    }

    /// The same for a call made through another architecture's ABI, such as a 32-bit program on a 64-bit
    /// kernel. There, `socketcall` and `ipc` carry a call whose arguments no rule can see: `permits_on(X86,
    /// "socketcall", &Arguments::of(&[1]))` is whether any socket can be made.
    pub fn permits_on(&self, architecture: Architecture, syscall: &str, arguments: &Arguments) -> Truth {
        if is_multiplexer(syscall) && !architecture.multiplexes() {
            return Truth::False;
        }
        if self.profile.disabled {
            return Truth::True;
        }
        if !self.architectures.contains(&architecture) {
            return Truth::False;
        }
        let answer = |choice: &Vec<bool>| match self.chain(architecture, syscall, choice) {
            Ok(chain) => satisfy::some_permitted(&Program::new(&chain, self.profile.default), arguments),
            Err(Contradiction) => Truth::Unknown,
        };
        agreed(self.choices.iter().map(answer)).unwrap_or(Truth::Unknown)
    }

    /// What the kernel does with exactly this native call; `None` where an unknown kernel version decides or
    /// the rules contradict each other.
    pub fn action(&self, syscall: &str, arguments: &[u64; 6]) -> Option<Action> {
        self.action_on(self.native, syscall, arguments)
    }

    /// The same through another architecture's ABI.
    pub fn action_on(
        &self,
        architecture: Architecture,
        syscall: &str,
        arguments: &[u64; 6],
    ) -> Option<Action> {
        if self.profile.disabled {
            return Some(Action::Allow);
        }
        if !self.architectures.contains(&architecture) {
            return Some(Action::KillThread);
        }
        agreed(self.choices.iter().map(|choice| {
            let chain = self.chain(architecture, syscall, choice).ok()?;
            Some(satisfy::exact(&Program::new(&chain, self.profile.default), arguments))
        }))
        .flatten()
    }

    /// The rules of one call, in the order of the profile, as a runtime hands them to libseccomp (runc
    /// `libcontainer/seccomp/seccomp_linux.go`, crun `src/libcrun/seccomp.c`).
    fn chain(&self, architecture: Architecture, name: &str, choice: &[bool]) -> Result<Chain, Contradiction> {
        let mut chain = Chain::default();
        let wide = architecture.has_64_bit_arguments();
        for (mention, behind) in self.mentions(architecture, name) {
            let Some(rule) = self.profile.rules.get(mention.rule as usize) else { continue };
            let taken = choice.get(mention.rule as usize).copied().unwrap_or(false);
            // Runtimes leave out a rule that says what the default says.
            if !taken || rule.action == self.profile.default {
                continue;
            }
            for conditions in as_added(&rule.comparisons) {
                match behind {
                    None => chain.add(conditions, rule.action, wide)?,
                    Some(number) => chain.add(&through_multiplexer(conditions, number), rule.action, wide)?,
                }
            }
        }
        Ok(chain)
    }

    /// Where the profile names this call. For a multiplexer that is also every name it carries: libseccomp
    /// adds a rule for `socketcall` beside every rule for `socket` (`abi_rule_add` in `src/syscalls.c`).
    fn mentions(&self, architecture: Architecture, name: &str) -> Vec<(&'p Mention, Option<u64>)> {
        let direct = self.profile.mentions(name).iter().map(|m| (m, None));
        if !is_multiplexer(name) || !architecture.multiplexes() {
            return direct.collect();
        }
        let carried = MULTIPLEXED.iter().filter(|(multiplexer, ..)| *multiplexer == name).flat_map(
            |(_, number, carried)| self.profile.mentions(carried).iter().map(|m| (m, Some(*number))),
        );
        let mut all: Vec<_> = direct.chain(carried).collect();
        all.sort_by_key(|(m, _)| (m.rule, m.place));
        all
    }
}

/// The one answer that all give; `None` when they differ.
fn agreed<T: PartialEq>(mut answers: impl Iterator<Item = T>) -> Option<T> {
    let first = answers.next()?;
    answers.all(|a| a == first).then_some(first)
}

fn applies(rule: &Rule, bounding: CapabilitySet, native: Architecture, kernel: (u32, u32)) -> bool {
    let matches_architecture = |scope: &Scope| scope.architectures.as_ref().map(|a| a.contains(&native));
    let matches_kernel = |scope: &Scope| scope.min_kernel.map(|least| kernel >= least);
    let Rule { includes, excludes, .. } = rule;
    matches_architecture(excludes) != Some(true)
        && excludes.capabilities.0 & bounding.0 == 0
        && matches_kernel(excludes) != Some(true)
        && matches_architecture(includes) != Some(false)
        && !includes.names_no_capability
        && includes.capabilities.minus(bounding).is_empty()
        && matches_kernel(includes) != Some(false)
}

/// One version from each range that the profile's `minKernel` conditions tell apart.
fn kernels_told_apart(profile: &Profile) -> Vec<(u32, u32)> {
    let bounds = profile.rules.iter().flat_map(|r| [r.includes.min_kernel, r.excludes.min_kernel]).flatten();
    let mut versions: Vec<(u32, u32)> = std::iter::once((0, 0)).chain(bounds).collect();
    versions.sort_unstable();
    versions.dedup();
    versions
}

fn covered(coverage: &Coverage, native: Architecture) -> Vec<Architecture> {
    let others: &[Architecture] = match coverage {
        Coverage::Listed(list) => list,
        Coverage::Mapped(map) => map.iter().find(|(a, _)| *a == native).map_or(&[], |(_, subs)| subs),
    };
    let mut all = vec![native];
    for architecture in others {
        if !all.contains(architecture) {
            all.push(*architecture);
        }
    }
    all
}

/// libseccomp takes one condition for each argument, so runtimes add a rule with two conditions on one
/// argument as a rule for each of its conditions: any of them is enough.
fn as_added(comparisons: &[Comparison]) -> Vec<&[Comparison]> {
    let repeats =
        comparisons.iter().enumerate().any(|(i, c)| comparisons[..i].iter().any(|d| d.index == c.index));
    if repeats { comparisons.chunks(1).collect() } else { vec![comparisons] }
}

/// The number of the call takes the place of what was asked of the first argument; the other conditions stay.
fn through_multiplexer(conditions: &[Comparison], number: u64) -> Vec<Comparison> {
    let call = Comparison { index: 0, operator: super::Operator::Equal, value: number, value_two: 0 };
    std::iter::once(call).chain(conditions.iter().filter(|c| c.index != 0).copied()).collect()
}

fn is_multiplexer(name: &str) -> bool {
    name == "socketcall" || name == "ipc"
}

/// What socketcall(2) and ipc(2) carry, with the number in the first argument (`linux/net.h`, `linux/ipc.h`).
const MULTIPLEXED: &[(&str, u64, &str)] = &[
    ("socketcall", 1, "socket"),
    ("socketcall", 2, "bind"),
    ("socketcall", 3, "connect"),
    ("socketcall", 4, "listen"),
    ("socketcall", 5, "accept"),
    ("socketcall", 6, "getsockname"),
    ("socketcall", 7, "getpeername"),
    ("socketcall", 8, "socketpair"),
    ("socketcall", 9, "send"),
    ("socketcall", 10, "recv"),
    ("socketcall", 11, "sendto"),
    ("socketcall", 12, "recvfrom"),
    ("socketcall", 13, "shutdown"),
    ("socketcall", 14, "setsockopt"),
    ("socketcall", 15, "getsockopt"),
    ("socketcall", 16, "sendmsg"),
    ("socketcall", 17, "recvmsg"),
    ("socketcall", 18, "accept4"),
    ("socketcall", 19, "recvmmsg"),
    ("socketcall", 20, "sendmmsg"),
    ("ipc", 1, "semop"),
    ("ipc", 2, "semget"),
    ("ipc", 3, "semctl"),
    ("ipc", 4, "semtimedop"),
    ("ipc", 11, "msgsnd"),
    ("ipc", 12, "msgrcv"),
    ("ipc", 13, "msgget"),
    ("ipc", 14, "msgctl"),
    ("ipc", 21, "shmat"),
    ("ipc", 22, "shmdt"),
    ("ipc", 23, "shmget"),
    ("ipc", 24, "shmctl"),
];

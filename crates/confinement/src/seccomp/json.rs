//! Reads the JSON of a profile: Docker's format (moby/profiles `seccomp.go`), which Podman and CRI-O share,
//! and the `linux.seccomp` object of the OCI runtime specification, which is its subset. Keys are matched as
//! Go's decoder matches them (in any case, the last of several wins, `null` is as good as nothing, unknown
//! keys are ignored), so that what an engine reads is what is judged.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::{Action, Architecture, Comparison, Coverage, Operator, Profile, Rule, Scope};
use crate::capability::{Capability, CapabilitySet};

/// Longer texts are refused unread. The largest built-in profile has 18 KiB.
const LONGEST: usize = 4 << 20;
/// A filter has at most 4096 instructions (`BPF_MAXINSNS`), and every comparison needs one.
const MOST_COMPARISONS: usize = 4096;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProfileError {
    #[error("the seccomp profile has {size} bytes; at most {LONGEST} are read")]
    TooLong { size: usize },
    #[error("line {line}, column {column}: {what}")]
    Unreadable { line: usize, column: usize, what: String },
    #[error(
        "the seccomp profile compares {count} arguments; the kernel takes programs of at most \
         {MOST_COMPARISONS} instructions"
    )]
    TooManyComparisons { count: usize },
}

impl ProfileError {
    /// The line and column, from 1, where the text could not be read.
    pub fn position(&self) -> Option<(usize, usize)> {
        match self {
            ProfileError::Unreadable { line, column, .. } => Some((*line, *column)),
            _ => None,
        }
    }
}

impl Profile {
    /// Reads a profile. Names of system calls are not checked: runtimes skip those they do not know. What a
    /// runtime refuses (an unknown action, operator or architecture, an argument index beyond 5) is an error.
    pub fn from_json(text: &str) -> Result<Profile, ProfileError> {
        if text.len() > LONGEST {
            return Err(ProfileError::TooLong { size: text.len() });
        }
        let profile: Profile = serde_json::from_str(text).map_err(|e| ProfileError::Unreadable {
            line: e.line(),
            column: e.column(),
            what: without_position(&e.to_string()),
        })?;
        let count = profile.rules.iter().map(|r| r.comparisons.len() * r.names.len()).sum();
        if count > MOST_COMPARISONS {
            return Err(ProfileError::TooManyComparisons { count });
        }
        Ok(profile)
    }
}

/// serde_json ends its messages with the position, which stands at the front here.
fn without_position(message: &str) -> String {
    message.rfind(" at line ").map_or(message, |end| &message[..end]).to_owned()
}

/// Declares an object whose keys Go would match: the fields are options, named as in Go's source.
macro_rules! object {
    ($name:ident { $($key:literal => $field:ident: $type:ty),* $(,)? }) => {
        #[derive(Default)]
        struct $name { $($field: Option<$type>),* }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<$name, D::Error> {
                struct Fields;
                impl<'de> Visitor<'de> for Fields {
                    type Value = $name;
                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str("an object")
                    }
                    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<$name, A::Error> {
                        let mut object = $name::default();
                        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
                            match key.to_lowercase().as_str() {
                                $($key => object.$field = map.next_value()?,)*
                                _ => { map.next_value::<IgnoredAny>()?; }
                            }
                        }
                        Ok(object)
                    }
                }
                deserializer.deserialize_map(Fields)
            }
        }
    };
}

object!(ProfileText {
    "defaultaction" => default_action: ActionText,
    "defaulterrnoret" => default_errno_ret: u16,
    "defaulterrno" => default_errno: Errno,
    "architectures" => architectures: List<ArchitectureText>,
    "archmap" => arch_map: List<MappedText>,
    "syscalls" => syscalls: List<Rule>,
    "flags" => flags: List<String>,
});

object!(MappedText {
    "architecture" => architecture: ArchitectureText,
    "subarchitectures" => sub_architectures: List<ArchitectureText>,
});

object!(RuleText {
    "name" => name: String,
    "names" => names: List<String>,
    "action" => action: ActionText,
    "errnoret" => errno_ret: u16,
    "errno" => errno: Errno,
    "args" => args: List<Comparison>,
    "includes" => includes: Scope,
    "excludes" => excludes: Scope,
});

object!(ComparisonText {
    "index" => index: u64,
    "value" => value: u64,
    "valuetwo" => value_two: u64,
    "op" => op: String,
});

object!(ScopeText {
    "caps" => caps: List<String>,
    "arches" => arches: List<String>,
    "minkernel" => min_kernel: String,
});

/// A list, of which Go's decoder takes `null` elements for empty ones; here they are left out.
struct List<T>(Vec<T>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for List<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<List<T>, D::Error> {
        struct Elements<T>(std::marker::PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Elements<T> {
            type Value = List<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<List<T>, A::Error> {
                let mut list = Vec::new();
                while let Some(element) = seq.next_element::<Option<T>>()? {
                    list.extend(element);
                }
                Ok(List(list))
            }
        }
        deserializer.deserialize_seq(Elements(std::marker::PhantomData))
    }
}

fn list<T>(list: Option<List<T>>) -> Vec<T> {
    list.map_or_else(Vec::new, |l| l.0)
}

/// A string turned into something while its position is still known.
fn parsed<'de, D: Deserializer<'de>, T>(
    deserializer: D,
    read: impl FnOnce(&str) -> Result<T, String>,
) -> Result<T, D::Error> {
    struct Read<F>(F);
    impl<'de, T, F: FnOnce(&str) -> Result<T, String>> Visitor<'de> for Read<F> {
        type Value = T;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a string")
        }
        fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
            (self.0)(text).map_err(E::custom)
        }
    }
    impl<'de, T, F: FnOnce(&str) -> Result<T, String>> DeserializeSeed<'de> for Read<F> {
        type Value = T;
        fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<T, D::Error> {
            deserializer.deserialize_str(self)
        }
    }
    Read(read).deserialize(deserializer)
}

/// An action before its errno is known. Empty is what Go reads from a missing one.
#[derive(Clone, Copy)]
enum ActionText {
    Empty,
    Errno,
    Plain(Action),
}

impl<'de> Deserialize<'de> for ActionText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<ActionText, D::Error> {
        parsed(deserializer, |text| {
            Ok(ActionText::Plain(match text {
                "" => return Ok(ActionText::Empty),
                "SCMP_ACT_ERRNO" => return Ok(ActionText::Errno),
                "SCMP_ACT_ALLOW" => Action::Allow,
                "SCMP_ACT_LOG" => Action::Log,
                "SCMP_ACT_NOTIFY" => Action::Notify,
                "SCMP_ACT_TRACE" => Action::Trace,
                "SCMP_ACT_TRAP" => Action::Trap,
                "SCMP_ACT_KILL" | "SCMP_ACT_KILL_THREAD" => Action::KillThread,
                "SCMP_ACT_KILL_PROCESS" => Action::KillProcess,
                _ => {
                    return Err(format!(
                        "`{text}` is not a seccomp action; write SCMP_ACT_ALLOW, SCMP_ACT_ERRNO, …"
                    ));
                }
            }))
        })
    }
}

impl ActionText {
    /// Without an errno, runtimes answer `EPERM`.
    fn with(self, name: Option<Errno>, number: Option<u16>) -> Option<Action> {
        match self {
            ActionText::Empty => None,
            ActionText::Plain(action) => Some(action),
            // container-libs lets the name win over the number.
            ActionText::Errno => Some(Action::Errno(name.and_then(|e| e.0).or(number).unwrap_or(1))),
        }
    }
}

/// Podman's `errno`: a name, or a number as text.
struct Errno(Option<u16>);

impl<'de> Deserialize<'de> for Errno {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Errno, D::Error> {
        parsed(deserializer, |text| {
            let named =
                || ERRNO_NAMES.split_ascii_whitespace().zip(1..).find(|(n, _)| *n == text).map(|(_, e)| e);
            match text.parse().ok().or_else(named) {
                Some(number) => Ok(Errno(Some(number))),
                None if text.is_empty() => Ok(Errno(None)),
                None => Err(format!("`{text}` is not an errno")),
            }
        })
    }
}

/// From 1 on, as most architectures number them (`asm-generic/errno.h`); `-` is a gap.
const ERRNO_NAMES: &str = "\
    EPERM ENOENT ESRCH EINTR EIO ENXIO E2BIG ENOEXEC EBADF ECHILD EAGAIN ENOMEM EACCES EFAULT ENOTBLK EBUSY \
    EEXIST EXDEV ENODEV ENOTDIR EISDIR EINVAL ENFILE EMFILE ENOTTY ETXTBSY EFBIG ENOSPC ESPIPE EROFS EMLINK \
    EPIPE EDOM ERANGE EDEADLK ENAMETOOLONG ENOLCK ENOSYS ENOTEMPTY ELOOP - ENOMSG EIDRM ECHRNG EL2NSYNC \
    EL3HLT EL3RST ELNRNG EUNATCH ENOCSI EL2HLT EBADE EBADR EXFULL ENOANO EBADRQC EBADSLT - EBFONT ENOSTR \
    ENODATA ETIME ENOSR ENONET ENOPKG EREMOTE ENOLINK EADV ESRMNT ECOMM EPROTO EMULTIHOP EDOTDOT EBADMSG \
    EOVERFLOW ENOTUNIQ EBADFD EREMCHG ELIBACC ELIBBAD ELIBSCN ELIBMAX ELIBEXEC EILSEQ ERESTART ESTRPIPE \
    EUSERS ENOTSOCK EDESTADDRREQ EMSGSIZE EPROTOTYPE ENOPROTOOPT EPROTONOSUPPORT ESOCKTNOSUPPORT EOPNOTSUPP \
    EPFNOSUPPORT EAFNOSUPPORT EADDRINUSE EADDRNOTAVAIL ENETDOWN ENETUNREACH ENETRESET ECONNABORTED \
    ECONNRESET ENOBUFS EISCONN ENOTCONN ESHUTDOWN ETOOMANYREFS ETIMEDOUT ECONNREFUSED EHOSTDOWN \
    EHOSTUNREACH EALREADY EINPROGRESS ESTALE EUCLEAN ENOTNAM ENAVAIL EISNAM EREMOTEIO EDQUOT ENOMEDIUM \
    EMEDIUMTYPE ECANCELED ENOKEY EKEYEXPIRED EKEYREVOKED EKEYREJECTED EOWNERDEAD ENOTRECOVERABLE ERFKILL -";

struct ArchitectureText(Architecture);

impl<'de> Deserialize<'de> for ArchitectureText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<ArchitectureText, D::Error> {
        parsed(deserializer, |text| {
            Architecture::from_oci(text).map(ArchitectureText).ok_or_else(|| {
                format!("`{text}` is not an architecture; write SCMP_ARCH_X86_64, SCMP_ARCH_AARCH64, …")
            })
        })
    }
}

impl<'de> Deserialize<'de> for Profile {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Profile, D::Error> {
        let text = ProfileText::deserialize(deserializer)?;
        let action =
            text.default_action.unwrap_or(ActionText::Empty).with(text.default_errno, text.default_errno_ret);
        let (rules, listed, mapped) = (list(text.syscalls), list(text.architectures), list(text.arch_map));
        let Some(default) = action else {
            if rules.is_empty() {
                return Ok(Profile::unconfined());
            }
            return Err(Error::custom("`defaultAction` is missing; runtimes refuse the profile"));
        };
        if !listed.is_empty() && !mapped.is_empty() {
            return Err(Error::custom(
                "both `architectures` and `archMap` are given; engines refuse the profile",
            ));
        }
        let coverage = if mapped.is_empty() {
            Coverage::Listed(listed.into_iter().map(|a| a.0).collect())
        } else {
            Coverage::Mapped(mapped.into_iter().filter_map(pair).collect())
        };
        Ok(Profile { flags: list(text.flags), ..Profile::new(default, coverage, rules) })
    }
}

fn pair(text: MappedText) -> Option<(Architecture, Vec<Architecture>)> {
    Some((text.architecture?.0, list(text.sub_architectures).into_iter().map(|a| a.0).collect()))
}

impl<'de> Deserialize<'de> for Rule {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Rule, D::Error> {
        let text = RuleText::deserialize(deserializer)?;
        let action = text.action.unwrap_or(ActionText::Empty).with(text.errno, text.errno_ret);
        let action =
            action.ok_or_else(|| Error::custom("the rule has no `action`; runtimes refuse the profile"))?;
        let names = match (text.name.filter(|n| !n.is_empty()), list(text.names)) {
            (Some(_), names) if !names.is_empty() => {
                return Err(Error::custom("both `name` and `names` are given; engines refuse the profile"));
            }
            (Some(name), _) => vec![name],
            (None, names) => names,
        };
        Ok(Rule {
            names: names.into_iter().map(Cow::Owned).collect(),
            action,
            comparisons: list(text.args),
            includes: text.includes.unwrap_or_default(),
            excludes: text.excludes.unwrap_or_default(),
        })
    }
}

impl<'de> Deserialize<'de> for Comparison {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Comparison, D::Error> {
        let text = ComparisonText::deserialize(deserializer)?;
        let index = text.index.unwrap_or(0);
        let index = u8::try_from(index).ok().filter(|i| *i < 6);
        let op = text.op.unwrap_or_default();
        Ok(Comparison {
            index: index
                .ok_or_else(|| Error::custom("`index` is beyond 5; a system call has six arguments"))?,
            operator: Operator::from_oci(&op).ok_or_else(|| {
                Error::custom(format!("`{op}` is not a comparison; write SCMP_CMP_EQ, SCMP_CMP_MASKED_EQ, …"))
            })?,
            value: text.value.unwrap_or(0),
            value_two: text.value_two.unwrap_or(0),
        })
    }
}

impl<'de> Deserialize<'de> for Scope {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Scope, D::Error> {
        let text = ScopeText::deserialize(deserializer)?;
        let mut scope = Scope::default();
        for name in list(text.caps) {
            match Capability::parse(&name).filter(|c| c.to_string() == name) {
                Some(capability) => {
                    scope.capabilities = scope.capabilities.union(CapabilitySet::of(&[capability]))
                }
                None => scope.names_no_capability = true,
            }
        }
        let arches = list(text.arches);
        if !arches.is_empty() {
            scope.architectures =
                Some(arches.iter().filter_map(|a| Architecture::from_engine_name(a)).collect());
        }
        if let Some(version) = text.min_kernel.filter(|v| !v.is_empty()) {
            scope.min_kernel = Some(kernel_version(&version).ok_or_else(|| {
                Error::custom(format!(
                    "`{version}` is not a kernel version; write the first two numbers, such as 4.8"
                ))
            })?);
        }
        Ok(scope)
    }
}

fn kernel_version(text: &str) -> Option<(u32, u32)> {
    let (kernel, major) = text.split_once('.')?;
    Some((kernel.parse().ok()?, major.parse().ok()?))
}

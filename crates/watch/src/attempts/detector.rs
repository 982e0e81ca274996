//! The table of detectors, `data/detectors.yaml`, made ready to use. What each key means stands in the file's head.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use sensor::event::{Event, Kind, Namespaces};
use serde::Deserialize;
use techniques::objects::{device_class, object_class};
use techniques::technique::{Catalogue, Technique};

use super::code::Code;
use super::context::Context;
use super::files::{self, FileLook, Whose};
use super::looks::{CallLook, ConnectLook, MountLook};
use crate::alert::Severity;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Detector {
    #[serde(skip)]
    pub id: String,
    /// Techniques of the catalogue, the gravest first. Empty where no technique is a container's way to it: then
    /// `severity` is set.
    #[serde(default)]
    pub techniques: Vec<String>,
    /// Rows of `data/attempt-rows.yaml`.
    #[serde(default)]
    pub rows: Vec<String>,
    /// What somebody tries, after "to".
    pub tries: String,
    /// Ordinary software does it too: never graver than this.
    #[serde(default)]
    pub at_most: Option<Severity>,
    #[serde(default)]
    pub severity: Option<Severity>,
    #[serde(default)]
    pub by: By,
    /// The process is in the host's namespaces of these kinds.
    #[serde(default)]
    pub shares: Vec<NamespaceKind>,
    /// It is not.
    #[serde(default)]
    pub apart: Vec<NamespaceKind>,
    /// Repeats are the same whatever the object.
    #[serde(default)]
    pub whatever_object: bool,
    /// What to do now, before the technique's mitigations.
    #[serde(default)]
    pub advice: Vec<String>,
    /// Why it is worded so, and what ordinary software does; for docs.
    #[serde(default)]
    pub note: Option<String>,
    pub when: Vec<Look>,
    /// The row of `provoke` that triggers it harmlessly.
    #[serde(default)]
    pub provoke: Option<String>,
    pub cases: Vec<serde_json::Value>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum By {
    #[default]
    Container,
    Host,
    Anyone,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NamespaceKind {
    User,
    Mount,
    Pid,
    Network,
    Ipc,
    Uts,
    Cgroup,
}

impl NamespaceKind {
    fn of(self, namespaces: &Namespaces) -> u32 {
        match self {
            NamespaceKind::User => namespaces.user,
            NamespaceKind::Mount => namespaces.mount,
            NamespaceKind::Pid => namespaces.pid,
            NamespaceKind::Network => namespaces.network,
            NamespaceKind::Ipc => namespaces.ipc,
            NamespaceKind::Uts => namespaces.uts,
            NamespaceKind::Cgroup => namespaces.cgroup,
        }
    }

    /// None where either is not known.
    fn is_host(self, event: &Event, context: &dyn Context) -> Option<bool> {
        let (own, host) = (self.of(&event.actor.namespaces), self.of(context.host()));
        (own != 0 && host != 0).then_some(own == host)
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Look {
    File(FileLook),
    Call(CallLook),
    Connect(ConnectLook),
    Mount(MountLook),
    Code(Code),
    /// Any call through the table of 32-bit system calls.
    Compat {},
    /// Found by a periodic check of [`super::integrity`].
    Check(super::integrity::Check),
}

impl Look {
    pub fn kinds(&self) -> Vec<Kind> {
        match self {
            Look::File(_) => files::KINDS.to_vec(),
            Look::Call(call) => call.kinds().collect(),
            Look::Connect(_) => ConnectLook::KINDS.to_vec(),
            Look::Mount(mount) if mount.by.is_empty() => MountLook::KINDS.to_vec(),
            Look::Mount(mount) => mount.by.iter().map(|call| call.kind()).collect(),
            Look::Code(code) => code.kinds().to_vec(),
            Look::Compat {} | Look::Check(_) => Vec::new(),
        }
    }
}

static DETECTORS: LazyLock<Vec<Detector>> = LazyLock::new(|| {
    let json = include_str!(concat!(env!("OUT_DIR"), "/detectors.json"));
    read(json).unwrap_or_else(|error| panic!("data/detectors.yaml: {error}"))
});

/// All detectors, by identifier.
pub fn all() -> &'static [Detector] {
    &DETECTORS
}

pub fn find(id: &str) -> Option<&'static Detector> {
    all().iter().find(|d| d.id == id)
}

fn read(json: &str) -> Result<Vec<Detector>, String> {
    let table: BTreeMap<String, serde_json::Value> = serde_json::from_str(json).map_err(|e| e.to_string())?;
    let mut detectors = Vec::with_capacity(table.len());
    for (id, value) in table {
        let mut detector: Detector = serde_json::from_value(value).map_err(|e| format!("`{id}`: {e}"))?;
        detector.resolve().map_err(|e| format!("`{id}`: {e}"))?;
        detector.id = id;
        detectors.push(detector);
    }
    Ok(detectors)
}

impl Detector {
    /// Finds the classes of the tables that looks name.
    fn resolve(&mut self) -> Result<(), String> {
        let object =
            |name: &String| object_class(name).ok_or_else(|| format!("no class of objects `{name}`"));
        for look in &mut self.when {
            match look {
                Look::File(look) => {
                    look.classes = look.host.iter().map(object).collect::<Result<_, _>>()?;
                    let device = |name: &String| {
                        device_class(name).ok_or_else(|| format!("no class of devices `{name}`"))
                    };
                    look.devices = look.device.iter().map(device).collect::<Result<_, _>>()?;
                }
                Look::Connect(look) => {
                    look.classes = look.unix.iter().map(object).collect::<Result<_, _>>()?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The techniques as the catalogue has them; one that it does not judge (a flaw without a range) is left out.
    pub fn catalogued(&self) -> impl Iterator<Item = &'static Technique> {
        self.techniques.iter().filter_map(|id| Catalogue::get().technique(id))
    }

    pub(super) fn concerns(&self, event: &Event, context: &dyn Context) -> bool {
        let whose = match self.by {
            By::Container => event.actor.container.is_some(),
            By::Host => event.actor.container.is_none(),
            By::Anyone => true,
        };
        whose
            && self.shares.iter().all(|kind| kind.is_host(event, context) == Some(true))
            && self.apart.iter().all(|kind| kind.is_host(event, context) != Some(true))
    }

    /// What was tried, as a sentence's end: "opened X" where it was done.
    pub(super) fn done(&self) -> String {
        let (verb, rest) = self.tries.split_once(' ').unwrap_or((&self.tries, ""));
        let past = match PAST.iter().find(|(v, _)| *v == verb) {
            Some((_, past)) => (*past).to_owned(),
            None if verb.ends_with('e') => format!("{verb}d"),
            None => format!("{verb}ed"),
        };
        format!("{past} {rest}").trim_end().to_owned()
    }

    /// Kinds of events it reads, in words for docs.
    pub fn reads(&self) -> Vec<&'static str> {
        let mut kinds: Vec<&'static str> = match self.when.iter().any(|l| matches!(l, Look::Compat {})) {
            true => vec!["any 32-bit call"],
            false => Vec::new(),
        };
        for look in &self.when {
            match look {
                Look::File(look) => kinds.extend(look.reads()),
                Look::Check(check) => kinds.push(check.name()),
                other => kinds.extend(other.kinds().into_iter().map(Kind::name)),
            }
        }
        kinds.sort_unstable();
        kinds.dedup();
        kinds
    }

    /// Whether it is about the host's processes, files or namespaces, which a container has to see first.
    pub fn looks_at_host(&self) -> bool {
        self.when.iter().all(|look| match look {
            Look::File(look) => {
                look.process == Some(Whose::Host) || look.through == Some(Whose::Host) || look.looks_at_host()
            }
            Look::Call(look) => look.target == Some(Whose::Host) || look.call == ["setns"],
            Look::Code(code) => *code == Code::HostNamespaceFile,
            _ => false,
        })
    }
}

/// Verbs of the table whose past is not made with "d" or "ed".
pub(super) const PAST: &[(&str, &str)] = &[
    ("write", "wrote"),
    ("run", "ran"),
    ("set", "set"),
    ("make", "made"),
    ("read", "read"),
    ("take", "took"),
    ("send", "sent"),
    ("hide", "hid"),
    ("get", "got"),
];

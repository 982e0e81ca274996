//! An alert: an attempt or a rule match, joined with the subject's exposure. Made by the pipeline, kept by the store,
//! carried by the outputs.

use serde::{Deserialize, Serialize};

use sensor::event::{ContainerKey, Credentials, Event, FileId, Task};

/// What is said to a person or another program. The schema `stockade.alert/1` is this type as JSON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Alert {
    /// Counts up in one store.
    pub id: u64,
    /// Nanoseconds since 1970-01-01 UTC, by the clock of the machine then.
    pub time: i64,
    /// Nanoseconds since boot: order and distance hold when the clock jumps.
    pub since_boot: u64,
    pub cause: Cause,
    pub severity: Severity,
    /// One sentence: what was done, by whom, to what.
    pub summary: String,
    /// Whether the kernel let it happen.
    pub outcome: Outcome,
    pub exposure: Exposure,
    pub container: Option<Container>,
    /// The process, then its parents up to the container's first process and beyond.
    pub processes: Vec<Process>,
    /// What to do, the best first.
    pub advice: Vec<String>,
    /// How many times it happened within the time that repeats are folded.
    pub count: u64,
    /// The event, whole.
    pub event: Option<Event>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Cause {
    /// An attempt at a technique: its identifier, and the detector's.
    Attempt { technique: String, detector: String, attack: Vec<String> },
    /// A match of a rule: name, priority, tags, and its output as the rule words it.
    Rule { name: String, priority: String, tags: Vec<String>, output: String, source_file: String },
    /// Something about the sensor itself: loss, tampering, a part that cannot see.
    Sensor { what: String },
}

/// In rising order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    Info,
    Low,
    Medium,
    High,
    Critical,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "outcome")]
pub enum Outcome {
    /// The call succeeded.
    Done,
    /// The call was refused, with this errno and its name.
    Refused { errno: i32, name: String },
    /// The event does not tell.
    NotKnown,
}

/// Whether the path that was tried is open for this container. `NotKnown` is a value, never silently `Open` or `Held`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "exposure")]
pub enum Exposure {
    /// Every condition holds.
    Open,
    /// Held by these barriers (one of the smallest cut sets), `depth` of them.
    Held { barriers: Vec<String>, depth: u8 },
    /// The technique's conditions cannot all be decided; what is missing.
    NotKnown { missing: Vec<String> },
    /// Not about a technique, or not in a container.
    DoesNotApply,
}

/// What is known of the container at the time of the alert. Absent metadata is `None`, never empty text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Container {
    pub key: ContainerKey,
    /// The engine's identifier, 64 hex digits where it has those.
    pub id: Option<String>,
    pub name: Option<String>,
    pub image: Option<String>,
    pub image_digest: Option<String>,
    /// docker, podman, containerd, cri-o.
    pub engine: Option<String>,
    pub pod: Option<String>,
    pub namespace: Option<String>,
    pub labels: std::collections::BTreeMap<String, String>,
    pub privileged: Option<bool>,
    pub started: Option<i64>,
    pub cgroup_path: Option<String>,
    /// Verdict and depth of the audit at its start: `open`, `held by 2`, `undetermined`; None while not judged.
    pub verdict: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Process {
    pub task: Task,
    pub process_inside: u32,
    pub name: String,
    /// Path of the executable as the kernel had it at execve(2).
    pub executable: Option<String>,
    pub executable_id: FileId,
    /// SHA-256 of the executable's bytes, hex; None where it could not be read.
    pub sha256: Option<String>,
    pub arguments: Vec<String>,
    pub credentials: Credentials,
    pub user: Option<String>,
    /// Started before the sensor: some of this was read from /proc.
    pub from_before: bool,
}

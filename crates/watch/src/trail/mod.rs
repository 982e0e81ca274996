//! The engines' audit trail: what was done to containers, by whom, with which privileges, and which exec got more than
//! its container has. One [`Record`] is one entry; its JSON is the schema `stockade.trail/1`.
//!
//! Records are made of three sources that are joined by objects, never by names: an engine's events ([`engine`]), the
//! engine's inspection of the container or the exec, and the kernel's events of the process itself ([`raised`]). Who
//! asked the engine is found among the processes that connected to its socket just before ([`clients`]): engines do
//! not tell. Data comes from `containers`, and goes to its news.

pub(crate) mod clients;
pub(crate) mod engine;
mod raised;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use sensor::event::{ContainerKey, Credentials, Task};

pub use raised::{Raised, raised_by_words, raised_in_kernel};

/// The schema's name, in every record.
pub const SCHEMA: &str = "stockade.trail/1";

/// One thing that was done to a container.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// [`SCHEMA`].
    pub schema: String,
    /// Nanoseconds since 1970-01-01 UTC, as the source had it.
    pub time: i64,
    pub action: Action,
    pub source: Source,
    /// docker, podman, containerd, cri-o; None where no engine is known to stand behind it.
    pub engine: Option<String>,
    /// The engine's socket.
    pub endpoint: Option<String>,
    /// The sensor's number for the container, where its processes were seen.
    pub container: Option<ContainerKey>,
    pub id: Option<String>,
    pub name: Option<String>,
    pub image: Option<String>,
    /// Who asked for it.
    pub who: Who,
    /// What the container was given, of its creation and start.
    pub privileges: Option<Privileges>,
    /// The process that was put in, of an exec.
    pub exec: Option<Exec>,
    /// In which ways a process got more than its container has; of an exec, and of capabilities that changed.
    pub raised: Vec<Raised>,
    /// What else the source said: signal, exit code, old name, what was mounted where.
    pub details: BTreeMap<String, String>,
}

/// What was done, in one word for every engine; Podman says `died`, `exec` and `remove`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    Create,
    Start,
    Restart,
    Attach,
    Pause,
    Unpause,
    Kill,
    /// Memory ran out.
    Oom,
    Die,
    Stop,
    Destroy,
    Rename,
    /// Limits were changed.
    Update,
    Commit,
    Copy,
    Export,
    Checkpoint,
    Restore,
    NetworkConnect,
    NetworkDisconnect,
    /// An exec was prepared.
    ExecCreate,
    /// A process was put into the container, as the engine or the kernel tells it.
    ExecStart,
    ExecDie,
    /// The engine read its configuration again.
    Reload,
    /// A file system was mounted or changed in the container's mount namespace.
    Mount,
    Umount,
    /// A process inside got capabilities that it had not.
    Capabilities,
    /// Anything else, in the engine's own word.
    Other(String),
}

/// Who says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    Engine,
    Kernel,
    /// Both, joined by the process.
    EngineAndKernel,
}

/// Who asked the engine. An engine does not tell; what the kernel saw is weighed, and said with its weight.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Who {
    pub certainty: Certainty,
    /// The likeliest first; more than one where nothing tells them apart.
    pub clients: Vec<Client>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Certainty {
    /// Its command line names this container and this action.
    Named,
    /// It alone connected to the engine's socket just before.
    OnlyOne,
    /// One of several that did.
    OneOf,
    /// The process put itself there, or its parent did (nsenter), without an engine.
    Itself,
    #[default]
    NotKnown,
}

/// A process that talks to an engine.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Client {
    pub task: Task,
    pub name: String,
    pub executable: Option<String>,
    pub arguments: Vec<String>,
    pub uid: u32,
    /// `4294967295` where nobody logged in.
    pub login_uid: u32,
    /// The container it is in itself.
    pub container: Option<ContainerKey>,
}

/// What a container was given that others are not.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Privileges {
    pub privileged: bool,
    pub capabilities_added: Vec<String>,
    pub user: Option<String>,
    /// Namespaces shared with the host or another container: `pid=host`.
    pub namespaces: Vec<String>,
    pub security_options: Vec<String>,
    pub devices: Vec<String>,
    /// `SOURCE:TARGET[:ro]`.
    pub mounts: Vec<String>,
}

/// A process that was put into a container that runs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Exec {
    /// The engine's identifier of it.
    pub id: Option<String>,
    /// As the engine was asked; None where no engine told.
    pub privileged: Option<bool>,
    /// As the engine was asked; empty means the container's own.
    pub user: Option<String>,
    pub command: Vec<String>,
    pub terminal: Option<bool>,
    /// The process as the kernel has it.
    pub task: Option<Task>,
    /// What the kernel gave it.
    pub credentials: Option<Credentials>,
    pub exit_code: Option<i64>,
}

impl Record {
    pub(crate) fn new(action: Action, source: Source, time: i64) -> Record {
        Record {
            schema: SCHEMA.to_owned(),
            time,
            action,
            source,
            engine: None,
            endpoint: None,
            container: None,
            id: None,
            name: None,
            image: None,
            who: Who::default(),
            privileges: None,
            exec: None,
            raised: Vec::new(),
            details: BTreeMap::new(),
        }
    }

    /// One sentence for an alert, where a process got more than its container has; None for everyday records.
    pub fn notice(&self) -> Option<String> {
        if self.raised.is_empty() {
            return None;
        }
        let container = self.name.as_deref().or(self.id.as_deref()).unwrap_or("a container without a name");
        let command = self.exec.as_ref().map(|exec| exec.command.join(" ")).filter(|c| !c.is_empty());
        let what: Vec<String> = self.raised.iter().map(ToString::to_string).collect();
        let by = match (self.who.certainty, self.who.clients.first()) {
            (Certainty::Named | Certainty::OnlyOne | Certainty::Itself, Some(client)) => {
                format!(", by {} (process {}, user {})", client.name, client.task.process, client.uid)
            }
            _ => String::new(),
        };
        Some(format!(
            "{} in {container} has more than the container: {}{by}",
            command.as_deref().unwrap_or("a process"),
            what.join(", ")
        ))
    }
}

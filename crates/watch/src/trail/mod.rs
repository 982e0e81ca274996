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
    /// A program inside gave its process capabilities that it had not (set-user-ID, file capabilities).
    Capabilities,
    /// Anything else, in the engine's own word.
    #[serde(untagged)]
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

    /// One sentence for an alert, where a process got more than its container has; None for everyday records. An
    /// exec that is prepared gives nothing yet: its start is told in any case.
    pub fn notice(&self) -> Option<String> {
        if self.raised.is_empty() || !matches!(self.action, Action::ExecStart | Action::Capabilities) {
            return None;
        }
        let container = self.name.as_deref().or(self.id.as_deref()).unwrap_or("a container without a name");
        let of_exec = self.exec.as_ref().map(|exec| exec.command.join(" "));
        let command = of_exec.or_else(|| self.details.get("arguments").cloned()).filter(|c| !c.is_empty());
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

#[cfg(test)]
mod tests {
    use super::*;

    const SCHEMA_FILE: &str = include_str!("../../../../schemas/stockade.trail-1.schema.json");

    fn exec(raised: Vec<Raised>) -> Record {
        Record {
            engine: Some("docker".into()),
            endpoint: Some("/run/docker.sock".into()),
            container: Some(ContainerKey(7)),
            id: Some("ab".repeat(32)),
            name: Some("web".into()),
            image: Some("nginx:1".into()),
            who: Who {
                certainty: Certainty::OnlyOne,
                clients: vec![Client { name: "docker".into(), ..Client::default() }],
            },
            privileges: Some(Privileges::default()),
            exec: Some(Exec { command: vec!["sh".into()], task: Some(Task::default()), ..Exec::default() }),
            raised,
            ..Record::new(Action::ExecStart, Source::EngineAndKernel, 1)
        }
    }

    #[test]
    fn records_match_the_published_schema_and_are_read_back_as_they_were() {
        let schema = serde_json::from_str(SCHEMA_FILE).unwrap();
        let validator = jsonschema::validator_for(&schema).unwrap();
        let all = vec![
            Raised::AskedPrivileged,
            Raised::AskedUser { user: "0".into() },
            Raised::Capabilities { names: vec!["SYS_ADMIN".into()] },
            Raised::BoundingSet { names: vec!["SYS_ADMIN".into()] },
            Raised::Root,
            Raised::PrivilegesMayRise,
            Raised::NoSeccomp,
            Raised::UserNamespace,
            Raised::HostNamespaces { names: vec!["pid".into()] },
        ];
        let credentials =
            Exec { credentials: Some(Credentials::default()), ..exec(Vec::new()).exec.unwrap() };
        for record in [
            exec(all),
            Record { exec: Some(credentials), ..exec(Vec::new()) },
            Record::new(Action::Other("health_status".into()), Source::Engine, 2),
            Record::new(Action::NetworkConnect, Source::Kernel, 3),
        ] {
            let value = serde_json::to_value(&record).unwrap();
            let errors: Vec<String> = validator.iter_errors(&value).map(|error| error.to_string()).collect();
            assert!(errors.is_empty(), "{value:#}: {errors:?}");
            assert_eq!(serde_json::from_value::<Record>(value).unwrap(), record);
        }
        let wrong = serde_json::json!({"schema": "stockade.trail/1", "time": "now"});
        assert!(!validator.is_valid(&wrong));
    }

    #[test]
    fn an_action_is_one_word_in_json_known_or_not() {
        let word = |action: Action| serde_json::to_value(action).unwrap();
        assert_eq!(word(Action::ExecStart), "exec-start");
        assert_eq!(word(Action::Other("health_status".into())), "health_status");
    }

    #[test]
    fn only_a_process_that_got_more_is_worth_a_notice_and_only_once() {
        assert_eq!(exec(Vec::new()).notice(), None);
        let notice = exec(vec![Raised::Root, Raised::NoSeccomp]).notice().unwrap();
        assert_eq!(
            notice,
            "sh in web has more than the container: root, no seccomp filter, by docker (process 0, user 0)"
        );
        let prepared = Record { action: Action::ExecCreate, ..exec(vec![Raised::AskedPrivileged]) };
        assert_eq!(prepared.notice(), None);
    }
}

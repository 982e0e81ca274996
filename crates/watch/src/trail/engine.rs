//! An engine's event, one line of its `/events`, as an entry of the trail. Docker's form is the Engine API's
//! `EventMessage` (moby api/docs); Podman's is the same, with other words for some actions (libpod/events/events.go).
//!
//! What an event says beside action, id and time is not all the engine's: moby copies the container's labels over the
//! attributes of an event (daemon/events.go, `copyAttributes`), so that a label `execID` or `exitCode` takes the place
//! of the true one, and only `image` and `name` stand above them. Measured on 20.10.24. [`Told::trusted`] is the
//! reader for what labels must not say.

use std::collections::BTreeMap;

use serde_json::Value;

use super::Action;

/// What one event says.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Told {
    pub(crate) action: Action,
    pub(crate) container: Option<String>,
    /// Nanoseconds since 1970.
    pub(crate) time: i64,
    pub(crate) name: Option<String>,
    pub(crate) image: Option<String>,
    /// The command of an exec, as Docker writes it behind the action.
    pub(crate) command: Option<String>,
    attributes: BTreeMap<String, String>,
}

impl Told {
    /// Reads one line; `None` for what is no event, or is about something other than a container or the daemon.
    pub(crate) fn parse(line: &[u8]) -> Option<Told> {
        let json: Value = serde_json::from_slice(line).ok()?;
        let text = |value: &Value| value.as_str().filter(|t| !t.is_empty()).map(str::to_owned);
        let actor = json.get("Actor").unwrap_or(&Value::Null);
        let attributes: BTreeMap<String, String> = actor
            .get("Attributes")
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
            .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
            .collect();
        let kind = json.get("Type").and_then(Value::as_str)?;
        let word = json.get("Action").or_else(|| json.get("status")).and_then(Value::as_str)?;
        let (word, command) = match word.split_once(": ") {
            Some((word, command)) => (word, Some(command.trim_end().to_owned())),
            None => (word, None),
        };
        let nanoseconds = json.get("timeNano").and_then(Value::as_i64);
        let time = nanoseconds
            .or_else(|| json.get("time").and_then(Value::as_i64)?.checked_mul(1_000_000_000))
            .unwrap_or(0);
        let (action, container) = match kind {
            "container" => (container_action(word), actor.get("ID").and_then(text)),
            "network" if matches!(word, "connect" | "disconnect") => {
                let connect =
                    if word == "connect" { Action::NetworkConnect } else { Action::NetworkDisconnect };
                (connect, attributes.get("container").filter(|id| !id.is_empty()).cloned())
            }
            "daemon" if word == "reload" => (Action::Reload, None),
            _ => return None,
        };
        let attribute = |key: &str| attributes.get(key).filter(|v| !v.is_empty()).cloned();
        // Of a network's event the name is the network's.
        let (name, image) =
            if kind == "container" { (attribute("name"), attribute("image")) } else { (None, None) };
        Some(Told { action, container, time, name, image, command, attributes })
    }

    /// An attribute that no label of the container's could have put there; `None` while its labels are not known.
    pub(crate) fn trusted(&self, key: &str, labels: Option<&BTreeMap<String, String>>) -> Option<&str> {
        if labels?.contains_key(key) {
            return None;
        }
        self.attributes.get(key).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// What is kept of the rest.
    pub(crate) fn details(&self, labels: Option<&BTreeMap<String, String>>) -> BTreeMap<String, String> {
        let keys = ["signal", "exitCode", "containerExitCode", "oldName", "execDuration", "type"];
        // Podman says an exit code of 0 of everything.
        let wanted =
            |key: &str| !key.ends_with("xitCode") || matches!(self.action, Action::Die | Action::ExecDie);
        let told = |key: &str| Some((key.to_owned(), self.trusted(key, labels)?.to_owned()));
        let mut found: BTreeMap<String, String> =
            keys.into_iter().filter(|key| wanted(key)).filter_map(told).collect();
        if matches!(self.action, Action::NetworkConnect | Action::NetworkDisconnect)
            && let Some(name) = self.attributes.get("name")
        {
            found.insert("network".to_owned(), name.clone());
        }
        found
    }
}

fn container_action(word: &str) -> Action {
    match word {
        "create" => Action::Create,
        "start" => Action::Start,
        "restart" => Action::Restart,
        "attach" => Action::Attach,
        "pause" => Action::Pause,
        "unpause" => Action::Unpause,
        "kill" => Action::Kill,
        "oom" => Action::Oom,
        "die" | "died" => Action::Die,
        "stop" => Action::Stop,
        "destroy" | "remove" => Action::Destroy,
        "rename" => Action::Rename,
        "update" => Action::Update,
        "commit" => Action::Commit,
        "copy" | "archive-path" | "extract-to-dir" => Action::Copy,
        "export" => Action::Export,
        "checkpoint" => Action::Checkpoint,
        "restore" => Action::Restore,
        "exec_create" => Action::ExecCreate,
        "exec_start" | "exec" => Action::ExecStart,
        "exec_die" | "exec_died" => Action::ExecDie,
        other => Action::Other(other.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As Docker 20.10.24 and Podman 4.3.1 sent them, one a line.
    const DOCKER: &str = include_str!("testdata/docker-20.10-events.jsonl");
    const PODMAN: &str = include_str!("testdata/podman-4.3-events.jsonl");
    const LABELLED: &str = include_str!("testdata/docker-20.10-labelled.jsonl");

    fn read(text: &str) -> Vec<Told> {
        text.lines().filter_map(|line| Told::parse(line.as_bytes())).collect()
    }

    #[test]
    fn dockers_events_of_a_whole_life_are_read() {
        let told = read(DOCKER);
        let actions: Vec<&Action> = told.iter().map(|t| &t.action).collect();
        use Action::*;
        let expected = [
            &Create,
            &NetworkConnect,
            &Start,
            &ExecCreate,
            &ExecStart,
            &ExecDie,
            &Pause,
            &Unpause,
            &Rename,
            &Update,
            &Kill,
            &Die,
            &NetworkDisconnect,
            &Destroy,
            &Oom,
        ];
        assert_eq!(actions, expected);
        assert!(told.iter().all(|t| t.container.as_deref().is_some_and(|id| id.len() == 64) && t.time > 0));
        assert_eq!(told[3].command.as_deref(), Some("id"));
        let none = BTreeMap::new();
        assert_eq!(told[8].details(Some(&none)).get("oldName").map(String::as_str), Some("/cwtest"));
        assert_eq!(told[10].details(Some(&none)).get("signal").map(String::as_str), Some("9"));
        assert_eq!(told[11].details(Some(&none)).get("exitCode").map(String::as_str), Some("137"));
        assert_eq!(told[1].name, None, "the network's name is not the container's");
    }

    #[test]
    fn podmans_other_words_are_the_same_actions() {
        let actions: Vec<Action> = read(PODMAN).into_iter().map(|t| t.action).collect();
        use Action::*;
        let expected = [
            Create,
            Other("init".into()),
            Start,
            ExecStart,
            ExecDie,
            Pause,
            Unpause,
            Rename,
            Kill,
            Die,
            Other("cleanup".into()),
            Destroy,
        ];
        assert_eq!(actions, expected);
    }

    #[test]
    fn a_label_cannot_stand_in_for_what_the_engine_says() {
        let told = read(LABELLED);
        let labels: BTreeMap<String, String> =
            [("execID", "spoof"), ("exitCode", "77")].map(|(k, v)| (k.to_owned(), v.to_owned())).into();
        assert_eq!(
            told[0].attributes.get("execID").map(String::as_str),
            Some("spoof"),
            "as the engine sends it"
        );
        assert_eq!(told[0].trusted("execID", Some(&labels)), None);
        assert_eq!(told[0].trusted("execID", None), None, "not while the labels are not known");
        assert_eq!(told[2].details(Some(&labels)), BTreeMap::new());
    }

    #[test]
    fn anything_else_is_no_event() {
        for line in [
            "",
            "{",
            "[]",
            "{}",
            "null",
            "7",
            r#"{"Type":"container"}"#,
            r#"{"Type":7,"Action":[]}"#,
            r#"{"Type":"image","Action":"pull","Actor":{"ID":""}}"#,
        ] {
            assert_eq!(Told::parse(line.as_bytes()), None, "{line}");
        }
        let odd = r#"{"Type":"container","Action":"start","Actor":{"ID":7,"Attributes":[1]},"timeNano":"x"}"#;
        let told = Told::parse(odd.as_bytes()).unwrap();
        assert_eq!((told.container, told.time), (None, 0));
        assert_eq!(
            Told::parse(br#"{"Type":"container","Action":"start","time":9223372036854775807}"#).unwrap().time,
            0
        );
    }
}

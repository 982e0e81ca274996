//! `doors: docker:`, what is done with each kind of request to the Docker API.
//!
//! Without a word ordinary work goes on, and what gives somebody the host by the API's own means, or cannot be seen, is
//! refused: plugins run with rights of their own choosing on the host (moby docs/extend, "Docker Engine managed plugin
//! system"), a swarm hands the engine to its managers, and BuildKit's stream does not pass an authorization plugin (moby
//! api/server/router/grpc).

use sources::document::Node;

use super::Setting;
use crate::decide::Outcome;
use crate::reading::Reader;

/// A kind of request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DockerRequest {
    Read,
    ReadContent,
    Manage,
    Create,
    Start,
    Update,
    Exec,
    CopyInto,
    Attach,
    Volume,
    Network,
    Build,
    BuildStream,
    Pull,
    Load,
    Commit,
    Push,
    Login,
    Plugin,
    Swarm,
    Service,
    Secret,
}

/// One row: the kind, its key in the policy, what is done without a word, and what it is.
pub struct Row {
    pub request: DockerRequest,
    pub key: &'static str,
    pub default: Outcome,
    pub says: &'static str,
}

const fn row(request: DockerRequest, key: &'static str, default: Outcome, says: &'static str) -> Row {
    Row { request, key, default, says }
}

use DockerRequest::{
    Attach, Build, BuildStream, Commit, CopyInto, Create, Exec, Load, Login, Manage, Network, Plugin, Pull,
    Push, Read, ReadContent, Secret, Service, Start, Swarm, Update, Volume,
};
use Outcome::{Allow, Deny};

/// In the order of the documentation, and of the variants.
pub const ROWS: [Row; 22] = [
    row(Read, "read", Allow, "lists, inspections, events"),
    row(ReadContent, "read-content", Allow, "logs, files and images taken out"),
    row(Manage, "manage", Allow, "stop, kill, remove, rename, tag, prune"),
    row(Create, "create", Allow, "a container"),
    row(Start, "start", Allow, "the start of a container"),
    row(Update, "update", Allow, "other limits for a container"),
    row(Exec, "exec", Allow, "a process put into a container"),
    row(CopyInto, "copy-into", Allow, "files put into a container"),
    row(Attach, "attach", Allow, "the streams of a container"),
    row(Volume, "volume", Allow, "a volume"),
    row(Network, "network", Allow, "a network, or a container joined to one"),
    row(Build, "build", Allow, "a build by the classic builder"),
    row(BuildStream, "build-stream", Deny, "a build by BuildKit, whose stream no door sees"),
    row(Pull, "pull", Allow, "an image from a registry"),
    row(Load, "load", Allow, "an image from a file or an address"),
    row(Commit, "commit", Allow, "an image made of a container"),
    row(Push, "push", Allow, "an image sent to a registry"),
    row(Login, "login", Allow, "credentials for a registry"),
    row(Plugin, "plugin", Deny, "plugins of the daemon"),
    row(Swarm, "swarm", Deny, "a swarm made, joined, left or changed, and its nodes"),
    row(Service, "service", Allow, "a service of a swarm"),
    row(Secret, "secret", Allow, "secrets and configs of a swarm"),
];

impl DockerRequest {
    pub fn row(self) -> &'static Row {
        &ROWS[self as usize]
    }
}

/// What is done with each kind of request.
#[derive(Clone, Debug)]
pub struct DockerDoors {
    settings: [Setting; ROWS.len()],
}

impl Default for DockerDoors {
    fn default() -> DockerDoors {
        DockerDoors { settings: std::array::from_fn(|i| Setting::of(ROWS[i].default)) }
    }
}

impl DockerDoors {
    pub fn of(&self, request: DockerRequest) -> &Setting {
        &self.settings[request as usize]
    }

    pub(super) fn read(reader: &mut Reader, node: &Node) -> DockerDoors {
        let mut doors = DockerDoors::default();
        let keys = ROWS.map(|row| row.key);
        if !reader.keys(node, "`docker`", &keys) {
            return doors;
        }
        for (setting, row) in doors.settings.iter_mut().zip(&ROWS) {
            let Some(value) = reader.value(node, row.key) else { continue };
            if let Some(read) = Setting::read(reader, &value, row.key) {
                *setting = read;
            }
        }
        doors
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{NoFiles, Policy};

    fn policy(text: &str) -> Result<Policy, crate::ReadError> {
        Policy::parse(&format!("version: 1\n{text}"), &"p.yaml".into(), &NoFiles)
    }

    #[test]
    fn rows_stand_in_the_order_of_their_requests() {
        for (i, row) in ROWS.iter().enumerate() {
            assert_eq!(row.request as usize, i, "{}", row.key);
        }
    }

    #[test]
    fn every_row_stands_in_the_documentation_with_what_is_done_without_a_word() {
        let page = include_str!("../../../../docs/gate-docker.md");
        for row in &ROWS {
            let key = format!("`{}`", row.key);
            let line = page
                .lines()
                .find(|l| l.starts_with("| `") && l.split('|').nth(1).is_some_and(|c| c.contains(&key)));
            let default = line.and_then(|l| l.split('|').nth(3)).map(|c| c.trim().trim_matches('*'));
            assert_eq!(default, Some(row.default.name()), "{}", row.key);
        }
    }

    #[test]
    fn without_a_word_plugins_swarms_and_streams_are_shut_and_ordinary_work_goes_on() {
        let doors = policy("").expect("it reads").doors.docker;
        let denied: Vec<&str> = ROWS
            .iter()
            .filter(|row| doors.of(row.request).outcome_for(None, None) == Outcome::Deny)
            .map(|row| row.key)
            .collect();
        assert_eq!(denied, ["build-stream", "plugin", "swarm"]);
    }

    #[test]
    fn a_setting_may_leave_out_users_by_name_and_by_number() {
        let text = "doors:\n  docker:\n    build-stream: allow\n    exec: {outcome: deny, allow-users: [ops-*], allow-uids: [0, 1000]}\n";
        let doors = policy(text).expect("it reads").doors.docker;
        assert_eq!(doors.of(BuildStream).outcome_for(None, None), Outcome::Allow);
        let exec = doors.of(Exec);
        assert_eq!(exec.outcome_for(None, None), Outcome::Deny);
        assert_eq!(exec.outcome_for(Some("ops-1"), None), Outcome::Allow);
        assert_eq!(exec.outcome_for(Some("dev"), Some(1000)), Outcome::Allow);
        assert_eq!(exec.outcome_for(Some("dev"), Some(7)), Outcome::Deny);
        assert_eq!(exec.place.as_ref().map(|p| p.line), Some(5));
    }

    #[test]
    fn what_is_wrong_has_its_line_and_a_proposal() {
        for (text, line, says) in [
            ("doors: {podman: {}}", 2, "is not a key of `doors`"),
            ("doors:\n  docker:\n    excec: deny", 4, "did you mean `exec`?"),
            ("doors:\n  docker:\n    exec: never", 4, "must be one of allow, warn, deny"),
            ("doors:\n  docker:\n    exec: {allow-uids: [1]}", 4, "has no `outcome`"),
            ("doors:\n  docker:\n    exec: {outcome: deny, allow-uids: [-1]}", 4, "numbers of users"),
            ("doors:\n  docker:\n    exec:", 4, "has no value"),
        ] {
            let error = policy(text).expect_err(text);
            assert!(
                error.problems.iter().any(|p| p.line == Some(line) && p.message.contains(says)),
                "{text}: {error}"
            );
        }
    }
}

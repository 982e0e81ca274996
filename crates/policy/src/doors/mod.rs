//! The `doors:` section of a policy: what a gate does with requests that make no container, and which of those that do are
//! not even to be judged. What a request makes is judged by the rest of the policy; the worse of both holds.

pub mod docker;
pub mod docker_proxy;
pub mod kubernetes;

use confinement::Place;
use sources::document::Node;

use crate::decide::Outcome;
use crate::pattern::Pattern;
use crate::reading::Reader;

pub use docker::{DockerDoors, DockerRequest};
pub use docker_proxy::{DockerProxy, Routes};
pub use kubernetes::KubernetesDoors;

/// What each door does.
#[derive(Clone, Debug, Default)]
pub struct Doors {
    pub docker: DockerDoors,
    pub kubernetes: KubernetesDoors,
    pub docker_proxy: DockerProxy,
}

impl Doors {
    pub(crate) fn read(reader: &mut Reader, node: &Node) -> Doors {
        let mut doors = Doors::default();
        if !reader.keys(node, "`doors`", &["docker", "docker-proxy", "kubernetes"]) {
            return doors;
        }
        if let Some(docker) = reader.value(node, "docker") {
            doors.docker = DockerDoors::read(reader, &docker);
        }
        if let Some(kubernetes) = reader.value(node, "kubernetes") {
            doors.kubernetes = KubernetesDoors::read(reader, &kubernetes);
        }
        if let Some(proxy) = reader.value(node, "docker-proxy") {
            doors.docker_proxy = DockerProxy::read(reader, &proxy);
        }
        doors
    }
}

/// What is done with one kind of request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    pub outcome: Outcome,
    /// Whom it does not concern: names of certificates, or of users.
    pub allow_users: Vec<Pattern>,
    /// Whom it does not concern, by the id at the other end of the socket.
    pub allow_uids: Vec<u32>,
    /// Where the policy says so; none for what holds without a word.
    pub place: Option<Place>,
}

impl Setting {
    pub(crate) fn of(outcome: Outcome) -> Setting {
        Setting { outcome, allow_users: Vec::new(), allow_uids: Vec::new(), place: None }
    }

    /// What is done for one who asks. Who is not known is nobody in particular.
    pub fn outcome_for(&self, user: Option<&str>, uid: Option<u32>) -> Outcome {
        let is_named = user.is_some_and(|user| self.allow_users.iter().any(|p| p.matches(user)));
        let is_numbered = uid.is_some_and(|uid| self.allow_uids.contains(&uid));
        if is_named || is_numbered { Outcome::Allow } else { self.outcome }
    }

    /// `deny`, or `{outcome: deny, allow-users: […], allow-uids: […]}`.
    pub(crate) fn read(reader: &mut Reader, node: &Node, key: &str) -> Option<Setting> {
        let place = Some(node.place());
        if node.is_scalar() {
            let outcome = reader.word_of(node, key, &OUTCOMES)?;
            return Some(Setting { place, ..Setting::of(outcome) });
        }
        let what = format!("`{key}`");
        if !reader.keys(node, &what, &["outcome", "allow-users", "allow-uids"]) {
            return None;
        }
        if node.get("outcome").is_none() {
            reader.problem(node, format!("{what} has no `outcome`: write what is done for all others"));
        }
        let outcome = reader.word(node, "outcome", &OUTCOMES);
        let allow_users = reader.patterns(node, "allow-users").unwrap_or_default();
        let allow_uids = numbers(reader, node, "allow-uids");
        Some(Setting { outcome: outcome?, allow_users, allow_uids, place })
    }
}

pub(crate) const OUTCOMES: [(&str, Outcome); 3] =
    [("allow", Outcome::Allow), ("warn", Outcome::Warn), ("deny", Outcome::Deny)];

/// A list of ids of users or groups, or one of them.
fn numbers(reader: &mut Reader, node: &Node, key: &str) -> Vec<u32> {
    let Some(value) = reader.value(node, key) else { return Vec::new() };
    let items: Vec<Node> = if value.is_sequence() { value.items().collect() } else { vec![value] };
    let mut numbers = Vec::new();
    for item in items {
        match item.as_i64().and_then(|n| u32::try_from(n).ok()) {
            Some(number) => numbers.push(number),
            None => reader.problem(&item, format!("`{key}` must be numbers of users")),
        }
    }
    numbers
}

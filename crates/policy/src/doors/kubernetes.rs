//! `doors.kubernetes`: what admission does with roles and volumes that open a path, with connections into pods, and with
//! pods that cannot be judged.

use std::sync::Arc;

use sources::document::Node;

use super::OUTCOMES;
use crate::decide::Outcome;
use crate::pattern::Pattern;
use crate::reading::Reader;

/// Connections are tried against one entry after another.
const MAX_CONNECT: usize = 200;

/// How the API server names what a client connects to: the subresource, or the resource it belongs to before it where
/// that is no pod (kubernetes.io, reference/kubernetes-api: operations with the verb CONNECT).
const WAYS: [(&str, Way); 6] = [
    ("exec", Way::Exec),
    ("attach", Way::Attach),
    ("portforward", Way::PortForward),
    ("pods/proxy", Way::PodProxy),
    ("services/proxy", Way::ServiceProxy),
    ("nodes/proxy", Way::NodeProxy),
];

/// A way in to what already runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Way {
    /// A command in a container.
    Exec,
    /// The streams of a container's first process.
    Attach,
    PortForward,
    PodProxy,
    ServiceProxy,
    /// A kubelet's own API: commands in every pod of its node, past admission.
    NodeProxy,
}

impl Way {
    /// From the resource and subresource of a request.
    pub fn of(resource: &str, subresource: &str) -> Option<Way> {
        match (resource, subresource) {
            ("pods", "exec") => Some(Way::Exec),
            ("pods", "attach") => Some(Way::Attach),
            ("pods", "portforward") => Some(Way::PortForward),
            ("pods", "proxy") => Some(Way::PodProxy),
            ("services", "proxy") => Some(Way::ServiceProxy),
            ("nodes", "proxy") => Some(Way::NodeProxy),
            _ => None,
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KubernetesDoors {
    /// What is done with a role whose rights open a path, or a binding that hands out such a role; as the policy says of
    /// what is `open` where it is not given.
    pub roles: Option<Outcome>,
    /// The same for a PersistentVolume that shows its user what opens a path.
    pub persistent_volumes: Option<Outcome>,
    /// What is done with an object that holds pods of which none can be judged: those of Windows nodes.
    pub not_judged: Option<Outcome>,
    /// The first that is meant decides; a connection that none means is allowed, as it gives no more than the pod has.
    pub connect: Vec<Connect>,
}

/// What is done with some connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connect {
    /// Empty: all.
    pub ways: Vec<Way>,
    pub namespaces: Vec<Pattern>,
    pub users: Vec<Pattern>,
    pub groups: Vec<Pattern>,
    pub outcome: Outcome,
    pub message: Option<Arc<str>>,
}

impl Connect {
    /// Whether it is about this connection: every part that is given must match; of a part one entry is enough.
    pub fn matches(&self, way: Way, namespace: &str, user: &str, groups: &[Arc<str>]) -> bool {
        let any = |patterns: &[Pattern], text: &str| {
            patterns.is_empty() || patterns.iter().any(|p| p.matches(text))
        };
        (self.ways.is_empty() || self.ways.contains(&way))
            && any(&self.namespaces, namespace)
            && any(&self.users, user)
            && (self.groups.is_empty() || groups.iter().any(|group| any(&self.groups, group)))
    }
}

impl KubernetesDoors {
    /// What is done with a connection, and the words for it where the policy has some.
    pub fn connection(
        &self,
        way: Way,
        namespace: &str,
        user: &str,
        groups: &[Arc<str>],
    ) -> (Outcome, Option<&Arc<str>>) {
        match self.connect.iter().find(|c| c.matches(way, namespace, user, groups)) {
            Some(connect) => (connect.outcome, connect.message.as_ref()),
            None => (Outcome::Allow, None),
        }
    }

    pub(super) fn read(reader: &mut Reader, node: &Node) -> KubernetesDoors {
        let keys = ["roles", "persistent-volumes", "not-judged", "connect"];
        if !reader.keys(node, "`doors.kubernetes`", &keys) {
            return KubernetesDoors::default();
        }
        let items = reader.items(node, "connect");
        if items.len() > MAX_CONNECT {
            reader.problem(node, format!("`connect` has at most {MAX_CONNECT} entries"));
        }
        KubernetesDoors {
            roles: reader.word(node, "roles", &OUTCOMES),
            persistent_volumes: reader.word(node, "persistent-volumes", &OUTCOMES),
            not_judged: reader.word(node, "not-judged", &OUTCOMES),
            connect: items.iter().take(MAX_CONNECT).filter_map(|item| connect(reader, item)).collect(),
        }
    }
}

fn connect(reader: &mut Reader, node: &Node) -> Option<Connect> {
    let keys = ["to", "namespaces", "users", "groups", "outcome", "message"];
    if !reader.keys(node, "an entry of `connect`", &keys) {
        return None;
    }
    let mut patterns = |key: &str| {
        let found = reader.patterns(node, key);
        if found.as_ref().is_some_and(Vec::is_empty) {
            reader.problem(node, format!("`{key}` is an empty list, which matches nothing"));
        }
        found.unwrap_or_default()
    };
    let (namespaces, users, groups) = (patterns("namespaces"), patterns("users"), patterns("groups"));
    if node.get("outcome").is_none() {
        reader.problem(node, "an entry of `connect` has no `outcome`: write allow, warn or deny");
    }
    Some(Connect {
        ways: reader.words(node, "to", &WAYS).unwrap_or_default(),
        namespaces,
        users,
        groups,
        outcome: reader.word(node, "outcome", &OUTCOMES)?,
        message: reader.text(node, "message").map(|text| text.value),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rule::read::NoFiles;
    use crate::{Policy, ReadError};

    fn policy(doors: &str) -> Result<Policy, ReadError> {
        Policy::parse(&format!("version: 1\ndoors:\n  kubernetes:\n{doors}"), &"p.yaml".into(), &NoFiles)
    }

    #[test]
    fn the_first_entry_that_is_meant_decides_about_a_connection() {
        let text = "    connect:\n    - {to: [exec, attach], namespaces: [prod-*], groups: [oncall], outcome: warn}\n    \
                    - {to: exec, namespaces: [prod-*], outcome: deny, message: use the runbook}\n";
        let door = policy(text).unwrap().doors.kubernetes;
        let oncall: Vec<Arc<str>> = vec!["dev".into(), "oncall".into()];
        let outcome = |way, namespace, groups| door.connection(way, namespace, "ada", groups).0;
        assert_eq!(outcome(Way::Exec, "prod-eu", &oncall), Outcome::Warn);
        assert_eq!(outcome(Way::Exec, "prod-eu", &[]), Outcome::Deny);
        assert_eq!(outcome(Way::Attach, "prod-eu", &[]), Outcome::Allow);
        assert_eq!(outcome(Way::Exec, "test", &[]), Outcome::Allow);
        let said = door.connection(Way::Exec, "prod-eu", "ada", &[]).1.unwrap();
        assert_eq!(&**said, "use the runbook");
    }

    #[test]
    fn what_is_wrong_in_the_section_is_told_with_its_line() {
        for (text, line, said) in [
            ("    rolls: deny\n", 4, "did you mean `roles`"),
            ("    roles: no\n", 4, "`roles` must be one of allow, warn, deny"),
            ("    connect:\n    - {to: exec}\n", 5, "no `outcome`"),
            ("    connect:\n    - {to: ssh, outcome: deny}\n", 5, "`to` must be one of exec, attach"),
            ("    connect:\n    - {users: [], outcome: deny}\n", 5, "matches nothing"),
        ] {
            let error = policy(text).unwrap_err();
            let found = error.problems.iter().any(|p| p.line == Some(line) && p.message.contains(said));
            assert!(found, "{text}: {error}");
        }
    }
}

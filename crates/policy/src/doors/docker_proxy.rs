//! `doors: docker-proxy:`, which routes the filtered socket of the Docker API lets through at all, and for whom. What is let
//! through is then decided like any other request.

use sources::document::Node;

use super::docker::ROWS;
use crate::pattern::Pattern;
use crate::reading::{Reader, Text};

const METHODS: [&str; 5] = ["GET", "HEAD", "POST", "PUT", "DELETE"];

/// What the filtered socket lets through.
#[derive(Clone, Debug, Default)]
pub struct DockerProxy {
    /// For everybody who may connect.
    pub allow: Vec<Routes>,
    pub callers: Vec<Caller>,
}

/// What some users may ask beside.
#[derive(Clone, Debug, Default)]
pub struct Caller {
    pub uids: Vec<u32>,
    pub gids: Vec<u32>,
    pub allow: Vec<Routes>,
}

/// Some routes of the API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Routes(Pattern);

#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct RoutesError(String);

impl Routes {
    /// A kind of request as `doors: docker:` names it (`read`, `create`), or a method and a path as the API's reference
    /// writes it, `*` for any characters: `GET /containers/{}/logs`, `GET /images/*`, `* /volumes*`.
    pub fn parse(text: &str) -> Result<Routes, RoutesError> {
        let Some((method, path)) = text.split_once(' ') else {
            if ROWS.iter().any(|row| row.key == text) {
                return Ok(Routes(Pattern::new(text)));
            }
            let kinds: Vec<&str> = ROWS.iter().map(|row| row.key).collect();
            return Err(RoutesError(format!(
                "`{text}` is no kind of request ({}); write one, or a method and a path: `GET /containers/json`",
                kinds.join(", ")
            )));
        };
        if method != "*" && !METHODS.contains(&method) {
            return Err(RoutesError(format!(
                "`{method}` is no method of the API; it has {}, or `*`",
                METHODS.join(", ")
            )));
        }
        if !path.starts_with('/') && path != "*" {
            return Err(RoutesError(format!("the path `{path}` must begin with `/`, without a version")));
        }
        Ok(Routes(Pattern::new(text)))
    }

    /// Whether they hold a route of a kind, by its row: `GET /containers/{}/logs`.
    pub fn hold(&self, kind: &str, row: &str) -> bool {
        self.0.as_str() == kind || self.0.matches(row)
    }

    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl DockerProxy {
    /// What one caller may ask.
    pub fn allowed(&self, uid: Option<u32>, gid: Option<u32>) -> impl Iterator<Item = &Routes> {
        let is = |ids: &[u32], id: Option<u32>| id.is_some_and(|id| ids.contains(&id));
        let of_caller = self.callers.iter().filter(move |c| is(&c.uids, uid) || is(&c.gids, gid));
        self.allow.iter().chain(of_caller.flat_map(|caller| &caller.allow))
    }

    pub(super) fn read(reader: &mut Reader, node: &Node) -> DockerProxy {
        let mut proxy = DockerProxy::default();
        if !reader.keys(node, "`docker-proxy`", &["allow", "callers"]) {
            return proxy;
        }
        proxy.allow = routes(reader, node);
        for item in reader.items(node, "callers") {
            if !reader.keys(&item, "a caller", &["uids", "gids", "allow"]) {
                continue;
            }
            let uids = super::numbers(reader, &item, "uids");
            let gids = super::numbers(reader, &item, "gids");
            if uids.is_empty() && gids.is_empty() {
                reader.problem(&item, "a caller is named by `uids`, `gids` or both; for everybody, write `allow` without a caller");
            }
            let allow = routes(reader, &item);
            if allow.is_empty() {
                reader.problem(&item, "the caller has no `allow`, which says what is let through");
            }
            proxy.callers.push(Caller { uids, gids, allow });
        }
        proxy
    }
}

fn routes(reader: &mut Reader, node: &Node) -> Vec<Routes> {
    let mut routes = Vec::new();
    for Text { value, place } in reader.texts(node, "allow").unwrap_or_default() {
        match Routes::parse(&value) {
            Ok(read) => routes.push(read),
            Err(error) => reader.problems.push(confinement::Problem::at(&place, error.to_string())),
        }
    }
    routes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{NoFiles, Policy};

    fn proxy(text: &str) -> Result<DockerProxy, crate::ReadError> {
        let text = format!("version: 1\ndoors:\n  docker-proxy:\n{text}");
        Policy::parse(&text, &"p.yaml".into(), &NoFiles).map(|policy| policy.doors.docker_proxy)
    }

    #[test]
    fn a_caller_has_what_everybody_has_and_what_is_named_for_it() {
        let proxy = proxy(
            "    allow: [read]\n    callers:\n      - {uids: 1000, allow: [read-content]}\n      - {gids: [7], allow: 'POST /containers/*/restart'}\n",
        )
        .expect("it reads");
        let may =
            |uid, gid, kind: &str, row: &str| proxy.allowed(Some(uid), Some(gid)).any(|r| r.hold(kind, row));
        assert!(may(5, 5, "read", "GET /containers/json"));
        assert!(!may(5, 5, "read-content", "GET /containers/{}/logs"));
        assert!(may(1000, 5, "read-content", "GET /containers/{}/logs"));
        assert!(may(5, 7, "start", "POST /containers/{}/restart"));
        assert!(!may(5, 7, "start", "POST /containers/{}/start"));
        assert_eq!(proxy.allowed(None, None).count(), 1, "who is not known is nobody in particular");
    }

    #[test]
    fn what_is_wrong_has_its_line_and_says_what_to_write() {
        for (text, line, says) in [
            ("    alow: [read]\n", 4, "did you mean `allow`?"),
            ("    allow: [reads]\n", 4, "no kind of request"),
            ("    allow: ['get /containers/json']\n", 4, "no method"),
            ("    allow: ['GET containers/json']\n", 4, "must begin with `/`"),
            ("    callers: [{allow: [read]}]\n", 4, "named by `uids`"),
            ("    callers: [{uids: [1]}]\n", 4, "has no `allow`"),
            ("    callers: [{uids: [a], allow: [read]}]\n", 4, "`uids` must be numbers"),
        ] {
            let error = proxy(text).expect_err(text);
            assert!(
                error.problems.iter().any(|p| p.line == Some(line) && p.message.contains(says)),
                "{text}: {error}"
            );
        }
    }
}

//! What a request to the Docker API is about: its method and path read as the daemon routes them, against one table of
//! every route of the API up to 1.55.
//!
//! The daemon matches the decoded path (`gorilla/mux`, `UseEncodedPath` off) with and without a version in front, and
//! answers an unclean path (`//`, `/../`) with a redirect. No client of the API writes such a path, so it is refused here
//! before anything else is asked, as is an escaped slash: the two could be read in two ways.
//!
//! Source: moby, api/server/router of 20.10 and 29, api/swagger.yaml.

use thiserror::Error;

/// What a route can do beyond telling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Only tells.
    Reads,
    /// Tells what lies in containers or images: files, memory, output.
    ReadsContent,
    /// Changes or ends what is there, gives nothing to anybody.
    Manages,
    /// Makes a container from a body.
    CreatesContainer,
    /// Starts one; before API 1.24 with a HostConfig in the body.
    StartsContainer,
    /// Changes limits of a container.
    UpdatesContainer,
    /// Adds a process to a container.
    CreatesExec,
    StartsExec,
    /// Writes files into a container.
    WritesContainer,
    /// Joins the streams of a container or process.
    Attaches,
    CreatesVolume,
    CreatesNetwork,
    Builds,
    /// gRPC of BuildKit: what goes over it is not seen.
    BuildStream,
    PullsImage,
    LoadsImage,
    /// Makes an image of a container.
    Commits,
    PushesImage,
    /// Writes a container's memory to a folder.
    MakesCheckpoint,
    ChangesPlugins,
    ChangesSwarm,
    /// Makes or changes a service, whose tasks are containers.
    ChangesService,
    KeepsSecret,
    HandsCredentials,
}

/// A request, told apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    pub effect: Effect,
    /// The row of the table, for messages and records: `POST /containers/{id}/exec`.
    pub pattern: String,
    /// What stands for `{id}` and `{name}`, decoded, in order.
    pub parameters: Vec<String>,
    /// The version in front of the path, where there is one.
    pub version: Option<(u32, u32)>,
    /// Decoded, in order, each as often as it comes.
    pub query: Vec<(String, String)>,
}

impl Route {
    /// The first value of a key, as Go's `Form.Get` gives it.
    pub fn query(&self, key: &str) -> Option<&str> {
        self.query.iter().find(|(k, _)| k == key).map(|(_, value)| value.as_str())
    }
    /// Whether a key is set as the daemon reads booleans (`httputils.BoolValue`).
    pub fn flag(&self, key: &str) -> bool {
        let value = self.query(key).unwrap_or_default().trim().to_lowercase();
        !matches!(value.as_str(), "" | "0" | "no" | "false" | "none")
    }
}

#[derive(Debug, Error, PartialEq, Eq)]
pub enum RouteError {
    #[error("the path {0:?} is not in its plain form; the daemon would answer with a redirect")]
    Unclean(String),
    #[error("the path {0:?} holds an escape that cannot be read in one way only")]
    Escape(String),
    #[error("the parameters {0:?} hold a `;` or a broken escape, and daemons differ in how they read that")]
    Parameters(String),
    #[error("{method} {path} is no route of the Docker API that is known here")]
    Unknown { method: String, path: String },
}

use Effect::{
    Attaches, BuildStream, Builds, ChangesPlugins, ChangesService, ChangesSwarm, Commits, CreatesContainer,
    CreatesExec, CreatesNetwork, CreatesVolume, HandsCredentials, KeepsSecret, LoadsImage, MakesCheckpoint,
    Manages, PullsImage, PushesImage, Reads, ReadsContent, StartsContainer, StartsExec, UpdatesContainer,
    WritesContainer,
};

/// Method, path, effect. `{}` is one part of a path, `{*}` one or more: names of images and plugins hold slashes.
const ROUTES: &[(&str, &str, Effect)] = &[
    ("GET", "/_ping", Reads),
    ("HEAD", "/_ping", Reads),
    ("GET", "/events", Reads),
    ("GET", "/info", Reads),
    ("GET", "/version", Reads),
    ("GET", "/system/df", Reads),
    ("POST", "/auth", HandsCredentials),
    // containers
    ("GET", "/containers/json", Reads),
    ("GET", "/containers/{}/json", Reads),
    ("GET", "/containers/{}/top", Reads),
    ("GET", "/containers/{}/stats", Reads),
    ("GET", "/containers/{}/changes", Reads),
    ("GET", "/containers/{}/logs", ReadsContent),
    ("GET", "/containers/{}/export", ReadsContent),
    ("GET", "/containers/{}/archive", ReadsContent),
    ("HEAD", "/containers/{}/archive", ReadsContent),
    ("PUT", "/containers/{}/archive", WritesContainer),
    ("POST", "/containers/{}/copy", ReadsContent),
    ("GET", "/containers/{}/attach/ws", Attaches),
    ("POST", "/containers/{}/attach", Attaches),
    ("POST", "/containers/create", CreatesContainer),
    ("POST", "/containers/{}/start", StartsContainer),
    ("POST", "/containers/{}/restart", StartsContainer),
    ("POST", "/containers/{}/unpause", Manages),
    ("POST", "/containers/{}/pause", Manages),
    ("POST", "/containers/{}/kill", Manages),
    ("POST", "/containers/{}/stop", Manages),
    ("POST", "/containers/{}/wait", Manages),
    ("POST", "/containers/{}/resize", Manages),
    ("POST", "/containers/{}/rename", Manages),
    ("POST", "/containers/{}/update", UpdatesContainer),
    ("POST", "/containers/prune", Manages),
    ("DELETE", "/containers/{}", Manages),
    ("POST", "/containers/{}/exec", CreatesExec),
    ("POST", "/exec/{}/start", StartsExec),
    ("POST", "/exec/{}/resize", Manages),
    ("GET", "/exec/{}/json", Reads),
    // checkpoints (experimental)
    ("GET", "/containers/{}/checkpoints", Reads),
    ("POST", "/containers/{}/checkpoints", MakesCheckpoint),
    ("DELETE", "/containers/{}/checkpoints/{}", Manages),
    // images
    ("GET", "/images/json", Reads),
    ("GET", "/images/search", Reads),
    ("GET", "/images/get", ReadsContent),
    ("GET", "/images/{*}/json", Reads),
    ("GET", "/images/{*}/history", Reads),
    ("GET", "/images/{*}/attestations", Reads),
    ("GET", "/images/{*}/get", ReadsContent),
    ("GET", "/distribution/{*}/json", Reads),
    ("POST", "/images/create", PullsImage),
    ("POST", "/images/load", LoadsImage),
    ("POST", "/images/{*}/push", PushesImage),
    ("POST", "/images/{*}/tag", Manages),
    ("POST", "/images/prune", Manages),
    ("DELETE", "/images/{*}", Manages),
    ("POST", "/commit", Commits),
    ("POST", "/build", Builds),
    ("POST", "/build/prune", Manages),
    ("POST", "/build/cancel", Manages),
    ("POST", "/session", BuildStream),
    ("POST", "/grpc", BuildStream),
    // volumes
    ("GET", "/volumes", Reads),
    ("GET", "/volumes/{}", Reads),
    ("POST", "/volumes/create", CreatesVolume),
    ("POST", "/volumes/prune", Manages),
    ("PUT", "/volumes/{}", CreatesVolume),
    ("DELETE", "/volumes/{}", Manages),
    // networks
    ("GET", "/networks", Reads),
    ("GET", "/networks/", Reads),
    ("GET", "/networks/{*}", Reads),
    ("POST", "/networks/create", CreatesNetwork),
    ("POST", "/networks/{}/connect", CreatesNetwork),
    ("POST", "/networks/{}/disconnect", Manages),
    ("POST", "/networks/prune", Manages),
    ("DELETE", "/networks/{}", Manages),
    // plugins
    ("GET", "/plugins", Reads),
    ("GET", "/plugins/privileges", Reads),
    ("GET", "/plugins/{*}/json", Reads),
    ("POST", "/plugins/pull", ChangesPlugins),
    ("POST", "/plugins/create", ChangesPlugins),
    ("POST", "/plugins/{*}/enable", ChangesPlugins),
    ("POST", "/plugins/{*}/disable", ChangesPlugins),
    ("POST", "/plugins/{*}/push", ChangesPlugins),
    ("POST", "/plugins/{*}/upgrade", ChangesPlugins),
    ("POST", "/plugins/{*}/set", ChangesPlugins),
    ("DELETE", "/plugins/{*}", ChangesPlugins),
    // swarm
    ("GET", "/swarm", Reads),
    ("GET", "/swarm/unlockkey", ReadsContent),
    ("POST", "/swarm/init", ChangesSwarm),
    ("POST", "/swarm/join", ChangesSwarm),
    ("POST", "/swarm/leave", ChangesSwarm),
    ("POST", "/swarm/update", ChangesSwarm),
    ("POST", "/swarm/unlock", ChangesSwarm),
    ("GET", "/services", Reads),
    ("GET", "/services/{}", Reads),
    ("GET", "/services/{}/logs", ReadsContent),
    ("POST", "/services/create", ChangesService),
    ("POST", "/services/{}/update", ChangesService),
    ("DELETE", "/services/{}", Manages),
    ("GET", "/nodes", Reads),
    ("GET", "/nodes/{}", Reads),
    ("POST", "/nodes/{}/update", ChangesSwarm),
    ("DELETE", "/nodes/{}", ChangesSwarm),
    ("GET", "/tasks", Reads),
    ("GET", "/tasks/{}", Reads),
    ("GET", "/tasks/{}/logs", ReadsContent),
    ("GET", "/secrets", Reads),
    ("GET", "/secrets/{}", Reads),
    ("POST", "/secrets/create", KeepsSecret),
    ("POST", "/secrets/{}/update", KeepsSecret),
    ("DELETE", "/secrets/{}", KeepsSecret),
    ("GET", "/configs", Reads),
    ("GET", "/configs/{}", ReadsContent),
    ("POST", "/configs/create", KeepsSecret),
    ("POST", "/configs/{}/update", KeepsSecret),
    ("DELETE", "/configs/{}", KeepsSecret),
];

/// Every row of the table, as [`Route::pattern`] has it.
pub fn rows() -> impl Iterator<Item = String> {
    ROUTES.iter().map(|(method, pattern, _)| format!("{method} {pattern}"))
}

/// Reads a method and a request target (`RequestUri` of the plugin protocol).
pub fn read(method: &str, uri: &str) -> Result<Route, RouteError> {
    // A client may send the absolute form; the daemon reads the path of it.
    let target = ["http://", "https://"].iter().find_map(|scheme| uri.strip_prefix(scheme));
    let target = match target {
        Some(rest) => rest.find('/').map_or("/", |slash| &rest[slash..]),
        None => uri,
    };
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let path = decoded(path, false).ok_or_else(|| RouteError::Escape(path.to_owned()))?;
    let clean = path.starts_with('/') && !path.contains("//");
    if !clean || path.split('/').any(|part| part == "." || part == "..") {
        return Err(RouteError::Unclean(path));
    }
    let (version, rest) = versioned(&path);
    let parts: Vec<&str> = rest.split('/').skip(1).collect();
    let found = ROUTES.iter().filter(|(m, ..)| *m == method).find_map(|(m, pattern, effect)| {
        let parameters = matched(&pattern.split('/').skip(1).collect::<Vec<_>>(), &parts)?;
        Some((format!("{m} {pattern}"), *effect, parameters))
    });
    let Some((pattern, effect, parameters)) = found else {
        return Err(RouteError::Unknown { method: method.to_owned(), path });
    };
    let query = pairs(query).ok_or_else(|| RouteError::Parameters(query.to_owned()))?;
    Ok(Route { effect, pattern, parameters, version, query })
}

/// `/v1.41/containers` as its version and `/containers`; the daemon takes digits and points (`/v{version:[0-9.]+}`).
fn versioned(path: &str) -> (Option<(u32, u32)>, &str) {
    let plain = (None, path);
    let Some(rest) = path.strip_prefix("/v") else { return plain };
    let Some(slash) = rest.find('/') else { return plain };
    let (version, rest) = rest.split_at(slash);
    if version.is_empty() || !version.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        return plain;
    }
    let (major, minor) = version.split_once('.').unwrap_or((version, "0"));
    // A version that is no version is answered with an error by the daemon, after this door; the oldest is assumed.
    (Some((major.parse().unwrap_or(0), minor.parse().unwrap_or(0))), rest)
}

fn matched(pattern: &[&str], parts: &[&str]) -> Option<Vec<String>> {
    match (pattern.split_first(), parts.split_first()) {
        (None, None) => Some(Vec::new()),
        (Some((&"{}", pattern)), Some((part, parts))) if !part.is_empty() => {
            let mut all = vec![(*part).to_owned()];
            all.extend(matched(pattern, parts)?);
            Some(all)
        }
        (Some((&"{*}", pattern)), Some(_)) => (1..=parts.len()).rev().find_map(|taken| {
            let name = parts[..taken].join("/");
            let mut all = vec![name];
            all.extend(matched(pattern, &parts[taken..])?);
            (!all[0].is_empty()).then_some(all)
        }),
        (Some((word, pattern)), Some((part, parts))) if word == part => matched(pattern, parts),
        _ => None,
    }
}

/// A query as Go's `url.ParseQuery` reads it. A `;` parted pairs until Go 1.17 and is an error since; a pair with a broken
/// escape is an error too.
fn pairs(query: &str) -> Option<Vec<(String, String)>> {
    if query.contains(';') {
        return None;
    }
    let pair = |pair: &str| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        Some((decoded(key, true)?, decoded(value, true)?))
    };
    query.split('&').filter(|text| !text.is_empty()).map(pair).collect()
}

/// Percent escapes decoded once; none where one is broken, or in a path stands for a slash or a NUL.
fn decoded(text: &str, query: bool) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let high = char::from(rest.next()?).to_digit(16)?;
                let low = char::from(rest.next()?).to_digit(16)?;
                let byte = u8::try_from(high * 16 + low).ok()?;
                if !query && matches!(byte, b'/' | b'\\' | 0) {
                    return None;
                }
                byte
            }
            b'+' if query => b' ',
            0..=0x20 | 0x7f => return None,
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn effect(method: &str, uri: &str) -> Result<Effect, RouteError> {
        read(method, uri).map(|route| route.effect)
    }

    #[test]
    fn a_request_is_told_apart_with_and_without_a_version() {
        for uri in [
            "/containers/create",
            "/v1.41/containers/create?name=x",
            "http://docker/v1.24/containers/create",
            "/v1.41/%63ontainers/create",
        ] {
            assert_eq!(effect("POST", uri), Ok(CreatesContainer), "{uri}");
        }
        let route = read("POST", "/v1.23/containers/abc/start?t=1&t=2").expect("a route");
        assert_eq!((route.effect, route.version), (StartsContainer, Some((1, 23))));
        assert_eq!(
            (route.parameters, route.query),
            (vec!["abc".to_owned()], vec![("t".into(), "1".into()), ("t".into(), "2".into())])
        );
    }

    #[test]
    fn names_with_slashes_are_one_parameter() {
        let route = read("GET", "/v1.41/images/registry.example:5000/team/app:1/json").expect("a route");
        assert_eq!(route.parameters, ["registry.example:5000/team/app:1"]);
        assert_eq!(effect("POST", "/plugins/vieux/sshfs:latest/enable"), Ok(ChangesPlugins));
    }

    #[test]
    fn a_path_that_can_be_read_in_two_ways_is_refused() {
        for uri in [
            "//v1.41/containers/create",
            "/v1.41//containers/create",
            "/v1.41/../containers/create",
            "/v1.41/x/../containers/create",
            "/./containers/create",
            "containers/create",
            "",
        ] {
            assert!(matches!(read("POST", uri), Err(RouteError::Unclean(_))), "{uri}");
        }
        for uri in [
            "/v1.41/containers%2Fcreate",
            "/containers/create%00",
            "/containers/%zz",
            "/containers/%2",
            "/containers/create\n",
        ] {
            assert!(matches!(read("POST", uri), Err(RouteError::Escape(_))), "{uri}");
        }
        for uri in ["/build?t=x;networkmode=host", "/build?networkmode=%zz"] {
            assert!(matches!(read("POST", uri), Err(RouteError::Parameters(_))), "{uri}");
        }
    }

    #[test]
    fn what_is_in_no_table_is_unknown() {
        for (method, uri) in [
            ("POST", "/containers/create/x"),
            ("PATCH", "/containers/json"),
            ("post", "/containers/create"),
            ("POST", "/v1.41/new/thing"),
            ("GET", "/containers//json"),
            ("POST", "/v1.41"),
            ("POST", "/containers/create/"),
        ] {
            assert!(read(method, uri).is_err(), "{method} {uri}");
        }
    }

    #[test]
    fn flags_are_read_as_the_daemon_reads_them() {
        let route = read("DELETE", "/containers/x?force=1&v=False&link=none&x=yes").expect("a route");
        assert!(route.flag("force") && route.flag("x"));
        assert!(!route.flag("v") && !route.flag("link") && !route.flag("absent"));
    }
}

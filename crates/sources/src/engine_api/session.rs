//! One engine that is asked again and again while its containers come and go: what is the same for all of them (its
//! version, its settings) is asked once, a container when it starts, an exec when it is made. `watch` holds one for
//! each engine of the machine.

use std::collections::BTreeMap;
use std::sync::Arc;

use confinement::{Confinement, Engine, EngineKind, Host, Origin, Problem, confine};
use serde_json::Value;

use super::answer::Answer;
use super::container::{self, Neighbours};
use super::follow::Follow;
use super::http::{self, Endpoint, HttpError};
use super::{docker, podman};

/// What does not change while the engine runs.
pub struct Session {
    kind: EngineKind,
    endpoint: Endpoint,
    /// `/v1.41`, `/v4.0.0/libpod`.
    prefix: String,
    engine: Arc<Engine>,
    host: Arc<Host>,
    realm: Arc<str>,
    runtimes: BTreeMap<Arc<str>, Arc<str>>,
    data_root: Option<String>,
    local: bool,
}

impl Session {
    /// Asks the engine what it is. `host` is this machine.
    pub fn open(kind: EngineKind, endpoint: &Endpoint, host: &Arc<Host>) -> Result<Session, HttpError> {
        let known = match kind {
            EngineKind::Podman => podman::known(endpoint)?,
            _ => docker::known(endpoint)?,
        };
        let Known { prefix, engine, runtimes, data_root, local } = known;
        Ok(Session {
            kind,
            endpoint: endpoint.clone(),
            prefix,
            engine: Arc::new(engine),
            host: host.clone(),
            realm: endpoint.to_string().into(),
            runtimes,
            data_root,
            local,
        })
    }

    pub fn kind(&self) -> EngineKind {
        self.kind
    }
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }
    pub fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }
    /// Names of the OCI runtimes that a container may ask for, as far as the engine tells them.
    pub fn runtimes(&self) -> impl Iterator<Item = &str> {
        self.runtimes.keys().map(|name| &**name)
    }
    /// The folder in which it keeps images, containers and volumes, where it tells it.
    pub fn data_root(&self) -> Option<&str> {
        self.data_root.as_deref()
    }
    /// Whether its containers are processes of this machine: a socket may be forwarded from another.
    pub fn is_local(&self) -> bool {
        self.local
    }

    fn get(&self, path: &str) -> Result<Value, HttpError> {
        let path = format!("{}{path}", self.prefix);
        let bytes = http::get(&self.endpoint, &path)?;
        serde_json::from_slice(&bytes).map_err(|error| HttpError::NotHttp { path, why: error.to_string() })
    }

    /// Nothing where the engine has no such object, or has it no more.
    fn find(&self, path: &str) -> Result<Option<Value>, HttpError> {
        match self.get(path) {
            Ok(found) => Ok(Some(found)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Ids of the containers that run.
    pub fn running(&self) -> Result<Vec<Arc<str>>, HttpError> {
        let answer = self.get("/containers/json")?;
        let list = answer.as_array().map(Vec::as_slice).unwrap_or_default();
        Ok(list.iter().filter_map(|c| c.get("Id")?.as_str().map(Arc::from)).collect())
    }

    /// The engine's inspection of a container.
    pub fn inspect(&self, id: &str) -> Result<Option<Value>, HttpError> {
        self.find(&format!("/containers/{}/json", http::encode(id)))
    }

    /// What the engine has of a process that was put into a container: `docker exec inspect` of the API.
    pub fn inspect_exec(&self, id: &str) -> Result<Option<Value>, HttpError> {
        self.find(&format!("/exec/{}/json", http::encode(id)))
    }

    /// The engine's inspection of a volume.
    pub fn inspect_volume(&self, name: &str) -> Result<Option<Value>, HttpError> {
        self.find(&format!("/volumes/{}", http::encode(name)))
    }

    /// The engine's inspection of a network, by its name or id.
    pub fn inspect_network(&self, reference: &str) -> Result<Option<Value>, HttpError> {
        self.find(&format!("/networks/{}", http::encode(reference)))
    }

    /// The engine's inspection of an image, by its name or id. The slashes of a name stay: an escaped one is not the
    /// same to everything that stands between.
    pub fn inspect_image(&self, reference: &str) -> Result<Option<Value>, HttpError> {
        let parts: Vec<String> = reference.split('/').map(http::encode).collect();
        self.find(&format!("/images/{}/json", parts.join("/")))
    }

    /// The first digest by which a registry knows the image, where it came from one.
    pub fn image_digest(&self, image: &str) -> Result<Option<String>, HttpError> {
        let Some(found) = self.find(&format!("/images/{}/json", http::encode(image)))? else {
            return Ok(None);
        };
        let digests = found.get("RepoDigests").and_then(Value::as_array);
        let first = digests.and_then(|list| list.first()?.as_str()?.split_once('@'));
        Ok(first.map(|(_, digest)| digest.to_owned()))
    }

    /// The confinement that an inspection leads to by the engine's own words. References to other containers name
    /// them by their ids.
    pub fn confinement(&self, inspected: Value) -> Result<(Confinement, Vec<Problem>), HttpError> {
        self.confinement_with(inspected, &[])
    }

    /// The same where the engine will make these volumes of its own, which are not there yet.
    pub fn confinement_with(
        &self,
        inspected: Value,
        new_volumes: &[String],
    ) -> Result<(Confinement, Vec<Problem>), HttpError> {
        let has_volumes = inspected
            .get("Mounts")
            .and_then(Value::as_array)
            .is_some_and(|list| list.iter().any(|m| m.get("Type").and_then(Value::as_str) == Some("volume")));
        let mut volumes = match (has_volumes, self.kind) {
            (false, _) => BTreeMap::new(),
            (true, EngineKind::Podman) => podman::volumes_at(&self.endpoint, &self.realm)?,
            (true, _) => docker::volumes_at(&self.endpoint, &self.prefix, &self.realm)?,
        };
        for name in new_volumes {
            let asked = format!("{} volume inspect {}", self.kind.name(), crate::measured::printable(name));
            let origin = Origin::measured(asked);
            let source = super::volume_source(None, &[], None, name, &self.realm, origin);
            volumes.entry(name.as_str().into()).or_insert(source);
        }
        let neighbours = Neighbours {
            names: BTreeMap::new(),
            volumes: Some(volumes),
            runtimes: self.runtimes.clone(),
            local: self.local,
        };
        let answer = Answer::new(inspected, format!("{} inspect", self.kind.name()));
        let root = answer.root();
        let request = container::request(&root, &self.engine, &neighbours);
        let mut confinement = confine(&request, &self.engine, &self.host);
        container::overlay_stated(&root, self.kind, &mut confinement);
        Ok((confinement, answer.into_problems()))
    }

    /// What happens from now on, or from `since` (nanoseconds since 1970), as far back as the engine keeps it: moby
    /// the last 256 (daemon/events/events.go, `eventsLimit`), Podman whatever its log holds.
    pub fn events(&self, since: Option<i64>) -> Result<Follow, HttpError> {
        let since = since.map(|nanoseconds| {
            format!("?since={}.{:09}", nanoseconds / 1_000_000_000, nanoseconds % 1_000_000_000)
        });
        let path = format!("{}/events{}", self.prefix, since.unwrap_or_default());
        Follow::open(&self.endpoint, &path)
    }
}

/// What an engine tells of itself.
pub(super) struct Known {
    pub(super) prefix: String,
    pub(super) engine: Engine,
    pub(super) runtimes: BTreeMap<Arc<str>, Arc<str>>,
    pub(super) data_root: Option<String>,
    pub(super) local: bool,
}

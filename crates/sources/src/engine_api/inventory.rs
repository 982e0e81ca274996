//! What a benchmark asks of the daemon beyond containers: its images, swarm mode, overlay networks. What a daemon
//! refuses is left unknown, with a note.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use super::READING_LIMIT;
use super::answer::{Answer, Field};
use super::docker::{Client, Opened};
use super::http::{self, Endpoint, HttpError};
use crate::inventory::{EngineInventory, ImageInventory, Network, Swarm, image_history};

/// More than this are not looked at one by one, and said so.
const MOST_IMAGES: usize = 1000;

pub(super) fn read(endpoint: &Endpoint) -> Result<EngineInventory, HttpError> {
    let started = Instant::now();
    let Opened { client, info, all, .. } = Opened::at(endpoint, &mut Default::default())?;
    let info = info.root();
    let mut found = EngineInventory {
        version: info.get("ServerVersion").plain().map(|v| v.to_string()),
        data_root: info.get("DockerRootDir").plain().map(|v| v.to_string()),
        containers: number(&info.get("Containers")),
        running: number(&info.get("ContainersRunning")),
        ..EngineInventory::default()
    };
    let mut notes = Vec::new();
    if let Some(answer) = asked(client.get("/images/json", "docker images"), "images", &mut notes) {
        let images = answer.root().list();
        let used: BTreeSet<Arc<str>> =
            all.root().list().iter().filter_map(|c| c.get("ImageID").plain()).collect();
        let ids = images.iter().filter_map(|image| image.get("Id").plain());
        found.images_used = Some(ids.filter(|id| used.contains(id)).count() as u64);
        let mut read = Vec::new();
        for (at, image) in images.iter().enumerate() {
            if at == MOST_IMAGES || started.elapsed() > READING_LIMIT {
                notes.push(format!("{} images are left unread", images.len() - at));
            }
            let unread = at >= MOST_IMAGES || started.elapsed() > READING_LIMIT;
            read.push(one(&client, image, unread));
        }
        found.images = Some(read);
    }
    found.swarm = Some(swarm(&client, &info, &mut notes));
    if let Some(answer) = asked(client.get("/networks", "docker network ls"), "networks", &mut notes) {
        let overlays = answer.root().list();
        let overlays = overlays.iter().filter(|n| n.get("Driver").plain().as_deref() == Some("overlay"));
        let read = |network: &Field<'_>| Network {
            name: network.get("Name").plain().unwrap_or_default().to_string(),
            encrypted: network.get("Options").members().iter().any(|(key, _)| *key == "encrypted"),
        };
        found.overlays = Some(overlays.map(read).collect());
    }
    found.notes = notes;
    Ok(found)
}

/// Not all of it is in doubt where a part is refused.
fn asked(answer: Result<Answer, HttpError>, what: &str, notes: &mut Vec<String>) -> Option<Answer> {
    match answer {
        Ok(answer) => Some(answer),
        Err(error) => {
            notes.push(format!("the {what} could not be read: {error}"));
            None
        }
    }
}

fn number(field: &Field<'_>) -> Option<u64> {
    field.integer().and_then(|n| u64::try_from(n.value?).ok())
}

fn one(client: &Client<'_>, image: &Field<'_>, unread: bool) -> ImageInventory {
    let id = image.get("Id").plain().unwrap_or_default();
    let tags = image.get("RepoTags").texts();
    let tag = tags.iter().filter_map(|tag| tag.get()).find(|tag| &***tag != "<none>:<none>");
    let short: String = id.strip_prefix("sha256:").unwrap_or(&id).chars().take(12).collect();
    let mut found = ImageInventory {
        name: tag.map_or(short, |tag| crate::measured::printable(tag).to_string()),
        ..ImageInventory::default()
    };
    if unread {
        return found;
    }
    let path = format!("/images/{}", http::encode(&id));
    if let Ok(answer) = client.get(&format!("{path}/json"), "docker image inspect") {
        let test = answer.root().get("Config").get("Healthcheck").get("Test").texts();
        let first = test.first().map(|first| first.get().map(|word| &**word));
        found.health_check = Some(!matches!(first, None | Some(Some("NONE"))));
    }
    if let Ok(answer) = client.get(&format!("{path}/history"), "docker history") {
        let commands = answer.root().list();
        let commands = commands.iter().map(|step| step.get("CreatedBy").plain().unwrap_or_default());
        let (added, lone) = image_history(&commands.map(|c| c.to_string()).collect::<Vec<_>>());
        (found.added, found.lone_updates) = (Some(added), Some(lone));
    }
    found
}

fn swarm(client: &Client<'_>, info: &Field<'_>, notes: &mut Vec<String>) -> Swarm {
    let told = info.get("Swarm");
    let active = told.get("LocalNodeState").plain().is_some_and(|state| &*state != "inactive");
    let manager = told.get("ControlAvailable").boolean().is_some_and(|c| c.value == Some(true));
    let mut swarm = Swarm { active, manager, managers: number(&told.get("Managers")), ..Swarm::default() };
    if !active || !manager {
        return swarm;
    }
    if let Some(answer) = asked(client.get("/swarm", "docker swarm inspect"), "swarm", notes) {
        let spec = answer.root().get("Spec");
        let lock = spec.get("EncryptionConfig").get("AutoLockManagers").boolean();
        swarm.auto_lock = Some(lock.is_some_and(|lock| lock.value == Some(true)));
        let expiry = number(&spec.get("CAConfig").get("NodeCertExpiry"));
        swarm.certificate_seconds = expiry.map(|nanoseconds| nanoseconds / 1_000_000_000);
    }
    if let Some(answer) = asked(client.get("/secrets", "docker secret ls"), "secrets", notes) {
        swarm.secrets = Some(answer.root().list().len() as u64);
    }
    swarm
}

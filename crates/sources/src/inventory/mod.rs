//! What a benchmark asks of a host and its engine beyond what confines containers: owners and modes of files, audit
//! rules, who may speak to the engine, images, swarm mode. Read only where a benchmark is asked for; `policy` judges
//! it. It can be written and read back, so that what one host was found to be can be judged elsewhere.

mod audit;
mod engine;
mod files;

use serde::{Deserialize, Serialize};

pub use audit::{AuditRule, watched};
pub use engine::{ImageInventory, Network, Swarm, image_history};
pub use files::{Asked, FileState};

/// What one host and its Docker engine are. Each part is `None` where it was not looked at.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Inventory {
    pub host: Option<HostInventory>,
    pub engine: Option<EngineInventory>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct HostInventory {
    /// By the role they play, such as `docker.service` or `dockerd`, or by their path where there is only one.
    pub files: std::collections::BTreeMap<String, FileState>,
    /// Certificates of registries; `None` where their folder is not there.
    pub certificates: Option<Vec<FileState>>,
    /// Rules in the files that auditctl(8) loads; `None` where these cannot be read.
    pub audit: Option<Vec<AuditRule>>,
    /// Members of the group that may use the socket, primary ones included; `None` where they cannot be read.
    pub docker_members: Option<Vec<String>>,
    pub docker_group: Option<u32>,
    /// The folder in which the engine keeps everything, and whether a file system of its own is mounted there.
    pub data_root: Option<String>,
    pub data_root_mounted: Option<bool>,
    /// `DOCKER_CONTENT_TRUST` of environment(5).
    pub content_trust: Option<bool>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct EngineInventory {
    pub version: Option<String>,
    pub data_root: Option<String>,
    pub containers: Option<u64>,
    pub running: Option<u64>,
    pub images: Option<Vec<ImageInventory>>,
    /// Images of these that a container, running or not, is made of.
    pub images_used: Option<u64>,
    pub swarm: Option<Swarm>,
    /// Overlay networks.
    pub overlays: Option<Vec<Network>>,
    /// What was refused or could not be read.
    pub notes: Vec<String>,
}

impl EngineInventory {
    /// Takes what the host's listeners tell of the engine: the port of managers (docs.docker.com, swarm tutorial,
    /// "open protocols and ports").
    pub fn heard(&mut self, host: &confinement::Host) {
        let (Some(swarm), Some(listeners)) = (&mut self.swarm, host.listeners.get()) else { return };
        let mut ports = listeners.iter().filter(|l| &*l.daemon == "docker" && l.address.ends_with(":2377"));
        let everywhere = |address: &str| address.starts_with("0.0.0.0:") || address.starts_with("[::]:");
        swarm.listens_everywhere = Some(ports.any(|l| everywhere(&l.address)));
    }
}

impl HostInventory {
    /// Reads this machine's files.
    pub fn read(asked: &Asked) -> HostInventory {
        files::read(asked)
    }
}

//! One decision as it is kept: who asked for what at which door, what was answered, and the evidence it rests on. The log
//! (`crate::log`) chains records; nothing else reads them.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use crate::ruling::Ruling;

/// The value of `schema`.
pub const SCHEMA: &str = "stockade.decision/1";

/// Where it was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Door {
    /// The authorization plugin of the Docker daemon.
    DockerPlugin,
    /// The filtered socket of the Docker API.
    DockerProxy,
    /// Admission in Kubernetes.
    Kubernetes,
    /// The OCI runtime that stands before the real one.
    OciRuntime,
    /// A hook of the OCI runtime.
    OciHook,
}

impl Door {
    pub fn name(self) -> &'static str {
        match self {
            Door::DockerPlugin => "docker-plugin",
            Door::DockerProxy => "docker-proxy",
            Door::Kubernetes => "kubernetes",
            Door::OciRuntime => "oci-runtime",
            Door::OciHook => "oci-hook",
        }
    }
}

/// Who asked, as far as the door can know.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Who {
    /// The common name of a client's certificate, the user of Kubernetes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<Arc<str>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<Arc<str>>,
    /// User, group and process at the other end of a Unix socket (SO_PEERCRED, unix(7)), or of the program itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
}

#[derive(Clone, Debug, Serialize)]
pub struct Record<'a> {
    pub schema: &'static str,
    pub time: Timestamp,
    pub door: Door,
    pub who: &'a Who,
    /// The request in few words: `POST /v1.41/containers/create?name=web`, `CREATE pods shop/web`, `create web`.
    pub asked: &'a str,
    /// File of the policy in force; none for the policy that is there without a file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<&'a str>,
    #[serde(flatten)]
    pub ruling: &'a Ruling,
    #[serde(serialize_with = "microseconds")]
    #[serde(rename = "tookMicroseconds")]
    pub took: Duration,
}

fn microseconds<S: serde::Serializer>(took: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(u64::try_from(took.as_micros()).unwrap_or(u64::MAX))
}

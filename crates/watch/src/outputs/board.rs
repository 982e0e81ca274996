//! What the pipeline shows of itself, filled by it about once a second; read by the live view and the metrics.

use std::sync::{Arc, Mutex, PoisonError};

use sensor::event::Lane;
use serde::{Deserialize, Serialize};

use super::OutputStatus;
use crate::alert::{Alert, Container, Severity};
use crate::store::Status;

/// The state of the watch at one moment. Counts are since it began.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshot {
    /// Nanoseconds since 1970-01-01 UTC.
    pub time: i64,
    /// Nanoseconds since boot: now, and when the watch began.
    pub since_boot: u64,
    pub began: u64,
    /// By lane and kind.
    pub events: Vec<EventCount>,
    /// By cause and severity.
    pub alerts: Vec<AlertCount>,
    pub containers: Vec<ContainerLine>,
    /// The last alerts, the newest last.
    pub recent: Vec<Arc<Alert>>,
    /// Resident bytes of this process.
    pub memory: u64,
    /// Processor time of this process, nanoseconds.
    pub processor: u64,
    pub store: Option<Status>,
    pub outputs: Vec<OutputStatus>,
    /// Records between the sensor and the alerts: the queue's name, its length, its capacity.
    pub queues: Vec<QueueLine>,
    /// What does not work as it should, such as a broken rule file.
    pub problems: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventCount {
    pub lane: Lane,
    pub kind: String,
    pub seen: u64,
    pub lost: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlertCount {
    /// `technique`, `rule` or `sensor`.
    pub cause: &'static str,
    /// Which technique or rule.
    pub name: String,
    pub severity: Severity,
    pub count: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueLine {
    pub name: String,
    pub length: usize,
    pub capacity: usize,
}

/// One container that runs.
#[derive(Clone, Debug, PartialEq)]
pub struct ContainerLine {
    pub container: Container,
    pub rare: u64,
    pub bulk: u64,
    pub lost: u64,
    /// By [`Severity`], rising.
    pub alerts: [u64; Severity::ALL.len()],
    /// Nanoseconds since 1970-01-01 UTC.
    pub last_alert: Option<i64>,
}

/// Where the last snapshot hangs. Clones show the same.
#[derive(Clone, Default)]
pub struct Board {
    last: Arc<Mutex<Arc<Snapshot>>>,
}

impl Board {
    pub fn publish(&self, snapshot: Snapshot) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(snapshot);
    }

    pub fn read(&self) -> Arc<Snapshot> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

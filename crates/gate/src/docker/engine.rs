//! The daemon behind a door, as far as a decision asks it.

use std::sync::Arc;

use confinement::Host;
use sources::engine_api::Endpoint;

/// What the daemon is, asked when it is first needed and again after it restarted.
pub struct Engine {
    endpoint: Endpoint,
    host: Arc<Host>,
}

impl Engine {
    /// `host` is this machine.
    pub fn new(endpoint: Endpoint, host: Arc<Host>) -> Engine {
        Engine { endpoint, host }
    }

    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    pub fn host(&self) -> &Arc<Host> {
        &self.host
    }
}

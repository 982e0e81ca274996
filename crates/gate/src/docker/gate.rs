//! One request to the Docker API goes in, and a ruling comes out. The authorization plugin and the filtered socket decide
//! by this one function.

use std::sync::Arc;

use jiff::Timestamp;

use crate::record::{Door, Record, Who};
use crate::rules::Rules;
use crate::ruling::Ruling;

use super::engine::Engine;

/// A request as a door received it.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    pub method: &'a str,
    /// The request target as it was sent: version, path and query, nothing decoded.
    pub uri: &'a str,
    /// Names in any case, in the order they came.
    pub headers: &'a [(String, String)],
    pub body: Body<'a>,
    pub who: &'a Who,
}

impl Request<'_> {
    /// The first value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

/// What a door has of the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body<'a> {
    /// There is none, for certain.
    None,
    /// All of it.
    Bytes(&'a [u8]),
    /// There may be one, which this door does not see: a stream, or what the daemon keeps back from a plugin.
    Unseen,
}

/// Keeps records; a decision that lets something in and cannot be kept is refused.
pub type Keep = Box<dyn Fn(&Record<'_>) -> Result<(), String> + Send + Sync>;

/// All that a door of the Docker API decides by. Any number of threads may ask it at once.
pub struct DockerGate {
    pub door: Door,
    pub rules: Arc<Rules>,
    /// The daemon behind the door, which knows volumes, images and containers.
    pub engine: Arc<Engine>,
    pub keep: Option<Keep>,
}

impl DockerGate {
    /// Decides, and records. It blocks, as it may ask the daemon; it never panics. A request for which [`asks_nothing`] is
    /// true is answered at once.
    pub fn decide(&self, request: &Request<'_>, now: Timestamp) -> Ruling {
        let _ = (request, now);
        Ruling::deny("this door is not built yet")
    }
}

/// Whether a request is decided without asking the daemon. The gate's own questions are such requests: a door that lets
/// them wait behind the decisions that ask them would wait for itself.
pub fn asks_nothing(method: &str, uri: &str) -> bool {
    let _ = (method, uri);
    true
}

/// Whether the body of a request is needed to decide about it: such a body must be handed over whole. Others may be
/// streams ([`Body::Unseen`]).
pub fn needs_body(method: &str, uri: &str) -> bool {
    let _ = (method, uri);
    true
}

/// The largest body that is read. The daemon hands a plugin at most 4 MiB (moby pkg/authorization/authz.go,
/// `maxBodySize`, since 29.3.1; 1 MiB before).
pub const BODY_LIMIT: usize = 4 << 20;

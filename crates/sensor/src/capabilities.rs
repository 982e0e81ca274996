//! What of the sensor this kernel takes: each program and layer, whether it works, and why not.

use serde::{Deserialize, Serialize};

/// One program or layer of the sensor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capability {
    /// `base`, `lsm` or `fentry`.
    pub layer: String,
    /// The hook: a tracepoint, an LSM hook, a function.
    pub hook: String,
    pub works: bool,
    /// Why it does not, with the error's name and number.
    pub reason: Option<String>,
    /// What can be done about it.
    pub advice: Option<String>,
}

impl Capability {
    pub(crate) fn works(layer: &str, hook: &str) -> Capability {
        Capability { layer: layer.to_owned(), hook: hook.to_owned(), works: true, reason: None, advice: None }
    }

    pub(crate) fn fails(layer: &str, hook: &str, reason: String, advice: &str) -> Capability {
        Capability {
            layer: layer.to_owned(),
            hook: hook.to_owned(),
            works: false,
            reason: Some(reason),
            advice: (!advice.is_empty()).then(|| advice.to_owned()),
        }
    }
}

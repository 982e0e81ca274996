//! Severity: derived from gain and depth by one table. Nobody sets it by hand.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::technique::Gain;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Shown only when everything is asked for.
    Info,
    Low,
    Medium,
    High,
    Critical,
}

/// Depth 0, 1, 2; deeper is `Info`.
const TABLE: &[(Gain, [Severity; 3])] = {
    use Severity::{Critical, High, Info, Low, Medium};
    &[
        (Gain::HostRoot, [Critical, Medium, Low]),
        (Gain::HostWrite, [Critical, Medium, Low]),
        (Gain::HostRead, [High, Low, Info]),
        (Gain::Credentials, [High, Low, Info]),
        (Gain::OtherContainer, [Medium, Low, Info]),
        (Gain::OtherTraffic, [Low, Info, Info]),
        (Gain::HostInfo, [Low, Info, Info]),
        (Gain::KernelSurface, [Low, Info, Info]),
        (Gain::DenialOfService, [Low, Info, Info]),
    ]
};

impl Severity {
    pub fn of(gain: Gain, depth: u8) -> Severity {
        TABLE
            .iter()
            .find(|(g, _)| *g == gain)
            .and_then(|(_, row)| row.get(depth as usize).copied())
            .unwrap_or(Severity::Info)
    }
    pub fn name(self) -> &'static str {
        match self {
            Severity::Info => "info",
            Severity::Low => "low",
            Severity::Medium => "medium",
            Severity::High => "high",
            Severity::Critical => "critical",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

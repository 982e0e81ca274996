//! Named standards: which there are, and how they are asked for.

use std::fmt;

use confinement::Subject;
use sources::inventory::Inventory;

use crate::cis;
use crate::pod_security::{self, StandardResult};

/// A standard in one version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Standard {
    /// About pods.
    PodSecurity(pod_security::Standard),
    /// About Docker: its host, its daemon, images and containers.
    CisDocker,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StandardError {
    #[error(
        "no standard is named `{0}`; use pss-baseline, pss-restricted or pss-privileged, with @1.37 or @latest behind it, or cis-docker@1.6"
    )]
    Name(String),
    #[error("`{0}` is no version of the CIS Docker Benchmark that is known here; use 1.6")]
    CisVersion(String),
    #[error(transparent)]
    PodSecurity(pod_security::StandardError),
}

impl Standard {
    /// Reads `cis-docker@1.6`, `pss-baseline@1.37`, `pss-restricted@latest`; without a version the latest is meant.
    pub fn parse(text: &str) -> Result<Standard, StandardError> {
        if let Some(version) = text.strip_prefix(cis::NAME).filter(|v| v.is_empty() || v.starts_with('@')) {
            return match version.trim_start_matches('@').trim_start_matches('v') {
                "" | "latest" | "1.6" | "1.6.0" => Ok(Standard::CisDocker),
                other => Err(StandardError::CisVersion(other.to_owned())),
            };
        }
        pod_security::Standard::parse(text).map(Standard::PodSecurity).map_err(|error| match error {
            pod_security::StandardError::Name(name) => StandardError::Name(name),
            error => StandardError::PodSecurity(error),
        })
    }

    /// What it says of a subject; `None` where it is not about subjects of its kind.
    pub fn evaluate(&self, subject: &Subject, inventory: &Inventory) -> Option<StandardResult> {
        match self {
            Standard::PodSecurity(standard) => Some(pod_security::evaluate(standard, subject.pod.as_ref()?)),
            Standard::CisDocker => cis::evaluate(subject, inventory),
        }
    }
}

impl fmt::Display for Standard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Standard::PodSecurity(standard) => standard.fmt(f),
            Standard::CisDocker => write!(f, "{}@{}", cis::NAME, cis::VERSION),
        }
    }
}

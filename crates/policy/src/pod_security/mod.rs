//! The Pod Security Standards, as Kubernetes' admission code enforces them.
//!
//! A pod's declaration comes in (`sources::kubernetes` makes it), one result a control goes out. Each control is a file in
//! [`controls`], with one function for each version of the standard that changed it. Source: kubernetes
//! staging/src/k8s.io/pod-security-admission/policy, `check_*.go` and `registry.go`.

mod controls;
/// What the controls allow, for whoever says them in another language.
pub mod allowed {
    pub use super::controls::capabilities_baseline::ALLOWED_1_0 as CAPABILITIES;
    /// Types, as they are spelled in a pod.
    pub use super::controls::restricted_volumes::ALLOWED_1_0 as VOLUMES;
    /// With the minor version that added each group.
    pub use super::controls::sysctls::ALLOWED as SYSCTLS;
}
#[cfg(test)]
mod tests;

use std::fmt;

use confinement::{Origin, Place, PodDeclaration};
use serde::{Deserialize, Serialize};

/// The newest minor version with a change of its own, and so what `latest` means (`maxVersion`, registry.go).
pub const LATEST: u32 = 37;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Allows everything.
    Privileged,
    Baseline,
    Restricted,
}

impl Level {
    fn name(self) -> &'static str {
        match self {
            Level::Privileged => "privileged",
            Level::Baseline => "baseline",
            Level::Restricted => "restricted",
        }
    }
}

/// A level of the standards in the form that one version of Kubernetes gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Standard {
    pub level: Level,
    /// The minor version; the major version is 1.
    pub minor: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StandardError {
    #[error(
        "no standard is named `{0}`; use pss-baseline, pss-restricted or pss-privileged, with @1.37 or @latest behind it"
    )]
    Name(String),
    #[error("`{0}` is no version of the Pod Security Standards; use 1.0 to 1.{LATEST}, or latest")]
    Version(String),
}

impl Standard {
    /// Reads `pss-baseline@1.37`, `pss-restricted@v1.25`, `pss-restricted@latest`; without a version the latest is meant.
    pub fn parse(text: &str) -> Result<Standard, StandardError> {
        let (name, version) = text.split_once('@').unwrap_or((text, "latest"));
        let level = match name {
            "pss-privileged" => Level::Privileged,
            "pss-baseline" => Level::Baseline,
            "pss-restricted" => Level::Restricted,
            _ => return Err(StandardError::Name(name.to_owned())),
        };
        let unknown = || StandardError::Version(version.to_owned());
        let minor = match version {
            "latest" => LATEST,
            _ => {
                let number =
                    version.strip_prefix('v').unwrap_or(version).strip_prefix("1.").ok_or_else(unknown)?;
                let digits = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
                number.parse().ok().filter(|minor| digits && *minor <= LATEST).ok_or_else(unknown)?
            }
        };
        Ok(Standard { level, minor })
    }

    pub fn name(&self) -> String {
        format!("pss-{}", self.level.name())
    }

    pub fn version(&self) -> String {
        format!("1.{}", self.minor)
    }

    /// The controls that are judged at this level in this version, each with the minor version that gave it its present
    /// form: what another way of judging by the standard has to cover.
    pub fn judged(&self) -> Vec<(&'static str, u32)> {
        self.controls().into_iter().map(|(control, revision)| (control.id, revision.since)).collect()
    }

    /// The controls that are judged at this level in this version, in the order in which they are reported.
    fn controls(&self) -> Vec<(&'static Control, &'static Revision)> {
        let in_force = |control: &'static Control| Some((control, control.revision(self.minor)?));
        let all: Vec<_> = controls::ALL
            .iter()
            .copied()
            .filter(|control| control.level <= self.level)
            .filter_map(in_force)
            .collect();
        // A restricted control that covers a baseline one replaces it.
        let replaced: Vec<&str> = all.iter().flat_map(|(_, revision)| revision.replaces).copied().collect();
        all.into_iter().filter(|(control, _)| !replaced.contains(&control.id)).collect()
    }
}

impl fmt::Display for Standard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pss-{}@1.{}", self.level.name(), self.minor)
    }
}

/// One control of the standards.
struct Control {
    /// As the admission code names it; stable.
    id: &'static str,
    level: Level,
    /// Oldest first.
    revisions: &'static [Revision],
}

/// A control from one version on, until the next revision.
struct Revision {
    /// The minor version.
    since: u32,
    check: fn(&PodDeclaration, &mut Violations),
    /// Controls of a lower level that need not be judged beside this one.
    replaces: &'static [&'static str],
}

impl Control {
    fn revision(&self, minor: u32) -> Option<&Revision> {
        self.revisions.iter().rev().find(|revision| revision.since <= minor)
    }
}

/// What a check found against a pod.
#[derive(Default)]
struct Violations(Vec<Violation>);

impl Violations {
    fn add(&mut self, location: Option<&Place>, message: String) {
        self.0.push(Violation { message, location: location.cloned() });
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Violation {
    pub message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub location: Option<Place>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    Pass,
    Fail,
    /// What the control is about is not there.
    NotApplicable,
    /// A fact that decides is not known.
    Unknown,
    /// No fact decides: a person must.
    Manual,
}

impl Verdict {
    pub fn name(self) -> &'static str {
        match self {
            Verdict::Pass => "pass",
            Verdict::Fail => "fail",
            Verdict::NotApplicable => "not-applicable",
            Verdict::Unknown => "unknown",
            Verdict::Manual => "manual",
        }
    }

    fn of(passes: bool) -> Verdict {
        if passes { Verdict::Pass } else { Verdict::Fail }
    }
}

/// The result of one standard for one pod or other subject; its shape is part of `stockade.audit/1`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StandardResult {
    /// `pss-baseline`.
    pub standard: String,
    /// `1.37`; never `latest`, which moves.
    pub version: String,
    pub result: Verdict,
    pub controls: Vec<ControlResult>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ControlResult {
    pub id: &'static str,
    pub result: Verdict,
    /// All that is against it; empty where it passes.
    pub message: String,
    /// Where the first of it stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub location: Option<Place>,
    /// Where it was learnt, where that is in no file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
    /// Each violation with its own place.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub violations: Vec<Violation>,
}

/// Judges a pod by a standard. A field that could not be read is a violation of every control that looks at it: what
/// cannot be read never passes.
pub fn evaluate(standard: &Standard, pod: &PodDeclaration) -> StandardResult {
    let controls: Vec<ControlResult> = standard
        .controls()
        .into_iter()
        .map(|(control, revision)| {
            let mut violations = Violations::default();
            (revision.check)(pod, &mut violations);
            let violations = violations.0;
            let messages: Vec<&str> = violations.iter().map(|violation| violation.message.as_str()).collect();
            ControlResult {
                id: control.id,
                result: Verdict::of(violations.is_empty()),
                message: messages.join("; "),
                location: violations.iter().find_map(|violation| violation.location.clone()),
                origin: None,
                violations,
            }
        })
        .collect();
    StandardResult {
        standard: standard.name(),
        version: standard.version(),
        result: Verdict::of(controls.iter().all(|control| control.result == Verdict::Pass)),
        controls,
    }
}

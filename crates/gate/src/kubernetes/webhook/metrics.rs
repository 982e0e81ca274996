//! Numbers about the webhook, in the text format of Prometheus (0.0.4).

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use policy::Outcome;

use crate::kubernetes::review::Operation;

/// Bounds of the buckets, in seconds: `timeoutSeconds` of a webhook is at most 30.
const BUCKETS: [f64; 11] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0];

/// Kinds that get a label of their own: whoever may define kinds could else make any number of them.
const KINDS: [&str; 20] = [
    "Pod",
    "Deployment",
    "ReplicaSet",
    "StatefulSet",
    "DaemonSet",
    "Job",
    "CronJob",
    "ReplicationController",
    "PodTemplate",
    "PersistentVolume",
    "Role",
    "ClusterRole",
    "RoleBinding",
    "ClusterRoleBinding",
    "PodExecOptions",
    "PodAttachOptions",
    "PodPortForwardOptions",
    "PodProxyOptions",
    "ServiceProxyOptions",
    "NodeProxyOptions",
];

/// Why a request got no decision of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Failure {
    /// No AdmissionReview, or longer than one is.
    Unreadable,
    /// Not decided in time, and denied for it.
    Late,
    /// An error of the program itself, and denied for it.
    Panic,
    /// Not recorded, and denied if it was to be let in.
    Unrecorded,
}

impl Failure {
    fn name(self) -> &'static str {
        match self {
            Failure::Unreadable => "unreadable",
            Failure::Late => "late",
            Failure::Panic => "panic",
            Failure::Unrecorded => "unrecorded",
        }
    }
}

/// What is read again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Reloaded {
    Policy,
    Certificate,
}

#[derive(Default)]
pub(super) struct Metrics {
    counts: Mutex<Counts>,
    buckets: [AtomicU64; BUCKETS.len()],
    /// In microseconds.
    sum: AtomicU64,
    count: AtomicU64,
    pub(super) in_flight: AtomicI64,
    pub(super) connections: AtomicI64,
}

#[derive(Default)]
struct Counts {
    decisions: BTreeMap<(&'static str, &'static str, &'static str), u64>,
    failures: BTreeMap<Failure, u64>,
    reloads: BTreeMap<(Reloaded, bool), u64>,
}

impl Metrics {
    pub(super) fn decided(&self, outcome: Outcome, operation: Option<Operation>, kind: &str, took: Duration) {
        let kind = KINDS.iter().find(|known| **known == kind).copied().unwrap_or("other");
        let key = (outcome.name(), operation.map_or("", Operation::name), kind);
        *self.counts().decisions.entry(key).or_default() += 1;
        let seconds = took.as_secs_f64();
        for (bound, bucket) in BUCKETS.iter().zip(&self.buckets) {
            if seconds <= *bound {
                bucket.fetch_add(1, Ordering::Relaxed);
            }
        }
        self.sum.fetch_add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
        self.count.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn failed(&self, failure: Failure) {
        *self.counts().failures.entry(failure).or_default() += 1;
    }

    pub(super) fn reloaded(&self, what: Reloaded, well: bool) {
        *self.counts().reloads.entry((what, well)).or_default() += 1;
    }

    fn counts(&self) -> std::sync::MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `ends` is when the certificate ends, in seconds since 1970; `stale` whether the rules on disk are not those in
    /// force.
    pub(super) fn text(&self, ends: i64, stale: bool) -> String {
        let mut text = String::new();
        let mut family = |name: &str, kind: &str, help: &str, samples: Vec<String>| {
            let _ = writeln!(text, "# HELP stockade_gate_{name} {help}\n# TYPE stockade_gate_{name} {kind}");
            for sample in samples {
                let _ = writeln!(text, "stockade_gate_{name}{sample}");
            }
        };
        let counts = self.counts();
        let decisions = counts.decisions.iter().map(|((outcome, operation, kind), n)| {
            format!(
                "{{door=\"kubernetes\",outcome=\"{outcome}\",operation=\"{operation}\",kind=\"{kind}\"}} {n}"
            )
        });
        family("decisions_total", "counter", "Requests that were decided about.", decisions.collect());
        let failures = [Failure::Unreadable, Failure::Late, Failure::Panic, Failure::Unrecorded];
        let failures = failures.iter().map(|failure| {
            format!("{{reason=\"{}\"}} {}", failure.name(), counts.failures.get(failure).unwrap_or(&0))
        });
        family(
            "failures_total",
            "counter",
            "Requests that got no decision of their own.",
            failures.collect(),
        );
        let mut reloads = Vec::new();
        for (what, name) in [(Reloaded::Policy, "policy"), (Reloaded::Certificate, "certificate")] {
            for (well, result) in [(true, "success"), (false, "failure")] {
                let n = counts.reloads.get(&(what, well)).unwrap_or(&0);
                reloads.push(format!("{{what=\"{name}\",result=\"{result}\"}} {n}"));
            }
        }
        drop(counts);
        family("reloads_total", "counter", "Files that were read again.", reloads);
        let mut duration: Vec<String> = BUCKETS
            .iter()
            .zip(&self.buckets)
            .map(|(bound, bucket)| format!("_bucket{{le=\"{bound}\"}} {}", bucket.load(Ordering::Relaxed)))
            .collect();
        let count = self.count.load(Ordering::Relaxed);
        duration.push(format!("_bucket{{le=\"+Inf\"}} {count}"));
        duration.push(format!("_sum {}", self.sum.load(Ordering::Relaxed) as f64 / 1e6));
        duration.push(format!("_count {count}"));
        family("review_seconds", "histogram", "From the head of a request to its answer.", duration);
        for (name, help, value) in [
            ("in_flight", "Requests that are being decided about.", self.in_flight.load(Ordering::Relaxed)),
            ("connections", "Connections of API servers.", self.connections.load(Ordering::Relaxed)),
            (
                "policy_stale",
                "1 where the rules on disk cannot be read and older ones are in force.",
                stale.into(),
            ),
            ("certificate_expiry_timestamp_seconds", "When the certificate ends.", ends),
        ] {
            family(name, "gauge", help, vec![format!(" {value}")]);
        }
        text
    }
}

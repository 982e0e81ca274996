//! Prometheus Alertmanager, API version 2: POST /api/v2/alerts.
//!
//! Alertmanager tells alerts apart by their labels, wants those that are still active again every few minutes, and
//! resolves one when its `endsAt` has gone by (prometheus.io/docs/alerting/latest/alerts_api). What Stockade sees is a
//! moment, so an alert is active until it was not seen again for the time that is set (`hold`).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::http::{self, Client};
use super::{Alertmanager, Failure, Filter, Output, OutputError, alerts_from, text};
use crate::alert::{Alert, Cause, Exposure, Outcome};
use crate::store::{Record, rfc3339};

/// Active alerts are sent again so often: "usually on the order of 30 seconds to 3 minutes".
const AGAIN: Duration = Duration::from_secs(60);
/// Active alerts that are kept in mind; beyond, the one seen longest ago is left to end by its `endsAt`.
const ACTIVE: usize = 1000;
/// In one request.
const BATCH: usize = 50;

type Labels = BTreeMap<String, String>;

pub(super) struct AlertmanagerOutput {
    settings: Alertmanager,
    client: Client,
    active: BTreeMap<Labels, Active>,
    sent: Instant,
}

#[derive(Clone)]
struct Active {
    /// Nanoseconds since 1970-01-01 UTC: when it was first seen, and last.
    first: i64,
    last: i64,
    /// By the clock that does not jump.
    seen: Instant,
    annotations: Value,
}

impl AlertmanagerOutput {
    pub(super) fn new(settings: &Alertmanager) -> Result<AlertmanagerOutput, OutputError> {
        let wrong = |why| OutputError::Setting { output: "alertmanager".into(), why };
        if let Some(name) = settings.labels.keys().find(|name| !is_label(name)) {
            return Err(wrong(format!("`{name}` is not the name of a label ([a-zA-Z_][a-zA-Z0-9_]*)")));
        }
        let client = Client::new(&http::Options {
            output: "alertmanager",
            url: &settings.url,
            path: "/api/v2/alerts",
            headers: &settings.headers,
            token_file: settings.token_file.as_ref(),
            ca_file: settings.ca_file.as_ref(),
            timeout: settings.timeout,
        })?;
        Ok(AlertmanagerOutput {
            settings: settings.clone(),
            client,
            active: BTreeMap::new(),
            sent: Instant::now(),
        })
    }

    fn post(&self, alerts: &[(&Labels, &Active, i64)]) -> Result<(), Failure> {
        let body: Vec<Value> = alerts
            .iter()
            .map(|(labels, active, end)| {
                json!({
                    "labels": labels,
                    "annotations": active.annotations,
                    "startsAt": rfc3339(active.first),
                    "endsAt": rfc3339(*end),
                })
            })
            .collect();
        self.client.post(Value::from(body).to_string().as_bytes())?.judge()
    }

    /// `hold` after it was last seen.
    fn end(&self, active: &Active) -> i64 {
        active.last.saturating_add(i64::try_from(self.settings.hold.as_nanos()).unwrap_or(i64::MAX))
    }

    fn see(&mut self, alert: &Alert) -> Labels {
        let labels = labels(alert, &self.settings.labels);
        let seen = Instant::now();
        let active = self.active.entry(labels.clone()).or_insert_with(|| Active {
            first: alert.time,
            last: alert.time,
            seen,
            annotations: Value::Null,
        });
        active.last = active.last.max(alert.time);
        active.seen = seen;
        active.annotations = annotations(alert);
        labels
    }

    /// No more than [`ACTIVE`].
    fn forget(&mut self) {
        while self.active.len() > ACTIVE {
            let oldest =
                self.active.iter().min_by_key(|(_, active)| active.seen).map(|(labels, _)| labels.clone());
            if let Some(labels) = oldest {
                self.active.remove(&labels);
            }
        }
    }
}

impl Output for AlertmanagerOutput {
    fn name(&self) -> String {
        format!("alertmanager {}", http::shown(&self.settings.url))
    }

    fn filter(&self) -> Filter {
        alerts_from(self.settings.severity)
    }

    fn batch(&self) -> usize {
        BATCH
    }

    fn send(&mut self, records: &[Arc<Record>]) -> Result<u64, Failure> {
        let mut seen = std::collections::BTreeSet::new();
        for record in records {
            if let Record::Alert(alert) = &**record {
                seen.insert(self.see(alert));
            }
        }
        let alerts: Vec<(&Labels, &Active, i64)> = seen
            .iter()
            .filter_map(|labels| self.active.get_key_value(labels))
            .map(|(labels, active)| (labels, active, self.end(active)))
            .collect();
        self.post(&alerts)?;
        self.forget();
        Ok(0)
    }

    /// Sends what is active again, and says of what has ended that it has.
    fn idle(&mut self) -> Result<(), Failure> {
        let hold = self.settings.hold;
        let ended: Vec<Labels> = self
            .active
            .iter()
            .filter(|(_, active)| active.seen.elapsed() >= hold)
            .map(|(labels, _)| labels.clone())
            .collect();
        let due = self.sent.elapsed() >= AGAIN;
        if ended.is_empty() && !due {
            return Ok(());
        }
        let now = crate::store::Now::read().time;
        let alerts: Vec<(&Labels, &Active, i64)> = self
            .active
            .iter()
            .filter_map(|(labels, active)| match ended.contains(labels) {
                true => Some((labels, active, now.max(active.first))),
                false if due => Some((labels, active, self.end(active).max(now))),
                false => None,
            })
            .collect();
        for some in alerts.chunks(BATCH) {
            self.post(some)?;
        }
        for labels in &ended {
            self.active.remove(labels);
        }
        if due {
            self.sent = Instant::now();
        }
        Ok(())
    }
}

/// What makes an alert the same as an earlier one: the cause, the severity, where, and whether it could succeed.
/// Nothing that differs with each event, such as a process number.
fn labels(alert: &Alert, further: &BTreeMap<String, String>) -> Labels {
    let mut labels = further.clone();
    let mut add = |name: &str, value: Option<&str>| {
        if let Some(value) = value.filter(|v| !v.is_empty()) {
            labels.insert(name.to_owned(), value.to_owned());
        }
    };
    let (name, kind) = match &alert.cause {
        Cause::Attempt { .. } => ("StockadeAttempt", "technique"),
        Cause::Rule { .. } => ("StockadeRule", "rule"),
        Cause::Sensor { what } => {
            add("what", Some(what));
            ("StockadeSensor", "sensor")
        }
    };
    add("alertname", Some(name));
    if kind != "sensor" {
        add(kind, Some(alert.cause_name()));
    }
    add("severity", Some(alert.severity.name()));
    let exposure = match alert.exposure {
        Exposure::Open => Some("open"),
        Exposure::Held { .. } => Some("held"),
        Exposure::NotKnown { .. } => Some("not-known"),
        Exposure::DoesNotApply => None,
    };
    add("exposure", exposure);
    let outcome = match alert.outcome {
        Outcome::Done => "done",
        Outcome::Refused { .. } => "refused",
        Outcome::NotKnown => "not-known",
    };
    add("outcome", Some(outcome));
    add("node", Some(&rustix::system::uname().nodename().to_string_lossy()));
    if let Some(container) = &alert.container {
        add("container", container.name.as_deref().or(container.id.as_deref()));
        add("image", container.image.as_deref());
        add("pod", container.pod.as_deref());
        add("namespace", container.namespace.as_deref());
    }
    labels
}

fn annotations(alert: &Alert) -> Value {
    let mut annotations = serde_json::Map::new();
    annotations.insert("summary".into(), alert.summary.clone().into());
    annotations.insert("description".into(), text::line(alert).into());
    if !alert.advice.is_empty() {
        annotations.insert("advice".into(), alert.advice.join("; ").into());
    }
    annotations.insert("alert_id".into(), alert.id.to_string().into());
    annotations.insert("count".into(), alert.count.to_string().into());
    annotations.into()
}

/// prometheus.io/docs/concepts/data_model
fn is_label(name: &str) -> bool {
    name.bytes()
        .enumerate()
        .all(|(i, b)| b == b'_' || b.is_ascii_alphabetic() || (i > 0 && b.is_ascii_digit()))
        && !name.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outputs::testing::{Server, answer};
    use crate::store::samples;

    fn record(alert: Alert) -> Arc<Record> {
        Arc::new(alert.into())
    }

    #[test]
    fn alerts_are_posted_with_labels_annotations_and_times() {
        let server = Server::start();
        let mut settings = Alertmanager::to(server.url());
        settings.labels.insert("team".into(), "blue".into());
        let mut output = AlertmanagerOutput::new(&settings).unwrap();
        output
            .send(&[
                record(samples::attempt()),
                record(samples::rule_match()),
                record(samples::sensor_loss()),
            ])
            .unwrap();
        let request = &server.wait_for(1)[0];
        assert_eq!(request.line, "POST /api/v2/alerts HTTP/1.1");
        let body = request.json();
        let alerts = body.as_array().unwrap();
        assert_eq!(alerts.len(), 3);
        let attempt = alerts.iter().find(|a| a["labels"]["alertname"] == "StockadeAttempt").unwrap();
        assert_eq!(attempt["labels"]["technique"], "cgroup-release-agent");
        assert_eq!(attempt["labels"]["severity"], "critical");
        assert_eq!(attempt["labels"]["exposure"], "open");
        assert_eq!(attempt["labels"]["container"], "web");
        assert_eq!(attempt["labels"]["team"], "blue");
        assert_eq!(attempt["startsAt"], "2026-11-23T03:09:26.535Z");
        assert_eq!(attempt["endsAt"], "2026-11-23T03:14:26.535Z");
        assert!(attempt["annotations"]["description"].as_str().unwrap().contains("open"));
        assert!(alerts.iter().any(|a| a["labels"]["rule"] == "Read sensitive file untrusted"));
        let text = |v: &Value| v.as_object().unwrap().values().all(Value::is_string);
        assert!(alerts.iter().all(|a| text(&a["labels"]) && text(&a["annotations"])));
    }

    #[test]
    fn the_same_again_is_one_alert_that_lasts_longer_and_is_resolved_when_it_stays_away() {
        let server = Server::start();
        let mut settings = Alertmanager::to(server.url());
        settings.hold = Duration::from_millis(200);
        let mut output = AlertmanagerOutput::new(&settings).unwrap();
        output.send(&[record(samples::attempt())]).unwrap();
        let later = samples::TIME + 1_000_000_000;
        output.send(&[record(Alert { time: later, id: 9, ..samples::attempt() })]).unwrap();
        output.idle().unwrap();
        let requests = server.wait_for(2);
        assert_eq!(requests.len(), 2, "nothing is due yet");
        let again = &requests[1].json()[0];
        assert_eq!(again["labels"], requests[0].json()[0]["labels"]);
        assert_eq!(again["startsAt"], "2026-11-23T03:09:26.535Z");
        assert_eq!(again["endsAt"], "2026-11-23T03:09:27.735Z");
        std::thread::sleep(Duration::from_millis(250));
        server.then(answer(503, "", ""));
        assert!(output.idle().is_err());
        output.idle().unwrap();
        let resolved = server.wait_for(4)[3].json();
        assert_eq!(resolved[0]["labels"], again["labels"]);
        let end: jiff::Timestamp = resolved[0]["endsAt"].as_str().unwrap().parse().unwrap();
        assert!(end <= jiff::Timestamp::now());
        output.idle().unwrap();
        assert_eq!(server.requests().len(), 4, "it is resolved once");
    }

    #[test]
    fn what_is_kept_in_mind_is_bounded() {
        let server = Server::start();
        let mut output = AlertmanagerOutput::new(&Alertmanager::to(server.url())).unwrap();
        for number in 0..ACTIVE + 20 {
            let mut alert = samples::attempt();
            alert.container = Some(samples::container(&format!("c{number}")));
            output.see(&alert);
        }
        output.send(&[record(samples::attempt())]).unwrap();
        assert_eq!(output.active.len(), ACTIVE);
    }

    #[test]
    fn a_label_that_prometheus_would_refuse_is_told_at_once() {
        let mut settings = Alertmanager::to("http://127.0.0.1:1");
        settings.labels.insert("a-b".into(), "x".into());
        assert!(AlertmanagerOutput::new(&settings).is_err());
    }
}

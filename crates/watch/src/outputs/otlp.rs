//! OpenTelemetry logs: OTLP over HTTP with JSON (opentelemetry.io/docs/specs/otlp), POST /v1/logs. Severity by the
//! logs data model, appendix B, where a severity of ours stands at the syslog level that docs/outputs.md gives it.
//! Attributes by the semantic conventions where they have a name for it, else `stockade.…`.

use std::sync::Arc;

use serde_json::{Value, json};

use super::http::{self, Client};
use super::{Failure, Filter, Otlp, Output, OutputError, alerts_from};
use crate::alert::{Alert, Cause, Exposure, Outcome, Severity};
use crate::store::Record;

pub(super) struct OtlpOutput {
    settings: Otlp,
    client: Client,
    resource: Value,
}

impl OtlpOutput {
    pub(super) fn new(settings: &Otlp) -> Result<OtlpOutput, OutputError> {
        let client = Client::new(&http::Options {
            output: "otlp",
            url: &settings.url,
            path: "/v1/logs",
            headers: &settings.headers,
            token_file: settings.token_file.as_ref(),
            ca_file: settings.ca_file.as_ref(),
            timeout: settings.timeout,
        })?;
        let mut resource = Attributes::default();
        resource.text("service.name", "stockade");
        resource.text("service.version", env!("CARGO_PKG_VERSION"));
        resource.text("host.name", &rustix::system::uname().nodename().to_string_lossy());
        resource.text("os.type", "linux");
        Ok(OtlpOutput { settings: settings.clone(), client, resource: json!({"attributes": resource.0}) })
    }
}

impl Output for OtlpOutput {
    fn name(&self) -> String {
        format!("otlp {}", http::shown(&self.settings.url))
    }

    fn filter(&self) -> Filter {
        alerts_from(self.settings.severity)
    }

    fn batch(&self) -> usize {
        100
    }

    fn send(&mut self, records: &[Arc<Record>]) -> Result<u64, Failure> {
        let observed = crate::store::Now::read().time;
        let logs: Vec<Value> = records
            .iter()
            .filter_map(|record| match &**record {
                Record::Alert(alert) => Some(log(alert, observed)),
                _ => None,
            })
            .collect();
        let request = json!({"resourceLogs": [{
            "resource": self.resource,
            "scopeLogs": [{
                "scope": {"name": "stockade.watch", "version": env!("CARGO_PKG_VERSION")},
                "logRecords": logs,
            }],
        }]});
        let answer = self.client.post(request.to_string().as_bytes())?;
        answer.judge_otlp()?;
        Ok(rejected(&answer.body))
    }
}

/// "Partial Success": what the collector took none of, though it answered 200. The number is text in JSON's mapping of
/// 64 bits, and some send it as a number.
fn rejected(body: &[u8]) -> u64 {
    let answer: Value = serde_json::from_slice(body).unwrap_or_default();
    match &answer["partialSuccess"]["rejectedLogRecords"] {
        Value::String(text) => text.parse().unwrap_or(0),
        number => number.as_u64().unwrap_or(0),
    }
}

fn log(alert: &Alert, observed: i64) -> Value {
    // 64-bit numbers are text in the JSON mapping of protocol buffers.
    json!({
        "timeUnixNano": alert.time.to_string(),
        "observedTimeUnixNano": observed.to_string(),
        "severityNumber": severity(alert.severity),
        "severityText": alert.severity.name(),
        "eventName": "stockade.alert",
        "body": {"stringValue": alert.summary},
        "attributes": attributes(alert),
    })
}

/// Logs data model, appendix B, column Syslog: critical is ERROR2, error ERROR, warning WARN, notice INFO2,
/// informational INFO.
fn severity(severity: Severity) -> u8 {
    match severity {
        Severity::Critical => 18,
        Severity::High => 17,
        Severity::Medium => 13,
        Severity::Low => 10,
        Severity::Info => 9,
    }
}

#[derive(Default)]
struct Attributes(Vec<Value>);

impl Attributes {
    fn add(&mut self, key: &str, value: Value) {
        self.0.push(json!({"key": key, "value": value}));
    }

    fn text(&mut self, key: &str, text: &str) {
        self.add(key, json!({"stringValue": text}));
    }

    fn some(&mut self, key: &str, text: Option<&String>) {
        if let Some(text) = text {
            self.text(key, text);
        }
    }

    fn number(&mut self, key: &str, number: u64) {
        self.add(key, json!({"intValue": number.to_string()}));
    }

    fn list(&mut self, key: &str, texts: &[String]) {
        if !texts.is_empty() {
            let values: Vec<Value> = texts.iter().map(|text| json!({"stringValue": text})).collect();
            self.add(key, json!({"arrayValue": {"values": values}}));
        }
    }
}

fn attributes(alert: &Alert) -> Vec<Value> {
    let mut all = Attributes::default();
    all.number("stockade.alert.id", alert.id);
    all.number("stockade.alert.count", alert.count);
    match &alert.cause {
        Cause::Attempt { technique, detector, attack } => {
            all.text("stockade.technique", technique);
            all.text("stockade.detector", detector);
            all.list("stockade.attack", attack);
        }
        Cause::Rule { name, priority, tags, output, .. } => {
            all.text("stockade.rule", name);
            all.text("stockade.rule.priority", priority);
            all.text("stockade.rule.output", output);
            all.list("stockade.rule.tags", tags);
        }
        Cause::Sensor { what } => all.text("stockade.sensor", what),
    }
    match &alert.outcome {
        Outcome::Done => all.text("stockade.outcome", "done"),
        Outcome::Refused { name, .. } => {
            all.text("stockade.outcome", "refused");
            all.text("error.type", name);
        }
        Outcome::NotKnown => all.text("stockade.outcome", "not-known"),
    }
    match &alert.exposure {
        Exposure::Open => all.text("stockade.exposure", "open"),
        Exposure::Held { barriers, depth } => {
            all.text("stockade.exposure", "held");
            all.number("stockade.exposure.depth", u64::from(*depth));
            all.list("stockade.exposure.barriers", barriers);
        }
        Exposure::NotKnown { missing } => {
            all.text("stockade.exposure", "not-known");
            all.list("stockade.exposure.missing", missing);
        }
        Exposure::DoesNotApply => {}
    }
    if let Some(container) = &alert.container {
        all.some("container.id", container.id.as_ref());
        all.some("container.name", container.name.as_ref());
        all.some("container.image.name", container.image.as_ref());
        all.some("container.runtime.name", container.engine.as_ref());
        all.some("k8s.pod.name", container.pod.as_ref());
        all.some("k8s.namespace.name", container.namespace.as_ref());
        all.some("stockade.verdict", container.verdict.as_ref());
        for (name, value) in &container.labels {
            all.text(&format!("container.label.{name}"), value);
        }
    }
    if let Some(process) = alert.processes.first() {
        all.number("process.pid", u64::from(process.task.process));
        all.number("process.vpid", u64::from(process.process_inside));
        all.text("process.executable.name", &process.name);
        all.some("process.executable.path", process.executable.as_ref());
        all.list("process.command_args", &process.arguments);
        all.some("process.owner", process.user.as_ref());
        all.number("process.user.id", u64::from(process.credentials.euid));
    }
    if let Some(parent) = alert.processes.get(1) {
        all.number("process.parent_pid", u64::from(parent.task.process));
    }
    all.list("stockade.advice", &alert.advice);
    all.0
}

/// The attributes of one log as a map, for the tests.
#[cfg(test)]
fn as_map(attributes: &Value) -> serde_json::Map<String, Value> {
    attributes
        .as_array()
        .unwrap()
        .iter()
        .map(|a| (a["key"].as_str().unwrap().to_owned(), a["value"].clone()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outputs::testing::{Server, answer};
    use crate::store::samples;

    #[test]
    fn alerts_are_log_records_with_severity_and_attributes_by_the_specification() {
        let server = Server::start();
        let mut output = OtlpOutput::new(&Otlp::to(server.url())).unwrap();
        let records: Vec<Arc<Record>> = [
            samples::attempt(),
            samples::held(),
            samples::rule_match(),
            samples::not_known(),
            samples::sensor_loss(),
        ]
        .into_iter()
        .map(|alert| Arc::new(alert.into()))
        .collect();
        assert_eq!(output.send(&records), Ok(0));
        let request = &server.wait_for(1)[0];
        assert_eq!(request.line, "POST /v1/logs HTTP/1.1");
        let body = request.json();
        let resource = as_map(&body["resourceLogs"][0]["resource"]["attributes"]);
        assert_eq!(resource["service.name"]["stringValue"], "stockade");
        let logs = body["resourceLogs"][0]["scopeLogs"][0]["logRecords"].as_array().unwrap();
        let numbers: Vec<&Value> = logs.iter().map(|log| &log["severityNumber"]).collect();
        assert_eq!(numbers, [18, 10, 13, 17, 17]);
        assert_eq!(logs[0]["timeUnixNano"], "1795403366535897932");
        assert_eq!(logs[0]["severityText"], "critical");
        let attributes = as_map(&logs[0]["attributes"]);
        assert_eq!(attributes["stockade.technique"]["stringValue"], "cgroup-release-agent");
        assert_eq!(attributes["container.name"]["stringValue"], "web");
        assert_eq!(attributes["process.pid"]["intValue"], "4242");
        assert_eq!(attributes["process.command_args"]["arrayValue"]["values"][1]["stringValue"], "-c");
        assert_eq!(attributes["container.label.com.example.team"]["stringValue"], "shop");
        assert_eq!(as_map(&logs[1]["attributes"])["stockade.exposure.depth"]["intValue"], "2");
        for log in logs {
            let keys = log["attributes"].as_array().unwrap().len();
            assert_eq!(as_map(&log["attributes"]).len(), keys, "keys are not given twice");
        }
    }

    #[test]
    fn what_a_collector_rejects_is_counted_and_only_the_retryable_is_tried_again() {
        let server = Server::start();
        let mut output = OtlpOutput::new(&Otlp::to(format!("{}/v1/logs", server.url()))).unwrap();
        let record: [Arc<Record>; 1] = [Arc::new(samples::attempt().into())];
        server.then(answer(
            200,
            "",
            r#"{"partialSuccess": {"rejectedLogRecords": "1", "errorMessage": "old"}}"#,
        ));
        assert_eq!(output.send(&record), Ok(1));
        server.then(answer(200, "", r#"{"partialSuccess": {"rejectedLogRecords": 1}}"#));
        assert_eq!(output.send(&record), Ok(1));
        server.then(answer(200, "", "{}"));
        assert_eq!(output.send(&record), Ok(0));
        for (status, again) in
            [(429, true), (502, true), (503, true), (504, true), (400, false), (500, false)]
        {
            server.then(answer(status, "", ""));
            let result = output.send(&record);
            assert_eq!(matches!(result, Err(Failure::Later { .. })), again, "{status} {result:?}");
        }
        assert!(server.requests().iter().all(|r| r.line.starts_with("POST /v1/logs ")));
    }
}

//! What is kept and carried: alerts, the trail, blind windows, heartbeats, containers seen, and what the store itself
//! lost. Made by the pipeline, written by the store, sent by the outputs.

use sensor::event::{ContainerKey, Lane};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::alert::{Alert, Cause, Container, Severity};

/// The schema of an alert as JSON.
pub const ALERT_SCHEMA: &str = "stockade.alert/1";
/// The schema of every other record as JSON.
pub const RECORD_SCHEMA: &str = "stockade.record/1";

/// One thing to keep.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "record")]
pub enum Record {
    Alert(Box<Alert>),
    Blind(Blind),
    Loss(Loss),
    Container(Box<Seen>),
    Heartbeat(Heartbeat),
    Trail(Box<Trail>),
}

/// The kinds of record, the most precious first: where a queue is full, a kind makes room for those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    Alert,
    Blind,
    Loss,
    Container,
    Heartbeat,
    Trail,
}

impl Kind {
    pub const ALL: [Kind; 6] =
        [Kind::Alert, Kind::Blind, Kind::Loss, Kind::Container, Kind::Heartbeat, Kind::Trail];

    pub fn name(self) -> &'static str {
        match self {
            Kind::Alert => "alert",
            Kind::Blind => "blind",
            Kind::Loss => "loss",
            Kind::Container => "container",
            Kind::Heartbeat => "heartbeat",
            Kind::Trail => "trail",
        }
    }
}

/// A step of the audit trail: who did what to which container.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trail {
    /// Nanoseconds since boot.
    pub since_boot: u64,
    #[serde(flatten)]
    pub step: crate::trail::Record,
}

/// A window in which the sensor lost something.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Blind {
    /// When it ended, nanoseconds since 1970-01-01 UTC.
    pub time: i64,
    /// When it ended, nanoseconds since boot.
    pub since_boot: u64,
    /// When it began, nanoseconds since boot.
    pub from: u64,
    pub lane: Lane,
    pub kind: String,
    pub container: Option<ContainerKey>,
    pub lost: u64,
}

/// That the sensor lives, and how it fares.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// Nanoseconds since 1970-01-01 UTC.
    pub time: i64,
    /// Nanoseconds since boot.
    pub since_boot: u64,
    pub containers: u64,
    /// Events since the sensor started: seen and lost, by lane.
    pub rare: u64,
    pub rare_lost: u64,
    pub bulk: u64,
    pub bulk_lost: u64,
    /// Resident bytes.
    pub memory: u64,
    /// What does not work as it should, such as a rule file that is broken.
    pub problems: Vec<String>,
}

/// A container as it was last known.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Seen {
    /// Nanoseconds since 1970-01-01 UTC.
    pub time: i64,
    /// Nanoseconds since boot.
    pub since_boot: u64,
    pub container: Container,
    /// When it ended, nanoseconds since 1970-01-01 UTC; None while it runs.
    pub ended: Option<i64>,
}

/// Records that the store could not keep.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Loss {
    /// When it was told, nanoseconds since 1970-01-01 UTC.
    pub time: i64,
    /// When it was told, nanoseconds since boot.
    pub since_boot: u64,
    /// The last time before at which the store was whole, nanoseconds since 1970-01-01 UTC.
    pub from: i64,
    pub cause: LossCause,
    /// What was lost, by kind; kinds of which nothing was lost are left out.
    pub lost: Vec<Lost>,
    /// False where the count is not certain: the machine itself went down, or the account was not to be had.
    pub exact: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lost {
    pub kind: Kind,
    pub count: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "cause")]
pub enum LossCause {
    /// More came than could be written.
    QueueFull,
    /// The disk was full, or would not take what was written; what it said.
    CouldNotWrite { why: String },
    /// The process ended before what it held was written.
    Killed,
    /// The database was corrupt and is kept at this path; a new one was begun.
    Corrupt { moved_to: String, why: String },
}

impl Record {
    pub fn kind(&self) -> Kind {
        match self {
            Record::Alert(_) => Kind::Alert,
            Record::Blind(_) => Kind::Blind,
            Record::Loss(_) => Kind::Loss,
            Record::Container(_) => Kind::Container,
            Record::Heartbeat(_) => Kind::Heartbeat,
            Record::Trail(_) => Kind::Trail,
        }
    }

    /// Nanoseconds since 1970-01-01 UTC, by the clock of the machine then.
    pub fn time(&self) -> i64 {
        match self {
            Record::Alert(r) => r.time,
            Record::Blind(r) => r.time,
            Record::Loss(r) => r.time,
            Record::Container(r) => r.time,
            Record::Heartbeat(r) => r.time,
            Record::Trail(r) => r.step.time,
        }
    }

    /// Nanoseconds since boot.
    pub fn since_boot(&self) -> u64 {
        match self {
            Record::Alert(r) => r.since_boot,
            Record::Blind(r) => r.since_boot,
            Record::Loss(r) => r.since_boot,
            Record::Container(r) => r.since_boot,
            Record::Heartbeat(r) => r.since_boot,
            Record::Trail(r) => r.since_boot,
        }
    }

    /// The identifier and the name of the container it is about, where known.
    pub fn container(&self) -> (Option<&str>, Option<&str>) {
        fn of(container: &Container) -> (Option<&str>, Option<&str>) {
            (container.id.as_deref(), container.name.as_deref())
        }
        match self {
            Record::Alert(r) => r.container.as_ref().map_or((None, None), of),
            Record::Container(r) => of(&r.container),
            Record::Trail(r) => (r.step.id.as_deref(), r.step.name.as_deref()),
            Record::Blind(_) | Record::Loss(_) | Record::Heartbeat(_) => (None, None),
        }
    }

    pub fn severity(&self) -> Option<Severity> {
        match self {
            Record::Alert(alert) => Some(alert.severity),
            _ => None,
        }
    }

    /// As one object of JSON with its `schema`: an alert is `stockade.alert/1`, a step of the trail says its own, all
    /// else is `stockade.record/1`.
    pub fn to_json(&self) -> Value {
        let (schema, body) = match self {
            Record::Alert(alert) => (ALERT_SCHEMA, serde_json::to_value(alert)),
            other => (RECORD_SCHEMA, serde_json::to_value(other)),
        };
        let mut object = serde_json::Map::new();
        object.insert("schema".into(), schema.into());
        // These types have text keys and no floats, so that they always serialise.
        if let Ok(Value::Object(fields)) = body {
            object.extend(fields);
        }
        Value::Object(object)
    }
}

impl From<Alert> for Record {
    fn from(alert: Alert) -> Record {
        Record::Alert(Box::new(alert))
    }
}

impl Alert {
    /// The technique that was tried, where the alert is about one.
    pub fn technique(&self) -> Option<&str> {
        match &self.cause {
            Cause::Attempt { technique, .. } => Some(technique),
            Cause::Rule { .. } | Cause::Sensor { .. } => None,
        }
    }

    /// The rule that matched.
    pub fn rule(&self) -> Option<&str> {
        match &self.cause {
            Cause::Rule { name, .. } => Some(name),
            Cause::Attempt { .. } | Cause::Sensor { .. } => None,
        }
    }

    /// What names the cause: the technique, the rule, or `sensor`.
    pub fn cause_name(&self) -> &str {
        match &self.cause {
            Cause::Attempt { technique, .. } => technique,
            Cause::Rule { name, .. } => name,
            Cause::Sensor { .. } => "sensor",
        }
    }
}

impl Severity {
    pub const ALL: [Severity; 5] =
        [Severity::Info, Severity::Low, Severity::Medium, Severity::High, Severity::Critical];

    pub fn name(self) -> &'static str {
        match self {
            Severity::Info => "info",
            Severity::Low => "low",
            Severity::Medium => "medium",
            Severity::High => "high",
            Severity::Critical => "critical",
        }
    }

    pub fn parse(name: &str) -> Option<Severity> {
        Severity::ALL.into_iter().find(|s| s.name() == name)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::store::samples;

    fn validator(schema: &str) -> jsonschema::Validator {
        let schema: Value = serde_json::from_str(schema).unwrap();
        jsonschema::draft202012::meta::validate(&schema).unwrap();
        jsonschema::draft202012::new(&schema).unwrap()
    }

    fn alerts() -> jsonschema::Validator {
        validator(include_str!("../../../../schemas/stockade.alert-1.schema.json"))
    }

    fn errors(validator: &jsonschema::Validator, json: &Value) -> Vec<String> {
        validator.iter_errors(json).map(|e| format!("{}: {e}", e.instance_path())).collect()
    }

    #[test]
    fn alerts_as_json_follow_the_published_schema() {
        let validator = alerts();
        for alert in [
            samples::attempt(),
            samples::held(),
            samples::not_known(),
            samples::rule_match(),
            samples::sensor_loss(),
        ] {
            let json = Record::from(alert.clone()).to_json();
            assert_eq!(errors(&validator, &json), Vec::<String>::new());
            assert_eq!(serde_json::from_value::<Alert>(json).unwrap(), alert, "it reads back");
        }
    }

    #[test]
    fn the_schema_refuses_what_it_does_not_describe() {
        let validator = alerts();
        let refuses = |change: fn(&mut Value)| {
            let mut json = Record::from(samples::held()).to_json();
            change(&mut json);
            assert!(!validator.is_valid(&json), "{json}");
        };
        refuses(|v| v["surprise"] = json!(1));
        refuses(|v| v["schema"] = json!("stockade.alert/2"));
        refuses(|v| v["severity"] = json!("grave"));
        refuses(|v| v["exposure"] = json!({"exposure": "held"}));
        refuses(|v| v["outcome"]["outcome"] = json!("maybe"));
        refuses(|v| v["cause"]["kind"] = json!("guess"));
        refuses(|v| v["processes"][0]["sha256"] = json!("xyz"));
        refuses(|v| {
            v.as_object_mut().map(|o| o.remove("container"));
        });
    }

    #[test]
    fn other_records_as_json_follow_the_published_schema_and_the_trail_has_its_own() {
        let validator = validator(include_str!("../../../../schemas/stockade.record-1.schema.json"));
        let causes = [
            LossCause::QueueFull,
            LossCause::Killed,
            LossCause::Corrupt { moved_to: "/x".into(), why: "y".into() },
        ];
        let losses = causes.into_iter().map(|cause| Record::Loss(Loss { cause, ..samples::loss() }));
        let others = [
            Record::Blind(samples::blind()),
            Record::Loss(samples::loss()),
            Record::Heartbeat(samples::heartbeat()),
            Record::Container(samples::seen(7).into()),
        ];
        for record in losses.chain(others) {
            assert_eq!(errors(&validator, &record.to_json()), Vec::<String>::new());
        }
        let json = Record::Trail(samples::trail(5).into()).to_json();
        assert_eq!((&json["schema"], &json["record"]), (&json!("stockade.trail/1"), &json!("trail")));
        assert_eq!(json["exec"]["privileged"], true);
    }
}

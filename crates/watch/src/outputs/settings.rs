//! What a user sets of the outputs, as `[watch.outputs]` in stockade.toml and as flags. docs/outputs.md describes
//! every key.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer};

use crate::alert::Severity;

/// Every output, each as often as there are places to send to.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Settings {
    pub json_lines: Vec<JsonLines>,
    pub syslog: Vec<Syslog>,
    pub webhook: Vec<Webhook>,
    pub alertmanager: Vec<Alertmanager>,
    pub otlp: Vec<Otlp>,
    pub metrics: Metrics,
}

/// One JSON object a line.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct JsonLines {
    /// `-` is standard output.
    pub file: PathBuf,
    #[serde(default = "everything")]
    pub severity: Severity,
    /// Alerts, and not the other records.
    #[serde(default)]
    pub alerts_only: bool,
    #[serde(default = "queue")]
    pub queue: usize,
}

impl JsonLines {
    pub fn to(file: impl Into<PathBuf>) -> JsonLines {
        JsonLines { file: file.into(), severity: everything(), alerts_only: false, queue: queue() }
    }
}

/// RFC 5424.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Syslog {
    pub to: SyslogTarget,
    /// As syslog(3) names them: `authpriv`, `daemon`, `local0`, …
    #[serde(default = "authpriv")]
    pub facility: String,
    #[serde(default)]
    pub format: SyslogFormat,
    #[serde(default = "everything")]
    pub severity: Severity,
    #[serde(default = "queue")]
    pub queue: usize,
}

impl Syslog {
    pub fn to(to: SyslogTarget) -> Syslog {
        Syslog {
            to,
            facility: authpriv(),
            format: SyslogFormat::Text,
            severity: everything(),
            queue: queue(),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SyslogTarget {
    /// A datagram socket, such as `/dev/log`.
    Unix(PathBuf),
    /// `host:port`, RFC 5426.
    Udp(String),
    /// `host:port`, RFC 6587 with octet counting.
    Tcp(String),
}

impl FromStr for SyslogTarget {
    type Err = String;

    fn from_str(text: &str) -> Result<SyslogTarget, String> {
        let host = |rest: &str| -> Result<String, String> {
            let has_port = rest.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
            // 514 for UDP by RFC 5426; TCP has no port of its own without TLS, and rsyslog uses the same.
            Ok(if has_port { rest.to_owned() } else { format!("{rest}:514") })
        };
        match text.split_once("://") {
            Some(("udp", rest)) if !rest.is_empty() => host(rest).map(SyslogTarget::Udp),
            Some(("tcp", rest)) if !rest.is_empty() => host(rest).map(SyslogTarget::Tcp),
            Some(("unix", path)) if path.starts_with('/') => Ok(SyslogTarget::Unix(path.into())),
            None if text.starts_with('/') => Ok(SyslogTarget::Unix(text.into())),
            _ => Err(format!(
                "`{text}` is not a place for syslog: /dev/log, udp://HOST:PORT and tcp://HOST:PORT are"
            )),
        }
    }
}

impl fmt::Display for SyslogTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SyslogTarget::Unix(path) => write!(f, "{}", path.display()),
            SyslogTarget::Udp(host) => write!(f, "udp://{host}"),
            SyslogTarget::Tcp(host) => write!(f, "tcp://{host}"),
        }
    }
}

impl<'de> Deserialize<'de> for SyslogTarget {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<SyslogTarget, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SyslogFormat {
    /// One line for people.
    #[default]
    Text,
    /// The alert as JSON.
    Json,
}

/// An HTTP POST of each alert.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Webhook {
    pub url: String,
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// A file whose first line is sent as a bearer token; read anew for each request.
    pub token_file: Option<PathBuf>,
    /// Certificates to trust, PEM, instead of the system's.
    pub ca_file: Option<PathBuf>,
    #[serde(default = "timeout", deserialize_with = "duration")]
    pub timeout: Duration,
    #[serde(default = "everything")]
    pub severity: Severity,
    #[serde(default = "queue")]
    pub queue: usize,
}

impl Webhook {
    pub fn to(url: impl Into<String>) -> Webhook {
        Webhook {
            url: url.into(),
            headers: BTreeMap::new(),
            token_file: None,
            ca_file: None,
            timeout: timeout(),
            severity: everything(),
            queue: queue(),
        }
    }
}

/// Prometheus Alertmanager, API version 2.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Alertmanager {
    /// The server; `/api/v2/alerts` is added.
    pub url: String,
    /// Further labels of every alert.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// An alert is resolved when it was not seen again for so long.
    #[serde(default = "hold", deserialize_with = "duration")]
    pub hold: Duration,
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    pub token_file: Option<PathBuf>,
    pub ca_file: Option<PathBuf>,
    #[serde(default = "timeout", deserialize_with = "duration")]
    pub timeout: Duration,
    #[serde(default = "medium")]
    pub severity: Severity,
    #[serde(default = "queue")]
    pub queue: usize,
}

impl Alertmanager {
    pub fn to(url: impl Into<String>) -> Alertmanager {
        Alertmanager {
            url: url.into(),
            labels: BTreeMap::new(),
            hold: hold(),
            headers: BTreeMap::new(),
            token_file: None,
            ca_file: None,
            timeout: timeout(),
            severity: medium(),
            queue: queue(),
        }
    }
}

/// OpenTelemetry logs, OTLP over HTTP with JSON.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Otlp {
    /// The collector; `/v1/logs` is added.
    pub url: String,
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    pub token_file: Option<PathBuf>,
    pub ca_file: Option<PathBuf>,
    #[serde(default = "timeout", deserialize_with = "duration")]
    pub timeout: Duration,
    #[serde(default = "everything")]
    pub severity: Severity,
    #[serde(default = "queue")]
    pub queue: usize,
}

impl Otlp {
    pub fn to(url: impl Into<String>) -> Otlp {
        Otlp {
            url: url.into(),
            headers: BTreeMap::new(),
            token_file: None,
            ca_file: None,
            timeout: timeout(),
            severity: everything(),
            queue: queue(),
        }
    }
}

/// Prometheus metrics.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Metrics {
    /// Where `/metrics` is served: a loopback address, or the path of a Unix socket.
    pub listen: Option<MetricsAddress>,
    /// A file for the textfile collector of node_exporter; its name ends in `.prom`.
    pub textfile: Option<PathBuf>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MetricsAddress {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl FromStr for MetricsAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<MetricsAddress, String> {
        if let Some(path) = text.strip_prefix("unix://").or(Some(text)).filter(|t| t.starts_with('/')) {
            return Ok(MetricsAddress::Unix(path.into()));
        }
        match text.parse::<SocketAddr>() {
            Ok(address) if address.ip().is_loopback() => Ok(MetricsAddress::Tcp(address)),
            Ok(address) => Err(format!(
                "{address} can be reached from other machines, and metrics have no password; use a loopback address \
                 such as 127.0.0.1:9464, or the path of a Unix socket"
            )),
            Err(_) => Err(format!("`{text}` is neither ADDRESS:PORT nor the path of a Unix socket")),
        }
    }
}

impl<'de> Deserialize<'de> for MetricsAddress {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<MetricsAddress, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

fn everything() -> Severity {
    Severity::Info
}

fn medium() -> Severity {
    Severity::Medium
}

fn queue() -> usize {
    1000
}

fn timeout() -> Duration {
    Duration::from_secs(10)
}

fn hold() -> Duration {
    Duration::from_secs(300)
}

fn authpriv() -> String {
    "authpriv".into()
}

/// `90s`, `5m`, `1h 30m`, `7d`; a day is 24 hours.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is not a duration; 90s, 5m, 12h and 7d are");
    let span: jiff::Span = text.parse().map_err(|_| wrong())?;
    let duration = span.to_duration(jiff::SpanRelativeTo::days_are_24_hours()).map_err(|_| wrong())?;
    Duration::try_from(duration).map_err(|_| format!("`{text}` is a negative duration"))
}

fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    parse_duration(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
}

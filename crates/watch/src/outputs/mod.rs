//! The outputs: where records go beside the store. Data comes from the pipeline and goes to files, syslog, webhooks,
//! Alertmanager and OpenTelemetry collectors, each through a bounded queue and a thread of its own; the metrics are read
//! from the board that the pipeline fills. Nothing here ever makes the pipeline wait.

mod alertmanager;
mod board;
mod http;
mod json_lines;
mod metrics;
mod otlp;
pub mod service;
mod settings;
mod syslog;
#[cfg(test)]
mod testing;
pub mod text;
mod webhook;
mod worker;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

pub use board::{AlertCount, Board, ContainerLine, EventCount, QueueLine, Snapshot};
pub use settings::{
    Alertmanager, JsonLines, Metrics, MetricsAddress, Otlp, Settings, Syslog, SyslogFormat, SyslogTarget,
    Webhook, parse_duration,
};
pub use worker::OutputStatus;

use crate::alert::Severity;
use crate::store::Record;
use worker::Worker;

/// One place that records go to.
pub trait Output: Send {
    /// Its kind and where it leads, for people: `webhook https://…`, without secrets.
    fn name(&self) -> String;

    /// Whether a record is for this output; asked by whoever gives it.
    fn filter(&self) -> Filter;

    /// How many records one call of [`Output::send`] may be given.
    fn batch(&self) -> usize {
        1
    }

    /// Sends records, oldest first; how many of them the other side refused for good.
    fn send(&mut self, records: &[Arc<Record>]) -> Result<u64, Failure>;

    /// Called when nothing came for a while.
    fn idle(&mut self) -> Result<(), Failure> {
        Ok(())
    }

    /// Opens anew what it writes to, as after a rotation.
    fn reopen(&mut self) {}
}

/// Says which records an output takes.
pub type Filter = Box<dyn Fn(&Record) -> bool + Send + Sync>;

/// Alerts of at least this severity.
fn alerts_from(least: Severity) -> Filter {
    Box::new(move |record| record.severity().is_some_and(|severity| severity >= least))
}

/// Why a record was not sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// It may go later; not before so long, where the other side said so.
    Later { why: String, after: Option<Duration> },
    /// The other side will never take it.
    Refused { why: String },
}

impl Failure {
    fn later(why: impl ToString) -> Failure {
        Failure::Later { why: why.to_string(), after: None }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    #[error("{output}: {why}")]
    Setting { output: String, why: String },
    #[error("{output}: {}: {error}", path.display())]
    File { output: String, path: PathBuf, error: std::io::Error },
    #[error("{output}: cannot start: {error}")]
    Start { output: String, error: std::io::Error },
}

/// All outputs of one run.
pub struct Outputs {
    workers: Vec<Worker>,
    metrics: Mutex<Vec<metrics::Running>>,
}

impl Outputs {
    /// Starts what the settings name. A setting that cannot work is an error; another side that does not answer is not.
    pub fn from(settings: &Settings, board: &Board) -> Result<Outputs, OutputError> {
        let metrics = metrics::start(&settings.metrics, board)?;
        let mut outputs = Outputs { workers: Vec::new(), metrics: Mutex::new(metrics) };
        for settings in &settings.json_lines {
            outputs.add(json_lines::JsonLinesOutput::open(settings)?, settings.queue)?;
        }
        for settings in &settings.syslog {
            outputs.add(syslog::SyslogOutput::new(settings)?, settings.queue)?;
        }
        for settings in &settings.webhook {
            outputs.add(webhook::WebhookOutput::new(settings)?, settings.queue)?;
        }
        for settings in &settings.alertmanager {
            outputs.add(alertmanager::AlertmanagerOutput::new(settings)?, settings.queue)?;
        }
        for settings in &settings.otlp {
            outputs.add(otlp::OtlpOutput::new(settings)?, settings.queue)?;
        }
        Ok(outputs)
    }

    /// Another output, beside those of the settings. Each has a name of its own, for the metrics.
    pub fn add(&mut self, output: impl Output + 'static, queue: usize) -> Result<(), OutputError> {
        let plain = output.name();
        let alike = self.workers.iter().filter(|w| w.name().starts_with(&plain)).count();
        let name = if alike == 0 { plain } else { format!("{plain} ({})", alike + 1) };
        self.workers.push(Worker::start(output, queue, name)?);
        Ok(())
    }

    /// Offers a record to every output that takes such. Never waits.
    pub fn offer(&self, record: &Arc<Record>) {
        for worker in &self.workers {
            worker.offer(record);
        }
    }

    /// Files are opened anew, as SIGHUP asks for.
    pub fn reopen(&self) {
        for worker in &self.workers {
            worker.reopen();
        }
    }

    /// How each fares.
    pub fn status(&self) -> Vec<OutputStatus> {
        self.workers.iter().map(Worker::status).collect()
    }

    /// Takes nothing more, and waits until all is sent, at most so long in all. What is then left counts as dropped.
    pub fn close(&self, time: Duration) -> Vec<OutputStatus> {
        let until = Instant::now() + time;
        for worker in &self.workers {
            worker.close(until);
        }
        for running in self.metrics.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            running.end();
        }
        self.workers.iter().map(|worker| worker.wait(until)).collect()
    }
}

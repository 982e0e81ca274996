//! The flags of `stockade watch` that say where records are kept and sent. A flag takes the place of what the file sets
//! of its kind.
#![allow(dead_code, reason = "flattened into the arguments of `stockade watch`")]

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use watch::outputs::{
    Alertmanager, JsonLines, MetricsAddress, Otlp, Settings, Syslog, SyslogTarget, Webhook,
};
use watch::store;

#[derive(Debug, Args)]
#[command(next_help_heading = "Store and outputs")]
pub(crate) struct OutputArguments {
    /// The event store [default: /var/lib/stockade/events.db]
    #[arg(long, value_name = "FILE")]
    store: Option<PathBuf>,

    /// How large the event store may be, such as 512M; the oldest go first
    #[arg(long, value_name = "SIZE", value_parser = store::parse_size)]
    store_size: Option<u64>,

    /// How long records are kept, such as 30d
    #[arg(long, value_name = "TIME", value_parser = watch::outputs::parse_duration)]
    store_age: Option<Duration>,

    /// Write records as JSON lines to this file; `-` is standard output
    #[arg(long, value_name = "FILE")]
    output_json: Vec<PathBuf>,

    /// Send alerts to syslog: /dev/log, udp://HOST:PORT or tcp://HOST:PORT
    #[arg(long, value_name = "PLACE")]
    output_syslog: Vec<SyslogTarget>,

    /// POST each alert as JSON to this address
    #[arg(long, value_name = "URL")]
    output_webhook: Vec<String>,

    /// Send alerts to this Alertmanager
    #[arg(long, value_name = "URL")]
    output_alertmanager: Vec<String>,

    /// Send alerts as logs to this OpenTelemetry collector (OTLP over HTTP)
    #[arg(long, value_name = "URL")]
    output_otlp: Vec<String>,

    /// Serve Prometheus metrics at a loopback address, such as 127.0.0.1:9464, or a Unix socket
    #[arg(long, value_name = "ADDRESS")]
    metrics: Option<MetricsAddress>,

    /// Write Prometheus metrics to this file, for node_exporter
    #[arg(long, value_name = "FILE")]
    metrics_file: Option<PathBuf>,
}

impl OutputArguments {
    /// What the flags say comes before what the file says.
    pub(crate) fn apply(&self, store: &mut store::Settings, outputs: &mut Settings) {
        if let Some(path) = &self.store {
            store.path.clone_from(path);
        }
        store.retention.size = self.store_size.unwrap_or(store.retention.size);
        store.retention.age = self.store_age.unwrap_or(store.retention.age);
        replace(&mut outputs.json_lines, &self.output_json, |file| JsonLines::to(file));
        replace(&mut outputs.syslog, &self.output_syslog, |place| Syslog::to(place.clone()));
        replace(&mut outputs.webhook, &self.output_webhook, |url| Webhook::to(url));
        replace(&mut outputs.alertmanager, &self.output_alertmanager, |url| Alertmanager::to(url));
        replace(&mut outputs.otlp, &self.output_otlp, |url| Otlp::to(url));
        if self.metrics.is_some() {
            outputs.metrics.listen.clone_from(&self.metrics);
        }
        if self.metrics_file.is_some() {
            outputs.metrics.textfile.clone_from(&self.metrics_file);
        }
    }
}

fn replace<T, U>(settings: &mut Vec<T>, flags: &[U], make: impl Fn(&U) -> T) {
    if !flags.is_empty() {
        *settings = flags.iter().map(make).collect();
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        outputs: OutputArguments,
    }

    #[test]
    fn flags_take_the_place_of_the_file_by_kind() {
        let mut settings: crate::settings::Settings = toml::from_str(
            r#"
            [watch.store]
            path = "/a/b.db"
            age = "7d"

            [[watch.outputs.webhook]]
            url = "https://hooks.example/x"
            timeout = "3s"
            severity = "high"

            [[watch.outputs.syslog]]
            to = "/dev/log"
            format = "json"

            [watch.outputs.metrics]
            listen = "127.0.0.1:9464"
            "#,
        )
        .unwrap();
        let line = Line::try_parse_from([
            "watch",
            "--store-size=64M",
            "--output-webhook=http://127.0.0.1:1/a",
            "--output-webhook=http://127.0.0.1:1/b",
            "--output-json=-",
        ])
        .unwrap();
        line.outputs.apply(&mut settings.watch.store, &mut settings.watch.outputs);
        let store = &settings.watch.store;
        assert_eq!((store.path.to_str(), store.retention.size), (Some("/a/b.db"), 64 << 20));
        assert_eq!(store.retention.age, Duration::from_secs(7 * 24 * 3600));
        let outputs = &settings.watch.outputs;
        let urls: Vec<&str> = outputs.webhook.iter().map(|w| w.url.as_str()).collect();
        assert_eq!(urls, ["http://127.0.0.1:1/a", "http://127.0.0.1:1/b"]);
        assert_eq!((outputs.json_lines.len(), outputs.syslog.len()), (1, 1));
        assert!(outputs.metrics.listen.is_some());
    }

    #[test]
    fn a_flag_that_cannot_work_is_told_at_once() {
        for flag in ["--store-size=3", "--store-age=soon", "--output-syslog=there", "--metrics=0.0.0.0:1"] {
            assert!(Line::try_parse_from(["watch", flag]).is_err(), "{flag}");
        }
        for text in ["[watch.outputs]\nsurprise = 1", "[watch.store]\nsize = 5", "[[watch.outputs.webhook]]"]
        {
            assert!(toml::from_str::<crate::settings::Settings>(text).is_err(), "{text}");
        }
    }
}

//! `stockade watch`: the sensor, the detectors and the rules, wired to the store, the outputs and the terminal.

mod capabilities;
#[cfg(feature = "sensor")]
mod live;
mod replay;
mod rule_files;
#[cfg(feature = "sensor")]
mod terminal;

use std::io::IsTerminal as _;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use watch::alert::Severity;

use crate::arguments::Colour;
use crate::output_arguments::OutputArguments;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Tell what of the sensor this kernel takes, and end
    #[arg(long)]
    capabilities: bool,

    /// A capture (.scap) instead of the kernel: the matches of --rules, or what is in it
    #[arg(long, value_name = "FILE", conflicts_with_all = ["capabilities", "top"])]
    replay: Option<PathBuf>,

    /// A live view of containers, rates, loss and alerts
    #[arg(long, conflicts_with_all = ["capabilities", "format"])]
    top: bool,

    /// Rules in the Falco language, in this order
    #[arg(long, value_name = "FILE")]
    rules: Vec<PathBuf>,

    /// Start although a rule file is broken; what could be read of it counts, and every heartbeat says so
    #[arg(long, requires = "rules")]
    allow_broken_rules: bool,

    /// Processes of the host too, for the rules; detectors watch containers
    #[arg(long, requires = "rules")]
    host: bool,

    /// Show alerts of at least this severity; the store and the outputs have thresholds of their own
    #[arg(long, value_name = "SEVERITY", default_value = "low")]
    threshold: Threshold,

    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: Format,

    /// End after so long, such as 30s or 8h
    #[arg(long = "for", value_name = "TIME", value_parser = watch::outputs::parse_duration)]
    duration: Option<std::time::Duration>,

    /// Make this file when the sensor is attached
    #[arg(long, value_name = "FILE")]
    ready_file: Option<PathBuf>,

    /// Write a capture (.scap) of the container around each alert into this folder
    #[arg(long, value_name = "FOLDER")]
    capture: Option<PathBuf>,

    /// Keep nothing
    #[arg(long, conflicts_with_all = ["store", "store_size", "store_age"])]
    no_store: bool,

    #[command(flatten)]
    outputs: OutputArguments,

    /// Settings; ./stockade.toml where there is one
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    #[arg(long, value_name = "WHEN", default_value = "auto")]
    color: Colour,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    /// One object a line
    Json,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Threshold {
    Info,
    Low,
    Medium,
    High,
    Critical,
}

impl Threshold {
    fn severity(self) -> Severity {
        match self {
            Threshold::Info => Severity::Info,
            Threshold::Low => Severity::Low,
            Threshold::Medium => Severity::Medium,
            Threshold::High => Severity::High,
            Threshold::Critical => Severity::Critical,
        }
    }
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<u8> {
    if arguments.capabilities {
        return capabilities::run(arguments);
    }
    if let Some(path) = &arguments.replay {
        return replay::run(arguments, path);
    }
    #[cfg(feature = "sensor")]
    return live::run(arguments);
    #[cfg(not(feature = "sensor"))]
    anyhow::bail!(
        "this stockade was built without the sensor; build it with `make`, or with \
         `cargo build --release --features sensor` where clang, libelf and zlib are installed"
    );
}

/// Whether alerts on standard output are coloured.
fn is_coloured(arguments: &Arguments) -> bool {
    crate::audit::colour(arguments.color, std::io::stdout().is_terminal())
}

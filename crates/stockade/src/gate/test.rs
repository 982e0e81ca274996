//! `stockade gate test`: what the trials of a door say, told to people, to timers by the exit code, and to whoever reads JSON.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use gate::canary::kubernetes::Webhook;
use gate::canary::{self, Became, Trial, Verdict};
use report::printable;
use serde_json::json;
use sources::engine_api::Endpoint;

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    Text,
    Json,
}

#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("door").required(true).multiple(true).args(["docker", "oci", "kubernetes"])))]
pub(super) struct Arguments {
    /// Try the door of a Docker daemon, or a filtered socket: unix:///run/docker.sock
    #[arg(long, value_name = "ADDRESS")]
    docker: Option<String>,

    /// The image that containers are asked for of [default: the smallest that is there]
    #[arg(long, value_name = "IMAGE", requires = "docker")]
    image: Option<String>,

    /// Try the runtime that stands before the real one, by its path or name
    #[arg(long, value_name = "PROGRAM")]
    oci: Option<PathBuf>,

    /// Try the webhook of admission: https://HOST:PORT/review
    #[arg(long, value_name = "URL", requires = "ca")]
    kubernetes: Option<String>,

    /// Certificates of the authority that the webhook's own is from (`caBundle`), as PEM
    #[arg(long, value_name = "FILE", requires = "kubernetes")]
    ca: Option<PathBuf>,

    /// The name in the webhook's certificate, where it is reached by another: SERVICE.NAMESPACE.svc
    #[arg(long, value_name = "NAME", requires = "kubernetes")]
    server_name: Option<String>,

    /// The namespace that pods are asked for in
    #[arg(long, value_name = "NAME", default_value = "default", requires = "kubernetes")]
    namespace: String,

    /// How the outcome is told
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: Format,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<u8> {
    let mut doors: Vec<(String, Vec<Trial>)> = Vec::new();
    if let Some(address) = &arguments.docker {
        let endpoint = Endpoint::parse(address)?;
        doors.push((
            format!("docker {endpoint}"),
            canary::docker::run(&endpoint, arguments.image.as_deref())?,
        ));
    }
    if let Some(runtime) = &arguments.oci {
        let folder = folder();
        doors.push((format!("oci {}", runtime.display()), canary::oci::run(runtime, &folder)?));
    }
    if let (Some(address), Some(authority)) = (&arguments.kubernetes, &arguments.ca) {
        let webhook = Webhook::new(address, authority, arguments.server_name.as_deref())?;
        doors.push((format!("kubernetes {address}"), webhook.run(&arguments.namespace)?));
    }
    match arguments.format {
        Format::Text => text(&doors)?,
        Format::Json => {
            let doors: Vec<_> = doors
                .iter()
                .map(|(door, trials)| json!({"door": door, "verdict": canary::verdict(trials), "trials": trials}))
                .collect();
            let document = json!({"schema": "stockade.gate-test/1", "time": jiff::Timestamp::now().to_string(), "doors": doors});
            println!("{document:#}");
        }
    }
    let worst = doors.iter().map(|(_, trials)| canary::verdict(trials)).max().unwrap_or(Verdict::NotKnown);
    for (door, trials) in &doors {
        alert(door, trials);
    }
    Ok(match worst {
        Verdict::Live => 0,
        Verdict::Open | Verdict::RefusesAll => 1,
        Verdict::NotKnown => crate::COULD_NOT_JUDGE,
    })
}

/// Where bundles are kept meanwhile: `/run` is root's alone, and runtimes are root's.
fn folder() -> PathBuf {
    let is_root = fs::metadata("/proc/self").is_ok_and(|this| this.uid() == 0);
    if is_root { "/run".into() } else { std::env::temp_dir() }
}

fn text(doors: &[(String, Vec<Trial>)]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    for (door, trials) in doors {
        let says = match canary::verdict(trials) {
            Verdict::Live => "live: what must be refused is refused, what must pass passes",
            Verdict::RefusesAll => "REFUSES WHAT MUST PASS",
            Verdict::NotKnown => "NOT PROVEN",
            Verdict::Open => "OPEN",
        };
        writeln!(out, "{}: {says}", printable(door))?;
        for trial in trials {
            let became = match &trial.became {
                Became::Refused { message } => format!("refused: {message}"),
                Became::LetIn { left: None } => "let in".to_owned(),
                Became::LetIn { left: Some(left) } => format!("let in, and STILL THERE: {left}"),
                Became::NotKnown { why } => format!("not known: {why}"),
            };
            let mark = if trial.verdict() == Verdict::Live { "  " } else { "! " };
            writeln!(out, "{mark}{}: {}", trial.asked, printable(&became))?;
        }
    }
    Ok(())
}

/// One line for whoever watches the journal.
fn alert(door: &str, trials: &[Trial]) {
    let of = |verdict: Verdict| -> Vec<&str> {
        trials.iter().filter(|t| t.verdict() == verdict).map(|t| t.asked.as_str()).collect()
    };
    let says = match canary::verdict(trials) {
        Verdict::Live => return,
        Verdict::Open => format!("THE DOOR IS OPEN: it let in {}", of(Verdict::Open).join("; ")),
        Verdict::RefusesAll => format!("it refuses what must pass: {}", of(Verdict::RefusesAll).join("; ")),
        Verdict::NotKnown => format!("not proven to be shut: {}", of(Verdict::NotKnown).join("; ")),
    };
    eprintln!("ALERT: stockade gate test: {}: {}", printable(door), printable(&says));
}

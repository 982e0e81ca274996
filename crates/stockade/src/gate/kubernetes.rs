//! `stockade gate kubernetes`: the webhook that API servers ask, or one review that was recorded.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;
use gate::InForce;
use gate::kubernetes::review::{self, MAX_BYTES};
use gate::kubernetes::webhook::{CertificateFiles, Recorder, Settings, Webhook};
use gate::log::Log;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use tokio::signal::unix::{SignalKind, signal};

use super::GateRules;
use crate::arguments::ContextArguments;
use crate::policy::report_error;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    rules: GateRules,

    /// Where API servers are answered, at /review
    #[arg(long, value_name = "ADDRESS", default_value = "[::]:8443")]
    listen: SocketAddr,

    /// The webhook's certificate and those that lead to its authority, in PEM; read again when it changes
    #[arg(long, value_name = "FILE", required_unless_present_any = ["review", "emit"])]
    certificate: Option<PathBuf>,

    /// The key of the certificate, in PEM
    #[arg(long, value_name = "FILE", required_unless_present_any = ["review", "emit"])]
    key: Option<PathBuf>,

    /// Answer only clients that show a certificate of one of these authorities
    #[arg(long, value_name = "FILE")]
    client_ca: Option<PathBuf>,

    /// Where /livez, /readyz and /metrics are served, in plain HTTP
    #[arg(long, value_name = "ADDRESS")]
    observe: Option<SocketAddr>,

    /// Record decisions: a hash-chained log, or `-` for JSON lines on standard output
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,

    /// Seconds after which a request that is not decided is denied; an API server that waits less is heard
    #[arg(long, value_name = "SECONDS", default_value_t = 8, value_parser = clap::value_parser!(u64).range(1..=30))]
    answer_within: u64,

    /// Seconds for which requests are still taken after a signal to end
    #[arg(long, value_name = "SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u64).range(0..=300))]
    drain: u64,

    /// Decide about one AdmissionReview in a file, or `-`, print the answer and end: 1 where it is denied
    #[arg(long, value_name = "FILE", conflicts_with_all = ["certificate", "key", "client_ca", "observe", "record"])]
    review: Option<PathBuf>,

    /// Print objects for the API server to decide by itself, as far as CEL can say the rules, with what it cannot
    #[arg(long, value_name = "KIND", value_enum, conflicts_with_all = ["certificate", "key", "client_ca", "observe", "record", "review"])]
    emit: Option<Emit>,

    #[command(flatten)]
    context: ContextArguments,
}

/// What the API server can decide by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Emit {
    #[value(name = "validatingadmissionpolicy")]
    ValidatingAdmissionPolicy,
}

/// How often files are looked at.
const POLL: Duration = Duration::from_secs(5);

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<u8> {
    let rules = arguments.rules.load().map_err(report_error)?;
    if let Some(path) = &arguments.review {
        return review(path, arguments, &rules.now());
    }
    if arguments.emit.is_some() {
        return emit(arguments, &rules.now());
    }
    let (Some(chain), Some(key)) = (arguments.certificate.clone(), arguments.key.clone()) else {
        bail!("a webhook needs --certificate and --key");
    };
    let recorder = match &arguments.record {
        None => Recorder::Nowhere,
        Some(path) if path.as_os_str() == "-" => Recorder::Lines,
        Some(path) => Recorder::Log(Box::new(Log::open(path)?)),
    };
    let settings = Settings {
        listen: arguments.listen,
        observe: arguments.observe,
        certificate: CertificateFiles { chain, key, client_authorities: arguments.client_ca.clone() },
        answer_within: Duration::from_secs(arguments.answer_within),
        poll: POLL,
        drain: Duration::from_secs(arguments.drain),
        context: crate::audit::context(&arguments.context)?,
        rule_files: rule_files(&arguments.rules, &rules.now()),
        rules: Arc::new(rules),
        recorder,
        clock: Timestamp::now,
        say: |line| eprintln!("{}", report::printable(line)),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(serve(settings))
}

async fn serve(settings: Settings) -> anyhow::Result<u8> {
    // Before anything is answered: a signal that comes while it starts must not be lost.
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let say = settings.say;
    let webhook = Webhook::bind(settings).await?;
    say(&format!("answering at https://{}/review", webhook.address()?));
    if let Some(address) = webhook.observe_address() {
        say(&format!("observed at http://{address}/metrics"));
    }
    let end = async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    webhook.serve(end).await;
    Ok(0)
}

/// What the rules are read from: the files that are named, and Rego beside the policy.
fn rule_files(arguments: &GateRules, rules: &InForce) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = arguments.policy.iter().chain(&arguments.waivers).cloned().collect();
    let folder = arguments.policy.as_deref().and_then(Path::parent).unwrap_or(Path::new(""));
    files.extend(rules.policy.rego.iter().map(|rego| folder.join(&*rego.name)));
    files
}

/// The objects, with the report before them as a comment; in a line on standard error what it comes to.
fn emit(arguments: &Arguments, rules: &InForce) -> anyhow::Result<u8> {
    let context = crate::audit::context(&arguments.context)?;
    let emitted = gate::kubernetes::emit::emit(rules, &context);
    let mut out = std::io::stdout().lock();
    for line in emitted.report.text().lines() {
        writeln!(out, "# {line}")?;
    }
    out.write_all(emitted.yaml()?.as_bytes())?;
    eprintln!("{}", emitted.report.summary());
    Ok(0)
}

fn review(path: &Path, arguments: &Arguments, rules: &InForce) -> anyhow::Result<u8> {
    let bytes = if path.as_os_str() == "-" {
        let mut bytes = Vec::new();
        std::io::stdin()
            .lock()
            .take(MAX_BYTES as u64 + 1)
            .read_to_end(&mut bytes)
            .context("standard input")?;
        bytes
    } else {
        sources::walk::read_bounded(path, MAX_BYTES)
            .map_err(|error| anyhow::anyhow!("{}: {}", path.display(), error.message))?
    };
    let context = crate::audit::context(&arguments.context)?;
    let today = Timestamp::now().to_zoned(TimeZone::UTC).date();
    let decided =
        review::decide(&bytes, &context, rules, today).with_context(|| path.display().to_string())?;
    let mut out = std::io::stdout().lock();
    serde_json::to_writer_pretty(&mut out, &decided.answer())?;
    writeln!(out)?;
    Ok(u8::from(decided.ruling.is_denied()))
}

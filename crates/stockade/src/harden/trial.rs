//! `stockade harden --trial`: a workload is run until it is known what it needs.

use std::fs;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::PathBuf;
use std::time::Duration;

use ::harden::trial::{self, JournalAt, Options, State, Target, TrialError};
use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};
use confinement::EngineKind;
use indicatif::{ProgressBar, ProgressStyle};
use sources::gather::Disk;

use crate::arguments::{Harden, HardenFormat};
use crate::audit;

#[derive(Debug, Args)]
#[command(next_help_heading = "Trial")]
pub(crate) struct TrialArguments {
    /// Find the least that a workload needs by running it: `--trial --check COMMAND -- docker run …`, or a Compose file
    /// with --service
    #[arg(long)]
    pub(crate) trial: bool,

    /// The Compose service to try
    #[arg(long, value_name = "NAME", requires = "trial")]
    pub(crate) service: Option<String>,

    /// What runs a Compose service
    #[arg(long, value_name = "ENGINE", default_value = "docker", requires = "trial")]
    pub(crate) engine: TrialEngine,

    /// Seconds that the first run may take until its check passes
    #[arg(long, value_name = "SECONDS", default_value_t = 60, requires = "trial")]
    pub(crate) start_timeout: u64,

    /// Containers to start at most
    #[arg(long, value_name = "N", default_value_t = 200, requires = "trial")]
    pub(crate) max_runs: u32,

    /// Minutes to take at most
    #[arg(long, value_name = "MINUTES", default_value_t = 30, requires = "trial")]
    pub(crate) max_time: u64,

    /// Containers to run at the same time; half the processors when not given
    #[arg(long, value_name = "N", requires = "trial")]
    pub(crate) jobs: Option<usize>,

    /// Find also what it needs as the user of its own line or image
    #[arg(long, requires = "trial")]
    pub(crate) also_own_user: bool,

    /// Where to keep the journal of runs; under ~/.local/state/stockade/trials when not given
    #[arg(long, value_name = "FILE", requires = "trial", conflicts_with = "resume")]
    pub(crate) journal: Option<PathBuf>,

    /// Go on with the trial of this journal; what it has run is not run again
    #[arg(long, value_name = "FILE", requires = "trial")]
    pub(crate) resume: Option<PathBuf>,

    /// The largest volume to copy, in MiB; an empty one stands for a larger one
    #[arg(long, value_name = "MIB", default_value_t = 64, requires = "trial")]
    pub(crate) copy_limit: u64,

    /// Hand in the sockets that the workload mounts
    #[arg(long, requires = "trial")]
    pub(crate) allow_socket: bool,

    /// Let it run on the host's network where it asks for that
    #[arg(long, requires = "trial")]
    pub(crate) allow_host_network: bool,

    /// Take a check that passes where the workload does not run
    #[arg(long, requires = "trial")]
    pub(crate) allow_vacuous: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum TrialEngine {
    Docker,
    Podman,
}

/// 0 with an answer; 2 where the trial failed or was cut short.
pub(crate) fn run(arguments: &Harden) -> anyhow::Result<u8> {
    if arguments.write {
        bail!("--trial finds what is needed and writes nothing yet: leave --write out");
    }
    let options = options(arguments)?;
    let context = audit::context(&arguments.given.context)?;
    let interrupt = trial::interrupt_on_signals().context("signals cannot be handled")?;
    let bar = bar(&options);
    let progress = |number: u32, doing: &str| {
        bar.set_position(u64::from(number));
        bar.set_message(report::printable(doing).into_owned());
    };
    let result = trial::run(&options, &Disk::new(), &context, &interrupt, &progress);
    bar.finish_and_clear();
    let report = match result {
        Ok(report) => report,
        Err(error) => {
            if let (TrialError::Interrupted, JournalAt::New(path) | JournalAt::Resume(path)) =
                (&error, &options.journal)
            {
                eprintln!("note: --resume {} goes on with it", path.display());
            }
            return Err(error.into());
        }
    };
    let text = match arguments.format {
        HardenFormat::Text => report.text(),
        HardenFormat::Json => report.json()? + "\n",
        HardenFormat::Sarif => bail!("a trial is told as text or JSON"),
    };
    match &arguments.output {
        Some(path) => fs::write(path, text).with_context(|| path.display().to_string())?,
        None => {
            let mut out = BufWriter::new(io::stdout().lock());
            match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
                Err(error) if error.kind() != io::ErrorKind::BrokenPipe => return Err(error.into()),
                _ => {}
            }
        }
    }
    let answered = report.state == State::Complete && report.best().is_some();
    Ok(if answered { 0 } else { 2 })
}

fn options(arguments: &Harden) -> anyhow::Result<Options> {
    let asked = &arguments.trial;
    let Some(Some(check)) = &arguments.check else {
        bail!(
            "a trial needs --check: a command run inside, `host:COMMAND`, `health`, http://:PORT/PATH or `exit`"
        );
    };
    let target = match (&asked.service, arguments.given.run.as_slice()) {
        (Some(service), []) => {
            let mut files = arguments.given.files.clone();
            files.extend(arguments.targets.iter().map(PathBuf::from));
            if files.is_empty() {
                bail!("--service is of a Compose file: name that too");
            }
            let engine = match asked.engine {
                TrialEngine::Docker => EngineKind::Docker,
                TrialEngine::Podman => EngineKind::Podman,
            };
            Target::Service { files, service: service.clone(), engine }
        }
        (None, []) if !arguments.targets.is_empty() => Target::Line(arguments.targets.clone()),
        (None, [line]) if arguments.targets.is_empty() => Target::line(line)?,
        _ => bail!(
            "a trial is of one command line (`-- docker run …`) or of one service (FILE --service NAME)"
        ),
    };
    let defaults = Options::new(target, check)?;
    let journal = match (&asked.resume, asked.journal.clone().or_else(trial::default_journal)) {
        (Some(path), _) => JournalAt::Resume(path.clone()),
        (None, Some(path)) => JournalAt::New(path),
        (None, None) => JournalAt::Nowhere,
    };
    Ok(Options {
        start_timeout: Duration::from_secs(asked.start_timeout),
        max_runs: asked.max_runs,
        max_time: Duration::from_secs(asked.max_time.saturating_mul(60)),
        jobs: asked.jobs.unwrap_or(defaults.jobs),
        also_own_user: asked.also_own_user,
        journal,
        copy_limit: asked.copy_limit.saturating_mul(1 << 20),
        allow_socket: asked.allow_socket,
        allow_host_network: asked.allow_host_network,
        allow_vacuous: asked.allow_vacuous,
        ..defaults
    })
}

/// On a terminal alone. How many runs there will be is not known; the budget is the end of the bar.
fn bar(options: &Options) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(u64::from(options.max_runs));
    let style = ProgressStyle::with_template("run {pos} of at most {len}, {elapsed}: {wide_msg}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.enable_steady_tick(Duration::from_millis(500));
    bar
}

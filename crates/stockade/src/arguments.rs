//! The command line: every verb and flag with its help. Manual pages and completions are generated from here.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::events::Events;
use crate::harden::trial::TrialArguments;

/// Tells whether code inside a container can reach the host, by which path, and how many walls still stand.
#[derive(Debug, Parser)]
#[command(name = "stockade", version, max_term_width = 100, after_help = EXIT_CODES)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

const EXIT_CODES: &str = "\
Exit codes: 0 nothing at or above the threshold; 1 findings; 2 something could not be read or judged.";

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Judge containers: from files, from live engines, from /proc
    Audit(Audit),
    /// Find the cheapest change that puts the walls back, show it, or write it
    Harden(Harden),
    /// Explain a technique: what it is, its formula, what breaks it
    Explain(Explain),
    /// Watch the kernel for attempts, and say whether they could succeed
    Watch(Box<crate::watch::Arguments>),
    /// Ask the event store what `watch` has seen
    Events(Events),
    /// Tell what a change made worse, against a revision of git: annotations, SARIF, JUnit
    Ci(crate::ci::Arguments),
    /// Write the approved state, or tell what became worse since
    Baseline(crate::baseline::Arguments),
    /// Check, test or begin a policy: what is allowed here
    Policy(crate::policy::Arguments),
    /// Refuse at the door what a policy denies: Docker's API, Kubernetes, the OCI runtime
    Gate(crate::gate::Arguments),
    /// Measure the process this runs in, without any effect, as facts for an audit
    Facts(Facts),
    /// Check rule files in the language of Falco, and list what they hold
    Rules(crate::rules::Rules),
    /// Write completions for a shell to standard output
    Completions(Completions),
    /// Write the manual pages or the generated documents
    #[command(hide = true)]
    Generate(Generate),
}

#[derive(Debug, Args)]
pub(crate) struct Audit {
    /// Files, folders, `-`, or docker:[NAME], podman:[NAME], proc:[ID], host:. None: whatever is here
    #[arg(value_name = "TARGET")]
    pub(crate) targets: Vec<String>,

    #[command(flatten)]
    pub(crate) given: Given,

    /// Show a path when fewer walls than this stand in its way; 1 shows what is open now
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=9))]
    pub(crate) depth: u8,

    /// Show weaknesses and every path too
    #[arg(long)]
    pub(crate) all: bool,

    /// Exit with 1 only for findings of at least this severity
    #[arg(long, value_name = "SEVERITY", default_value = "medium")]
    pub(crate) threshold: Threshold,

    /// A standard to judge by as well: cis-docker@1.6, pss-baseline@1.37, pss-restricted@latest
    #[arg(long, value_name = "STANDARD")]
    pub(crate) standard: Vec<String>,

    #[command(flatten)]
    pub(crate) governance: Governance,

    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub(crate) format: Format,

    /// Write the report here instead of to standard output
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,

    #[arg(long, value_name = "WHEN", default_value = "auto")]
    pub(crate) color: Colour,
}

#[derive(Debug, Args)]
pub(crate) struct Harden {
    /// Files, folders, `-`, docker:NAME, podman:NAME, or host:
    #[arg(value_name = "TARGET")]
    pub(crate) targets: Vec<String>,

    #[command(flatten)]
    pub(crate) given: Given,

    /// Walls that must stand in every path to the host
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=9))]
    pub(crate) depth: u8,

    /// What the workload needs and no change may take: cap:NET_ADMIN, mount:/var/run/docker.sock, root, …
    #[arg(long, value_name = "WHAT")]
    pub(crate) keep: Vec<String>,

    /// `recommended` adds what is good practice beyond closing paths
    #[arg(long, value_name = "LEVEL", default_value = "paths")]
    pub(crate) level: Level,

    /// Show so many next best plans too
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=20))]
    pub(crate) alternatives: u8,

    /// Show the change as a unified diff (the default)
    #[arg(long, conflicts_with_all = ["write", "check"])]
    pub(crate) diff: bool,

    /// Write the change into the files
    #[arg(long)]
    pub(crate) write: bool,

    /// Exit with 1 if a change is due, and write nothing. With --trial: the command that tells whether it works
    #[arg(long, value_name = "COMMAND", num_args = 0..=1)]
    #[expect(clippy::option_option, reason = "absent, alone, or with a command")]
    pub(crate) check: Option<Option<String>>,

    /// Show subjects with nothing to change too
    #[arg(long)]
    pub(crate) all: bool,

    /// For host:, whether to propose user namespaces for all of Docker's containers; `safe`: where nothing here breaks by it
    #[arg(long, value_name = "WHEN", default_value = "safe")]
    pub(crate) userns_remap: UsernsRemap,

    /// Costs of remedies, as a file; ./stockade.toml where there is one
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub(crate) format: HardenFormat,

    /// Write the report here instead of to standard output
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,

    #[arg(long, value_name = "WHEN", default_value = "auto")]
    pub(crate) color: Colour,

    #[command(flatten)]
    pub(crate) trial: TrialArguments,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum UsernsRemap {
    Safe,
    Always,
    Never,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Level {
    /// What closes paths to the host
    Paths,
    /// Good practice beyond that too
    Recommended,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum HardenFormat {
    Text,
    Json,
    Sarif,
}

/// What is allowed, and what is excepted.
#[derive(Debug, Args)]
pub(crate) struct Governance {
    /// A policy that decides instead of --threshold: exit with 1 for what it denies
    #[arg(long, value_name = "FILE")]
    pub(crate) policy: Option<PathBuf>,

    /// Waivers; ./stockade-waivers.yaml where there is one
    #[arg(long, value_name = "FILE")]
    pub(crate) waivers: Option<PathBuf>,

    /// Honour no waiver, from a file or in place
    #[arg(long, conflicts_with = "waivers")]
    pub(crate) no_waivers: bool,

    /// The day that waivers are judged on; by default today, in UTC
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = crate::policy::day)]
    pub(crate) today: Option<policy::Date>,
}

/// What is read beside the targets, and how.
#[derive(Debug, Args)]
pub(crate) struct Given {
    /// A `docker run` or `podman run` line as a target
    #[arg(long, value_name = "LINE")]
    pub(crate) run: Vec<String>,

    /// Compose files of one project, in order: a later one changes an earlier one
    #[arg(short = 'f', long = "file", value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,

    #[command(flatten)]
    pub(crate) context: ContextArguments,
}

/// What files do not say.
#[derive(Debug, Args)]
pub(crate) struct ContextArguments {
    /// The engine that a file is meant for: docker-29, docker-20.10, podman-5, containerd-2, crio-1.36, …
    #[arg(long, value_name = "ENGINE")]
    pub(crate) assume: Vec<String>,

    /// Facts of the node, written there by `stockade facts --output FILE`
    #[arg(long, value_name = "FILE")]
    pub(crate) facts: Option<PathBuf>,

    /// The user that an image runs as, where the image is not at hand
    #[arg(long, value_name = "IMAGE=USER")]
    pub(crate) image_user: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Explain {
    /// The identifier of a technique; none lists them all
    pub(crate) name: Option<String>,

    /// Show the state of each condition for these subjects
    #[arg(value_name = "TARGET")]
    pub(crate) targets: Vec<String>,

    /// A `docker run` or `podman run` line to show the states for
    #[arg(long, value_name = "LINE")]
    pub(crate) run: Vec<String>,

    #[command(flatten)]
    pub(crate) context: ContextArguments,

    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub(crate) format: ExplainFormat,
}

#[derive(Debug, Args)]
pub(crate) struct Facts {
    /// Also open files for writing, without writing, and connect to sockets; sensors may notice
    #[arg(long)]
    pub(crate) active: bool,

    #[arg(long, value_name = "FORMAT", default_value = "json")]
    pub(crate) format: FactsFormat,

    /// Write the facts here instead of to standard output
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Completions {
    pub(crate) shell: clap_complete::Shell,
}

#[derive(Debug, Args)]
pub(crate) struct Generate {
    /// `man` or `docs`
    pub(crate) what: String,
    /// The folder to write to
    #[arg(default_value = ".")]
    pub(crate) folder: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    Text,
    Json,
    Sarif,
    Junit,
    Github,
    Html,
    Dot,
    Mermaid,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ExplainFormat {
    Text,
    Dot,
    Mermaid,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum FactsFormat {
    Json,
    Text,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Colour {
    Auto,
    Always,
    Never,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Threshold {
    Low,
    Medium,
    High,
    Critical,
}

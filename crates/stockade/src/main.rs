#![forbid(unsafe_code)]
//! Arguments in, exit code out. What a verb does stands in its module; what it means stands in the crates.

mod arguments;
mod audit;
mod baseline;
mod ci;
mod events;
mod explain;
mod facts;
mod gate;
mod generate;
mod harden;
mod output_arguments;
mod policy;
mod rules;
mod settings;
mod watch;

use std::process::ExitCode;

use clap::Parser;

use arguments::{Arguments, Verb};

/// Something could not be read or judged, or the command line is wrong.
const COULD_NOT_JUDGE: u8 = 2;

fn main() -> ExitCode {
    // An engine that calls this program its runtime waits for it at every start.
    if let Some(code) = gate::called_as_runtime() {
        return ExitCode::from(code);
    }
    let arguments = Arguments::parse();
    let result = match &arguments.verb {
        Verb::Audit(audit) => audit::run(audit),
        Verb::Harden(harden) => harden::run(harden),
        Verb::Explain(explain) => explain::run(explain),
        Verb::Watch(arguments) => watch::run(arguments),
        Verb::Events(events) => events::run(events),
        Verb::Ci(arguments) => ci::run(arguments),
        Verb::Baseline(arguments) => baseline::run(arguments),
        Verb::Policy(arguments) => policy::run(arguments),
        Verb::Gate(arguments) => gate::run(arguments),
        Verb::Facts(facts) => facts::run(facts),
        Verb::Rules(arguments) => rules::run(arguments),
        Verb::Completions(completions) => generate::completions(completions),
        Verb::Generate(generate) => generate::run(generate),
    };
    match result {
        Ok(code) => ExitCode::from(code),
        // Whoever reads has seen enough (`| head`).
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", report::printable(&format!("{error:#}")));
            ExitCode::from(COULD_NOT_JUDGE)
        }
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<std::io::Error>().is_some_and(|e| e.kind() == std::io::ErrorKind::BrokenPipe)
}

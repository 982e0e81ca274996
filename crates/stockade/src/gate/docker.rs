//! `stockade gate docker`: the authorization plugin of the Docker daemon, or the filtered socket before it.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use gate::Door;
use gate::docker::engine::Engine;
use gate::docker::gate::{DockerGate, Keep};
use gate::docker::plugin::{self, Socket};
use gate::listen::Place;
use gate::log::Log;
use policy::Outcome;
use sources::engine_api::Endpoint;
use sources::host::read_host;

use super::{GateRules, docker_proxy};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    rules: GateRules,

    /// Where the daemon asks: its name without `.sock` is the plugin's name
    #[arg(long, value_name = "PATH", default_value = "/run/docker/plugins/stockade.sock")]
    socket: PathBuf,

    /// The daemon that is asked about volumes, images and containers
    #[arg(long, value_name = "ADDRESS", default_value = "unix:///run/docker.sock")]
    engine: String,

    /// Keep every decision but plain reads in this log (docs/gate-log.md); what cannot be recorded is refused
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,

    #[command(flatten)]
    proxy: docker_proxy::Proxy,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<u8> {
    let endpoint = Endpoint::parse(&arguments.engine)?;
    let rules = Arc::new(arguments.rules.load()?);
    let engine = Arc::new(Engine::new(endpoint.clone(), || Arc::new(read_host().0)));
    let log = arguments.record.as_ref().map(Log::open).transpose()?;
    let door = if arguments.proxy.proxy { Door::DockerProxy } else { Door::DockerPlugin };
    let gate = Arc::new(DockerGate { door, rules, engine, keep: Some(keep(log)) });
    if arguments.proxy.proxy {
        return docker_proxy::run(&arguments.proxy, &endpoint, &gate, tell);
    }
    // Whoever can speak to the plugin learns what is decided; only the daemon, which is root, has to.
    let place = Place { path: arguments.socket.clone(), mode: 0o600, group: None };
    let socket = Socket::open(&place)?;
    tell(&format!("listening at {}; {}", place.path.display(), plugin::status(&gate)));
    plugin::run(&socket, &gate, tell)?;
    Ok(0)
}

/// What is refused or warned of is told to the operator too: of a warning the daemon tells its client nothing.
fn keep(log: Option<Log>) -> Keep {
    Box::new(move |record| {
        if record.ruling.outcome != Outcome::Allow {
            tell(&format!("{}: {}", record.asked, record.ruling.message));
        }
        log.as_ref().map_or(Ok(()), |log| log.append(record).map_err(|error| error.to_string()))
    })
}

fn tell(message: &str) {
    eprintln!("stockade gate docker: {}", report::printable(message));
}

//! `stockade gate docker --proxy`: the options of the filtered socket.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use clap::Args;
use gate::docker::gate::DockerGate;
use gate::docker::plugin::{self, Socket};
use gate::docker::proxy::{self, Settings};
use gate::listen::Place;
use policy::doors::Routes;
use sources::engine_api::Endpoint;

#[derive(Debug, Args)]
pub(super) struct Proxy {
    /// Serve a filtered socket, for those who need a part of the API, instead of the plugin
    #[arg(long)]
    pub(super) proxy: bool,

    /// The filtered socket
    #[arg(long, value_name = "PATH", default_value = "/run/stockade/docker.sock", requires = "proxy")]
    listen: PathBuf,

    /// Permissions of the filtered socket: who may write to it may connect
    #[arg(long, value_name = "OCTAL", default_value = "660", value_parser = mode, requires = "proxy")]
    mode: u32,

    /// Group of the filtered socket, by name or number
    #[arg(long, value_name = "GROUP", requires = "proxy")]
    group: Option<String>,

    /// Let these routes through, beside what the policy's `doors: docker-proxy:` names: a kind of request (`read`), or a method
    /// and path (`GET /containers/json`, `GET /images/*`); may come again
    #[arg(long, value_name = "ROUTES", value_parser = routes, requires = "proxy")]
    allow: Vec<Routes>,

    /// Connections at once; one user has at most half of them
    #[arg(long, value_name = "COUNT", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(2..=65536), requires = "proxy")]
    connections: u32,
}

pub(super) fn run(
    arguments: &Proxy,
    endpoint: &Endpoint,
    gate: &Arc<DockerGate>,
    tell: fn(&str),
) -> anyhow::Result<u8> {
    let Endpoint::Unix(daemon) = endpoint else {
        bail!("--engine: the filtered socket stands before a Unix socket: unix:///PATH, not {endpoint}");
    };
    let group = arguments.group.as_deref().map(group).transpose()?;
    let connections = usize::try_from(arguments.connections)?;
    let settings = Settings {
        daemon: daemon.clone(),
        allow: arguments.allow.clone(),
        connections,
        connections_of_one: connections / 2,
    };
    let rules = gate.rules.now();
    let of_policy = &rules.policy.doors.docker_proxy;
    let named = of_policy.allow.iter().chain(of_policy.callers.iter().flat_map(|caller| &caller.allow));
    let mut nothing = true;
    for routes in named.chain(&settings.allow) {
        nothing = false;
        if !proxy::stand_for_a_route(routes) {
            tell(&format!("`{}` stands for no route of the API", routes.as_str()));
        }
    }
    if nothing {
        tell("only /_ping and /version are let through: name routes with --allow, or in the policy");
    }
    let place = Place { path: arguments.listen.clone(), mode: arguments.mode, group };
    let socket = Socket::open(&place)?;
    tell(&format!("listening at {}; {}", place.path.display(), plugin::status(gate)));
    proxy::run(&socket, settings, gate, tell)?;
    Ok(0)
}

fn mode(text: &str) -> Result<u32, String> {
    let mode = u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o777);
    mode.ok_or_else(|| "permissions are octal digits: 660".to_owned())
}

fn routes(text: &str) -> Result<Routes, String> {
    let routes = Routes::parse(text).map_err(|error| error.to_string())?;
    if !proxy::stand_for_a_route(&routes) {
        return Err(format!("`{text}` stands for no route of the API"));
    }
    Ok(routes)
}

/// The number of a group: group(5).
fn group(named: &str) -> anyhow::Result<u32> {
    if let Ok(number) = named.parse() {
        return Ok(number);
    }
    let text = std::fs::read_to_string("/etc/group").context("/etc/group")?;
    let number = text.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(named)).then(|| fields.nth(1)?.parse().ok())?
    });
    number.with_context(|| format!("/etc/group has no group {named}; give its number"))
}

//! `stockade gate`: the doors. What a door decides stands in the crate `gate`; here are its command lines and the reading
//! of its rules.

mod docker;
mod docker_proxy;
mod kubernetes;
mod log;
mod oci;
mod test;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use gate::{InForce, Rules};
use policy::{Policy, ReadError, Waivers};

use crate::policy::{read_policy, read_waivers};

pub(crate) use oci::called_as_runtime;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    door: Door,
}

#[derive(Debug, Subcommand)]
enum Door {
    /// Decide about requests to the Docker daemon: an authorization plugin, or a filtered socket
    Docker(docker::Arguments),
    /// Decide about admission to Kubernetes: a validating webhook, or policies for the API server itself
    Kubernetes(kubernetes::Arguments),
    /// Decide about containers where they are made: before the OCI runtime, or as its hook
    Oci(oci::Arguments),
    /// Prove that a door is shut: ask for what must be refused, and for what must pass
    Test(test::Arguments),
    /// Show or verify the log of decisions
    Log(log::Arguments),
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<u8> {
    match &arguments.door {
        Door::Docker(arguments) => docker::run(arguments),
        Door::Kubernetes(arguments) => kubernetes::run(arguments),
        Door::Oci(arguments) => oci::run(arguments),
        Door::Test(arguments) => test::run(arguments),
        Door::Log(arguments) => log::run(arguments),
    }
}

/// What every door decides by.
#[derive(Clone, Debug, Args)]
pub(crate) struct GateRules {
    /// The policy; without one, what is open is denied and the rest allowed
    #[arg(long, value_name = "FILE")]
    pub(crate) policy: Option<PathBuf>,

    /// Waivers
    #[arg(long, value_name = "FILE")]
    pub(crate) waivers: Option<PathBuf>,
}

impl GateRules {
    /// The rules, read now and again at each reload. Only files that were named are read: a door is not opened by a file
    /// that lies in the working directory.
    pub(crate) fn load(&self) -> Result<Rules, ReadError> {
        let this = self.clone();
        Rules::load(move || {
            let policy = this.policy.as_deref().map_or_else(|| Ok(Policy::default()), read_policy)?;
            let waivers = this.waivers.as_deref().map_or_else(|| Ok(Waivers::default()), read_waivers)?;
            Ok(InForce { policy, waivers })
        })
    }
}

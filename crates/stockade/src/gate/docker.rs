//! `stockade gate docker`.

use anyhow::bail;
use clap::Args;

#[derive(Debug, Args)]
pub(super) struct Arguments {}

pub(super) fn run(_arguments: &Arguments) -> anyhow::Result<u8> {
    bail!("this door is not built yet")
}

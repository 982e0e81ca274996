//! `stockade watch --capabilities`: which programs this kernel takes, and why not the others.

use super::Arguments;

#[cfg(not(feature = "sensor"))]
pub(super) fn run(_: &Arguments) -> anyhow::Result<u8> {
    anyhow::bail!(
        "this stockade was built without the sensor, so that it cannot be tried; build it with `make`, or with \
         `cargo build --release --features sensor` where clang, libelf and zlib are installed"
    )
}

#[cfg(feature = "sensor")]
pub(super) fn run(arguments: &Arguments) -> anyhow::Result<u8> {
    use std::io::Write as _;

    use anyhow::Context as _;
    use sensor::{Options, Sensor};

    use super::Format;

    let sensor = Sensor::start(Options::default()).context("the sensor cannot start")?;
    let mut out = std::io::stdout().lock();
    if arguments.format == Format::Json {
        serde_json::to_writer_pretty(&mut out, sensor.capabilities())?;
        writeln!(out)?;
        return Ok(0);
    }
    for capability in sensor.capabilities() {
        let state = if capability.works { "works" } else { "does not work" };
        write!(out, "{:7} {:28} {state}", capability.layer, capability.hook)?;
        if let Some(reason) = &capability.reason {
            write!(out, ": {}", report::printable(reason))?;
        }
        if let Some(advice) = &capability.advice {
            write!(out, " ({})", report::printable(advice))?;
        }
        writeln!(out)?;
    }
    Ok(0)
}

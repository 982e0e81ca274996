//! `stockade facts`: what the kernel says of the process this runs in, measured without any effect.

use std::fs;
use std::io::{self, BufWriter, Write};

use anyhow::Context as _;
use probe::measurement::{Measurement, Reading};

use sources::node::Facts;

use crate::arguments::{Facts as Arguments, FactsFormat};

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<u8> {
    let facts = Facts::measure(&probe::Options { active: arguments.active });
    match &arguments.output {
        Some(path) => {
            let name = || path.display().to_string();
            let mut file = BufWriter::new(fs::File::create(path).with_context(name)?);
            write(arguments.format, &facts, &mut file).and_then(|()| file.flush()).with_context(name)?;
        }
        None => {
            let mut out = BufWriter::new(io::stdout().lock());
            write(arguments.format, &facts, &mut out).and_then(|()| out.flush())?;
        }
    }
    for note in &facts.measurement.notes {
        eprintln!("note: {note}");
    }
    Ok(0)
}

fn write(format: FactsFormat, facts: &Facts, out: &mut dyn Write) -> io::Result<()> {
    match format {
        FactsFormat::Json => {
            serde_json::to_writer_pretty(&mut *out, facts)?;
            writeln!(out)
        }
        FactsFormat::Text => text(&facts.measurement, out),
    }
}

fn text(m: &Measurement, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "kernel            {} {}", m.kernel.release, m.kernel.machine)?;
    let process = serde_json::to_value(&m.process).unwrap_or_default();
    if let Some(members) = process.as_object() {
        for (key, value) in members.iter().filter(|(_, v)| !v.is_null()) {
            writeln!(out, "{key:17} {}", value.to_string().trim_matches('"'))?;
        }
    }
    for (name, namespace) in &m.namespaces {
        let whose = match namespace.initial {
            Some(true) => "the machine's first",
            Some(false) => "its own or another container's",
            None => "not known",
        };
        writeln!(out, "namespace {name:7} {whose}")?;
    }
    for reading in [Reading::Permitted, Reading::Blocked, Reading::Ambiguous] {
        let names: Vec<&str> = m
            .system_calls
            .iter()
            .filter(|(_, c)| c.reads_as == reading)
            .map(|(name, _)| name.as_str())
            .collect();
        let word: &str = reading.into();
        writeln!(out, "seccomp {word:9} {}", names.join(" "))?;
    }
    for interface in &m.kernel_interfaces {
        let value = serde_json::to_value(interface).unwrap_or_default();
        if let (Some(path), Some(writable)) = (value["path"].as_str(), value["writable"].as_str())
            && writable == "permitted"
        {
            writeln!(out, "writable          {path}")?;
        }
    }
    for socket in &m.sockets {
        let value = serde_json::to_value(socket).unwrap_or_default();
        writeln!(out, "socket            {}", value["path"].as_str().unwrap_or("?"))?;
    }
    Ok(())
}

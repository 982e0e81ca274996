//! `stockade explain`: a technique in words, its formula with the state of each condition for the subjects given,
//! and which single settings break it.

use std::io::{self, Write};

use anyhow::bail;
use confinement::{Origin, Subject, Truth};
use report::graph::{FaultTree, Language};
use techniques::judge::{self, Options, State, states};
use techniques::technique::{Catalogue, FormulaItem, Technique};

use crate::arguments::{Explain, ExplainFormat};
use crate::audit;

pub(crate) fn run(arguments: &Explain) -> anyhow::Result<u8> {
    let catalogue = Catalogue::get();
    let mut out = io::stdout().lock();
    let Some(name) = &arguments.name else {
        list(catalogue, &mut out)?;
        return Ok(0);
    };
    let Some(technique) = catalogue.technique(name) else {
        let near: Vec<&str> = catalogue
            .techniques
            .iter()
            .map(|t| t.id)
            .filter(|id| id.contains(name.as_str()))
            .take(5)
            .collect();
        let hint =
            if near.is_empty() { String::new() } else { format!("; did you mean {}?", near.join(", ")) };
        bail!("no technique is named `{name}`{hint} (`stockade explain` lists them)");
    };
    let context = audit::context(&arguments.context)?;
    let world = audit::gather(
        &arguments.targets,
        &arguments.run,
        &[],
        &context,
        &Default::default(),
        &mut audit::Input::default(),
    )?;
    match arguments.format {
        ExplainFormat::Text => {
            describe(catalogue, technique, &mut out)?;
            if world.subjects.is_empty() {
                formula(catalogue, technique, None, &mut out)?;
            }
            let judgement = judge::judge(&world, Options { depth: u8::MAX });
            for (i, subject) in world.subjects.iter().enumerate() {
                writeln!(out)?;
                formula(catalogue, technique, Some(subject), &mut out)?;
                let judged = judgement.subjects.get(i);
                let findings =
                    judged.into_iter().flat_map(|j| j.paths.iter().chain(&j.lateral).chain(&j.weaknesses));
                for finding in findings.filter(|f| f.technique().id == technique.id) {
                    for advice in &finding.remedies {
                        writeln!(out, "  breaks it: {} (cost {})", advice.summary, advice.cost)?;
                    }
                }
            }
        }
        ExplainFormat::Dot => trees(catalogue, technique, &world.subjects, Language::Dot, &mut out)?,
        ExplainFormat::Mermaid => trees(catalogue, technique, &world.subjects, Language::Mermaid, &mut out)?,
    }
    for problem in &world.problems {
        eprintln!("error: {}", report::printable(&problem.to_string()));
    }
    Ok(if world.problems.is_empty() { 0 } else { 2 })
}

/// The fault tree of the technique: by itself, or for each subject with the states of its conditions.
fn trees(
    catalogue: &'static Catalogue,
    technique: &Technique,
    subjects: &[Subject],
    language: Language,
    out: &mut dyn Write,
) -> io::Result<()> {
    if subjects.is_empty() {
        let tree = FaultTree { technique, catalogue, subject: None, states: &[] };
        return report::graph::fault_tree(&tree, language, out);
    }
    for subject in subjects {
        let states = states(technique, &subject.confinement);
        let tree = FaultTree { technique, catalogue, subject: Some(&subject.name), states: &states };
        report::graph::fault_tree(&tree, language, out)?;
    }
    Ok(())
}

fn list(catalogue: &Catalogue, out: &mut dyn Write) -> io::Result<()> {
    let mut gains: Vec<_> = catalogue.techniques.iter().map(|t| t.gain).collect();
    gains.sort();
    gains.dedup();
    for gain in gains {
        writeln!(out, "{} ({}):", gain.name(), gain.says())?;
        let of_gain = |flaw: bool| {
            catalogue.techniques.iter().filter(move |t| t.gain == gain && t.id.starts_with("CVE-") == flaw)
        };
        for technique in of_gain(false) {
            writeln!(out, "  {:32} {}", technique.id, technique.title)?;
        }
        let flaws = of_gain(true).count();
        if flaws > 0 {
            writeln!(out, "  and {flaws} known flaws, judged where versions are known")?;
        }
        writeln!(out)?;
    }
    Ok(())
}

fn describe(catalogue: &Catalogue, technique: &Technique, out: &mut dyn Write) -> io::Result<()> {
    let _ = catalogue;
    writeln!(out, "{}: {}", technique.id, technique.title)?;
    writeln!(out, "\n{}", technique.explanation.trim())?;
    writeln!(out, "\ngain:        {} ({})", technique.gain.name(), technique.gain.says())?;
    writeln!(out, "path:        {}", technique.path.join(" -> "))?;
    writeln!(out, "a sensor sees: {}", technique.sensor.join("; "))?;
    for mitigation in &technique.mitigations {
        writeln!(out, "mitigation:  {mitigation}")?;
    }
    let r = &technique.references;
    for (name, list) in [
        ("ATT&CK", &r.attack),
        ("CIS Docker 1.6", &r.cis_docker),
        ("NIST SP 800-190", &r.nist_800_190),
        ("see", &r.see),
    ] {
        if !list.is_empty() {
            writeln!(out, "{name}: {}", list.join(", "))?;
        }
    }
    Ok(())
}

/// The formula, one condition a line, with its state and the facts for a subject.
fn formula(
    catalogue: &Catalogue,
    technique: &Technique,
    subject: Option<&Subject>,
    out: &mut dyn Write,
) -> io::Result<()> {
    let states = subject.map(|s| states(technique, &s.confinement));
    match subject {
        Some(subject) => writeln!(out, "for {}:", report::printable(&subject.name))?,
        None => writeln!(out, "\nconditions, each with the barrier that holds it shut:")?,
    }
    if !technique.premise.is_empty() {
        writeln!(out, "  only where known:")?;
        for id in &technique.premise {
            condition(catalogue, *id, 2, states.as_deref(), out)?;
        }
    }
    for line in &technique.formula {
        match &line.what {
            FormulaItem::All => {
                writeln!(out, "  {:indent$}all of", "", indent = usize::from(line.indent) * 2)?
            }
            FormulaItem::Any => {
                writeln!(out, "  {:indent$}any of", "", indent = usize::from(line.indent) * 2)?
            }
            FormulaItem::Condition(id) => condition(catalogue, *id, line.indent, states.as_deref(), out)?,
        }
    }
    Ok(())
}

fn condition(
    catalogue: &Catalogue,
    id: u16,
    indent: u8,
    states: Option<&[State]>,
    out: &mut dyn Write,
) -> io::Result<()> {
    let Some(condition) = catalogue.conditions.get(usize::from(id)) else { return Ok(()) };
    let pad = usize::from(indent) * 2;
    let state = states.and_then(|s| s.iter().find(|s| s.condition == id));
    match state {
        Some(State { truth, facts, .. }) => {
            let word = match truth {
                Truth::True => "true   ",
                Truth::False => "false  ",
                Truth::Unknown => "unknown",
            };
            let said: Vec<String> =
                facts.iter().map(|(fact, origin)| format!("{fact}{}", at(origin))).collect();
            let wall = if truth.is_false() { format!(" [{}]", condition.barrier()) } else { String::new() };
            writeln!(out, "  {:pad$}{word} {condition}{wall}  {}", "", report::printable(&said.join("; ")))
        }
        None => writeln!(out, "  {:pad$}{condition}  [{}]", "", condition.barrier()),
    }
}

fn at(origin: &Origin) -> String {
    match origin {
        Origin::File(place) => format!(" ({}:{}:{})", place.path, place.line, place.column),
        Origin::EngineDefault { engine } => format!(" (default of {engine})"),
        Origin::Measurement { what } => format!(" ({what})"),
        Origin::Assumption { .. } => " (assumed)".to_owned(),
        Origin::Nowhere => String::new(),
    }
}

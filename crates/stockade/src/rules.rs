//! `stockade rules`: what a rule file says, and what is wrong with it.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand, ValueEnum};
use report::printable;
use rules::fields::{self, Kind, Takes};
use rules::language::{Example, FEATURES};
use rules::types::Category;
use rules::{EventType, Loaded, Loader, Rule};
use serde_json::json;

use crate::COULD_NOT_JUDGE;

#[derive(Debug, Args)]
pub(crate) struct Rules {
    #[command(subcommand)]
    pub(crate) what: What,
}

#[derive(Debug, Subcommand)]
pub(crate) enum What {
    /// Read rule files and tell what is wrong with them; exit with 2 if anything is
    Check(Files),
    /// List the rules of files; without a file, the fields of the language
    List(List),
}

#[derive(Debug, Args)]
pub(crate) struct Files {
    /// Rule files, in order: a later one changes an earlier one. Of a folder, its .yaml and .yml files by name
    #[arg(value_name = "FILE", required = true)]
    pub(crate) files: Vec<PathBuf>,

    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub(crate) format: Format,
}

#[derive(Debug, Args)]
pub(crate) struct List {
    /// Rule files, in order: a later one changes an earlier one. Of a folder, its .yaml and .yml files by name
    #[arg(value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,

    /// The types of events instead
    #[arg(long, conflicts_with = "files")]
    pub(crate) events: bool,

    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub(crate) format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    Text,
    Json,
}

pub(crate) fn run(arguments: &Rules) -> anyhow::Result<u8> {
    match &arguments.what {
        What::Check(files) => check(files),
        What::List(list) if list.events => events(list.format),
        What::List(list) if list.files.is_empty() => language(list.format),
        What::List(list) => self::list(list),
    }
}

fn check(arguments: &Files) -> anyhow::Result<u8> {
    let loaded = load(&arguments.files)?;
    let mut out = io::stdout().lock();
    let code = if loaded.errors() > 0 { COULD_NOT_JUDGE } else { 0 };
    if arguments.format == Format::Json {
        let problems: Vec<_> = loaded.problems.iter().map(problem).collect();
        let document = json!({
            "schema": "stockade.rules-check/1",
            "rules": loaded.rules.len(), "macros": loaded.macros, "lists": loaded.lists,
            "errors": loaded.errors(), "warnings": loaded.warnings(), "problems": problems,
        });
        writeln!(out, "{document:#}")?;
        return Ok(code);
    }
    tell(&loaded, &mut out)?;
    writeln!(
        out,
        "{}, {}, {}; {}, {}",
        count(loaded.rules.len(), "rule"),
        count(loaded.macros, "macro"),
        count(loaded.lists, "list"),
        count(loaded.errors(), "error"),
        count(loaded.warnings(), "warning"),
    )?;
    Ok(code)
}

/// Each problem with the line it is about.
fn tell(loaded: &Loaded, out: &mut dyn Write) -> io::Result<()> {
    for problem in &loaded.problems {
        writeln!(out, "{}", printable(&problem.to_string()))?;
        if let Some(excerpt) = problem.excerpt() {
            writeln!(out, "{excerpt}\n")?;
        }
    }
    Ok(())
}

fn problem(problem: &rules::problem::Problem) -> serde_json::Value {
    let severity = match problem.severity {
        rules::problem::Severity::Error => "error",
        rules::problem::Severity::Warning => "warning",
    };
    json!({
        "severity": severity, "file": &*problem.path, "line": problem.line, "column": problem.column,
        "length": problem.length, "message": problem.message,
    })
}

fn list(arguments: &List) -> anyhow::Result<u8> {
    let loaded = load(&arguments.files)?;
    let mut out = io::stdout().lock();
    if arguments.format == Format::Json {
        let rules: Vec<_> = loaded.rules.iter().map(rule).collect();
        writeln!(out, "{:#}", json!({"schema": "stockade.rules/1", "rules": rules}))?;
    } else {
        for (index, rule) in loaded.rules.iter().enumerate() {
            if index > 0 {
                writeln!(out)?;
            }
            describe(rule, &mut out)?;
        }
    }
    if loaded.errors() == 0 {
        return Ok(0);
    }
    tell(&loaded, &mut io::stderr().lock())?;
    Ok(COULD_NOT_JUDGE)
}

fn describe(rule: &Rule, out: &mut dyn Write) -> io::Result<()> {
    let off = if rule.enabled { "" } else { ", off" };
    writeln!(out, "{} [{}{off}]", printable(&rule.name), rule.priority.name())?;
    writeln!(out, "  {}:{}", printable(&rule.path), rule.line)?;
    writeln!(out, "  {}", printable(&rule.description))?;
    writeln!(out, "  events: {}", types(rule))?;
    if !rule.tags.is_empty() {
        let tags: Vec<&str> = rule.tags.iter().map(String::as_str).collect();
        writeln!(out, "  tags: {}", printable(&tags.join(" ")))?;
    }
    Ok(())
}

fn types(rule: &Rule) -> String {
    match rule.types.len() {
        EventType::COUNT => "all".to_owned(),
        _ => rule.types.iter().map(EventType::name).collect::<Vec<_>>().join(" "),
    }
}

fn rule(rule: &Rule) -> serde_json::Value {
    json!({
        "name": rule.name, "description": rule.description, "priority": rule.priority.name(),
        "enabled": rule.enabled, "tags": rule.tags, "source": rule.source,
        "events": rule.types.iter().map(EventType::name).collect::<Vec<_>>(),
        "condition": rule.condition, "output": rule.output_text, "file": &*rule.path, "line": rule.line,
    })
}

fn language(format: Format) -> anyhow::Result<u8> {
    let mut out = io::stdout().lock();
    if format == Format::Json {
        let fields: Vec<_> = fields::TABLE
            .iter()
            .map(|row| json!({"name": row.name, "kind": kind(row.kind), "meaning": row.meaning}))
            .collect();
        writeln!(out, "{:#}", json!({"schema": "stockade.rules-fields/1", "fields": fields}))?;
        return Ok(0);
    }
    let written: Vec<String> =
        fields::TABLE.iter().map(|row| format!("{}{}", row.name, argument(row.takes))).collect();
    let width = written.iter().map(String::len).max().unwrap_or(0);
    for (name, row) in written.iter().zip(fields::TABLE) {
        writeln!(out, "{name:width$}  {:8}  {}", kind(row.kind), row.meaning)?;
    }
    Ok(0)
}

fn events(format: Format) -> anyhow::Result<u8> {
    let mut out = io::stdout().lock();
    if format == Format::Json {
        let types: Vec<_> = EventType::all()
            .map(|t| json!({"name": t.name(), "category": t.category().name(), "call": t.is_system_call()}))
            .collect();
        writeln!(out, "{:#}", json!({"schema": "stockade.rules-events/1", "events": types}))?;
        return Ok(0);
    }
    for event_type in EventType::all() {
        writeln!(out, "{}", event_type.name())?;
    }
    Ok(0)
}

/// What a field's value is, in a word.
pub(crate) fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Text => "text",
        Kind::Bytes => "bytes",
        Kind::Unsigned | Kind::Signed => "number",
        Kind::Float => "decimal",
        Kind::Bool => "boolean",
        Kind::Time => "time",
        Kind::Duration => "duration",
        Kind::Address => "address",
        Kind::Network => "network",
        Kind::Port => "port",
        Kind::TextList => "list",
        Kind::Dynamic => "any",
    }
}

/// What may follow a field's name.
pub(crate) fn argument(takes: Takes) -> &'static str {
    match takes {
        Takes::None | Takes::EitherEnd => "",
        Takes::Key => "[KEY]",
        Takes::OptionalKey => "[KEY]?",
        Takes::OptionalIndex | Takes::Ancestor => "[N]?",
        Takes::IndexOrKey => "[N or KEY]",
        Takes::AncestorOrKey => "[N or KEY]?",
    }
}

/// `docs/rule-language.md`.
pub(crate) fn language_page(generated: &str) -> String {
    let mut page = format!("# The rule language\n\n{generated}");
    page.push_str("The language is Falco's, of engine version ");
    let _ = write!(
        page,
        "{}. Every example below is a test (`crates/rules/tests/language.rs`).\n\
         [rules.md](rules.md) tells how rules are loaded and matched, and where this differs from Falco.\n",
        rules::load::ENGINE_VERSION
    );
    let mut group = "";
    for feature in FEATURES {
        if feature.group != group {
            group = feature.group;
            let _ = write!(page, "\n## {group}\n\n| feature | what it does | example |\n|---|---|---|\n");
        }
        let _ = writeln!(
            page,
            "| {} | {} | {} |",
            cell(feature.name),
            cell(feature.meaning),
            example(&feature.example)
        );
    }
    page.push_str("\n## The fields\n\n| field | kind | what it is |\n|---|---|---|\n");
    for row in fields::TABLE {
        let name = format!("{}{}", row.name, argument(row.takes));
        let _ = writeln!(page, "| `{name}` | {} | {} |", kind(row.kind), cell(row.meaning));
    }
    page.push_str("\n## The types of events\n\n");
    for category in EventType::all().map(EventType::category).fold(Vec::new(), |mut seen, c| {
        if !seen.contains(&c) {
            seen.push(c);
        }
        seen
    }) {
        let names: Vec<_> =
            EventType::all().filter(|t| t.category() == category).map(EventType::name).collect();
        let name = match category {
            Category::IoRead => "reads",
            Category::IoWrite => "writes",
            Category::IoOther => "other input and output",
            other => other.name().unwrap_or_default(),
        };
        let _ = writeln!(page, "* {name}: {}", names.join(" "));
    }
    page
}

fn example(example: &Example) -> String {
    match example {
        Example::Condition { condition, .. } => code(condition),
        Example::Output { output, text, .. } => format!("{} gives {}", code(output), code(text)),
        Example::File { file, .. } | Example::Error { file, .. } => {
            let lines: Vec<String> = file.lines().map(code).collect();
            let said = match example {
                Example::Error { says, .. } => format!("<br>{}", cell(says)),
                _ => String::new(),
            };
            format!("{}{said}", lines.join("<br>"))
        }
    }
}

/// Code in a cell of a table, its leading blanks kept.
fn code(text: &str) -> String {
    let shown = text.replace('|', "\\|").replace('\t', "\\t");
    let inner = shown.trim_start();
    let blanks = "&nbsp;".repeat(shown.len() - inner.len());
    let fence = if inner.contains('`') { "``" } else { "`" };
    format!("{blanks}{fence}{inner}{fence}")
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

pub(crate) fn load(files: &[PathBuf]) -> anyhow::Result<Loaded> {
    let mut loader = Loader::new(Default::default());
    for path in files {
        if !path.is_dir() {
            loader.file(path);
            continue;
        }
        let mut inside = Vec::new();
        for entry in std::fs::read_dir(path).with_context(|| path.display().to_string())? {
            let path = entry.with_context(|| path.display().to_string())?.path();
            if path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml") {
                inside.push(path);
            }
        }
        if inside.is_empty() {
            bail!("{}: no .yaml and no .yml file is in this folder", path.display());
        }
        inside.sort();
        inside.iter().for_each(|path| loader.file(path));
    }
    Ok(loader.finish())
}

fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

//! `stockade policy`: policies checked, tested and begun.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use confinement::{Problem, World};
use policy::published::every_finding;
use policy::{
    Date, Decision, InPlace, NoticeKind, Policy, ReadError, RegoFile, RegoFiles, Waived, Waivers, cases,
    check, parse_date,
};
use techniques::judge::{self, Judgement};

use crate::arguments::Governance;
use crate::audit::Input;

/// Read where no `--policy` names another.
pub(crate) const DEFAULT_POLICY: &str = "stockade-policy.yaml";
/// Read where no `--waivers` names another.
pub(crate) const DEFAULT_WAIVERS: &str = "stockade-waivers.yaml";

/// What people write by hand is small.
const MAX_BYTES: usize = 1 << 20;
/// Files of Rego in one folder.
const MAX_REGO: usize = 500;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Tell what is wrong in policies, files of waivers and files of tests, and which rules can never match
    Check {
        /// Policies, waivers and tests of policies
        #[arg(value_name = "FILE", required = true)]
        files: Vec<PathBuf>,
    },
    /// Run the tests of policies that stand in files beside them (NAME.test.yaml)
    Test {
        /// Policies, files of tests, or folders; ./stockade-policy.yaml where none is named
        #[arg(value_name = "FILE")]
        files: Vec<PathBuf>,
    },
    /// Write a commented policy to begin with, and a test of it
    Init {
        #[arg(value_name = "FILE", default_value = DEFAULT_POLICY)]
        file: PathBuf,
        /// Write over what is there
        #[arg(long)]
        force: bool,
    },
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<u8> {
    match &arguments.what {
        What::Check { files } => check_files(files),
        What::Test { files } => test_files(files),
        What::Init { file, force } => init(file, *force),
    }
}

/// Files of Rego beside a policy.
pub(crate) struct Beside<'a>(pub(crate) &'a Path);

impl RegoFiles for Beside<'_> {
    fn rego(&self, path: &str) -> Result<Vec<RegoFile>, String> {
        let named = self.0.join(path);
        let mut paths: Vec<PathBuf> = if named.is_dir() {
            let mut found = Vec::new();
            rego_in(&named, 8, &mut found)?;
            found
        } else {
            vec![named]
        };
        paths.sort();
        if paths.len() > MAX_REGO {
            return Err(format!("there are more than {MAX_REGO} .rego files there"));
        }
        paths
            .into_iter()
            .map(|path| {
                let text = read(&path).map_err(|error| format!("{error:#}"))?;
                Ok(RegoFile { path: path.to_string_lossy().into(), text: text.into() })
            })
            .collect()
    }
}

fn rego_in(folder: &Path, levels: u8, found: &mut Vec<PathBuf>) -> Result<(), String> {
    let entries = fs::read_dir(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    for entry in entries {
        let path = entry.map_err(|e| format!("{}: {e}", folder.display()))?.path();
        let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
        if path.is_dir() {
            if levels == 0 {
                return Err(format!("{}: folders nest too deeply", folder.display()));
            }
            rego_in(&path, levels - 1, found)?;
        } else if name.ends_with(".rego") && !name.ends_with("_test.rego") {
            found.push(path);
        }
    }
    Ok(())
}

fn read(path: &Path) -> anyhow::Result<String> {
    let bytes = sources::walk::read_bounded(path, MAX_BYTES)
        .map_err(|error| anyhow::anyhow!("{}: {}", path.display(), error.message))?;
    String::from_utf8(bytes).with_context(|| format!("{}: not a text in UTF-8", path.display()))
}

pub(crate) fn read_policy(path: &Path) -> Result<Policy, ReadError> {
    let name: Arc<str> = path.to_string_lossy().into();
    let text = read(path).map_err(|error| ReadError::one(unread(&name, &error)))?;
    let folder = path.parent().unwrap_or(Path::new(""));
    Policy::parse(&text, &name, &Beside(folder))
}

fn unread(path: &Arc<str>, error: &anyhow::Error) -> Problem {
    let message = format!("{error:#}");
    let message = message.strip_prefix(&format!("{path}: ")).unwrap_or(&message).to_owned();
    Problem::new(path.clone(), message)
}

/// An error that shows each problem on a line of its own.
pub(crate) fn report_error(error: ReadError) -> anyhow::Error {
    let lines: Vec<String> =
        error.problems.iter().map(|p| report::printable(&p.to_string()).into_owned()).collect();
    let (first, rest) = lines.split_first().map_or(("", [].as_slice()), |(f, r)| (f.as_str(), r));
    for line in rest {
        eprintln!("error: {line}");
    }
    anyhow::anyhow!("{first}")
}

/// The waivers of a file; of the default one where it is there.
pub(crate) fn load_waivers(named: Option<&PathBuf>) -> anyhow::Result<Waivers> {
    let path = match named {
        Some(path) => path.as_path(),
        None if Path::new(DEFAULT_WAIVERS).exists() => Path::new(DEFAULT_WAIVERS),
        None => return Ok(Waivers::default()),
    };
    read_waivers(path).map_err(report_error)
}

pub(crate) fn read_waivers(path: &Path) -> Result<Waivers, ReadError> {
    let name: Arc<str> = path.to_string_lossy().into();
    let text = read(path).map_err(|error| ReadError::one(unread(&name, &error)))?;
    Waivers::parse(&text, &name)
}

/// A day as the command line has it.
pub(crate) fn day(text: &str) -> Result<Date, String> {
    parse_date(text).ok_or_else(|| "a day is written as 2027-01-31".to_owned())
}

impl Governance {
    /// The day that waivers are judged on: the one that was asked for, else the machine's, in UTC.
    pub(crate) fn today(&self) -> Date {
        self.today.unwrap_or_else(|| jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date())
    }

    /// The policy that was asked for.
    pub(crate) fn policy(&self) -> anyhow::Result<Option<Policy>> {
        self.policy.as_ref().map(|path| read_policy(path).map_err(report_error)).transpose()
    }

    /// Waivers of the file, and those that stand in the files that were judged.
    pub(crate) fn waivers(
        &self,
        world: &mut World,
        judgement: &Judgement,
        input: &Input,
        policy: Option<&Policy>,
    ) -> anyhow::Result<Waivers> {
        if self.no_waivers {
            return Ok(Waivers::default());
        }
        let mut waivers = load_waivers(self.waivers.as_ref())?;
        if policy.is_some_and(|p| p.in_place == InPlace::Never) {
            return Ok(waivers);
        }
        let mut paths: BTreeSet<Arc<str>> = BTreeSet::new();
        for judged in &judgement.subjects {
            let Some(subject) = world.subjects.get(judged.subject) else { continue };
            paths.extend(subject.place.iter().chain(&subject.declared).map(|place| place.path.clone()));
            let evidence = every_finding(judged).flat_map(|(_, f)| &f.evidence);
            paths.extend(evidence.filter_map(|e| e.origin.place().map(|place| place.path.clone())));
        }
        for path in paths {
            let Some(text) = input.text_of(&path) else { continue };
            let (found, problems) = Waivers::in_place(&text, &path);
            waivers.extend(found);
            world.problems.extend(problems);
        }
        Ok(waivers)
    }
}

/// Tells of waivers that end, have ended, or are of no use, as notes of the world and on standard error.
pub(crate) fn tell(waived: &Waived, world: &mut World) {
    for notice in waived.notices() {
        let word = if notice.kind == NoticeKind::Expired { "error" } else { "warning" };
        eprintln!("{word}: {}", report::printable(&notice.problem.to_string()));
        world.notes.push(notice.problem);
    }
}

/// What a policy decides about every subject of a world that was judged with some depth. Where the policy looks deeper,
/// the world is judged again for it: remedies are for the depth that was asked for.
pub(crate) fn decide(
    policy: &Policy,
    world: &World,
    judgement: &Judgement,
    depth: u8,
    waivers: &Waivers,
    today: Date,
) -> Vec<(usize, Decision)> {
    let deeper = (policy.options().depth > depth).then(|| judge::judge(world, policy.options()));
    let judged = deeper.as_ref().unwrap_or(judgement).subjects.iter();
    judged
        .filter_map(|judged| {
            let subject = world.subjects.get(judged.subject)?;
            Some((judged.subject, policy.decide(world, subject, judged, waivers, today)))
        })
        .collect()
}

/// What a file is, by the keys it has.
enum Kind {
    Policy,
    Waivers,
    Cases,
}

fn kind(text: &str) -> Kind {
    let has = |key: &str| text.lines().any(|line| line.strip_prefix(key).is_some_and(|r| r.starts_with(':')));
    match (has("waivers"), has("cases")) {
        (true, _) => Kind::Waivers,
        (_, true) => Kind::Cases,
        _ => Kind::Policy,
    }
}

fn check_files(files: &[PathBuf]) -> anyhow::Result<u8> {
    let mut wrong: Vec<Problem> = Vec::new();
    let mut odd: Vec<Problem> = Vec::new();
    let mut out = io::stdout().lock();
    for path in files {
        let name: Arc<str> = path.to_string_lossy().into();
        let text = match read(path) {
            Ok(text) => text,
            Err(error) => {
                wrong.push(unread(&name, &error));
                continue;
            }
        };
        let result = match kind(&text) {
            Kind::Waivers => {
                Waivers::parse(&text, &name).map(|w| (format!("{} waivers", w.iter().count()), Vec::new()))
            }
            Kind::Cases => {
                cases::parse(&text, &name).map(|c| (format!("{} cases", c.list.len()), Vec::new()))
            }
            Kind::Policy => read_policy(path).map(|policy| {
                let said = format!("{} rules, {} Rego policies", policy.rules.len(), policy.rego.len());
                (said, check::oddities(&policy))
            }),
        };
        match result {
            Ok((said, oddities)) if oddities.is_empty() => writeln!(out, "{name}: sound ({said})")?,
            Ok((_, oddities)) => odd.extend(oddities),
            Err(error) => wrong.extend(error.problems),
        }
    }
    for problem in &odd {
        writeln!(out, "{}", report::printable(&problem.to_string()))?;
    }
    for problem in &wrong {
        eprintln!("error: {}", report::printable(&problem.to_string()));
    }
    Ok(match (wrong.is_empty(), odd.is_empty()) {
        (false, _) => 2,
        (true, false) => 1,
        (true, true) => 0,
    })
}

/// The files of tests that are meant.
fn test_paths(named: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
    let default = [PathBuf::from(DEFAULT_POLICY)];
    let named = if named.is_empty() { default.as_slice() } else { named };
    let is_test = |path: &Path| {
        path.file_name()
            .and_then(|n| n.to_str())
            .is_some_and(|n| n.ends_with(".test.yaml") || n.ends_with(".test.yml"))
    };
    let mut found = Vec::new();
    for path in named {
        if path.is_dir() {
            let entries = fs::read_dir(path).with_context(|| path.display().to_string())?;
            let mut tests: Vec<PathBuf> =
                entries.filter_map(|e| e.ok().map(|e| e.path())).filter(|p| is_test(p)).collect();
            tests.sort();
            found.extend(tests);
        } else if is_test(path) {
            found.push(path.clone());
        } else {
            let test = path.with_extension("test.yaml");
            if !test.exists() {
                bail!("{}: there are no tests of {} (write `cases` there)", test.display(), path.display());
            }
            found.push(test);
        }
    }
    if found.is_empty() {
        bail!("no files of tests (NAME.test.yaml) are there");
    }
    Ok(found)
}

fn test_files(named: &[PathBuf]) -> anyhow::Result<u8> {
    let mut out = io::stdout().lock();
    let (mut passed, mut failed, mut unread_files) = (0usize, 0usize, false);
    for path in test_paths(named)? {
        let name: Arc<str> = path.to_string_lossy().into();
        let folder = path.parent().unwrap_or(Path::new("")).to_owned();
        let parsed = read(&path)
            .map_err(|error| ReadError::one(unread(&name, &error)))
            .and_then(|text| cases::parse(&text, &name))
            .and_then(|cases| {
                let policy = match &cases.policy {
                    Some(policy) => folder.join(&**policy),
                    None => PathBuf::from(name.replace(".test.", ".")),
                };
                Ok((read_policy(&policy)?, cases))
            });
        let (policy, cases) = match parsed {
            Ok(parsed) => parsed,
            Err(error) => {
                unread_files = true;
                for problem in &error.problems {
                    eprintln!("error: {}", report::printable(&problem.to_string()));
                }
                continue;
            }
        };
        for case in &cases.list {
            match case.check(&policy, &folder) {
                Ok(()) => passed += 1,
                Err(failure) => {
                    failed += 1;
                    let place = &failure.place;
                    let line = format!(
                        "{}:{}:{}: failed: {}: {}",
                        place.path, place.line, place.column, case.name, failure.message
                    );
                    writeln!(out, "{}", report::printable(&line))?;
                }
            }
        }
    }
    writeln!(out, "{passed} passed, {failed} failed")?;
    Ok(match (unread_files, failed) {
        (true, _) => 2,
        (false, 0) => 0,
        (false, _) => 1,
    })
}

const STARTING_POLICY: &str = include_str!("policy/start.yaml");
const STARTING_TEST: &str = include_str!("policy/start.test.yaml");

fn init(file: &Path, force: bool) -> anyhow::Result<u8> {
    let test = file.with_extension("test.yaml");
    for path in [file, &test] {
        if path.exists() && !force {
            bail!("{} is there already; --force writes over it", path.display());
        }
    }
    let named = file.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    fs::write(file, STARTING_POLICY).with_context(|| file.display().to_string())?;
    fs::write(&test, STARTING_TEST.replace("stockade-policy.yaml", &named))
        .with_context(|| test.display().to_string())?;
    let mut out = io::stdout().lock();
    writeln!(out, "wrote {} and {}", file.display(), test.display())?;
    writeln!(out, "try: stockade policy test {}", file.display())?;
    Ok(0)
}

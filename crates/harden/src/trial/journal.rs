//! The journal: a line of JSON for what is tried, what was seen with everything granted, each run, and the end. It is
//! the evidence of a trial, and what an interrupted one goes on from. Only its owner may read it, since a workload's
//! log lines are in it. Schema: `schemas/stockade.trial-1.schema.json`.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::TrialError;
use super::evidence::Denial;
use super::grant::{Folder, Grant, User};

pub const SCHEMA: &str = "stockade.trial/1";
/// A journal longer than this is no journal.
const LARGEST: u64 = 64 << 20;

/// User and grants of a run.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Attempt {
    pub user: User,
    pub grants: BTreeSet<Grant>,
    /// The check is run in the workload's place: it must fail.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub without_workload: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    Passed,
    /// The container ran, and the check failed until its last attempt said so for good.
    Failed,
    /// The container ran, and the check did not pass in time.
    Timeout,
    /// The container ended before the check passed.
    Died,
    /// The engine could not start it.
    NotStarted,
}

impl Outcome {
    pub fn words(self) -> &'static str {
        match self {
            Outcome::Passed => "passed",
            Outcome::Failed => "failed",
            Outcome::Timeout => "did not pass in time",
            Outcome::Died => "died",
            Outcome::NotStarted => "could not be started",
        }
    }
}

/// One run of a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Run {
    /// From 1.
    pub number: u32,
    #[serde(flatten)]
    pub attempt: Attempt,
    pub outcome: Outcome,
    /// Of the container, where it has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i64>,
    /// What the last attempt of the check, or the engine, said.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub said: String,
    /// The last lines of the container's log.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub log: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub denials: Vec<Denial>,
    /// From its start until its check passed, the second time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub passed_after: Option<u64>,
    /// All of it.
    pub milliseconds: u64,
}

impl Run {
    pub fn passed(&self) -> bool {
        self.outcome == Outcome::Passed
    }

    /// Why it failed, on one line: what the kernel refused, as far as the workload told, or its last words.
    pub fn reason(&self) -> String {
        let mut text = self.outcome.words().to_owned();
        if let Some(code) = self.exit_code {
            text.push_str(&format!(", exit code {code}"));
        }
        let line = self.denials.last().map(|denial| denial.line.as_str());
        let line = line.or_else(|| (!self.said.is_empty()).then_some(self.said.as_str()));
        if let Some(line) = line.or_else(|| self.log.last().map(String::as_str)) {
            text.push_str(": ");
            text.push_str(line.trim());
        }
        text
    }
}

/// What was tried, so that a journal is gone on from for the same trial alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Header {
    pub id: String,
    /// Seconds since 1970.
    pub started: u64,
    pub engine: String,
    pub image: String,
    pub image_id: String,
    pub check: String,
    /// Of everything that decides what a run is, as [`fingerprint`] makes it.
    pub fingerprint: String,
}

/// A place that the workload wrote to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Written {
    pub grant: Grant,
    /// The image's folder there, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub folder: Option<Folder>,
}

/// What a run with everything granted showed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observed {
    pub written: Vec<Written>,
    /// Users other than root that could be run as: the image's, and those that its processes ran as.
    pub users: Vec<User>,
    /// The user under the line as it is.
    pub own: Option<User>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    Trial(Header),
    Observed(Observed),
    Run(Run),
    End { state: String },
}

#[derive(Serialize, Deserialize)]
struct Line {
    schema: String,
    #[serde(flatten)]
    event: Event,
}

#[derive(Debug)]
pub struct Journal {
    file: Option<(File, PathBuf)>,
}

impl Journal {
    /// One that is kept nowhere.
    pub fn none() -> Journal {
        Journal { file: None }
    }

    pub fn create(path: &Path) -> Result<Journal, TrialError> {
        let file = File::options()
            .append(true)
            .create_new(true)
            .mode(0o600)
            .open(path)
            .map_err(|error| TrialError::file(path, &error))?;
        Ok(Journal { file: Some((file, path.to_owned())) })
    }

    /// Opens a journal to go on with it, and gives what is in it. A last line that was cut short is left out.
    pub fn open(path: &Path) -> Result<(Journal, Vec<Event>), TrialError> {
        let failed = |error: &std::io::Error| TrialError::file(path, error);
        let mut file = File::options().read(true).append(true).open(path).map_err(|error| failed(&error))?;
        let mut events = Vec::new();
        let mut ends_in_line = true;
        let mut lines = BufReader::new((&file).take(LARGEST));
        let mut number = 0;
        loop {
            let mut line = Vec::new();
            if lines.read_until(b'\n', &mut line).map_err(|error| failed(&error))? == 0 {
                break;
            }
            number += 1;
            ends_in_line = line.ends_with(b"\n");
            match serde_json::from_slice::<Line>(&line) {
                Ok(line) if line.schema == SCHEMA => events.push(line.event),
                Ok(line) => {
                    return Err(TrialError::Journal {
                        path: path.to_owned(),
                        line: number,
                        message: format!("its schema is `{}`; this program reads `{SCHEMA}`", line.schema),
                    });
                }
                Err(_) if !ends_in_line => {}
                Err(error) => {
                    return Err(TrialError::Journal {
                        path: path.to_owned(),
                        line: number,
                        message: error.to_string(),
                    });
                }
            }
        }
        drop(lines);
        if !ends_in_line {
            // What was cut short ends here, so that the next line stands alone; it is passed over when read again.
            let length = complete_length(path).map_err(|error| failed(&error))?;
            file.set_len(length).and_then(|()| file.flush()).map_err(|error| failed(&error))?;
        }
        Ok((Journal { file: Some((file, path.to_owned())) }, events))
    }

    pub fn path(&self) -> Option<&Path> {
        self.file.as_ref().map(|(_, path)| path.as_path())
    }

    pub fn write(&mut self, event: Event) -> Result<(), TrialError> {
        let Some((file, path)) = &mut self.file else { return Ok(()) };
        let line = Line { schema: SCHEMA.to_owned(), event };
        let mut text = serde_json::to_vec(&line)
            .map_err(|error| TrialError::file(path, &std::io::Error::other(error)))?;
        text.push(b'\n');
        // One write for a line: a kill leaves whole lines, or one cut short at the end.
        file.write_all(&text).map_err(|error| TrialError::file(path, &error))
    }
}

/// Up to and with the last line break.
fn complete_length(path: &Path) -> std::io::Result<u64> {
    let bytes = std::fs::read(path)?;
    Ok(bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at as u64 + 1))
}

/// FNV-1a, 64 bits: tells one trial from another, and is no protection against who wants them confused.
pub(super) fn fingerprint(parts: &[&str]) -> String {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in parts.iter().flat_map(|part| part.bytes().chain([0])) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    format!("{hash:016x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(number: u32) -> Run {
        Run {
            number,
            attempt: Attempt {
                user: User::of_ids(101, 101),
                grants: BTreeSet::from([Grant::Tmpfs("/run".into())]),
                without_workload: false,
            },
            outcome: Outcome::Died,
            exit_code: Some(1),
            said: String::new(),
            log: vec!["x: permission denied".into()],
            denials: crate::trial::evidence::denials(["x: permission denied"]),
            passed_after: None,
            milliseconds: 12,
        }
    }

    #[test]
    fn what_is_written_is_read_back_and_a_line_cut_short_is_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("trial.jsonl");
        let mut journal = Journal::create(&path).unwrap();
        journal.write(Event::Observed(Observed::default())).unwrap();
        journal.write(Event::Run(run(1))).unwrap();
        drop(journal);
        let mut bytes = std::fs::read(&path).unwrap();
        bytes.extend(b"{\"schema\":\"stockade.tri");
        std::fs::write(&path, bytes).unwrap();
        let (mut journal, events) = Journal::open(&path).unwrap();
        assert_eq!(events, [Event::Observed(Observed::default()), Event::Run(run(1))]);
        journal.write(Event::Run(run(2))).unwrap();
        let (_, events) = Journal::open(&path).unwrap();
        assert_eq!(events.len(), 3);
        use std::os::unix::fs::MetadataExt;
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_file_that_is_no_journal_is_an_error_with_its_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("other");
        std::fs::write(&path, "{}\n").unwrap();
        let error = Journal::open(&path).unwrap_err().to_string();
        assert!(error.contains("other:1"), "{error}");
        std::fs::write(&path, "{\"schema\":\"stockade.trial/9\",\"event\":\"end\",\"state\":\"x\"}\n")
            .unwrap();
        assert!(Journal::open(&path).unwrap_err().to_string().contains("stockade.trial/9"));
    }
}

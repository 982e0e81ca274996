//! JSON lines: one record a line, to standard output or to a file. A file that was renamed or removed is opened anew.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::PathBuf;
use std::sync::Arc;

use super::{Failure, Filter, JsonLines, Output, OutputError};
use crate::store::Record;

pub(super) struct JsonLinesOutput {
    settings: JsonLines,
    to: To,
}

enum To {
    Stdout,
    /// None while it cannot be opened.
    File(PathBuf, Option<File>),
}

impl JsonLinesOutput {
    pub(super) fn open(settings: &JsonLines) -> Result<JsonLinesOutput, OutputError> {
        let path = settings.file.clone();
        let to = if path.as_os_str() == "-" {
            To::Stdout
        } else {
            let file = open(&path).map_err(|error| OutputError::File {
                output: "json-lines".into(),
                path: path.clone(),
                error,
            })?;
            To::File(path, Some(file))
        };
        Ok(JsonLinesOutput { settings: settings.clone(), to })
    }
}

/// Arguments of programs may hold secrets.
fn open(path: &PathBuf) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o600).open(path)
}

impl Output for JsonLinesOutput {
    fn name(&self) -> String {
        format!("json-lines {}", self.settings.file.display())
    }

    fn filter(&self) -> Filter {
        let (least, alerts_only) = (self.settings.severity, self.settings.alerts_only);
        Box::new(move |record| record.severity().map_or(!alerts_only, |severity| severity >= least))
    }

    fn batch(&self) -> usize {
        100
    }

    fn send(&mut self, records: &[Arc<Record>]) -> Result<u64, Failure> {
        let mut lines = Vec::new();
        for record in records {
            serde_json::to_writer(&mut lines, &record.to_json()).map_err(Failure::later)?;
            lines.push(b'\n');
        }
        match &mut self.to {
            To::Stdout => {
                let mut out = io::stdout().lock();
                out.write_all(&lines).and_then(|()| out.flush()).map_err(Failure::later)?;
            }
            To::File(path, file) => {
                if file.as_ref().is_none_or(|file| is_elsewhere(file, path)) {
                    *file = Some(open(path).map_err(Failure::later)?);
                }
                if let Some(file) = file {
                    append(file, &lines).map_err(Failure::later)?;
                }
            }
        }
        Ok(0)
    }

    fn reopen(&mut self) {
        if let To::File(_, file) = &mut self.to {
            *file = None;
        }
    }
}

/// The path leads to another file now, or to none.
fn is_elsewhere(file: &File, path: &PathBuf) -> bool {
    match (file.metadata(), std::fs::metadata(path)) {
        (Ok(open), Ok(named)) => (open.dev(), open.ino()) != (named.dev(), named.ino()),
        _ => true,
    }
}

/// Whole lines or nothing: what a full disk cut off is taken back, as it will come again.
fn append(file: &mut File, lines: &[u8]) -> io::Result<()> {
    let before = file.metadata()?;
    let result = file.write_all(lines);
    if result.is_err() && before.is_file() {
        // Where even this fails, a reader meets half a line, which is no JSON.
        let _ = file.set_len(before.len());
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alert::Severity;
    use crate::store::samples;

    fn lines(path: &PathBuf) -> Vec<serde_json::Value> {
        let text = std::fs::read_to_string(path).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn record() -> Arc<Record> {
        Arc::new(samples::attempt().into())
    }

    #[test]
    fn each_record_is_a_line_with_its_schema() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.jsonl");
        let mut output = JsonLinesOutput::open(&JsonLines::to(&path)).unwrap();
        output.send(&[record(), Arc::new(Record::Heartbeat(samples::heartbeat()))]).unwrap();
        let lines = lines(&path);
        assert_eq!(lines[0]["schema"], "stockade.alert/1");
        assert_eq!(lines[0]["cause"]["technique"], "cgroup-release-agent");
        assert_eq!(
            (&lines[1]["schema"], &lines[1]["record"]),
            (&"stockade.record/1".into(), &"heartbeat".into())
        );
        assert_eq!(path.metadata().unwrap().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_file_that_was_renamed_or_removed_or_rotated_by_a_signal_is_opened_anew() {
        let folder = tempfile::tempdir().unwrap();
        let (path, old) = (folder.path().join("a.jsonl"), folder.path().join("a.jsonl.1"));
        let mut output = JsonLinesOutput::open(&JsonLines::to(&path)).unwrap();
        output.send(&[record()]).unwrap();
        std::fs::rename(&path, &old).unwrap();
        output.send(&[record()]).unwrap();
        assert_eq!((lines(&old).len(), lines(&path).len()), (1, 1));
        std::fs::remove_file(&path).unwrap();
        output.send(&[record()]).unwrap();
        output.reopen();
        output.send(&[record()]).unwrap();
        assert_eq!(lines(&path).len(), 2);
    }

    #[test]
    fn a_full_disk_is_a_failure_to_try_again_and_a_folder_that_is_gone_too() {
        let mut output = JsonLinesOutput::open(&JsonLines::to("/dev/full")).unwrap();
        assert!(matches!(output.send(&[record()]), Err(Failure::Later { why, .. }) if why.contains("space")));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deeper");
        std::fs::create_dir(&path).unwrap();
        let mut output = JsonLinesOutput::open(&JsonLines::to(path.join("a"))).unwrap();
        std::fs::remove_dir_all(&path).unwrap();
        assert!(matches!(output.send(&[record()]), Err(Failure::Later { .. })));
        std::fs::create_dir(&path).unwrap();
        output.send(&[record()]).unwrap();
        assert!(JsonLinesOutput::open(&JsonLines::to("/nowhere/at/all")).is_err());
    }

    #[test]
    fn the_filter_keeps_to_the_severity_and_to_alerts_where_asked() {
        let folder = tempfile::tempdir().unwrap();
        let settings = JsonLines { severity: Severity::High, ..JsonLines::to(folder.path().join("a")) };
        let filter = JsonLinesOutput::open(&settings).unwrap().filter();
        assert!(filter(&record()) && filter(&Record::Blind(samples::blind())));
        assert!(!filter(&samples::rule_match().into()));
        let settings = JsonLines { alerts_only: true, ..settings };
        let filter = JsonLinesOutput::open(&settings).unwrap().filter();
        assert!(filter(&record()) && !filter(&Record::Blind(samples::blind())));
    }
}

//! A capture around an alert: what the container did shortly before and after, written as `.scap`.
//!
//! Data comes from the live events as [`crate::live`] words them; the last ones of each moment wait in memory, bounded by time
//! and number. An alert opens a file for its container; what happens in it until some seconds later goes there too.

use std::collections::{BTreeMap, VecDeque};
use std::fs::{self, File};
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use capture::Writer;
use capture::event::{Event as Written, Kept};
use sensor::event::ContainerKey;

use crate::alert::Alert;
use crate::fields::View;
use crate::state::State;

/// What is written around an alert, and what may be kept.
#[derive(Clone, Debug)]
pub struct Settings {
    pub folder: PathBuf,
    /// Nanoseconds before and after the alert.
    pub before: u64,
    pub after: u64,
    /// Events that wait.
    pub waiting: usize,
    /// Bytes of one capture before compression; then it ends.
    pub largest: u64,
    /// Captures in the folder; the oldest go.
    pub most: usize,
}

impl Settings {
    pub fn to(folder: PathBuf) -> Settings {
        Settings {
            folder,
            before: 10_000_000_000,
            after: 5_000_000_000,
            waiting: 50_000,
            largest: 64 << 20,
            most: 100,
        }
    }
}

struct Waiting {
    container: ContainerKey,
    event: Kept,
}

struct Recording {
    path: PathBuf,
    writer: Writer<BufWriter<File>>,
    /// Nanoseconds since 1970.
    until: u64,
}

pub struct Recorder {
    settings: Settings,
    waiting: VecDeque<Waiting>,
    recordings: BTreeMap<ContainerKey, Recording>,
    /// What could not be written.
    problems: Vec<String>,
}

impl Recorder {
    /// Makes the folder, where it is not there.
    pub fn new(settings: Settings) -> std::io::Result<Recorder> {
        fs::create_dir_all(&settings.folder)?;
        Ok(Recorder { settings, waiting: VecDeque::new(), recordings: BTreeMap::new(), problems: Vec::new() })
    }

    /// What went wrong since the last call.
    pub fn take_problems(&mut self) -> Vec<String> {
        std::mem::take(&mut self.problems)
    }

    /// Takes an event of a container.
    pub fn see(&mut self, container: ContainerKey, view: &View<'_>) {
        let now = view.event.time;
        self.finish_before(now);
        for event in [view.begun.as_ref(), Some(&view.event)].into_iter().flatten() {
            self.record(container, event);
            self.wait(container, event);
        }
        let oldest = now.saturating_sub(self.settings.before);
        while self.waiting.front().and_then(|w| w.event.event()).is_some_and(|event| event.time < oldest) {
            self.waiting.pop_front();
        }
    }

    fn wait(&mut self, container: ContainerKey, event: &Written<'_>) {
        // The buffer of the one that goes is used again.
        let mut slot = match self.waiting.len() >= self.settings.waiting {
            true => self.waiting.pop_front(),
            false => None,
        }
        .unwrap_or(Waiting { container, event: Kept::default() });
        slot.container = container;
        event.keep(&mut slot.event);
        self.waiting.push_back(slot);
    }

    fn record(&mut self, container: ContainerKey, event: &Written<'_>) {
        let Some(recording) = self.recordings.get_mut(&container) else { return };
        let result = recording.writer.event(event);
        let full = recording.writer.written() >= self.settings.largest;
        if let Err(error) = &result {
            self.problems.push(format!("{}: {error}", recording.path.display()));
        }
        if (result.is_err() || full)
            && let Some(recording) = self.recordings.remove(&container)
        {
            self.finish(recording);
        }
    }

    /// Opens a capture for the container of an alert, or keeps the one that is open.
    pub fn alert(&mut self, alert: &Alert, state: &State) {
        let Some(container) = alert.container.as_ref().map(|container| container.key) else { return };
        let now = u64::try_from(alert.time).unwrap_or(0);
        let until = now + self.settings.after;
        if let Some(recording) = self.recordings.get_mut(&container) {
            recording.until = recording.until.max(until);
            return;
        }
        if let Err(error) = self.open(container, now, until, state) {
            self.problems.push(format!("{}: {error}", self.settings.folder.display()));
        }
    }

    fn open(
        &mut self,
        container: ContainerKey,
        now: u64,
        until: u64,
        state: &State,
    ) -> Result<(), capture::Error> {
        make_room(&self.settings.folder, self.settings.most);
        let path = self.settings.folder.join(format!("{now}-{:x}.scap", container.0));
        let file =
            File::create(&path).map_err(|source| capture::Error::Io { doing: "make", offset: 0, source })?;
        let mut writer = Writer::new(BufWriter::new(file), true)?;
        state.write_lists(&mut writer)?;
        for waiting in self.waiting.iter().filter(|waiting| waiting.container == container) {
            if let Some(event) = waiting.event.event() {
                writer.event(&event)?;
            }
        }
        self.recordings.insert(container, Recording { path, writer, until });
        Ok(())
    }

    fn finish_before(&mut self, now: u64) {
        while let Some(key) = self.recordings.iter().find(|(_, r)| r.until < now).map(|(key, _)| *key) {
            if let Some(recording) = self.recordings.remove(&key) {
                self.finish(recording);
            }
        }
    }

    fn finish(&mut self, recording: Recording) {
        if let Err(error) = recording.writer.finish() {
            self.problems.push(format!("{}: {error}", recording.path.display()));
        }
    }

    /// Ends every capture that is open.
    pub fn close(mut self) -> Vec<String> {
        self.finish_before(u64::MAX);
        self.problems
    }
}

/// Removes the oldest captures, by their names, until there is room for one more. Files of other names are left alone.
fn make_room(folder: &Path, most: usize) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    let mut ours: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            name.strip_suffix(".scap").and_then(|name| name.split_once('-')).is_some_and(|(time, key)| {
                time.bytes().all(|b| b.is_ascii_digit()) && u64::from_str_radix(key, 16).is_ok()
            })
        })
        .collect();
    ours.sort();
    let surplus = (ours.len() + 1).saturating_sub(most.max(1));
    for path in ours.iter().take(surplus) {
        // One that cannot be removed is there the next time too.
        let _ = fs::remove_file(path);
    }
}

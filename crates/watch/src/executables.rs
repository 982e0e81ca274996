//! The bytes behind an executable: SHA-256 of the files that alerts name, read beside the events so that a large file
//! delays nothing but the alert that asks for it, and that only for a bounded time.
//!
//! Data comes from `/proc/PID/exe`, which is the file itself also when it was renamed, deleted or never had a name. A
//! process that is gone, or that executes another file by now, has no hash: not known is a value.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;

use sensor::event::{FileId, Task};
use sha2::{Digest as _, Sha256};

use crate::alert::Alert;

/// Larger files are not read.
const LARGEST: u64 = 512 << 20;
/// Alerts that may wait for a hash at once; the next ones go without.
const WAITING: usize = 256;
/// Hashes that are kept.
const KEPT: usize = 4096;

/// A file as it was: the same inode with other bytes has another time of change or size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Version {
    device: u64,
    inode: u64,
    size: u64,
    changed: (i64, i64),
}

/// Adds hashes to alerts on a thread of its own and hands them on.
#[derive(Debug)]
pub struct Executables {
    queue: Option<SyncSender<Alert>>,
    worker: Option<thread::JoinHandle<()>>,
}

impl Executables {
    /// `deliver` gets every alert, with hashes where they could be read.
    pub fn start(deliver: impl Fn(Alert) + Send + 'static) -> std::io::Result<Executables> {
        let (queue, waiting) = sync_channel::<Alert>(WAITING);
        let worker = thread::Builder::new().name("hashes".into()).spawn(move || work(&waiting, &deliver))?;
        Ok(Executables { queue: Some(queue), worker: Some(worker) })
    }

    /// Hands an alert on. Where too many wait already, it comes back, to be delivered as it is.
    pub fn take(&self, alert: Alert) -> Result<(), Box<Alert>> {
        match &self.queue {
            Some(queue) => queue.try_send(alert).map_err(|e| match e {
                TrySendError::Full(alert) | TrySendError::Disconnected(alert) => Box::new(alert),
            }),
            None => Err(Box::new(alert)),
        }
    }

    /// Waits until every alert that was taken is delivered.
    pub fn finish(mut self) {
        self.end();
    }

    fn end(&mut self) {
        self.queue = None;
        if let Some(worker) = self.worker.take() {
            // A worker that panicked has said so on standard error.
            let _ = worker.join();
        }
    }
}

impl Drop for Executables {
    fn drop(&mut self) {
        self.end();
    }
}

fn work(waiting: &Receiver<Alert>, deliver: &impl Fn(Alert)) {
    let mut known = HashMap::new();
    while let Ok(mut alert) = waiting.recv() {
        // The process that did it; its parents are shells and runtimes, whose files are rarely in question.
        if let Some(process) = alert.processes.first_mut() {
            process.sha256 = hash(process.task, process.executable_id, &mut known);
        }
        deliver(alert);
    }
}

/// The hash of what the process executes, if that is still the file that was seen.
fn hash(task: Task, seen: FileId, known: &mut HashMap<Version, String>) -> Option<String> {
    let mut file = File::open(format!("/proc/{}/exe", task.process)).ok()?;
    let metadata = file.metadata().ok()?;
    // The number may be another process's by now; overlay reports another device than the layer below, so the inode decides.
    if !metadata.is_file() || metadata.len() > LARGEST || metadata.ino() != seen.inode {
        return None;
    }
    let version = Version {
        device: metadata.dev(),
        inode: metadata.ino(),
        size: metadata.len(),
        changed: (metadata.ctime(), metadata.ctime_nsec()),
    };
    if let Some(hash) = known.get(&version) {
        return Some(hash.clone());
    }
    let mut digest = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => digest.update(&buffer[..read]),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => return None,
        }
    }
    let mut text = String::with_capacity(64);
    for byte in digest.finalize() {
        let _ = write!(text, "{byte:02x}");
    }
    if known.len() >= KEPT {
        known.clear();
    }
    known.insert(version, text.clone());
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own() -> (Task, FileId) {
        let metadata = std::fs::metadata("/proc/self/exe").expect("this process executes a file");
        let task = Task { process: std::process::id(), ..Task::default() };
        (task, FileId { device: (0, 0), inode: metadata.ino() })
    }

    #[test]
    fn the_hash_is_that_of_the_bytes_on_disk() {
        let (task, id) = own();
        let bytes = std::fs::read("/proc/self/exe").expect("readable");
        let expected = Sha256::digest(&bytes).iter().map(|b| format!("{b:02x}")).collect::<String>();
        let mut known = HashMap::new();
        assert_eq!(hash(task, id, &mut known), Some(expected.clone()));
        assert_eq!(known.len(), 1);
        assert_eq!(hash(task, id, &mut known), Some(expected));
    }

    #[test]
    fn a_process_number_that_came_round_has_no_hash() {
        let (task, id) = own();
        let other = FileId { inode: id.inode + 1, ..id };
        assert_eq!(hash(task, other, &mut HashMap::new()), None);
        let gone = Task { process: u32::MAX, ..task };
        assert_eq!(hash(gone, id, &mut HashMap::new()), None);
    }
}

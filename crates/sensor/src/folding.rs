//! Repeats that were counted in the kernel instead of being sent. A thread swaps the kernel's two maps at intervals and
//! reads the one that was taken out; the sensor makes events of the counts, from the first record of each key.

use std::collections::HashMap;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use libbpf_rs::{MapCore, MapFlags, MapHandle};

use crate::event::Entry;
use crate::record::Head;

/// `struct fold_key` of the programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    object: u64,
    way: u64,
    detail: u64,
    process: u32,
    pub kind: u16,
    number: u16,
}

impl Key {
    pub(crate) fn of(head: &Head) -> Option<Key> {
        if head.fold == 0 {
            return None;
        }
        let number = match head.entry {
            Entry::SystemCall(number) => number,
            Entry::Compat(number) => number + 512,
            _ => 0,
        };
        Some(Key {
            object: head.fold,
            way: head.fold_way,
            detail: *head.arguments.last()?,
            process: head.actor.task.process,
            kind: head.kind,
            number: u16::try_from(number).ok()?,
        })
    }

    fn read(bytes: &[u8]) -> Option<Key> {
        Some(Key {
            object: u64::from_le_bytes(bytes.get(..8)?.try_into().ok()?),
            way: u64::from_le_bytes(bytes.get(8..16)?.try_into().ok()?),
            detail: u64::from_le_bytes(bytes.get(16..24)?.try_into().ok()?),
            process: u32::from_le_bytes(bytes.get(24..28)?.try_into().ok()?),
            kind: u16::from_le_bytes(bytes.get(28..30)?.try_into().ok()?),
            number: u16::from_le_bytes(bytes.get(30..32)?.try_into().ok()?),
        })
    }
}

/// `struct fold` of the programs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Count {
    pub count: u64,
    pub container: u64,
}

impl Count {
    fn read(bytes: &[u8]) -> Option<Count> {
        let number = |at: usize| Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
        Some(Count { count: number(0)?, container: number(8)? })
    }
}

/// Counts of one window, and when it ended, nanoseconds since boot.
pub(crate) struct Batch {
    pub until: u64,
    pub counts: Vec<(Key, Count)>,
}

/// The thread that swaps, and what it read.
pub(crate) struct Folding {
    batches: Receiver<Batch>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    /// First records of keys, since the batches before were told and before that.
    now: HashMap<Key, Box<[u8]>>,
    before: HashMap<Key, Box<[u8]>>,
}

struct Swapper {
    /// The programs' variable that says which map is in use.
    turn: MapHandle,
    /// An array of maps, whose updates wait for the programs that run.
    wait: MapHandle,
    maps: [MapHandle; 2],
    active: usize,
    batches: Sender<Batch>,
}

impl Swapper {
    fn swap(&mut self) {
        let next = 1 - self.active;
        let Some(out) = self.maps.get(self.active) else { return };
        // Nothing was met in this window: waiting for the programs would be for nothing.
        if out.keys().next().is_none() {
            return;
        }
        let until = crate::loader::boot_time();
        let key = 0u32.to_ne_bytes();
        if self.turn.update(&key, &(next as u64).to_ne_bytes(), MapFlags::ANY).is_err() {
            return;
        }
        self.active = next;
        let fd = out.as_fd().as_raw_fd();
        if self.wait.update(&key, &fd.to_ne_bytes(), MapFlags::ANY).is_err() {
            // Without the wait a program may still count in the map: what it holds is told with the next window's.
            return;
        }
        let keys: Vec<Vec<u8>> = out.keys().collect();
        let mut counts = Vec::new();
        for bytes in keys {
            let value = out.lookup(&bytes, MapFlags::ANY).ok().flatten();
            if let (Some(key), Some(count)) = (Key::read(&bytes), value.and_then(|v| Count::read(&v)))
                && count.count > 0
            {
                counts.push((key, count));
            }
            let _ = out.delete(&bytes);
        }
        // The receiver may be gone while the sensor stops.
        let _ = self.batches.send(Batch { until, counts });
    }
}

impl Folding {
    pub(crate) fn start(
        turn: MapHandle,
        wait: MapHandle,
        maps: [MapHandle; 2],
        window: Duration,
    ) -> std::io::Result<Folding> {
        let (sender, batches) = channel();
        let stop = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&stop);
        let mut swapper = Swapper { turn, wait, maps, active: 0, batches: sender };
        let thread = std::thread::Builder::new().name("sensor-fold".to_owned()).spawn(move || {
            while !seen.load(Ordering::Acquire) {
                std::thread::park_timeout(window);
                swapper.swap();
            }
            // What came since, and what the last swap let in.
            swapper.swap();
        })?;
        Ok(Folding { batches, stop, thread: Some(thread), now: HashMap::new(), before: HashMap::new() })
    }

    /// Keeps the first record of a key.
    pub(crate) fn keep(&mut self, key: Key, bytes: &[u8]) {
        self.now.insert(key, bytes.into());
    }

    /// Batches that were read. The rings are to be drained after this and before [`Folding::first`], so that the first
    /// record of each key has come.
    pub(crate) fn take(&mut self) -> Vec<Batch> {
        self.batches.try_iter().collect()
    }

    pub(crate) fn first(&self, key: &Key) -> Option<&[u8]> {
        self.now.get(key).or_else(|| self.before.get(key)).map(|bytes| &**bytes)
    }

    /// The batches taken were told: records older than those before them are forgotten.
    pub(crate) fn told(&mut self) {
        self.before = std::mem::take(&mut self.now);
    }

    /// Ends the thread after a last swap.
    pub(crate) fn stop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            let _ = thread.join();
        }
    }
}

impl Drop for Folding {
    fn drop(&mut self) {
        self.stop();
    }
}

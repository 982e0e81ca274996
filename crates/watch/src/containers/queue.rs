//! A queue with an end: who puts into it never waits, and what does not fit is counted.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The lock, also where a thread that held it has panicked: what it guards is changed in single steps.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(super) struct Queue<T> {
    items: Mutex<Items<T>>,
    filled: Condvar,
    most: usize,
}

struct Items<T> {
    waiting: VecDeque<T>,
    /// Since it was last asked.
    refused: u64,
}

impl<T> Queue<T> {
    pub(super) fn new(most: usize) -> Queue<T> {
        let items = Items { waiting: VecDeque::new(), refused: 0 };
        Queue { items: Mutex::new(items), filled: Condvar::new(), most }
    }

    /// False where it is full.
    pub(super) fn push(&self, item: T) -> bool {
        let mut items = lock(&self.items);
        if items.waiting.len() >= self.most {
            items.refused += 1;
            return false;
        }
        items.waiting.push_back(item);
        drop(items);
        self.filled.notify_one();
        true
    }

    /// The next one, or nothing within the time.
    pub(super) fn pop(&self, wait: Duration) -> Option<T> {
        let items = lock(&self.items);
        let empty = |items: &mut Items<T>| items.waiting.is_empty();
        let (mut items, _) =
            self.filled.wait_timeout_while(items, wait, empty).unwrap_or_else(PoisonError::into_inner);
        items.waiting.pop_front()
    }

    /// All that wait.
    pub(super) fn drain(&self) -> Vec<T> {
        lock(&self.items).waiting.drain(..).collect()
    }

    pub(super) fn is_empty(&self) -> bool {
        lock(&self.items).waiting.is_empty()
    }

    /// How many did not fit since this was last asked.
    pub(super) fn take_refused(&self) -> u64 {
        std::mem::take(&mut lock(&self.items).refused)
    }

    pub(super) fn wake(&self) {
        self.filled.notify_all();
    }
}

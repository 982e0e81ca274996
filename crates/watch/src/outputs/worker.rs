//! One thread for one output: takes records from its queue, sends them, and tries again where the other side is away.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::{Failure, Filter, Output, OutputError};
use crate::alert::Severity;
use crate::store::{Queue, Record};

/// The first wait after a failure; each further one is twice as long, up to the last.
const FIRST_WAIT: Duration = Duration::from_millis(500);
const LAST_WAIT: Duration = Duration::from_secs(60);
/// While closing, the other side is asked this often.
const CLOSING_WAIT: Duration = Duration::from_millis(100);
/// How often an output with nothing to do is given the time of day.
const IDLE: Duration = Duration::from_secs(1);
/// One for each severity, the highest first, and one for all that is no alert.
const CLASSES: usize = Severity::ALL.len() + 1;

/// How one output fares.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OutputStatus {
    pub name: String,
    pub waiting: usize,
    pub capacity: usize,
    pub sent: u64,
    /// For lack of room, or left when time was up.
    pub dropped: u64,
    /// Those that the other side will never take.
    pub refused: u64,
    pub retries: u64,
    /// Why the last attempt failed; None while it works.
    pub failing: Option<String>,
}

pub(super) struct Worker {
    shared: Arc<Shared>,
    /// In a mutex because several threads offer, though only the last waits.
    ended: Mutex<Receiver<()>>,
}

struct Shared {
    queue: Queue<Arc<Record>>,
    takes: Filter,
    name: String,
    sent: AtomicU64,
    left: AtomicU64,
    refused: AtomicU64,
    retries: AtomicU64,
    held: AtomicU64,
    failing: Mutex<Option<String>>,
    reopen: AtomicBool,
    until: Mutex<Option<Instant>>,
}

impl Worker {
    pub(super) fn start(
        mut output: impl Output + 'static,
        queue: usize,
        name: String,
    ) -> Result<Worker, OutputError> {
        // What an output takes is asked by the giver: what it does not take never fills its queue.
        let filter = output.filter();
        let shared = Arc::new(Shared {
            queue: Queue::new(CLASSES, queue),
            takes: filter,
            name: name.clone(),
            sent: AtomicU64::new(0),
            left: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            retries: AtomicU64::new(0),
            held: AtomicU64::new(0),
            failing: Mutex::new(None),
            reopen: AtomicBool::new(false),
            until: Mutex::new(None),
        });
        let (end, ended) = channel();
        let of_thread = shared.clone();
        thread::Builder::new()
            .name("output".into())
            .spawn(move || {
                run(&mut output, &of_thread);
                // Nobody may be waiting any more.
                let _ = end.send(());
            })
            .map_err(|error| OutputError::Start { output: name, error })?;
        Ok(Worker { shared, ended: Mutex::new(ended) })
    }

    pub(super) fn name(&self) -> &str {
        &self.shared.name
    }

    pub(super) fn offer(&self, record: &Arc<Record>) {
        if (self.shared.takes)(record) {
            self.shared.queue.push(class(record), record.clone());
        }
    }

    pub(super) fn reopen(&self) {
        self.shared.reopen.store(true, Ordering::Relaxed);
    }

    pub(super) fn status(&self) -> OutputStatus {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let shared = &self.shared;
        OutputStatus {
            name: shared.name.clone(),
            waiting: shared.queue.len() + usize::try_from(of(&shared.held)).unwrap_or(usize::MAX),
            capacity: shared.queue.capacity(),
            sent: of(&shared.sent),
            dropped: shared.queue.dropped_in_all() + of(&shared.left),
            refused: of(&shared.refused),
            retries: of(&shared.retries),
            failing: lock(&shared.failing).clone(),
        }
    }

    pub(super) fn close(&self, until: Instant) {
        *lock(&self.shared.until) = Some(until);
        self.shared.queue.close();
    }

    /// Waits for the thread; where it hangs in a call when time is up, it is left behind.
    pub(super) fn wait(&self, until: Instant) -> OutputStatus {
        // An error means that time is up, or that the thread has ended; the status tells which.
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = ended.recv_timeout(until.saturating_duration_since(Instant::now()));
        drop(ended);
        let mut status = self.status();
        status.dropped += status.waiting as u64;
        status.waiting = 0;
        status
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The less severe makes room for the more severe.
fn class(record: &Record) -> usize {
    record.severity().map_or(CLASSES - 1, |severity| Severity::Critical as usize - severity as usize)
}

fn run(output: &mut impl Output, shared: &Shared) {
    let mut waits = Waits::default();
    loop {
        if shared.reopen.swap(false, Ordering::Relaxed) {
            output.reopen();
        }
        let records = shared.queue.take(output.batch().max(1), Duration::ZERO, IDLE);
        if records.is_empty() {
            if shared.queue.is_closed() {
                return;
            }
            note(shared, output.idle().err().as_ref());
            continue;
        }
        shared.held.store(records.len() as u64, Ordering::Relaxed);
        if !deliver(output, shared, &records, &mut waits) {
            return;
        }
        shared.held.store(0, Ordering::Relaxed);
    }
}

/// Sends until all are taken or refused. False where time is up.
fn deliver(output: &mut impl Output, shared: &Shared, records: &[Arc<Record>], waits: &mut Waits) -> bool {
    loop {
        let result = output.send(records);
        note(shared, result.as_ref().err());
        match result {
            Ok(refused) => {
                waits.reset();
                shared.refused.fetch_add(refused, Ordering::Relaxed);
                shared.sent.fetch_add((records.len() as u64).saturating_sub(refused), Ordering::Relaxed);
                return true;
            }
            // One of them may be to blame: each by itself.
            Err(Failure::Refused { .. }) if records.len() > 1 => {
                return records.iter().all(|one| deliver(output, shared, std::slice::from_ref(one), waits));
            }
            Err(Failure::Refused { .. }) => {
                shared.refused.fetch_add(1, Ordering::Relaxed);
                return true;
            }
            Err(Failure::Later { after, .. }) => {
                shared.retries.fetch_add(1, Ordering::Relaxed);
                let wait = after.map_or_else(|| waits.next(), |after| after.min(LAST_WAIT));
                if !shared.queue.wait_closed(wait) {
                    continue;
                }
                let until = *lock(&shared.until);
                let left = until.map_or(Duration::ZERO, |u| u.saturating_duration_since(Instant::now()));
                if left.is_zero() {
                    let unsent = records.len() as u64;
                    shared.left.fetch_add(unsent, Ordering::Relaxed);
                    shared.held.store(0, Ordering::Relaxed);
                    return false;
                }
                thread::sleep(CLOSING_WAIT.min(left));
            }
        }
    }
}

fn note(shared: &Shared, failure: Option<&Failure>) {
    *lock(&shared.failing) = failure.map(|failure| match failure {
        Failure::Later { why, .. } | Failure::Refused { why } => why.clone(),
    });
}

/// Exponential back-off with full jitter: many senders do not come back at one time.
#[derive(Default)]
struct Waits {
    failures: u32,
}

impl Waits {
    fn reset(&mut self) {
        self.failures = 0;
    }

    fn next(&mut self) -> Duration {
        let longest = FIRST_WAIT.saturating_mul(1 << self.failures.min(16)).min(LAST_WAIT);
        self.failures += 1;
        // From half of it to all of it.
        let random = RandomState::new().build_hasher().finish() % 1000;
        longest / 2 + longest / 2 * u32::try_from(random).unwrap_or(0) / 1000
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outputs::testing::eventually;
    use crate::store::samples;

    /// Fails so often before it works; hangs where told to.
    struct Flaky {
        failures: u32,
        hang: bool,
        refuse_low: bool,
        taken: Arc<Mutex<Vec<Severity>>>,
    }

    impl Output for Flaky {
        fn name(&self) -> String {
            "flaky".into()
        }
        fn filter(&self) -> crate::outputs::Filter {
            Box::new(|record| record.severity().is_some())
        }
        fn batch(&self) -> usize {
            4
        }
        fn send(&mut self, records: &[Arc<Record>]) -> Result<u64, Failure> {
            if self.hang {
                thread::sleep(Duration::from_secs(3600));
            }
            if self.failures > 0 {
                self.failures -= 1;
                return Err(Failure::Later { why: "away".into(), after: Some(Duration::from_millis(1)) });
            }
            if self.refuse_low && records.iter().any(|r| r.severity() == Some(Severity::Low)) {
                return Err(Failure::Refused { why: "too low".into() });
            }
            lock(&self.taken).extend(records.iter().filter_map(|r| r.severity()));
            Ok(0)
        }
    }

    fn start(failures: u32, hang: bool, refuse_low: bool) -> (Worker, Arc<Mutex<Vec<Severity>>>) {
        let taken = Arc::<Mutex<Vec<Severity>>>::default();
        (
            Worker::start(Flaky { failures, hang, refuse_low, taken: taken.clone() }, 10, "flaky".into())
                .unwrap(),
            taken,
        )
    }

    fn give(worker: &Worker, severity: Severity) {
        worker.offer(&Arc::new(crate::alert::Alert { severity, ..samples::attempt() }.into()));
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(10)
    }

    #[test]
    fn a_record_is_sent_again_until_it_is_taken_and_the_retries_are_counted() {
        let (worker, taken) = start(3, false, false);
        give(&worker, Severity::High);
        eventually("it is sent", || worker.status().sent == 1);
        assert_eq!((worker.status().retries, worker.status().failing), (3, None));
        assert_eq!(*lock(&taken), [Severity::High]);
    }

    #[test]
    fn of_a_batch_only_what_is_refused_is_given_up() {
        let (worker, taken) = start(0, false, true);
        for severity in [Severity::High, Severity::Low, Severity::Info] {
            give(&worker, severity);
        }
        let until = soon();
        worker.close(until);
        let status = worker.wait(until);
        assert_eq!((status.sent, status.refused, status.dropped), (2, 1, 0));
        assert_eq!(*lock(&taken), [Severity::High, Severity::Info]);
    }

    #[test]
    fn an_output_that_hangs_delays_nobody_keeps_the_severest_and_counts_the_rest() {
        let (worker, _) = start(0, true, false);
        give(&worker, Severity::Info);
        eventually("it hangs", || worker.status().waiting == 1 && worker.shared.queue.is_empty());
        let began = Instant::now();
        for _ in 0..100 {
            give(&worker, Severity::Low);
        }
        for _ in 0..10 {
            give(&worker, Severity::Critical);
        }
        worker.offer(&Arc::new(Record::Heartbeat(samples::heartbeat())));
        assert!(began.elapsed() < Duration::from_millis(500));
        assert_eq!(worker.status().dropped, 100);
        let until = Instant::now() + Duration::from_millis(200);
        worker.close(until);
        let status = worker.wait(until);
        assert!(began.elapsed() < Duration::from_secs(5), "closing waits for a bounded time");
        assert_eq!((status.sent, status.dropped, status.waiting), (0, 111, 0));
    }

    #[test]
    fn closing_sends_what_waits_when_the_other_side_comes_back_in_time() {
        let (worker, _) = start(5, false, false);
        for _ in 0..6 {
            give(&worker, Severity::Medium);
        }
        let until = soon();
        worker.close(until);
        let status = worker.wait(until);
        assert_eq!((status.sent, status.dropped), (6, 0));
    }

    #[test]
    fn closing_gives_up_on_the_other_side_when_time_is_up() {
        let (worker, _) = start(u32::MAX, false, false);
        give(&worker, Severity::Medium);
        let until = Instant::now() + Duration::from_millis(300);
        worker.close(until);
        let status = worker.wait(until + Duration::from_secs(5));
        assert_eq!((status.sent, status.dropped), (0, 1));
    }

    #[test]
    fn waits_grow_to_a_bound_and_are_not_all_alike() {
        let mut waits = Waits::default();
        let mut longest = FIRST_WAIT;
        for _ in 0..20 {
            let wait = waits.next();
            assert!(wait >= longest / 2 && wait <= longest, "{wait:?} of {longest:?}");
            longest = (longest * 2).min(LAST_WAIT);
        }
        let some: std::collections::BTreeSet<Duration> = (0..20).map(|_| waits.next()).collect();
        assert!(some.len() > 1);
        waits.reset();
        assert!(waits.next() <= FIRST_WAIT);
    }
}

//! A bounded queue between whoever makes things and a thread that writes or sends them. It never makes the maker wait:
//! where it is full, the oldest of the least precious class makes room, or what came is dropped; both are counted.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Things wait in the order they came, whatever their class. Class 0 is the most precious.
#[derive(Debug)]
pub struct Queue<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
    capacity: usize,
}

#[derive(Debug)]
struct State<T> {
    classes: Vec<VecDeque<(u64, T)>>,
    length: usize,
    /// Counts what came, for the order between classes.
    came: u64,
    dropped: Vec<u64>,
    closed: bool,
}

impl<T> Queue<T> {
    /// A queue of so many classes for so many things in all.
    pub fn new(classes: usize, capacity: usize) -> Queue<T> {
        let state = State {
            classes: (0..classes.max(1)).map(|_| VecDeque::new()).collect(),
            length: 0,
            came: 0,
            dropped: vec![0; classes.max(1)],
            closed: false,
        };
        Queue { state: Mutex::new(state), changed: Condvar::new(), capacity: capacity.max(1) }
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        // The state is whole after every statement, so that a thread that panicked with it leaves it usable.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts one in, and never waits for room. False where something was dropped for it, or it itself was.
    pub fn push(&self, class: usize, thing: T) -> bool {
        self.push_and(class, thing, || ())
    }

    /// As [`Queue::push`], with something done in the same order as the things come.
    pub fn push_and(&self, class: usize, thing: T, also: impl FnOnce()) -> bool {
        let mut state = self.lock();
        also();
        let class = class.min(state.classes.len() - 1);
        let mut whole = true;
        if state.length >= self.capacity || state.closed {
            whole = false;
            let victim = (class..state.classes.len())
                .rev()
                .find(|&c| c > class && state.classes.get(c).is_some_and(|q| !q.is_empty()));
            match victim {
                Some(victim) if !state.closed => {
                    if let Some(queue) = state.classes.get_mut(victim) {
                        queue.pop_front();
                    }
                    state.length -= 1;
                    state.count_dropped(victim, 1);
                }
                _ => {
                    state.count_dropped(class, 1);
                    return false;
                }
            }
        }
        let order = state.came;
        state.came += 1;
        if let Some(queue) = state.classes.get_mut(class) {
            queue.push_back((order, thing));
            state.length += 1;
        }
        drop(state);
        self.changed.notify_one();
        whole
    }

    /// Waits for the first, at most `idle`; then for more, until there are `most` or `gather` has gone by since.
    /// Empty when nothing came, or the queue is closed and empty.
    pub fn take(&self, most: usize, gather: Duration, idle: Duration) -> Vec<T> {
        let mut state = self.lock();
        let until = Instant::now() + idle;
        while state.length == 0 && !state.closed {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Vec::new();
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        let until = Instant::now() + gather;
        while state.length < most && !state.closed {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        let mut taken = Vec::with_capacity(most.min(state.length));
        while taken.len() < most {
            let first = (0..state.classes.len())
                .filter_map(|c| state.classes.get(c).and_then(|q| q.front()).map(|(order, _)| (*order, c)))
                .min();
            let Some((_, class)) = first else { break };
            if let Some((_, thing)) = state.classes.get_mut(class).and_then(VecDeque::pop_front) {
                state.length -= 1;
                taken.push(thing);
            }
        }
        taken
    }

    /// Waits so long, or until the queue is closed, which it tells.
    pub fn wait_closed(&self, time: Duration) -> bool {
        let mut state = self.lock();
        let until = Instant::now() + time;
        while !state.closed {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        state.closed
    }

    /// Nothing more is taken in; whoever waits is woken.
    pub fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    pub fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// What waits, by class, with nothing coming or going while `also` looks.
    pub fn while_still<R>(&self, also: impl FnOnce(&[usize]) -> R) -> R {
        let state = self.lock();
        let lengths: Vec<usize> = state.classes.iter().map(VecDeque::len).collect();
        also(&lengths)
    }

    pub fn len(&self) -> usize {
        self.lock().length
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// What was dropped since the queue was made, by class.
    pub fn dropped(&self) -> Vec<u64> {
        self.lock().dropped.clone()
    }

    /// What was dropped since the queue was made.
    pub fn dropped_in_all(&self) -> u64 {
        self.lock().dropped.iter().sum()
    }
}

impl<T> State<T> {
    fn count_dropped(&mut self, class: usize, count: u64) {
        if let Some(dropped) = self.dropped.get_mut(class) {
            *dropped += count;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: Duration = Duration::ZERO;

    #[test]
    fn what_is_precious_pushes_out_what_is_not_and_both_are_counted() {
        let queue = Queue::new(2, 3);
        assert!(queue.push(1, "bulk 1"));
        assert!(queue.push(0, "alert 1"));
        assert!(queue.push(1, "bulk 2"));
        assert!(!queue.push(0, "alert 2"), "bulk 1 made room");
        assert!(!queue.push(1, "bulk 3"), "no room for bulk");
        assert!(!queue.push(0, "alert 3"), "bulk 2 made room");
        assert!(!queue.push(0, "alert 4"), "nothing less precious is left");
        assert_eq!(queue.take(9, NOW, NOW), ["alert 1", "alert 2", "alert 3"]);
        assert_eq!(queue.dropped(), [1, 3]);
    }

    #[test]
    fn a_closed_queue_takes_nothing_in_and_gives_what_it_holds() {
        let queue = Queue::new(1, 3);
        queue.push(0, 1);
        queue.close();
        assert!(!queue.push(0, 2));
        assert_eq!(queue.take(9, Duration::from_secs(9), Duration::from_secs(9)), [1]);
        assert!(queue.take(9, Duration::from_secs(9), Duration::from_secs(9)).is_empty());
        assert_eq!(queue.dropped_in_all(), 1);
    }

    proptest! {
        #[test]
        fn every_thing_is_taken_in_order_or_counted_and_none_goes_before_a_lesser(
            capacity in 1usize..8,
            steps in proptest::collection::vec((0usize..3, 0usize..4), 0..200),
        ) {
            let queue = Queue::new(3, capacity);
            let mut came = [0u64; 3];
            let mut taken: Vec<(usize, u64)> = Vec::new();
            for (number, (class, take)) in steps.iter().enumerate() {
                let lesser_waits = queue.lock().classes.iter().skip(class + 1).any(|q| !q.is_empty());
                let before = queue.dropped();
                queue.push(*class, (*class, number as u64));
                came[*class] += 1;
                prop_assert!(queue.len() <= capacity);
                prop_assert!(!(lesser_waits && queue.dropped()[*class] > before[*class]));
                taken.extend(queue.take(*take, NOW, NOW));
            }
            taken.extend(queue.take(usize::MAX >> 1, NOW, NOW));
            prop_assert!(taken.windows(2).all(|w| w[0].1 < w[1].1));
            for (class, came) in came.into_iter().enumerate() {
                let out = taken.iter().filter(|t| t.0 == class).count() as u64;
                prop_assert_eq!(out + queue.dropped()[class], came);
            }
        }
    }
}

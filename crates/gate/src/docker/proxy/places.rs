//! How many connections are open, in all and of each user: one caller must not keep the others out.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

#[derive(Clone, Debug)]
pub(super) struct Places {
    most: usize,
    most_of_one: usize,
    taken: Arc<Mutex<Taken>>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    of: HashMap<Option<u32>, usize>,
}

/// Held as long as a connection is open.
#[derive(Debug)]
pub(super) struct Place {
    uid: Option<u32>,
    taken: Arc<Mutex<Taken>>,
}

impl Places {
    pub(super) fn new(most: usize, most_of_one: usize) -> Places {
        Places { most, most_of_one, taken: Arc::default() }
    }

    pub(super) fn take(&self, uid: Option<u32>) -> Option<Place> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let of_one = taken.of.get(&uid).copied().unwrap_or(0);
        if taken.all >= self.most || of_one >= self.most_of_one {
            return None;
        }
        taken.all += 1;
        taken.of.insert(uid, of_one + 1);
        Some(Place { uid, taken: self.taken.clone() })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.all -= 1;
        if let Some(count) = taken.of.get_mut(&self.uid) {
            *count -= 1;
            if *count == 0 {
                taken.of.remove(&self.uid);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_user_leaves_places_for_others_and_a_place_given_back_is_free() {
        let places = Places::new(3, 2);
        let first = places.take(Some(1)).unwrap();
        let _second = places.take(Some(1)).unwrap();
        assert!(places.take(Some(1)).is_none());
        let _other = places.take(Some(2)).unwrap();
        assert!(places.take(Some(3)).is_none(), "all are taken");
        drop(first);
        assert!(places.take(Some(3)).is_some());
    }
}

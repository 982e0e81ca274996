//! Accounts of what was lost: read from the programs' counters, told as windows of blindness.

use std::collections::HashMap;

use libbpf_rs::{MapCore, MapFlags, MapHandle};
use serde::{Deserialize, Serialize};

use crate::event::{ContainerKey, Lane, What};
use crate::kinds::{self, Kind};

/// What was sent, folded and lost since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stats {
    /// Records that the programs put into the buffers, by lane and kind.
    pub sent: Vec<(Lane, String, u64)>,
    /// Repeats that were counted instead of being sent, by kind; those told so far.
    pub folded: Vec<(String, u64)>,
    /// Events that found no room, by lane, kind and container.
    pub lost: Vec<(Lane, String, Option<ContainerKey>, u64)>,
    /// Events given out by [`crate::Sensor::poll`], and bytes read for them.
    pub delivered: u64,
    pub bytes: u64,
    /// Records that could not be read: a fault of the sensor itself.
    pub broken: u64,
    /// Entries in the maps of the programs now, and how many there may be: name, used, room.
    pub maps: Vec<(String, u64, u64)>,
    /// Times that a map was full: threads, containers, repeats. Threads without an entry are not told of as members.
    pub map_full: [u64; 3],
}

impl Stats {
    pub fn lost_events(&self) -> u64 {
        self.lost.iter().map(|row| row.3).sum()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct LossKey {
    pub container: u64,
    pub kind: u16,
    pub lane: u16,
}

#[derive(Clone, Copy, Debug, Default)]
struct Loss {
    count: u64,
    first: u64,
    last: u64,
}

fn number(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..at + 8).and_then(|b| b.try_into().ok()).map_or(0, u64::from_le_bytes)
}

/// The programs' counters of loss, and what of them was told.
pub(crate) struct Accounts {
    map: MapHandle,
    told: HashMap<LossKey, u64>,
    read_at: u64,
}

impl Accounts {
    pub(crate) fn new(map: MapHandle) -> Accounts {
        Accounts { map, told: HashMap::new(), read_at: 0 }
    }

    fn read(&self) -> Vec<(LossKey, Loss)> {
        let mut all = Vec::new();
        for bytes in self.map.keys() {
            let key = LossKey {
                container: number(&bytes, 0),
                kind: bytes.get(8..10).and_then(|b| b.try_into().ok()).map_or(0, u16::from_le_bytes),
                lane: bytes.get(10..12).and_then(|b| b.try_into().ok()).map_or(0, u16::from_le_bytes),
            };
            let Ok(Some(values)) = self.map.lookup_percpu(&bytes, MapFlags::ANY) else { continue };
            let mut sum = Loss::default();
            for value in values {
                let (count, first, last) = (number(&value, 0), number(&value, 8), number(&value, 16));
                if count == 0 {
                    continue;
                }
                sum.count += count;
                sum.first = if sum.first == 0 { first } else { sum.first.min(first) };
                sum.last = sum.last.max(last);
            }
            all.push((key, sum));
        }
        all
    }

    /// What was lost since the last call, as windows.
    pub(crate) fn blind(&mut self, now: u64) -> Vec<(LossKey, u64, u64, u64)> {
        let mut windows = Vec::new();
        for (key, loss) in self.read() {
            let told = self.told.entry(key).or_default();
            if loss.count > *told {
                windows.push((key, loss.first.max(self.read_at), loss.last, loss.count - *told));
                *told = loss.count;
            }
        }
        self.read_at = now;
        windows
    }

    pub(crate) fn lost(&self) -> Vec<(Lane, String, Option<ContainerKey>, u64)> {
        let mut rows: Vec<_> = self
            .read()
            .into_iter()
            .map(|(key, loss)| {
                (lane(key.lane), kinds::name_of_number(key.kind), container(key.container), loss.count)
            })
            .collect();
        rows.sort_by_key(|row| std::cmp::Reverse(row.3));
        rows
    }
}

pub(crate) fn lane(number: u16) -> Lane {
    if number == 0 { Lane::Rare } else { Lane::Bulk }
}

pub(crate) fn container(key: u64) -> Option<ContainerKey> {
    (key != 0).then_some(ContainerKey(key))
}

pub(crate) fn blind(key: LossKey, from: u64, until: u64, lost: u64) -> What {
    What::Blind {
        from,
        until,
        lane: lane(key.lane),
        kind: kinds::name_of_number(key.kind),
        container: container(key.container),
        lost,
    }
}

/// The programs' counters of records sent: two times as many as there are kinds, the rare lane's first.
pub(crate) fn sent(map: &MapHandle) -> Vec<(Lane, String, u64)> {
    const KINDS: u32 = 128;
    let mut rows = Vec::new();
    for slot in 0..2 * KINDS {
        let Ok(Some(values)) = map.lookup_percpu(&slot.to_ne_bytes(), MapFlags::ANY) else { continue };
        let sum: u64 = values.iter().map(|value| number(value, 0)).sum();
        let Some(kind) = Kind::from_number((slot % KINDS) as u16) else { continue };
        if sum > 0 {
            rows.push((lane((slot / KINDS) as u16), kind.name().to_owned(), sum));
        }
    }
    rows
}

/// How many entries a hash map has.
pub(crate) fn used(map: &MapHandle) -> (u64, u64) {
    (map.keys().count() as u64, u64::from(map.max_entries()))
}

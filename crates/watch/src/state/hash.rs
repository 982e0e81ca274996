//! A quick hash for numbers (thread ids, descriptors) that a capture or a process chooses: multiplied by a number
//! that differs in every run, so that nobody can choose ones that collide.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher, RandomState};

pub(super) type NumberMap<K, V> = HashMap<K, V, Seed>;

#[derive(Clone, Copy, Debug)]
pub(super) struct Seed(u64);

impl Default for Seed {
    fn default() -> Self {
        // Odd, so that multiplying loses nothing.
        static SEED: std::sync::LazyLock<u64> =
            std::sync::LazyLock::new(|| RandomState::new().hash_one(0) | 1);
        Seed(*SEED)
    }
}

impl BuildHasher for Seed {
    type Hasher = NumberHasher;

    #[inline]
    fn build_hasher(&self) -> NumberHasher {
        NumberHasher { seed: self.0, hash: 0 }
    }
}

pub(super) struct NumberHasher {
    seed: u64,
    hash: u64,
}

impl Hasher for NumberHasher {
    #[inline]
    fn finish(&self) -> u64 {
        self.hash
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    #[inline]
    fn write_u64(&mut self, number: u64) {
        let product = u128::from(self.hash ^ number).wrapping_mul(u128::from(self.seed));
        self.hash = (product >> 64) as u64 ^ product as u64;
    }

    #[inline]
    fn write_i64(&mut self, number: i64) {
        self.write_u64(number as u64);
    }

    #[inline]
    fn write_u32(&mut self, number: u32) {
        self.write_u64(number.into());
    }
}

//! A fact: one observed or assumed property of a subject, with the place it was learnt from.
//!
//! Readers (`sources`) make facts, `techniques` weighs them, `report` prints where they came from.
//! Two facts are equal when their *values* are equal: where a thing was written does not change what a
//! container can do, and equal confinements are judged once.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// A span in a file, for excerpts and for findings. Lines and columns count from 1, columns in characters.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Place {
    /// The file as the user named it; `-` is standard input.
    pub path: Arc<str>,
    pub line: u32,
    pub column: u32,
    /// How many characters of that line the fact covers; 0 where it is not known.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub length: u32,
}

fn is_zero(n: &u32) -> bool {
    *n == 0
}

impl Place {
    pub fn new(path: &Arc<str>, line: u32, column: u32, length: u32) -> Place {
        Place { path: path.clone(), line, column, length }
    }
}

/// Where a fact was learnt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Origin {
    /// Written in a file.
    File(Place),
    /// What the engine (or kubelet, or kernel) does where nothing else is said.
    EngineDefault { engine: Arc<str> },
    /// Read from a live kernel, process or engine: what was read, such as `/proc/812/status` or
    /// `docker inspect web`.
    Measurement { what: Arc<str> },
    /// Taken for granted because nothing says otherwise; the reason is printed with the verdict.
    Assumption { why: Arc<str> },
    /// Nothing said anything.
    Nowhere,
}

impl Origin {
    pub fn engine(name: &str) -> Origin {
        Origin::EngineDefault { engine: name.into() }
    }
    pub fn measured(what: impl Into<Arc<str>>) -> Origin {
        Origin::Measurement { what: what.into() }
    }
    pub fn assumed(why: impl Into<Arc<str>>) -> Origin {
        Origin::Assumption { why: why.into() }
    }
    /// The place in a file, where the origin is one.
    pub fn place(&self) -> Option<&Place> {
        match self {
            Origin::File(place) => Some(place),
            _ => None,
        }
    }
}

/// A value that may be unknown, with its origin. `value: None` means unknown, which is not `false`.
#[derive(Clone, Debug)]
pub struct Fact<T> {
    pub value: Option<T>,
    pub origin: Origin,
}

impl<T> Fact<T> {
    pub fn known(value: T, origin: Origin) -> Fact<T> {
        Fact { value: Some(value), origin }
    }
    pub fn unknown(origin: Origin) -> Fact<T> {
        Fact { value: None, origin }
    }
    pub fn is_known(&self) -> bool {
        self.value.is_some()
    }
    pub fn get(&self) -> Option<&T> {
        self.value.as_ref()
    }
    pub fn map<U>(&self, f: impl FnOnce(&T) -> U) -> Fact<U> {
        Fact { value: self.value.as_ref().map(f), origin: self.origin.clone() }
    }
    /// The truth of a predicate over the value; unknown stays unknown.
    pub fn is(&self, f: impl FnOnce(&T) -> bool) -> Truth {
        match &self.value {
            Some(v) => Truth::from(f(v)),
            None => Truth::Unknown,
        }
    }
}

impl<T> Default for Fact<T> {
    fn default() -> Fact<T> {
        Fact { value: None, origin: Origin::Nowhere }
    }
}

impl<T: PartialEq> PartialEq for Fact<T> {
    fn eq(&self, other: &Fact<T>) -> bool {
        self.value == other.value
    }
}
impl<T: Eq> Eq for Fact<T> {}
impl<T: Hash> Hash for Fact<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.value.hash(state);
    }
}

/// Kleene's three truth values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Truth {
    False,
    Unknown,
    True,
}

impl Truth {
    pub fn and(self, other: Truth) -> Truth {
        self.min(other)
    }
    pub fn or(self, other: Truth) -> Truth {
        self.max(other)
    }
    pub fn is_true(self) -> bool {
        self == Truth::True
    }
    pub fn is_false(self) -> bool {
        self == Truth::False
    }
    pub fn is_unknown(self) -> bool {
        self == Truth::Unknown
    }
}

impl std::ops::Not for Truth {
    type Output = Truth;
    fn not(self) -> Truth {
        match self {
            Truth::False => Truth::True,
            Truth::Unknown => Truth::Unknown,
            Truth::True => Truth::False,
        }
    }
}

impl From<bool> for Truth {
    fn from(b: bool) -> Truth {
        if b { Truth::True } else { Truth::False }
    }
}

impl From<Option<bool>> for Truth {
    fn from(b: Option<bool>) -> Truth {
        b.map_or(Truth::Unknown, Truth::from)
    }
}

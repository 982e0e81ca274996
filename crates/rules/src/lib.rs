#![forbid(unsafe_code)]
//! The Falco rule language: read, checked, compiled, matched. It does not know where events come from: whoever has
//! one answers for its fields.

pub mod ast;
mod check;
mod document;
pub mod event;
pub mod fields;
mod graph;
pub mod language;
pub mod load;
pub mod matcher;
pub mod output;
pub mod parse;
mod pattern;
pub mod problem;
mod test;
mod transform;
pub mod types;

pub use event::{Event, Network, Value};
pub use fields::{Field, FieldId};
pub use load::{Loaded, Loader, Rule, load};
pub use matcher::{Judgement, Matcher, Matching, Scratch, Selection, Switch, Which};
pub use types::EventType;

#![forbid(unsafe_code)]
//! The Falco rule language: read, checked, compiled, matched. It does not know where events come from: whoever has
//! one answers for its fields.

pub mod ast;
mod document;
pub mod event;
pub mod fields;
pub mod parse;
mod pattern;
pub mod problem;
pub mod types;

pub use event::{Event, Network, Value};
pub use fields::{Field, FieldId};
pub use types::EventType;

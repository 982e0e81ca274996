#![forbid(unsafe_code)]
//! Readers that turn files, live engines and `/proc` into subjects with their confinements. A reader says what
//! is there and where it stands; it does not judge.

mod fields;

pub mod compose;
pub mod context;
pub mod daemon;
pub mod dockerfile;
pub mod document;
pub mod engine_api;
pub mod gather;
pub mod host;
pub mod inventory;
pub mod kubernetes;
pub mod measured;
pub mod node;
pub mod oci;
pub mod options;
pub mod process;
pub mod quadlet;
pub mod run;
pub mod script;
pub mod walk;

pub use context::Context;

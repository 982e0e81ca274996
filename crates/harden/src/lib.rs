#![forbid(unsafe_code)]
//! Changes written into what a subject was read from, and trials of what a workload needs.
//!
//! A plan (from `techniques`) names a subject and its remedies. Each form of file has an editor that turns remedies
//! into [`draft`] edits of the file's own text; [`verify`] reads the edited text again, compares confinements and
//! judges anew; only then is anything shown as done, or written.

pub mod compose;
pub mod daemon;
pub mod diff;
pub mod dockerfile;
pub mod draft;
pub mod editor;
pub mod hardening;
pub mod host;
pub mod kubernetes;
pub mod live;
pub mod oci;
pub mod quadlet;
pub mod run;
pub mod tree;
pub mod trial;
pub mod verify;
pub mod write;

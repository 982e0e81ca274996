#![forbid(unsafe_code)]
//! Changes written into what a subject was read from, and trials of what a workload needs.
//!
//! A plan (from `techniques`) names a subject and its remedies. Each form of file has an editor that turns remedies
//! into [`draft`] edits of the file's own text; [`verify`] reads the edited text again, compares confinements and
//! judges anew; only then is anything shown as done, or written.

pub mod draft;
pub mod tree;
pub mod trial;

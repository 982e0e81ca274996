#![forbid(unsafe_code)]
//! The knowledge and the judgement: techniques as data, conditions over facts, the fault-tree solver, remedies
//! and severity. Confinements come in from `sources`; findings go out to `policy` and `report`. Nothing here
//! reads a file or knows a file format.

pub mod barrier;
pub mod condition;
pub mod flaw;
pub mod flaw_technique;
pub mod judge;
pub mod keep;
pub mod needs;
pub mod objects;
pub mod plan;
mod reach;
pub mod recommended;
pub mod remedy;
pub mod rows;
pub mod severity;
pub mod solver;
pub mod technique;

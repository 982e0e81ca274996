#![forbid(unsafe_code)]
//! Named standards, judged on what was written and not on what it comes to: a standard may forbid what is harmless and
//! allow what is not, and its verdict stands beside the one about escape.

pub mod pod_security;
pub mod published;

pub use pod_security::{
    ControlResult, Level, Standard, StandardError, StandardResult, Verdict, Violation, evaluate,
};

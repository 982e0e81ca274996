#![forbid(unsafe_code)]
//! What is allowed: named standards, the user's own rules, waivers, and the approved state that drift is measured from.
//! Judgements come in from `techniques`; decisions go out to the audit, to CI and to the gates.
//!
//! Standards judge what was written and not what it comes to: a standard may forbid what is harmless and allow what is
//! not, and its verdict stands beside the one about escape.

pub mod baseline;
pub mod cases;
pub mod change;
pub mod check;
pub mod cis;
mod condition_input;
pub mod decide;
pub mod doors;
pub mod pattern;
pub mod pod_security;
pub mod published;
mod reading;
pub mod rule;
pub mod standard;
pub mod waiver;

pub use decide::{Decision, EvaluationError, InPlace, Outcome, Policy, Reason, WaivedReason};
pub use doors::Doors;
pub use jiff::civil::Date;
pub use pod_security::{ControlResult, Level, StandardResult, Verdict, Violation, evaluate};
pub use reading::{ReadError, parse_date};
pub use rule::read::{NoFiles, RegoFiles};
pub use rule::{Mode, RegoFile};
pub use standard::{Standard, StandardError};
pub use waiver::{Notice, NoticeKind, Waived, Waiver, Waivers};

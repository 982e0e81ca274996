#![forbid(unsafe_code)]
//! The doors: where a container is asked for, and refused if the policy says so. A door reads what is asked for into a
//! world, as the audit reads files; [`ruling`] judges and decides it; [`record`] is what is kept of it.

pub mod docker;
pub mod kubernetes;
pub mod listen;
pub mod log;
pub mod oci;
pub mod record;
pub mod rules;
pub mod ruling;

pub use record::{Door, Record, Who};
pub use rules::{InForce, Rules};
pub use ruling::{Ruled, Ruling};

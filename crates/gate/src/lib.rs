#![forbid(unsafe_code)]
//! The doors: where a container is asked for, and refused if the policy says so.

pub mod docker;
pub mod oci;

#![forbid(unsafe_code)]
//! What confines one container: capabilities, namespaces, mounts, seccomp, LSM, devices, cgroups and the
//! host under it, as facts with their origins. Every source produces this one type; nothing here reads a
//! file or judges.

pub mod capability;
pub mod fact;
pub mod seccomp;

pub use capability::{Capability, CapabilitySet};
pub use fact::{Fact, Origin, Place, Truth};

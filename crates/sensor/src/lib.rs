//! The sensor: BPF programs in C, their loader, typed events, and exact accounts of what was lost.
//!
//! Data comes from the kernel and goes to `watch`. It knows objects (mounts, inodes, credentials), not techniques
//! or rules.
//!
//! `bpf/` holds what all programs share, `families/` the programs and their tables by what they watch. A record of the
//! programs goes through a ring buffer ([`ring`]), is taken apart ([`record`]) and becomes an [`event::Event`] in its
//! family. Without the feature `loader` only the events and their kinds are built.

pub mod event;
pub mod kinds;
mod numbers;

#[cfg(feature = "loader")]
mod accounts;
#[cfg(feature = "loader")]
mod capabilities;
#[cfg(feature = "loader")]
mod families;
#[cfg(feature = "loader")]
mod folding;
#[cfg(feature = "loader")]
mod hooks;
#[cfg(feature = "loader")]
mod loader;
#[cfg(feature = "loader")]
mod record;
// Maps the kernel's buffers into this process, which no safe interface offers.
#[cfg(feature = "loader")]
#[allow(unsafe_code)]
mod ring;

pub use kinds::Kind;
pub use numbers::{name_of as call_name, number_of as call_number};

#[cfg(feature = "loader")]
pub use accounts::Stats;
#[cfg(feature = "loader")]
pub use capabilities::Capability;
#[cfg(feature = "loader")]
pub use families::{Family, kind_of_call};
#[cfg(feature = "loader")]
pub use loader::{Error, Options, Sensor, Variant};

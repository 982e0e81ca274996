//! The sensor: BPF programs in C, their loader, typed events, and exact accounts of what was lost.
//!
//! Data comes from the kernel and goes to `watch`. It knows objects (mounts, inodes, credentials), not techniques
//! or rules.

pub mod event;

#![forbid(unsafe_code)]
//! Speed and memory: generated input goes in, figures come out. `scripts/bench` runs it against the release binary; the
//! Criterion benchmarks beside it take the same input.

pub mod gate_docker;
pub mod gate_kubernetes;
pub mod gate_oci;
pub mod input;
pub mod measure;
pub mod table;

//! The door of Kubernetes: admission.

pub mod emit;

//! The door of Kubernetes. An API server asks about each object before it keeps it ([`review`]); what is asked for is
//! judged as the audit judges the same object (`object`), and the answer goes back. [`webhook`] is the server of it.

mod object;
pub mod review;
mod rights;
mod volume;
pub mod webhook;

//! The door of Kubernetes. An API server asks about each object before it keeps it ([`review`]); what is asked for is
//! judged as the audit judges the same object (`object`), and the answer goes back. [`webhook`] is the server of it.
//! Without a webhook, [`emit`] says what CEL can say of the rules, for the API server to decide by itself.

pub mod emit;
mod object;
pub mod review;
mod rights;
mod volume;
pub mod webhook;

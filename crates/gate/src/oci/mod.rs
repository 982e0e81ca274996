//! The OCI runtime as a door: what an engine asks runc or crun to start, judged before it is started, whichever client
//! asked the engine.

pub mod invocation;

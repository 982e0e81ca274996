//! The Docker API as a door: what a request asks the daemon for, read as the daemon reads it.

mod addition;
mod chosen;
pub mod create;
pub mod engine;
#[cfg(test)]
mod false_daemon;
pub mod gate;
pub mod go_json;
mod own;
pub mod plugin;
pub mod proxy;
pub mod route;
pub mod service;
mod subject;

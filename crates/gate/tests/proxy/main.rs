//! The filtered socket: before a daemon that keeps every byte that it gets, and before the real one.
//!
//! Tests before a real daemon need `scripts/engines`; with STOCKADE_ENGINES set they must run.

#[path = "../support/http.rs"]
mod http;
mod real;
mod support;
mod wire;

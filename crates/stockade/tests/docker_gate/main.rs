//! `stockade gate docker` as the authorization plugin of a real dockerd.
//!
//! `scripts/engines` sets Docker up; where it is not there the tests say so and pass, unless STOCKADE_ENGINES is set, as
//! `make test` does.

mod failures;
mod harness;
#[path = "../../../gate/tests/support/http.rs"]
mod http;
mod proof;
mod requests;

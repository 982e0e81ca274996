#![forbid(unsafe_code)]
//! Run time: events joined with what is known of processes and containers, attempts and rule matches, alerts, the
//! store, and the outputs. Data comes from `sensor` or `capture`, and goes to the store and the outputs.

pub mod alert;
pub mod attempts;
pub mod clock;
pub mod containers;
pub mod executables;
pub mod exposure;
pub mod fields;
pub mod live;
pub mod live_rules;
pub mod matched;
pub mod outputs;
pub mod pipeline;
mod proc;
pub mod recorder;
pub mod replay;
pub mod state;
pub mod store;
pub mod surroundings;
pub mod top;
pub mod trail;

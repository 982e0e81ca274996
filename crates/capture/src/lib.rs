#![forbid(unsafe_code)]
//! Captures: `.scap` files read and written, block by block, without knowing what the events mean.
//!
//! A capture is a section header, then lists of what was there at the start (machine, interfaces, users, processes,
//! their descriptors), then the events. [`Reader`] gives it as a stream of [`Item`]s that borrow from its buffer;
//! [`Writer`] takes the same items. What a code of an event is called, and which parameters it has, is said by
//! [`table`].
//!
//! Source of the format: falcosecurity libs, `userspace/libscap/scap_savefile.h`, the reader and writer beside it,
//! and `driver/ppm_events_public.h`.

mod block;
mod bytes;
pub mod error;
pub mod event;
pub mod list;
pub mod reader;
pub mod table;
pub mod writer;

pub use bytes::Order;
pub use error::Error;
pub use event::Event;
pub use reader::{Item, Reader};
pub use writer::Writer;

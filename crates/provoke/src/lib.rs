//! The calls that a detector of `stockade watch` looks for, made without any effect: what the tests, the demonstration
//! and the virtual machine run inside containers of their own.
//!
//! [`ATTEMPTS`] is the table: one row a thing that can be tried, what is called, and why nothing comes of it. Three
//! kinds of harmlessness, and no other:
//!
//! * the kernel rejects the arguments, behind the place where a sensor sees the call and before any effect;
//! * a file is opened or a socket connected, and closed again: nothing is read or written, cut or created;
//! * what is made is the program's own (a folder of its own, a copy of itself, its own memory) and is removed.
//!
//! Nothing here leaves a container, and nothing writes to an interface of the kernel. A [`Way`] is how a call is hidden
//! from a sensor that looks at names and numbers of system calls alone.
//!
//! Data comes from the table and goes to the kernel; the answers go to standard output.

mod folder;
mod perform;
mod sys;
mod table;
mod way;

pub use perform::{Answer, perform};
pub use table::{ATTEMPTS, Attempt, find};
pub use way::Way;

#![forbid(unsafe_code)]

pub mod document;

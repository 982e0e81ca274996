#![forbid(unsafe_code)]
//! Captures: `.scap` files read and written, block by block, without knowing what the events mean.

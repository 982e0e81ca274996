#![forbid(unsafe_code)]
//! The Falco rule language: read, checked, compiled, matched. It does not know where events come from: whoever has
//! one answers for its fields.

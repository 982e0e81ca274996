#![forbid(unsafe_code)]
//! Reports: what was judged, written for a terminal, for programs and for pages. Nothing is computed here.

pub mod text;

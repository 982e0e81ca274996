//! Every format, written for one small world: against its schema, against its escaping rules, against what is kept of it.

mod cis;
mod fixture;
mod github;
mod graph;
mod harden;
mod html;
mod json;
mod judged;
mod junit;
mod sarif;

//! Command lines, units and Dockerfiles: read, remedied, edited, read again, compared.

mod dockerfiles;
mod lines;
mod random;
mod support;
mod units;

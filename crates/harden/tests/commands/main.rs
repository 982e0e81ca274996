//! Command lines, units and Dockerfiles: read, remedied, edited, read again, compared.

mod dockerfiles;
mod hostile;
mod lines;
mod planned;
mod random;
mod support;
mod units;

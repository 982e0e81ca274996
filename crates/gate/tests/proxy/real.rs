//! Before the real daemon.

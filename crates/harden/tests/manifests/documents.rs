//! Manifests of the project's own, byte by byte.

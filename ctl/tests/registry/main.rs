//! Artifacts in registries: against a real docker-registry, and against servers that lie.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod fixture;
mod hostile;
mod lies;
mod plain;
mod secured;

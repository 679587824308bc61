//! The commands that talk to a lattice, run as a person runs them, against a real nats-server and a desk that answers
//! control requests as a host does: reads what is stored, checks what is to be written, writes it in one batch.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod declared;
mod desk;
mod fixture;
mod operate;
mod revisions;
mod statements;
mod story;
mod trouble;

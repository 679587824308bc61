//! Guests that want more than they may have, one for each limit, beside an actor that goes on serving. A program of
//! its own, and one test at a time in it: what is measured is the memory of the whole process.

#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "tests"
)]

mod bombs;
mod flood;
#[path = "../runtime/guests.rs"]
mod guests;
mod neighbour;
#[path = "../runtime/peer.rs"]
mod peer;

/// Held by the test that runs.
static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

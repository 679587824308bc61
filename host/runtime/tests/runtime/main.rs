//! The engine under guests of every kind, one module for each promise. The guests are programs of their own, in
//! `tests/guests`, and are built by the first test that needs one.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "tests"
)]

mod ahead;
mod asynchronous;
mod bus;
mod cancel;
mod compiled;
mod config;
mod guests;
mod http;
mod keyvalue;
mod limits;
mod load;
mod messaging;
mod odd;
mod outgoing;
mod peer;
mod resources;
mod reuse;
mod served_keyvalue;
mod surface;
mod table;
mod versions;
mod wasi_0_3;

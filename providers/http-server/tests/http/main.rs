//! The HTTP server over real sockets.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    unreachable_pub,
    reason = "a test fails by panicking and prints what it measured"
)]

mod abuse;
mod fixture;
mod http2;
mod raw;
mod serving;
mod sharing;

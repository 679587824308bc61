//! The transport against a real nats-server, which dies with the test that started it.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a helper of a test fails it")]

mod attacks;
mod calls;
mod events;
mod faults;
mod fixture;
mod lost;
mod proxy;
mod stalls;
mod state;
mod streams;

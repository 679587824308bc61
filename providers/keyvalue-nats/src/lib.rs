//! Key-value in a JetStream bucket.
//!
//! | module | owns |
//! |---|---|
//! | [`provider`] | the provider: its links, and which connection each of them uses |
//! | [`settings`] | what its configuration and that of its links may say |
//! | `connection` | one connection to NATS for each set of credentials, and its buckets |
//! | `store` | the operations on a bucket |
//! | `counter` | increments: those that wait for the same counter become one compare-and-set |
//! | `listing` | pages of keys |
//! | [`key`] | any key as one that a bucket takes, and back |
//!
//! What is here is what other tools see: keys that a bucket takes stand in it as they are, a counter is its decimal
//! text, `nats kv get` reads both. Every wait on NATS ends: with the call's deadline, or after five seconds.

mod connection;
mod counter;
pub mod key;
mod listing;
pub mod provider;
pub mod settings;
mod store;

pub use provider::{KIND, KeyvalueNatsFactory};
pub use store::HEADROOM;

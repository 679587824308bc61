//! Key-value in Redis, or in a server that speaks its protocol.
//!
//! | module | owns |
//! |---|---|
//! | [`provider`] | the provider: its links, and which connection each of them uses |
//! | [`settings`] | what its configuration and that of its links may say |
//! | `connection` | one multiplexed connection for each server, and how long a command may take |
//! | `store` | the operations on a bucket |
//!
//! A key of a bucket stands in Redis as `<bucket>:<key>`, so that links with buckets of their own do not see each
//! other's keys. A link that names no bucket uses the keys as they are, as other tools do: what was there before is
//! found, and a listing shows all of it. A counter is its decimal text: `redis-cli get` reads it.

mod connection;
pub mod provider;
pub mod settings;
mod store;

pub use provider::{KIND, KeyvalueRedisFactory};
pub use store::MAX_VALUE;

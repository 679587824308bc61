//! Key-value on the host's own disk, in one redb file for each provider.
//!
//! | module | owns |
//! |---|---|
//! | [`provider`] | the provider: its links and their buckets |
//! | `store` | reads, in place; writes, through the writer |
//! | `writer` | the one thread that writes: many operations become one commit |
//! | `tables` | how buckets, keys and values lie in the file |
//!
//! An answer to a write means that it is on disk.

pub mod provider;
mod store;
mod tables;
mod writer;

pub use provider::{KIND, KeyvalueRedbFactory};
pub use store::MAX_VALUE;

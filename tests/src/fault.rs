//! Faults between processes that know nothing of them.
//!
//! | module | owns |
//! |---|---|
//! | [`frames`] | where one operation of the NATS protocol ends and the next begins |
//! | [`fate`] | what becomes of one of them: the pure choice, from a seed |
//! | [`proxy`] | the connections between a host and nats-server, and doing to them what was chosen |
//! | [`netns`] | a network namespace of a host's own, and the link that can be cut |
//!
//! The proxy loses, repeats and swaps whole messages, so that what arrives is always a stream that nats-server and its
//! clients can read: what is tested is what a lattice makes of it and not a parser.

pub mod fate;
pub mod frames;
pub mod netns;
pub mod proxy;

pub use fate::Conditions;
pub use netns::Namespace;
pub use proxy::{Proxy, Way};

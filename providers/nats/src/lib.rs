//! What providers whose backend is NATS have in common.
//!
//! | module | owns |
//! |---|---|
//! | [`server`] | whom a link connects to and as whom, from its configuration |
//! | `testing` | a server for tests (feature `testing`) |
//! | [`connection`] | one connection, which stays: it connects in the background and comes back by itself |
//!
//! The connection is the provider's own, with the credentials of its configuration: never those of its host.

pub mod connection;
pub mod server;
#[cfg(feature = "testing")]
pub mod testing;

pub use connection::{Connection, Late, NotConnected, within};
pub use server::ServerSettings;

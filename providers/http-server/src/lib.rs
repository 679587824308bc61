//! An HTTP server that turns requests into calls.
//!
//! It is the source of links to actors: each link says by its configuration which requests go to its target.
//!
//! | module | owns |
//! |---|---|
//! | [`provider`] | the provider: links become routes, addresses are opened and closed |
//! | [`settings`] | what its configuration and that of its links may say |
//! | `routes` | which link a request belongs to: host name, then the longest path |
//! | `sharing` | one listening socket for all hosts of a machine, handed on from host to host |
//! | `listener` | one open address: accepting, and stopping without losing anybody |
//! | `connection` | one connection: its limits in time, and its end |
//! | `exchange` | one request, the call that it becomes, and the response |
//! | `cors` | what a link says about requests that pages of other origins make |
//! | `respond` | the answers that this server gives itself |
//!
//! The call is polled in the connection's own task: nothing is spawned for a request, no lock is held for one, and a
//! client that goes away drops its call.

mod body;
mod connection;
mod cors;
mod exchange;
mod listener;
pub mod provider;
mod respond;
mod routes;
pub mod settings;
mod sharing;

pub use provider::{HttpServerFactory, KIND};

//! An HTTP server that turns requests into calls.
//!
//! It is the source of links to actors: each link says by its configuration which requests go to its target.
//!
//! | module | owns |
//! |---|---|
//! | [`provider`] | the provider: links become routes, addresses are opened and closed |
//! | [`settings`] | what its configuration and that of its links may say |
//! | [`limits`] | every limit of connections and requests, with its default |
//! | `routes` | which link a request belongs to: host name, then the longest path |
//! | `sharing` | one listening socket for all hosts of a machine, handed on from host to host |
//! | `listener` | one open address: accepting, and stopping without losing anybody |
//! | `descriptors` | how many connections the process has room for |
//! | `connection` | the connections of an address: their limits in time, their places, their ends |
//! | `head` | what the head of a request has to be, and the one form that actors see |
//! | `identify` | a request's id and trace |
//! | `exchange` | one request, the call that it becomes, and the response |
//! | `uploads`, `body` | bodies: when a call may begin, how long and how large they may be |
//! | `cors` | what a link says about requests that pages of other origins make |
//! | `respond` | the answers that this server gives itself |
//! | `counters`, `journal` | what is counted, and what is logged |
//!
//! On HTTP/1.1 the call is polled in the connection's own task: nothing is spawned for a request, no lock is held for
//! one, and a client that goes away drops its call. HTTP/2 without TLS is known by its first bytes; its requests have a
//! task each.

mod body;
mod connection;
mod cors;
mod counters;
mod descriptors;
mod exchange;
mod head;
mod identify;
mod journal;
pub mod limits;
mod listener;
pub mod provider;
mod respond;
mod routes;
pub mod settings;
mod sharing;
mod uploads;

pub use provider::{HttpServerFactory, KIND};

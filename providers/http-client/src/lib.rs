//! HTTP requests of actors to the outside: `wasi:http/outgoing-handler`, served along a link that says where they may
//! go.
//!
//! | module | owns |
//! |---|---|
//! | [`provider`] | the provider: its links, each with a client of its own |
//! | [`settings`] | what the configuration of a link may say |
//! | [`destination`] | which names and addresses a link may reach; pure |
//! | [`connect`] | connections: a name is resolved once, every address checked, and one of those connected to |
//! | `client` | one request and its answer |
//! | `body` | the body of an answer, which may not stand still |
//!
//! A request goes nowhere that its link does not name. What a name resolves to is checked as well: addresses that are
//! not public (the machine itself, its network, the metadata service of a cloud) need a permission of their own. A
//! redirect is an answer like any other; if the guest follows it, that is a request of its own, checked like the first.
//! Links do not share connections, so none profits from what another may reach.

mod body;
mod client;
pub mod connect;
pub mod destination;
pub mod provider;
pub mod settings;

pub use provider::{HttpClientFactory, KIND};

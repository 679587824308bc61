//! Messages over core NATS, both ways: what arrives on a subscription becomes a call of an actor's handler, and actors
//! publish and request.
//!
//! | module | owns |
//! |---|---|
//! | [`provider`] | the provider: its links, and which connection each of them uses |
//! | [`settings`] | what its configuration and that of its links may say |
//! | [`subject`] | which subjects can be published to and subscribed to |
//! | `message` | a message of NATS as one of the mesh, and back |
//! | `subscription` | one subscription: what waits, what is being handled, what is dropped |
//! | `sending` | publish, request and reply |
//! | `counters` | what is counted |
//!
//! What core NATS gives is *at most once*. A message that arrives while nobody is connected is gone; one whose handler
//! fails is not delivered again; one that finds the buffer of its subscription full is dropped and counted. What was
//! published into a connection that breaks may be lost or late.
//!
//! Each message is handled once per link, however many replicas of this provider run: each subscription is in a queue
//! group, by default one that is named by lattice, provider, actor and link. (A plain subscription would deliver a copy
//! to each replica, which are copies of one thing.) With `subject|queue` the link names the group itself, and then it
//! shares the messages with whoever else is in it.
//!
//! A handler gets the subject for the answer as it came (`reply-to`) and publishes to it. Subjects under `mesh.`, `$`
//! and `_INBOX.` are refused to actors, but for one: an inbox with a name that nobody can guess, because whoever knows
//! it was given it.

mod counters;
mod message;
pub mod provider;
mod sending;
pub mod settings;
pub mod subject;
mod subscription;

pub use provider::{KIND, MessagingNatsFactory};

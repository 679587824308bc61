//! The engine: verified components become instances that answer calls.
//!
//! The only crate of the product that names wasmtime. It knows no NATS, no router and no provider: a call comes in
//! through [`mesh_lattice::Serve`], and what the guest calls goes out through the `Serve` that the actor was made
//! with.
//!
//! ```text
//! Verified<Component> ─► Engine::actor ─► Actor ── serve ─► admission ─► instance ─► reply
//!                          │ compile, cache   │                          │ guest import
//!                          ▼                  ▼                          ▼
//!                        linker             limits                  adapter ─► calls.serve
//! ```
//!
//! | module | owns |
//! |---|---|
//! | [`engine`] | one wasmtime engine, its pool, its epoch ticker |
//! | `compile` | compiling at low priority, and the authenticated cache of compiled code |
//! | `surface` | which imports the host serves itself, which need a link, which never can be served |
//! | `linker` | every host function, and the calls in place of what has no adapter |
//! | `dynamic` | calls on any interface, in and out, by the types of the component |
//! | [`actor`] | admission, accounting and drain of one actor |
//! | `admission` | how many instances live, who waits for one, in which order |
//! | `instance` | one instance from its making to its end, and those that are kept for another call |
//! | `state` | what belongs to one instance |
//! | `meter` | the processor time of one call, its epochs, the lane of those that spin |
//! | `limits` | the memory of one instance and of all |
//! | `failure` | what wasmtime says, as the closed set of codes |
//! | `outbound` | calls that a guest makes |
//! | `serving` | a call that is answered with a value, from its guest's first poll to its end |
//! | `messages` | `wasmcloud:messaging` handlers of an actor |
//! | `http` | `wasi:http` in and out |
//! | `imports` | key-value, messaging, configuration, logging, bus |
//! | `output` | what guests print |
//!
//! ```no_run
//! use std::sync::Arc;
//! use mesh_claims::{Component, Verified};
//! use mesh_lattice::Serve;
//! use mesh_runtime::{ActorConfig, Engine, EngineConfig};
//!
//! async fn start(verified: &Verified<Component>, router: Arc<dyn Serve>) -> Result<(), Box<dyn std::error::Error>> {
//!     let engine = Engine::new(EngineConfig::default())?;
//!     let actor = engine.actor(verified, ActorConfig::new("hello".parse()?), router).await?;
//!     println!("needs links for {:?}", actor.imports());
//!     Ok(())
//! }
//! ```

#![deny(missing_docs)]

pub mod actor;
mod admission;
mod breakdowns;
mod compile;
mod dynamic;
pub mod engine;
mod failure;
mod http;
mod imports;
mod instance;
mod journal;
mod limits;
mod linker;
mod messages;
mod meter;
mod outbound;
mod output;
mod serving;
mod state;
mod surface;

pub use actor::{Actor, ActorConfig, ActorError, ActorStats};
pub use compile::{CacheError, CompileError};
pub use engine::{Engine, EngineConfig, EngineError};
pub use journal::{Journals, Page};

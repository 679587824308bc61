//! The lattice over NATS: connections, sessions, calls and state.
//!
//! | module | owns |
//! |---|---|
//! | [`connect`] | the two connections of a process, and whether they are up |
//! | [`state`] | signed values under keys: read, written by compare-and-set, watched |
//! | [`lease`] | who lives: renewed leases, and the judgement over them |
//! | [`leader`] | who leads: taken by compare-and-set, told apart by terms |
//! | [`artifact`] | the artifact store, hashed after every read |
//! | [`control`] | control requests: asked by `meshctl`, answered by one host of many |
//! | [`refusals`] | what was refused and why: counters, and the audit log |
//! | [`mod@calls`] | calls between hosts: sealed sessions, one boot of one host, streams under credit |
//!
//! Nothing here spawns on its own account: what has to run is an async function that its owner runs, and ends with
//! the token that the owner gave it. Every wait has a limit, every queue a bound.
//!
//! ```no_run
//! # async fn example(root: mesh_lattice::id::OperatorId) -> Result<(), Box<dyn std::error::Error>> {
//! use mesh_lattice::key::pattern;
//! use mesh_transport::{Change, ConnectConfig, Connections, State};
//!
//! let connections = Connections::connect(ConnectConfig::new("nats://127.0.0.1:4222", "default".parse()?)).await?;
//! let state = State::open(&connections, &root).await?;
//! let mut watch = state.watch(pattern::APPS);
//! loop {
//!     match watch.next().await {
//!         Change::Put(entry) => println!("{} is at revision {}", entry.key, entry.revision),
//!         Change::CaughtUp => break,
//!         _ => {}
//!     }
//! }
//! # Ok(())
//! # }
//! ```

#![warn(missing_docs)]

pub mod artifact;
mod bucket;
pub mod calls;
pub mod connect;
pub mod control;
pub mod events;
pub mod leader;
pub mod lease;
mod rate;
pub mod refusals;
mod session;
pub mod state;

pub use artifact::{ArtifactError, Artifacts};
pub use calls::{AdmitCall, CallStats, CallsConfig, CallsError, Inbound, Leave, PeerPolicy, Remote, calls};
pub use connect::{ConnectConfig, ConnectError, Connections, Disconnected, Health, Tls, TooOld};
pub use control::{Request, RequestError, Requests};
pub use events::{EventError, EventLog, Events};
pub use leader::{Candidate, Leadership};
pub use lease::{Judgement, LeaseConfig, LeaseError, LeaseEvent, LeaseTable, LeaseWatch, Leases, Sighting, Standing};
pub use refusals::Refusals;
pub use state::{Change, Entry, Position, RawWrite, State, StateConfig, StateError, Stored, Watch, Write, verify};

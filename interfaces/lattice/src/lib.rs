//! What two processes of a lattice must agree on, as plain types: nothing here does I/O, spawns or waits.
//!
//! | module | owns |
//! |---|---|
//! | [`name`] | the grammars of names: lattices, actors, links, labels |
//! | [`id`] | public keys, boots, calls, digests |
//! | [`interface`] | names of WIT packages and interfaces, and which versions fit each other |
//! | [`subject`] | every NATS subject that the mesh uses |
//! | [`key`] | every bucket and every key in it |
//! | [`clock`] | the monotonic time that deadlines are made of |
//! | [`date`] | moments as people read them |
//! | [`invocation`] | one call along a link, its answer, its errors, and [`Serve`] |
//! | [`frame`] | calls and their answers as bytes |
//! | [`value`] | WIT values as MessagePack: the rule set, for any type |
//! | [`wit`] | the same values as Rust types, for the interfaces that are called most |
//! | [`application`] | what people want: actors, providers, links |
//! | [`secret`] | what looks like a secret, and is not shown |
//! | [`stored`] | what is written into JetStream, and by whom |
//! | [`control`] | what `meshctl` asks a host, and what it hears |
//! | [`operator`] | one call that a person makes |
//! | [`logs`] | what actors print, as people ask for it |
//!
//! Words: a *lattice* is the hosts that share a name, a NATS account and a trust root. A *host* is one enrolled
//! identity; a *boot* is one start of its process. An *actor* is a signed component, a *provider* native code that
//! serves an *interface*. A *link* says "source may call target on this interface"; an *invocation* is one call
//! along it.

pub mod application;
pub mod clock;
pub mod control;
pub mod date;
pub mod frame;
pub mod handle;
pub mod id;
pub mod interface;
pub mod invocation;
pub mod key;
pub mod logs;
pub mod name;
pub mod operator;
pub mod secret;
pub mod stored;
pub mod subject;
pub mod value;
pub mod wit;

pub use clock::{Deadline, Monotonic};
pub use id::{BootId, CallId, Digest, HostId, Incarnation};
pub use interface::{Interface, InterfacePattern};
pub use invocation::{Answer, Body, CallError, Caller, Code, Invocation, Params, Reply, Serve, TraceContext};
pub use name::{LatticeName, LinkName, Name};

//! The lattice over NATS: connections, sessions, calls and state.
pub mod artifact;
mod bucket;
pub mod calls;
pub mod connect;
pub mod control;
mod session;
pub mod state;

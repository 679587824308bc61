//! The lattice over NATS: connections, sessions, calls and state.

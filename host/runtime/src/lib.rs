//! The engine: verified components become instances that answer calls.

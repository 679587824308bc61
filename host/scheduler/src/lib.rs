//! From desired and observed state to assignments, pins and routes, without I/O.
//!
//! The host that leads reads a [`World`] out of the stored state, calls [`plan()`] and writes what the [`Plan`] holds:
//! routes first, then pins, then assignments, so that callers have turned away before a host stops what they called.
//! The same world always gives the same plan, and a plan that is written and observed gives an empty one next.
//!
//! What it keeps to:
//!
//! - Work stops only on a present statement. An application that is unknown or cannot be read keeps what it has, and
//!   so does everything that its unread links might need.
//! - What runs stays where it runs, as long as it may run there.
//! - New before old: what has to leave a host that still serves stays until as many replacements are ready.
//! - Data that lives on one host is placed once and pinned, and nothing here ever takes a pin back.

pub mod plan;
pub mod world;

pub use plan::{Placement, Plan, plan};
pub use world::{Desired, Host, Standing, World};

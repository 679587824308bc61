//! Values through real guests: what this crate moves is what dynamic values move, byte by byte, and what one refuses the
//! other refuses for the same reason.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod case;
mod check;
mod guest;
mod hostile;
mod oracle;
mod same;
mod world;

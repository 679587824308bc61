//! The signatures of interfaces: every function that a component imports or exports with its types, as text and to
//! compare.
//!
//! `meshctl` shows them and reads arguments by them; the leader compares the two ends of a link. Nothing here runs or
//! compiles a component.
//!
//! | module | owns |
//! |---|---|
//! | [`signature`] | functions and types as plain values, and how they are written |
//! | [`component`] | the signatures of a component, from its bytes |
//! | [`published`] | the signatures of the WIT packages that lie beside this crate |
//! | [`fit`] | whether one end serves what the other calls, and what differs |
//! | [`link`] | whether a link can ever work, by what is known of its two ends |
//!
//! ```
//! let store = "wasi:keyvalue/store@0.2.0-draft".parse()?;
//! let functions = mesh_wit::published::functions(&store).unwrap_or_default();
//! let text: Vec<String> = functions.iter().map(ToString::to_string).collect();
//! assert_eq!(text[0], "open: func(identifier: string) -> result<bucket, error>");
//! # Ok::<(), mesh_lattice::name::BadName>(())
//! ```

#![deny(missing_docs)]

pub mod component;
pub mod fit;
pub mod link;
pub mod published;
pub mod signature;

pub use component::{SignatureError, Signatures};
pub use fit::Misfit;
pub use signature::{Foreign, Function, Type, Uncrossable};

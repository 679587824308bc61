//! Keys, signed artifacts and signed statements: made, read and verified. Nothing here does I/O or asks for the time:
//! the wall clock comes in as seconds since 1970.
//!
//! | module | owns |
//! |---|---|
//! | [`keys`] | key pairs, their seeds and signatures |
//! | [`sign`] | a component with its claims embedded |
//! | [`verify`] | the one place where bytes become [`Verified`] |
//! | [`surface`] | what a component imports and exports |
//! | [`envelope`] | stored values, signed by who may write them |
//! | [`trust`] | whom a lattice trusts, as its root and the root's admins say |
//! | [`authority`] | who may write which key |
//! | [`refusal`] | the closed set of reasons to say no |
//!
//! ```
//! use mesh_claims::{keys::{KeyKind, KeyPair}, sign::{self, SignOptions}, verify};
//!
//! let issuer = KeyPair::generate(KeyKind::Account);
//! let subject = KeyPair::generate(KeyKind::Actor);
//! let component = b"\0asm\x0d\0\x01\0"; // the smallest component there is
//! let signed = sign::component(component, &issuer, &SignOptions::new(subject)).unwrap();
//! assert_eq!(verify::read(&signed).unwrap().issuer.as_str(), issuer.public());
//! ```

#![deny(missing_docs)]

pub mod authority;
pub mod envelope;
pub mod keys;
pub mod refusal;
mod section;
pub mod sign;
pub mod surface;
mod token;
pub mod trust;
pub mod verify;

pub use envelope::Envelope;
pub use keys::{KeyKind, KeyPair};
pub use refusal::{Refusal, RefusalCode};
pub use token::{Claims, Subject};
pub use trust::Trust;
pub use verify::{Admission, Component, Verified};

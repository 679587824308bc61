//! Application documents: a text becomes applications as they are stored, or all of its faults, each with its place.
//!
//! ```text
//! bytes ─► yaml ─► nodes ─► format (ours) ──┐
//!          limits    │                      ├─► Draft ─► resolve ─► mesh_lattice::application::Application
//!                    └────► oam (wasmCloud) ┘     │         ▲
//!                                                 │         └ Facts: what the artifacts are, what the lattice has
//!                                                 └─► convert: our format as text
//! ```
//!
//! `meshctl` calls it, and nobody else. Nothing here reads a file, opens a connection or compiles a component: who calls
//! brings the bytes of the documents and says what each artifact turned out to be.
//!
//! | module | owns |
//! |---|---|
//! | [`source`] | texts, places in them |
//! | [`fault`] | what is wrong, shown with the line |
//! | [`yaml`] | the tree of a document, and every limit against documents that are made to hurt |
//! | [`profile`] | `${key}` and `${key:-default}` |
//! | [`format`](mod@format) | our format |
//! | `oam` | wasmCloud's |
//! | [`draft`] | an application as it was written, with the place of all that can still turn out wrong |
//! | [`kinds`] | the providers that hosts have built in |
//! | [`resolve`](mod@resolve) | from drafts to applications |
//! | [`convert`](mod@convert) | from a draft to text of our format |
//! | [`schema`] | our format for editors |
//!
//! ```
//! use mesh_manifest::{Reading, Source, read};
//!
//! let text = "apiVersion: mesh/v1\nkind: Application\nmetadata: { name: shop }\nspec: { actors: [ { nam: cart } ] }\n";
//! let faults = read(&[Source::new("shop.yaml", ".", text.as_bytes().to_vec())], &Reading::default()).unwrap_err();
//! assert_eq!(faults.len(), 2);
//! assert!(faults.render(false).contains("did you mean `name`?"));
//! ```

#![deny(missing_docs)]

pub mod convert;
pub mod draft;
pub mod fault;
mod fields;
pub mod format;
pub mod kinds;
mod oam;
pub mod profile;
pub mod quantity;
mod read;
pub mod resolve;
mod scalar;
pub mod schema;
pub mod source;
pub mod yaml;

pub use convert::convert;
pub use draft::{Draft, Reference};
pub use fault::{Fault, Faults};
pub use read::{Manifests, Reading, read};
pub use resolve::{Component, Facts, Resolved, Unread, resolve};
pub use source::{Source, Span, Spanned};
pub use yaml::MAX_BYTES;

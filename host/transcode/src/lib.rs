//! Values of any WIT type, moved straight between a guest's linear memory and MessagePack: `list<u8>` and `string` are
//! one copy, and the engine's dynamic values are never made. The engine's crate calls it where it links what the mesh
//! has no typed adapter for; what a [`Plan`] does not take (resources, streams, futures, maps, asynchronous functions)
//! goes through dynamic values, which are also what the tests hold this crate against: the same bytes, refused for
//! the same reasons.
//!
//! How it fits into the engine, and why it is sound:
//!
//! - The engine moves values of Rust types by its traits `ComponentType`, `Lift` and `Lower`. They are public, for the
//!   sake of derived implementations; what they use is hidden from its documentation and may change with any release,
//!   and so the workspace pins the engine to one exact version. Whoever raises it runs this crate's tests, the fuzz
//!   target beside them, and reads the diff of the engine's `component/func/{typed,host,options}.rs`.
//! - A type says by `Lower` how many flat words it takes. An export's parameters are always sixteen of them, the most
//!   that there are (the callee reads those that it has); where a signature needs more, the first is a pointer to
//!   memory that this crate has asked the guest for. Its results are one word: the value or a pointer to it. The
//!   parameters of an import are exactly as many words as its signature says, one type for each number; the engine
//!   hands over memory where that is its place. The engine's type check calls ours, which looks at the reflected type.
//! - All reading and writing goes through slices: a wrong size, pointer or discriminant is an error, never a wild
//!   access. The only unsafe code is the promise of those traits and one array that was written before: `abi.rs`.
//! - The walk follows the type that the engine hands over with each call, the guest's own. There is nothing that could
//!   disagree with it.
//!
//! What a guest hands over costs hostcall fuel by the bytes that it becomes. Values nest 64 deep and are a million at
//! most; a length is checked against what is there before anything is allocated for it. What a guest is given lies in
//! its own memory, under its own limits, and costs the host nothing.
//!
//! An error while parameters are lowered, or results lifted, leaves the instance in the middle of a call: it must not
//! be called again. [`mesh_lattice::value::DecodeError`] inside the error says that the bytes were wrong, [`LiftError`]
//! that the guest was.

mod abi;
mod import;
mod lift;
mod lower;
mod plan;
mod supported;

pub use import::Reply;
pub use lift::LiftError;
pub use plan::{Export, Plan};

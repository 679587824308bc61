//! WIT values as Rust types, for the interfaces that are called most: the typed adapters of the engine and the
//! providers read and write these instead of going through [`crate::value`]. Both make the same bytes.
//!
//! Parameters are a tuple in declared order, records are structs, a `result` is a [`Outcome`].

pub mod http;
pub mod keyvalue;
pub mod messaging;

use bytes::Bytes;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::invocation::{CallError, Code};

/// A WIT `result`: `{"ok": value}` or `{"err": error}`; `()` where there is no value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome<T, E> {
    /// The value.
    Ok(T),
    /// The error that the interface itself declares.
    Err(E),
}

impl<T, E> From<Result<T, E>> for Outcome<T, E> {
    fn from(result: Result<T, E>) -> Self {
        match result {
            Ok(value) => Self::Ok(value),
            Err(error) => Self::Err(error),
        }
    }
}

impl<T, E> From<Outcome<T, E>> for Result<T, E> {
    fn from(outcome: Outcome<T, E>) -> Self {
        match outcome {
            Outcome::Ok(value) => Ok(value),
            Outcome::Err(error) => Err(error),
        }
    }
}

/// A value as MessagePack, structs as maps.
///
/// # Errors
///
/// `internal`, where the value cannot be written: a defect of the type.
pub fn to_wire<T: Serialize>(value: &T) -> Result<Bytes, CallError> {
    let mut out = Vec::with_capacity(128);
    value
        .serialize(&mut rmp_serde::Serializer::new(&mut out).with_struct_map())
        .map(|()| out.into())
        .map_err(|error| CallError::new(Code::Internal, format!("a value cannot be written: {error}")))
}

/// A value from MessagePack: the whole of `bytes`, and nothing behind it. A `list<u8>` is read inside of parameters and
/// records, not by itself.
///
/// # Errors
///
/// `bad_params`, where `bytes` are not such a value.
pub fn from_wire<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CallError> {
    crate::value::read_carrying(bytes)
        .map_err(|error| CallError::new(Code::BadParams, format!("a value cannot be read: {error}")))
}

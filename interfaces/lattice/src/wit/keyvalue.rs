//! `wasi:keyvalue@0.2.0-draft` and `@0.2.0-draft2`: `store`, `atomics`, `batch`.
//!
//! The two drafts share most of their functions, and one provider serves both: the version in the invocation's
//! interface says which one is spoken. What differs in the later one: a cursor is text, `increment` counts with a
//! sign, and a value can be swapped on condition that nobody wrote in between. A handle of such a condition (`cas`)
//! is opaque bytes that only who minted them reads.
//!
//! A bucket's handle is its identifier, so that opening one costs no round trip: what is wrong with it is said by the
//! first operation, as it is everywhere that a store can vanish between two calls. `open` is served all the same, for
//! callers who use the interface without an adapter.

use serde::{Deserialize, Serialize};
use serde_bytes::{ByteBuf, Bytes};

/// The error of every function.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Error {
    /// There is no such bucket.
    NoSuchStore,
    /// It may not be used.
    AccessDenied,
    /// Anything else, in words.
    Other(String),
}

/// One page of keys.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyResponse {
    /// The keys.
    pub keys: Vec<String>,
    /// Where the next page begins; none where this was the last.
    pub cursor: Option<u64>,
}

/// The version of the later draft.
pub const DRAFT2: &str = "0.2.0-draft2";

/// One page of keys, in the later draft.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyResponse2 {
    /// The keys.
    pub keys: Vec<String>,
    /// Where the next page begins; none where this was the last.
    pub cursor: Option<String>,
}

/// Why a value was not swapped, in the later draft.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CasError {
    /// The store failed.
    StoreError(Error),
    /// Somebody wrote in between: the handle for the next attempt.
    CasFailed(CasHandle),
}

/// The functions, as they stand in [`crate::Invocation::operation`].
pub mod operation {
    /// `open(identifier) -> result<bucket, error>`
    pub const OPEN: &str = "open";
    /// `get(bucket, key) -> result<option<list<u8>>, error>`
    pub const GET: &str = "[method]bucket.get";
    /// `set(bucket, key, value) -> result<_, error>`
    pub const SET: &str = "[method]bucket.set";
    /// `delete(bucket, key) -> result<_, error>`
    pub const DELETE: &str = "[method]bucket.delete";
    /// `exists(bucket, key) -> result<bool, error>`
    pub const EXISTS: &str = "[method]bucket.exists";
    /// `list-keys(bucket, cursor) -> result<key-response, error>`
    pub const LIST_KEYS: &str = "[method]bucket.list-keys";
    /// `increment(bucket, key, delta) -> result<u64, error>`, in `atomics`
    pub const INCREMENT: &str = "increment";
    /// `get-many(bucket, keys) -> result<list<option<tuple<string, list<u8>>>>, error>`, in `batch`
    pub const GET_MANY: &str = "get-many";
    /// `set-many(bucket, pairs) -> result<_, error>`, in `batch`
    pub const SET_MANY: &str = "set-many";
    /// `delete-many(bucket, keys) -> result<_, error>`, in `batch`
    pub const DELETE_MANY: &str = "delete-many";
    /// `cas.new(bucket, key) -> result<cas, error>`, in `atomics` of the later draft
    pub const CAS_NEW: &str = "[static]cas.new";
    /// `current(cas) -> result<option<list<u8>>, error>`, in `atomics` of the later draft
    pub const CAS_CURRENT: &str = "[method]cas.current";
    /// `swap(cas, value) -> result<_, cas-error>`, in `atomics` of the later draft
    pub const SWAP: &str = "swap";
}

/// A bucket's handle: its identifier as bytes.
pub type BucketHandle = ByteBuf;
/// Parameters of `open`.
pub type OpenParams = (String,);
/// Parameters of `get`, `delete` and `exists`.
pub type KeyParams = (BucketHandle, String);
/// Parameters of `set`.
pub type SetParams = (BucketHandle, String, ByteBuf);
/// Parameters of `set`, borrowed by who writes them.
pub type SetParamsRef<'a> = (&'a Bytes, &'a str, &'a Bytes);
/// Parameters of `list-keys`.
pub type ListParams = (BucketHandle, Option<u64>);
/// Parameters of `increment`.
pub type IncrementParams = (BucketHandle, String, u64);
/// Parameters of `list-keys` in the later draft.
pub type ListParams2 = (BucketHandle, Option<String>);
/// Parameters of `increment` in the later draft.
pub type IncrementParams2 = (BucketHandle, String, i64);
/// A condition on a key's value: opaque.
pub type CasHandle = ByteBuf;
/// Parameters of `cas.current`.
pub type CasParams = (CasHandle,);
/// Parameters of `swap`.
pub type SwapParams = (CasHandle, ByteBuf);
/// Parameters of `get-many` and `delete-many`.
pub type KeysParams = (BucketHandle, Vec<String>);
/// Parameters of `set-many`.
pub type SetManyParams = (BucketHandle, Vec<(String, ByteBuf)>);
/// The value of `get-many`.
pub type Values = Vec<Option<(String, ByteBuf)>>;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wit::{Outcome, from_wire, to_wire};

    #[test]
    fn bytes_are_bytes_and_cases_are_names() {
        let set: SetParams = (ByteBuf::from(*b"b"), "k".into(), ByteBuf::from(*b"v"));
        assert_eq!(to_wire(&set).unwrap().as_ref(), b"\x93\xc4\x01b\xa1k\xc4\x01v");
        let missing: Outcome<(), Error> = Outcome::Err(Error::NoSuchStore);
        assert_eq!(to_wire(&missing).unwrap().as_ref(), b"\x81\xa3err\xadno-such-store");
        let other: Outcome<(), Error> = Outcome::Err(Error::Other("x".into()));
        assert_eq!(to_wire(&other).unwrap().as_ref(), b"\x81\xa3err\x81\xa5other\xa1x");
        let done: Outcome<(), Error> = Outcome::Ok(());
        assert_eq!(to_wire(&done).unwrap().as_ref(), b"\x81\xa2ok\xc0");
        assert_eq!(from_wire::<Outcome<(), Error>>(b"\x81\xa2ok\xc0").unwrap(), done);
        assert!(from_wire::<Outcome<(), Error>>(b"\x81\xa2ok\xc0\x00").is_err());
    }
}

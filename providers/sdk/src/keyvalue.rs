//! `wasi:keyvalue` from bytes to a backend and back, the same for every backend: a provider finds the link, and
//! [`serve`] does the rest with its [`Store`].
//!
//! What a guest may depend on, whatever stands behind its link:
//! - a counter is its decimal text, so that `get` after `increment` reads it, and so does every other tool;
//! - keys are any text up to 1 KiB, empty or not; a backend that cannot hold one as it is encodes it;
//! - every key that stands throughout a listing is listed, even while others are written and deleted.

use std::future::Future;

use bytes::Bytes;
use mesh_lattice::{
    CallError, Code, Deadline, Invocation, LinkName, Params, Reply,
    wit::{
        Outcome, from_wire,
        keyvalue::{
            Error, IncrementParams, KeyParams, KeyResponse, KeysParams, ListParams, OpenParams, SetManyParams,
            SetParams, Values, operation,
        },
        to_wire,
    },
};
use serde::Serialize;
use serde_bytes::ByteBuf;

/// Longer keys are refused.
pub const MAX_KEY: usize = 1024;

/// More keys in one batch are refused.
pub const MAX_BATCH: usize = 10_000;

/// What is said of a link that begins at a store.
pub const CALLS_NOBODY: &str = "a key-value store is called and calls nobody: put the link the other way round";

/// Where an operation works, and until when.
#[derive(Debug, Clone, Copy)]
pub struct Scope<'a> {
    /// The bucket.
    pub bucket: &'a str,
    /// When the answer stops being of use.
    pub deadline: Deadline,
}

/// Why an operation failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The interface's own error, for the guest.
    #[error("{0:?}")]
    Guest(Error),
    /// The call itself failed.
    #[error(transparent)]
    Call(#[from] CallError),
}

impl StoreError {
    /// What the backend said, for a person.
    pub fn backend(message: impl Into<String>) -> Self {
        Self::Call(CallError::new(Code::Backend, message))
    }

    /// There is no such bucket.
    #[must_use]
    pub fn no_such_store() -> Self {
        Self::Guest(Error::NoSuchStore)
    }

    /// It may not be used.
    #[must_use]
    pub fn access_denied() -> Self {
        Self::Guest(Error::AccessDenied)
    }

    /// A value of `length` bytes where `most` fit.
    #[must_use]
    pub fn too_large(length: usize, most: usize) -> Self {
        Self::Call(CallError::new(Code::TooLarge, format!("a value of {length} bytes, where at most {most} fit")))
    }
}

/// A backend. Each future ends within the scope's deadline, give or take what cannot be interrupted.
pub trait Store: Send + Sync {
    /// Whether the bucket can be used.
    fn open(&self, scope: Scope<'_>) -> impl Future<Output = Result<(), StoreError>> + Send;
    /// The value of a key.
    fn get(&self, scope: Scope<'_>, key: String) -> impl Future<Output = Result<Option<Bytes>, StoreError>> + Send;
    /// Writes one.
    fn set(&self, scope: Scope<'_>, key: String, value: Bytes) -> impl Future<Output = Result<(), StoreError>> + Send;
    /// Deletes one; one that is not there is no error.
    fn delete(&self, scope: Scope<'_>, key: String) -> impl Future<Output = Result<(), StoreError>> + Send;
    /// Whether there is such a key.
    fn exists(&self, scope: Scope<'_>, key: String) -> impl Future<Output = Result<bool, StoreError>> + Send;
    /// A page of keys.
    fn list_keys(
        &self,
        scope: Scope<'_>,
        cursor: Option<u64>,
    ) -> impl Future<Output = Result<KeyResponse, StoreError>> + Send;
    /// Adds to a counter, atomically, and returns what it is then; one that is not there is 0.
    fn increment(
        &self,
        scope: Scope<'_>,
        key: String,
        delta: u64,
    ) -> impl Future<Output = Result<u64, StoreError>> + Send;
    /// The values of several keys, in their order.
    fn get_many(
        &self,
        scope: Scope<'_>,
        keys: Vec<String>,
    ) -> impl Future<Output = Result<Vec<Option<Bytes>>, StoreError>> + Send;
    /// Writes several.
    fn set_many(
        &self,
        scope: Scope<'_>,
        pairs: Vec<(String, Bytes)>,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;
    /// Deletes several.
    fn delete_many(&self, scope: Scope<'_>, keys: Vec<String>) -> impl Future<Output = Result<(), StoreError>> + Send;
}

/// What a counter is after `delta` was added to what stands there.
///
/// # Errors
///
/// Where that is no decimal number, or the sum passes 2^64 - 1.
pub fn add(current: Option<&[u8]>, delta: u64) -> Result<u64, StoreError> {
    let number = match current {
        None => Some(0),
        Some(text) => std::str::from_utf8(text).ok().and_then(|text| text.trim().parse::<u64>().ok()),
    };
    let number = number.ok_or_else(|| StoreError::Guest(Error::Other("the value is not a decimal number".into())))?;
    let passed = || StoreError::Guest(Error::Other("the counter would pass 2^64 - 1".into()));
    number.checked_add(delta).ok_or_else(passed)
}

/// The bucket that a link was given, and what guests may call it beside `""` and the link's own name.
#[derive(Debug, Clone, Copy)]
pub struct Own<'a> {
    /// The bucket.
    pub bucket: &'a str,
    /// Another name for it.
    pub alias: Option<&'a str>,
}

impl<'a> Own<'a> {
    /// The bucket that a guest means.
    #[must_use]
    pub fn meant(self, identifier: &'a str, link: &LinkName) -> &'a str {
        let own = identifier.is_empty() || identifier == link.as_str() || self.alias == Some(identifier);
        if own { self.bucket } else { identifier }
    }
}

/// Serves one invocation of `wasi:keyvalue` from `store`. `own` is what the link was given.
///
/// # Errors
///
/// `unknown_operation`, `bad_params`, `too_large`, `deadline_exceeded`, and what the store fails with.
pub async fn serve<S: Store>(store: &S, own: Own<'_>, invocation: Invocation) -> Result<Reply, CallError> {
    let Params::Wire(params) = &invocation.params else {
        return Err(CallError::new(Code::BadParams, "key-value takes no HTTP request"));
    };
    let call = Call { store, own, link: &invocation.link, deadline: invocation.deadline };
    let late = || CallError::new(Code::DeadlineExceeded, "the key-value operation did not end in time");
    let remaining = invocation.deadline.remaining();
    if remaining.is_zero() {
        return Err(late());
    }
    match tokio::time::timeout(remaining, call.run(&invocation.operation, params)).await {
        Ok(reply) => reply.map(Reply::wire),
        Err(_) => Err(late()),
    }
}

struct Call<'a, S> {
    store: &'a S,
    own: Own<'a>,
    link: &'a LinkName,
    deadline: Deadline,
}

impl<S: Store> Call<'_, S> {
    async fn run(&self, operation: &str, params: &[u8]) -> Result<Bytes, CallError> {
        match operation {
            operation::OPEN => self.open(params).await,
            operation::GET => self.get(params).await,
            operation::SET => self.set(params).await,
            operation::DELETE => self.delete(params).await,
            operation::EXISTS => self.exists(params).await,
            operation::LIST_KEYS => self.list_keys(params).await,
            operation::INCREMENT => self.increment(params).await,
            operation::GET_MANY => self.get_many(params).await,
            operation::SET_MANY => self.set_many(params).await,
            operation::DELETE_MANY => self.delete_many(params).await,
            other => Err(CallError::new(Code::UnknownOperation, format!("key-value has no function {other:?}"))),
        }
    }

    fn scope<'a>(&'a self, handle: &'a [u8]) -> Result<Scope<'a>, CallError> {
        let identifier = std::str::from_utf8(handle).map_err(|_| bad("the bucket is not one that was opened here"))?;
        Ok(Scope { bucket: self.own.meant(identifier, self.link), deadline: self.deadline })
    }

    async fn open(&self, params: &[u8]) -> Result<Bytes, CallError> {
        let (identifier,): OpenParams = from_wire(params)?;
        let opened = self.store.open(self.scope(identifier.as_bytes())?).await;
        answer(opened.map(|()| ByteBuf::from(identifier)))
    }

    async fn get(&self, params: &[u8]) -> Result<Bytes, CallError> {
        let (handle, key): KeyParams = from_wire(params)?;
        let value = self.store.get(self.scope(&handle)?, checked(key)?).await;
        // Written from where it lies: a value is copied once, into the answer.
        match value {
            Ok(value) => answer(Ok(value.as_deref().map(serde_bytes::Bytes::new))),
            Err(error) => answer::<()>(Err(error)),
        }
    }

    async fn set(&self, params: &[u8]) -> Result<Bytes, CallError> {
        let (handle, key, value): SetParams = from_wire(params)?;
        answer(self.store.set(self.scope(&handle)?, checked(key)?, value.into_vec().into()).await)
    }

    async fn delete(&self, params: &[u8]) -> Result<Bytes, CallError> {
        let (handle, key): KeyParams = from_wire(params)?;
        answer(self.store.delete(self.scope(&handle)?, checked(key)?).await)
    }

    async fn exists(&self, params: &[u8]) -> Result<Bytes, CallError> {
        let (handle, key): KeyParams = from_wire(params)?;
        answer(self.store.exists(self.scope(&handle)?, checked(key)?).await)
    }

    async fn list_keys(&self, params: &[u8]) -> Result<Bytes, CallError> {
        let (handle, cursor): ListParams = from_wire(params)?;
        answer(self.store.list_keys(self.scope(&handle)?, cursor).await)
    }

    async fn increment(&self, params: &[u8]) -> Result<Bytes, CallError> {
        let (handle, key, delta): IncrementParams = from_wire(params)?;
        answer(self.store.increment(self.scope(&handle)?, checked(key)?, delta).await)
    }

    async fn get_many(&self, params: &[u8]) -> Result<Bytes, CallError> {
        let (handle, keys): KeysParams = from_wire(params)?;
        let keys = checked_all(keys)?;
        let values = self.store.get_many(self.scope(&handle)?, keys.clone()).await;
        answer(values.map(|values| -> Values {
            let pair = |(key, value): (String, Option<Bytes>)| value.map(|value| (key, ByteBuf::from(value.to_vec())));
            keys.into_iter().zip(values).map(pair).collect()
        }))
    }

    async fn set_many(&self, params: &[u8]) -> Result<Bytes, CallError> {
        let (handle, pairs): SetManyParams = from_wire(params)?;
        batch(pairs.len())?;
        let pairs = pairs.into_iter().map(|(key, value)| Ok((checked(key)?, value.into_vec().into())));
        let pairs = pairs.collect::<Result<_, CallError>>()?;
        answer(self.store.set_many(self.scope(&handle)?, pairs).await)
    }

    async fn delete_many(&self, params: &[u8]) -> Result<Bytes, CallError> {
        let (handle, keys): KeysParams = from_wire(params)?;
        answer(self.store.delete_many(self.scope(&handle)?, checked_all(keys)?).await)
    }
}

fn bad(message: &str) -> CallError {
    CallError::new(Code::BadParams, message)
}

fn checked(key: String) -> Result<String, CallError> {
    if key.len() <= MAX_KEY {
        return Ok(key);
    }
    Err(CallError::new(Code::TooLarge, format!("a key of {} bytes, where at most {MAX_KEY} fit", key.len())))
}

fn checked_all(keys: Vec<String>) -> Result<Vec<String>, CallError> {
    batch(keys.len())?;
    keys.into_iter().map(checked).collect()
}

fn batch(length: usize) -> Result<(), CallError> {
    if length <= MAX_BATCH {
        return Ok(());
    }
    Err(CallError::new(Code::TooLarge, format!("a batch of {length}, where at most {MAX_BATCH} fit")))
}

fn answer<T: Serialize>(result: Result<T, StoreError>) -> Result<Bytes, CallError> {
    let outcome: Outcome<T, Error> = match result {
        Ok(value) => Outcome::Ok(value),
        Err(StoreError::Guest(error)) => Outcome::Err(error),
        Err(StoreError::Call(error)) => return Err(error),
    };
    to_wire(&outcome)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_is_its_decimal_text() {
        assert_eq!(add(None, 3), Ok(3));
        assert_eq!(add(Some(b"39"), 3), Ok(42));
        assert_eq!(add(Some(b"41\n"), 1), Ok(42));
        for text in [&b""[..], b"x", b"-1", b"1.5", b"\xff", b"18446744073709551615"] {
            assert!(matches!(add(Some(text), 1), Err(StoreError::Guest(Error::Other(_)))), "{text:?}");
        }
    }

    #[test]
    fn the_empty_identifier_and_the_links_name_mean_the_links_bucket() {
        let link: LinkName = "cache".parse().unwrap();
        let own = Own { bucket: "own", alias: None };
        for (identifier, meant) in [("", "own"), ("cache", "own"), ("default", "default"), ("b", "b")] {
            assert_eq!(own.meant(identifier, &link), meant);
        }
        assert_eq!(Own { alias: Some("default"), ..own }.meant("default", &link), "own");
    }
}

//! `wasi:keyvalue` from bytes to a backend and back, the same for every backend: a provider finds the link, and
//! [`serve`] does the rest with its [`Store`].
//!
//! What a guest may depend on, whatever stands behind its link:
//! - a counter is its decimal text, so that `get` after `increment` reads it, and so does every other tool;
//! - keys are any text up to 1 KiB, empty or not; a backend that cannot hold one as it is encodes it;
//! - every key that stands throughout a listing is listed, even while others are written and deleted.
//!
//! Both drafts of the interface are served: the version in the invocation's interface says which one the caller
//! speaks. What only the later one has is in `draft2`.

mod counter;
mod draft2;

use std::{future::Future, pin::pin};

use bytes::Bytes;
use mesh_lattice::{
    CallError, Code, Deadline, Digest, Invocation, LinkName, Params, Reply,
    wit::{
        Outcome, from_wire,
        keyvalue::{
            DRAFT2, Error, IncrementParams, KeyParams, KeyResponse, KeysParams, ListParams, OpenParams, SetManyParams,
            SetParams, Values, operation,
        },
        to_wire,
    },
};
use serde::Serialize;
use serde_bytes::ByteBuf;

pub use counter::{Delta, add};

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

/// A backend. Each future ends within the scope's deadline, give or take what cannot be interrupted, and none is polled
/// after it: what a backend hands on to a thread, a task or a connection it bounds by itself.
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
    /// Adds to a counter, atomically, and returns what it is then, which is within the delta's own range; one that is
    /// not there is 0.
    fn increment(
        &self,
        scope: Scope<'_>,
        key: String,
        delta: Delta,
    ) -> impl Future<Output = Result<i128, StoreError>> + Send;
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
    /// What a key's value is told apart by from what stood there before, or will.
    fn version(&self, scope: Scope<'_>, key: String) -> impl Future<Output = Result<Version, StoreError>> + Send {
        let _ = (scope, key);
        std::future::ready(Err(cannot_swap()))
    }
    /// Writes a value if that of `expected` still stands there, atomically; whether it did.
    fn swap(
        &self,
        scope: Scope<'_>,
        key: String,
        expected: Version,
        value: Bytes,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send {
        let _ = (scope, key, expected, value);
        std::future::ready(Err(cannot_swap()))
    }
}

fn cannot_swap() -> StoreError {
    StoreError::Guest(Error::Other("this store cannot compare and swap".into()))
}

/// What a value is told apart by: whatever its store has for that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version(pub Vec<u8>);

impl Version {
    /// By the value itself, for a store that keeps no revisions. A value that was changed and changed back counts as
    /// the same.
    #[must_use]
    pub fn of_value(value: Option<&[u8]>) -> Self {
        Self(value.map(|value| Digest::of(value).as_bytes().to_vec()).unwrap_or_default())
    }
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
    let draft2 = invocation.interface.version() == Some(DRAFT2);
    let late = || CallError::new(Code::DeadlineExceeded, "the key-value operation did not end in time");
    let remaining = invocation.deadline.remaining();
    if remaining.is_zero() {
        return Err(late());
    }
    let answered = pin!(async {
        match draft2 {
            true => call.run_draft2(&invocation.operation, params).await,
            false => call.run(&invocation.operation, params).await,
        }
    });
    match tokio::time::timeout(remaining, invocation.deadline.bounds(answered)).await {
        Ok(Some(reply)) => reply.map(Reply::wire),
        Ok(None) | Err(_) => Err(late()),
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
        let sum = self.store.increment(self.scope(&handle)?, checked(key)?, Delta::Unsigned(delta)).await;
        answer(sum.and_then(counter::narrow::<u64>))
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
    fn the_empty_identifier_and_the_links_name_mean_the_links_bucket() {
        let link: LinkName = "cache".parse().unwrap();
        let own = Own { bucket: "own", alias: None };
        for (identifier, meant) in [("", "own"), ("cache", "own"), ("default", "default"), ("b", "b")] {
            assert_eq!(own.meant(identifier, &link), meant);
        }
        assert_eq!(Own { alias: Some("default"), ..own }.meant("default", &link), "own");
    }
}

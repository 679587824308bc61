//! A caller of `wasi:keyvalue`, typed: what a guest's adapter does, for suites.

use std::{sync::Arc, time::Duration};

use mesh_lattice::{
    Answer, CallError, CallId, Caller, Code, Deadline, Invocation, LinkName, Params,
    wit::{
        Outcome, from_wire,
        keyvalue::{Error, KeyResponse, Values, operation},
        to_wire,
    },
};
use serde::{Serialize, de::DeserializeOwned};
use serde_bytes::{ByteBuf, Bytes};

use super::Backend;
use crate::{End, Provider, ProviderLink, conformance::Failure};

pub(super) const STORE: &str = "wasi:keyvalue/store@0.2.0-draft";
const ATOMICS: &str = "wasi:keyvalue/atomics@0.2.0-draft";
const BATCH: &str = "wasi:keyvalue/batch@0.2.0-draft";

/// A caller with a link.
#[derive(Clone)]
pub struct Client {
    provider: Arc<dyn Provider>,
    caller: Caller,
    bucket: String,
}

pub(super) type Called<T> = Result<Outcome<T, Error>, CallError>;

impl Client {
    /// Links `name` to the provider, with `bucket` as its bucket.
    ///
    /// # Errors
    ///
    /// Where the provider refuses the link.
    pub async fn linked(
        provider: &Arc<dyn Provider>,
        name: &str,
        bucket: &str,
        backend: &Backend,
    ) -> Result<Self, Failure> {
        let mut config = backend.config.clone();
        config.insert("bucket".to_owned(), bucket.to_owned());
        let link = ProviderLink {
            end: End::Target,
            peer: name.parse()?,
            name: LinkName::default(),
            interfaces: vec!["wasi:keyvalue".parse()?],
            config,
            timeout: None,
        };
        provider.put_link(link).await.map_err(|error| Failure(format!("the link is refused: {}", error.reason())))?;
        Self::without_link(provider, name)
    }

    /// A caller that nobody linked.
    ///
    /// # Errors
    ///
    /// Where `name` is none.
    pub fn without_link(provider: &Arc<dyn Provider>, name: &str) -> Result<Self, Failure> {
        let caller = Caller::Named(name.parse()?);
        Ok(Self { provider: Arc::clone(provider), caller, bucket: String::new() })
    }

    /// The same caller, with another bucket opened.
    #[must_use]
    pub fn opened(&self, bucket: &str) -> Self {
        Self { bucket: bucket.to_owned(), ..self.clone() }
    }

    pub(super) async fn call<P: Serialize, T: DeserializeOwned>(
        &self,
        interface: &str,
        operation: &str,
        params: &P,
    ) -> Result<T, CallError> {
        let interface = interface.parse().map_err(|_| CallError::new(Code::Internal, "not an interface"))?;
        let invocation = Invocation {
            id: CallId::new(),
            caller: self.caller.clone(),
            link: LinkName::default(),
            target: None,
            interface,
            operation: operation.into(),
            params: Params::Wire(to_wire(params)?),
            body: None,
            deadline: Deadline::after(Duration::from_secs(30)),
            trace: None,
            pin: None,
            from: None,
        };
        match self.provider.serve(invocation).await?.answer {
            Answer::Wire(bytes) => from_wire(&bytes),
            Answer::Http(_) => Err(CallError::new(Code::Internal, "an HTTP answer to a key-value call")),
        }
    }

    pub(super) fn handle(&self) -> &Bytes {
        Bytes::new(self.bucket.as_bytes())
    }

    /// `open`.
    ///
    /// # Errors
    ///
    /// The call's own.
    pub async fn open(&self, identifier: &str) -> Called<ByteBuf> {
        self.call(STORE, operation::OPEN, &(identifier,)).await
    }

    /// `get`.
    ///
    /// # Errors
    ///
    /// The call's own.
    pub async fn get(&self, key: &str) -> Called<Option<ByteBuf>> {
        self.call(STORE, operation::GET, &(self.handle(), key)).await
    }

    /// `set`.
    ///
    /// # Errors
    ///
    /// The call's own.
    pub async fn set(&self, key: &str, value: &[u8]) -> Called<()> {
        self.call(STORE, operation::SET, &(self.handle(), key, Bytes::new(value))).await
    }

    /// `delete`.
    ///
    /// # Errors
    ///
    /// The call's own.
    pub async fn delete(&self, key: &str) -> Called<()> {
        self.call(STORE, operation::DELETE, &(self.handle(), key)).await
    }

    /// `exists`.
    ///
    /// # Errors
    ///
    /// The call's own.
    pub async fn exists(&self, key: &str) -> Called<bool> {
        self.call(STORE, operation::EXISTS, &(self.handle(), key)).await
    }

    /// `list-keys`.
    ///
    /// # Errors
    ///
    /// The call's own.
    pub async fn list_keys(&self, cursor: Option<u64>) -> Called<KeyResponse> {
        self.call(STORE, operation::LIST_KEYS, &(self.handle(), cursor)).await
    }

    /// `increment`.
    ///
    /// # Errors
    ///
    /// The call's own.
    pub async fn increment(&self, key: &str, delta: u64) -> Called<u64> {
        self.call(ATOMICS, operation::INCREMENT, &(self.handle(), key, delta)).await
    }

    /// `get-many`.
    ///
    /// # Errors
    ///
    /// The call's own.
    pub async fn get_many(&self, keys: &[String]) -> Called<Values> {
        self.call(BATCH, operation::GET_MANY, &(self.handle(), keys)).await
    }

    /// `set-many`.
    ///
    /// # Errors
    ///
    /// The call's own.
    pub async fn set_many(&self, pairs: &[(String, ByteBuf)]) -> Called<()> {
        self.call(BATCH, operation::SET_MANY, &(self.handle(), pairs)).await
    }

    /// `delete-many`.
    ///
    /// # Errors
    ///
    /// The call's own.
    pub async fn delete_many(&self, keys: &[String]) -> Called<()> {
        self.call(BATCH, operation::DELETE_MANY, &(self.handle(), keys)).await
    }

    /// Every key, page by page.
    pub(super) async fn all_keys(&self) -> Result<Vec<String>, Failure> {
        let mut keys = Vec::new();
        let mut cursor = None;
        for _ in 0..1_000 {
            let page = done(self.list_keys(cursor).await)?;
            keys.extend(page.keys);
            cursor = page.cursor;
            if cursor.is_none() {
                return Ok(keys);
            }
        }
        Err(Failure("a listing does not come to its end".into()))
    }
}

pub(super) fn done<T>(called: Called<T>) -> Result<T, Failure> {
    match called? {
        Outcome::Ok(value) => Ok(value),
        Outcome::Err(error) => Err(Failure(format!("an operation failed: {error:?}"))),
    }
}

//! `wasi:keyvalue@0.2.0-draft` and `@0.2.0-draft2` as calls along a link. A bucket's handle is its identifier, so opening
//! one calls nobody: what is wrong with it is said by the first operation. A handle of a compare-and-swap is whatever
//! its provider made of it.

use std::sync::{Arc, LazyLock};

use mesh_lattice::{
    CallError, Code, Interface,
    wit::{
        Outcome,
        keyvalue::{self as wire, operation},
    },
};
use serde::{Serialize, de::DeserializeOwned};
use serde_bytes::{ByteBuf, Bytes};
use wasmtime::component::{Linker, Resource};

use crate::{linker::Own, outbound::Outbound, state::State};

mod first {
    wasmtime::component::bindgen!({
        path: "../../interfaces/wit/wasi-keyvalue",
        world: "wasi:keyvalue/imports",
        imports: {
            "wasi:keyvalue/store.open": trappable,
            "wasi:keyvalue/store.[drop]bucket": trappable,
            default: async | trappable,
        },
        with: { "wasi:keyvalue/store.bucket": super::Bucket },
    });

    pub(super) use wasi::keyvalue::{atomics, batch, store};
}

mod second {
    wasmtime::component::bindgen!({
        path: "../../interfaces/wit",
        world: "mesh:interfaces/keyvalue-draft2",
        imports: {
            "wasi:keyvalue/store.open": trappable,
            "wasi:keyvalue/store.[drop]bucket": trappable,
            "wasi:keyvalue/atomics.[drop]cas": trappable,
            default: async | trappable,
        },
        with: {
            "wasi:keyvalue/store.bucket": super::Bucket,
            "wasi:keyvalue/atomics.cas": super::Cas,
        },
    });

    pub(super) use wasi::keyvalue0_2_0_draft2::{atomics, batch, store};
}

/// An open bucket.
#[expect(unreachable_pub, reason = "the bindings re-export it")]
pub struct Bucket {
    handle: ByteBuf,
}

/// A condition on a key, as its provider made it.
#[expect(unreachable_pub, reason = "the bindings re-export it")]
pub struct Cas {
    handle: ByteBuf,
}

/// The interfaces as guests spell them.
pub(crate) struct Spelled {
    first: Draft,
    second: Draft,
}

struct Draft {
    store: Interface,
    atomics: Interface,
    batch: Interface,
}

impl Spelled {
    pub(crate) fn new() -> Result<Self, mesh_lattice::name::BadName> {
        let draft = |version: &str| {
            Ok(Draft {
                store: format!("wasi:keyvalue/store@{version}").parse()?,
                atomics: format!("wasi:keyvalue/atomics@{version}").parse()?,
                batch: format!("wasi:keyvalue/batch@{version}").parse()?,
            })
        };
        Ok(Self { first: draft("0.2.0-draft")?, second: draft(wire::DRAFT2)? })
    }
}

/// A function's name, shared by all calls of it.
type Operation = LazyLock<Arc<str>>;

static GET: Operation = LazyLock::new(|| operation::GET.into());
static SET: Operation = LazyLock::new(|| operation::SET.into());
static DELETE: Operation = LazyLock::new(|| operation::DELETE.into());
static EXISTS: Operation = LazyLock::new(|| operation::EXISTS.into());
static LIST_KEYS: Operation = LazyLock::new(|| operation::LIST_KEYS.into());
static INCREMENT: Operation = LazyLock::new(|| operation::INCREMENT.into());
static GET_MANY: Operation = LazyLock::new(|| operation::GET_MANY.into());
static SET_MANY: Operation = LazyLock::new(|| operation::SET_MANY.into());
static DELETE_MANY: Operation = LazyLock::new(|| operation::DELETE_MANY.into());
static CAS_NEW: Operation = LazyLock::new(|| operation::CAS_NEW.into());
static CAS_CURRENT: Operation = LazyLock::new(|| operation::CAS_CURRENT.into());
static SWAP: Operation = LazyLock::new(|| operation::SWAP.into());

pub(super) fn add(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    first::store::add_to_linker::<State, Own>(linker, |state| state)?;
    first::atomics::add_to_linker::<State, Own>(linker, |state| state)?;
    first::batch::add_to_linker::<State, Own>(linker, |state| state)?;
    second::store::add_to_linker::<State, Own>(linker, |state| state)?;
    second::atomics::add_to_linker::<State, Own>(linker, |state| state)?;
    second::batch::add_to_linker::<State, Own>(linker, |state| state)
}

/// A function's own result, or what became of the call as an error of the interface: the guest decides what to do.
type Answered<T, E> = wasmtime::Result<Result<T, E>>;

impl State {
    fn handle(&self, bucket: &Resource<Bucket>) -> wasmtime::Result<ByteBuf> {
        Ok(self.table.get(bucket)?.handle.clone())
    }
}

impl Outbound {
    /// Calls; `W` is the error on the wire and `E` the one that the guest reads.
    async fn keyvalue<P, R, W, E>(
        &self,
        interface: fn(&Spelled) -> &Interface,
        operation: &Operation,
        params: &P,
    ) -> Answered<R, E>
    where
        P: Serialize,
        R: DeserializeOwned,
        W: DeserializeOwned,
        E: From<W> + From<CallError>,
    {
        let interface = interface(&self.shared.keyvalue);
        let result = self.call_wit::<P, Outcome<R, W>>(interface, Arc::clone(operation), params);
        Ok(match result.await {
            Ok(Outcome::Ok(value)) => Ok(value),
            Ok(Outcome::Err(error)) => Err(error.into()),
            Err(error) => Err(error.into()),
        })
    }
}

/// What the drafts have in common but for the type of a cursor.
macro_rules! serve_store {
    ($draft:ident, $cursor:ty, $page:ty) => {
        impl From<wire::Error> for $draft::store::Error {
            fn from(error: wire::Error) -> Self {
                match error {
                    wire::Error::NoSuchStore => Self::NoSuchStore,
                    wire::Error::AccessDenied => Self::AccessDenied,
                    wire::Error::Other(message) => Self::Other(message),
                }
            }
        }

        impl From<CallError> for $draft::store::Error {
            fn from(error: CallError) -> Self {
                match error.code {
                    Code::Denied => Self::AccessDenied,
                    _ => Self::Other(error.to_string()),
                }
            }
        }

        impl $draft::store::Host for State {
            fn open(&mut self, identifier: String) -> Answered<Resource<Bucket>, $draft::store::Error> {
                Ok(Ok(self.table.push(Bucket { handle: ByteBuf::from(identifier) })?))
            }
        }

        impl $draft::store::HostBucket for State {
            async fn get(
                &mut self,
                bucket: Resource<Bucket>,
                key: String,
            ) -> Answered<Option<Vec<u8>>, $draft::store::Error> {
                let params: wire::KeyParams = (self.handle(&bucket)?, key);
                let value = self.outbound.keyvalue::<_, Option<ByteBuf>, wire::Error, _>(
                    |spelled| &spelled.$draft.store,
                    &GET,
                    &params,
                );
                Ok(value.await?.map(|value| value.map(ByteBuf::into_vec)))
            }

            async fn set(
                &mut self,
                bucket: Resource<Bucket>,
                key: String,
                value: Vec<u8>,
            ) -> Answered<(), $draft::store::Error> {
                let handle = self.handle(&bucket)?;
                let params: wire::SetParamsRef<'_> = (Bytes::new(&handle), &key, Bytes::new(&value));
                self.outbound.keyvalue::<_, _, wire::Error, _>(|spelled| &spelled.$draft.store, &SET, &params).await
            }

            async fn delete(&mut self, bucket: Resource<Bucket>, key: String) -> Answered<(), $draft::store::Error> {
                let params: wire::KeyParams = (self.handle(&bucket)?, key);
                self.outbound.keyvalue::<_, _, wire::Error, _>(|spelled| &spelled.$draft.store, &DELETE, &params).await
            }

            async fn exists(&mut self, bucket: Resource<Bucket>, key: String) -> Answered<bool, $draft::store::Error> {
                let params: wire::KeyParams = (self.handle(&bucket)?, key);
                self.outbound.keyvalue::<_, _, wire::Error, _>(|spelled| &spelled.$draft.store, &EXISTS, &params).await
            }

            async fn list_keys(
                &mut self,
                bucket: Resource<Bucket>,
                cursor: Option<$cursor>,
            ) -> Answered<$draft::store::KeyResponse, $draft::store::Error> {
                let params: (ByteBuf, Option<$cursor>) = (self.handle(&bucket)?, cursor);
                let page = self.outbound.keyvalue::<_, $page, wire::Error, _>(
                    |spelled| &spelled.$draft.store,
                    &LIST_KEYS,
                    &params,
                );
                let page = page.await?;
                Ok(page.map(|page| $draft::store::KeyResponse { keys: page.keys, cursor: page.cursor }))
            }

            fn drop(&mut self, bucket: Resource<Bucket>) -> wasmtime::Result<()> {
                self.table.delete(bucket)?;
                Ok(())
            }
        }

        impl $draft::batch::Host for State {
            async fn get_many(
                &mut self,
                bucket: Resource<Bucket>,
                keys: Vec<String>,
            ) -> Answered<Vec<Option<(String, Vec<u8>)>>, $draft::store::Error> {
                let params: wire::KeysParams = (self.handle(&bucket)?, keys);
                let values = self.outbound.keyvalue::<_, wire::Values, wire::Error, _>(
                    |spelled| &spelled.$draft.batch,
                    &GET_MANY,
                    &params,
                );
                let pair = |pair: Option<(String, ByteBuf)>| pair.map(|(key, value)| (key, value.into_vec()));
                Ok(values.await?.map(|values| values.into_iter().map(pair).collect()))
            }

            async fn set_many(
                &mut self,
                bucket: Resource<Bucket>,
                pairs: Vec<(String, Vec<u8>)>,
            ) -> Answered<(), $draft::store::Error> {
                let pairs = pairs.into_iter().map(|(key, value)| (key, ByteBuf::from(value))).collect();
                let params: wire::SetManyParams = (self.handle(&bucket)?, pairs);
                self.outbound
                    .keyvalue::<_, _, wire::Error, _>(|spelled| &spelled.$draft.batch, &SET_MANY, &params)
                    .await
            }

            async fn delete_many(
                &mut self,
                bucket: Resource<Bucket>,
                keys: Vec<String>,
            ) -> Answered<(), $draft::store::Error> {
                let params: wire::KeysParams = (self.handle(&bucket)?, keys);
                self.outbound
                    .keyvalue::<_, _, wire::Error, _>(|spelled| &spelled.$draft.batch, &DELETE_MANY, &params)
                    .await
            }
        }
    };
}

serve_store!(first, u64, wire::KeyResponse);
serve_store!(second, String, wire::KeyResponse2);

impl first::atomics::Host for State {
    async fn increment(
        &mut self,
        bucket: Resource<Bucket>,
        key: String,
        delta: u64,
    ) -> Answered<u64, first::store::Error> {
        let params: wire::IncrementParams = (self.handle(&bucket)?, key, delta);
        self.outbound.keyvalue::<_, _, wire::Error, _>(|spelled| &spelled.first.atomics, &INCREMENT, &params).await
    }
}

/// A failure of the store, or the handle for the next attempt.
enum NotSwapped {
    Failed(second::store::Error),
    Changed(ByteBuf),
}

impl From<wire::CasError> for NotSwapped {
    fn from(error: wire::CasError) -> Self {
        match error {
            wire::CasError::StoreError(error) => Self::Failed(error.into()),
            wire::CasError::CasFailed(handle) => Self::Changed(handle),
        }
    }
}

impl From<CallError> for NotSwapped {
    fn from(error: CallError) -> Self {
        Self::Failed(error.into())
    }
}

impl second::atomics::Host for State {
    async fn increment(
        &mut self,
        bucket: Resource<Bucket>,
        key: String,
        delta: i64,
    ) -> Answered<i64, second::store::Error> {
        let params: wire::IncrementParams2 = (self.handle(&bucket)?, key, delta);
        self.outbound.keyvalue::<_, _, wire::Error, _>(|spelled| &spelled.second.atomics, &INCREMENT, &params).await
    }

    /// The handle is used up, whatever comes of it.
    async fn swap(&mut self, cas: Resource<Cas>, value: Vec<u8>) -> Answered<(), second::atomics::CasError> {
        let Cas { handle } = self.table.delete(cas)?;
        let params = (&handle, Bytes::new(&value));
        let swapped = self.outbound.keyvalue::<_, (), wire::CasError, NotSwapped>(
            |spelled| &spelled.second.atomics,
            &SWAP,
            &params,
        );
        Ok(match swapped.await? {
            Ok(()) => Ok(()),
            Err(NotSwapped::Failed(error)) => Err(second::atomics::CasError::StoreError(error)),
            Err(NotSwapped::Changed(handle)) => {
                Err(second::atomics::CasError::CasFailed(self.table.push(Cas { handle })?))
            }
        })
    }
}

impl second::atomics::HostCas for State {
    async fn new(&mut self, bucket: Resource<Bucket>, key: String) -> Answered<Resource<Cas>, second::store::Error> {
        let params: wire::KeyParams = (self.handle(&bucket)?, key);
        let made =
            self.outbound.keyvalue::<_, ByteBuf, wire::Error, _>(|spelled| &spelled.second.atomics, &CAS_NEW, &params);
        Ok(match made.await? {
            Ok(handle) => Ok(self.table.push(Cas { handle })?),
            Err(error) => Err(error),
        })
    }

    async fn current(&mut self, cas: Resource<Cas>) -> Answered<Option<Vec<u8>>, second::store::Error> {
        let params: wire::CasParams = (self.table.get(&cas)?.handle.clone(),);
        let value = self.outbound.keyvalue::<_, Option<ByteBuf>, wire::Error, _>(
            |spelled| &spelled.second.atomics,
            &CAS_CURRENT,
            &params,
        );
        Ok(value.await?.map(|value| value.map(ByteBuf::into_vec)))
    }

    fn drop(&mut self, cas: Resource<Cas>) -> wasmtime::Result<()> {
        self.table.delete(cas)?;
        Ok(())
    }
}

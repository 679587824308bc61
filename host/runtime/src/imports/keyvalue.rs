//! `wasi:keyvalue@0.2.0-draft` and `@0.2.0-draft2` as calls along a link, to a provider or to an actor. Opening a bucket
//! calls nobody: what is wrong with it is said by the first operation. [`opened`] has what a bucket is to whoever serves
//! it.

pub(crate) mod many;
pub(crate) mod opened;

use std::sync::{Arc, LazyLock};

use mesh_lattice::{
    CallError, Code,
    name::BadName,
    wit::{
        Outcome,
        keyvalue::{self as wire, operation},
        to_wire,
    },
};
use serde_bytes::{ByteBuf, Bytes};
use wasmtime::component::{Linker, Resource};

use self::opened::{Bucket, Cas, Draft, Function, Opening};
use crate::{linker::Own, state::State};

mod first {
    wasmtime::component::bindgen!({
        path: "../../interfaces/wit/wasi-keyvalue",
        world: "wasi:keyvalue/imports",
        imports: {
            "wasi:keyvalue/store.open": trappable,
            "wasi:keyvalue/store.[drop]bucket": trappable,
            default: async | trappable,
        },
        with: { "wasi:keyvalue/store.bucket": super::opened::Bucket },
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
            "wasi:keyvalue/store.bucket": super::opened::Bucket,
            "wasi:keyvalue/atomics.cas": super::opened::Cas,
        },
    });

    pub(super) use wasi::keyvalue0_2_0_draft2::{atomics, batch, store};
}

/// The interfaces as guests spell them, and what is known of who serves them.
pub(crate) struct Spelled {
    first: Draft,
    second: Draft,
    opening: Opening,
}

impl Spelled {
    pub(crate) fn new() -> Result<Self, BadName> {
        let (first, second) = (Draft::new("0.2.0-draft")?, Draft::new(wire::DRAFT2)?);
        Ok(Self { first, second, opening: Opening::default() })
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

/// A function of a draft, by where its parts stand.
macro_rules! function {
    ($draft:ident.$interface:ident, $operation:ident) => {
        Function { draft: |all| &all.$draft, interface: |draft| &draft.$interface, operation: &$operation }
    };
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
                Ok(Ok(self.table.push(Bucket::new(identifier))?))
            }
        }

        impl $draft::store::HostBucket for State {
            async fn get(
                &mut self,
                bucket: Resource<Bucket>,
                key: String,
            ) -> Answered<Option<Vec<u8>>, $draft::store::Error> {
                let params = |handle: &Bytes| to_wire(&(handle, &key));
                let value: Result<Option<ByteBuf>, _> =
                    self.on_bucket(&bucket, function!($draft.store, GET), params).await?;
                Ok(value.map(|value| value.map(ByteBuf::into_vec)))
            }

            async fn set(
                &mut self,
                bucket: Resource<Bucket>,
                key: String,
                value: Vec<u8>,
            ) -> Answered<(), $draft::store::Error> {
                let params = |handle: &Bytes| to_wire(&(handle, &key, Bytes::new(&value)));
                self.on_bucket(&bucket, function!($draft.store, SET), params).await
            }

            async fn delete(&mut self, bucket: Resource<Bucket>, key: String) -> Answered<(), $draft::store::Error> {
                let params = |handle: &Bytes| to_wire(&(handle, &key));
                self.on_bucket(&bucket, function!($draft.store, DELETE), params).await
            }

            async fn exists(&mut self, bucket: Resource<Bucket>, key: String) -> Answered<bool, $draft::store::Error> {
                let params = |handle: &Bytes| to_wire(&(handle, &key));
                self.on_bucket(&bucket, function!($draft.store, EXISTS), params).await
            }

            async fn list_keys(
                &mut self,
                bucket: Resource<Bucket>,
                cursor: Option<$cursor>,
            ) -> Answered<$draft::store::KeyResponse, $draft::store::Error> {
                let params = |handle: &Bytes| to_wire(&(handle, &cursor));
                let page: Result<$page, _> =
                    self.on_bucket(&bucket, function!($draft.store, LIST_KEYS), params).await?;
                Ok(page.map(|page| $draft::store::KeyResponse { keys: page.keys, cursor: page.cursor }))
            }

            fn drop(&mut self, bucket: Resource<Bucket>) -> wasmtime::Result<()> {
                self.close(bucket)
            }
        }

        impl $draft::batch::Host for State {
            async fn get_many(
                &mut self,
                bucket: Resource<Bucket>,
                keys: Vec<String>,
            ) -> Answered<Vec<Option<(String, Vec<u8>)>>, $draft::store::Error> {
                let params = |handle: &Bytes| to_wire(&(handle, &keys));
                let values: Result<many::Values, _> =
                    self.on_bucket(&bucket, function!($draft.batch, GET_MANY), params).await?;
                Ok(values.map(many::older))
            }

            async fn set_many(
                &mut self,
                bucket: Resource<Bucket>,
                pairs: Vec<(String, Vec<u8>)>,
            ) -> Answered<(), $draft::store::Error> {
                let pairs: Vec<_> = pairs.iter().map(|(key, value)| (key, Bytes::new(value))).collect();
                let params = |handle: &Bytes| to_wire(&(handle, &pairs));
                self.on_bucket(&bucket, function!($draft.batch, SET_MANY), params).await
            }

            async fn delete_many(
                &mut self,
                bucket: Resource<Bucket>,
                keys: Vec<String>,
            ) -> Answered<(), $draft::store::Error> {
                let params = |handle: &Bytes| to_wire(&(handle, &keys));
                self.on_bucket(&bucket, function!($draft.batch, DELETE_MANY), params).await
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
        let params = |handle: &Bytes| to_wire(&(handle, &key, delta));
        self.on_bucket(&bucket, function!(first.atomics, INCREMENT), params).await
    }
}

impl second::atomics::Host for State {
    async fn increment(
        &mut self,
        bucket: Resource<Bucket>,
        key: String,
        delta: i64,
    ) -> Answered<i64, second::store::Error> {
        let params = |handle: &Bytes| to_wire(&(handle, &key, delta));
        self.on_bucket(&bucket, function!(second.atomics, INCREMENT), params).await
    }

    /// The condition is used up, whatever comes of it.
    async fn swap(&mut self, cas: Resource<Cas>, value: Vec<u8>) -> Answered<(), second::atomics::CasError> {
        let params = |handle: &Bytes| to_wire(&(handle, Bytes::new(&value)));
        let swapped = self.on_cas::<Outcome<(), wire::CasError>>(&cas, function!(second.atomics, SWAP), params).await?;
        match &swapped {
            Ok(_) => self.give_cas(cas)?,
            // Nobody took it, or nobody knows.
            Err(_) => self.drop_cas(cas)?,
        }
        Ok(match swapped {
            Ok(Outcome::Ok(())) => Ok(()),
            Ok(Outcome::Err(wire::CasError::StoreError(error))) => {
                Err(second::atomics::CasError::StoreError(error.into()))
            }
            Ok(Outcome::Err(wire::CasError::CasFailed(next))) => {
                Err(second::atomics::CasError::CasFailed(self.keep_cas(next)?))
            }
            Err(error) => Err(second::atomics::CasError::StoreError(error.into())),
        })
    }
}

impl second::atomics::HostCas for State {
    async fn new(&mut self, bucket: Resource<Bucket>, key: String) -> Answered<Resource<Cas>, second::store::Error> {
        let params = |handle: &Bytes| to_wire(&(handle, &key));
        match self.on_bucket(&bucket, function!(second.atomics, CAS_NEW), params).await? {
            Ok(handle) => Ok(Ok(self.keep_cas(handle)?)),
            Err(error) => Ok(Err(error)),
        }
    }

    async fn current(&mut self, cas: Resource<Cas>) -> Answered<Option<Vec<u8>>, second::store::Error> {
        let params = |handle: &Bytes| to_wire(&(handle,));
        let function = function!(second.atomics, CAS_CURRENT);
        let value = self.on_cas::<Outcome<Option<ByteBuf>, wire::Error>>(&cas, function, params).await?;
        Ok(match value {
            Ok(Outcome::Ok(value)) => Ok(value.map(ByteBuf::into_vec)),
            Ok(Outcome::Err(error)) => Err(error.into()),
            Err(error) => Err(error.into()),
        })
    }

    fn drop(&mut self, cas: Resource<Cas>) -> wasmtime::Result<()> {
        self.drop_cas(cas)
    }
}

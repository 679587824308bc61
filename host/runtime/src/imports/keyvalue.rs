//! `wasi:keyvalue@0.2.0-draft` as calls along a link. A bucket's handle is its identifier, so opening one calls
//! nobody: what is wrong with it is said by the first operation.

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

mod bindings {
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
}

use bindings::wasi::keyvalue::{atomics, batch, store};
use store::Error;

/// An open bucket.
#[expect(unreachable_pub, reason = "the bindings re-export it")]
pub struct Bucket {
    handle: ByteBuf,
}

/// The interfaces as guests spell them.
pub(crate) struct Spelled {
    store: Interface,
    atomics: Interface,
    batch: Interface,
}

impl Spelled {
    pub(crate) fn new() -> Result<Self, mesh_lattice::name::BadName> {
        Ok(Self {
            store: "wasi:keyvalue/store@0.2.0-draft".parse()?,
            atomics: "wasi:keyvalue/atomics@0.2.0-draft".parse()?,
            batch: "wasi:keyvalue/batch@0.2.0-draft".parse()?,
        })
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

pub(super) fn add(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    store::add_to_linker::<State, Own>(linker, |state| state)?;
    atomics::add_to_linker::<State, Own>(linker, |state| state)?;
    batch::add_to_linker::<State, Own>(linker, |state| state)
}

/// A function's own result, or what became of the call as an error of the interface: the guest decides what to do.
type Answered<T> = wasmtime::Result<Result<T, Error>>;

impl State {
    fn handle(&self, bucket: &Resource<Bucket>) -> wasmtime::Result<ByteBuf> {
        Ok(self.table.get(bucket)?.handle.clone())
    }
}

impl Outbound {
    async fn keyvalue<P: Serialize, R: DeserializeOwned>(
        &self,
        interface: fn(&Spelled) -> &Interface,
        operation: &Operation,
        params: &P,
    ) -> Answered<R> {
        let interface = interface(&self.shared.keyvalue);
        let result = self.call_wit::<P, Outcome<R, wire::Error>>(interface, Arc::clone(operation), params);
        Ok(match result.await {
            Ok(Outcome::Ok(value)) => Ok(value),
            Ok(Outcome::Err(error)) => Err(error.into()),
            Err(error) => Err(error.into()),
        })
    }
}

impl From<wire::Error> for Error {
    fn from(error: wire::Error) -> Self {
        match error {
            wire::Error::NoSuchStore => Self::NoSuchStore,
            wire::Error::AccessDenied => Self::AccessDenied,
            wire::Error::Other(message) => Self::Other(message),
        }
    }
}

impl From<CallError> for Error {
    fn from(error: CallError) -> Self {
        match error.code {
            Code::Denied => Self::AccessDenied,
            _ => Self::Other(error.to_string()),
        }
    }
}

impl store::Host for State {
    fn open(&mut self, identifier: String) -> Answered<Resource<Bucket>> {
        Ok(Ok(self.table.push(Bucket { handle: ByteBuf::from(identifier) })?))
    }
}

impl store::HostBucket for State {
    async fn get(&mut self, bucket: Resource<Bucket>, key: String) -> Answered<Option<Vec<u8>>> {
        let params: wire::KeyParams = (self.handle(&bucket)?, key);
        let value = self.outbound.keyvalue::<_, Option<ByteBuf>>(|spelled| &spelled.store, &GET, &params).await?;
        Ok(value.map(|value| value.map(ByteBuf::into_vec)))
    }

    async fn set(&mut self, bucket: Resource<Bucket>, key: String, value: Vec<u8>) -> Answered<()> {
        let handle = self.handle(&bucket)?;
        let params: wire::SetParamsRef<'_> = (Bytes::new(&handle), &key, Bytes::new(&value));
        self.outbound.keyvalue(|spelled| &spelled.store, &SET, &params).await
    }

    async fn delete(&mut self, bucket: Resource<Bucket>, key: String) -> Answered<()> {
        let params: wire::KeyParams = (self.handle(&bucket)?, key);
        self.outbound.keyvalue(|spelled| &spelled.store, &DELETE, &params).await
    }

    async fn exists(&mut self, bucket: Resource<Bucket>, key: String) -> Answered<bool> {
        let params: wire::KeyParams = (self.handle(&bucket)?, key);
        self.outbound.keyvalue(|spelled| &spelled.store, &EXISTS, &params).await
    }

    async fn list_keys(&mut self, bucket: Resource<Bucket>, cursor: Option<u64>) -> Answered<store::KeyResponse> {
        let params: wire::ListParams = (self.handle(&bucket)?, cursor);
        let page =
            self.outbound.keyvalue::<_, wire::KeyResponse>(|spelled| &spelled.store, &LIST_KEYS, &params).await?;
        Ok(page.map(|page| store::KeyResponse { keys: page.keys, cursor: page.cursor }))
    }

    fn drop(&mut self, bucket: Resource<Bucket>) -> wasmtime::Result<()> {
        self.table.delete(bucket)?;
        Ok(())
    }
}

impl atomics::Host for State {
    async fn increment(&mut self, bucket: Resource<Bucket>, key: String, delta: u64) -> Answered<u64> {
        let params: wire::IncrementParams = (self.handle(&bucket)?, key, delta);
        self.outbound.keyvalue(|spelled| &spelled.atomics, &INCREMENT, &params).await
    }
}

impl batch::Host for State {
    async fn get_many(
        &mut self,
        bucket: Resource<Bucket>,
        keys: Vec<String>,
    ) -> Answered<Vec<Option<(String, Vec<u8>)>>> {
        let params: wire::KeysParams = (self.handle(&bucket)?, keys);
        let values = self.outbound.keyvalue::<_, wire::Values>(|spelled| &spelled.batch, &GET_MANY, &params).await?;
        let pair = |pair: Option<(String, ByteBuf)>| pair.map(|(key, value)| (key, value.into_vec()));
        Ok(values.map(|values| values.into_iter().map(pair).collect()))
    }

    async fn set_many(&mut self, bucket: Resource<Bucket>, pairs: Vec<(String, Vec<u8>)>) -> Answered<()> {
        let pairs = pairs.into_iter().map(|(key, value)| (key, ByteBuf::from(value))).collect();
        let params: wire::SetManyParams = (self.handle(&bucket)?, pairs);
        self.outbound.keyvalue(|spelled| &spelled.batch, &SET_MANY, &params).await
    }

    async fn delete_many(&mut self, bucket: Resource<Bucket>, keys: Vec<String>) -> Answered<()> {
        let params: wire::KeysParams = (self.handle(&bucket)?, keys);
        self.outbound.keyvalue(|spelled| &spelled.batch, &DELETE_MANY, &params).await
    }
}

//! What a guest's bucket is to whoever serves it.
//!
//! ```text
//! open ──► by name alone ──┬─ operation ──► a provider, which takes the name
//!                          └─ operation ──► an actor, which does not know it: no handle ─► opened there ─► again
//! ```
//!
//! A provider takes a bucket's name for its handle, so that nothing is asked to open one. An actor that serves
//! key-value has resources as every other actor: its buckets are opened by the first operation along a link, held by
//! the guest, and let go of. Which links lead to such an actor is remembered, so that one operation in the life of the
//! calling actor is refused, and those on providers cost what they always did. A bucket is a name: where the instance
//! that had it is gone, it is opened anew, and the operation, which has not begun, is made there.

use std::sync::Arc;

use mesh_lattice::{
    Answer, CallError, Code, Interface, LinkName, Params,
    name::BadName,
    wit::{
        self, Outcome,
        keyvalue::{self as wire, operation},
    },
};
use parking_lot::RwLock;
use serde::de::DeserializeOwned;
use serde_bytes::{ByteBuf, Bytes};
use wasmtime::component::Resource;

use super::{Answered, Operation};
use crate::{
    dynamic::{
        remote::{Handle, HandleError, let_go_of_all},
        resources::Imported,
    },
    outbound::{Along, Outbound},
    state::State,
};

/// An open bucket.
#[expect(unreachable_pub, reason = "the bindings re-export it")]
pub struct Bucket {
    identifier: String,
    /// Where an actor serves it: the number of its handle, for each link that it was used along.
    opened: Vec<(LinkName, u32)>,
}

impl Bucket {
    pub(super) fn new(identifier: String) -> Self {
        Self { identifier, opened: Vec::new() }
    }
}

/// A condition on a key.
#[expect(unreachable_pub, reason = "the bindings re-export it")]
pub enum Cas {
    /// Whatever its provider made of it.
    Plain(ByteBuf),
    /// The number of the handle of an actor's.
    Held(u32),
}

/// One draft as guests spell it.
pub(crate) struct Draft {
    pub(super) store: Interface,
    pub(super) atomics: Interface,
    pub(super) batch: Interface,
    bucket: Arc<Imported>,
    cas: Arc<Imported>,
}

impl Draft {
    pub(super) fn new(version: &str) -> Result<Self, BadName> {
        let interface = |name: &str| format!("wasi:keyvalue/{name}@{version}").parse::<Interface>();
        let (store, atomics, batch) = (interface("store")?, interface("atomics")?, interface("batch")?);
        let bucket = Arc::new(Imported::adapted(store.clone(), "bucket"));
        let cas = Arc::new(Imported::adapted(atomics.clone(), "cas"));
        Ok(Self { store, atomics, batch, bucket, cas })
    }
}

/// The links that lead to actors whose buckets have to be opened.
#[derive(Default)]
pub(crate) struct Opening(RwLock<Vec<LinkName>>);

impl Opening {
    fn is_known(&self, link: &LinkName) -> bool {
        self.0.read().contains(link)
    }

    fn learn(&self, link: &LinkName, opens: bool) {
        if self.is_known(link) != opens {
            let mut known = self.0.write();
            known.retain(|one| one != link);
            if opens {
                known.push(link.clone());
            }
        }
    }
}

/// A function of a draft.
#[derive(Clone, Copy)]
pub(super) struct Function {
    pub(super) draft: fn(&super::Spelled) -> &Draft,
    pub(super) interface: fn(&Draft) -> &Interface,
    pub(super) operation: &'static Operation,
}

/// Why a bucket was not opened.
enum NotOpened {
    Refused(wire::Error),
    Failed(CallError),
}

/// Why an operation has no result.
enum Failed {
    /// Whoever serves did not take it.
    Call(CallError),
    /// What came back is no answer.
    Answer(CallError),
}

impl Failed {
    fn into_error(self) -> CallError {
        match self {
            Self::Call(error) | Self::Answer(error) => error,
        }
    }
}

/// What an operation is called with, where the handle has been written before the rest.
type Written = Result<bytes::Bytes, CallError>;

async fn operate<T: DeserializeOwned>(
    outbound: &Outbound,
    (interface, operation): (&Interface, Arc<str>),
    params: Written,
    along: Along,
) -> Result<T, Failed> {
    let params = Params::Wire(params.map_err(Failed::Answer)?);
    let reply = outbound.call_along(interface, operation, params, along).await.map_err(Failed::Call)?;
    match reply.answer {
        Answer::Wire(result) => wit::from_wire(&result).map_err(Failed::Answer),
        Answer::Http(_) => {
            Err(Failed::Answer(CallError::new(Code::Internal, "the answer is HTTP where a value was asked for")))
        }
    }
}

impl State {
    /// An operation on a bucket; `params` writes what it is called with, given the bucket's handle.
    pub(super) async fn on_bucket<R, E>(
        &mut self,
        bucket: &Resource<Bucket>,
        function: Function,
        params: impl Fn(&Bytes) -> Written,
    ) -> Answered<R, E>
    where
        R: DeserializeOwned,
        E: From<wire::Error> + From<CallError>,
    {
        let shared = Arc::clone(&self.outbound.shared);
        let draft = (function.draft)(&shared.keyvalue);
        let called = || ((function.interface)(draft), Arc::clone(function.operation));
        let link = self.outbound.link(called().0);
        let mut held = self.table.get(bucket)?.opened.iter().find(|(one, _)| *one == link).map(|(_, number)| *number);
        if held.is_none() && shared.keyvalue.opening.is_known(&link) {
            match self.open(bucket, draft, &link).await? {
                Ok(number) => held = number,
                Err(NotOpened::Refused(error)) => return Ok(Err(error.into())),
                Err(NotOpened::Failed(error)) => return Ok(Err(error.into())),
            }
        }
        let (handle, along) = match held {
            Some(number) => self.held(number)?,
            None => (self.table.get(bucket)?.identifier.clone().into(), Along::default()),
        };
        let refusal = match operate(&self.outbound, called(), params(Bytes::new(&handle)), along).await {
            Ok(outcome) => return Ok(told(outcome)),
            Err(Failed::Call(error)) if has_to_be_opened(&error, held.is_some()) => error,
            Err(failed) => return Ok(Err(failed.into_error().into())),
        };
        if let Some(gone) = held {
            self.table.get_mut(bucket)?.opened.retain(|(_, number)| *number != gone);
            self.remote.take(gone)?;
        }
        let number = match self.open(bucket, draft, &link).await? {
            Ok(Some(number)) => number,
            Ok(None) | Err(NotOpened::Failed(_)) => return Ok(Err(refusal.into())),
            Err(NotOpened::Refused(error)) => return Ok(Err(error.into())),
        };
        let (handle, along) = self.held(number)?;
        let answered = operate(&self.outbound, called(), params(Bytes::new(&handle)), along).await;
        Ok(answered.map_err(|failed| failed.into_error().into()).and_then(told))
    }

    /// Opens a bucket along a link; none where its name is its handle.
    async fn open(
        &mut self,
        bucket: &Resource<Bucket>,
        draft: &Draft,
        link: &LinkName,
    ) -> wasmtime::Result<Result<Option<u32>, NotOpened>> {
        let params = wit::to_wire(&(&self.table.get(bucket)?.identifier,));
        let along = Along { link: Some(link.clone()), pin: None };
        let opened = operate::<Outcome<ByteBuf, wire::Error>>(
            &self.outbound,
            (&draft.store, operation::OPEN.into()),
            params,
            along,
        );
        let handle = match opened.await {
            Ok(Outcome::Ok(handle)) => bytes::Bytes::from(handle.into_vec()),
            Ok(Outcome::Err(error)) => return Ok(Err(NotOpened::Refused(error))),
            Err(failed) => return Ok(Err(NotOpened::Failed(failed.into_error()))),
        };
        let shared = Arc::clone(&self.outbound.shared);
        let is_minted = shared.engine.mint().pin(&handle).is_some();
        shared.keyvalue.opening.learn(link, is_minted);
        if !is_minted {
            return Ok(Ok(None));
        }
        let handle = Handle { bytes: handle, resource: Arc::clone(&draft.bucket), link: link.clone() };
        let number = self.remote.keep(handle);
        self.remote.check()?;
        self.table.get_mut(bucket)?.opened.push((link.clone(), number));
        Ok(Ok(Some(number)))
    }

    fn held(&self, number: u32) -> Result<(bytes::Bytes, Along), HandleError> {
        let handle = self.remote.get(number)?;
        let pin = self.outbound.shared.engine.mint().pin(&handle.bytes);
        Ok((handle.bytes.clone(), Along { link: Some(handle.link.clone()), pin }))
    }

    /// The guest has done with a bucket.
    pub(super) fn close(&mut self, bucket: Resource<Bucket>) -> wasmtime::Result<()> {
        let opened = self.table.delete(bucket)?.opened;
        if !opened.is_empty() {
            let handles = opened.into_iter().map(|(_, number)| self.remote.take(number));
            let_go_of_all(handles.collect::<Result<_, _>>()?, &self.outbound);
        }
        Ok(())
    }

    /// A condition as the guest holds it, by the handle that it was given.
    pub(super) fn keep_cas(&mut self, handle: ByteBuf) -> wasmtime::Result<Resource<Cas>> {
        let shared = Arc::clone(&self.outbound.shared);
        let cas = if shared.engine.mint().pin(&handle).is_some() {
            let draft = &shared.keyvalue.second;
            let link = self.outbound.link(&draft.atomics);
            let handle = Handle { bytes: handle.into_vec().into(), resource: Arc::clone(&draft.cas), link };
            let number = self.remote.keep(handle);
            self.remote.check()?;
            Cas::Held(number)
        } else {
            Cas::Plain(handle)
        };
        Ok(self.table.push(cas)?)
    }

    /// The handle of a condition, and where it is of use.
    fn handle_of(&self, cas: &Cas) -> Result<(bytes::Bytes, Along), HandleError> {
        match cas {
            Cas::Plain(handle) => Ok((handle.to_vec().into(), Along::default())),
            Cas::Held(number) => self.held(*number),
        }
    }

    /// An operation on a condition.
    pub(super) async fn on_cas<T: DeserializeOwned>(
        &mut self,
        cas: &Resource<Cas>,
        function: Function,
        params: impl Fn(&Bytes) -> Written,
    ) -> wasmtime::Result<Result<T, CallError>> {
        let shared = Arc::clone(&self.outbound.shared);
        let interface = (function.interface)((function.draft)(&shared.keyvalue));
        let (handle, along) = self.handle_of(self.table.get(cas)?)?;
        let called = (interface, Arc::clone(function.operation));
        let answered = operate(&self.outbound, called, params(Bytes::new(&handle)), along).await;
        Ok(answered.map_err(Failed::into_error))
    }

    /// The guest has done with a condition.
    pub(super) fn drop_cas(&mut self, cas: Resource<Cas>) -> wasmtime::Result<()> {
        if let Cas::Held(number) = self.table.delete(cas)? {
            let_go_of_all(vec![self.remote.take(number)?], &self.outbound);
        }
        Ok(())
    }

    /// The condition belongs to whoever serves it.
    pub(super) fn give_cas(&mut self, cas: Resource<Cas>) -> wasmtime::Result<()> {
        if let Cas::Held(number) = self.table.delete(cas)? {
            self.remote.take(number)?;
        }
        Ok(())
    }
}

/// Whether nothing was done because the bucket is not open where it is served: an actor knows no name, and an instance
/// that is gone no handle.
fn has_to_be_opened(error: &CallError, is_held: bool) -> bool {
    match error.code {
        Code::Gone | Code::Unavailable => is_held,
        Code::BadParams => !is_held,
        _ => false,
    }
}

fn told<R, E: From<wire::Error>>(outcome: Outcome<R, wire::Error>) -> Result<R, E> {
    match outcome {
        Outcome::Ok(value) => Ok(value),
        Outcome::Err(error) => Err(error.into()),
    }
}

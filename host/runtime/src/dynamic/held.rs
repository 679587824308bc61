//! Instances that live on between calls because callers hold handles of their resources.
//!
//! ```text
//! call ends with handles in its answer ──► held ─┬─ call on one of them ──► works ──► held
//!                                                └─ the last is dropped, nobody calls for too long,
//!                                                   a call of it fails, or the actor goes ──► gone, with all handles
//! ```
//!
//! A held instance keeps its place among those that the actor may have. Calls on it come one after the other. Who got
//! a handle lets go of it when it is dropped, and of what is left at the end of its own call; who is lost, or never
//! says so, is found out by the time that passes.
//!
//! A handle names host and boot, says whose it is and whom it was given to, and carries a tag that only this boot can
//! make: what was never minted, what is somebody else's and what has ended are told apart without keeping what ended.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use mesh_lattice::{
    BootId, CallError, Caller, Code, Deadline, HostId, Name,
    handle::{self, Origin, Pin},
    id::key_text,
};
use parking_lot::Mutex;
use ring::{
    digest, hmac,
    rand::{self, SystemRandom},
};
use tokio::sync::{Mutex as Turn, OwnedMutexGuard};
use tokio_util::sync::CancellationToken;
use wasmtime::component::ResourceAny;

use crate::{
    actor::{Shared, Ticket},
    instance::Instance,
};

/// An instance whose handles nobody uses for this long goes.
const IDLE: Duration = Duration::from_secs(30);
/// Handles of one instance.
const MAX_OF_INSTANCE: usize = 512;
/// Handles that one caller has of an actor.
const MAX_OF_CALLER: usize = 2048;
/// Bytes of a tag, and of what stands for a name.
const TAG: usize = 16;

/// What mints the handles of one engine, and knows them again.
pub(crate) struct Mint {
    origin: Origin,
    key: hmac::Key,
    /// No two handles of a boot have one number, whichever actors they are of.
    next: AtomicU64,
}

impl Mint {
    /// One of this boot; its key is of no use to another one.
    pub(crate) fn new(origin: Option<Origin>) -> Result<Self, ring::error::Unspecified> {
        let random = SystemRandom::new();
        let origin = match origin {
            Some(origin) => origin,
            None => Origin { host: nobody(&random)?, boot: BootId::new() },
        };
        Ok(Self { origin, key: hmac::Key::generate(hmac::HMAC_SHA256, &random)?, next: AtomicU64::new(0) })
    }

    fn handle(&self, number: u64, actor: &Name, caller: &Caller) -> Bytes {
        let mut body = Vec::with_capacity(8 + 3 * TAG);
        body.extend(number.to_be_bytes());
        body.extend(short(actor.as_str()));
        body.extend(short(&caller.to_string()));
        let tag = hmac::sign(&self.key, &body);
        body.extend(tag.as_ref().iter().take(TAG));
        handle::mint(&self.origin, &body).into()
    }

    /// Where a call with this handle has to be made; anywhere, where no host minted it.
    pub(crate) fn pin(&self, handle: &[u8]) -> Option<Pin> {
        let (origin, _) = handle::read(handle)?;
        Some(if origin.host == self.origin.host { Pin::Here } else { Pin::On(origin.host) })
    }

    /// The number of a handle, where it is one that `caller` was given by `actor`.
    fn number(&self, handle: &[u8], actor: &Name, caller: &Caller) -> Result<u64, Refused> {
        let (origin, body) = handle::read(handle).ok_or(Refused::Forged)?;
        if origin.boot != self.origin.boot {
            return Err(Refused::Ended);
        }
        let (body, tag) = body.split_at_checked(8 + 2 * TAG).ok_or(Refused::Forged)?;
        // Compared without saying by its time how much of it is right.
        let own = hmac::sign(&self.key, body);
        let own = own.as_ref().get(..TAG).unwrap_or_default();
        let differs = own.iter().zip(tag).fold(0, |differs, (one, other)| differs | (one ^ other));
        if tag.len() != TAG || differs != 0 {
            return Err(Refused::Forged);
        }
        let (number, names) = body.split_at_checked(8).ok_or(Refused::Forged)?;
        let (of_actor, of_caller) = names.split_at_checked(TAG).ok_or(Refused::Forged)?;
        if of_actor != short(actor.as_str()) {
            return Err(Refused::OfAnotherActor);
        }
        if of_caller != short(&caller.to_string()) {
            return Err(Refused::OfAnotherCaller);
        }
        Ok(number.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }
}

/// The id of an engine that belongs to no host.
fn nobody(random: &SystemRandom) -> Result<HostId, ring::error::Unspecified> {
    let key = rand::generate::<[u8; 32]>(random)?.expose();
    key_text(HOST_PREFIX, &key).parse().map_err(|_| ring::error::Unspecified)
}

/// What the public key of a host begins with: an `N`.
const HOST_PREFIX: u8 = 13 << 3;

/// What stands for a name in a handle.
fn short(name: &str) -> [u8; TAG] {
    let digest = digest::digest(&digest::SHA256, name.as_bytes());
    let mut short = [0; TAG];
    short.iter_mut().zip(digest.as_ref()).for_each(|(to, from)| *to = *from);
    short
}

/// Why a handle is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    #[error("the handle was never minted here")]
    Forged,
    #[error("the handle is of another actor")]
    OfAnotherActor,
    #[error("the handle was given to another caller")]
    OfAnotherCaller,
    #[error("what the handle stood for has ended")]
    Ended,
    #[error("the handles of one call are of several instances")]
    Several,
    #[error("the handle is of another resource")]
    OfAnotherResource,
    #[error("there are too many handles")]
    TooMany,
}

impl From<Refused> for CallError {
    fn from(refused: Refused) -> Self {
        let code = match refused {
            Refused::Forged | Refused::Several | Refused::OfAnotherResource => Code::BadParams,
            Refused::OfAnotherActor | Refused::OfAnotherCaller => Code::Denied,
            Refused::Ended => Code::Gone,
            Refused::TooMany => Code::MemoryLimit,
        };
        Self::new(code, refused.to_string())
    }
}

/// The held instances of one actor.
#[derive(Default)]
pub(crate) struct Held {
    handles: Mutex<Handles>,
    closed: CancellationToken,
}

#[derive(Default)]
struct Handles {
    known: HashMap<u64, Known>,
    watched: bool,
}

struct Known {
    holder: Arc<Holder>,
    resource: ResourceAny,
    caller: Caller,
}

/// Where an instance waits for the next call on it.
pub(crate) struct Holder {
    instance: Arc<Turn<Option<(Instance, Ticket)>>>,
    used: Mutex<Instant>,
}

impl Holder {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { instance: Arc::default(), used: Mutex::new(Instant::now()) })
    }
}

/// A call's turn on a held instance. If the call does not put it back, it is gone, and every handle with it.
pub(crate) struct Taken {
    shared: Arc<Shared>,
    holder: Arc<Holder>,
    place: OwnedMutexGuard<Option<(Instance, Ticket)>>,
}

impl Taken {
    /// The instance and its right to live.
    pub(crate) fn take(&mut self) -> Result<(Instance, Ticket), Refused> {
        self.place.take().ok_or(Refused::Ended)
    }

    pub(crate) fn holder(&self) -> &Arc<Holder> {
        &self.holder
    }

    /// Back to wait for the next call, where anybody still has a handle; otherwise here it is again.
    pub(crate) fn put_back(mut self, instance: Instance, ticket: Ticket) -> Option<(Instance, Ticket)> {
        if !self.shared.held.has_handles(&self.holder) {
            return Some((instance, ticket));
        }
        *self.holder.used.lock() = Instant::now();
        *self.place = Some((instance, ticket));
        None
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        if self.place.is_none() {
            self.shared.held.forget(&self.holder);
        }
    }
}

/// The resources behind the handles of one call, and the instance that has them.
pub(crate) struct Found {
    pub(crate) holder: Arc<Holder>,
    /// In the order of the handles, each with its number.
    pub(crate) resources: Vec<(u64, ResourceAny)>,
}

impl Held {
    /// What these handles stand for, where all of them are the caller's and of one instance.
    pub(crate) fn find(&self, shared: &Shared, handles: &[Bytes], caller: &Caller) -> Result<Found, Refused> {
        let mut holder: Option<Arc<Holder>> = None;
        let mut resources = Vec::with_capacity(handles.len());
        for bytes in handles {
            let number = shared.engine.mint().number(bytes, &shared.name, caller)?;
            let handles = self.handles.lock();
            let known = handles.known.get(&number).ok_or(Refused::Ended)?;
            if holder.as_ref().is_some_and(|holder| !Arc::ptr_eq(holder, &known.holder)) {
                return Err(Refused::Several);
            }
            holder.get_or_insert_with(|| Arc::clone(&known.holder));
            resources.push((number, known.resource));
        }
        Ok(Found { holder: holder.ok_or(Refused::Forged)?, resources })
    }

    /// Waits for the turn of a call on an instance.
    pub(crate) async fn turn(
        &self,
        shared: &Arc<Shared>,
        holder: Arc<Holder>,
        deadline: Deadline,
    ) -> Result<Taken, CallError> {
        let waiting = Arc::clone(&holder.instance).lock_owned();
        match tokio::time::timeout(deadline.remaining(), waiting).await {
            Ok(place) => Ok(Taken { shared: Arc::clone(shared), holder, place }),
            Err(_) => {
                Err(CallError::new(Code::DeadlineExceeded, "the deadline passed while another call had the resource"))
            }
        }
    }

    /// A turn on an instance that nobody knows yet.
    pub(crate) fn first(&self, shared: &Arc<Shared>, holder: Arc<Holder>) -> Result<Taken, CallError> {
        let place = Arc::clone(&holder.instance).try_lock_owned();
        let place = place.map_err(|_| CallError::new(Code::Internal, "a new instance has been taken"))?;
        Ok(Taken { shared: Arc::clone(shared), holder, place })
    }

    /// A handle of this resource for the caller.
    pub(crate) fn mint(
        &self,
        shared: &Shared,
        holder: &Arc<Holder>,
        resource: ResourceAny,
        caller: &Caller,
    ) -> Result<Bytes, Refused> {
        let mut handles = self.handles.lock();
        let of_instance = handles.known.values().filter(|known| Arc::ptr_eq(&known.holder, holder)).count();
        let of_caller = handles.known.values().filter(|known| known.caller == *caller).count();
        if of_instance >= MAX_OF_INSTANCE || of_caller >= MAX_OF_CALLER || self.closed.is_cancelled() {
            return Err(Refused::TooMany);
        }
        let number = shared.engine.mint().next.fetch_add(1, Ordering::Relaxed);
        handles.known.insert(number, Known { holder: Arc::clone(holder), resource, caller: caller.clone() });
        Ok(shared.engine.mint().handle(number, &shared.name, caller))
    }

    /// Nobody has this handle any more.
    pub(crate) fn remove(&self, number: u64) {
        self.handles.lock().known.remove(&number);
    }

    fn has_handles(&self, holder: &Arc<Holder>) -> bool {
        self.handles.lock().known.values().any(|known| Arc::ptr_eq(&known.holder, holder))
    }

    fn forget(&self, holder: &Arc<Holder>) {
        self.handles.lock().known.retain(|_, known| !Arc::ptr_eq(&known.holder, holder));
    }

    /// How many handles callers have.
    pub(crate) fn len(&self) -> usize {
        self.handles.lock().known.len()
    }

    /// Looks after the held instances, from the first one on.
    pub(crate) fn watch(&self, shared: &Arc<Shared>) {
        let mut handles = self.handles.lock();
        if !handles.known.is_empty() && !std::mem::replace(&mut handles.watched, true) {
            shared.tasks.spawn(watch(Arc::clone(shared)));
        }
    }

    /// Drops them all, and every one that would come.
    pub(crate) fn close(&self) {
        self.closed.cancel();
        let gone = std::mem::take(&mut self.handles.lock().known);
        drop(gone);
    }

    /// Drops those that waited too long; when the next has.
    fn expire(&self, now: Instant) -> Option<Instant> {
        let mut handles = self.handles.lock();
        let (mut gone, mut next) = (Vec::new(), None::<Instant>);
        handles.known.retain(|_, known| {
            let until = *known.holder.used.lock() + IDLE;
            // One that works is in use.
            let waits = known.holder.instance.try_lock().is_ok();
            if waits && until <= now {
                gone.push(Arc::clone(&known.holder));
                return false;
            }
            let until = until.max(now + IDLE / 10);
            next = Some(next.map_or(until, |next| next.min(until)));
            true
        });
        handles.watched = next.is_some();
        drop(handles);
        drop(gone);
        next
    }
}

/// Ends with the last held instance, or with the actor.
async fn watch(shared: Arc<Shared>) {
    while let Some(next) = shared.held.expire(Instant::now()) {
        tokio::select! {
            () = shared.held.closed.cancelled() => return,
            () = tokio::time::sleep_until(next.into()) => {}
        }
    }
}

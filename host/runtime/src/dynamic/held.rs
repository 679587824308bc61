//! Instances that live on between calls because callers hold handles of their resources.
//!
//! ```text
//! call ends with handles in its answer ──► held ─┬─ call on one of them ──► works ──► held
//!                                                └─ the last is dropped, nobody calls for too long, a call of it
//!                                                   fails, the host that had the handles is lost, or the actor
//!                                                   goes ──► gone, with all handles
//! ```
//!
//! A held instance keeps its place among those that the actor may have. Calls on it come one after the other. Who got
//! a handle lets go of it when it is dropped, and of what is left at the end of its own call. A host elsewhere that holds
//! handles is asked whether it lives; who lives and never lets go is found out by the time that passes.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use mesh_lattice::{
    CallError, Caller, Code, Deadline,
    handle::{Liveness, Origin},
};
use parking_lot::Mutex;
use tokio::sync::{Mutex as Turn, OwnedMutexGuard, watch};
use tokio_util::sync::CancellationToken;
use wasmtime::component::ResourceAny;

use super::mint::Refused;
use crate::{
    actor::{Shared, Ticket},
    instance::Instance,
};

/// An instance whose handles nobody uses for this long goes.
const IDLE: Duration = Duration::from_secs(30);
/// A host that holds handles is asked this often whether it lives.
const BEAT: Duration = Duration::from_millis(500);
/// Handles of one instance.
const MAX_OF_INSTANCE: usize = 512;
/// Handles that one caller has of an actor.
const MAX_OF_CALLER: usize = 2048;

/// The held instances of one actor.
#[derive(Default)]
pub(crate) struct Held {
    handles: Mutex<Handles>,
    /// How many handles there are: whoever looks after them ends with the last one.
    count: watch::Sender<usize>,
    closed: CancellationToken,
}

#[derive(Default)]
struct Handles {
    known: HashMap<u64, Known>,
    watched: bool,
    /// The hosts elsewhere that are asked whether they live.
    hosts: HashSet<Origin>,
}

struct Known {
    holder: Arc<Holder>,
    resource: ResourceAny,
    to: Taker,
}

/// Whom a handle is given to.
#[derive(Clone)]
pub(crate) struct Taker {
    pub(crate) caller: Caller,
    /// Where it runs, where that is another host.
    pub(crate) host: Option<Origin>,
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
        to: &Taker,
    ) -> Result<Bytes, Refused> {
        let mut handles = self.handles.lock();
        let of_instance = handles.known.values().filter(|known| Arc::ptr_eq(&known.holder, holder)).count();
        let of_caller = handles.known.values().filter(|known| known.to.caller == to.caller).count();
        if of_instance >= MAX_OF_INSTANCE || of_caller >= MAX_OF_CALLER || self.closed.is_cancelled() {
            return Err(Refused::TooMany);
        }
        let number = shared.engine.mint().next();
        handles.known.insert(number, Known { holder: Arc::clone(holder), resource, to: to.clone() });
        self.count.send_replace(handles.known.len());
        Ok(shared.engine.mint().handle(number, &shared.name, &to.caller))
    }

    /// Nobody has this handle any more.
    pub(crate) fn remove(&self, number: u64) {
        self.keep(|at, _| at != number);
    }

    /// Keeps these handles, and ends all others.
    fn keep(&self, mut these: impl FnMut(u64, &Known) -> bool) {
        let mut handles = self.handles.lock();
        let gone: Vec<_> = handles.known.extract_if(|number, known| !these(*number, known)).collect();
        self.count.send_replace(handles.known.len());
        drop(handles);
        // With the last handle of an instance that instance goes, which takes its time.
        drop(gone);
    }

    fn has_handles(&self, holder: &Arc<Holder>) -> bool {
        self.handles.lock().known.values().any(|known| Arc::ptr_eq(&known.holder, holder))
    }

    fn forget(&self, holder: &Arc<Holder>) {
        self.keep(|_, known| !Arc::ptr_eq(&known.holder, holder));
    }

    /// How many handles callers have.
    pub(crate) fn len(&self) -> usize {
        self.handles.lock().known.len()
    }

    /// Looks after the held instances, from the first one on, and after the host elsewhere that holds handles of them.
    pub(crate) fn watch(&self, shared: &Arc<Shared>, host: Option<&Origin>) {
        let mut handles = self.handles.lock();
        if handles.known.is_empty() {
            return;
        }
        if !std::mem::replace(&mut handles.watched, true) {
            shared.tasks.spawn(watch(Arc::clone(shared)));
        }
        if let (Some(host), Some(liveness)) = (host, shared.engine.liveness())
            && handles.hosts.insert(host.clone())
        {
            shared.tasks.spawn(watch_host(Arc::clone(shared), Arc::clone(liveness), host.clone()));
        }
    }

    /// Whether this host holds a handle. One that does not is asked no more.
    fn is_held_by(&self, host: &Origin) -> bool {
        let mut handles = self.handles.lock();
        let holds = handles.known.values().any(|known| known.to.host.as_ref() == Some(host));
        if !holds {
            handles.hosts.remove(host);
        }
        holds
    }

    /// Drops them all, and every one that would come.
    pub(crate) fn close(&self) {
        self.closed.cancel();
        self.keep(|_, _| false);
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
        self.count.send_replace(handles.known.len());
        drop(handles);
        drop(gone);
        next
    }
}

/// Ends with the last handle, or with the actor.
async fn watch(shared: Arc<Shared>) {
    let mut count = shared.held.count.subscribe();
    while let Some(next) = shared.held.expire(Instant::now()) {
        tokio::select! {
            () = shared.held.closed.cancelled() => return,
            _ = count.wait_for(|count| *count == 0) => {}
            () = tokio::time::sleep_until(next.into()) => {}
        }
    }
}

/// Ends with the last handle of this host, with all handles that it has where it is lost, or with the actor.
async fn watch_host(shared: Arc<Shared>, liveness: Arc<dyn Liveness>, host: Origin) {
    let mut count = shared.held.count.subscribe();
    while shared.held.is_held_by(&host) {
        let asking = async {
            tokio::time::sleep(BEAT).await;
            liveness.lives(&host).await
        };
        tokio::select! {
            () = shared.held.closed.cancelled() => return,
            _ = count.wait_for(|count| *count == 0) => {}
            lives = asking => if !lives {
                tracing::info!(actor = %shared.name, host = %host.host, "a host is lost: the handles that it held end");
                shared.held.keep(|_, known| known.to.host.as_ref() != Some(&host));
            }
        }
    }
}

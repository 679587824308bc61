//! The live instances of an actor: one is made for each call, unless the actor is told to reuse them.
//!
//! ```text
//! made ──► serves one call ─┬─ told to be reused, all is clean ──► idle ─┬─ next call ──► serves
//!                           └─ anything else ──► gone                    └─ a few seconds, or the actor goes ──► gone
//! ```
//!
//! What a reused instance sees is its own memory, as its earlier calls for the same actor left it: never another
//! actor's, and never that of another revision or configuration, because those are other actors with instances of
//! their own. Everything that the host gives to a call is new with each: deadline, processor time, the link names that
//! the guest chose, its trace, its standard streams. What is bounded for an instance (memory, tables, handles) stays
//! bounded over all of its calls. An instance that trapped, was cancelled or stopped, or that keeps a resource of the
//! host, a body or a bucket for example, when its call is over, is not used again.

use std::{
    future::poll_fn,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use mesh_lattice::{
    CallError,
    wit::{Outcome, messaging::Message},
};
use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use wasmtime::{
    Store,
    component::{self, ResourceAny},
};

use crate::{
    actor::{Shared, Ticket},
    dynamic::{codec, exports::Function},
    failure,
    http::{Head, Loaded, RequestBody},
    limits::Usage,
    outbound::Outbound,
    state::State,
};

/// An instance that nobody calls for this long goes.
const IDLE: Duration = Duration::from_secs(5);

/// One instance and what is left of its calls.
pub(crate) struct Instance {
    store: Store<State>,
    live: Option<Live>,
    calls_left: u32,
}

/// What is made of a component for its first call.
struct Live {
    instance: component::Instance,
    /// Its functions of `wasi:http`, where it serves that and was asked to.
    http: Option<Loaded>,
    /// What the engine keeps of an instance that does nothing.
    at_rest: usize,
}

impl Instance {
    /// The instance for one call: an idle one, else a new one, which instantiates when it serves.
    pub(crate) fn for_call(outbound: Outbound) -> Self {
        let shared = Arc::clone(&outbound.shared);
        if let Some(mut idle) = shared.idle.take() {
            idle.begin(outbound);
            return idle;
        }
        let usage = Usage::new(Arc::clone(shared.engine.budget()), shared.limits.memory_bytes);
        let store = State::new(outbound, usage).into_store(shared.runner.wasmtime());
        Self { store, live: None, calls_left: shared.idle.reuse }
    }

    fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.store.data().outbound.shared)
    }

    async fn start(&mut self) -> wasmtime::Result<Live> {
        match self.live.take() {
            Some(live) => Ok(live),
            None => {
                let instance = self.shared().pre.instantiate_async(&mut self.store).await?;
                let at_rest = self.concurrent_state();
                Ok(Live { instance, http: None, at_rest })
            }
        }
    }

    /// The instance went through a call in good order.
    fn keep(&mut self, live: Live) {
        self.live = Some(live);
        self.calls_left = self.calls_left.saturating_sub(1);
    }

    /// Begins another call on an instance that is alive.
    pub(crate) fn begin(&mut self, outbound: Outbound) {
        self.store.data_mut().begin(outbound);
        self.store.set_epoch_deadline(1);
    }

    /// Lets the guest run one of its functions, to its end.
    pub(crate) async fn call(
        &mut self,
        function: &Function,
        params: codec::Params,
        own: codec::Own<'_>,
    ) -> wasmtime::Result<Bytes> {
        let live = self.start().await?;
        let exported = live.instance.get_func(&mut self.store, function.index);
        let exported = exported.ok_or_else(|| wasmtime::Error::msg("the function is not there"))?;
        let result = codec::call(&mut self.store, &exported, function.signature()?, params, own).await;
        let result = match result {
            Ok(result) => self.settle().await.map(|()| result),
            Err(error) => Err(error),
        };
        if result.as_ref().map_or_else(|error| error.is::<codec::NotEntered>(), |_| true) {
            self.keep(live);
        }
        result
    }

    /// Lets the guest do what it still has to do behind its answer.
    async fn settle(&mut self) -> wasmtime::Result<()> {
        if !self.shared().runner.is_concurrent() {
            return Ok(());
        }
        self.store.run_concurrent(async |guest| poll_fn(|cx| guest.poll_no_interesting_tasks(cx)).await).await
    }

    /// Ends a resource of the guest.
    pub(crate) async fn drop_resource(&mut self, resource: ResourceAny) -> wasmtime::Result<()> {
        resource.resource_drop_async(&mut self.store).await
    }

    /// Whether it can serve another call: it went through its last one in good order.
    pub(crate) fn is_alive(&self) -> bool {
        self.live.is_some()
    }

    /// What became of a call.
    pub(crate) fn outcome<T>(&self, result: wasmtime::Result<T>) -> Result<T, CallError> {
        let state = self.store.data();
        result.map_err(|error| {
            let error = failure::of(&error, state.usage.refused);
            state.outbound.meter.fail(error.clone());
            error
        })
    }

    /// Lets the guest handle one message, to its end.
    pub(crate) async fn take_message(&mut self, message: Message) -> wasmtime::Result<Outcome<(), String>> {
        let live = self.start().await?;
        let shared = self.shared();
        let handler = shared.handler.as_ref().ok_or_else(|| wasmtime::Error::msg("the actor handles no messages"))?;
        let outcome = handler.handle(&mut self.store, &live.instance, message).await?;
        self.settle().await?;
        self.keep(live);
        Ok(outcome)
    }

    /// Lets the guest handle one request, to its end.
    pub(crate) async fn handle(
        &mut self,
        request: http::Request<RequestBody>,
        answer: oneshot::Sender<Head>,
    ) -> wasmtime::Result<()> {
        let mut live = self.start().await?;
        let http = match live.http.take() {
            Some(http) => http,
            None => {
                let shared = self.shared();
                let handler = shared.http.as_ref().ok_or_else(|| wasmtime::Error::msg("the actor serves no HTTP"))?;
                handler.load(&mut self.store, &live.instance)?
            }
        };
        http.handle(&mut self.store, request, answer).await?;
        live.http = Some(http);
        self.keep(live);
        Ok(())
    }

    /// Says what became of its call, and keeps it for the next one where it may be.
    pub(crate) fn end<T>(self, result: wasmtime::Result<T>) -> Result<T, CallError> {
        let result = self.outcome(result);
        self.retire();
        result
    }

    /// Keeps it for the next call, where it may be.
    pub(crate) fn retire(mut self) {
        if self.is_of_use() {
            let shared = self.shared();
            shared.idle.keep(self, &shared);
        }
    }

    /// As [`Self::retire`], but what is of no more use is taken down in a task of its own, with its right to live: on
    /// the thread of its call and right behind it, so that nobody waits for that before he has his answer.
    pub(crate) fn retire_behind(mut self, ticket: Ticket) {
        let shared = self.shared();
        if self.is_of_use() {
            shared.idle.keep(self, &shared);
        } else {
            shared.tasks.spawn(async move {
                drop(self);
                drop(ticket);
            });
        }
    }

    /// Whether it may serve another call.
    fn is_of_use(&mut self) -> bool {
        self.calls_left > 0 && self.is_clean()
    }

    /// Whether it went through its last call in good order, and nothing is left of that: no resource of the host, no
    /// stream, nothing that it still waits for.
    fn is_clean(&mut self) -> bool {
        let Some(at_rest) = self.live.as_ref().map(|live| live.at_rest) else { return false };
        self.store.data().keeps_nothing() && self.concurrent_state() <= at_rest
    }

    /// Tasks, streams and futures that the engine keeps.
    fn concurrent_state(&mut self) -> usize {
        if self.shared().runner.is_concurrent() { self.store.concurrent_state_table_size() } else { 0 }
    }
}

/// The instances of one actor that wait for a call.
pub(crate) struct Idle {
    reuse: u32,
    kept: Mutex<Kept>,
    closed: CancellationToken,
}

#[derive(Default)]
struct Kept {
    /// The latest last.
    instances: Vec<(Instant, Instance)>,
    /// Whether a task looks after them.
    watched: bool,
}

impl Idle {
    /// Instances serve up to `reuse` calls each.
    pub(crate) fn new(reuse: u32) -> Self {
        Self { reuse, kept: Mutex::default(), closed: CancellationToken::new() }
    }

    pub(crate) fn len(&self) -> usize {
        if self.reuse > 1 { self.kept.lock().instances.len() } else { 0 }
    }

    fn take(&self) -> Option<Instance> {
        if self.reuse <= 1 {
            return None;
        }
        self.kept.lock().instances.pop().map(|(_, instance)| instance)
    }

    /// Instances that wait hold slots and memory, which they may not take from those that work.
    fn keep(&self, mut instance: Instance, shared: &Arc<Shared>) {
        if !shared.has_room_for_idle() {
            return;
        }
        instance.store.data_mut().rest();
        let mut kept = self.kept.lock();
        if self.closed.is_cancelled() {
            return;
        }
        kept.instances.push((Instant::now(), instance));
        if !std::mem::replace(&mut kept.watched, true) {
            shared.tasks.spawn(watch(Arc::clone(shared)));
        }
    }

    /// Drops them all, and every one that would come.
    pub(crate) fn close(&self) {
        self.closed.cancel();
        let gone = std::mem::take(&mut self.kept.lock().instances);
        drop(gone);
    }

    /// Drops those that waited too long; when the next has.
    fn expire(&self, now: Instant) -> Option<Instant> {
        let mut kept = self.kept.lock();
        let expired = kept.instances.partition_point(|(since, _)| *since + IDLE <= now);
        let gone: Vec<_> = kept.instances.drain(..expired).collect();
        let next = kept.instances.first().map(|(since, _)| *since + IDLE);
        kept.watched = next.is_some();
        drop(kept);
        drop(gone);
        next
    }
}

/// Ends with the last idle instance, or with the actor.
async fn watch(shared: Arc<Shared>) {
    while let Some(next) = shared.idle.expire(Instant::now()) {
        tokio::select! {
            () = shared.idle.closed.cancelled() => return,
            () = tokio::time::sleep_until(next.into()) => {}
        }
    }
}

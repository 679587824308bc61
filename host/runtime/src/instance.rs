//! The live instances of an actor: one is made for each call, unless the actor is told to reuse them.
//!
//! ```text
//! made ──► serves one call ─┬─ told to be reused, all is clean ──► idle ─┬─ next call ──► serves
//!   │                       └─ anything else ──► gone                    └─ a few seconds, or the actor goes ──► gone
//!   └─ ahead of its call, behind the answer of the one before ──► idle
//! ```
//!
//! Making an instance is a good part of what a short call costs, and is the same whoever calls: behind the answer of an
//! HTTP call the next one is made, if no other call runs, none waits and there is room. It is as new as any other when its call comes. A
//! component that calls out while it is instantiated would do that for a call that may never come, so whatever it
//! calls then does not begin, what came of it is thrown away, and none is made ahead for that actor again.
//!
//! What a reused instance sees is its own memory, as its earlier calls for the same actor left it: never another
//! actor's, and never that of another revision or configuration, because those are other actors with instances of
//! their own. Everything that the host gives to a call is new with each: deadline, processor time, the link names that
//! the guest chose, its trace, its standard streams. What is bounded for an instance (memory, tables, handles) stays
//! bounded over all of its calls. An instance that trapped, was cancelled or stopped, or that keeps a resource of the
//! host, a body or a bucket for example, when its call is over, is not used again.

mod idle;

use std::{future::poll_fn, sync::Arc, time::Duration};

use bytes::Bytes;
use mesh_lattice::{
    CallError, Deadline,
    wit::{Outcome, messaging::Message},
};
use tokio::sync::oneshot;
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
    meter::Metered,
    outbound::Outbound,
    state::State,
};
pub(crate) use idle::Idle;

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
        Self::new(outbound)
    }

    fn new(outbound: Outbound) -> Self {
        let shared = Arc::clone(&outbound.shared);
        let usage = Usage::new(Arc::clone(shared.engine.budget()), shared.limits.memory_bytes);
        let store = State::new(outbound, usage).into_store(shared.runner.wasmtime());
        Self { store, live: None, calls_left: shared.idle.reuse() }
    }

    /// Makes one that waits for the next call, where none does and there is room.
    async fn make_ahead(shared: Arc<Shared>) {
        if !shared.idle.wants_one(&shared) {
            return;
        }
        // Nothing that it calls out for begins: the time for that is over.
        let outbound = Outbound::of_call(&shared, Deadline::after(Duration::ZERO), None);
        let meter = Arc::clone(&outbound.meter);
        let made = async move {
            let mut instance = Self::new(outbound);
            let live = instance.start().await;
            instance.live = Some(instance.outcome(live)?);
            Ok(instance)
        };
        let made = tokio::time::timeout(shared.limits.time(), Metered::new(Arc::clone(&meter), made)).await;
        match made {
            _ if meter.has_called_out() => shared.idle.make_none_ahead(),
            Ok(Ok(instance)) => shared.idle.keep(instance, &shared),
            // What is wrong with it is told when one is made for a call.
            Ok(Err(_)) | Err(_) => {}
        }
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

    /// As [`Self::retire`], but where this is the only call of its actor, what is of no more use is taken down in a task
    /// of its own, with its right to live, and the next one made: on the thread of its call and right behind it, so that
    /// nobody waits for that before he has his answer. Where other calls run there is no processor to do it meanwhile,
    /// and a task costs more than it saves.
    pub(crate) fn retire_behind(mut self, ticket: Ticket) {
        let shared = self.shared();
        if self.is_of_use() {
            shared.idle.keep(self, &shared);
        } else if shared.runs_one_call() {
            let tasks = shared.tasks.clone();
            tasks.spawn(async move {
                drop(self);
                drop(ticket);
                Self::make_ahead(shared).await;
            });
        } else {
            drop(self);
            drop(ticket);
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

//! One actor on this host: its code, who may enter, what it cost so far, how it stops.
//!
//! ```text
//! serving ── drain ──► draining (takes no new call) ── last call and last body done, or the deadline ──► stopped
//! ```

use std::{
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use futures::future::BoxFuture;
use mesh_lattice::{
    CallError, Caller, Code, Deadline, Interface, Invocation, LinkName, Name, Reply, Serve, TraceContext,
    application::{DEFAULT_CONCURRENCY, Limits, Values},
};
use tokio_util::{
    sync::CancellationToken,
    task::{AbortOnDropHandle, TaskTracker, task_tracker::TaskTrackerToken},
};
use wasmtime::component::{Component, InstancePre};

use crate::{
    admission::{Admission, Slot},
    breakdowns::Breakdowns,
    compile::CompileError,
    dynamic::{
        self,
        exports::{Exports, Function},
        held::{Held, Taker},
    },
    engine::{Engine, EngineError, runner::Runner},
    http,
    imports::{keyvalue, messaging},
    instance::Idle,
    messages::{self, Handler},
    meter,
    output::Output,
    serving,
    state::State,
    surface::Surface,
};

/// How an actor runs on this host.
#[derive(Debug, Clone)]
pub struct ActorConfig {
    /// Its name in the lattice: who calls, where its guests call.
    pub name: Name,
    /// What `wasi:config` answers.
    pub config: Values,
    /// What one instance may use.
    pub limits: Limits,
    /// Instances that live at once.
    pub concurrency: u32,
    /// Calls that wait for one, fair between callers; beyond that `busy`.
    pub queue: u32,
    /// Calls that one instance serves, one after the other.
    pub reuse: u32,
}

impl ActorConfig {
    /// The defaults under this name.
    #[must_use]
    pub fn new(name: Name) -> Self {
        let config =
            Self { name, config: Values::new(), limits: Limits::default(), concurrency: 0, queue: 0, reuse: 1 };
        config.with_concurrency(NonZeroU32::new(DEFAULT_CONCURRENCY).unwrap_or(NonZeroU32::MIN))
    }

    /// So many instances, and a queue of twice as many calls.
    #[must_use]
    pub fn with_concurrency(self, concurrency: NonZeroU32) -> Self {
        Self { concurrency: concurrency.get(), queue: concurrency.get().saturating_mul(2), ..self }
    }
}

/// Why a component does not become an actor.
#[derive(Debug, thiserror::Error)]
pub enum ActorError {
    /// It has no code.
    #[error(transparent)]
    Compile(CompileError),
    /// There is no engine for what it needs.
    #[error("no engine for it")]
    Engine(#[source] EngineError),
    /// It imports what no host of this version can serve.
    #[error("no host can serve {}", .imports.join(", "))]
    Unservable {
        /// Each import as the component spells it, and why, where that is no matter of its name alone.
        imports: Vec<String>,
    },
    /// Its imports or exports have other types than the interfaces of those names.
    #[error("the component does not fit this host: {0}")]
    Mismatch(String),
}

impl From<wasmtime::Error> for ActorError {
    fn from(error: wasmtime::Error) -> Self {
        Self::Mismatch(format!("{error:#}"))
    }
}

impl From<mesh_lattice::name::BadName> for ActorError {
    fn from(error: mesh_lattice::name::BadName) -> Self {
        Self::Mismatch(error.to_string())
    }
}

/// What an actor did so far and does now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ActorStats {
    /// Instances that serve a call now.
    pub instances: u32,
    /// Instances that wait for their next call.
    pub idle: u32,
    /// Calls that wait for one.
    pub queued: u32,
    /// Handles of its resources that callers hold.
    pub handles: u32,
    /// Calls that it took or refused.
    pub calls: u64,
    /// Those of them that have no answer.
    pub errors: u64,
    /// Lines that its guests printed and that are in no log: there were too many.
    pub dropped_lines: u64,
}

/// An actor that serves.
pub struct Actor {
    shared: Arc<Shared>,
    imports: Vec<Interface>,
    exports: Vec<Interface>,
}

/// What all instances of an actor have in common.
pub(crate) struct Shared {
    /// Its code, with everything that it imports.
    pub(crate) pre: InstancePre<State>,
    /// Where its functions of `wasi:http` are, if it serves that.
    pub(crate) http: Option<http::Handler>,
    /// Where its handler of messages is, if it has one.
    pub(crate) handler: Option<Handler>,
    exports: Exports,
    pub(crate) name: Name,
    pub(crate) caller: Caller,
    pub(crate) default_link: LinkName,
    pub(crate) config: Values,
    pub(crate) limits: Limits,
    pub(crate) calls: Arc<dyn Serve>,
    pub(crate) output: Arc<Output>,
    pub(crate) keyvalue: keyvalue::Spelled,
    pub(crate) messaging: messaging::Spelled,
    /// Requests of HTTP that go out, as this component spells them.
    pub(crate) outgoing: Interface,
    pub(crate) engine: Engine,
    /// An actor keeps what runs it: without the ticker nothing would stop its guests.
    pub(crate) runner: Arc<Runner>,
    /// What is left of guests whose head is out.
    pub(crate) tasks: TaskTracker,
    pub(crate) stopping: CancellationToken,
    pub(crate) idle: Idle,
    pub(crate) held: Held,
    admission: Admission,
    calls_taken: AtomicU64,
    errors: AtomicU64,
    breakdowns: Breakdowns,
}

/// What one call lets a guest do.
enum Work {
    Http,
    Function(Arc<Function>),
    Drop,
    Message,
}

/// A call's right to an instance. It ends with the instance, which may be after the head of the reply.
pub(crate) struct Ticket {
    _slot: Slot,
    _tracked: TaskTrackerToken,
}

impl Shared {
    fn new(
        (engine, runner): (&Engine, Arc<Runner>),
        pre: InstancePre<State>,
        config: ActorConfig,
        calls: Arc<dyn Serve>,
        surface: Surface,
    ) -> Result<Self, ActorError> {
        Ok(Self {
            handler: Handler::of(&pre, surface.exports.interfaces())?,
            http: http::Handler::of(&pre, surface.exports.interfaces())?,
            outgoing: http::spelled(&surface.imports)?,
            pre,
            exports: surface.exports,
            name: config.name.clone(),
            caller: Caller::Named(config.name.clone()),
            default_link: LinkName::default(),
            config: config.config,
            limits: config.limits,
            calls,
            output: Arc::new(Output::new(engine.journals().of(&config.name), config.name)),
            keyvalue: keyvalue::Spelled::new()?,
            messaging: messaging::Spelled::new()?,
            engine: engine.clone(),
            runner,
            tasks: TaskTracker::new(),
            stopping: CancellationToken::new(),
            idle: Idle::new(config.reuse),
            held: Held::default(),
            admission: Admission::new(config.concurrency, config.queue),
            calls_taken: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            breakdowns: Breakdowns::default(),
        })
    }

    /// Whether instances may wait for another call: not where memory or slots are half used.
    pub(crate) fn has_room_for_idle(&self) -> bool {
        self.runner.is_roomy() && self.engine.budget().is_roomy()
    }

    /// Whether no more than one call runs.
    pub(crate) fn runs_one_call(&self) -> bool {
        self.admission.running() <= 1
    }

    /// The right to an instance, when its turn has come.
    pub(crate) async fn enter(&self, caller: &Caller, deadline: Deadline) -> Result<Ticket, CallError> {
        let tracked = self.tasks.token();
        let slot = self.admission.enter(caller, deadline).await?;
        Ok(Ticket { _slot: slot, _tracked: tracked })
    }

    pub(crate) fn count_error(&self) {
        self.errors.fetch_add(1, Ordering::Relaxed);
    }

    /// Calls in a task of its own, which ends with whoever waits for it.
    async fn call_beside(self: &Arc<Self>, invocation: Invocation) -> Result<Reply, CallError> {
        let shared = Arc::clone(self);
        let call = self.tasks.spawn(async move { shared.call(invocation).await });
        AbortOnDropHandle::new(call)
            .await
            .unwrap_or_else(|ended| Err(CallError::new(Code::Internal, format!("the task of the call ended: {ended}"))))
    }

    async fn call(self: &Arc<Self>, invocation: Invocation) -> Result<Reply, CallError> {
        let work = self.work(&invocation)?;
        let deadline = invocation.deadline.sooner(Deadline::after(self.limits.time()));
        if deadline.has_passed() {
            return Err(CallError::new(Code::DeadlineExceeded, "the deadline had passed before the call came"));
        }
        let trace = invocation.trace;
        let by = Taker { caller: invocation.caller, host: invocation.from };
        match work {
            Work::Http => {
                let ticket = self.enter(&by.caller, deadline).await?;
                let (parts, wire) = http::Incoming::head(invocation.params)?;
                let request = http::Incoming { parts, body: invocation.body, deadline, trace, wire };
                http::serve(self, request, ticket).await
            }
            Work::Function(function) => {
                let work = dynamic::Work::function(function, &invocation.params)?;
                self.run(work, by, (deadline, trace)).await
            }
            Work::Drop => {
                let work = dynamic::Work::drop(&invocation.params)?;
                self.run(work, by, (deadline, trace)).await
            }
            Work::Message => {
                let ticket = self.enter(&by.caller, deadline).await?;
                let message = messages::message(&invocation.params)?;
                let run = |outbound| async move {
                    let _ticket = ticket;
                    messages::run(outbound, message).await
                };
                serving::serve(self, (deadline, trace), run).await
            }
        }
    }

    /// Lets a guest do this: the one that its handles are of, or one of its own.
    async fn run(
        self: &Arc<Self>,
        work: dynamic::Work,
        by: Taker,
        (deadline, trace): (Deadline, Option<TraceContext>),
    ) -> Result<Reply, CallError> {
        let seat = dynamic::Seat::of(self, &work, &by.caller, deadline).await?;
        let run = |outbound| dynamic::run(outbound, work, by, seat);
        serving::serve(self, (deadline, trace), run).await
    }

    /// What a call asks for, where the actor has it.
    fn work(&self, invocation: &Invocation) -> Result<Work, CallError> {
        let (interface, operation) = (&invocation.interface, invocation.operation.as_ref());
        if self.http.is_some() && http::is_meant(interface, operation) {
            return Ok(Work::Http);
        }
        if self.handler.is_some() && messages::are_meant(invocation) {
            return Ok(Work::Message);
        }
        if self.exports.is_drop(interface, operation) {
            return Ok(Work::Drop);
        }
        let function = self.exports.find(interface, operation)?;
        // A person's call ends with its answer: nobody would be left to use a handle, or to let go of it.
        if function.signature()?.carries && invocation.caller.name().is_none() {
            let message = format!("{operation} takes or gives handles, which a person cannot hold");
            return Err(CallError::new(Code::Unsupported, message));
        }
        Ok(Work::Function(Arc::clone(function)))
    }
}

impl Actor {
    pub(crate) fn link(
        (engine, runner): (&Engine, Arc<Runner>),
        component: &Component,
        config: ActorConfig,
        calls: Arc<dyn Serve>,
    ) -> Result<Self, ActorError> {
        let surface = Surface::of(runner.wasmtime(), component);
        if !surface.unservable.is_empty() {
            return Err(ActorError::Unservable { imports: surface.unservable });
        }
        let pre = runner.linker_for(&surface)?.instantiate_pre(component)?;
        let (imports, exports) = (surface.imports.clone(), surface.exports.interfaces().cloned().collect());
        let shared = Shared::new((engine, runner), pre, config, calls, surface)?;
        Ok(Self { shared: Arc::new(shared), imports, exports })
    }

    /// The interfaces that it calls and that a link has to serve.
    #[must_use]
    pub fn imports(&self) -> &[Interface] {
        &self.imports
    }

    /// The interfaces that can be called on it.
    #[must_use]
    pub fn exports(&self) -> &[Interface] {
        &self.exports
    }

    /// What it did so far and does now.
    #[must_use]
    pub fn stats(&self) -> ActorStats {
        ActorStats {
            instances: self.shared.admission.running(),
            idle: u32::try_from(self.shared.idle.len()).unwrap_or(u32::MAX),
            queued: self.shared.admission.waiting(),
            handles: u32::try_from(self.shared.held.len()).unwrap_or(u32::MAX),
            calls: self.shared.calls_taken.load(Ordering::Relaxed),
            errors: self.shared.errors.load(Ordering::Relaxed),
            dropped_lines: self.shared.output.dropped(),
        }
    }

    /// How many calls its guests broke down under, and what the last of these came to.
    #[must_use]
    pub fn breakdowns(&self) -> (u64, String) {
        self.shared.breakdowns.all()
    }

    /// Takes no new call, waits for those that it has and for their bodies. What is left at the deadline is ended;
    /// whether nothing was left.
    pub async fn drain(&self, deadline: Deadline) -> bool {
        self.shared.admission.close();
        self.shared.idle.close();
        self.shared.tasks.close();
        let in_time = tokio::time::timeout(deadline.remaining(), self.shared.tasks.wait()).await.is_ok();
        self.shared.stopping.cancel();
        self.shared.held.close();
        in_time
    }
}

impl Serve for Actor {
    fn serve(&self, invocation: Invocation) -> BoxFuture<'_, Result<Reply, CallError>> {
        self.shared.calls_taken.fetch_add(1, Ordering::Relaxed);
        Box::pin(async move {
            // An engine with support for concurrency polls none of its guests within the poll of another one.
            let result = match self.shared.runner.is_concurrent() && meter::polls_a_guest() {
                true => self.shared.call_beside(invocation).await,
                false => self.shared.call(invocation).await,
            };
            if let Err(error) = &result {
                self.shared.count_error();
                self.shared.breakdowns.note(error);
            }
            result
        })
    }
}

impl Drop for Actor {
    /// What is still streaming belongs to nobody any more; what is idle would keep itself alive.
    fn drop(&mut self) {
        self.shared.idle.close();
        self.shared.held.close();
        self.shared.stopping.cancel();
    }
}

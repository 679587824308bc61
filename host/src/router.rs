//! Where an invocation is routed: every call of every actor and provider of this host, and every call that comes in
//! from another host, passes here.
//!
//! ```text
//! actor, provider ─► Router ─┬─► what serves here          no NATS message
//!                            ├─► a host, then one other    where the first has certainly not done it, or where it
//!                            │                             is silent or gone and the call may run twice
//!                            └─► a bounded wait            wanted, but ready nowhere
//! other host ──────► Inward ───► what serves here, or a refusal: a call crosses the lattice once
//! ```
//!
//! The choice itself is pure: [`target`]. What is known is one immutable [`table::Table`], replaced as a whole; no
//! lock is held across a wait.

pub mod budget;
pub mod count;
mod idempotent;
mod keep;
pub mod reach;
pub mod table;
pub mod target;
mod wait;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures::future::BoxFuture;
use mesh_lattice::{CallError, Code, Deadline, HostId, Invocation, Monotonic, Reply, Serve, handle::Pin};
use mesh_transport::{
    Leave,
    refusals::{About, Kind, Reason, Refusals},
};
use tokio::{
    sync::{Semaphore, watch},
    time::timeout,
};

use crate::{
    links::Grant,
    telemetry::{Place, Tracer},
};
use budget::Budget;
use count::Counters;
use keep::{Kept, keep};
use table::{Local, Path, Table};
use target::{Choice, Standing, choose};
use wait::{MAX_WAITING, Wait};

/// A call from another host may be ahead of the link that allows it, because the two hosts hear of it one after the
/// other: it is waited for this long before the call is denied.
const LINK_LAG: Duration = Duration::from_secs(1);

/// Calls on other hosts.
pub trait Far: Send + Sync {
    /// Makes the call on this host; gives it up with `lost` where the host is silent and `leave` says so.
    fn call<'a>(
        &'a self,
        host: &'a HostId,
        call: Invocation,
        leave: Leave<'a>,
    ) -> BoxFuture<'a, Result<Reply, CallError>>;

    /// What is known of the host.
    fn standing(&self, host: &HostId) -> Standing;
}

impl Far for mesh_transport::Remote {
    fn call<'a>(
        &'a self,
        host: &'a HostId,
        call: Invocation,
        leave: Leave<'a>,
    ) -> BoxFuture<'a, Result<Reply, CallError>> {
        Box::pin(self.call_unless_silent(host, call, leave))
    }

    fn standing(&self, host: &HostId) -> Standing {
        Standing { load: self.load(host), silent: self.is_silent(host) }
    }
}

/// Routes the calls of this host.
pub struct Router {
    table: watch::Receiver<Arc<Table>>,
    far: Option<Arc<dyn Far>>,
    waiting: Semaphore,
    tracer: Option<Tracer>,
    counters: Counters,
    refusals: Arc<Refusals>,
    retries: Budget,
}

/// What became of a call that was offered to other hosts.
enum Offered {
    Answered(Result<Reply, CallError>),
    /// Nobody took it; here it is again.
    Untaken(Box<Invocation>, CallError),
}

impl Router {
    /// A router that looks into `table` and reaches other hosts through `far`; calls that no link allows are counted
    /// among `refusals`.
    #[must_use]
    pub fn new(
        table: watch::Receiver<Arc<Table>>,
        far: Option<Arc<dyn Far>>,
        tracer: Option<Tracer>,
        refusals: Arc<Refusals>,
    ) -> Arc<Self> {
        let waiting = Semaphore::new(MAX_WAITING);
        let retries = Budget::new(Monotonic::now());
        Arc::new(Self { table, far, waiting, tracer, counters: Counters::default(), refusals, retries })
    }

    /// What this host refused.
    #[must_use]
    pub fn refusals(&self) -> &Arc<Refusals> {
        &self.refusals
    }

    /// What became of the calls so far.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// What is left for calls that are made once more elsewhere, and what they used.
    #[must_use]
    pub fn retries(&self) -> &Budget {
        &self.retries
    }

    fn table(&self) -> Arc<Table> {
        self.table.borrow().clone()
    }

    async fn route(&self, mut call: Invocation) -> Result<Reply, CallError> {
        let span = self.tracer.as_ref().map(|tracer| tracer.begin(&mut call, Place::Caller));
        let open = self.counters.begin(Place::Caller);
        let result = self.dispatch(call).await;
        open.end(&result);
        if let Some(span) = span {
            span.end(&result);
        }
        result
    }

    async fn dispatch(&self, mut call: Invocation) -> Result<Reply, CallError> {
        let mut wait: Option<Wait<'_>> = None;
        loop {
            let (path, site) = self.path(&call)?;
            if call.target.is_none() {
                call.target = Some(path.target.clone());
            }
            if let (None, Some(limit)) = (&wait, path.grant.as_ref().and_then(|grant| grant.timeout)) {
                call.deadline = call.deadline.sooner(Deadline::after(limit));
            }
            let refusal = match self.offer(&path, &site, call, wait.is_none()).await {
                Offered::Answered(result) => return result,
                Offered::Untaken(again, refusal) => {
                    call = *again;
                    refusal
                }
            };
            if wait.is_none() {
                wait = Some(self.begin_waiting(&call, refusal.clone())?);
            }
            match &mut wait {
                Some(wait) => wait.next(refusal).await?,
                None => return Err(refusal),
            }
        }
    }

    /// Where the call goes, and from which site. The table is not kept: a call holds on to nothing but its own target.
    fn path(&self, call: &Invocation) -> Result<(Arc<Path>, Arc<str>), CallError> {
        let table = self.table();
        let path = table.resolve(call).inspect_err(|refusal| self.note(call, refusal))?;
        Ok((path, table.site.clone()))
    }

    /// Offers the call to whoever the choice falls on; `first` where it was offered to nobody before.
    async fn offer(&self, path: &Path, site: &str, call: Invocation, first: bool) -> Offered {
        match &call.pin {
            Some(Pin::Here) => return Offered::Answered(self.call_local(path, call).await),
            Some(Pin::On(host)) => {
                let host = host.clone();
                return Offered::Answered(self.call_far(&host, call, &|| false).await);
            }
            None => {}
        }
        let random = call.id.0.as_u64_pair().1;
        let about = |host: &HostId| self.far.as_ref().map_or_else(Standing::default, |far| far.standing(host));
        match choose(path.here(), &path.remote, site, random, about) {
            Choice::Local => Offered::Answered(self.call_local(path, call).await),
            Choice::LocalThen(host) => {
                let (out, kept) = keep(call);
                match self.call_local(path, out).await {
                    Err(busy) if busy.code == Code::Busy => match kept.again() {
                        Some(call) => Offered::Answered(self.call_far(host, call, &|| false).await),
                        None => Offered::Answered(Err(busy)),
                    },
                    answered => Offered::Answered(answered),
                }
            }
            Choice::Remote(one, other) => {
                if first {
                    self.retries.note_call();
                }
                self.offer_far(path, one, other, call).await
            }
            Choice::Nobody => {
                let message = format!("{} is ready on no host", path.target);
                Offered::Untaken(Box::new(call), CallError::new(Code::Unavailable, message))
            }
        }
    }

    /// Offers the call to one host, and to the other where the first one did not do it or it may run twice.
    async fn offer_far(&self, path: &Path, first: &HostId, second: Option<&HostId>, call: Invocation) -> Offered {
        let grant = path.grant.as_deref();
        let (out, mut kept) = keep(call);
        // Asked at a silent host: whoever leaves it has a token for the other one.
        let left = AtomicBool::new(false);
        let leave = || {
            let may = second.is_some() && kept.may_run_twice(grant) && self.may_retry();
            left.store(may, Ordering::Relaxed);
            may
        };
        let refusal = match self.call_far(first, out, &leave).await {
            Err(error) if may_go_on(&error, &kept, grant) => error,
            answered => return Offered::Answered(answered),
        };
        if !refusal.code.nothing_done() {
            kept.renew();
        }
        let Some(second) = second.filter(|_| left.load(Ordering::Relaxed) || self.may_retry()) else {
            return untaken(kept, refusal);
        };
        let Some(again) = kept.again() else { return Offered::Answered(Err(refusal)) };
        let (out, kept) = keep(again);
        match self.call_far(second, out, &|| false).await {
            Err(last) if matches!(last.code, Code::Busy | Code::Unavailable) => untaken(kept, last),
            answered => Offered::Answered(answered),
        }
    }

    fn may_retry(&self) -> bool {
        self.retries.take(Monotonic::now())
    }

    async fn call_far(&self, host: &HostId, call: Invocation, leave: Leave<'_>) -> Result<Reply, CallError> {
        match &self.far {
            Some(far) => {
                let open = self.counters.begin(Place::Remote);
                let result = far.call(host, call, leave).await;
                open.end(&result);
                result
            }
            None => Err(CallError::new(Code::Unavailable, "this host runs alone")),
        }
    }

    async fn call_local(&self, path: &Path, call: Invocation) -> Result<Reply, CallError> {
        match &path.local {
            Some(local) => serve_here(local, call).await,
            None => Err(CallError::new(Code::Unavailable, format!("{} is not ready here", path.target))),
        }
    }

    fn note(&self, call: &Invocation, refusal: &CallError) {
        if refusal.code == Code::NotLinked {
            self.refusals.note(Kind::Call, Reason::NotLinked, About::invocation(call));
        }
    }

    /// Serves a call from another host. It is served here or not at all.
    async fn serve_inward(&self, mut call: Invocation) -> Result<Reply, CallError> {
        let span = self.tracer.as_ref().map(|tracer| tracer.begin(&mut call, Place::Callee));
        let open = self.counters.begin(Place::Callee);
        let result = match self.allowed(call).await {
            Ok((path, call)) => self.call_local(&path, call).await,
            Err(error) => Err(error),
        };
        open.end(&result);
        if let Some(span) = span {
            span.end(&result);
        }
        result
    }

    /// A call from another host and its path, where this host's own view has the link that allows it.
    async fn allowed(&self, call: Invocation) -> Result<(Arc<Path>, Invocation), CallError> {
        if call.target.is_none() {
            return Err(CallError::new(Code::BadParams, "the call does not say who is called"));
        }
        let refusal = match self.table().resolve(&call) {
            Ok(path) => return Ok((path, call)),
            Err(refusal) => refusal,
        };
        if refusal.code == Code::UnknownTarget {
            return Err(CallError::new(Code::Unavailable, refusal.message));
        }
        let denied = || CallError::new(Code::Denied, refusal.message.clone());
        let mut wait = self.begin_waiting(&call, refusal.clone())?;
        wait.until = wait.until.sooner(Deadline::after(LINK_LAG));
        loop {
            wait.next(denied()).await.inspect_err(|_| self.note(&call, &refusal))?;
            if let Ok(path) = self.table().resolve(&call) {
                return Ok((path, call));
            }
        }
    }
}

/// Whether a call that ended so may be made once more: nothing was done, or it may run twice.
fn may_go_on(error: &CallError, kept: &Kept, grant: Option<&Grant>) -> bool {
    match error.code {
        Code::Busy | Code::Unavailable => true,
        Code::Lost | Code::ReplyLost => kept.may_run_twice(grant),
        _ => false,
    }
}

/// A call that nobody took: a busy host says so at once, any other may be waited for.
fn untaken(kept: Kept, refusal: CallError) -> Offered {
    match kept.again() {
        Some(call) if refusal.code != Code::Busy => Offered::Untaken(Box::new(call), refusal),
        _ => Offered::Answered(Err(refusal)),
    }
}

async fn serve_here(local: &Local, call: Invocation) -> Result<Reply, CallError> {
    if local.keeps_deadlines {
        return local.serve.serve(call).await;
    }
    let deadline = call.deadline;
    let served = timeout(deadline.remaining(), deadline.bounds(local.serve.serve(call))).await.ok().flatten();
    served.unwrap_or_else(|| Err(CallError::new(Code::DeadlineExceeded, "there was no answer before the deadline")))
}

impl Serve for Router {
    fn serve(&self, call: Invocation) -> BoxFuture<'_, Result<Reply, CallError>> {
        Box::pin(self.route(call))
    }
}

/// The calls that other hosts make here.
pub struct Inward(pub Arc<Router>);

impl Serve for Inward {
    fn serve(&self, call: Invocation) -> BoxFuture<'_, Result<Reply, CallError>> {
        Box::pin(self.0.serve_inward(call))
    }
}

#[cfg(test)]
mod tests;

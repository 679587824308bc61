//! The actors of this host: one task owns each of them from its start to its end, and converges to what
//! `converge.rs` last said about it.
//!
//! ```text
//!            fetch, verify, compile          new revision: the new one first
//! Starting ──────────────────────────► Ready ──────────► Ready ─┬─► old one drains
//!    ▲  │ refused, missing               │                      │
//!    │  ▼                                ▼ not wanted           ▼ revoked
//!   Failed, tried again ever less often  Draining             Failed
//! ```
//!
//! Whether what is `Ready` here can be called is decided in `converge.rs`: only it knows the links.

use std::{collections::HashSet, num::NonZeroU32, path::PathBuf, sync::Arc, time::Duration};

use mesh_claims::{Admission, Claims, Refusal, Trust};
use mesh_lattice::{
    Deadline, Digest, Name, Serve,
    application::{Limits, Values},
};
use mesh_runtime::{Actor, ActorConfig, ActorError, Engine};
use tokio::{
    runtime::Handle,
    sync::{Notify, watch},
    time::timeout,
};
use tokio_util::task::TaskTracker;

use crate::{
    artifacts::{ArtifactError, Artifacts},
    known::Known,
    router::reach::Reach,
    slots::{Seat, Slots},
    trust,
};

/// One start takes at most this long.
const START: Duration = Duration::from_secs(120);
/// An actor that is replaced finishes its calls within this.
const REPLACED: Duration = Duration::from_secs(30);
/// The wait after a failed start, doubled up to [`LONGEST_WAIT`].
const SHORTEST_WAIT: Duration = Duration::from_millis(500);
/// See [`SHORTEST_WAIT`].
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// One actor as it is to run here.
#[derive(Debug, Clone, PartialEq)]
pub struct ActorSpec {
    /// The application that it belongs to.
    pub app: Name,
    /// The revision that it is read from.
    pub revision: u64,
    /// What it is started with: another start where this changes.
    pub run: ActorRun,
}

/// What an actor is started with.
#[derive(Debug, Clone, PartialEq)]
pub struct ActorRun {
    /// The artifact.
    pub digest: Digest,
    /// Its configuration.
    pub config: Values,
    /// What one instance may use.
    pub limits: Limits,
    /// Live instances.
    pub concurrency: u32,
    /// Calls that one instance serves.
    pub reuse: u32,
}

/// An actor that runs.
#[derive(Clone)]
pub struct Running {
    /// It.
    pub actor: Arc<Actor>,
    /// What it was started with.
    pub run: ActorRun,
    /// What its issuer says.
    pub claims: Claims,
    /// Held by whoever can send it a call.
    pub reach: Reach,
}

/// How an actor is here.
#[derive(Clone)]
pub struct ActorStatus {
    /// As it is wanted.
    pub spec: ActorSpec,
    /// What runs: until a change has succeeded, that is what ran before.
    pub running: Option<Running>,
    /// Why what is wanted does not run, where it was tried.
    pub failure: Option<String>,
}

/// What every start needs.
pub struct Starter {
    /// Makes actors.
    pub engine: Engine,
    /// Has their bytes.
    pub artifacts: Artifacts,
    /// Takes their calls.
    pub calls: Arc<dyn Serve>,
    /// Whom to trust.
    pub known: watch::Receiver<Arc<Known>>,
    /// What ran here in an earlier life: its claims may have expired since.
    pub ran_before: HashSet<Digest>,
    /// Told whenever a status changes.
    pub changed: Arc<Notify>,
}

#[derive(Debug, thiserror::Error)]
enum StartError {
    #[error(transparent)]
    Artifact(#[from] ArtifactError),
    #[error("{0}")]
    Refused(Refusal),
    #[error(transparent)]
    Actor(#[from] ActorError),
    #[error("the start took longer than {} s", START.as_secs())]
    Slow,
    #[error("the host is stopping")]
    Stopping,
}

/// The actors of this host.
pub struct Actors {
    starter: Arc<Starter>,
    slots: Slots<ActorSpec, ActorStatus>,
    retired: TaskTracker,
}

impl Actors {
    /// None yet.
    #[must_use]
    pub fn new(starter: Arc<Starter>) -> Self {
        Self { starter, slots: Slots::new("the actors"), retired: TaskTracker::new() }
    }

    /// Starts an actor, or changes the one of that name. Returns at once.
    pub fn put(&mut self, name: &Name, spec: ActorSpec) {
        let beginning = |spec: &ActorSpec| ActorStatus { spec: spec.clone(), running: None, failure: None };
        let Some(seat) = self.slots.put(name, spec, beginning, &self.starter.changed) else { return };
        let task = Task { seat, starter: self.starter.clone(), running: None, retired: self.retired.clone() };
        self.slots.spawn(task.run(), &Handle::current());
    }

    /// Stops an actor. Returns at once; it is gone from [`Actors::statuses`] at once too, and finishes its calls.
    pub fn stop(&mut self, name: &Name) {
        self.slots.stop(name);
    }

    /// What is wanted of each actor.
    pub fn wanted(&self) -> impl Iterator<Item = (&Name, Option<ActorSpec>)> {
        self.slots.wanted()
    }

    /// How each actor is.
    pub fn statuses(&self) -> impl Iterator<Item = (&Name, ActorStatus)> {
        self.slots.statuses()
    }

    /// Forgets the tasks that have ended.
    pub fn reap(&mut self) {
        self.slots.reap();
    }

    /// Stops every actor and waits until all their calls have ended, or the deadline.
    pub async fn drain(&mut self, deadline: Deadline) {
        let running: Vec<_> = self.statuses().filter_map(|(_, status)| Some(status.running?.actor)).collect();
        futures::future::join_all(running.iter().map(|actor| actor.drain(deadline))).await;
        self.retired.close();
        self.slots.stop_all(deadline.remaining(), self.retired.wait()).await;
    }
}

/// Owns one actor.
struct Task {
    seat: Seat<ActorSpec, ActorStatus>,
    starter: Arc<Starter>,
    running: Option<Running>,
    retired: TaskTracker,
}

impl Task {
    async fn run(mut self) {
        let mut failures = 0_u32;
        loop {
            let Some(spec) = self.seat.wants.borrow_and_update().clone() else { break };
            if self.running.as_ref().is_some_and(|running| running.run == spec.run) {
                failures = 0;
                self.say(&spec, None);
                self.rest().await;
                continue;
            }
            if failures == 0 {
                self.say(&spec, None);
            }
            match self.start(&spec).await {
                None => failures = 0,
                Some(Ok(running)) => {
                    tracing::info!(actor = %self.seat.name, digest = %running.run.digest, "the actor is started");
                    self.replace(Some(running));
                }
                Some(Err(error)) => {
                    tracing::warn!(actor = %self.seat.name, app = %spec.app, revision = spec.revision, "the actor does not start: {error}");
                    self.say(&spec, Some(error.to_string()));
                    self.pause(&spec, failures).await;
                    failures = failures.saturating_add(1);
                }
            }
        }
        self.replace(None);
    }

    /// Waits while all is well: until something else is wanted, or what runs is revoked.
    async fn rest(&mut self) {
        let mut known = self.starter.known.clone();
        known.mark_changed();
        loop {
            tokio::select! {
                changed = self.seat.wants.changed() => {
                    if changed.is_err() {
                        // Whoever wanted something is gone: the host ends without saying so.
                        std::future::pending::<()>().await;
                    }
                    return;
                }
                Ok(()) = known.changed() => {
                    let trust = known.borrow_and_update().trust.clone();
                    if self.is_revoked(&trust) {
                        tracing::warn!(actor = %self.seat.name, "the actor is revoked and stops");
                        self.replace(None);
                        return;
                    }
                }
            }
        }
    }

    fn is_revoked(&self, trust: &Trust) -> bool {
        let running = self.running.as_ref();
        running.is_some_and(|running| trust::is_revoked(&running.claims, &running.run.digest, trust))
    }

    /// Starts what is wanted; `None` where something else is wanted before that is done.
    async fn start(&mut self, spec: &ActorSpec) -> Option<Result<Running, StartError>> {
        let starter = self.starter.clone();
        let starting = timeout(START, starter.start(&self.seat.name, &spec.run));
        tokio::pin!(starting);
        loop {
            tokio::select! {
                started = &mut starting => return Some(started.unwrap_or(Err(StartError::Slow))),
                Ok(()) = self.seat.wants.changed() => {
                    let wanted = self.seat.wants.borrow_and_update().clone();
                    if wanted.is_none_or(|wanted| wanted.run != spec.run) {
                        self.seat.wants.mark_changed();
                        return None;
                    }
                }
            }
        }
    }

    /// Waits before the next try: for a while, or until something changed that may help.
    async fn pause(&mut self, spec: &ActorSpec, failures: u32) {
        let ceiling = SHORTEST_WAIT.saturating_mul(1 << failures.min(8)).min(LONGEST_WAIT);
        let wait = ceiling.mul_f64(0.5 + 0.5 * crate::chance());
        let until = tokio::time::Instant::now() + wait;
        let mut known = self.starter.known.clone();
        known.mark_unchanged();
        let trusted = known.borrow().trust.clone();
        loop {
            tokio::select! {
                () = tokio::time::sleep_until(until) => return,
                Ok(()) = self.seat.wants.changed() => {
                    let wanted = self.seat.wants.borrow_and_update().clone();
                    self.seat.wants.mark_changed();
                    if wanted.as_ref() != Some(spec) {
                        return;
                    }
                }
                Ok(()) = known.changed() => {
                    if !Arc::ptr_eq(&known.borrow_and_update().trust, &trusted) {
                        return;
                    }
                }
            }
        }
    }

    /// Puts another one in its place; the old one takes the calls that were routed to it, and finishes them.
    fn replace(&mut self, running: Option<Running>) {
        let Some(Running { actor, reach, .. }) = std::mem::replace(&mut self.running, running) else { return };
        self.seat.amend(|status| status.running.clone_from(&self.running));
        self.retired.spawn(async move {
            let deadline = Deadline::after(REPLACED);
            reach.end(deadline.remaining()).await;
            actor.drain(deadline).await;
        });
    }

    fn say(&self, spec: &ActorSpec, failure: Option<String>) {
        let status = ActorStatus { spec: spec.clone(), running: self.running.clone(), failure };
        self.seat.say(status, |_, _| true);
    }
}

impl Starter {
    async fn start(&self, name: &Name, run: &ActorRun) -> Result<Running, StartError> {
        let bytes = self.artifacts.get(&run.digest).await?;
        let trusted = self.known.borrow().trust.clone();
        let ran = self.ran_before.contains(&run.digest);
        let admission = if ran { Admission::Restart } else { Admission::New };
        let digest = run.digest;
        let verified = tokio::task::spawn_blocking(move || trust::admit(bytes, &digest, &trusted, admission))
            .await
            .map_err(|_| StartError::Stopping)?
            .map_err(StartError::Refused)?;
        let (config, limits, reuse) = (run.config.clone(), run.limits, run.reuse);
        let config = ActorConfig { config, limits, reuse, ..ActorConfig::new(name.clone()) };
        let config = config.with_concurrency(NonZeroU32::new(run.concurrency).unwrap_or(NonZeroU32::MIN));
        let actor = self.engine.actor(&verified, config, self.calls.clone()).await?;
        Ok(Running { actor, run: run.clone(), claims: verified.claims().clone(), reach: Reach::default() })
    }
}

/// Where this host keeps compiled code.
#[must_use]
pub fn compiled_dir(dir: &std::path::Path) -> PathBuf {
    dir.join("compiled")
}

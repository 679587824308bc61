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

use std::{
    collections::{BTreeMap, HashSet},
    num::NonZeroU32,
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use mesh_claims::{Admission, Claims, Refusal, Trust};
use mesh_lattice::{
    Deadline, Digest, Name, Serve,
    application::{Limits, Values},
};
use mesh_runtime::{Actor, ActorConfig, ActorError, Engine};
use tokio::{
    sync::{Notify, watch},
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_util::task::TaskTracker;

use crate::{
    artifacts::{ArtifactError, Artifacts},
    known::Known,
    trust,
};

/// One start takes at most this long.
const START: Duration = Duration::from_secs(120);
/// An actor that is replaced finishes its calls within this.
const REPLACED: Duration = Duration::from_secs(30);
/// Calls that were routed just before an actor was replaced still reach it: it takes calls for this long after.
const ROUTED_LATE: Duration = Duration::from_millis(100);
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
    slots: BTreeMap<Name, Slot>,
    tasks: JoinSet<Name>,
    retired: TaskTracker,
}

struct Slot {
    wanted: watch::Sender<Option<ActorSpec>>,
    status: watch::Receiver<ActorStatus>,
}

impl Actors {
    /// None yet.
    #[must_use]
    pub fn new(starter: Arc<Starter>) -> Self {
        Self { starter, slots: BTreeMap::new(), tasks: JoinSet::new(), retired: TaskTracker::new() }
    }

    /// Starts an actor, or changes the one of that name. Returns at once.
    pub fn put(&mut self, name: &Name, spec: ActorSpec) {
        if let Some(slot) = self.slots.get(name) {
            slot.wanted.send_replace(Some(spec));
            return;
        }
        let beginning = ActorStatus { spec: spec.clone(), running: None, failure: None };
        let (wanted, wants) = watch::channel(Some(spec));
        let (publish, status) = watch::channel(beginning);
        let task = Task {
            name: name.clone(),
            starter: self.starter.clone(),
            wants,
            publish,
            running: None,
            retired: self.retired.clone(),
        };
        self.tasks.spawn(task.run());
        self.slots.insert(name.clone(), Slot { wanted, status });
    }

    /// Stops an actor. Returns at once; it is gone from [`Actors::statuses`] at once too, and finishes its calls.
    pub fn stop(&mut self, name: &Name) {
        if let Some(slot) = self.slots.remove(name) {
            slot.wanted.send_replace(None);
        }
    }

    /// What is wanted of each actor.
    pub fn wanted(&self) -> impl Iterator<Item = (&Name, Option<ActorSpec>)> {
        self.slots.iter().map(|(name, slot)| (name, slot.wanted.borrow().clone()))
    }

    /// How each actor is.
    pub fn statuses(&self) -> impl Iterator<Item = (&Name, ActorStatus)> {
        self.slots.iter().map(|(name, slot)| (name, slot.status.borrow().clone()))
    }

    /// Forgets the tasks that have ended.
    pub fn reap(&mut self) {
        while let Some(ended) = self.tasks.try_join_next() {
            if let Err(error) = ended {
                tracing::error!("an actor's task ended unexpectedly: {error}");
            }
        }
    }

    /// Stops every actor and waits until all their calls have ended, or the deadline.
    pub async fn drain(&mut self, deadline: Deadline) {
        let running: Vec<_> = self.statuses().filter_map(|(_, status)| status.running).collect();
        futures::future::join_all(running.iter().map(|running| running.actor.drain(deadline))).await;
        for name in self.slots.keys().cloned().collect::<Vec<_>>() {
            self.stop(&name);
        }
        self.retired.close();
        let joined = async {
            while self.tasks.join_next().await.is_some() {}
            self.retired.wait().await;
        };
        if timeout(deadline.remaining(), joined).await.is_err() {
            tracing::warn!("some actors were still busy at the deadline");
            self.tasks.abort_all();
        }
    }
}

/// Owns one actor.
struct Task {
    name: Name,
    starter: Arc<Starter>,
    wants: watch::Receiver<Option<ActorSpec>>,
    publish: watch::Sender<ActorStatus>,
    running: Option<Running>,
    retired: TaskTracker,
}

impl Task {
    async fn run(mut self) -> Name {
        let mut failures = 0_u32;
        loop {
            let Some(spec) = self.wants.borrow_and_update().clone() else { break };
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
                    tracing::info!(actor = %self.name, digest = %running.run.digest, "the actor is started");
                    self.replace(Some(running));
                }
                Some(Err(error)) => {
                    tracing::warn!(actor = %self.name, app = %spec.app, revision = spec.revision, "the actor does not start: {error}");
                    self.say(&spec, Some(error.to_string()));
                    self.pause(&spec, failures).await;
                    failures = failures.saturating_add(1);
                }
            }
        }
        self.replace(None);
        self.name
    }

    /// Waits while all is well: until something else is wanted, or what runs is revoked.
    async fn rest(&mut self) {
        let mut known = self.starter.known.clone();
        known.mark_changed();
        loop {
            tokio::select! {
                changed = self.wants.changed() => {
                    if changed.is_err() {
                        // Whoever wanted something is gone: the host ends without saying so.
                        std::future::pending::<()>().await;
                    }
                    return;
                }
                Ok(()) = known.changed() => {
                    let trust = known.borrow_and_update().trust.clone();
                    if self.is_revoked(&trust) {
                        tracing::warn!(actor = %self.name, "the actor is revoked and stops");
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
        let starting = timeout(START, starter.start(&self.name, &spec.run));
        tokio::pin!(starting);
        loop {
            tokio::select! {
                started = &mut starting => return Some(started.unwrap_or(Err(StartError::Slow))),
                Ok(()) = self.wants.changed() => {
                    let wanted = self.wants.borrow_and_update().clone();
                    if wanted.is_none_or(|wanted| wanted.run != spec.run) {
                        self.wants.mark_changed();
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
                Ok(()) = self.wants.changed() => {
                    let wanted = self.wants.borrow_and_update().clone();
                    self.wants.mark_changed();
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

    /// Puts another one in its place; the old one finishes its calls.
    fn replace(&mut self, running: Option<Running>) {
        let Some(old) = std::mem::replace(&mut self.running, running) else { return };
        self.retired.spawn(async move {
            sleep(ROUTED_LATE).await;
            old.actor.drain(Deadline::after(REPLACED)).await;
        });
    }

    fn say(&self, spec: &ActorSpec, failure: Option<String>) {
        self.publish.send_replace(ActorStatus { spec: spec.clone(), running: self.running.clone(), failure });
        self.starter.changed.notify_one();
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
        let config = ActorConfig { config: run.config.clone(), limits: run.limits, ..ActorConfig::new(name.clone()) };
        let config = config.with_concurrency(NonZeroU32::new(run.concurrency).unwrap_or(NonZeroU32::MIN));
        let actor = self.engine.actor(&verified, config, self.calls.clone()).await?;
        Ok(Running { actor, run: run.clone(), claims: verified.claims().clone() })
    }
}

/// Where this host keeps compiled code.
#[must_use]
pub fn compiled_dir(dir: &std::path::Path) -> PathBuf {
    dir.join("compiled")
}

//! The providers of this host: one task owns each of them, starts it, tells it its links, watches its health, starts
//! it again, and converges to what `converge.rs` last said about it. When is decided in `supervisor.rs`.

pub mod supervisor;
pub(crate) mod taken;

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use mesh_lattice::{
    Deadline, InterfacePattern, LatticeName, Name, Serve,
    application::Values,
    stored::{FailedLink, ProviderState},
};
use mesh_provider::{Context, End, Factory, LinkId, NatsDefault, Provider, ProviderLink, StartError};
use tokio::{runtime::Handle, sync::Notify, time::timeout};

use crate::slots::{Seat, Slots};
use supervisor::{Action, Event, Supervisor};

/// One start takes at most this long.
const START: Duration = Duration::from_secs(30);
/// One link is taken or refused within this.
const LINK: Duration = Duration::from_secs(10);
/// Health is asked this often.
const CHECK: Duration = Duration::from_secs(2);
/// And answered within this.
const ANSWER: Duration = Duration::from_secs(2);
/// One that was just started may need this long to reach what it stands on.
const FIRST_ANSWER: Duration = Duration::from_secs(2);
/// And is asked this often meanwhile.
const ASK_AGAIN: Duration = Duration::from_millis(25);
/// A provider that is replaced or given up lets go of what it holds within this.
const LET_GO: Duration = Duration::from_secs(5);
/// How long a call may be on its way from the router's choice to the provider.
const ROUTED_LATE: Duration = Duration::from_millis(50);
/// A link that was refused is offered again this often: what stood against it may be gone.
const OFFER_AGAIN: Duration = Duration::from_secs(5);

/// One provider as it is to run here.
#[derive(Debug, Clone, PartialEq)]
pub struct ProviderSpec {
    /// The application that it belongs to.
    pub app: Name,
    /// The revision that it is read from.
    pub revision: u64,
    /// What it is started with: another start where this changes.
    pub run: ProviderRun,
    /// Its links.
    pub links: BTreeMap<LinkId, ProviderLink>,
    /// Links that it cannot be told, and why.
    pub lacking: Vec<FailedLink>,
}

/// What a provider is started with.
#[derive(Debug, Clone, PartialEq)]
pub struct ProviderRun {
    /// Which built-in provider it is.
    pub kind: Name,
    /// Its configuration.
    pub config: Values,
}

/// How a provider is here.
#[derive(Clone)]
pub struct ProviderStatus {
    /// As it is wanted.
    pub spec: ProviderSpec,
    /// How it is.
    pub state: ProviderState,
    /// Why.
    pub reason: String,
    /// How often it was started again.
    pub restarts: u32,
    /// It, where it serves.
    pub provider: Option<Arc<dyn Provider>>,
    /// Links that it does not have, and why.
    pub failed_links: Vec<FailedLink>,
    /// Marks of those that it has.
    pub taken_links: Vec<String>,
}

/// The built-in providers, by kind.
#[derive(Clone, Default)]
pub struct Kinds(BTreeMap<Name, Arc<dyn Factory>>);

impl Kinds {
    /// These.
    #[must_use]
    pub fn new(factories: Vec<Arc<dyn Factory>>) -> Self {
        Self(factories.into_iter().map(|factory| (factory.kind(), factory)).collect())
    }

    /// The one of this kind.
    #[must_use]
    pub fn get(&self, kind: &Name) -> Option<&Arc<dyn Factory>> {
        self.0.get(kind)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (&Name, &Arc<dyn Factory>)> {
        self.0.iter()
    }

    /// What providers of this kind serve.
    #[must_use]
    pub fn interfaces(&self, kind: &Name) -> Vec<InterfacePattern> {
        self.get(kind).map(|factory| factory.interfaces()).unwrap_or_default()
    }
}

/// What every start needs.
pub struct Starter {
    /// The lattice of this host.
    pub lattice: LatticeName,
    /// The built-in providers.
    pub kinds: Kinds,
    /// Their data lives under here, each in a directory of its own name.
    pub data_dir: PathBuf,
    /// Where the hosts of this machine find each other.
    pub runtime_dir: PathBuf,
    /// Takes their calls.
    pub calls: Arc<dyn Serve>,
    /// The NATS server of those that stand on one and are told none.
    pub default_nats: Option<NatsDefault>,
    /// Whether spans are exported.
    pub tracing: bool,
    /// Where they run.
    pub work: Handle,
    /// Told whenever a status changes.
    pub changed: Arc<Notify>,
}

/// The providers of this host.
pub struct Providers {
    starter: Arc<Starter>,
    slots: Slots<ProviderSpec, ProviderStatus>,
}

impl Providers {
    /// None yet.
    #[must_use]
    pub fn new(starter: Arc<Starter>) -> Self {
        Self { starter, slots: Slots::new("the providers") }
    }

    /// Starts a provider, or changes the one of that name. Returns at once.
    pub fn put(&mut self, name: &Name, spec: ProviderSpec) {
        let beginning = |spec: &ProviderSpec| ProviderStatus {
            spec: spec.clone(),
            state: ProviderState::Starting,
            reason: String::new(),
            restarts: 0,
            provider: None,
            failed_links: Vec::new(),
            taken_links: Vec::new(),
        };
        let Some(seat) = self.slots.put(name, spec, beginning, &self.starter.changed) else { return };
        let task = Task {
            seat,
            starter: self.starter.clone(),
            supervisor: Supervisor::default(),
            running: None,
            told: BTreeMap::new(),
            failed_links: Vec::new(),
            heard: None,
            offered: Instant::now(),
        };
        self.slots.spawn(task.run(), &self.starter.work);
    }

    /// Stops a provider. Returns at once; it finishes what it has.
    pub fn stop(&mut self, name: &Name) {
        self.slots.stop(name);
    }

    /// What is wanted of each provider.
    pub fn wanted(&self) -> impl Iterator<Item = (&Name, Option<ProviderSpec>)> {
        self.slots.wanted()
    }

    /// How each provider is.
    pub fn statuses(&self) -> impl Iterator<Item = (&Name, ProviderStatus)> {
        self.slots.statuses()
    }

    /// Forgets the tasks that have ended.
    pub fn reap(&mut self) {
        self.slots.reap();
    }

    /// Lets the providers that bring calls in finish what they have, and take nothing new.
    pub fn drain_sources(&self, deadline: Deadline) -> impl Future<Output = ()> + Send + use<> {
        let source =
            |status: &ProviderStatus| status.spec.links.keys().any(|link| link.end == mesh_provider::End::Source);
        let sources: Vec<_> =
            self.statuses().filter(|(_, status)| source(status)).filter_map(|(_, status)| status.provider).collect();
        async move {
            let drains = sources.iter().map(|source| source.drain(deadline));
            let _ = timeout(deadline.remaining(), futures::future::join_all(drains)).await;
        }
    }

    /// Stops every provider and waits for it, to the deadline.
    pub async fn stop_all(&mut self, deadline: Deadline) {
        self.slots.stop_all(deadline.remaining(), async {}).await;
    }
}

fn failed_link(provider: &Name, link: &ProviderLink, reason: String) -> FailedLink {
    let (source, target) = match link.end {
        End::Source => (provider, &link.peer),
        End::Target => (&link.peer, provider),
    };
    FailedLink { source: source.clone(), target: target.clone(), link: link.name.clone(), reason }
}

/// Owns one provider.
struct Task {
    seat: Seat<ProviderSpec, ProviderStatus>,
    starter: Arc<Starter>,
    supervisor: Supervisor,
    running: Option<(Arc<dyn Provider>, ProviderRun)>,
    /// The links that it has taken.
    told: BTreeMap<LinkId, ProviderLink>,
    failed_links: Vec<FailedLink>,
    /// The last that its provider was told.
    heard: Option<ProviderSpec>,
    /// When its links were last offered.
    offered: Instant,
}

impl Task {
    async fn run(mut self) {
        let mut action = Action::Start;
        loop {
            let Some(spec) = self.seat.wants.borrow_and_update().clone() else { break };
            self.say(&spec);
            let event = match action {
                Action::Start => self.start(&spec).await,
                Action::Watch => self.watch(&spec).await,
                Action::Wait(wait) => self.wait(&spec, Some(wait)).await,
                Action::GiveUp => self.wait(&spec, None).await,
            };
            let Some(event) = event else { break };
            let before = self.supervisor.state().0;
            action = self.supervisor.step(event, Instant::now(), crate::chance());
            let (state, reason) = self.supervisor.state();
            if state != before {
                tracing::info!(provider = %self.seat.name, ?state, reason, "the provider changed its state");
            }
        }
        self.let_go().await;
    }

    /// Starts it and tells it its links; `None` where it is not wanted any more.
    async fn start(&mut self, spec: &ProviderSpec) -> Option<Event> {
        self.let_go().await;
        let Some(factory) = self.starter.kinds.get(&spec.run.kind).cloned() else {
            return Some(Event::Misconfigured(format!("this host has no provider {}", spec.run.kind)));
        };
        let context = Context {
            lattice: self.starter.lattice.clone(),
            name: self.seat.name.clone(),
            config: spec.run.config.clone(),
            data_dir: self.starter.data_dir.join(self.seat.name.as_str()),
            runtime_dir: self.starter.runtime_dir.clone(),
            calls: self.starter.calls.clone(),
            default_nats: self.starter.default_nats.clone(),
            tracing: self.starter.tracing,
        };
        match timeout(START, factory.start(context)).await {
            Err(_) => Some(Event::StartFailed(format!("it did not start within {} s", START.as_secs()))),
            Ok(Err(StartError::Config(error))) => Some(Event::Misconfigured(error.to_string())),
            Ok(Err(error)) => Some(Event::StartFailed(error.to_string())),
            Ok(Ok(provider)) => {
                self.running = Some((provider, spec.run.clone()));
                self.tell_links(spec).await;
                self.begin().await;
                Some(self.first_answer().await)
            }
        }
    }

    async fn begin(&self) {
        let Some((provider, _)) = &self.running else { return };
        if timeout(LINK, provider.begin()).await.is_err() {
            tracing::warn!(provider = %self.seat.name, "the provider did not begin within {} s", LINK.as_secs());
        }
    }

    /// Whether it can do its work, as soon as it says so, or what it says last within [`FIRST_ANSWER`]: what has not
    /// reached its server yet does not count as running.
    async fn first_answer(&self) -> Event {
        let Some((provider, _)) = &self.running else { return Event::Silent };
        let until = tokio::time::Instant::now() + FIRST_ANSWER;
        loop {
            let said = match timeout(ANSWER, provider.health()).await {
                Ok(Ok(())) => return Event::Started,
                Ok(Err(reason)) => Event::Unwell(reason),
                Err(_) => Event::Silent,
            };
            if tokio::time::Instant::now() >= until || self.seat.wants.has_changed().unwrap_or(true) {
                return said;
            }
            tokio::time::sleep(ASK_AGAIN).await;
        }
    }

    /// Watches over what runs until something happens.
    async fn watch(&mut self, spec: &ProviderSpec) -> Option<Event> {
        // What was said while the provider was busy with something else is no change any more, and yet news to it.
        let news = self.heard.as_ref() != Some(spec);
        let wanted = if news { Ok(Ok(())) } else { timeout(CHECK, self.seat.wants.changed()).await };
        match wanted {
            Ok(Err(_)) => std::future::pending().await,
            Ok(Ok(())) => {
                let spec = self.seat.wants.borrow_and_update().clone()?;
                if self.running.as_ref().is_some_and(|(_, run)| *run != spec.run) {
                    return Some(Event::Changed);
                }
                self.tell_links(&spec).await;
            }
            Err(_) if !self.failed_links.is_empty() && self.offered.elapsed() > OFFER_AGAIN => {
                self.tell_links(spec).await;
            }
            Err(_) => {}
        }
        let (provider, _) = self.running.as_ref()?;
        Some(match timeout(ANSWER, provider.health()).await {
            Ok(Ok(())) => Event::Well,
            Ok(Err(reason)) => Event::Unwell(reason),
            Err(_) => Event::Silent,
        })
    }

    /// Waits, for a time or for ever, or until it is wanted otherwise.
    async fn wait(&mut self, spec: &ProviderSpec, wait: Option<Duration>) -> Option<Event> {
        self.let_go().await;
        let until = tokio::time::Instant::now() + wait.unwrap_or(Duration::MAX / 4).min(Duration::from_secs(1 << 30));
        loop {
            tokio::select! {
                () = tokio::time::sleep_until(until) => return Some(Event::Due),
                changed = self.seat.wants.changed() => {
                    if changed.is_err() {
                        return std::future::pending().await;
                    }
                    let wanted = self.seat.wants.borrow_and_update().clone()?;
                    if wanted.run != spec.run {
                        return Some(Event::Changed);
                    }
                }
            }
        }
    }

    /// Takes back the links that are not wanted any more, then tells it the new and changed ones.
    async fn tell_links(&mut self, spec: &ProviderSpec) {
        let Some((provider, _)) = self.running.clone() else { return };
        self.offered = Instant::now();
        let gone: Vec<_> = self.told.keys().filter(|id| !spec.links.contains_key(id)).cloned().collect();
        for id in gone {
            let _ = timeout(LINK, provider.delete_link(&id)).await;
            self.told.remove(&id);
        }
        self.failed_links.clone_from(&spec.lacking);
        for (id, link) in &spec.links {
            if self.told.get(id) == Some(link) {
                continue;
            }
            let refused = match timeout(LINK, provider.put_link(link.clone())).await {
                Ok(Ok(())) => None,
                Ok(Err(error)) => Some(error.reason()),
                Err(_) => Some(format!("it did not take the link within {} s", LINK.as_secs())),
            };
            match refused {
                None => {
                    self.told.insert(id.clone(), link.clone());
                }
                Some(reason) => {
                    tracing::warn!(provider = %self.seat.name, peer = %link.peer, link = %link.name, "a link is refused: {reason}");
                    // What it had before is not what is wanted: a link that is shown as failed carries no calls.
                    if self.told.remove(id).is_some() {
                        let _ = timeout(LINK, provider.delete_link(id)).await;
                    }
                    self.failed_links.push(failed_link(&self.seat.name, link, reason));
                }
            }
        }
        self.heard = Some(spec.clone());
    }

    /// Ends what runs.
    async fn let_go(&mut self) {
        self.told.clear();
        if self.running.is_some() {
            // Calls that were routed just before still reach it.
            tokio::time::sleep(ROUTED_LATE).await;
        }
        if let Some((provider, _)) = self.running.take()
            && timeout(LET_GO, provider.drain(Deadline::after(LET_GO))).await.is_err()
        {
            tracing::warn!(provider = %self.seat.name, "the provider did not stop in time");
        }
    }

    fn say(&self, spec: &ProviderSpec) {
        let (state, reason) = self.supervisor.state();
        let serves = matches!(state, ProviderState::Running | ProviderState::Unhealthy);
        let status = ProviderStatus {
            spec: spec.clone(),
            state,
            reason: reason.to_owned(),
            restarts: self.supervisor.restarts(),
            provider: self.running.as_ref().filter(|_| serves).map(|(provider, _)| provider.clone()),
            failed_links: self.failed_links.clone(),
            taken_links: self.told.values().map(taken::mark).collect(),
        };
        self.seat.say(status, differs);
    }
}

fn differs(old: &ProviderStatus, new: &ProviderStatus) -> bool {
    let provider =
        |status: &ProviderStatus| status.provider.as_ref().map(|provider| Arc::as_ptr(provider).cast::<()>());
    old.spec != new.spec
        || (old.state, &old.reason, old.restarts) != (new.state, &new.reason, new.restarts)
        || old.failed_links != new.failed_links
        || old.taken_links != new.taken_links
        || provider(old) != provider(new)
}

#[cfg(test)]
mod tests;

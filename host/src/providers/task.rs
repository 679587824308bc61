//! One provider of this host and its life: the task that starts it, tells it its links, watches its health, starts it
//! again and lets go of it, as `providers.rs` says what is wanted. When to do what is decided in `supervisor.rs`.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use mesh_lattice::{
    Deadline, Name,
    stored::{FailedLink, ProviderState},
};
use mesh_provider::{Context, End, LinkId, Provider, ProviderLink, StartError};
use tokio::time::timeout;

use super::{
    ProviderRun, ProviderSpec, ProviderStatus, Starter,
    supervisor::{Action, Event, Supervisor},
    taken,
};
use crate::{router::reach::Reach, slots::Seat};

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
/// A link that was refused is offered again this often: what stood against it may be gone.
const OFFER_AGAIN: Duration = Duration::from_secs(5);
/// What runs.
struct Running {
    provider: Arc<dyn Provider>,
    /// What it was started with.
    run: ProviderRun,
    /// Held by whoever can send it a call.
    reach: Reach,
}

/// Owns one provider.
pub(super) struct Task {
    seat: Seat<ProviderSpec, ProviderStatus>,
    starter: Arc<Starter>,
    supervisor: Supervisor,
    running: Option<Running>,
    /// The links that it has taken.
    told: BTreeMap<LinkId, ProviderLink>,
    failed_links: Vec<FailedLink>,
    /// The last that its provider was told.
    heard: Option<ProviderSpec>,
    /// When its links were last offered.
    offered: Instant,
}

impl Task {
    pub(super) fn new(seat: Seat<ProviderSpec, ProviderStatus>, starter: Arc<Starter>) -> Self {
        Self {
            seat,
            starter,
            supervisor: Supervisor::default(),
            running: None,
            told: BTreeMap::new(),
            failed_links: Vec::new(),
            heard: None,
            offered: Instant::now(),
        }
    }

    pub(super) async fn run(mut self) {
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
                self.running = Some(Running { provider, run: spec.run.clone(), reach: Reach::default() });
                self.tell_links(spec).await;
                self.begin().await;
                Some(self.first_answer().await)
            }
        }
    }

    async fn begin(&self) {
        let Some(Running { provider, .. }) = &self.running else { return };
        if timeout(LINK, provider.begin()).await.is_err() {
            tracing::warn!(provider = %self.seat.name, "the provider did not begin within {} s", LINK.as_secs());
        }
    }

    /// Whether it can do its work, as soon as it says so, or what it says last within [`FIRST_ANSWER`]: what has not
    /// reached its server yet does not count as running.
    async fn first_answer(&self) -> Event {
        let Some(Running { provider, .. }) = &self.running else { return Event::Silent };
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
                if self.running.as_ref().is_some_and(|running| running.run != spec.run) {
                    return Some(Event::Changed);
                }
                self.tell_links(&spec).await;
            }
            Err(_) if !self.failed_links.is_empty() && self.offered.elapsed() > OFFER_AGAIN => {
                self.tell_links(spec).await;
            }
            Err(_) => {}
        }
        let provider = &self.running.as_ref()?.provider;
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
        let Some(provider) = self.running.as_ref().map(|running| running.provider.clone()) else { return };
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
        let Some(Running { provider, reach, .. }) = self.running.take() else { return };
        self.seat.amend(|status| status.provider = None);
        let deadline = Deadline::after(LET_GO);
        reach.end(deadline.remaining()).await;
        if timeout(LET_GO, provider.drain(deadline)).await.is_err() {
            tracing::warn!(provider = %self.seat.name, "the provider did not stop in time");
        }
    }

    fn say(&self, spec: &ProviderSpec) {
        let (state, reason) = self.supervisor.state();
        let serves = matches!(state, ProviderState::Running | ProviderState::Unhealthy);
        let running = self.running.as_ref().filter(|_| serves);
        let status = ProviderStatus {
            spec: spec.clone(),
            state,
            reason: reason.to_owned(),
            restarts: self.supervisor.restarts(),
            provider: running.map(|running| (running.provider.clone(), running.reach.clone())),
            failed_links: self.failed_links.clone(),
            taken_links: self.told.values().map(taken::mark).collect(),
        };
        self.seat.say(status, differs);
    }
}

fn differs(old: &ProviderStatus, new: &ProviderStatus) -> bool {
    let provider =
        |status: &ProviderStatus| status.provider.as_ref().map(|(provider, _)| Arc::as_ptr(provider).cast::<()>());
    old.spec != new.spec
        || (old.state, &old.reason, old.restarts) != (new.state, &new.reason, new.restarts)
        || old.failed_links != new.failed_links
        || old.taken_links != new.taken_links
        || provider(old) != provider(new)
}

fn failed_link(provider: &Name, link: &ProviderLink, reason: String) -> FailedLink {
    let (source, target) = match link.end {
        End::Source => (provider, &link.peer),
        End::Target => (&link.peer, provider),
    };
    FailedLink { source: source.clone(), target: target.clone(), link: link.name.clone(), reason }
}

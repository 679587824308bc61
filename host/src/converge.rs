//! Makes this host run what it is to run, and tells the router and everybody else what came of it.
//!
//! Level-triggered: whatever changed (what is known, the state of an actor or a provider), everything is compared
//! anew and only the differences are acted on, so nothing depends on having seen an event. The loop decides and hands
//! off; a slow start delays nobody else.

pub mod pending;
pub mod wanted;

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use mesh_lattice::{
    Deadline, HostId, Name,
    stored::{ActorState, ObservedActor, ObservedProvider, ProviderState},
};
use mesh_provider::Provider;
use mesh_runtime::Actor;
use tokio::{
    sync::{Notify, mpsc, oneshot, watch},
    task::JoinSet,
};

use crate::{
    actors::{ActorStatus, Actors, Running},
    known::{Known, Origin},
    links::Links,
    providers::{Kinds, ProviderStatus, Providers},
    router::{
        reach::Reached,
        table::{Local, Table, elsewhere},
    },
};
use wanted::{Action, Lack, Wanted, changes, wanted};

/// What runs here, for reports.
#[derive(Clone)]
pub struct Report {
    /// Where what is known comes from.
    pub origin: Origin,
    /// The term of the assignment that is followed; 0 before the first.
    pub term: u64,
    /// The actors; their counters are read when a report is made.
    pub actors: Vec<(ObservedActor, Option<Arc<Actor>>)>,
    /// The providers.
    pub providers: Vec<ObservedProvider>,
    /// Those of them that serve; their counters are read when somebody asks for them.
    pub serving: Vec<(Name, Arc<dyn Provider>)>,
}

/// Owns what runs here.
pub struct Converge {
    /// This host.
    pub own: HostId,
    /// Its site.
    pub site: String,
    /// What it knows.
    pub known: watch::Receiver<Arc<Known>>,
    /// Its actors.
    pub actors: Actors,
    /// Its providers.
    pub providers: Providers,
    /// The built-in providers.
    pub kinds: Kinds,
    /// Told whenever the status of one of them changes.
    pub changed: Arc<Notify>,
    /// What the router looks into.
    pub table: watch::Sender<Arc<Table>>,
    /// What runs here.
    pub report: watch::Sender<Arc<Report>>,
}

/// How far the host has stopped: what is asked of the owner of everything that runs.
pub enum Stop {
    /// Bring no more calls in; answer when those that were brought in have ended.
    Sources(Deadline, oneshot::Sender<()>),
    /// Stop the actors; answer when they have.
    Actors(Deadline, oneshot::Sender<()>),
    /// Stop the providers, and end.
    Providers(Deadline, oneshot::Sender<()>),
}

impl Converge {
    /// Converges until it is told to stop.
    pub async fn run(mut self, mut stops: mpsc::Receiver<Stop>) {
        let mut sources = JoinSet::new();
        loop {
            let known = self.known.borrow_and_update().clone();
            let links = Arc::new(known.links());
            let wanted = wanted(&known, &links);
            // First of all, and while it stops too: what is told of a link may call along it in the same moment.
            self.publish(&known, links.clone(), wanted.as_ref());
            if sources.is_empty() && self.act(wanted.as_ref()) {
                self.publish(&known, links, wanted.as_ref());
            }
            tokio::select! {
                stop = stops.recv() => match stop {
                    Some(Stop::Sources(deadline, done)) => self.stop_sources(deadline, done, &mut sources),
                    stop => return self.stop(stop, stops).await,
                },
                Ok(()) = self.known.changed() => {}
                () = self.changed.notified() => {}
            }
        }
    }

    fn stop_sources(&self, deadline: Deadline, done: oneshot::Sender<()>, sources: &mut JoinSet<()>) {
        let drained = self.providers.drain_sources(deadline);
        sources.spawn(async move {
            drained.await;
            // Whoever asked may have given up on the answer: its deadline is the same.
            let _ = done.send(());
        });
    }

    /// Starts, changes and stops what is not as it is wanted; whether there was anything.
    fn act(&mut self, wanted: Option<&Wanted>) -> bool {
        self.actors.reap();
        self.providers.reap();
        let Some(wanted) = wanted else { return false };
        let actions = changes(wanted, self.actors.wanted(), self.providers.wanted());
        let any = !actions.is_empty();
        for action in actions {
            match action {
                Action::PutActor(name, spec) => {
                    tracing::info!(actor = %name, app = %spec.app, revision = spec.revision, "an actor is wanted");
                    self.actors.put(&name, spec);
                }
                Action::StopActor(name) => {
                    tracing::info!(actor = %name, "an actor is not wanted here any more");
                    self.actors.stop(&name);
                }
                Action::PutProvider(name, spec) => {
                    tracing::info!(provider = %name, app = %spec.app, revision = spec.revision, "a provider is wanted");
                    self.providers.put(&name, spec);
                }
                Action::StopProvider(name) => {
                    tracing::info!(provider = %name, "a provider is not wanted here any more");
                    self.providers.stop(&name);
                }
            }
        }
        any
    }

    fn publish(&self, known: &Known, links: Arc<Links>, wanted: Option<&Wanted>) {
        let names = known.names();
        let mut local = HashMap::new();
        let mut report = Report {
            origin: known.origin,
            term: known.assignment.as_ref().map_or(0, |assignment| assignment.term),
            actors: Vec::new(),
            providers: Vec::new(),
            serving: Vec::new(),
        };
        for (name, status) in self.actors.statuses() {
            let (observed, ready) = observed_actor(name, &status, known, &links, &names);
            if let Some(ready) = ready {
                local.insert(name.clone(), Arc::new(local_actor(ready, status.spec.run.concurrency)));
            }
            report.actors.push((observed, status.running.map(|running| running.actor)));
        }
        for (name, status) in self.providers.statuses() {
            if let Some((provider, reach)) = &status.provider {
                let serve = Reached::new(provider.clone(), reach.clone());
                let local_provider = Local { serve, is_full: Box::new(|| false), keeps_deadlines: false };
                local.insert(name.clone(), Arc::new(local_provider));
                report.serving.push((name.clone(), provider.clone()));
            }
            report.providers.push(observed_provider(name, &status, &self.kinds));
        }
        if let Some(wanted) = wanted {
            self.report_lacks(wanted, known, &mut report);
        }
        let remote = known.routes.iter().map(|(name, route)| (name.clone(), elsewhere(&route.hosts, &self.own)));
        let table = Table::new(links, local, remote.collect(), names, self.site.clone());
        self.table.send_replace(Arc::new(table));
        self.report.send_replace(Arc::new(report));
    }

    /// What is assigned and cannot be started, where nothing of that name runs.
    fn report_lacks(&self, wanted: &Wanted, known: &Known, report: &mut Report) {
        for (name, lack) in wanted.actors.iter().filter_map(|(name, spec)| Some((name, spec.as_ref().err()?))) {
            let application = known.revisions.get(&(lack.item.app.clone(), lack.item.revision));
            let actor = application.and_then(|application| application.actor(name));
            if let (Some(actor), false) = (actor, report.actors.iter().any(|(actor, _)| actor.name == *name)) {
                report.actors.push((lacking_actor(lack, actor), None));
            }
        }
        for (name, lack) in wanted.providers.iter().filter_map(|(name, spec)| Some((name, spec.as_ref().err()?))) {
            let application = known.revisions.get(&(lack.item.app.clone(), lack.item.revision));
            let provider = application.and_then(|application| application.provider(name));
            if let (Some(provider), false) = (provider, report.providers.iter().any(|seen| seen.name == *name)) {
                report.providers.push(lacking_provider(lack, provider));
            }
        }
    }

    async fn stop(mut self, first: Option<Stop>, mut stops: mpsc::Receiver<Stop>) {
        let mut next = first;
        while let Some(stop) = next {
            // Whoever asked may have given up on the answer: its deadline is the same.
            match stop {
                Stop::Sources(_, done) => {
                    let _ = done.send(());
                }
                Stop::Actors(deadline, done) => {
                    let actors: HashSet<_> = self.actors.wanted().map(|(name, _)| name.clone()).collect();
                    self.table.send_modify(|table| *table = Arc::new(table.without(|name| actors.contains(name))));
                    self.actors.drain(deadline).await;
                    let _ = done.send(());
                }
                Stop::Providers(deadline, done) => {
                    self.table.send_modify(|table| *table = Arc::new(table.without(|_| true)));
                    self.providers.stop_all(deadline).await;
                    let _ = done.send(());
                    return;
                }
            }
            next = stops.recv().await;
        }
    }
}

fn local_actor(running: &Running, concurrency: u32) -> Local {
    let counted = running.actor.clone();
    Local {
        serve: Reached::new(running.actor.clone(), running.reach.clone()),
        // All instances are taken and some calls wait: another host, if there is one, may be quicker.
        is_full: Box::new(move || {
            let stats = counted.stats();
            stats.instances >= concurrency && stats.queued >= concurrency
        }),
        keeps_deadlines: true,
    }
}

/// How an actor is, and it where calls to it can succeed.
fn observed_actor<'a>(
    name: &Name,
    status: &'a ActorStatus,
    known: &Known,
    links: &Links,
    names: &HashSet<Name>,
) -> (ObservedActor, Option<&'a Running>) {
    let mut observed = ObservedActor {
        name: name.clone(),
        app: status.spec.app.clone(),
        revision: status.spec.revision,
        digest: status.spec.run.digest,
        issuer: None,
        claims_revision: None,
        state: ActorState::Starting,
        reason: status.failure.clone().unwrap_or_default(),
        behind: status.running.as_ref().is_some_and(|running| running.run != status.spec.run),
        instances: 0,
        calls: 0,
        breakdowns: 0,
        last_breakdown: String::new(),
        exports: Vec::new(),
    };
    let Some(running) = &status.running else {
        if status.failure.is_some() {
            observed.state = ActorState::Failed;
        }
        return (observed, None);
    };
    observed.digest = running.run.digest;
    observed.issuer = Some(running.claims.issuer.clone());
    observed.claims_revision = Some(running.claims.revision);
    observed.exports = running.actor.exports().to_vec();
    if let Some(reason) = pending::reason(name, running.actor.imports(), known, links, names) {
        observed.state = ActorState::Pending;
        observed.reason = reason;
        return (observed, None);
    }
    observed.state = ActorState::Ready;
    if let Some(failure) = &status.failure {
        observed.reason =
            format!("revision {} does not start, the one before goes on: {failure}", status.spec.revision);
    }
    (observed, Some(running))
}

fn observed_provider(name: &Name, status: &ProviderStatus, kinds: &Kinds) -> ObservedProvider {
    ObservedProvider {
        name: name.clone(),
        app: status.spec.app.clone(),
        revision: status.spec.revision,
        kind: status.spec.run.kind.clone(),
        state: status.state,
        reason: status.reason.clone(),
        restarts: status.restarts,
        interfaces: kinds.interfaces(&status.spec.run.kind),
        failed_links: status.failed_links.clone(),
        taken_links: Some(status.taken_links.clone()),
    }
}

fn lacking_actor(lack: &Lack, actor: &mesh_lattice::application::Actor) -> ObservedActor {
    ObservedActor {
        name: lack.item.name.clone(),
        app: lack.item.app.clone(),
        revision: lack.item.revision,
        digest: actor.artifact.digest,
        issuer: None,
        claims_revision: None,
        state: ActorState::Pending,
        reason: lack.reason.clone(),
        behind: false,
        instances: 0,
        calls: 0,
        breakdowns: 0,
        last_breakdown: String::new(),
        exports: Vec::new(),
    }
}

fn lacking_provider(lack: &Lack, provider: &mesh_lattice::application::Provider) -> ObservedProvider {
    ObservedProvider {
        name: lack.item.name.clone(),
        app: lack.item.app.clone(),
        revision: lack.item.revision,
        kind: provider.kind.clone(),
        state: ProviderState::Starting,
        reason: lack.reason.clone(),
        restarts: 0,
        interfaces: provider.interfaces.clone(),
        failed_links: Vec::new(),
        taken_links: Some(Vec::new()),
    }
}

#[cfg(test)]
mod tests;

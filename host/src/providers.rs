//! The providers of this host: one task owns each of them and converges to what `converge.rs` last said about it. That
//! task is in `task.rs`.

pub mod supervisor;
pub(crate) mod taken;
mod task;

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use mesh_lattice::{
    Deadline, InterfacePattern, LatticeName, Name, Serve,
    application::Values,
    stored::{FailedLink, ProviderState},
};
use mesh_provider::{Factory, LinkId, NatsDefault, Provider, ProviderLink};
use tokio::{runtime::Handle, sync::Notify, time::timeout};

use crate::{router::reach::Reach, slots::Slots};
use task::Task;

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
    /// It, where it serves, and what whoever can send it a call holds.
    pub provider: Option<(Arc<dyn Provider>, Reach)>,
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
        let task = Task::new(seat, self.starter.clone());
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
        let sources: Vec<_> = self
            .statuses()
            .filter(|(_, status)| source(status))
            .filter_map(|(_, status)| Some(status.provider?.0))
            .collect();
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

#[cfg(test)]
mod tests;

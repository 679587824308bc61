//! What a plan is made from. The host that leads fills it in from the stored state, see [`plan()`](crate::plan()).

use std::{collections::BTreeMap, sync::Arc};

use mesh_lattice::{
    HostId, Incarnation, Name,
    application::{Application, Spread},
    name::Labels,
    stored::{ActorState, Assignment, Item, ItemKind, Observed, Pin, ProviderState, Route},
};

/// Everything that a plan depends on.
#[derive(Debug, Clone)]
pub struct World {
    /// The life of the stored state.
    pub incarnation: Incarnation,
    /// The term of the leader that plans.
    pub term: u64,
    /// The applications. One that is missing here counts as [`Desired::Unreadable`].
    pub apps: BTreeMap<Name, Desired>,
    /// The hosts that have ever been heard of.
    pub hosts: BTreeMap<HostId, Host>,
    /// What they are assigned now, as stored.
    pub assigned: BTreeMap<HostId, Assignment>,
    /// Where local data lives.
    pub pins: BTreeMap<Name, Pin>,
    /// Who serves what now, as stored.
    pub routes: BTreeMap<Name, Route>,
}

/// What is known about an application.
#[derive(Debug, Clone)]
pub enum Desired {
    /// It is wanted in this revision.
    Wanted {
        /// The revision.
        revision: u64,
        /// What it says.
        application: Arc<Application>,
    },
    /// It is to go away: a statement that somebody signed.
    Deleted,
    /// It cannot be read or does not verify: what it has stays as it is.
    Unreadable,
}

/// A host as the leader sees it.
#[derive(Debug, Clone)]
pub struct Host {
    /// How it stands.
    pub standing: Standing,
    /// Its labels: those that it may claim, and what people added and took away.
    pub labels: Labels,
    /// Its last report; `None` where there is none that verifies.
    pub observed: Option<Observed>,
}

/// How a host stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Standing {
    /// Takes work.
    Ready,
    /// Keeps its work and takes no new.
    Cordoned,
    /// People want it empty; it serves until others do.
    Draining,
    /// It stops by itself and will be back: replaced, but its assignment is left alone, so that it comes back with it.
    Leaving,
    /// Its lease is not renewed. Its assignment is left alone: nobody reads it, and where the leader was wrong about
    /// the host, nothing stops there.
    Lost,
    /// Its key is not enrolled, or not any more. Nothing is planned for it.
    Untrusted,
}

impl Standing {
    /// Whether what runs there counts as a replica.
    pub(crate) fn counts(self) -> bool {
        matches!(self, Self::Ready | Self::Cordoned)
    }

    /// Whether its assignment can be changed with effect.
    pub(crate) fn listens(self) -> bool {
        matches!(self, Self::Ready | Self::Cordoned | Self::Draining)
    }

    /// Whether it is away, for a while or for good.
    pub(crate) fn away(self) -> bool {
        matches!(self, Self::Leaving | Self::Lost)
    }
}

impl Host {
    /// Whether it carries the labels of one of these spreads.
    pub(crate) fn fits(&self, spreads: &[Spread]) -> bool {
        spreads.is_empty() || spreads.iter().any(|spread| self.carries(&spread.labels))
    }

    /// Whether it carries all of these labels.
    pub(crate) fn carries(&self, labels: &Labels) -> bool {
        labels.iter().all(|(key, value)| self.labels.get(key) == Some(value))
    }

    /// The names of what serves on it.
    pub(crate) fn serving(&self) -> impl Iterator<Item = &Name> {
        let actors = self.observed.iter().flat_map(|observed| &observed.actors);
        let providers = self.observed.iter().flat_map(|observed| &observed.providers);
        actors
            .filter(|actor| actor.state == ActorState::Ready)
            .map(|actor| &actor.name)
            .chain(providers.filter(|provider| provider.state == ProviderState::Running).map(|provider| &provider.name))
    }

    /// What it runs, as the items that it must have been told.
    fn running(&self) -> Vec<Item> {
        let actors = self.observed.iter().flat_map(|observed| &observed.actors).map(|actor| Item {
            app: actor.app.clone(),
            revision: actor.revision,
            name: actor.name.clone(),
            kind: ItemKind::Actor,
        });
        let providers = self.observed.iter().flat_map(|observed| &observed.providers).map(|provider| Item {
            app: provider.app.clone(),
            revision: provider.revision,
            name: provider.name.clone(),
            kind: ItemKind::Provider,
        });
        actors.chain(providers).collect()
    }
}

impl World {
    /// What a host has now: its assignment, or where there is none, what it reports to run from an earlier life.
    #[must_use]
    pub fn items(&self, id: &HostId) -> Vec<Item> {
        let mut items = match (self.assigned.get(id), self.hosts.get(id)) {
            (Some(assigned), _) => assigned.items.clone(),
            (None, Some(host)) => host.running(),
            (None, None) => Vec::new(),
        };
        items.sort();
        items
    }

    /// Whether nothing is said about this application.
    pub(crate) fn silent_about(&self, app: &Name) -> bool {
        !matches!(self.apps.get(app), Some(Desired::Wanted { .. } | Desired::Deleted))
    }
}

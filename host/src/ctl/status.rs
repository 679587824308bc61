//! What `get` shows, computed from what is observed and never from what was asked: a pure function of the stored
//! state as this host sees it.
//!
//! An actor is ready where its host says that calls succeed and its lease is renewed; a link is active where its
//! target has such a host; an application is what its parts are. Where something is not as it is wanted, the reason
//! says why, and where one command would change that, the reason is that command.

mod apps;
mod links;
mod parts;
mod shown;
mod why;

use std::collections::BTreeMap;

use mesh_lattice::{
    HostId, LatticeName, Name,
    application::{Application, Values},
    control::{ConfigView, HostState, HostView, Status, TrustView},
    stored::{Event, Observed},
};
use mesh_scheduler::{Desired, Host, Placement, Standing, World};

pub(crate) use apps::Since;
pub(crate) use parts::UNREPORTED;

use super::{Kind, signatures::Read};
use crate::links::Links;

/// What a status is made from.
pub(crate) struct Facts<'a> {
    /// Who answers.
    pub(crate) answered_by: &'a HostId,
    pub(crate) lattice: &'a LatticeName,
    pub(crate) world: &'a World,
    /// The built-in providers.
    pub(crate) kinds: &'a BTreeMap<Name, Kind>,
    /// The functions of the artifacts that were read.
    pub(crate) read: &'a Read,
    /// Which links hold their places.
    pub(crate) links: &'a Links,
    /// What the last plan came to.
    pub(crate) placements: &'a BTreeMap<Name, Placement>,
    pub(crate) leader: Option<&'a HostId>,
    pub(crate) config: &'a BTreeMap<Name, Values>,
    pub(crate) trust: Vec<TrustView>,
    pub(crate) events: Vec<Event>,
    /// Seconds since 1970.
    pub(crate) now: u64,
}

/// Everything that can be listed.
pub(crate) fn status(facts: Facts<'_>, since: &mut Since) -> Status {
    let world = facts.world;
    let mut actors = parts::actors(world, facts.config);
    let providers = parts::providers(world, facts.config, facts.placements);
    let links = links::links(&facts, &actors, &providers);
    why::explain(world, &mut actors, &providers, &links, facts.placements);
    let apps = apps::apps(world, &actors, &providers, &links, since, facts.now);
    Status {
        answered_by: facts.answered_by.clone(),
        lattice: facts.lattice.clone(),
        incarnation: world.incarnation,
        hosts: world.hosts.iter().map(|(id, host)| host_view(id, host, facts.leader)).collect(),
        actors,
        providers,
        links,
        apps,
        config: facts
            .config
            .iter()
            .map(|(name, values)| ConfigView { name: name.clone(), values: shown::values(values) })
            .collect(),
        trust: facts.trust,
        events: facts.events,
    }
}

fn host_view(id: &HostId, host: &Host, leader: Option<&HostId>) -> HostView {
    let observed = host.observed.as_ref();
    HostView {
        id: id.clone(),
        name: observed.map_or_else(String::new, |observed| observed.name.clone()),
        labels: host.labels.clone(),
        version: observed.map_or_else(String::new, |observed| observed.version.clone()),
        state: match host.standing {
            Standing::Ready => HostState::Ready,
            Standing::Cordoned => HostState::Cordoned,
            Standing::Draining | Standing::Leaving => HostState::Draining,
            Standing::Lost => HostState::Lost,
            Standing::Untrusted => HostState::Untrusted,
        },
        leader: leader == Some(id),
        uptime_seconds: observed.map_or(0, |observed| observed.uptime_seconds),
        actors: observed.map_or(0, |observed| observed.actors.len()),
        providers: observed.map_or(0, |observed| observed.providers.len()),
    }
}

/// The wanted applications.
pub(super) fn wanted(world: &World) -> impl Iterator<Item = (&Name, u64, &Application)> + Clone {
    world.apps.iter().filter_map(|(name, desired)| match desired {
        Desired::Wanted { revision, application } => Some((name, *revision, application.as_ref())),
        Desired::Deleted | Desired::Unreadable => None,
    })
}

/// Whether what a host reports can be believed now.
fn is_present(host: &Host) -> bool {
    !matches!(host.standing, Standing::Lost | Standing::Untrusted)
}

/// The reports of the hosts that were ever heard of.
fn reports(world: &World) -> impl Iterator<Item = (&HostId, &Host, &Observed)> {
    world.hosts.iter().filter_map(|(id, host)| host.observed.as_ref().map(|observed| (id, host, observed)))
}

#[cfg(test)]
mod tests;

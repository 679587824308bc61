//! Actors and providers over all hosts.

use std::collections::BTreeMap;

use mesh_lattice::{
    HostId, Name,
    application::{Actor, Provider, Replicas, Values},
    control::{ActorHostView, ActorView, ProviderHostView, ProviderView, ReplicaView},
    stored::{ActorState, ItemKind, ObservedActor, ObservedProvider, ProviderState},
};
use mesh_scheduler::{Host, Placement, Standing, World};

use super::{is_present, reports, shown::shown, wanted, why};

const LOST: &str = "its host is lost";
/// Said of what goes on as it was until what is wanted now has started.
pub(super) const BEHIND: &str = "what was wanted before goes on until this has started";
/// Said of what no host has reported yet.
pub(crate) const UNREPORTED: &str = "assigned, not yet reported by its host";

pub(super) fn actors(world: &World, config: &BTreeMap<Name, Values>) -> Vec<ActorView> {
    let wanted = wanted(world).flat_map(|(app, revision, application)| {
        application.actors.iter().map(move |actor| ActorView {
            config: shown(config, &actor.config),
            ..actor_view(world, app, revision, actor)
        })
    });
    wanted.collect()
}

fn actor_view(world: &World, app: &Name, revision: u64, actor: &Actor) -> ActorView {
    let mut issuer = None;
    let mut hosts = Vec::new();
    for (id, host, observed) in reports(world) {
        let Some(seen) = observed.actors.iter().find(|seen| seen.name == actor.name) else { continue };
        if seen.digest == actor.artifact.digest && seen.issuer.is_some() {
            issuer.clone_from(&seen.issuer);
        }
        let behind = seen.behind || (&seen.app, seen.revision) != (app, revision);
        hosts.push(actor_host(id, host, seen, behind));
    }
    for id in assigned(world, &actor.name, ItemKind::Actor) {
        if !hosts.iter().any(|view| view.id == *id) {
            hosts.push(ActorHostView {
                id: id.clone(),
                state: ActorState::Pending,
                behind: false,
                instances: 0,
                calls: 0,
                breakdowns: 0,
                last_breakdown: String::new(),
                reason: UNREPORTED.into(),
            });
        }
    }
    hosts.sort_by(|one, other| one.id.cmp(&other.id));
    let ready = hosts.iter().filter(|host| host.state == ActorState::Ready).count();
    let desired = match actor.replicas {
        Replicas::Count(count) => count,
        Replicas::Everywhere => eligible(world, actor),
    };
    ActorView {
        name: actor.name.clone(),
        app: app.clone(),
        artifact: actor.artifact.reference.clone(),
        digest: actor.artifact.digest,
        issuer,
        revision,
        config: Values::new(),
        reason: String::new(),
        replicas: ReplicaView { desired, ready: u32::try_from(ready).unwrap_or(u32::MAX) },
        hosts,
    }
}

fn actor_host(id: &HostId, host: &Host, seen: &ObservedActor, behind: bool) -> ActorHostView {
    let present = is_present(host);
    let behind = behind && seen.state == ActorState::Ready;
    let reason = if behind && seen.reason.is_empty() { BEHIND.to_owned() } else { seen.reason.clone() };
    ActorHostView {
        id: id.clone(),
        state: if present { seen.state } else { ActorState::Failed },
        behind: present && behind,
        instances: if present { seen.instances } else { 0 },
        calls: seen.calls,
        breakdowns: seen.breakdowns,
        last_breakdown: seen.last_breakdown.clone(),
        reason: if present { reason } else { LOST.into() },
    }
}

/// How many hosts `everywhere` means now.
fn eligible(world: &World, actor: &Actor) -> u32 {
    let fits = |host: &&Host| {
        let labelled = |spread: &mesh_lattice::application::Spread| {
            spread.labels.iter().all(|(key, value)| host.labels.get(key) == Some(value))
        };
        host.standing == Standing::Ready && (actor.placement.is_empty() || actor.placement.iter().any(labelled))
    };
    u32::try_from(world.hosts.values().filter(fits).count()).unwrap_or(u32::MAX)
}

fn assigned<'a>(world: &'a World, name: &'a Name, kind: ItemKind) -> impl Iterator<Item = &'a HostId> {
    world.assigned.iter().filter_map(move |(id, assignment)| {
        let has = assignment.items.iter().any(|item| item.name == *name && item.kind == kind);
        let present = world.hosts.get(id).is_some_and(is_present);
        (has && present).then_some(id)
    })
}

pub(super) fn providers(
    world: &World,
    config: &BTreeMap<Name, Values>,
    placements: &BTreeMap<Name, Placement>,
) -> Vec<ProviderView> {
    let wanted = wanted(world).flat_map(|(app, revision, application)| {
        application.providers.iter().map(move |provider| ProviderView {
            config: shown(config, &provider.config),
            ..provider_view(world, (app, revision), provider, placements.get(&provider.name))
        })
    });
    wanted.collect()
}

fn provider_view(
    world: &World,
    (app, revision): (&Name, u64),
    provider: &Provider,
    placement: Option<&Placement>,
) -> ProviderView {
    let mut hosts: Vec<_> = reports(world)
        .filter_map(|(id, host, observed)| {
            let seen = observed.providers.iter().find(|seen| seen.name == provider.name)?;
            Some(provider_host(id, host, seen, (&seen.app, seen.revision) != (app, revision)))
        })
        .collect();
    for id in assigned(world, &provider.name, ItemKind::Provider) {
        if !hosts.iter().any(|view| view.id == *id) {
            hosts.push(ProviderHostView {
                id: id.clone(),
                state: ProviderState::Starting,
                behind: false,
                restarts: 0,
                reason: UNREPORTED.into(),
            });
        }
    }
    hosts.sort_by(|one, other| one.id.cmp(&other.id));
    ProviderView {
        name: provider.name.clone(),
        app: app.clone(),
        kind: provider.kind.clone(),
        interfaces: provider.interfaces.clone(),
        pinned: world.pins.get(&provider.name).map(|pin| pin.host.clone()),
        config: Values::new(),
        reason: why::provider(world, &hosts, placement),
        hosts,
    }
}

fn provider_host(id: &HostId, host: &Host, seen: &ObservedProvider, behind: bool) -> ProviderHostView {
    let present = is_present(host);
    ProviderHostView {
        id: id.clone(),
        state: if present { seen.state } else { ProviderState::Failed },
        behind: present && behind,
        restarts: seen.restarts,
        reason: if present { seen.reason.clone() } else { LOST.into() },
    }
}

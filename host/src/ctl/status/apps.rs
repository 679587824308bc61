//! Applications: what their parts are, and since when.

use std::collections::BTreeMap;

use mesh_lattice::{
    Name,
    control::{ActorView, AppState, AppView, LinkState, LinkView, ProviderView},
    stored::{ActorState, ProviderState},
};
use mesh_scheduler::{Desired, World};

use super::parts::BEHIND;

/// When each application was first seen in the state that it is in, by this host since it started.
#[derive(Debug, Default)]
pub(crate) struct Since(BTreeMap<Name, (AppState, u64)>);

impl Since {
    fn note(&mut self, name: &Name, state: AppState, now: u64) -> u64 {
        let entry = self.0.entry(name.clone()).or_insert((state, now));
        if entry.0 != state {
            *entry = (state, now);
        }
        entry.1
    }
}

pub(super) fn apps(
    world: &World,
    actors: &[ActorView],
    providers: &[ProviderView],
    links: &[LinkView],
    since: &mut Since,
    now: u64,
) -> Vec<AppView> {
    since.0.retain(|name, _| world.apps.contains_key(name));
    let views = world.apps.iter().filter_map(|(name, desired)| {
        let (revision, state, reason) = match desired {
            Desired::Wanted { revision, .. } => {
                let actors: Vec<_> = actors.iter().filter(|actor| actor.app == *name).collect();
                let providers: Vec<_> = providers.iter().filter(|provider| provider.app == *name).collect();
                let links: Vec<_> = links.iter().filter(|link| link.app == *name).collect();
                let (state, reason) = judge(&actors, &providers, &links);
                (*revision, state, reason)
            }
            Desired::Deleted if is_gone(world, name) => return None,
            Desired::Deleted => (0, AppState::Removing, "its parts are being stopped".to_owned()),
            Desired::Unreadable => (0, AppState::Failed, "its stored revision cannot be read or verified".to_owned()),
        };
        Some(AppView { name: name.clone(), revision, state, reason, since: since.note(name, state, now) })
    });
    views.collect()
}

/// Whether no host has anything of it any more.
fn is_gone(world: &World, app: &Name) -> bool {
    !world.assigned.values().any(|assignment| assignment.items.iter().any(|item| item.app == *app))
}

/// The worst of the parts decides; the first of them is the reason.
fn judge(actors: &[&ActorView], providers: &[&ProviderView], links: &[&LinkView]) -> (AppState, String) {
    let mut parts: Vec<(AppState, String)> = actors.iter().map(|actor| judge_actor(actor)).collect();
    parts.extend(providers.iter().map(|provider| judge_provider(provider)));
    parts.extend(links.iter().map(|link| judge_link(link)));
    for state in [AppState::Failed, AppState::Degraded, AppState::Progressing] {
        if let Some((state, reason)) = parts.iter().find(|(part, _)| *part == state) {
            return (*state, reason.clone());
        }
    }
    (AppState::Ready, String::new())
}

fn judge_actor(actor: &ActorView) -> (AppState, String) {
    let mesh_lattice::control::ReplicaView { desired, ready } = actor.replicas;
    let reason = match actor.reason.is_empty() {
        true => format!("actor {}: {ready} of {desired} replicas ready", actor.name),
        false => format!("actor {}: {ready} of {desired} ready, {}", actor.name, actor.reason),
    };
    let behind = actor.hosts.iter().find(|host| host.behind);
    let failed = actor.hosts.iter().filter(|host| host.state == ActorState::Failed).count();
    if ready >= desired {
        match behind {
            None => (AppState::Ready, String::new()),
            Some(host) if host.reason == BEHIND => (AppState::Progressing, reason),
            Some(_) => (AppState::Degraded, reason),
        }
    } else if ready > 0 {
        (AppState::Degraded, reason)
    } else if failed > 0 && failed == actor.hosts.len() {
        (AppState::Failed, reason)
    } else {
        (AppState::Progressing, reason)
    }
}

fn judge_provider(provider: &ProviderView) -> (AppState, String) {
    let running = provider.hosts.iter().filter(|host| host.state == ProviderState::Running).count();
    let worst = provider.hosts.iter().find(|host| host.state != ProviderState::Running);
    let reason = format!("provider {}: {}", provider.name, provider.reason);
    match worst.map(|host| host.state) {
        None if provider.hosts.iter().any(|host| host.behind) => {
            (AppState::Progressing, format!("provider {}: it is being told what is wanted now", provider.name))
        }
        None => (AppState::Ready, String::new()),
        // What is not there was on a host that is away, and others have taken its place.
        Some(_) if running > 0 && provider.reason.is_empty() => (AppState::Ready, String::new()),
        Some(_) if running > 0 => (AppState::Degraded, reason),
        Some(ProviderState::Failed | ProviderState::Backoff) => (AppState::Failed, reason),
        Some(_) => (AppState::Progressing, reason),
    }
}

fn judge_link(link: &LinkView) -> (AppState, String) {
    let reason = || format!("link {} -> {}: {}", link.source, link.target, link.reason);
    match link.state {
        LinkState::Active => (AppState::Ready, String::new()),
        LinkState::Pending => (AppState::Progressing, reason()),
        LinkState::Failed => (AppState::Failed, reason()),
    }
}

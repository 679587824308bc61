//! Links: whether calls along them have somewhere to go. A link is active when both its ends are ready and each
//! provider at one of them has taken it as it is now: an HTTP server then listens.

use std::collections::BTreeMap;

use mesh_lattice::{
    Name,
    application::{Link, Values},
    control::{ActorView, LinkState, LinkView, ProviderView},
    stored::{ActorState, FailedLink, ObservedProvider, ProviderState},
};
use mesh_provider::End;
use mesh_scheduler::World;

use super::{super::fit, super::signatures::Read, Kind, is_present, reports, shown::shown, wanted};
use crate::{converge::wanted::provider_link, known::resolve, providers::taken::mark};

pub(super) fn links(
    world: &World,
    config: &BTreeMap<Name, Values>,
    kinds: &BTreeMap<Name, Kind>,
    read: &Read,
    actors: &[ActorView],
    providers: &[ProviderView],
) -> Vec<LinkView> {
    let all = wanted(world).flat_map(|(app, _, application)| application.links.iter().map(move |link| (app, link)));
    all.map(|(app, link)| {
        let misfit = fit::misfit(link, wanted(world).map(|(_, _, application)| application), kinds, read);
        let (state, reason) = match misfit {
            Some(reason) => (LinkState::Failed, reason),
            None => judge(world, config, link, actors, providers),
        };
        LinkView {
            source: link.source.clone(),
            target: link.target.clone(),
            interfaces: link.interfaces.clone(),
            name: link.name.clone(),
            source_config: shown(config, &link.source_config),
            target_config: shown(config, &link.target_config),
            app: app.clone(),
            state,
            reason,
        }
    })
    .collect()
}

fn judge(
    world: &World,
    config: &BTreeMap<Name, Values>,
    link: &Link,
    actors: &[ActorView],
    providers: &[ProviderView],
) -> (LinkState, String) {
    for end in [&link.source, &link.target] {
        if !actors.iter().any(|actor| actor.name == *end) && !providers.iter().any(|provider| provider.name == *end) {
            return (LinkState::Pending, format!("nothing is called {end} yet"));
        }
    }
    if let Some(refused) = refusal(world, link) {
        return (LinkState::Failed, refused);
    }
    for end in [&link.source, &link.target] {
        if !is_ready(end, actors, providers) {
            return (LinkState::Pending, unready(end, providers));
        }
    }
    match untaken(world, config, link) {
        Some(reason) => (LinkState::Pending, reason),
        None => (LinkState::Active, String::new()),
    }
}

/// A running provider at one end that has not taken the link as it is now.
fn untaken(world: &World, config: &BTreeMap<Name, Values>, link: &Link) -> Option<String> {
    let ends = [
        (End::Source, &link.source, &link.target, &link.source_config),
        (End::Target, &link.target, &link.source, &link.target_config),
    ];
    ends.into_iter().find_map(|(end, own, peer, parts)| {
        let wanted = mark(&provider_link(end, peer, link, resolve(config, parts).ok()?));
        let lacks = |provider: &&ObservedProvider| {
            provider.name == *own
                && matches!(provider.state, ProviderState::Running | ProviderState::Unhealthy)
                && provider.taken_links.as_ref().is_some_and(|taken| !taken.contains(&wanted))
        };
        let mut present = reports(world).filter(|(_, host, _)| is_present(host));
        let (_, _, host) = present.find(|(_, _, observed)| observed.providers.iter().any(|one| lacks(&one)))?;
        Some(format!("{own} on {} has not taken it yet", host.name))
    })
}

/// What a provider at one end says against it.
fn refusal(world: &World, link: &Link) -> Option<String> {
    reports(world).filter(|(_, host, _)| is_present(host)).find_map(|(_, _, observed)| {
        observed.providers.iter().find_map(|provider| {
            let concerns = |failed: &&FailedLink| {
                (&failed.source, &failed.target, &failed.link) == (&link.source, &link.target, &link.name)
            };
            provider.failed_links.iter().find(concerns).map(|failed| format!("{}: {}", provider.name, failed.reason))
        })
    })
}

/// Why an end is not ready: in its own words, where it says any.
fn unready(end: &Name, providers: &[ProviderView]) -> String {
    let provider = providers.iter().find(|provider| provider.name == *end);
    let said = provider.and_then(|provider| provider.hosts.iter().find(|host| !host.reason.is_empty()));
    match said {
        Some(host) => format!("{end} is ready on no host: {}", host.reason),
        None => format!("{end} is ready on no host"),
    }
}

fn is_ready(name: &Name, actors: &[ActorView], providers: &[ProviderView]) -> bool {
    let actor = |view: &ActorView| view.name == *name && view.hosts.iter().any(|host| host.state == ActorState::Ready);
    let provider =
        |view: &ProviderView| view.name == *name && view.hosts.iter().any(|host| host.state == ProviderState::Running);
    actors.iter().any(actor) || providers.iter().any(provider)
}

//! Links: whether calls along them have somewhere to go.

use mesh_lattice::{
    Name,
    application::Link,
    control::{ActorView, LinkState, LinkView, ProviderView},
    stored::{ActorState, FailedLink, ProviderState},
};
use mesh_scheduler::World;

use super::{is_present, reports, wanted};

pub(super) fn links(world: &World, actors: &[ActorView], providers: &[ProviderView]) -> Vec<LinkView> {
    let all = wanted(world).flat_map(|(app, _, application)| application.links.iter().map(move |link| (app, link)));
    all.map(|(app, link)| {
        let (state, reason) = judge(world, link, actors, providers);
        LinkView {
            source: link.source.clone(),
            target: link.target.clone(),
            interfaces: link.interfaces.clone(),
            name: link.name.clone(),
            app: app.clone(),
            state,
            reason,
        }
    })
    .collect()
}

fn judge(world: &World, link: &Link, actors: &[ActorView], providers: &[ProviderView]) -> (LinkState, String) {
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
            return (LinkState::Pending, format!("{end} is ready on no host"));
        }
    }
    (LinkState::Active, String::new())
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

fn is_ready(name: &Name, actors: &[ActorView], providers: &[ProviderView]) -> bool {
    let actor = |view: &ActorView| view.name == *name && view.hosts.iter().any(|host| host.state == ActorState::Ready);
    let provider =
        |view: &ProviderView| view.name == *name && view.hosts.iter().any(|host| host.state == ProviderState::Running);
    actors.iter().any(actor) || providers.iter().any(provider)
}

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

use super::{
    super::fit,
    Facts, is_present, reports,
    shown::shown,
    wanted,
    why::{host_name, is_unwell},
};
use crate::{converge::wanted::provider_link, known::resolve, links::Links, providers::taken::mark};

pub(super) fn links(facts: &Facts<'_>, actors: &[ActorView], providers: &[ProviderView]) -> Vec<LinkView> {
    let (world, config) = (facts.world, facts.config);
    let ends = Ends {
        actors: actors.iter().map(|actor| (&actor.name, actor)).collect(),
        providers: providers.iter().map(|provider| (&provider.name, provider)).collect(),
    };
    let all = wanted(world).flat_map(|(app, _, application)| application.links.iter().map(move |link| (app, link)));
    all.map(|(app, link)| {
        let misfit =
            || fit::misfit(link, wanted(world).map(|(_, _, application)| application), facts.kinds, facts.read);
        let (state, reason) = match displaced(facts.links, app, link).or_else(misfit) {
            Some(reason) => (LinkState::Failed, reason),
            None => judge(world, config, link, &ends),
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

/// The older link that has its place: of two that were written at once, both are there and one holds.
fn displaced(links: &Links, app: &Name, link: &Link) -> Option<String> {
    let refused = links.refused().iter().find(|refused| refused.app == *app && refused.link == *link)?;
    Some(format!(
        "application {} has an older link named {} from {} on that interface, to {}: meshctl link del {} {} {}",
        refused.holder,
        link.name,
        link.source,
        refused.target,
        link.source,
        link.target,
        link.interfaces.first().map(ToString::to_string).unwrap_or_default(),
    ))
}

/// What links begin and end at.
struct Ends<'a> {
    actors: BTreeMap<&'a Name, &'a ActorView>,
    providers: BTreeMap<&'a Name, &'a ProviderView>,
}

impl Ends<'_> {
    fn is_known(&self, name: &Name) -> bool {
        self.actors.contains_key(name) || self.providers.contains_key(name)
    }

    fn is_ready(&self, name: &Name) -> bool {
        let actor = |view: &&ActorView| view.hosts.iter().any(|host| host.state == ActorState::Ready);
        let provider = |view: &&ProviderView| view.hosts.iter().any(|host| host.state == ProviderState::Running);
        self.actors.get(name).is_some_and(actor) || self.providers.get(name).is_some_and(provider)
    }

    /// Whether it is a provider that was given up wherever it is to run.
    fn is_given_up(&self, name: &Name) -> bool {
        let given_up = |view: &&ProviderView| {
            !view.hosts.is_empty() && view.hosts.iter().all(|host| host.state == ProviderState::Failed)
        };
        self.providers.get(name).is_some_and(given_up)
    }

    /// What stands against a provider, in its own words.
    fn unwell(&self, name: &Name) -> Option<String> {
        let provider = self.providers.get(name).filter(|provider| is_unwell(provider))?;
        Some(format!("provider {name}: {}", provider.reason))
    }

    /// Why it is not ready: in its own words, where it says any.
    fn unready(&self, name: &Name) -> String {
        self.unwell(name).unwrap_or_else(|| format!("{name} is ready on no host"))
    }
}

fn judge(world: &World, config: &BTreeMap<Name, Values>, link: &Link, ends: &Ends<'_>) -> (LinkState, String) {
    let both = [&link.source, &link.target];
    if let Some(unknown) = both.into_iter().find(|end| !ends.is_known(end)) {
        return (LinkState::Pending, format!("nothing is called {unknown} yet"));
    }
    if let Some(refused) = refusal(world, link) {
        return (LinkState::Failed, refused);
    }
    if let Some(end) = both.into_iter().find(|end| !ends.is_ready(end)) {
        let state = if ends.is_given_up(end) { LinkState::Failed } else { LinkState::Pending };
        return (state, ends.unready(end));
    }
    match untaken(world, config, link) {
        Some(reason) => (LinkState::Pending, reason),
        // Calls have somewhere to go, though not everywhere.
        None => (LinkState::Active, both.into_iter().filter_map(|end| ends.unwell(end)).collect::<Vec<_>>().join("; ")),
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
        let (id, _, _) = present.find(|(_, _, observed)| observed.providers.iter().any(|one| lacks(&one)))?;
        Some(format!("{own} on {} has not taken it yet", host_name(world, id)))
    })
}

/// What a provider at one end says against it.
fn refusal(world: &World, link: &Link) -> Option<String> {
    reports(world).filter(|(_, host, _)| is_present(host)).find_map(|(id, _, observed)| {
        observed.providers.iter().find_map(|provider| {
            let concerns = |failed: &&FailedLink| {
                (&failed.source, &failed.target, &failed.link) == (&link.source, &link.target, &link.name)
            };
            provider
                .failed_links
                .iter()
                .find(concerns)
                .map(|failed| format!("provider {} on {}: {}", provider.name, host_name(world, id), failed.reason))
        })
    })
}

//! Why something is not as it is wanted, in one line that does not grow with the lattice: what many hosts say alike is
//! said once with their number, the most common first, and after a few the rest is counted.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
};

use mesh_lattice::{
    HostId, Name,
    control::{ActorView, LinkView, ProviderHostView, ProviderView, word},
    stored::{ActorState, ProviderState},
};
use mesh_scheduler::{Placement, Standing, World};

/// Reasons that are said; the rest is counted.
const SAID: usize = 3;
/// Hosts that are named; more are counted.
const NAMED: usize = 3;
/// One of several reasons is said to this length.
const LENGTH: usize = 160;

/// What one host says against a thing.
pub(super) struct Said<'a> {
    pub(super) host: &'a HostId,
    pub(super) state: String,
    pub(super) reason: &'a str,
}

/// What the hosts say, alike things once.
pub(super) fn grouped<'a>(world: &World, said: impl Iterator<Item = Said<'a>>) -> String {
    let mut groups: BTreeMap<(String, &str), Vec<&HostId>> = BTreeMap::new();
    for Said { host, state, reason } in said {
        groups.entry((state, reason)).or_default().push(host);
    }
    let mut groups: Vec<_> = groups.into_iter().collect();
    groups.sort_by_key(|(_, hosts)| Reverse(hosts.len()));
    let alone = groups.len() == 1;
    let left: usize = groups.iter().skip(SAID).map(|(_, hosts)| hosts.len()).sum();
    let mut parts: Vec<String> = groups
        .iter()
        .take(SAID)
        .map(|((state, reason), hosts)| {
            let hosts = if hosts.len() > NAMED {
                format!("{} {state}", hosts.len())
            } else {
                let names: Vec<_> = hosts.iter().map(|host| host_name(world, host)).collect();
                format!("{state} on {}", names.join(", "))
            };
            match reason.is_empty() {
                true => hosts,
                false if alone => format!("{hosts}: {reason}"),
                false => format!("{hosts}: {}", shortened(reason)),
            }
        })
        .collect();
    if left > 0 {
        parts.push(format!("{left} more for other reasons"));
    }
    parts.join("; ")
}

fn shortened(reason: &str) -> String {
    match reason.char_indices().nth(LENGTH) {
        Some((end, _)) => format!("{}…", reason.get(..end).unwrap_or_default()),
        None => reason.to_owned(),
    }
}

/// What the host calls itself.
pub(super) fn host_name(world: &World, id: &HostId) -> String {
    let observed = world.hosts.get(id).and_then(|host| host.observed.as_ref());
    observed.filter(|observed| !observed.name.is_empty()).map_or_else(|| id.to_string(), |said| said.name.clone())
}

/// What stands against a provider; empty where it runs wherever it is to.
pub(super) fn provider(world: &World, hosts: &[ProviderHostView], placement: Option<&Placement>) -> String {
    let matters = |host: &&ProviderHostView| !is_replaced(world, placement, &host.id);
    let unwell = hosts.iter().filter(|host| host.state != ProviderState::Running).filter(matters);
    let said = unwell.map(|host| Said { host: &host.id, state: word(&host.state), reason: &host.reason });
    with_placement(grouped(world, said), placement)
}

/// Whether the host is away and what it had runs on as many others: then what it lacks is nobody's trouble.
fn is_replaced(world: &World, placement: Option<&Placement>, id: &HostId) -> bool {
    let away = world.hosts.get(id).is_none_or(|host| matches!(host.standing, Standing::Lost | Standing::Leaving));
    let complete = placement.is_some_and(|placement| placement.wanted > 0 && placement.hosts.len() >= placement.wanted);
    away && complete
}

/// Whether it does not run everywhere where it is to.
pub(super) fn is_unwell(provider: &ProviderView) -> bool {
    let running = |host: &ProviderHostView| host.state == ProviderState::Running;
    !provider.reason.is_empty() && (provider.hosts.is_empty() || !provider.hosts.iter().all(running))
}

/// Says of each actor what stands against it: its hosts, the planner, and the providers that it is linked to.
pub(super) fn explain(
    world: &World,
    actors: &mut [ActorView],
    providers: &[ProviderView],
    links: &[LinkView],
    placements: &BTreeMap<Name, Placement>,
) {
    let unwell: BTreeMap<&Name, &str> = providers
        .iter()
        .filter(|provider| is_unwell(provider))
        .map(|provider| (&provider.name, provider.reason.as_str()))
        .collect();
    let mut beside: BTreeMap<&Name, BTreeSet<&Name>> = BTreeMap::new();
    for link in links {
        for (own, other) in [(&link.source, &link.target), (&link.target, &link.source)] {
            if unwell.contains_key(other) {
                beside.entry(own).or_default().insert(other);
            }
        }
    }
    for actor in actors {
        // One that is ready and has something to say goes on with what it was before.
        let late = actor.hosts.iter().filter(|host| host.state != ActorState::Ready || !host.reason.is_empty());
        let placement = placements.get(&actor.name);
        let late = late.filter(|host| !is_replaced(world, placement, &host.id));
        let said = late.map(|host| Said { host: &host.id, state: word(&host.state), reason: &host.reason });
        let mut parts = vec![with_placement(grouped(world, said), placement)];
        let linked: Vec<_> = beside.get(&actor.name).into_iter().flatten().collect();
        for name in linked.iter().take(SAID) {
            let reason = unwell.get(**name).copied().unwrap_or_default();
            parts.push(format!("its provider {name}: {}", shortened(reason)));
        }
        if linked.len() > SAID {
            parts.push(format!("{} more of its providers", linked.len() - SAID));
        }
        parts.retain(|part| !part.is_empty());
        actor.reason = parts.join("; ");
    }
}

fn with_placement(said: String, placement: Option<&Placement>) -> String {
    let planned = placement.map_or("", |placement| placement.reason.as_str());
    match (said.is_empty(), planned.is_empty()) {
        (_, true) => said,
        (true, false) => planned.to_owned(),
        (false, false) => format!("{said}; {planned}"),
    }
}

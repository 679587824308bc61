//! Who serves each target now: what callers on other hosts are led to.

use std::collections::{BTreeMap, BTreeSet};

use mesh_lattice::{
    HostId, Name,
    stored::{Item, Route, RouteHost},
};

use crate::world::{Host, Standing, World};

/// The label whose value is a host's site.
const SITE: &str = "site";

/// The routes that change.
pub(super) fn all(
    world: &World,
    items: &BTreeMap<HostId, BTreeSet<Item>>,
    active: &BTreeMap<&Name, BTreeSet<&HostId>>,
) -> BTreeMap<Name, Route> {
    let mut serving: BTreeMap<&Name, Vec<(&HostId, &Host)>> = BTreeMap::new();
    for (id, items) in items {
        let Some(host) = world.hosts.get(id) else { continue };
        let ready: BTreeSet<_> = host.serving().collect();
        for item in items {
            let entry = serving.entry(&item.name).or_default();
            // A host whose report cannot be read is led to as before.
            let unread = host.observed.is_none() && is_routed(world, &item.name, id);
            if unread || ready.contains(&item.name) {
                entry.push((id, host));
            }
        }
    }
    for target in world.routes.keys() {
        serving.entry(target).or_default();
    }
    let mut routes = BTreeMap::new();
    for (target, hosts) in serving {
        let replaced = active.get(target).is_some_and(|active| !active.is_empty());
        let hosts = route_hosts(&hosts, replaced);
        let stored = world.routes.get(target).map_or(&[][..], |route| &route.hosts);
        if stored != hosts {
            routes.insert(target.clone(), Route { term: world.term, hosts });
        }
    }
    routes
}

fn is_routed(world: &World, target: &Name, id: &HostId) -> bool {
    world.routes.get(target).is_some_and(|route| route.hosts.iter().any(|host| host.id == *id))
}

/// The best of the hosts that serve: those that stay, else those that are being emptied. One that is away is led to
/// only where nothing takes its place: a caller that waits for the replacement is better off than one that is refused.
fn route_hosts(serving: &[(&HostId, &Host)], replaced: bool) -> Vec<RouteHost> {
    let of = |test: fn(Standing) -> bool| -> Vec<_> {
        let hosts = serving.iter().filter(|(_, host)| test(host.standing));
        hosts.map(|(id, host)| RouteHost { id: (*id).clone(), site: site(host) }).collect()
    };
    let best = of(Standing::counts);
    if !best.is_empty() {
        return best;
    }
    let emptied = of(|standing| standing == Standing::Draining);
    if !emptied.is_empty() || replaced {
        return emptied;
    }
    of(Standing::away)
}

fn site(host: &Host) -> String {
    let site = host.labels.iter().find(|(key, _)| key.as_str() == SITE);
    site.map_or_else(String::new, |(_, value)| value.as_str().to_owned())
}

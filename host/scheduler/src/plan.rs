//! The plan: who runs what, where data lives, who serves whom. Pure; called by the host that leads.
//!
//! In four steps, each over all wanted things in the order of their names:
//!
//! 1. keep: what runs where it may (`place`)
//! 2. fill: what is missing goes to the ready hosts with the least to do
//! 3. follow: providers that go where their actors are
//! 4. route: the hosts that serve now (`route`)

use std::collections::{BTreeMap, BTreeSet};

use mesh_lattice::{
    HostId, Name,
    stored::{Assignment, Item, Pin, Route},
};

use crate::world::{Standing, World};

mod place;
mod route;
mod want;

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tables;
#[cfg(test)]
mod testing;

/// What is to be written, and what came of each wanted thing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// The assignments that change, whole.
    pub assignments: BTreeMap<HostId, Assignment>,
    /// The new pins.
    pub pins: BTreeMap<Name, Pin>,
    /// The routes that change, whole. One without hosts is a target that nobody serves.
    pub routes: BTreeMap<Name, Route>,
    /// Each wanted thing, changed or not.
    pub placements: BTreeMap<Name, Placement>,
}

impl Plan {
    /// Whether there is nothing to write.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.assignments.is_empty() && self.pins.is_empty() && self.routes.is_empty()
    }
}

/// Where one wanted thing is to run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Placement {
    /// On how many hosts; for what runs everywhere, as many as are eligible now.
    pub wanted: usize,
    /// Where it is to be. Hosts that are on their way out or away are not among them.
    pub hosts: BTreeSet<HostId>,
    /// Why it is on fewer hosts than wanted, for a person; empty where it is not.
    pub reason: String,
}

/// Plans. See the crate's head for what it keeps to.
#[must_use]
pub fn plan(world: &World) -> Plan {
    let wants = want::collect(world);
    let placed = place::all(world, &wants);
    let mut items = kept_in_silence(world, &placed.hosts);
    for want in &wants {
        for host in placed.hosts.get(want.name).into_iter().flatten() {
            items.entry((*host).clone()).or_default().insert(Item {
                app: want.app.clone(),
                revision: want.revision,
                name: want.name.clone(),
                kind: want.kind,
            });
        }
    }
    Plan {
        routes: route::all(world, &items, &placed.active),
        assignments: changed_assignments(world, items),
        pins: placed.pins,
        placements: placed.placements,
    }
}

/// What applications have of which nothing is known: it stays, unless somebody else now says where that name runs.
fn kept_in_silence(world: &World, placed: &BTreeMap<&Name, BTreeSet<&HostId>>) -> BTreeMap<HostId, BTreeSet<Item>> {
    let mut items = BTreeMap::new();
    for (id, host) in &world.hosts {
        if host.standing == Standing::Untrusted {
            continue;
        }
        let kept = world
            .items(id)
            .into_iter()
            .filter(|item| world.silent_about(&item.app) && !placed.contains_key(&item.name));
        items.insert(id.clone(), kept.collect());
    }
    items
}

fn changed_assignments(world: &World, items: BTreeMap<HostId, BTreeSet<Item>>) -> BTreeMap<HostId, Assignment> {
    let differs = |id: &HostId, items: &[Item]| {
        let stale = world.assigned.get(id).is_some_and(|stored| stored.incarnation != world.incarnation);
        stale || world.items(id) != items
    };
    items
        .into_iter()
        .map(|(id, items)| (id, Vec::from_iter(items)))
        .filter(|(id, items)| differs(id, items))
        .map(|(id, items)| (id, Assignment { incarnation: world.incarnation, term: world.term, items }))
        .collect()
}

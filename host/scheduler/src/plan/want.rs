//! The wanted things of all applications, each with the rule that says where it runs.

use std::collections::{BTreeMap, BTreeSet};

use mesh_lattice::{
    Name,
    application::{Application, Replicas, Spread},
    stored::ItemKind,
};

use crate::world::{Desired, World};

/// One wanted actor or provider.
#[derive(Debug)]
pub(super) struct Want<'a> {
    pub(super) app: &'a Name,
    pub(super) revision: u64,
    pub(super) name: &'a Name,
    pub(super) kind: ItemKind,
    pub(super) placement: &'a [Spread],
    pub(super) rule: Rule<'a>,
}

/// Where it runs.
#[derive(Debug)]
pub(super) enum Rule<'a> {
    /// On this many hosts.
    Spread(Replicas),
    /// On one host, where its data is.
    Once,
    /// Wherever one of these actors runs.
    Beside(BTreeSet<&'a Name>),
}

/// All of them, in the order of their names, each name once: names are claimed before they are stored, so two
/// applications with one name are a defect elsewhere, and here the first application has it.
pub(super) fn collect(world: &World) -> Vec<Want<'_>> {
    let linked = linked_actors(world);
    let mut wants = BTreeMap::new();
    for (app, revision, application) in wanted(world) {
        for actor in &application.actors {
            wants.entry(&actor.name).or_insert(Want {
                app,
                revision,
                name: &actor.name,
                kind: ItemKind::Actor,
                placement: &actor.placement,
                rule: Rule::Spread(actor.replicas),
            });
        }
        for provider in &application.providers {
            let rule = match (provider.local_state, provider.replicas) {
                (true, _) => Rule::Once,
                (false, Some(replicas)) => Rule::Spread(replicas),
                (false, None) => Rule::Beside(linked.get(&provider.name).cloned().unwrap_or_default()),
            };
            wants.entry(&provider.name).or_insert(Want {
                app,
                revision,
                name: &provider.name,
                kind: ItemKind::Provider,
                placement: &provider.placement,
                rule,
            });
        }
    }
    wants.into_values().collect()
}

fn wanted(world: &World) -> impl Iterator<Item = (&Name, u64, &Application)> {
    world.apps.iter().filter_map(|(app, desired)| match desired {
        Desired::Wanted { revision, application } => Some((app, *revision, application.as_ref())),
        Desired::Deleted | Desired::Unreadable => None,
    })
}

/// The actors at the other end of the links of each name, in either direction.
fn linked_actors(world: &World) -> BTreeMap<&Name, BTreeSet<&Name>> {
    let actors: BTreeSet<_> = wanted(world).flat_map(|(_, _, app)| &app.actors).map(|actor| &actor.name).collect();
    let mut linked: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    for link in wanted(world).flat_map(|(_, _, app)| &app.links) {
        for (one, other) in [(&link.source, &link.target), (&link.target, &link.source)] {
            if actors.contains(other) {
                linked.entry(one).or_default().insert(other);
            }
        }
    }
    linked
}

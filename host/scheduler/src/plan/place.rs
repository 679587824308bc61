//! Places each wanted thing: keeps what may stay, fills what is missing, holds what must leave until others serve.

use std::collections::{BTreeMap, BTreeSet};

use mesh_lattice::{
    HostId, Name,
    application::{Replicas, Spread},
    stored::Pin,
};

use super::{
    Placement,
    want::{Rule, Want},
};
use crate::world::{Host, Standing, World};

mod quota;
mod reason;

type Hosts<'a> = BTreeSet<&'a HostId>;

/// Where everything is to be.
#[derive(Debug, Default)]
pub(super) struct Placed<'a> {
    /// Whose assignment names it, those included that are on their way out or away.
    pub(super) hosts: BTreeMap<&'a Name, Hosts<'a>>,
    /// Where it is to serve.
    pub(super) active: BTreeMap<&'a Name, Hosts<'a>>,
    /// The new pins.
    pub(super) pins: BTreeMap<Name, Pin>,
    /// For people.
    pub(super) placements: BTreeMap<Name, Placement>,
}

/// Places everything that is wanted.
pub(super) fn all<'a>(world: &'a World, wants: &[Want<'a>]) -> Placed<'a> {
    let mut field = Field::new(world, wants);
    let mut placed = Placed::default();
    let mut open = Vec::new();
    for want in wants {
        match &want.rule {
            Rule::Spread(replicas) => open.push((want, field.keep(want, *replicas))),
            Rule::Once => field.place_once(want, &mut placed),
            Rule::Beside(_) => {}
        }
    }
    for (want, slots) in open {
        let (active, wanted) = field.fill(slots);
        field.conclude(want, active, wanted, &mut placed);
    }
    for want in wants {
        if let Rule::Beside(actors) = &want.rule {
            let active = field.beside(want, actors, &placed);
            let wanted = active.len();
            field.conclude(want, active, wanted, &mut placed);
        }
    }
    placed
}

/// One share of a thing's replicas while it is being placed.
#[derive(Debug)]
struct Slot<'a> {
    /// The hosts that it may be on carry the labels of one of these.
    spreads: &'a [Spread],
    /// On how many hosts it is to be; `None` for all of them.
    quota: Option<usize>,
    /// Where it is so far.
    taken: Hosts<'a>,
}

/// What placing looks at and counts.
struct Field<'a> {
    world: &'a World,
    /// Who has each name now.
    holders: BTreeMap<Name, Hosts<'a>>,
    /// Who serves each name now.
    ready: BTreeMap<&'a Name, Hosts<'a>>,
    /// How much each host has now, less what was taken from it so far.
    before: BTreeMap<&'a HostId, usize>,
    /// How much each host has in this plan so far.
    load: BTreeMap<&'a HostId, usize>,
    /// Whether links may exist that nobody can read.
    blind: bool,
}

impl<'a> Field<'a> {
    fn new(world: &'a World, wants: &[Want<'a>]) -> Self {
        let wanted: BTreeSet<_> = wants.iter().map(|want| want.name).collect();
        let mut field = Self {
            world,
            holders: BTreeMap::new(),
            ready: BTreeMap::new(),
            before: BTreeMap::new(),
            load: BTreeMap::new(),
            blind: world.apps.keys().any(|app| world.silent_about(app)),
        };
        for (id, host) in world.hosts.iter().filter(|(_, host)| host.standing != Standing::Untrusted) {
            let items = world.items(id);
            field.before.insert(id, items.len());
            for item in items {
                let silent = world.silent_about(&item.app);
                field.blind |= silent;
                if silent && !wanted.contains(&item.name) {
                    *field.load.entry(id).or_default() += 1;
                }
                field.holders.entry(item.name).or_default().insert(id);
            }
            for name in host.serving() {
                field.ready.entry(name).or_default().insert(id);
            }
        }
        field
    }

    fn host(&self, id: &HostId) -> Option<&'a Host> {
        self.world.hosts.get(id)
    }

    fn stands(&self, id: &HostId, test: fn(Standing) -> bool) -> bool {
        self.host(id).is_some_and(|host| test(host.standing))
    }

    fn is_ready(&self, name: &Name, id: &HostId) -> bool {
        self.ready.get(name).is_some_and(|hosts| hosts.contains(id))
    }

    /// Splits a thing into its slots and keeps what may stay: first what serves, then where there is the least.
    fn keep(&mut self, want: &Want<'a>, replicas: Replicas) -> Vec<Slot<'a>> {
        let mut slots = quota::slots(self.world, replicas, want.placement);
        let mut held: Vec<_> = self.holders.get(want.name).into_iter().flatten().copied().collect();
        held.retain(|id| self.stands(id, Standing::counts));
        held.sort_by_key(|id| (!self.is_ready(want.name, id), self.before.get(id).copied(), *id));
        for slot in &mut slots {
            let room = slot.quota.unwrap_or(usize::MAX);
            let fitting = |id: &&HostId| self.host(id).is_some_and(|host| host.fits(slot.spreads));
            let (fit, rest): (Vec<_>, Vec<_>) = held.into_iter().partition(|id| fitting(id));
            slot.taken = fit.iter().take(room).copied().collect();
            held = fit.into_iter().skip(room).chain(rest).collect();
            for id in &slot.taken {
                *self.load.entry(id).or_default() += 1;
            }
        }
        for id in held {
            if let Some(before) = self.before.get_mut(id) {
                *before = before.saturating_sub(1);
            }
        }
        slots
    }

    /// Gives what is missing to the ready hosts that have the least; returns where it is and on how many it should.
    fn fill(&mut self, slots: Vec<Slot<'a>>) -> (Hosts<'a>, usize) {
        let mut active: Hosts<'a> = slots.iter().flat_map(|slot| &slot.taken).copied().collect();
        let mut wanted = 0;
        for slot in slots {
            let mut free: Vec<_> = self
                .world
                .hosts
                .iter()
                .filter(|(id, host)| {
                    host.standing == Standing::Ready && !active.contains(id) && host.fits(slot.spreads)
                })
                .map(|(id, _)| (self.load.get(id).copied().unwrap_or_default(), id))
                .collect();
            free.sort_unstable();
            let room = slot.quota.map_or(usize::MAX, |quota| quota.saturating_sub(slot.taken.len()));
            let before = active.len();
            for (_, id) in free.into_iter().take(room) {
                active.insert(id);
                *self.load.entry(id).or_default() += 1;
            }
            // What runs everywhere is wanted somewhere, so that having no host for it shows.
            wanted += slot.quota.unwrap_or((slot.taken.len() + active.len() - before).max(1));
        }
        (active, wanted)
    }

    /// Where the data is: at its pin, else where it runs, else at the ready host with the least.
    fn place_once(&mut self, want: &Want<'a>, placed: &mut Placed<'a>) {
        let holders: Vec<_> = self.holders.get(want.name).into_iter().flatten().copied().collect();
        let pinned = self.world.pins.get(want.name).map(|pin| &pin.host);
        let chosen = pinned.or_else(|| {
            let running = holders.iter().min_by_key(|id| (!self.is_ready(want.name, id), **id)).copied();
            running.or_else(|| self.least_loaded(want.placement))
        });
        let standing = chosen.and_then(|id| self.host(id)).map(|host| host.standing);
        let reason = match (chosen, standing) {
            (None, _) => "no ready host has the labels that it asks for".to_owned(),
            (Some(id), None | Some(Standing::Untrusted)) => format!("its data is on {id}, which is not enrolled"),
            (Some(id), Some(Standing::Lost)) => format!("its data is on {id}, which is lost"),
            (Some(_), Some(_)) => String::new(),
        };
        let hosts: Hosts<'a> = chosen
            .into_iter()
            .filter_map(|id| self.world.hosts.get_key_value(id))
            .filter(|(id, host)| host.standing.listens() || (host.standing.away() && holders.contains(id)))
            .map(|(id, _)| id)
            .collect();
        if let (None, Some(id)) = (pinned, chosen) {
            placed.pins.insert(want.name.clone(), Pin { host: id.clone() });
        }
        for id in &hosts {
            *self.load.entry(id).or_default() += 1;
        }
        let active: Hosts<'a> = hosts.iter().filter(|id| self.stands(id, Standing::listens)).copied().collect();
        let placement = Placement { wanted: 1, hosts: active.iter().map(|id| (*id).clone()).collect(), reason };
        placed.placements.insert(want.name.clone(), placement);
        placed.active.insert(want.name, active);
        placed.hosts.insert(want.name, hosts);
    }

    fn least_loaded(&self, spreads: &[Spread]) -> Option<&'a HostId> {
        let ready = self.world.hosts.iter().filter(|(_, host)| host.standing == Standing::Ready && host.fits(spreads));
        ready.map(|(id, _)| id).min_by_key(|id| (self.load.get(id).copied().unwrap_or_default(), *id))
    }

    /// The hosts of these actors: all that take new work, and those that have it already. Where links may exist that
    /// cannot be read, it also stays wherever it is.
    fn beside(&self, want: &Want<'a>, actors: &BTreeSet<&'a Name>, placed: &Placed<'a>) -> Hosts<'a> {
        let held = self.holders.get(want.name);
        let holds = |id: &HostId| held.is_some_and(|held| held.contains(id));
        let mut active: Hosts<'a> = actors
            .iter()
            .filter_map(|actor| placed.hosts.get(*actor))
            .flatten()
            .copied()
            .filter(|id| {
                self.stands(id, |standing| standing == Standing::Ready)
                    || (self.stands(id, Standing::listens) && holds(id))
            })
            .filter(|id| self.host(id).is_some_and(|host| host.fits(want.placement)))
            .collect();
        if self.blind {
            let alive = held.into_iter().flatten().filter(|id| self.stands(id, Standing::listens));
            active.extend(alive.copied());
        }
        active
    }

    /// Adds to where a thing is to be the hosts that keep it for now: those that are away, whose assignment says the
    /// same when they come back, and those that serve it until as many others do.
    fn conclude(&self, want: &Want<'a>, active: Hosts<'a>, wanted: usize, placed: &mut Placed<'a>) {
        let held: Vec<_> = self.holders.get(want.name).into_iter().flatten().copied().collect();
        let serving = active.iter().filter(|id| self.is_ready(want.name, id)).count();
        // Nowhere to go is no reason to stop: while one is wanted, the last one that serves stays.
        let needed = if wanted == 0 { active.len() } else { active.len().max(1) };
        let leaving = held
            .iter()
            .filter(|id| !active.contains(*id) && self.stands(id, Standing::listens) && self.is_ready(want.name, id));
        let away = held.iter().filter(|id| self.stands(id, Standing::away));
        let mut hosts = active.clone();
        hosts.extend(leaving.take(needed.saturating_sub(serving)).copied());
        hosts.extend(away.copied());
        let reason = reason::short(self.world, want, active.len(), wanted);
        let placement = Placement { wanted, hosts: active.iter().map(|id| (*id).clone()).collect(), reason };
        placed.placements.insert(want.name.clone(), placement);
        placed.active.insert(want.name, active);
        placed.hosts.insert(want.name, hosts);
    }
}

//! Worlds for the tests, and what becomes of one when a plan is written and hosts do what it says.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use mesh_lattice::{
    BootId, Digest, HostId, Incarnation, Name,
    application::{Actor, Application, Artifact, Limits, Link, Provider, Replicas, Spread},
    name::Labels,
    stored::{ActorState, ItemKind, Observed, ObservedActor, ObservedProvider, ProviderState},
};

use super::{Plan, plan};
use crate::world::{Desired, Host, Standing, World};

pub(super) fn name(text: &str) -> Name {
    text.parse().unwrap()
}

/// The ids of this many hosts, in their order.
pub(super) fn hosts(count: u16) -> Vec<HostId> {
    let key = |seed: u16| {
        let mut raw = [0; 32];
        raw[..2].copy_from_slice(&seed.to_be_bytes());
        nkeys::KeyPair::new_from_raw(nkeys::KeyPairType::Server, raw).unwrap().public_key().parse().unwrap()
    };
    let mut ids: Vec<HostId> = (0..count).map(key).collect();
    ids.sort();
    ids
}

pub(super) fn labels(pairs: &[(&str, &str)]) -> Labels {
    pairs.iter().map(|(key, value)| (key.parse().unwrap(), value.parse().unwrap())).collect()
}

pub(super) fn spread(pairs: &[(&str, &str)], weight: u32) -> Spread {
    Spread { labels: labels(pairs), weight }
}

pub(super) fn actor(text: &str, replicas: Replicas) -> Actor {
    Actor {
        name: name(text),
        artifact: Artifact { digest: Digest::of(text.as_bytes()), reference: String::new() },
        replicas,
        concurrency: 1,
        instances: mesh_lattice::application::Instances::default(),
        limits: Limits::default(),
        placement: Vec::new(),
        config: Vec::new(),
        imports: Vec::new(),
        exports: Vec::new(),
    }
}

pub(super) fn provider(text: &str, replicas: Option<Replicas>) -> Provider {
    Provider {
        name: name(text),
        kind: name("some-kind"),
        replicas,
        placement: Vec::new(),
        config: Vec::new(),
        local_state: false,
        interfaces: Vec::new(),
    }
}

pub(super) fn link(source: &str, target: &str) -> Link {
    Link {
        source: name(source),
        target: name(target),
        interfaces: vec!["a:b".parse().unwrap()],
        name: Default::default(),
        source_config: Vec::new(),
        target_config: Vec::new(),
        idempotent: false,
        timeout_ms: None,
    }
}

/// A world with this many ready hosts and one application.
pub(super) fn world(count: u16, application: Application) -> World {
    let host = || Host { standing: Standing::Ready, labels: Labels::new(), observed: Some(report()) };
    let mut world = World {
        incarnation: Incarnation::new(),
        term: 1,
        apps: BTreeMap::new(),
        hosts: hosts(count).into_iter().map(|id| (id, host())).collect(),
        assigned: BTreeMap::new(),
        pins: BTreeMap::new(),
        routes: BTreeMap::new(),
    };
    world.want(application);
    world
}

pub(super) fn application(actors: Vec<Actor>, providers: Vec<Provider>, links: Vec<Link>) -> Application {
    Application { name: name("app"), actors, providers, links }
}

fn report() -> Observed {
    Observed {
        boot: BootId::new(),
        name: "host".to_owned(),
        version: "0".to_owned(),
        labels: Labels::new(),
        uptime_seconds: 0,
        draining: false,
        term: 0,
        actors: Vec::new(),
        providers: Vec::new(),
    }
}

impl World {
    /// The next revision of an application.
    pub(super) fn want(&mut self, application: Application) {
        let revision = match self.apps.get(&application.name) {
            Some(Desired::Wanted { revision, .. }) => revision + 1,
            _ => 1,
        };
        self.apps.insert(application.name.clone(), Desired::Wanted { revision, application: Arc::new(application) });
    }

    pub(super) fn id(&self, index: usize) -> HostId {
        self.hosts.keys().nth(index).unwrap().clone()
    }

    pub(super) fn stand(&mut self, index: usize, standing: Standing) {
        self.host_mut(index).standing = standing;
    }

    pub(super) fn host_mut(&mut self, index: usize) -> &mut Host {
        self.hosts.values_mut().nth(index).unwrap()
    }

    /// Stores what the plan says.
    pub(super) fn write(&mut self, plan: Plan) {
        self.assigned.extend(plan.assignments);
        self.pins.extend(plan.pins);
        self.routes.extend(plan.routes);
    }

    /// Lets each host that is there run what it is assigned and report it as serving.
    pub(super) fn converge(&mut self) {
        let ids: Vec<_> = self.hosts.keys().cloned().collect();
        for (index, id) in ids.iter().enumerate() {
            if self.hosts[id].standing.listens() {
                self.obey(index);
            }
        }
    }

    /// Lets one host run what it is assigned.
    pub(super) fn obey(&mut self, index: usize) {
        let id = self.id(index);
        let items = self.assigned.get(&id).map(|assigned| assigned.items.clone()).unwrap_or_default();
        let mut report = report();
        for item in items {
            match item.kind {
                ItemKind::Actor => report.actors.push(ObservedActor {
                    name: item.name,
                    app: item.app,
                    revision: item.revision,
                    digest: Digest::of(b""),
                    issuer: None,
                    claims_revision: None,
                    state: ActorState::Ready,
                    reason: String::new(),
                    behind: false,
                    instances: 0,
                    calls: 0,
                    breakdowns: 0,
                    last_breakdown: String::new(),
                    exports: Vec::new(),
                }),
                ItemKind::Provider => report.providers.push(ObservedProvider {
                    name: item.name,
                    app: item.app,
                    revision: item.revision,
                    kind: name("some-kind"),
                    state: ProviderState::Running,
                    reason: String::new(),
                    restarts: 0,
                    interfaces: Vec::new(),
                    failed_links: Vec::new(),
                    taken_links: None,
                }),
            }
        }
        self.host_mut(index).observed = Some(report);
    }

    /// Plans, writes and converges until there is nothing left to write; returns how often it wrote.
    pub(super) fn settle(&mut self) -> usize {
        self.converge();
        for round in 0..10 {
            let plan = plan(self);
            if plan.is_empty() {
                return round;
            }
            self.write(plan);
            self.converge();
        }
        panic!("still planning after ten rounds: {:?}", plan(self));
    }

    /// The hosts whose stored assignment names this.
    pub(super) fn assigned_to(&self, text: &str) -> BTreeSet<usize> {
        let has = |id: &HostId| self.assigned.get(id).is_some_and(|a| a.items.iter().any(|i| i.name == name(text)));
        self.hosts.keys().enumerate().filter(|(_, id)| has(id)).map(|(index, _)| index).collect()
    }

    /// The hosts that the stored route of this leads to.
    pub(super) fn routed_to(&self, text: &str) -> BTreeSet<usize> {
        let routed = |id: &HostId| self.routes.get(&name(text)).is_some_and(|r| r.hosts.iter().any(|h| h.id == *id));
        self.hosts.keys().enumerate().filter(|(_, id)| routed(id)).map(|(index, _)| index).collect()
    }
}

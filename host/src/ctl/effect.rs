//! What a commit would do, before it is written: the plan as it is and as it would be, compared, and for what stays where it
//! is, whether its hosts would start it anew. Pure.
//!
//! Nothing here decides anything: where things run is said by the planner, what starts them anew by what hosts compare
//! themselves (`converge/wanted.rs`).

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use mesh_lattice::{
    HostId, Name,
    application::{Actor, Application, Provider, Values},
    control::Effect,
    key::Key,
    stored::{AppPointer, Assignment, Item, ItemKind},
};
use mesh_provider::{LinkId, ProviderLink};
use mesh_scheduler::{Desired, Placement, World, plan};
use mesh_transport::Write;
use serde::de::DeserializeOwned;

use crate::{
    actors::ActorRun,
    converge::wanted::{actor_run, provider_links, provider_run},
    known::{WantedApp, links_of},
    links::Links,
    providers::ProviderRun,
};

/// All that decides about what runs where and how.
#[derive(Clone)]
pub(super) struct Wants {
    pub(super) world: World,
    pub(super) apps: BTreeMap<Name, WantedApp>,
    pub(super) config: BTreeMap<Name, Values>,
}

impl Wants {
    /// As it would be with these writes. `revision` finds one that is stored already.
    pub(super) fn with(mut self, writes: &[Write], revision: impl Fn(&Name, u64) -> Option<Arc<Application>>) -> Self {
        for write in writes {
            match &write.key {
                Key::App(name) => {
                    let Some(pointer) = read::<AppPointer>(write) else { continue };
                    let key = Key::AppRevision(name.clone(), pointer.revision);
                    let written = writes.iter().find(|other| other.key == key).and_then(read::<Application>);
                    let application = written.map(Arc::new).or_else(|| revision(name, pointer.revision));
                    self.point(name, &pointer, application);
                }
                Key::Config(name) => _ = read(write).map(|values| self.config.insert(name.clone(), values)),
                _ => {}
            }
        }
        self
    }

    fn point(&mut self, name: &Name, pointer: &AppPointer, application: Option<Arc<Application>>) {
        let revision = pointer.revision;
        match application {
            Some(application) if !pointer.deleted => {
                let desired = Desired::Wanted { revision, application: Arc::clone(&application) };
                self.world.apps.insert(name.clone(), desired);
                let wanted = match self.apps.get(name) {
                    Some(before) => before.followed_by(revision, application),
                    None => WantedApp { revision, application, links_since: Vec::new() },
                };
                self.apps.insert(name.clone(), wanted);
            }
            _ => {
                self.world.apps.insert(name.clone(), Desired::Deleted);
                self.apps.remove(name);
            }
        }
    }
}

/// A value that was judged already.
fn read<T: DeserializeOwned>(write: &Write) -> Option<T> {
    mesh_lattice::value::read(&write.envelope.payload).ok()
}

/// What becomes of each actor and provider; what nothing happens to is left out, unless it is of one of these
/// applications.
pub(super) fn effects(before: &Wants, after: &Wants, about: &BTreeSet<Name>) -> Vec<Effect> {
    let (old, new) = (View::new(before), View::new(after));
    let names: BTreeSet<&Name> = old.placements.keys().chain(new.placements.keys()).collect();
    let effects = names.into_iter().filter_map(|name| effect(&old, &new, name));
    effects.filter(|effect| effect.happens() || about.contains(&effect.app)).collect()
}

struct View<'a> {
    wants: &'a Wants,
    placements: BTreeMap<Name, Placement>,
    links: Links,
}

enum Part<'a> {
    Actor(&'a Actor),
    Provider(&'a Provider),
}

/// What hosts compare.
enum Run {
    Actor(ActorRun),
    Provider(ProviderRun, BTreeMap<LinkId, ProviderLink>),
}

impl<'a> View<'a> {
    fn new(wants: &'a Wants) -> Self {
        Self { wants, placements: settled(wants), links: links_of(&wants.apps) }
    }

    fn find(&self, name: &Name) -> Option<(&'a Name, Part<'a>)> {
        self.wants.apps.iter().find_map(|(app, wanted)| {
            let actor = wanted.application.actor(name).map(Part::Actor);
            Some((app, actor.or_else(|| wanted.application.provider(name).map(Part::Provider))?))
        })
    }

    fn run(&self, part: &Part<'_>) -> Result<Run, String> {
        let config = &self.wants.config;
        match part {
            Part::Actor(actor) => actor_run(config, actor).map(Run::Actor),
            Part::Provider(provider) => {
                let (links, _) = provider_links(config, &self.links, &provider.name);
                Ok(Run::Provider(provider_run(config, provider)?, links))
            }
        }
    }

    fn hosts(&self, name: &Name) -> BTreeSet<HostId> {
        self.placements.get(name).map(|placement| placement.hosts.clone()).unwrap_or_default()
    }
}

/// Where everything is in the end. A plan keeps what has to leave a host until others serve in its place, and what goes
/// along with it: so it is planned again as if they did.
fn settled(wants: &Wants) -> BTreeMap<Name, Placement> {
    let mut world = wants.world.clone();
    let planned = plan(&world);
    world.pins.extend(planned.pins);
    let mut items: BTreeMap<HostId, Vec<Item>> = world.hosts.keys().map(|id| (id.clone(), Vec::new())).collect();
    for (app, wanted) in &wants.apps {
        let actors = wanted.application.actors.iter().map(|actor| (&actor.name, ItemKind::Actor));
        let providers = wanted.application.providers.iter().map(|provider| (&provider.name, ItemKind::Provider));
        for (name, kind) in actors.chain(providers) {
            for host in planned.placements.get(name).into_iter().flat_map(|placement| &placement.hosts) {
                let item = Item { app: app.clone(), revision: wanted.revision, name: name.clone(), kind };
                items.entry(host.clone()).or_default().push(item);
            }
        }
    }
    let (incarnation, term) = (world.incarnation, world.term);
    let assigned = items.into_iter().map(|(id, items)| (id, Assignment { incarnation, term, items }));
    world.assigned.extend(assigned);
    plan(&world).placements
}

fn effect(old: &View<'_>, new: &View<'_>, name: &Name) -> Option<Effect> {
    let (was, is) = (old.find(name), new.find(name));
    let (app, part) = is.as_ref().or(was.as_ref())?;
    let kind = match part {
        Part::Actor(_) => ItemKind::Actor,
        Part::Provider(_) => ItemKind::Provider,
    };
    let (from, to) = (old.hosts(name), new.hosts(name));
    let placement = new.placements.get(name);
    let mut effect = Effect {
        kind,
        name: name.clone(),
        app: (*app).clone(),
        wanted: placement.map_or(0, |placement| u32::try_from(placement.wanted).unwrap_or(u32::MAX)),
        starts: to.difference(&from).cloned().collect(),
        stops: from.difference(&to).cloned().collect(),
        restarts: Vec::new(),
        relinks: 0,
        reason: placement.map(|placement| placement.reason.clone()).unwrap_or_default(),
    };
    if let (Some((_, was)), Some((_, is))) = (&was, &is) {
        compare(old.run(was), new.run(is), &from, &to, &mut effect);
    }
    Some(effect)
}

/// What its hosts do where it stays.
fn compare(
    was: Result<Run, String>,
    is: Result<Run, String>,
    from: &BTreeSet<HostId>,
    to: &BTreeSet<HostId>,
    effect: &mut Effect,
) {
    let stays = || from.intersection(to).cloned().collect::<Vec<_>>();
    match (was, is) {
        (Ok(Run::Actor(was)), Ok(Run::Actor(is))) if was == is => {}
        (Ok(Run::Provider(was, told)), Ok(Run::Provider(is, tells))) if was == is => {
            let ids: BTreeSet<&LinkId> = told.keys().chain(tells.keys()).collect();
            let changed = ids.into_iter().filter(|id| told.get(id) != tells.get(id)).count();
            effect.relinks = if stays().is_empty() { 0 } else { u32::try_from(changed).unwrap_or(u32::MAX) };
        }
        (Ok(_), Ok(_)) => effect.restarts = stays(),
        // It waited for a configuration, and has it now.
        (Err(_), Ok(_)) => effect.starts = to.iter().cloned().collect(),
        // What runs under that name goes on.
        (_, Err(reason)) => effect.reason = reason,
    }
}

#[cfg(test)]
mod tests {
    use mesh_claims::{Envelope, KeyKind, KeyPair};
    use mesh_lattice::{Digest, Incarnation, name::Labels};
    use mesh_scheduler::{Host, Standing};
    use serde_json::{Value, json};

    use super::*;

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    fn demo() -> Value {
        json!({
            "name": "demo",
            "actors": [{ "name": "counter", "artifact": { "digest": Digest::of(b"one") }, "replicas": { "count": 2 },
                         "config": [{ "shared": "greeting" }] }],
            "providers": [{ "name": "kv", "use": "keyvalue-nats" },
                          { "name": "web", "use": "http-server", "replicas": "everywhere" }],
            "links": [
                { "source": "counter", "target": "kv", "interfaces": ["wasi:keyvalue"] },
                { "source": "web", "target": "counter", "interfaces": ["wasi:http/incoming-handler"] },
            ],
        })
    }

    fn wanted(text: Value) -> WantedApp {
        let application: Application = serde_json::from_value(text).unwrap();
        WantedApp { revision: 1, links_since: vec![1; application.links.len()], application: Arc::new(application) }
    }

    /// Three hosts that run what was planned for them; the third is at the edge.
    fn settled(text: Value) -> (Wants, Vec<HostId>) {
        let mut ids: Vec<HostId> = (0..3).map(|_| KeyPair::generate(KeyKind::Host).host_id().unwrap()).collect();
        ids.sort();
        let host = |edge: bool| {
            let labels = if edge { json!({ "zone": "edge" }) } else { json!({}) };
            let labels: Labels = serde_json::from_value(labels).unwrap();
            Host { standing: Standing::Ready, labels, observed: None }
        };
        let app = wanted(text);
        let desired = Desired::Wanted { revision: 1, application: Arc::clone(&app.application) };
        let mut world = World {
            incarnation: Incarnation::new(),
            term: 1,
            apps: BTreeMap::from([(name("demo"), desired)]),
            hosts: ids.iter().enumerate().map(|(place, id)| (id.clone(), host(place == 2))).collect(),
            assigned: BTreeMap::new(),
            pins: BTreeMap::new(),
            routes: BTreeMap::new(),
        };
        let planned = plan(&world);
        world.assigned.extend(planned.assignments);
        world.pins.extend(planned.pins);
        let config = BTreeMap::from([(name("greeting"), Values::from([("greeting".to_owned(), "hello".to_owned())]))]);
        (Wants { world, apps: BTreeMap::from([(name("demo"), app)]), config }, ids)
    }

    fn write<T: serde::Serialize>(key: Key, value: &T) -> Write {
        let user = KeyPair::generate(KeyKind::User);
        Write { envelope: Envelope::sign(&key, Incarnation::new(), 1, value, &user).unwrap(), key, expected: 0 }
    }

    /// What becomes of a part: hosts that start, stop and start anew, and links that are told.
    fn counts(effects: &[Effect], of: &str) -> (usize, usize, usize, u32) {
        let Some(effect) = effects.iter().find(|effect| effect.name.as_str() == of) else { return (0, 0, 0, 0) };
        (effect.starts.len(), effect.stops.len(), effect.restarts.len(), effect.relinks)
    }

    fn change(change: impl FnOnce(&mut Value)) -> Vec<Effect> {
        let (before, _) = settled(demo());
        let mut text = demo();
        change(&mut text);
        let application: Application = serde_json::from_value(text).unwrap();
        let writes = [
            write(Key::App(name("demo")), &AppPointer { revision: 2, deleted: false }),
            write(Key::AppRevision(name("demo"), 2), &application),
        ];
        let after = before.clone().with(&writes, |_, _| None);
        effects(&before, &after, &BTreeSet::from([name("demo")]))
    }

    #[test]
    fn each_kind_of_change_does_what_hosts_would_do() {
        type Counts = (usize, usize, usize, u32);
        type Table = Vec<(&'static str, Vec<Effect>, [Counts; 3])>;
        let nothing = (0, 0, 0, 0);
        let table: Table = vec![
            ("nothing", change(|_| {}), [nothing, nothing, nothing]),
            (
                "another artifact",
                change(|text| text["actors"][0]["artifact"]["digest"] = json!(Digest::of(b"two"))),
                [(0, 0, 2, 0), nothing, nothing],
            ),
            (
                "configuration of its own",
                change(|text| text["actors"][0]["config"] = json!([{ "values": { "a": "b" } }])),
                [(0, 0, 2, 0), nothing, nothing],
            ),
            (
                "the same by other words",
                change(|text| {
                    text["actors"][0]["config"] = json!([
                        { "values": { "greeting": "hello" } }
                    ])
                }),
                [nothing, nothing, nothing],
            ),
            (
                "limits",
                change(|text| text["actors"][0]["limits"] = json!({ "cpu_ms": 10 })),
                [(0, 0, 2, 0), nothing, nothing],
            ),
            // The store goes where its actor goes.
            (
                "more replicas",
                change(|text| text["actors"][0]["replicas"] = json!({ "count": 3 })),
                [(1, 0, 0, 0), (1, 0, 0, 0), nothing],
            ),
            (
                "another place",
                change(|text| {
                    text["actors"][0]["replicas"] = json!({ "count": 1 });
                    text["actors"][0]["placement"] = json!([{ "where": { "zone": "edge" } }]);
                }),
                [(1, 2, 0, 0), (1, 2, 0, 0), nothing],
            ),
            (
                "configuration of a provider",
                change(|text| text["providers"][0]["config"] = json!([{ "values": { "bucket": "b" } }])),
                [nothing, (0, 0, 2, 0), nothing],
            ),
            (
                "configuration of a link",
                change(|text| text["links"][1]["source_config"] = json!([{ "values": { "path": "/a" } }])),
                [nothing, nothing, (0, 0, 0, 1)],
            ),
            (
                "one link less",
                change(|text| _ = text["links"].as_array_mut().unwrap().remove(1)),
                [nothing, nothing, (0, 0, 0, 1)],
            ),
            (
                "a provider less",
                change(|text| text["providers"] = json!([text["providers"][0]])),
                [nothing, nothing, (0, 3, 0, 0)],
            ),
        ];
        for (what, effects, [counter, kv, web]) in table {
            let found = ["counter", "kv", "web"].map(|of| counts(&effects, of));
            assert_eq!(found, [counter, kv, web], "{what}: {effects:?}");
        }
    }

    #[test]
    fn deleting_stops_all_of_it_and_a_shared_configuration_rolls_who_uses_it() {
        let (before, ids) = settled(demo());
        let deleted = [write(Key::App(name("demo")), &AppPointer { revision: 1, deleted: true })];
        let gone = effects(&before, &before.clone().with(&deleted, |_, _| None), &BTreeSet::new());
        assert_eq!(gone.iter().map(|effect| effect.stops.len()).collect::<Vec<_>>(), [2, 2, 3], "{gone:?}");
        let values = Values::from([("greeting".to_owned(), "hi".to_owned())]);
        let config = [write(Key::Config(name("greeting")), &values)];
        let rolled = effects(&before, &before.clone().with(&config, |_, _| None), &BTreeSet::new());
        assert_eq!((rolled.len(), counts(&rolled, "counter")), (1, (0, 0, 2, 0)), "{rolled:?}");
        assert!(rolled[0].restarts.iter().all(|host| ids.contains(host)));
    }

    #[test]
    fn what_has_no_host_says_why() {
        let effects = change(|text| text["actors"][0]["placement"] = json!([{ "where": { "zone": "moon" } }]));
        let counter = effects.iter().find(|effect| effect.name.as_str() == "counter").unwrap();
        assert!(counter.reason.contains("zone=moon"), "{counter:?}");
        let effects = change(|text| text["actors"][0]["config"] = json!([{ "shared": "missing" }]));
        let counter = effects.iter().find(|effect| effect.name.as_str() == "counter").unwrap();
        assert!(counter.restarts.is_empty() && counter.reason.contains("missing"), "{counter:?}");
    }
}

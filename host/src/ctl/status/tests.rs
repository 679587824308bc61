use std::sync::Arc;

use mesh_lattice::{
    BootId, Digest, Incarnation,
    application::Link,
    control::{AppState, LinkState},
    stored::{ActorState, Assignment, Item, ItemKind, ProviderState},
};
use mesh_provider::End;
use serde_json::json;

use super::*;
use crate::links::{Declared, Links};

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

/// Two hosts, made of real keys so that the checksums are right.
fn hosts() -> (HostId, HostId) {
    let key = || mesh_claims::KeyPair::generate(mesh_claims::KeyKind::Host).host_id().unwrap();
    let (one, two) = (key(), key());
    if one < two { (one, two) } else { (two, one) }
}

fn application() -> Application {
    serde_json::from_value(json!({
        "name": "adhoc",
        "actors": [{ "name": "counter", "artifact": { "digest": Digest::of(b"counter"), "reference": "counter.wasm" },
                     "replicas": { "count": 2 } }],
        "providers": [{ "name": "kv", "use": "keyvalue-nats", "interfaces": ["wasi:keyvalue"] }],
        "links": [{ "source": "counter", "target": "kv", "interfaces": ["wasi:keyvalue"] }],
    }))
    .unwrap()
}

fn observed(actor: ActorState, provider: ProviderState) -> Observed {
    serde_json::from_value(json!({
        "boot": BootId::new(), "name": "host", "version": "0.1.0", "labels": {}, "uptime_seconds": 5,
        "actors": [{ "name": "counter", "app": "adhoc", "revision": 3, "digest": Digest::of(b"counter"),
                     "issuer": null, "claims_revision": null, "state": actor, "reason": "because",
                     "instances": 1, "calls": 7 }],
        "providers": [{ "name": "kv", "app": "adhoc", "revision": 3, "use": "keyvalue-nats", "state": provider,
                        "reason": "no server", "restarts": 2 }],
    }))
    .unwrap()
}

fn world(hosts: Vec<(HostId, Standing, Option<Observed>)>) -> World {
    let hosts = hosts
        .into_iter()
        .map(|(id, standing, observed)| (id, Host { standing, labels: mesh_lattice::name::Labels::new(), observed }));
    World {
        incarnation: Incarnation::new(),
        term: 1,
        apps: BTreeMap::from([(name("adhoc"), Desired::Wanted { revision: 3, application: Arc::new(application()) })]),
        hosts: hosts.collect(),
        assigned: BTreeMap::new(),
        pins: BTreeMap::new(),
        routes: BTreeMap::new(),
    }
}

fn status_at(world: &World, since: &mut Since, now: u64) -> Status {
    let answered_by = world.hosts.keys().next().unwrap();
    let facts = Facts {
        answered_by,
        lattice: &LatticeName::default(),
        world,
        kinds: &BTreeMap::new(),
        read: &Default::default(),
        links: &links_at(world),
        placements: &mesh_scheduler::plan(world).placements,
        leader: Some(answered_by),
        config: &BTreeMap::new(),
        trust: Vec::new(),
        events: Vec::new(),
        now,
    };
    status(facts, since)
}

/// The links of the world's applications, each application's younger than those of the one before.
fn links_at(world: &World) -> Links {
    let declared = wanted(world).enumerate().flat_map(|(since, (app, _, application))| {
        let declared = move |link: &Link| Declared { app: app.clone(), since: since as u64, link: link.clone() };
        application.links.iter().map(declared)
    });
    Links::new(declared.collect(), &Default::default())
}

fn status_of(world: &World) -> Status {
    status_at(world, &mut Since::default(), 1)
}

#[test]
fn all_ready_is_ready() {
    let (one, two) = hosts();
    let seen = || Some(observed(ActorState::Ready, ProviderState::Running));
    let status = status_of(&world(vec![(one.clone(), Standing::Ready, seen()), (two, Standing::Ready, seen())]));
    assert_eq!(status.actors[0].replicas.ready, 2);
    assert_eq!(status.actors[0].hosts[0].calls, 7);
    assert_eq!(status.links[0].state, LinkState::Active);
    assert_eq!((status.apps[0].state, status.apps[0].revision), (AppState::Ready, 3));
    let leaders: Vec<_> = status.hosts.iter().filter(|host| host.leader).map(|host| &host.id).collect();
    assert_eq!(leaders, [&one]);
}

#[test]
fn what_a_lost_host_last_said_does_not_count() {
    let (one, two) = hosts();
    let seen = || Some(observed(ActorState::Ready, ProviderState::Running));
    let status = status_of(&world(vec![(one, Standing::Ready, seen()), (two, Standing::Lost, seen())]));
    assert_eq!(status.actors[0].replicas.ready, 1);
    assert_eq!(status.actors[0].hosts[1].state, ActorState::Failed);
    assert_eq!(status.apps[0].state, AppState::Degraded);
    assert_eq!(status.hosts[1].state, HostState::Lost);
}

#[test]
fn the_reason_of_a_part_is_the_reason_of_the_whole() {
    let (one, two) = hosts();
    let pending = || Some(observed(ActorState::Pending, ProviderState::Running));
    let status = status_of(&world(vec![(one, Standing::Ready, pending()), (two, Standing::Ready, pending())]));
    assert_eq!(status.apps[0].state, AppState::Progressing);
    assert_eq!(status.apps[0].reason, "actor counter: 0 of 2 ready, pending on host, host: because");
    assert_eq!(status.links[0].state, LinkState::Pending);
}

#[test]
fn a_provider_that_failed_everywhere_fails_its_application() {
    let (one, two) = hosts();
    let failed = || Some(observed(ActorState::Ready, ProviderState::Failed));
    let status = status_of(&world(vec![(one, Standing::Ready, failed()), (two, Standing::Ready, failed())]));
    assert_eq!(status.apps[0].state, AppState::Failed);
    assert!(status.apps[0].reason.contains("no server"), "{}", status.apps[0].reason);
    assert_eq!(status.providers[0].hosts[0].restarts, 2);
}

#[test]
fn assigned_but_not_reported_is_pending() {
    let (one, _) = hosts();
    let mut world = world(vec![(one.clone(), Standing::Ready, None)]);
    let item = Item { app: name("adhoc"), revision: 3, name: name("counter"), kind: ItemKind::Actor };
    let assignment = Assignment { incarnation: world.incarnation, term: 1, items: vec![item] };
    world.assigned.insert(one, assignment);
    let status = status_of(&world);
    assert_eq!(status.actors[0].hosts[0].state, ActorState::Pending);
    assert_eq!(status.actors[0].replicas.ready, 0);
}

#[test]
fn a_link_to_nothing_says_so() {
    let (one, _) = hosts();
    let mut world = world(vec![(one, Standing::Ready, None)]);
    let mut application = application();
    application.providers.clear();
    let desired = Desired::Wanted { revision: 3, application: Arc::new(application) };
    world.apps.insert(name("adhoc"), desired);
    let status = status_of(&world);
    assert_eq!(
        (status.links[0].state, status.links[0].reason.as_str()),
        (LinkState::Pending, "nothing is called kv yet")
    );
}

#[test]
fn a_link_is_active_when_its_provider_has_taken_it_as_it_is_now() {
    let (one, two) = hosts();
    let saying = |taken: serde_json::Value| {
        let mut observed = observed(ActorState::Ready, ProviderState::Running);
        observed.providers[0].taken_links = serde_json::from_value(taken).unwrap();
        Some(observed)
    };
    let link = &application().links[0];
    let told = crate::converge::wanted::provider_link(End::Target, &link.source, link, Values::new());
    let mark = crate::providers::taken::mark(&told);
    let state = |first, second| {
        let link = status_of(&world(vec![
            (one.clone(), Standing::Ready, saying(first)),
            (two.clone(), Standing::Ready, saying(second)),
        ]))
        .links
        .remove(0);
        (link.state, link.reason)
    };
    assert_eq!(state(json!([mark]), json!([mark])).0, LinkState::Active);
    assert_eq!(state(json!([mark]), json!(null)).0, LinkState::Active, "a host of an older version does not say");
    let (late, reason) = state(json!([mark]), json!(["0123456789abcdef"]));
    assert_eq!((late, reason.as_str()), (LinkState::Pending, "kv on host has not taken it yet"));
}

#[test]
fn since_is_when_the_state_was_first_seen() {
    let (one, two) = hosts();
    let seen = |state| Some(observed(state, ProviderState::Running));
    let mut since = Since::default();
    let pending = world(vec![(one.clone(), Standing::Ready, seen(ActorState::Pending))]);
    assert_eq!(status_at(&pending, &mut since, 10).apps[0].since, 10);
    assert_eq!(status_at(&pending, &mut since, 20).apps[0].since, 10);
    let ready =
        world(vec![(one, Standing::Ready, seen(ActorState::Ready)), (two, Standing::Ready, seen(ActorState::Ready))]);
    assert_eq!(status_at(&ready, &mut since, 30).apps[0].since, 30);
}

#[test]
fn a_refused_link_says_nothing_of_the_one_in_the_other_direction() {
    let mut both = application();
    both.links = serde_json::from_value(json!([
        { "source": "counter", "target": "kv", "interfaces": ["wasi:keyvalue"] },
        { "source": "kv", "target": "counter", "interfaces": ["wasi:keyvalue"] },
    ]))
    .unwrap();
    let mut observed = observed(ActorState::Ready, ProviderState::Running);
    observed.providers[0].failed_links = serde_json::from_value(json!([
        { "source": "kv", "target": "counter", "link": "default", "reason": "it calls nobody" },
    ]))
    .unwrap();
    let mut world = world(vec![(hosts().0, Standing::Ready, Some(observed))]);
    world.apps.insert(name("adhoc"), Desired::Wanted { revision: 3, application: Arc::new(both) });
    let states: Vec<_> = status_at(&world, &mut Since::default(), 0).links.into_iter().map(|link| link.state).collect();
    assert_eq!(states, [LinkState::Active, LinkState::Failed]);
}

#[test]
fn of_two_links_written_at_once_the_younger_is_shown_as_failed_and_says_who_holds() {
    let (one, two) = hosts();
    let seen = || Some(observed(ActorState::Ready, ProviderState::Running));
    let mut world = world(vec![(one, Standing::Ready, seen()), (two, Standing::Ready, seen())]);
    let mut other: Application = serde_json::from_value(json!({
        "name": "other", "links": [{ "source": "counter", "target": "kv", "interfaces": ["wasi:keyvalue/store"] }],
    }))
    .unwrap();
    let mut want = |other: &Application| {
        let desired = Desired::Wanted { revision: 1, application: Arc::new(other.clone()) };
        world.apps.insert(name("other"), desired);
        status_of(&world)
    };
    let status = want(&other);
    assert_eq!((status.links.len(), status.links[0].state), (2, LinkState::Active));
    let (state, reason) = (status.links[1].state, &status.links[1].reason);
    assert_eq!(state, LinkState::Failed);
    assert!(reason.contains("application adhoc has an older link named default from counter"), "{reason}");
    assert!(reason.contains("meshctl link del counter kv wasi:keyvalue/store"), "{reason}");
    assert_eq!(status.apps[1].state, AppState::Failed);
    other.links.clear();
    assert_eq!(want(&other).apps[1].state, AppState::Ready);
}

#[test]
fn whoever_is_linked_to_a_provider_that_is_unwell_says_which_where_and_why_until_it_is_well() {
    let (one, two) = hosts();
    let at = |first, second| {
        let seen = |state| Some(observed(ActorState::Ready, state));
        status_of(&world(vec![
            (one.clone(), Standing::Ready, seen(first)),
            (two.clone(), Standing::Ready, seen(second)),
        ]))
    };
    use ProviderState::{Failed, Running, Unhealthy};
    let degraded = at(Running, Unhealthy);
    assert_eq!(degraded.actors[0].replicas.ready, 2);
    for (of, reason) in [("actor", &degraded.actors[0].reason), ("link", &degraded.links[0].reason)] {
        assert!(reason.contains("provider kv: unhealthy on host: no server"), "{of}: {reason}");
    }
    assert_eq!((degraded.links[0].state, degraded.apps[0].state), (LinkState::Active, AppState::Degraded));
    let down = at(Unhealthy, Unhealthy);
    assert_eq!(down.links[0].state, LinkState::Pending);
    assert!(down.links[0].reason.contains("provider kv: unhealthy on host, host: no server"), "{:?}", down.links);
    let given_up = at(Failed, Failed);
    assert_eq!(given_up.links[0].state, LinkState::Failed);
    let well = at(Running, Running);
    assert_eq!((well.actors[0].reason.as_str(), well.links[0].reason.as_str()), ("ready on host, host: because", ""));
}

#[test]
fn five_hundred_replicas_are_explained_in_one_line() {
    let ids: Vec<HostId> = (0..200).map(|seed| crate::testing::host_id(seed as u8)).collect();
    let report = |index: usize| {
        let mut seen = observed(ActorState::Failed, ProviderState::Running);
        (seen.name, seen.actors[0].reason) = (format!("host-{index}"), format!("reason {}", index % 2));
        match index {
            0..20 => seen.actors[0].state = ActorState::Ready,
            20..26 => seen.actors[0].reason = format!("of its own {index}: {}", "long ".repeat(100)),
            _ => {}
        }
        seen.actors[0].reason = if index < 20 { String::new() } else { seen.actors[0].reason.clone() };
        Some(seen)
    };
    let hosts = ids.iter().enumerate().map(|(index, id)| (id.clone(), Standing::Ready, report(index))).collect();
    let mut world = world(hosts);
    let mut application = application();
    application.actors[0].replicas = mesh_lattice::application::Replicas::Count(500);
    world.apps.insert(name("adhoc"), Desired::Wanted { revision: 3, application: Arc::new(application) });
    let started = std::time::Instant::now();
    let status = status_of(&world);
    println!("a status of 200 hosts and 500 replicas in {:?}", started.elapsed());
    let reason = &status.actors[0].reason;
    assert!(reason.starts_with("87 failed: reason 0; 87 failed: reason 1; failed on host-"), "{reason}");
    assert!(reason.contains("…; 5 more for other reasons; 300 of 500 pending: a host runs one of it"), "{reason}");
    assert!(reason.chars().count() < 500, "{reason}");
    assert!(status.apps[0].reason.chars().count() < 600, "{}", status.apps[0].reason);
}

use mesh_lattice::control::{AppState, LinkState};
use serde_json::json;

use super::*;
use crate::testing::host_id;

fn happening(kind: &str, subject: &str) -> Happening {
    let message = "it says so".to_owned();
    Happening { kind: kind.to_owned(), subject: subject.to_owned(), host: host_id(1), message, times: 1 }
}

/// A lattice of two hosts with one actor on both, its provider, the link between them and their application.
fn status(actors: [ActorState; 2], provider: ProviderState, link: LinkState, app: AppState) -> Status {
    let actor = |seed: u8, state: ActorState| json!({ "id": host_id(seed), "state": state, "instances": 0, "calls": 0, "reason": "because" });
    let host = |seed: u8| {
        json!({ "id": host_id(seed), "name": format!("host-{seed}"), "labels": {}, "version": "1", "state": "ready",
                "leader": false, "uptime_seconds": 1, "actors": 1, "providers": 1 })
    };
    serde_json::from_value(json!({
        "answered_by": host_id(1), "lattice": "default", "incarnation": mesh_lattice::Incarnation::new(),
        "hosts": [host(1), host(2)],
        "actors": [{ "name": "counter", "app": "demo", "artifact": "", "digest": mesh_lattice::Digest::of(b""),
                     "issuer": null, "revision": 1, "replicas": { "desired": 2, "ready": 2 },
                     "hosts": [actor(1, actors[0]), actor(2, actors[1])] }],
        "providers": [{ "name": "kv", "app": "demo", "use": "keyvalue-nats", "interfaces": [], "pinned": null,
                        "hosts": [{ "id": host_id(1), "state": provider, "restarts": 0, "reason": "no server" }] }],
        "links": [{ "source": "counter", "target": "kv", "interfaces": ["wasi:keyvalue"], "name": "default",
                    "app": "demo", "state": link, "reason": "" }],
        "apps": [{ "name": "demo", "revision": 1, "state": app, "reason": "", "since": 1 }],
        "config": [], "trust": [],
    }))
    .unwrap()
}

fn well() -> Status {
    status([ActorState::Ready; 2], ProviderState::Running, LinkState::Active, AppState::Ready)
}

fn kinds(happenings: &[Happening]) -> Vec<(&str, &str)> {
    happenings.iter().map(|one| (one.kind.as_str(), one.subject.as_str())).collect()
}

#[test]
fn what_breaks_all_the_time_is_one_event_with_a_count_and_is_published_now_and_then() {
    let mut told = Told::new(10);
    let mut published = 0;
    for now in 100..160 {
        told.tell(Happening { times: 50, ..happening("actor_broke", "counter") }, now);
        published += told.due(now).len();
    }
    let list = told.list();
    assert_eq!(list.len(), 1);
    assert_eq!((list[0].first, list[0].at, list[0].count), (100, 159, 3_000));
    assert_eq!(published, 12, "at once, then every {AGAIN} s");
    assert_eq!(told.due(165).len(), 1, "the last count is published too");
    assert!(told.due(1_000).is_empty());
}

#[test]
fn what_is_kept_is_bounded_and_what_was_told_of_longest_ago_goes_first() {
    let mut told = Told::new(3);
    for subject in ["a", "b", "c"] {
        told.tell(happening("actor_failed", subject), 1);
    }
    told.tell(happening("actor_failed", "a"), 2);
    told.tell(Happening { message: "long ".repeat(1_000), ..happening("actor_failed", "d") }, 3);
    let subjects: Vec<_> = told.list().into_iter().map(|event| event.subject).collect();
    assert_eq!(subjects, ["c", "a", "d"]);
    assert_eq!(told.list()[2].message.chars().count(), LENGTH);
}

#[test]
fn every_change_of_an_actor_a_provider_a_link_and_an_application_is_told_once() {
    let (mut seen, told) = (Seen::default(), Told::new(100));
    let first = seen.look(&well(), &told);
    let all = [("actor_ready", "counter"), ("actor_ready", "counter"), ("app_ready", "demo")];
    let all = [&all[..], &[("link_active", "counter -> kv"), ("provider_running", "kv")]].concat();
    assert_eq!(kinds(&first), all);
    let messages: BTreeSet<_> = first[..2].iter().map(|one| one.message.as_str()).collect();
    assert_eq!(messages, BTreeSet::from(["on host-1: because", "on host-2: because"]));
    assert!(seen.look(&well(), &told).is_empty(), "nothing changed");

    let ill = status(
        [ActorState::Ready, ActorState::Failed],
        ProviderState::Unhealthy,
        LinkState::Pending,
        AppState::Degraded,
    );
    let now = seen.look(&ill, &told);
    let changed = [
        ("actor_failed", "counter"),
        ("app_degraded", "demo"),
        ("link_pending", "counter -> kv"),
        ("provider_unhealthy", "kv"),
    ];
    assert_eq!(kinds(&now), changed);
    assert_eq!((now[0].host.clone(), now[0].message.as_str()), (host_id(2), "on host-2: because"));
    assert_eq!(now[3].message, "on host-1: no server");

    let mut less = well();
    less.actors[0].hosts.pop();
    less.links.clear();
    let now = seen.look(&less, &told);
    assert_eq!(kinds(&now), [("app_ready", "demo"), ("provider_running", "kv"), ("link_removed", "counter -> kv")]);
}

#[test]
fn breakdowns_restarts_and_revisions_are_told_with_their_number() {
    let (mut seen, told) = (Seen::default(), Told::new(100));
    let mut status = well();
    seen.look(&status, &told);
    status.actors[0].hosts[0].breakdowns = 40;
    status.actors[0].hosts[0].last_breakdown = "trap: unreachable".into();
    status.providers[0].hosts[0].restarts = 3;
    status.apps[0].revision = 2;
    let now = seen.look(&status, &told);
    let told_now: Vec<_> = now.iter().map(|one| (one.kind.as_str(), one.times, one.message.as_str())).collect();
    assert_eq!(
        told_now,
        [
            ("actor_broke", 40, "on host-1: trap: unreachable"),
            ("app_changed", 1, "revision 2 is wanted"),
            ("provider_restarted", 3, "on host-1: no server"),
        ]
    );
    let new = serde_json::from_value(json!({
        "id": host_id(3), "state": "starting", "instances": 0, "calls": 2, "breakdowns": 2, "reason": ""
    }));
    status.actors[0].hosts.push(new.unwrap());
    let now = seen.look(&status, &told);
    assert_eq!(now.iter().map(|one| one.times).collect::<Vec<_>>(), [2], "what broke before it was seen counts");
    status.actors[0].hosts[0].breakdowns = 5;
    status.apps[0].revision = 1;
    let now = seen.look(&status, &told);
    assert_eq!(now.iter().map(|one| one.times).collect::<Vec<_>>(), [5, 1], "a host that was started anew counts anew");
}

#[test]
fn the_next_leader_tells_only_what_was_not_told() {
    let mut told = Told::new(100);
    for happening in Seen::default().look(&well(), &told) {
        told.tell(happening, 1);
    }
    let mut later = Told::new(100);
    later.recall(told.list());
    assert!(later.due(100).is_empty(), "what others published is not published again");
    assert!(Seen::default().look(&well(), &later).is_empty());
    let ill = status([ActorState::Ready; 2], ProviderState::Failed, LinkState::Failed, AppState::Failed);
    let now = Seen::default().look(&ill, &later);
    assert_eq!(kinds(&now), [("app_failed", "demo"), ("link_failed", "counter -> kv"), ("provider_failed", "kv")]);
}

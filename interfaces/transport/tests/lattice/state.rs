//! State, leases, leadership, artifacts and control requests on a server that stays up.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use mesh_claims::{
    Envelope, RefusalCode,
    keys::{KeyKind, KeyPair},
    trust::Trust,
};
use mesh_lattice::{
    BootId, Digest, Incarnation, Name,
    control::{ControlCode, ControlError},
    key::{Key, TrustKey, pattern},
    stored::{AppPointer, LatticeRecord, OwnerRecord, TrustStatement},
};
use mesh_transport::{
    Artifacts, Candidate, Change, ConnectError, Connections, LeaseConfig, LeaseError, LeaseEvent, Leases, Position,
    RequestError, State, StateConfig, StateError, control,
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::fixture::{Enrolled, Server, eventually, pattern as bytes_of, soon};

/// A state and the root that it trusts.
async fn lattice(server: &Server) -> (State, KeyPair, Trust) {
    let root = KeyPair::generate(KeyKind::Operator);
    let state = State::create(&server.connections().await, StateConfig::default(), &root).await.unwrap();
    let trust = Trust::new(root.operator_id().unwrap());
    (state, root, trust)
}

fn app(name: &str) -> Key {
    Key::App(name.parse().unwrap())
}

const POINTER: AppPointer = AppPointer { revision: 7, deleted: false };

#[tokio::test]
async fn making_the_state_twice_makes_it_once() {
    let server = Server::start().await;
    let (state, root, _) = lattice(&server).await;
    let again = State::create(state.connections(), StateConfig::default(), &root).await.unwrap();
    assert_eq!(again.incarnation(), state.incarnation());
    assert_eq!(
        State::open(state.connections(), &root.operator_id().unwrap()).await.unwrap().incarnation(),
        state.incarnation()
    );
}

#[tokio::test]
async fn a_lattice_without_state_says_so() {
    let server = Server::start().await;
    let connections = server.connections().await;
    let root = KeyPair::generate(KeyKind::Operator).operator_id().unwrap();
    assert!(matches!(State::open(&connections, &root).await, Err(StateError::Missing)));
}

/// Writes a record of the lattice past everybody, as anyone with NATS credentials can.
async fn write_record(server: &Server, incarnation: Incarnation, signer: &KeyPair) {
    let record = LatticeRecord { incarnation };
    let envelope = Envelope::sign(&Key::Lattice, incarnation, 2, &record, signer).unwrap();
    let client = async_nats::connect(server.url()).await.unwrap();
    let bucket = async_nats::jetstream::new(client).get_key_value("MESH_default").await.unwrap();
    bucket.put("lattice", envelope.encode().into()).await.unwrap();
}

#[tokio::test]
async fn only_the_root_or_a_user_begins_a_new_life_of_the_state() {
    let server = Server::start().await;
    let (state, root, _) = lattice(&server).await;
    let root_id = root.operator_id().unwrap();
    state.put_signed(&app("one"), &POINTER, Position::default(), &root).await.unwrap();
    let life = state.incarnation();
    let mut watch = state.watch(pattern::APPS);
    while soon("the snapshot", watch.next()).await != Change::CaughtUp {}
    let user = KeyPair::generate(KeyKind::User);
    for stranger in [&user, &KeyPair::generate(KeyKind::Operator), &KeyPair::generate(KeyKind::Host)] {
        write_record(&server, Incarnation::new(), stranger).await;
        let opened = State::open(state.connections(), &root_id).await;
        assert!(matches!(opened, Err(StateError::Refused(_))), "{opened:?}");
    }
    // Whoever watches keeps what it knows.
    assert!(matches!(soon("the forgery", watch.next()).await, Change::Stale(_)));
    assert_eq!(state.incarnation(), life);
    write_record(&server, life, &root).await;
    while soon("the true record", watch.next()).await != Change::CaughtUp {}
    assert_eq!(state.incarnation(), life);

    let key = Key::Trust(TrustKey::User(user.user_id().unwrap()));
    let statement = TrustStatement::User { id: user.user_id().unwrap(), admin: false };
    state.put_signed(&key, &statement, Position::default(), &root).await.unwrap();
    write_record(&server, life, &user).await;
    assert_eq!(State::open(state.connections(), &root_id).await.unwrap().incarnation(), life);
}

#[tokio::test]
async fn a_value_is_read_back_verified_and_changed_only_from_where_it_stands() {
    let server = Server::start().await;
    let (state, root, trust) = lattice(&server).await;
    let key = app("counter");
    assert_eq!(state.get::<AppPointer>(&key, &trust).await.unwrap(), None);
    let first = state.put_signed(&key, &POINTER, Position::default(), &root).await.unwrap();
    let stored = state.get::<AppPointer>(&key, &trust).await.unwrap().unwrap();
    assert_eq!((stored.value.clone(), stored.generation, stored.signer.clone()), (POINTER, 1, root.public()));
    assert_eq!(Position::from(&stored), first);
    let second = state.put_signed(&key, &POINTER, first, &root).await.unwrap();
    assert_eq!(second.generation, 2);
    for stale in [Position::default(), first] {
        let refused = state.put_signed(&key, &POINTER, stale, &root).await.unwrap_err();
        assert!(matches!(refused, StateError::Conflict { key } if key == "app.counter"));
    }
}

#[tokio::test]
async fn what_somebody_without_authority_wrote_is_refused() {
    let server = Server::start().await;
    let (state, root, trust) = lattice(&server).await;
    let stranger = KeyPair::generate(KeyKind::User);
    let key = app("counter");
    state.put_signed(&key, &POINTER, Position::default(), &stranger).await.unwrap();
    assert!(matches!(state.get::<AppPointer>(&key, &trust).await, Err(StateError::Refused(_))));
    // A good value, moved to another key.
    state.put_signed(&app("good"), &POINTER, Position::default(), &root).await.unwrap();
    let good = state.entry(&app("good")).await.unwrap().unwrap();
    let moved = mesh_transport::Write { key: app("moved"), expected: 0, envelope: good.envelope };
    state.commit(vec![moved]).await.unwrap();
    let Err(StateError::Refused(refusal)) = state.get::<AppPointer>(&app("moved"), &trust).await else {
        panic!("a moved value was taken")
    };
    assert_eq!(refusal.code, RefusalCode::Tampered);
    let (verified, refused) = state.list_verified::<AppPointer>(pattern::APPS, &trust).await.unwrap();
    assert_eq!(verified.iter().map(|(key, _)| key.clone()).collect::<Vec<_>>(), [app("good")]);
    assert_eq!(refused.len(), 2);
}

#[tokio::test]
async fn a_batch_is_written_whole_or_not_at_all() {
    let server = Server::start().await;
    let (state, root, _) = lattice(&server).await;
    let owner = |name: &str| Key::Owner(name.parse().unwrap());
    let record = OwnerRecord { app: Some("shop".parse().unwrap()) };
    let seal = |key: Key, at: Position| state.seal(&key, &record, at, &root).unwrap();
    state.put_signed(&owner("taken"), &record, Position::default(), &root).await.unwrap();
    let wrong = vec![
        seal(owner("one"), Position::default()),
        seal(owner("taken"), Position::default()),
        seal(owner("two"), Position::default()),
    ];
    let refused = state.commit(wrong).await.unwrap_err();
    assert!(matches!(&refused, StateError::Conflict { key } if key == "name.taken"), "{refused}");
    for name in ["one", "two"] {
        assert_eq!(state.entry(&owner(name)).await.unwrap(), None, "{name}");
    }
    let taken = Position::from(&state.entry(&owner("taken")).await.unwrap().unwrap());
    let right = vec![
        seal(owner("one"), Position::default()),
        seal(owner("taken"), taken),
        seal(owner("two"), Position::default()),
    ];
    state.commit(right).await.unwrap();
    assert_eq!(state.list("name.*").await.unwrap().len(), 3);
    let twice = vec![seal(owner("three"), Position::default()), seal(owner("three"), Position::default())];
    assert!(matches!(state.commit(twice).await, Err(StateError::Malformed(_))));
}

#[tokio::test]
async fn a_value_that_is_too_large_is_refused_before_it_is_sent() {
    let server = Server::start().await;
    let (state, root, _) = lattice(&server).await;
    let values: BTreeMap<String, String> = BTreeMap::from([("k".into(), "x".repeat(600 << 10))]);
    let key = Key::Config("large".parse().unwrap());
    let refused = state.put_signed(&key, &values, Position::default(), &root).await.unwrap_err();
    assert!(matches!(refused, StateError::TooLarge { .. }), "{refused}");
}

#[tokio::test]
async fn a_watch_shows_what_is_there_then_what_changes() {
    let server = Server::start().await;
    let (state, root, _) = lattice(&server).await;
    let position = state.put_signed(&app("old"), &POINTER, Position::default(), &root).await.unwrap();
    let mut watch = state.watch(pattern::APPS);
    let mut next = async || soon("a change", watch.next()).await;
    let Change::Put(entry) = next().await else { panic!("not a value") };
    assert_eq!((entry.key, entry.revision), (app("old"), position.revision));
    assert_eq!(next().await, Change::CaughtUp);
    state.put_signed(&app("new"), &POINTER, Position::default(), &root).await.unwrap();
    let Change::Put(entry) = next().await else { panic!("not a value") };
    assert_eq!(entry.key, app("new"));
    let mut empty = state.watch("pin.*");
    assert_eq!(soon("nothing to show", empty.next()).await, Change::CaughtUp);
}

#[tokio::test]
async fn a_watch_of_many_patterns_is_one_watch() {
    let server = Server::start().await;
    let (state, root, mut trust) = lattice(&server).await;
    let host = KeyPair::generate(KeyKind::Host).host_id().unwrap();
    let key = Key::Trust(TrustKey::Host(host.clone()));
    let statement = TrustStatement::Host { id: host.clone(), labels: None };
    state.put_signed(&key, &statement, Position::default(), &root).await.unwrap();
    state.put_signed(&app("a"), &POINTER, Position::default(), &root).await.unwrap();
    let mut watch = state.watch_all(&[pattern::TRUST, "leader", "app.a"]);
    let mut seen = Vec::new();
    loop {
        match soon("a change", watch.next()).await {
            Change::Put(entry) => {
                if matches!(entry.key, Key::Trust(_)) {
                    trust.apply(&entry.key, &entry.envelope).unwrap();
                }
                seen.push(entry.key);
            }
            Change::CaughtUp => break,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(seen, [key, app("a")]);
    assert!(trust.is_host(&host));
}

#[tokio::test]
async fn a_lease_is_renewed_and_given_back() {
    let server = Server::start().await;
    let (state, ..) = lattice(&server).await;
    let host = Arc::new(KeyPair::generate(KeyKind::Host));
    let leases = Leases::new(&state);
    let (drain, draining) = watch::channel(false);
    let cancel = CancellationToken::new();
    let boot = BootId::new();
    let renewing = leases.renew(LeaseConfig::new(Arc::clone(&host), boot), draining, cancel.clone());
    let watching = async {
        let mut watch = leases.watch();
        assert_eq!(watch.next().await, LeaseEvent::Gap, "a watch that begins has seen nothing before");
        let mut revisions = Vec::new();
        while revisions.len() < 3 {
            let LeaseEvent::Seen(sighting) = watch.next().await else { panic!("not a lease") };
            assert_eq!((Some(sighting.host), sighting.boot), (host.host_id(), boot));
            revisions.push(sighting.revision);
        }
        assert!(revisions.is_sorted());
        drain.send_replace(true);
        loop {
            match watch.next().await {
                LeaseEvent::Seen(sighting) if sighting.draining => break,
                LeaseEvent::Seen(_) => {}
                other => panic!("{other:?}"),
            }
        }
        cancel.cancel();
        loop {
            match watch.next().await {
                LeaseEvent::Released(released) => break assert_eq!(Some(released), host.host_id()),
                LeaseEvent::Seen(_) => {}
                other => panic!("{other:?}"),
            }
        }
    };
    let both = async { tokio::join!(renewing, watching) };
    let (renewed, ()) = Box::pin(soon("renewals", both)).await;
    renewed.unwrap();
}

#[tokio::test]
async fn a_second_process_with_the_same_key_stops_and_the_first_goes_on() {
    let server = Server::start().await;
    let (state, ..) = lattice(&server).await;
    let host = Arc::new(KeyPair::generate(KeyKind::Host));
    let leases = Leases::new(&state);
    let (_drain, draining) = watch::channel(false);
    let cancel = CancellationToken::new();
    let first = LeaseConfig::new(Arc::clone(&host), BootId::new());
    let first_boot = first.boot;
    let renewing = leases.renew(first, draining.clone(), cancel.clone());
    let second = async {
        let mut watch = leases.watch();
        while !matches!(watch.next().await, LeaseEvent::Seen(_)) {}
        let config = LeaseConfig::new(Arc::clone(&host), BootId::new());
        let stopped = leases.renew(config, draining.clone(), CancellationToken::new()).await;
        assert!(matches!(stopped, Err(LeaseError::IdentityInUse { other }) if other == first_boot));
        cancel.cancel();
    };
    let both = async { tokio::join!(renewing, second) };
    let (first, ()) = Box::pin(soon("the second to stop", both)).await;
    first.unwrap();
}

#[tokio::test]
async fn a_boot_whose_lease_was_taken_over_finds_out() {
    let server = Server::start().await;
    let (state, ..) = lattice(&server).await;
    let host = Arc::new(KeyPair::generate(KeyKind::Host));
    let leases = Leases::new(&state);
    let (_drain, draining) = watch::channel(false);
    let old =
        leases.renew(LeaseConfig::new(Arc::clone(&host), BootId::new()), draining.clone(), CancellationToken::new());
    let mut old = Box::pin(old);
    let mut watch = leases.watch();
    soon("the first lease", async {
        loop {
            tokio::select! {
                _ = &mut old => panic!("stopped"),
                event = watch.next() => if matches!(event, LeaseEvent::Seen(_)) { break },
            }
        }
    })
    .await;
    // The old one stands still, as a stopped process does; the new one takes over; the old one wakes up.
    let cancel = CancellationToken::new();
    let config = LeaseConfig::new(Arc::clone(&host), BootId::new());
    let boot = config.boot;
    let mut new = Box::pin(leases.renew(config, draining.clone(), cancel.clone()));
    soon("the second lease", async {
        loop {
            tokio::select! {
                _ = &mut new => panic!("stopped"),
                event = watch.next() => match event {
                    LeaseEvent::Seen(sighting) if sighting.boot == boot => break,
                    _ => {}
                },
            }
        }
    })
    .await;
    let stopped = soon("the old one to find out", async {
        tokio::select! {
            stopped = &mut old => stopped,
            _ = &mut new => panic!("the new one stopped"),
        }
    })
    .await;
    assert!(matches!(stopped, Err(LeaseError::IdentityInUse { other }) if other == boot));
}

#[tokio::test]
async fn leadership_passes_on_with_a_higher_term() {
    let server = Server::start().await;
    let (state, root, _) = lattice(&server).await;
    let root = root.operator_id().unwrap();
    let enrolled = Enrolled::default();
    let mut tasks = tokio::task::JoinSet::new();
    let mut candidates = Vec::new();
    for _ in 0..3 {
        let key = Arc::new(KeyPair::generate(KeyKind::Host));
        let id = key.host_id().unwrap();
        enrolled.add(&id);
        // Each has its own connections, as processes do.
        let state = State::open(&server.connections().await, &root).await.unwrap();
        let (candidate, leadership) = Candidate::new(&state, key, BootId::new(), Arc::new(enrolled.clone())).unwrap();
        let cancel = CancellationToken::new();
        let abort = tasks.spawn(candidate.run(cancel.clone()));
        candidates.push((id, leadership, cancel, abort));
    }
    let leading = |candidates: &[(mesh_lattice::HostId, watch::Receiver<mesh_transport::Leadership>, _, _)]| {
        let leading: Vec<_> = candidates.iter().enumerate().filter(|(_, c)| c.1.borrow().leading).collect();
        assert!(leading.len() <= 1, "two lead at once");
        leading.first().map(|(at, c)| (*at, c.1.borrow().term))
    };
    let mut found = None;
    eventually("one leads", || {
        found = leading(&candidates);
        std::future::ready(found.is_some())
    })
    .await;
    let (first, term) = found.unwrap();
    assert_eq!(term, 1);
    let known = candidates[first].0.clone();
    eventually("all know", || {
        std::future::ready(candidates.iter().all(|c| c.1.borrow().leader.as_ref() == Some(&known)))
    })
    .await;
    // The first is killed: nothing is given up, it just stops.
    let (_, _, _, abort) = candidates.remove(first);
    abort.abort();
    let started = std::time::Instant::now();
    eventually("another leads", || {
        found = leading(&candidates);
        std::future::ready(found.is_some())
    })
    .await;
    println!("a successor led after {:?}", started.elapsed());
    assert!(started.elapsed() < Duration::from_secs(12), "three times the promised four seconds");
    let (second, second_term) = found.unwrap();
    assert!(second_term > term);
    // The second gives up: the third need not wait.
    let (_, _, cancel, _) = candidates.remove(second);
    cancel.cancel();
    let started = std::time::Instant::now();
    eventually("the last leads", || {
        found = leading(&candidates);
        std::future::ready(found.is_some())
    })
    .await;
    assert!(started.elapsed() < Duration::from_secs(2), "leadership that was given up is taken at once");
    assert!(found.unwrap().1 > second_term);
    drop(state);
}

#[tokio::test]
async fn an_artifact_is_stored_once_and_hashed_when_it_is_read() {
    let server = Server::start().await;
    let (state, ..) = lattice(&server).await;
    let artifacts = Artifacts::new(state.connections());
    let bytes = bytes_of(3 << 20);
    let digest = artifacts.put(bytes.clone()).await.unwrap();
    assert_eq!(digest, Digest::of(&bytes));
    assert_eq!(artifacts.put(bytes.clone()).await.unwrap(), digest);
    assert_eq!(artifacts.list().await.unwrap(), [digest]);
    assert!(artifacts.get(&digest).await.unwrap().unwrap() == bytes);
    let absent = Digest::of(b"absent");
    assert_eq!((artifacts.get(&absent).await.unwrap(), artifacts.has(&absent).await.unwrap()), (None, false));
    // Somebody with the lattice's credentials puts something else in its place.
    let client = async_nats::connect(server.url()).await.unwrap();
    let store = async_nats::jetstream::new(client).get_object_store("MESH_default_ART").await.unwrap();
    store.put(digest.to_string().as_str(), &mut &b"something else"[..]).await.unwrap();
    let refused = artifacts.get(&digest).await.unwrap_err();
    assert!(matches!(refused, mesh_transport::ArtifactError::Corrupt(found) if found == digest));
    artifacts.delete(&digest).await.unwrap();
    assert_eq!(artifacts.get(&digest).await.unwrap(), None);
}

#[tokio::test]
async fn a_control_request_is_answered_by_one_host_and_asked_again_on_silence() {
    let server = Server::start().await;
    let connections = server.connections().await;
    let ask = |value: u32, limit| {
        let connections = connections.clone();
        async move { control::request::<u32, u32>(&connections, "status", &value, limit).await }
    };
    let nobody = ask(1, Duration::from_millis(300)).await.unwrap_err();
    assert!(matches!(nobody, RequestError::NoHost), "{nobody}");
    let mut requests = control::serve(&connections).await.unwrap();
    let answering = async {
        let request = requests.next().await.unwrap();
        assert_eq!(request.operation(), "status");
        let value = request.decode::<u32>().unwrap();
        request.answer(Ok(value + 1)).await.unwrap();
        // The next host dies with the request in its hands.
        drop(requests.next().await.unwrap());
        let request = requests.next().await.unwrap();
        assert!(request.decode::<String>().is_err_and(|error| error.code == ControlCode::Invalid));
        let no = ControlError { code: ControlCode::Conflict, message: "no".into(), hint: String::new() };
        request.answer::<u32>(Err(no)).await.unwrap();
    };
    let asking = async {
        assert_eq!(ask(1, Duration::from_secs(5)).await.unwrap(), 2);
        ask(5, Duration::from_secs(10)).await.unwrap_err()
    };
    let ((), refused) = soon("answers", async { tokio::join!(answering, asking) }).await;
    assert!(matches!(refused, RequestError::Refused(error) if error.code == ControlCode::Conflict));
    requests.stop().await;
    assert!(soon("the end", requests.next()).await.is_none());
}

#[tokio::test]
async fn what_is_wrong_with_the_server_is_told_apart() {
    let server = Server::with("authorization { user: a, password: b }").await;
    let refused = Connections::connect(server.config()).await.unwrap_err();
    assert!(matches!(refused, ConnectError::Refused { .. }), "{refused}");
    let server = Server::with("# no jetstream here").await;
    let without = Connections::connect(server.config()).await.unwrap_err();
    assert!(matches!(without, ConnectError::NoJetStream { .. }), "{without}");
    let mut config = server.config();
    drop(server);
    let gone = Connections::connect(config.clone()).await.unwrap_err();
    assert!(matches!(gone, ConnectError::Unreachable { .. }), "{gone}");
    config.creds = Some("/does/not/exist".into());
    assert!(matches!(Connections::open(config.clone()).await, Err(ConnectError::Configuration { .. })));
    config.creds = None;
    config.server = "not an address at all".into();
    assert!(matches!(Connections::connect(config).await, Err(ConnectError::Configuration { .. })));
}

#[tokio::test]
async fn one_attempt_connects_to_a_fit_server() {
    let server = Server::start().await;
    let connections = Connections::connect(server.config()).await.unwrap();
    assert!(connections.control_up() && connections.data_up());
    assert_eq!(connections.too_old(), None, "{:?}", connections.server_version());
    assert_eq!(connections.max_payload(), 1 << 20);
    assert!(connections.round_trip().await.unwrap() < Duration::from_secs(1));
}

#[test]
fn the_record_of_the_lattice_is_signed_over_its_own_incarnation() {
    let root = KeyPair::generate(KeyKind::Operator);
    let incarnation = mesh_lattice::Incarnation::new();
    let record = mesh_lattice::stored::LatticeRecord { incarnation };
    let envelope = Envelope::sign(&Key::Lattice, incarnation, 1, &record, &root).unwrap();
    let name: Name = "x".parse().unwrap();
    assert!(Envelope::decode(&envelope.encode()).unwrap().check_signature().is_ok(), "{name}");
}

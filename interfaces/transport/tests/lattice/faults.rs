//! What holds when the server dies, comes back, or comes back empty.

use std::time::Duration;

use mesh_claims::keys::{KeyKind, KeyPair};
use mesh_lattice::{
    Code, Deadline,
    key::{Key, pattern},
    stored::AppPointer,
};
use mesh_transport::{Change, Connections, Position, State, StateConfig, StateError};
use tokio::time::Instant;

use crate::fixture::{Enrolled, Host, Server, begin, call, echo, end, eventually, gated, result, soon};

fn app(name: &str) -> Key {
    Key::App(name.parse().unwrap())
}

const POINTER: AppPointer = AppPointer { revision: 7, deleted: false };

#[tokio::test]
async fn a_host_waits_for_its_server_and_comes_up_with_it() {
    let mut server = Server::start().await;
    server.kill();
    let connections = Connections::open(server.config()).await.unwrap();
    assert!(!connections.control_up());
    let root = KeyPair::generate(KeyKind::Operator).operator_id().unwrap();
    assert!(matches!(State::open(&connections, &root).await, Err(StateError::Disconnected(_))));
    server.run().await;
    connections.up(Duration::from_secs(10)).await.unwrap();
    assert!(matches!(State::open(&connections, &root).await, Err(StateError::Missing)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_wait_while_the_server_is_away_and_those_in_flight_end_once_it_is_back() {
    let mut server = Server::start().await;
    let enrolled = Enrolled::default();
    let (serve, gate) = gated();
    let one = Host::start(&server, &enrolled, echo()).await;
    let other = Host::start(&server, &enrolled, serve).await;
    one.remote.call(&other.id, call("go", "")).await.unwrap();
    let in_flight = begin(&one, &other, call("wait", ""));
    eventually("it runs", || async { other.remote.stats().open_in == 1 }).await;
    server.kill();
    eventually("the hosts notice", || async { !one.connections.data_up() && !other.connections.data_up() }).await;
    // Its reply is lost: nobody is connected.
    gate.notify_waiters();
    eventually("it ended", || async { other.remote.stats().open_in == 0 }).await;
    let mut short = call("go", "");
    short.deadline = Deadline::after(Duration::from_millis(200));
    let refused = one.remote.call(&other.id, short).await.unwrap_err();
    assert_eq!(refused.code, Code::Unavailable, "it was never sent");
    let patient = begin(&one, &other, call("go", ""));
    server.run().await;
    let back = Instant::now();
    assert_eq!(result(&end(patient).await.unwrap()), "done");
    println!("a call that waited was answered {:?} after the server was back", back.elapsed());
    assert!(back.elapsed() < Duration::from_secs(6), "three times the promised two seconds");
    assert_eq!(result(&end(in_flight).await.unwrap()), "done");
    println!("the reply that was lost came {:?} after the server was back", back.elapsed());
    assert!(other.remote.stats().repeated >= 1 && one.remote.stats().resent >= 1);
    assert_eq!((other.remote.stats().taken, one.remote.stats().open_out), (3, 0));
}

#[tokio::test]
async fn a_watch_goes_on_after_the_server_was_killed() {
    let mut server = Server::start().await;
    let root = KeyPair::generate(KeyKind::Operator);
    let state = State::create(&server.connections().await, StateConfig::default(), &root).await.unwrap();
    state.put_signed(&app("one"), &POINTER, Position::default(), &root).await.unwrap();
    let mut watch = state.watch(pattern::APPS);
    while soon("the snapshot", watch.next()).await != Change::CaughtUp {}
    for turn in 0..3 {
        server.kill();
        server.run().await;
        let name = format!("after{turn}");
        eventually("it can be written", || async {
            state.put_signed(&app(&name), &POINTER, Position::default(), &root).await.is_ok()
        })
        .await;
        loop {
            match soon("the change", watch.next()).await {
                Change::Put(entry) => break assert_eq!(entry.key, app(&name), "what was shown is not shown again"),
                Change::CaughtUp | Change::Stale(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }
}

#[tokio::test]
async fn a_state_that_was_deleted_is_stale_and_one_that_was_made_anew_is_told() {
    let server = Server::start().await;
    let root = KeyPair::generate(KeyKind::Operator);
    let connections = server.connections().await;
    let state = State::create(&connections, StateConfig::default(), &root).await.unwrap();
    let before = state.incarnation();
    for name in ["a", "b", "c", "d"] {
        state.put_signed(&app(name), &POINTER, Position::default(), &root).await.unwrap();
    }
    let mut watch = state.watch(pattern::APPS);
    while soon("the snapshot", watch.next()).await != Change::CaughtUp {}
    let client = async_nats::connect(server.url()).await.unwrap();
    let js = async_nats::jetstream::new(client);
    js.delete_stream("KV_MESH_default").await.unwrap();
    let Change::Stale(_) = soon("the loss is noticed", watch.next()).await else { panic!("not stale") };
    let again = State::create(&connections, StateConfig::default(), &root).await.unwrap();
    assert_ne!(again.incarnation(), before);
    again.put_signed(&app("e"), &POINTER, Position::default(), &root).await.unwrap();
    let mut changes = Vec::new();
    loop {
        let change = soon("the new state", watch.next()).await;
        let last = change == Change::CaughtUp;
        changes.push(change);
        if last && changes.len() > 1 {
            break;
        }
    }
    let resync = changes.iter().position(|change| *change == Change::Resync(again.incarnation())).unwrap();
    let put = changes.iter().position(|change| matches!(change, Change::Put(entry) if entry.key == app("e")));
    assert!(put.unwrap() > resync, "{changes:?}");
    assert_eq!(state.incarnation(), again.incarnation());
    assert!(!changes.iter().any(|change| matches!(change, Change::Deleted(_))), "nothing was deleted by anybody");
}

#[tokio::test]
async fn a_state_that_was_replaced_while_nobody_looked_is_told_too() {
    let mut server = Server::start().await;
    let root = KeyPair::generate(KeyKind::Operator);
    let state = State::create(&server.connections().await, StateConfig::default(), &root).await.unwrap();
    for name in ["a", "b", "c", "d"] {
        state.put_signed(&app(name), &POINTER, Position::default(), &root).await.unwrap();
    }
    let mut watch = state.watch(pattern::APPS);
    while soon("the snapshot", watch.next()).await != Change::CaughtUp {}
    server.kill();
    let port = server.port;
    let replaced = Server::start_on(port).await;
    let meanwhile = Connections::connect(replaced.config()).await.unwrap();
    let fresh = State::create(&meanwhile, StateConfig::default(), &root).await.unwrap();
    // Fewer values than before: a watch that resumed where it was would stay silent for ever.
    fresh.put_signed(&app("only"), &POINTER, Position::default(), &root).await.unwrap();
    let mut resynced = false;
    loop {
        match soon("the new state", watch.next()).await {
            Change::Resync(incarnation) => {
                assert_eq!(incarnation, fresh.incarnation());
                resynced = true;
            }
            Change::Put(entry) => break assert_eq!(entry.key, app("only")),
            Change::Stale(_) | Change::CaughtUp => {}
            other => panic!("{other:?}"),
        }
    }
    assert!(resynced);
}

//! The stream of events: what it keeps, and whose word counts in it.

use mesh_claims::{
    Envelope,
    keys::{KeyKind, KeyPair},
    trust::Trust,
};
use mesh_lattice::{
    Incarnation,
    key::{self, Key, TrustKey},
    stored::{Event, TrustStatement},
    subject,
};
use mesh_transport::{EventLog, State, StateConfig, events::KEPT};

use crate::fixture::{Server, eventually, settle, soon};

fn event(host: &KeyPair, kind: &str, subject: &str, count: u64) -> Event {
    let (host, message) = (host.host_id().unwrap(), "it says so".to_owned());
    Event { at: 1, first: 1, count, host, kind: kind.to_owned(), subject: subject.to_owned(), message }
}

/// A root that trusts this host.
fn trusting(root: &KeyPair, host: &KeyPair, incarnation: Incarnation) -> Trust {
    let mut trust = Trust::of_incarnation(root.operator_id().unwrap(), incarnation);
    let id = host.host_id().unwrap();
    let key = Key::Trust(TrustKey::Host(id.clone()));
    let statement = TrustStatement::Host { id, labels: None };
    trust.apply(&key, &Envelope::sign(&key, incarnation, 1, &statement, root).unwrap()).unwrap();
    trust
}

#[tokio::test]
async fn each_event_has_one_place_the_last_telling_counts_and_there_are_so_many_places() {
    let server = Server::start().await;
    let (root, host) = (KeyPair::generate(KeyKind::Operator), KeyPair::generate(KeyKind::Host));
    let connections = server.connections().await;
    let state = State::create(&connections, StateConfig::default(), &root).await.unwrap();
    let (life, log) = (state.incarnation(), EventLog::new(&connections));
    let trust = trusting(&root, &host, life);
    assert!(log.read(life, &trust).await.unwrap().is_empty());
    for count in 1..=50 {
        log.write(&event(&host, "actor_broke", "counter", count), life, &host).await.unwrap();
    }
    eventually("the last telling is kept", || async {
        let kept = log.read(life, &trust).await.unwrap();
        assert!(kept.len() <= 1, "{kept:?}");
        kept == [event(&host, "actor_broke", "counter", 50)]
    })
    .await;
    for place in 0..KEPT + 50 {
        log.write(&event(&host, "actor_ready", &format!("actor-{place}"), 1), life, &host).await.unwrap();
    }
    eventually("the last is kept and the first are not", || async {
        let kept = log.read(life, &trust).await.unwrap();
        assert!(kept.len() <= KEPT, "{}", kept.len());
        kept.last().is_some_and(|last| last.subject == format!("actor-{}", KEPT + 49))
            && kept.iter().all(|event| event.subject != "counter")
    })
    .await;
}

#[tokio::test]
async fn what_no_host_signed_for_its_place_in_this_life_did_not_happen() {
    let server = Server::start().await;
    let key = KeyPair::generate;
    let (root, host, stranger) = (key(KeyKind::Operator), key(KeyKind::Host), key(KeyKind::Host));
    let connections = server.connections().await;
    let state = State::create(&connections, StateConfig::default(), &root).await.unwrap();
    let (life, log) = (state.incarnation(), EventLog::new(&connections));
    let trust = trusting(&root, &host, life);
    let mut coming = log.follow().await.unwrap();
    connections.round_trip().await.unwrap();
    let true_one = event(&host, "actor_ready", "counter", 1);
    log.write(&event(&host, "host_lost", "a", 1), life, &stranger).await.unwrap();
    log.write(&event(&host, "host_lost", "b", 1), Incarnation::new(), &host).await.unwrap();
    let client = async_nats::connect(server.url()).await.unwrap();
    let place = |of: &Event| subject::event(connections.lattice(), &of.place());
    let lie = event(&host, "host_lost", "c", 1);
    let moved = Envelope::sign(&key::event(&true_one.place()), life, 1, &lie, &host).unwrap();
    let mut changed = Envelope::sign(&key::event(&lie.place()), life, 1, &lie, &host).unwrap();
    changed.generation += 1;
    for bytes in [moved.encode(), changed.encode(), b"nothing".to_vec()] {
        client.publish(place(&lie), bytes.into()).await.unwrap();
    }
    settle(&client).await;
    log.write(&true_one, life, &host).await.unwrap();
    assert_eq!(soon("the true one comes", coming.next(life, Some(&trust))).await, Some(true_one.clone()));
    eventually("it is kept", || async { log.read(life, &trust).await.unwrap() == [true_one.clone()] }).await;
}

//! `wasi:keyvalue` served by an actor to actors that know nothing of that: its buckets are resources of its instances.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use mesh_lattice::{
    CallError, Reply, Serve,
    wit::{
        self, Outcome,
        keyvalue::{DRAFT2, Error, KeyResponse2, operation},
    },
};
use mesh_runtime::{Actor, Engine};
use serde::Serialize;
use serde_bytes::ByteBuf;

use crate::{
    guests::{config, engine, eventually, guest, text},
    peer::{Asked, Peer},
};

fn ok<T: Serialize>(value: T) -> Result<Reply, CallError> {
    Ok(Reply::wire(wit::to_wire(&Outcome::<T, Error>::Ok(value)).unwrap()))
}

/// A provider that serves the later draft from memory, and that nobody ever asks to open a bucket.
fn provider() -> Arc<Peer> {
    let values = Mutex::new(BTreeMap::<String, Vec<u8>>::new());
    Peer::answering(move |asked: &Asked| {
        let mut values = values.lock().unwrap();
        assert!(asked.interface.ends_with(DRAFT2), "{asked:?}");
        let key = || wit::from_wire::<(ByteBuf, String)>(&asked.params).unwrap().1;
        match asked.operation.as_str() {
            operation::GET => ok(values.get(&key()).cloned().map(ByteBuf::from)),
            operation::EXISTS => ok(values.contains_key(&key())),
            operation::DELETE => {
                values.remove(&key());
                ok(())
            }
            operation::SET => {
                let (_, key, value) = wit::from_wire::<(ByteBuf, String, ByteBuf)>(&asked.params).unwrap();
                values.insert(key, value.into_vec());
                ok(())
            }
            operation::LIST_KEYS => ok(KeyResponse2 { keys: values.keys().cloned().collect(), cursor: None }),
            operation::INCREMENT => {
                let (_, key, delta) = wit::from_wire::<(ByteBuf, String, i64)>(&asked.params).unwrap();
                let text = values.get(&key).map(|value| String::from_utf8(value.clone()).unwrap());
                let sum = text.map_or(0, |text| text.parse().unwrap()) + delta;
                values.insert(key, sum.to_string().into_bytes());
                ok(sum)
            }
            other => panic!("nobody asks for {other}"),
        }
    })
}

/// The keeper, and a guest that calls it.
async fn pair(engine: &Engine, name: &str) -> (Arc<Actor>, Arc<Actor>) {
    let keeper = engine.actor(&guest("keeper"), config("keeper"), provider()).await.unwrap();
    let serving = Arc::clone(&keeper) as Arc<dyn Serve>;
    (engine.actor(&guest(name), config(name), serving).await.unwrap(), keeper)
}

async fn nothing_is_held(keeper: &Actor) {
    eventually("nothing is held", || (keeper.stats().handles, keeper.stats().instances) == (0, 0)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_actor_serves_the_first_draft_as_a_provider_does() {
    let engine = engine(true);
    let (visits, keeper) = pair(&engine, "visits").await;
    for count in 1..=20 {
        assert_eq!(text(&visits, "/").await, format!("hello {count}"));
        nothing_is_held(&keeper).await;
    }
    assert_eq!(keeper.stats().calls, 1 + 20 * 3, "one that was refused; then each opens, counts and lets go");
    assert_eq!(keeper.stats().errors, 1);
    assert_eq!(text(&visits, "/batch").await, "[Some((\"a\", [1])), None]");
    assert_eq!(text(&visits, "/all").await, "true [\"k\"] None []");
    nothing_is_held(&keeper).await;
    assert_eq!(keeper.stats().errors, 1);
    eventually("what was made ahead is gone too", || engine.memory_in_use() == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_actor_serves_the_later_draft_with_its_conditions() {
    let engine = engine(true);
    let (later, keeper) = pair(&engine, "later").await;
    for count in 1..=3 {
        assert_eq!(text(&later, "/").await, format!("Ok({})", -3 * count));
    }
    assert_eq!(text(&later, "/swap").await, "x after 2");
    assert_eq!(text(&later, "/swap").await, "xx after 2");
    assert_eq!(text(&later, "/list").await, "false [Some((\"a\", [1])), None] [\"a\", \"word\"] None");
    nothing_is_held(&keeper).await;
    assert_eq!(keeper.stats().errors, 1, "the first operation of all was refused");
}

#[tokio::test(flavor = "multi_thread")]
async fn its_rules_are_errors_of_the_interface_and_each_bucket_is_a_resource() {
    let engine = engine(true);
    let (visits, keeper) = pair(&engine, "visits").await;
    assert_eq!(text(&visits, "/rules").await, "Err(Error::NoSuchStore) Err(Error::AccessDenied) 1 2");
    nothing_is_held(&keeper).await;
    assert_eq!(text(&visits, "/forgets").await, "forgot");
    nothing_is_held(&keeper).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_whose_instance_is_gone_is_opened_anew() {
    let engine = engine(true);
    let (visits, keeper) = pair(&engine, "visits").await;
    assert_eq!(text(&visits, "/again").await, format!("1 true 2 Some({:?})", b"1"));
    assert_eq!(text(&visits, "/again").await, format!("3 true 4 Some({:?})", b"1"));
    nothing_is_held(&keeper).await;
    assert_eq!(keeper.stats().errors, 1 + 2 * 2, "the first operation; each time the trap, and what came after it");
}

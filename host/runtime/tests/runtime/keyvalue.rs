//! `wasi:keyvalue` as calls along links, from an actor built with the published crate.

use std::{sync::Arc, time::Duration};

use mesh_lattice::{
    CallError, Code, Deadline, Reply, Serve, TraceContext,
    wit::{
        self, Outcome,
        keyvalue::{Error, KeyResponse, Values, operation},
    },
};
use mesh_runtime::Actor;
use serde::Serialize;
use serde_bytes::ByteBuf;

use crate::{
    guests::{config, engine, get, guest, read, text},
    peer::{Asked, Peer},
};

fn ok<T: Serialize>(value: T) -> Result<Reply, CallError> {
    Ok(Reply::wire(wit::to_wire(&Outcome::<T, Error>::Ok(value)).unwrap()))
}

async fn visits(peer: Arc<Peer>) -> Arc<Actor> {
    engine(true).actor(&guest("visits"), config("visits"), peer).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_increment_is_a_call_of_its_actor_with_the_time_and_trace_that_it_has() {
    let peer = Peer::answering(|_| ok(7u64));
    let actor = visits(peer.clone()).await;
    let mut invocation = get("/");
    invocation.deadline = Deadline::after(Duration::from_secs(2));
    let trace = TraceContext {
        traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into(),
        tracestate: None,
    };
    invocation.trace = Some(trace.clone());
    let (status, body) = read(actor.serve(invocation).await.unwrap()).await;
    assert_eq!((status, body.as_ref()), (200, b"hello 7".as_slice()));
    let asked = peer.asked();
    let [Asked { caller, interface, operation, link, params, remaining, trace: traced, .. }] = &asked[..] else {
        panic!("{asked:?}")
    };
    assert_eq!((caller.as_str(), link.as_str()), ("visits", "default"));
    assert_eq!((interface.as_str(), operation.as_str()), ("wasi:keyvalue/atomics@0.2.0-draft", operation::INCREMENT));
    assert_eq!(
        wit::from_wire::<(ByteBuf, String, u64)>(params).unwrap(),
        (ByteBuf::from("counts"), "visits".into(), 1)
    );
    assert!(*remaining <= Duration::from_secs(2) && *remaining > Duration::from_secs(1), "{remaining:?}");
    assert_eq!(traced.as_ref(), Some(&trace));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_fails_is_an_error_that_the_guest_can_read() {
    for (answer, text_of_it) in [
        (Err(CallError::new(Code::NotLinked, "there is no link")), "Error::Other(\"not_linked: there is no link\")"),
        (Err(CallError::new(Code::Denied, "no")), "Error::AccessDenied"),
        (Ok(Outcome::<u64, Error>::Err(Error::NoSuchStore)), "Error::NoSuchStore"),
        (Ok(Outcome::Err(Error::Other("full".into()))), "Error::Other(\"full\")"),
    ] {
        let peer = Peer::answering(move |_| answer.clone().map(|result| Reply::wire(wit::to_wire(&result).unwrap())));
        assert_eq!(text(&*visits(peer).await, "/").await, text_of_it);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nonsense_from_a_provider_is_an_error_too() {
    let actor = visits(Peer::answering(|_| Ok(Reply::wire(b"\xc1".as_slice())))).await;
    assert!(text(&actor, "/").await.starts_with("Error::Other(\"bad_params"));
}

/// Each link has its own value, so what the guest reads tells which link it read along.
fn by_link() -> Arc<Peer> {
    Peer::answering(|asked| ok(Some(ByteBuf::from(asked.link.clone()))))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_chooses_its_link_and_the_next_invocation_starts_anew() {
    let peer = by_link();
    let actor = visits(peer.clone()).await;
    let bytes = |text: &str| format!("Some({:?})", text.as_bytes());
    let expected = format!("{} {} {}", bytes("default"), bytes("cache"), bytes("default"));
    assert_eq!(text(&actor, "/links").await, expected);
    assert_eq!(text(&actor, "/links").await, expected, "a choice outlived its invocation");
    let links: Vec<_> = peer.asked().into_iter().map(|asked| asked.link).collect();
    assert_eq!(links, ["default", "cache", "default", "default", "cache", "default"]);
    assert!(peer.asked().iter().all(|asked| asked.operation == operation::GET));
}

#[tokio::test(flavor = "multi_thread")]
async fn many_at_once_are_one_call() {
    let peer = Peer::answering(|asked| match asked.operation.as_str() {
        operation::GET_MANY => ok::<Values>(vec![Some(("a".into(), ByteBuf::from([1]))), None]),
        _ => ok(()),
    });
    let actor = visits(peer.clone()).await;
    assert_eq!(text(&actor, "/batch").await, "[Some((\"a\", [1])), None]");
    let operations: Vec<_> = peer.asked().into_iter().map(|asked| (asked.interface, asked.operation)).collect();
    let batch = |operation: &str| ("wasi:keyvalue/batch@0.2.0-draft".to_owned(), operation.to_owned());
    let expected = [operation::SET_MANY, operation::GET_MANY, operation::DELETE_MANY].map(batch);
    assert_eq!(operations, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_function_of_a_store_arrives_with_its_parameters() {
    let peer = Peer::answering(|asked| match asked.operation.as_str() {
        operation::EXISTS => ok(true),
        operation::LIST_KEYS => ok(KeyResponse { keys: vec!["k".into()], cursor: Some(8) }),
        _ => ok(()),
    });
    let actor = visits(peer.clone()).await;
    assert_eq!(text(&actor, "/all").await, "true [\"k\"] Some(8) []");
    let asked = peer.asked();
    let operations: Vec<_> = asked.iter().map(|asked| asked.operation.as_str()).collect();
    assert_eq!(operations, [operation::SET, operation::EXISTS, operation::LIST_KEYS, operation::DELETE]);
    let (bucket, key, value) = wit::from_wire::<(ByteBuf, String, ByteBuf)>(&asked[0].params).unwrap();
    assert_eq!((bucket.as_slice(), key.as_str(), value.len()), (b"all".as_slice(), "k", 100_000));
    let (_, cursor) = wit::from_wire::<(ByteBuf, Option<u64>)>(&asked[2].params).unwrap();
    assert_eq!(cursor, Some(7));
}

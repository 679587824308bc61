//! `wasmcloud:messaging` in both versions: what guests send, as calls along links.

use std::sync::Arc;

use mesh_lattice::{
    CallError, Code, Reply, Serve,
    wit::{
        self, Outcome,
        messaging::{CONSUMER, Message, MessageParams, PRODUCER, REQUEST_REPLY, RequestManyParams, RequestParams},
    },
};
use mesh_runtime::Actor;
use serde::Serialize;
use serde_bytes::ByteBuf;

use crate::{
    guests::{config, engine, get, guest, text},
    peer::Peer,
};

fn ok<T: Serialize>(value: T) -> Result<Reply, CallError> {
    Ok(Reply::wire(wit::to_wire(&Outcome::<T, String>::Ok(value)).unwrap()))
}

async fn actor(name: &str, peer: &Arc<Peer>) -> Arc<Actor> {
    engine(true).actor(&guest(name), config(name), Arc::clone(peer) as Arc<dyn Serve>).await.unwrap()
}

fn message(subject: &str, body: &str) -> Message {
    Message { subject: subject.into(), body: ByteBuf::from(body), ..Message::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_of_either_version_publishes_a_message() {
    let peer = Peer::answering(|_| ok(()));
    assert_eq!(text(&*actor("courier", &peer).await, "/publish/orders/tea").await, "Ok(())");
    assert_eq!(text(&*actor("modern", &peer).await, "/publish/orders/tea").await, "Ok(())");
    let asked = peer.asked();
    let said: Vec<_> = asked.iter().map(|asked| (asked.interface.as_str(), asked.operation.as_str())).collect();
    assert_eq!(said, [(CONSUMER, "publish"), (PRODUCER, "send")]);
    let sent = |at: usize| wit::from_wire::<MessageParams>(&asked[at].params).unwrap().0;
    assert_eq!(sent(0), message("orders", "tea"));
    let mut modern = message("orders", "tea");
    modern.content_type = Some("text/plain".into());
    modern.metadata = vec![("shop".into(), "7".into())];
    assert_eq!(sent(1), modern);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_of_either_version_asks_and_reads_the_answer() {
    let peer = Peer::answering(|asked| match asked.interface.as_str() {
        CONSUMER => ok(message("inbox", "two")),
        _ => ok(vec![message("inbox", "three")]),
    });
    assert_eq!(text(&*actor("courier", &peer).await, "/request/orders/tea").await, "two");
    assert_eq!(text(&*actor("modern", &peer).await, "/request/orders/tea").await, "three");
    let asked = peer.asked();
    let (subject, body, millis): RequestParams = wit::from_wire(&asked[0].params).unwrap();
    assert_eq!((subject.as_str(), body.as_slice(), millis), ("orders", b"tea".as_slice(), 5_000));
    let (sent, options): RequestManyParams = wit::from_wire(&asked[1].params).unwrap();
    assert_eq!((sent, asked[1].interface.as_str()), (message("orders", "tea"), REQUEST_REPLY));
    assert_eq!((options.timeout_ms, options.expected_replies), (Some(5_000), Some(1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_is_an_error_that_the_guest_can_read() {
    for (code, two, three) in [
        (Code::DeadlineExceeded, "error: deadline_exceeded: why", "error: Error::Timeout"),
        (Code::NotLinked, "error: not_linked: why", "error: Error::PermissionDenied(\"why\")"),
        (Code::Backend, "error: backend: why", "error: Error::Connection(\"backend: why\")"),
        (Code::TooLarge, "error: too_large: why", "error: Error::Other(\"too_large: why\")"),
    ] {
        let peer = Peer::answering(move |_| Err(CallError::new(code, "why")));
        assert_eq!(text(&*actor("courier", &peer).await, "/request/a/b").await, two);
        assert_eq!(text(&*actor("modern", &peer).await, "/request/a/b").await, three);
    }
    let said = Outcome::<(), _>::Err("nobody listens".to_owned());
    let peer = Peer::answering(move |_| Ok(Reply::wire(wit::to_wire(&said).unwrap())));
    assert_eq!(text(&*actor("courier", &peer).await, "/request/a/b").await, "error: nobody listens");
    assert_eq!(text(&*actor("modern", &peer).await, "/request/a/b").await, "error: Error::Other(\"nobody listens\")");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_of_version_0_3_is_what_the_guest_made_of_it() {
    let peer = Peer::nobody();
    let expected = "None None None [98] Some(\"t\") Some([(\"k\", \"1\"), (\"k\", \"3\")])";
    assert_eq!(text(&*actor("modern", &peer).await, "/").await, expected);
    assert!(peer.asked().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_that_a_guest_hoards_are_its_memory() {
    let peer = Peer::nobody();
    let engine = engine(true);
    let actor = engine.actor(&guest("modern"), config("modern"), peer).await.unwrap();
    let error = actor.serve(get("/hoard")).await.unwrap_err();
    assert_eq!(error.code, Code::MemoryLimit, "{error}");
    crate::guests::eventually("the memory comes back", || engine.memory_in_use() == 0).await;
    assert!(text(&actor, "/").await.starts_with("None"), "the next call has room");
}

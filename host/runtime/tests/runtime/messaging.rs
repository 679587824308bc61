//! `wasmcloud:messaging` in both versions: what guests send, as calls along links.

use std::sync::Arc;

use mesh_lattice::{
    Answer, CallError, Code, Params, Reply, Serve,
    application::Limits,
    wit::{
        self, Outcome,
        messaging::{
            CONSUMER, HANDLER, INCOMING_HANDLER, Message, MessageParams, PRODUCER, REQUEST_REPLY, RequestManyParams,
            RequestParams,
        },
    },
};
use mesh_runtime::{Actor, ActorConfig};
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

/// What a handler makes of a message, under this name of it.
async fn handle(actor: &Actor, interface: &str, operation: &str, message: &Message) -> Result<Reply, CallError> {
    let mut invocation = get("/");
    invocation.interface = interface.parse().unwrap();
    invocation.operation = operation.into();
    invocation.params = Params::Wire(wit::to_wire(&(message,)).unwrap());
    actor.serve(invocation).await
}

fn outcome(reply: Reply) -> Outcome<(), String> {
    match reply.answer {
        Answer::Wire(bytes) => wit::from_wire(&bytes).unwrap(),
        Answer::Http(_) => panic!("an HTTP answer"),
    }
}

const SPELLINGS: [(&str, &str); 2] = [(HANDLER, "handle-message"), (INCOMING_HANDLER, "handle")];

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_of_either_version_takes_what_is_meant_for_the_other() {
    let mut asked = message("orders.new", "tea");
    asked.reply_to = Some("answers".into());
    asked.metadata = vec![("shop".into(), "7".into())];
    for (name, expected) in [("courier", "hello tea"), ("modern", "modern tea true Some((\"shop\", \"7\"))")] {
        for (interface, operation) in SPELLINGS {
            let peer = Peer::answering(|asked| match asked.interface.contains("keyvalue") {
                true => ok(1),
                false => ok(()),
            });
            let actor = actor(name, &peer).await;
            let reply = handle(&actor, interface, operation, &asked).await.unwrap();
            assert_eq!(outcome(reply), Outcome::Ok(()), "{name} {interface}");
            let sent = peer.asked().into_iter().find(|asked| asked.interface.contains("messaging")).unwrap();
            let (answer,): MessageParams = wit::from_wire(&sent.params).unwrap();
            assert_eq!((answer.subject.as_str(), answer.body.as_slice()), ("answers", expected.as_bytes()), "{name}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_handler_says_no_to_comes_back_in_its_words() {
    for (name, expected) in [("courier", "told to"), ("modern", "permission denied: told to")] {
        let peer = Peer::nobody();
        let actor = actor(name, &peer).await;
        for (interface, operation) in SPELLINGS {
            let reply = handle(&actor, interface, operation, &message("a", "refuse")).await.unwrap();
            assert_eq!(outcome(reply), Outcome::Err(expected.to_owned()));
        }
        assert!(peer.asked().is_empty());
        let stats = actor.stats();
        assert_eq!((stats.calls, stats.errors, stats.instances), (2, 0, 0), "an answer is no error");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_actor_without_a_handler_or_a_call_without_a_message_is_an_error() {
    let peer = Peer::nobody();
    let error = handle(&*actor("hello", &peer).await, HANDLER, "handle-message", &message("a", "b")).await.unwrap_err();
    assert_eq!(error.code, Code::UnknownOperation, "{error}");
    let courier = actor("courier", &peer).await;
    let error = handle(&courier, HANDLER, "handle", &message("a", "b")).await.unwrap_err();
    assert_eq!(error.code, Code::UnknownOperation, "{error}");
    let mut invocation = get("/");
    invocation.interface = HANDLER.parse().unwrap();
    invocation.operation = "handle-message".into();
    let error = courier.serve(invocation).await.unwrap_err();
    assert_eq!(error.code, Code::BadParams, "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_that_a_guest_hoards_are_its_memory() {
    let peer = Peer::nobody();
    let engine = engine(true);
    // Hoarding costs time as well: on a slow machine that would end it first.
    let limits = Limits { cpu_ms: 20_000, time_ms: 20_000, ..Limits::default() };
    let actor = engine.actor(&guest("modern"), ActorConfig { limits, ..config("modern") }, peer).await.unwrap();
    let error = actor.serve(get("/hoard")).await.unwrap_err();
    assert_eq!(error.code, Code::MemoryLimit, "{error}");
    crate::guests::eventually("the memory comes back", || engine.memory_in_use() == 0).await;
    assert!(text(&actor, "/").await.starts_with("None"), "the next call has room");
}

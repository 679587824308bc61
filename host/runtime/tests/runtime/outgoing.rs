//! `wasi:http/outgoing-handler`: a call along a link, to another actor as well as to a provider.

use std::{sync::Arc, time::Duration};

use mesh_lattice::{Answer, CallError, Code, Reply, invocation::full_body, wit};
use mesh_runtime::Actor;

use crate::{
    guests::{alone, config, engine, get, guest, read, text},
    peer::Peer,
};
use mesh_lattice::Serve as _;

async fn outgoing(calls: Arc<dyn mesh_lattice::Serve>) -> Arc<Actor> {
    engine(true).actor(&guest("outgoing"), config("outgoing"), calls).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_link_the_guest_hears_that_it_may_not() {
    let actor = outgoing(Peer::nobody()).await;
    let (status, body) = read(actor.serve(get("/")).await.unwrap()).await;
    assert_eq!((status, body.as_ref()), (502, b"ErrorCode::HttpRequestDenied".as_slice()));
    let [import] = actor.imports() else { panic!("{:?}", actor.imports()) };
    assert_eq!((import.package(), import.interface()), ("wasi:http", "outgoing-handler"));
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_have_the_words_of_http() {
    for (code, words) in [
        (Code::UnknownTarget, "DestinationNotFound"),
        (Code::Busy, "DestinationUnavailable"),
        (Code::Unavailable, "DestinationUnavailable"),
        (Code::DeadlineExceeded, "HttpResponseTimeout"),
        (Code::Lost, "ConnectionTerminated"),
        (Code::Trap, "InternalError"),
    ] {
        let actor = outgoing(Peer::answering(move |_| Err(CallError::new(code, "no")))).await;
        let (status, body) = read(actor.serve(get("/")).await.unwrap()).await;
        assert_eq!(status, 502);
        assert!(std::str::from_utf8(&body).unwrap().contains(words), "{code}: {body:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_goes_along_its_link_with_its_body() {
    let peer = Peer::answering(|_| {
        let (parts, ()) = http::Response::builder().status(201).body(()).unwrap().into_parts();
        Ok(Reply { answer: Answer::Http(Box::new(parts)), body: Some(full_body("made".into())) })
    });
    let actor = outgoing(peer.clone()).await;
    assert_eq!(text(&actor, "/things?x=1").await, "201 made");
    let asked = peer.asked();
    let [asked] = &asked[..] else { panic!("{asked:?}") };
    assert_eq!(asked.head, Some(("POST".into(), "http://peer/things?x=1".into())));
    assert_eq!((asked.caller.as_str(), asked.link.as_str()), ("outgoing", "default"));
    assert_eq!(asked.interface, actor.imports()[0].to_string(), "as the guest spells it");
    assert_eq!(asked.body, b"from the guest");
    assert!(asked.remaining <= Duration::from_secs(5));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_as_a_value_is_read_too() {
    let actor = outgoing(Peer::answering(|_| {
        let head = wit::http::ResponseHead { status: 404, headers: Vec::new() };
        let answer = wit::to_wire(&wit::Outcome::<_, String>::Ok(head)).unwrap();
        Ok(Reply { answer: Answer::Wire(answer), body: None })
    }));
    assert_eq!(text(&*actor.await, "/").await, "404 ");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_actor_serves_another() {
    let echo = alone(&engine(true), "echo").await;
    assert_eq!(text(&*outgoing(echo).await, "/").await, "200 from the guest");
}

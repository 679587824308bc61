//! `wasi:http/incoming-handler`: heads and bodies both ways, in memory and as WIT values.

use std::time::Duration;

use bytes::Bytes;
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use mesh_lattice::{
    Answer, Body, Code, Deadline, Params, Serve,
    wit::{self, Outcome, http::ResponseHead},
};
use tokio::sync::mpsc;

use crate::guests::{all, alone, engine, eventually, get, read, request, text};

#[tokio::test(flavor = "multi_thread")]
async fn each_call_has_an_instance_of_its_own() {
    for pooling in [true, false] {
        let actor = alone(&engine(pooling), "hello").await;
        for _ in 0..20 {
            assert_eq!(text(&actor, "/").await, "1");
        }
        eventually("the last is taken down", || actor.stats().instances == 0).await;
        let stats = actor.stats();
        assert_eq!((stats.calls, stats.errors, stats.queued), (20, 0, 0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_short_answer_has_a_known_length() {
    let actor = alone(&engine(true), "hello").await;
    let reply = actor.serve(get("/")).await.unwrap();
    assert_eq!(http_body::Body::size_hint(reply.body.as_ref().unwrap()).exact(), Some(1));
}

/// A body that is fed while it is read.
fn fed() -> (mpsc::Sender<Bytes>, Body) {
    let (feed, mut fed) = mpsc::channel::<Bytes>(1);
    let stream = futures::stream::poll_fn(move |cx| fed.poll_recv(cx).map(|bytes| bytes.map(|b| Ok(Frame::data(b)))));
    (feed, StreamBody::new(stream).boxed_unsync())
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_stream_both_ways_while_the_guest_works() {
    for pooling in [true, false] {
        let actor = alone(&engine(pooling), "echo").await;
        let (feed, body) = fed();
        let sent = http::Request::put("/a/b?c=d")
            .header("host", "example.com")
            .header("x-given", "one")
            .header("connection", "keep-alive")
            .body(Some(body));
        let reply = actor.serve(request(sent.unwrap())).await.unwrap();
        let Answer::Http(head) = &reply.answer else { panic!("an answer as bytes") };
        let header = |name: &str| head.headers.get(name).unwrap().to_str().unwrap();
        assert_eq!(header("x-method"), "Method::Put");
        assert_eq!(header("x-path"), "/a/b?c=d");
        assert_eq!(header("x-authority"), "example.com");
        assert_eq!(header("x-seen"), "one");
        let mut body = reply.body.unwrap();
        for piece in ["first", "second"] {
            feed.send(Bytes::from(piece)).await.unwrap();
            let frame = body.frame().await.unwrap().unwrap();
            assert_eq!(frame.into_data().unwrap(), piece, "echoed before the next was sent");
        }
        assert_eq!(actor.stats().instances, 1);
        drop(feed);
        assert!(body.frame().await.is_none());
        assert!(actor.drain(Deadline::after(Duration::from_secs(10))).await);
        assert_eq!((actor.stats().instances, actor.stats().errors), (0, 0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_body_arrives_whole() {
    let actor = alone(&engine(true), "echo").await;
    let bytes: Bytes = (0..3_000_000u32).map(|n| (n % 251) as u8).collect();
    let body = mesh_lattice::invocation::full_body(bytes.clone());
    let sent = http::Request::post("/").header("host", "a").body(Some(body)).unwrap();
    let (status, echoed) = read(actor.serve(request(sent)).await.unwrap()).await;
    assert_eq!(status, 200);
    assert!(echoed == bytes, "{} of {} bytes", echoed.len(), bytes.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_came_as_a_value_is_answered_with_one() {
    let actor = alone(&engine(true), "echo").await;
    let mut invocation = get("/wire");
    let Params::Http(parts) = &invocation.params else { panic!("no head") };
    let params = wit::to_wire(&(wit::http::RequestHead::from(parts.as_ref()),)).unwrap();
    invocation.params = Params::Wire(params);
    invocation.body = Some(mesh_lattice::invocation::full_body(Bytes::from_static(b"abc")));
    let reply = actor.serve(invocation).await.unwrap();
    let Answer::Wire(head) = reply.answer else { panic!("an answer in memory") };
    let Outcome::Ok(head) = wit::from_wire::<Outcome<ResponseHead, String>>(&head).unwrap() else { panic!("an error") };
    assert_eq!(head.status, 200);
    assert!(head.headers.iter().any(|(name, value)| name == "x-path" && value.as_slice() == b"/wire"));
    assert_eq!(all(reply.body).await.unwrap(), "abc");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_actor_does_not_export_is_an_unknown_operation() {
    let actor = alone(&engine(true), "hello").await;
    for (interface, operation) in [
        ("wasi:http/incoming-handler@0.2.0", "other"),
        ("wasi:http/incoming-handler@0.3.0", "handle"),
        ("wasi:keyvalue/store@0.2.0-draft", "handle"),
    ] {
        let mut invocation = get("/");
        invocation.interface = interface.parse().unwrap();
        invocation.operation = operation.into();
        assert_eq!(actor.serve(invocation).await.unwrap_err().code, Code::UnknownOperation, "{interface}#{operation}");
    }
    let mut invocation = get("/");
    invocation.params = Params::Wire(Bytes::from_static(b"\x91\x01"));
    assert_eq!(actor.serve(invocation).await.unwrap_err().code, Code::BadParams);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_names_no_host_is_served() {
    let actor = alone(&engine(true), "echo").await;
    let (status, _) = read(actor.serve(request(http::Request::get("/").body(None).unwrap())).await.unwrap()).await;
    assert_eq!(status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drained_actor_finishes_what_it_has_and_takes_nothing_new() {
    let actor = alone(&engine(true), "sleepy").await;
    let running = tokio::spawn({
        let actor = actor.clone();
        async move { text(&actor, "/200").await }
    });
    crate::guests::eventually("the call runs", || actor.stats().instances == 1).await;
    let drained = actor.drain(Deadline::after(Duration::from_secs(10)));
    let (in_time, refused) = tokio::join!(biased; drained, actor.serve(get("/0")));
    assert!(in_time);
    assert_eq!(refused.unwrap_err().code, Code::Unavailable);
    assert_eq!(running.await.unwrap(), "awake");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_drain_does_not_wait_for_is_ended() {
    let actor = alone(&engine(true), "endless").await;
    let mut body = actor.serve(get("/")).await.unwrap().body.unwrap();
    assert!(body.frame().await.unwrap().is_ok());
    assert!(!actor.drain(Deadline::after(Duration::from_millis(50))).await);
    let mut last = body.frame().await;
    while let Some(Ok(_)) = last {
        last = body.frame().await;
    }
    assert_eq!(last.expect("an end that is said").unwrap_err().code, Code::Cancelled);
}

//! Actors of WASI 0.3 beside those of 0.2: the same requests, the same links, the same limits.

mod hostile;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures::future::BoxFuture;
use http::HeaderMap;
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use mesh_lattice::{
    Answer, Body, CallError, Code, Deadline, Invocation, Reply, Serve,
    application::Limits,
    invocation::full_body,
    wit::{self, Outcome, keyvalue},
};
use mesh_runtime::{Actor, ActorConfig, Engine};
use tokio::sync::mpsc;

use crate::{
    guests::{alone, config, engine, eventually, get, guest, read, request, text},
    peer::Peer,
};

async fn calling(calls: Arc<dyn Serve>) -> Arc<Actor> {
    engine(true).actor(&guest("wasi_0_3"), config("latest"), calls).await.unwrap()
}

async fn reused(engine: &Engine, reuse: u32) -> Arc<Actor> {
    let config = ActorConfig { reuse, ..config("latest") };
    engine.actor(&guest("wasi_0_3"), config, Peer::nobody()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_of_0_3_runs_beside_one_of_0_2() {
    for pooling in [true, false] {
        let engine = engine(pooling);
        let (latest, before) = (alone(&engine, "wasi_0_3").await, alone(&engine, "hello").await);
        let exports: Vec<_> = latest.exports().iter().map(ToString::to_string).collect();
        assert_eq!(exports, ["wasi:http/handler@0.3.2"]);
        for _ in 0..10 {
            assert_eq!(text(&latest, "/").await, "1");
            assert_eq!(text(&before, "/").await, "1");
        }
        eventually("the guests have returned", || latest.stats().instances == 0).await;
        assert_eq!((latest.stats().calls, latest.stats().errors), (10, 0));
        eventually("all are taken down", || engine.memory_in_use() == 0).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_short_answer_has_a_known_length() {
    let actor = alone(&engine(true), "wasi_0_3").await;
    let mut lengths = Vec::new();
    // A guest that loses its processor on its way is answered for before it is done: that is chance, not the rule.
    while lengths.len() < 100 && !lengths.contains(&Some(1)) {
        let reply = actor.serve(get("/")).await.unwrap();
        lengths.push(http_body::Body::size_hint(reply.body.as_ref().unwrap()).exact());
    }
    assert_eq!(lengths.last(), Some(&Some(1)), "{lengths:?}");
}

/// A body that is fed while it is read.
fn fed() -> (mpsc::Sender<Frame<Bytes>>, Body) {
    let (feed, mut fed) = mpsc::channel(1);
    let stream = futures::stream::poll_fn(move |cx| fed.poll_recv(cx).map(|frame| frame.map(Ok)));
    (feed, StreamBody::new(stream).boxed_unsync())
}

fn post(path: &str, body: Body) -> Invocation {
    let sent = http::Request::post(path).header("host", "example.com").header("x-given", "one");
    request(sent.body(Some(body)).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_stream_both_ways_while_the_guest_works_and_trailers_follow() {
    for pooling in [true, false] {
        let actor = alone(&engine(pooling), "wasi_0_3").await;
        let (feed, body) = fed();
        let reply = actor.serve(post("/echo", body)).await.unwrap();
        let Answer::Http(head) = &reply.answer else { panic!("an answer as bytes") };
        let header = |name: &str| head.headers.get(name).map(|value| value.to_str().unwrap());
        assert_eq!((header("x-method"), header("x-seen")), (Some("Method::Post"), Some("one")));
        assert_eq!((header("x-authority"), header("x-host")), (Some("example.com"), None), "who is asked is no header");
        let mut body = reply.body.unwrap();
        for piece in ["first", "second"] {
            feed.send(Frame::data(Bytes::from(piece))).await.unwrap();
            let frame = body.frame().await.unwrap().unwrap();
            assert_eq!(frame.into_data().unwrap(), piece, "echoed before the next was sent");
        }
        assert_eq!(actor.stats().instances, 1);
        let trailers = HeaderMap::from_iter([("x-sum".parse().unwrap(), "11".parse().unwrap())]);
        feed.send(Frame::trailers(trailers.clone())).await.unwrap();
        drop(feed);
        assert_eq!(body.frame().await.unwrap().unwrap().into_trailers().unwrap(), trailers);
        assert!(body.frame().await.is_none());
        assert!(actor.drain(Deadline::after(Duration::from_secs(10))).await);
        assert_eq!((actor.stats().instances, actor.stats().errors), (0, 0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn eight_mebibytes_come_back_byte_for_byte() {
    let actor = alone(&engine(true), "wasi_0_3").await;
    let bytes: Bytes = (0..8u32 << 20).map(|n| (n % 251) as u8).collect();
    let (status, echoed) = read(actor.serve(post("/echo", full_body(bytes.clone()))).await.unwrap()).await;
    assert_eq!(status, 200);
    assert!(echoed == bytes, "{} of {} bytes", echoed.len(), bytes.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_broke_off_on_its_way_in_breaks_off_on_its_way_out() {
    let actor = alone(&engine(true), "wasi_0_3").await;
    let broken = Err(CallError::new(Code::Lost, "gone"));
    let frames = futures::stream::iter([Ok(Frame::data(Bytes::from_static(b"part"))), broken]);
    let reply = actor.serve(post("/echo", StreamBody::new(frames).boxed_unsync())).await.unwrap();
    let error = crate::guests::all(reply.body).await.unwrap_err();
    assert_eq!(error.code, Code::NoAnswer, "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_instead_of_an_answer_is_told_apart() {
    let error = alone(&engine(true), "wasi_0_3").await.serve(get("/refuse")).await.unwrap_err();
    assert_eq!(error.code, Code::NoAnswer);
    assert!(error.message.contains("LoopDetected"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_serves_as_many_calls_as_it_is_told_to_and_none_after_it_kept_something() {
    for pooling in [true, false] {
        let engine = engine(pooling);
        let actor = reused(&engine, 3).await;
        for count in ["1", "2", "3", "1", "2"] {
            assert_eq!(text(&actor, "/").await, count);
            eventually("the guest has returned", || actor.stats().instances == 0).await;
        }
        assert_eq!(actor.stats().idle, 1);
        assert_eq!(text(&actor, "/keep").await, "kept");
        eventually("the guest has returned", || actor.stats().instances == 0).await;
        assert_eq!((actor.stats().idle, engine.memory_in_use()), (0, 0));
        assert_eq!(text(&actor, "/").await, "1");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_that_streamed_serves_again() {
    let actor = reused(&engine(true), 100).await;
    for count in ["1", "2", "3"] {
        let (status, echoed) = read(actor.serve(post("/echo", full_body("abc".into()))).await.unwrap()).await;
        assert_eq!((status, echoed.as_ref()), (200, b"abc".as_slice()));
        eventually("the guest has returned", || actor.stats().instances == 0).await;
        assert_eq!(actor.stats().idle, 1);
        assert_eq!(text(&actor, "/").await, count);
        eventually("the guest has returned", || actor.stats().instances == 0).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_goes_along_its_link_with_its_body() {
    let peer = Peer::answering(|_| {
        let (parts, ()) = http::Response::builder().status(201).body(()).unwrap().into_parts();
        Ok(Reply { answer: Answer::Http(Box::new(parts)), body: Some(full_body("made".into())) })
    });
    let actor = calling(peer.clone()).await;
    assert_eq!(text(&actor, "/fetch/things?x=1").await, "201 made");
    let asked = peer.asked();
    let [asked] = &asked[..] else { panic!("{asked:?}") };
    assert_eq!(asked.head, Some(("POST".into(), "http://peer/things?x=1".into())));
    assert_eq!((asked.interface.as_str(), asked.operation.as_str()), ("wasi:http/client@0.3.2", "handle"));
    assert_eq!((asked.caller.as_str(), asked.body.as_slice()), ("latest", b"from the guest".as_slice()));
    assert!(actor.imports().iter().any(|import| import.as_str() == "wasi:http/client@0.3.2"));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_link_the_guest_hears_that_it_may_not() {
    assert_eq!(text(&*calling(Peer::nobody()).await, "/fetch/").await, "ErrorCode::HttpRequestDenied");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_0_3_asks_one_of_0_2_and_the_other_way_round() {
    let engine = engine(true);
    let before = alone(&engine, "echo").await;
    let latest = engine.actor(&guest("wasi_0_3"), config("latest"), before).await.unwrap();
    assert_eq!(text(&latest, "/fetch/").await, "200 from the guest");
    let asking = engine.actor(&guest("outgoing"), config("asking"), alone(&engine, "wasi_0_3").await).await.unwrap();
    assert_eq!(text(&asking, "/echo").await, "200 from the guest");
}

/// Works for a while before it answers.
struct Busy(Duration);

impl Serve for Busy {
    fn serve(&self, _: Invocation) -> BoxFuture<'_, Result<Reply, CallError>> {
        Box::pin(async {
            let start = std::time::Instant::now();
            while start.elapsed() < self.0 {
                std::hint::spin_loop();
            }
            Err(CallError::new(Code::Busy, "no"))
        })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_do_for_a_guest_is_not_its_processor_time() {
    let limits = Limits { cpu_ms: 200, ..Limits::default() };
    let config = ActorConfig { limits, ..config("latest") };
    let busy = Arc::new(Busy(Duration::from_millis(600)));
    let actor = engine(true).actor(&guest("wasi_0_3"), config, busy).await.unwrap();
    assert_eq!(text(&actor, "/fetch/").await, "ErrorCode::DestinationUnavailable");
}

#[tokio::test(flavor = "multi_thread")]
async fn interfaces_with_nothing_asynchronous_in_them_are_served_too() {
    let peer = Peer::answering(|_| Ok(Reply::wire(wit::to_wire(&Outcome::<_, keyvalue::Error>::Ok(5i64)).unwrap())));
    assert_eq!(text(&*calling(peer.clone()).await, "/count").await, "Ok(5)");
    assert_eq!(peer.asked()[0].interface, "wasi:keyvalue/atomics@0.2.0-draft2");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_reaches_nothing_but_its_links() {
    let actor = alone(&engine(true), "wasi_0_3").await;
    assert_eq!(text(&actor, "/reach").await, "reached: ");
    assert_eq!(text(&actor, "/print").await, "Ok(())");
}

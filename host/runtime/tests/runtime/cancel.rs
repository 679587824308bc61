//! A call that nobody waits for any more: the guest stops, its slot is free, its streams end, and so does what it
//! called.

use std::{
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures::future::BoxFuture;
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use mesh_lattice::{Body, CallError, Invocation, Reply, Serve, application::Limits};
use mesh_runtime::{Actor, ActorConfig, Engine};
use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;

use crate::{
    guests::{config, engine, eventually, get, guest, request, text},
    peer::Peer,
};

/// What is promised.
pub(crate) const WITHIN: Duration = Duration::from_millis(100);

async fn actor(engine: &Engine, name: &str, calls: Arc<dyn Serve>) -> Arc<Actor> {
    let limits = Limits { cpu_ms: 60_000, time_ms: 60_000, ..Limits::default() };
    let config = ActorConfig { limits, ..config("left").with_concurrency(NonZeroU32::new(4).unwrap()) };
    engine.actor(&guest(name), config, calls).await.unwrap()
}

/// Drops `calls` while they run, and waits until their slots are free.
pub(crate) async fn leave(what: &str, engine: &Engine, actor: &Arc<Actor>, paths: &[&str]) {
    let mut calls = tokio::task::JoinSet::new();
    for path in paths {
        let (actor, invocation) = (Arc::clone(actor), get(path));
        calls.spawn(async move { actor.serve(invocation).await.map(|reply| reply.body.is_some()) });
    }
    eventually("they run", || actor.stats().instances as usize == paths.len()).await;
    // Well into their work: a spinning guest has met some epochs by then.
    let begun = Instant::now();
    eventually("they are at it", || begun.elapsed() > Duration::from_millis(60)).await;
    let start = Instant::now();
    calls.abort_all();
    eventually("the slots are free", || actor.stats().instances == 0 && engine.memory_in_use() == 0).await;
    let took = start.elapsed();
    println!("{what}: {} calls stopped after {took:?} of {WITHIN:?}", paths.len());
    assert!(took < WITHIN * 3, "{what}: {took:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_that_spins_stops() {
    for pooling in [true, false] {
        let engine = engine(pooling);
        let actor = actor(&engine, "spin", Peer::nobody()).await;
        leave("spinning", &engine, &actor, &["/"]).await;
        leave("spinning and waiting for the lane", &engine, &actor, &["/"; 4]).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_that_waits_stops() {
    for pooling in [true, false] {
        let engine = engine(pooling);
        let actor = actor(&engine, "sleepy", Peer::nobody()).await;
        leave("waiting", &engine, &actor, &["/60000"; 4]).await;
        assert_eq!(text(&actor, "/0").await, "awake");
    }
}

/// Never answers, and tells how many calls it holds and how their bodies ended.
#[derive(Default)]
struct Hole {
    held: Arc<AtomicU32>,
    reading: TaskTracker,
    broken: Arc<AtomicU32>,
}

struct Held(Arc<AtomicU32>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Serve for Hole {
    fn serve(&self, invocation: Invocation) -> BoxFuture<'_, Result<Reply, CallError>> {
        self.held.fetch_add(1, Ordering::Relaxed);
        let held = Held(Arc::clone(&self.held));
        let broken = Arc::clone(&self.broken);
        // Read elsewhere, as a provider may: the body outlives the call.
        self.reading.spawn(async move {
            let mut body = invocation.body.unwrap();
            while let Some(frame) = body.frame().await {
                if frame.is_err() {
                    broken.fetch_add(1, Ordering::Relaxed);
                    return;
                }
            }
        });
        Box::pin(async move {
            let _held = held;
            std::future::pending().await
        })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_guest_called_is_given_up_with_it() {
    let engine = engine(true);
    let hole = Arc::new(Hole::default());
    let actor = actor(&engine, "outgoing", hole.clone()).await;
    leave("in a call of its own", &engine, &actor, &["/", "/"]).await;
    eventually("the calls are given up", || hole.held.load(Ordering::Relaxed) == 0).await;
    hole.reading.close();
    tokio::time::timeout(Duration::from_secs(10), hole.reading.wait()).await.expect("their bodies end");
    println!("{} of 2 bodies broke off", hole.broken.load(Ordering::Relaxed));
}

/// A body that tells when it is dropped, and never ends by itself.
fn endless() -> (mpsc::Sender<Bytes>, Body) {
    let (feed, mut fed) = mpsc::channel::<Bytes>(1);
    let stream = futures::stream::poll_fn(move |cx| fed.poll_recv(cx).map(|bytes| bytes.map(|b| Ok(Frame::data(b)))));
    (feed, StreamBody::new(stream).boxed_unsync())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_in_both_directions_end_with_the_reader() {
    for pooling in [true, false] {
        let engine = engine(pooling);
        let actor = actor(&engine, "echo", Peer::nobody()).await;
        let (feed, body) = endless();
        let sent = http::Request::post("/").header("host", "a").body(Some(body)).unwrap();
        let mut answer = actor.serve(request(sent)).await.unwrap().body.unwrap();
        feed.send(Bytes::from_static(b"ping")).await.unwrap();
        assert_eq!(answer.frame().await.unwrap().unwrap().into_data().unwrap(), "ping");
        let start = Instant::now();
        drop(answer);
        tokio::time::timeout(Duration::from_secs(10), feed.closed()).await.expect("the body that came in is let go");
        eventually("the slot is free", || actor.stats().instances == 0 && engine.memory_in_use() == 0).await;
        println!("streaming: stopped after {:?} of {WITHIN:?}", start.elapsed());
        assert!(start.elapsed() < WITHIN * 3);
    }
}

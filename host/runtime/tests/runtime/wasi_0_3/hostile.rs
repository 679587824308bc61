//! Guests of WASI 0.3 that run into their limits, before their head is out and behind it, and those that nobody waits
//! for any more.

use std::{
    num::NonZeroU32,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http_body::Frame;
use http_body_util::BodyExt as _;
use mesh_lattice::{Code, Serve, application::Limits};
use mesh_runtime::{Actor, ActorConfig, Engine};

use super::{fed, post};
use crate::{
    cancel::{WITHIN, leave},
    guests::{all, config, engine, eventually, get, guest, text},
    peer::Peer,
};

const LIMITS: Limits = Limits { memory_bytes: 16 << 20, cpu_ms: 200, time_ms: 2_000 };

async fn limited(engine: &Engine, name: &str, limits: Limits) -> Arc<Actor> {
    let config = ActorConfig { limits, ..config("limited").with_concurrency(NonZeroU32::new(4).unwrap()) };
    engine.actor(&guest(name), config, Peer::nobody()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_limit_stops_the_guest_that_runs_into_it() {
    for (path, code) in [
        ("/trap", Code::Trap),
        ("/hog", Code::MemoryLimit),
        ("/spin", Code::CpuLimit),
        ("/streams", Code::MemoryLimit),
        ("/waits", Code::MemoryLimit),
        ("/never", Code::DeadlineExceeded),
    ] {
        for pooling in [true, false] {
            let engine = engine(pooling);
            let actor = limited(&engine, "wasi_0_3_hostile", LIMITS).await;
            let start = Instant::now();
            let error = actor.serve(get(path)).await.unwrap_err();
            assert_eq!(error.code, code, "{path}, pooling {pooling}: {error}");
            eventually("the memory is back", || engine.memory_in_use() == 0).await;
            println!("{path}: {} after {:?}", error.code, start.elapsed());
            let stats = actor.stats();
            assert_eq!((stats.instances, stats.calls, stats.errors), (0, 1, 1), "{path}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_wrong_behind_the_head_breaks_the_body_off_and_says_why() {
    for (path, code) in [
        ("/late-trap", Code::Trap),
        ("/late-spin", Code::CpuLimit),
        ("/late-hog", Code::MemoryLimit),
        ("/late-error", Code::NoAnswer),
    ] {
        for pooling in [true, false] {
            let engine = engine(pooling);
            let actor = limited(&engine, "wasi_0_3_hostile", LIMITS).await;
            let error = match actor.serve(get(path)).await {
                Ok(reply) => all(reply.body).await.unwrap_err(),
                // It may come to this before anybody could have taken the head.
                Err(error) => error,
            };
            assert_eq!(error.code, code, "{path}, pooling {pooling}: {error}");
            eventually("everything is back", || actor.stats().instances == 0 && engine.memory_in_use() == 0).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_that_nobody_waits_for_stops() {
    let long = Limits { cpu_ms: 60_000, time_ms: 60_000, ..Limits::default() };
    for pooling in [true, false] {
        let engine = engine(pooling);
        let hostile = limited(&engine, "wasi_0_3_hostile", long).await;
        leave("spinning", &engine, &hostile, &["/spin"; 4]).await;
        leave("waiting", &engine, &hostile, &["/never"; 4]).await;
        let actor = limited(&engine, "wasi_0_3", long).await;
        leave("sleeping", &engine, &actor, &["/sleep/60000"; 4]).await;
        assert_eq!(text(&actor, "/sleep/0").await, "awake");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_in_both_directions_end_with_the_reader() {
    for pooling in [true, false] {
        let engine = engine(pooling);
        let actor = limited(&engine, "wasi_0_3", Limits::default()).await;
        let (feed, body) = fed();
        let mut answer = actor.serve(post("/echo", body)).await.unwrap().body.unwrap();
        feed.send(Frame::data(Bytes::from_static(b"ping"))).await.unwrap();
        assert_eq!(answer.frame().await.unwrap().unwrap().into_data().unwrap(), "ping");
        let start = Instant::now();
        drop(answer);
        tokio::time::timeout(Duration::from_secs(10), feed.closed()).await.expect("the body that came in is let go");
        eventually("the slot is free", || actor.stats().instances == 0 && engine.memory_in_use() == 0).await;
        println!("streaming: stopped after {:?} of {WITHIN:?}", start.elapsed());
        assert!(start.elapsed() < WITHIN * 3);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_without_end_ends_with_its_reader() {
    let engine = engine(true);
    let actor = limited(&engine, "wasi_0_3_hostile", Limits::default()).await;
    let mut body = actor.serve(get("/endless")).await.unwrap().body.unwrap();
    for _ in 0..32 {
        assert!(body.frame().await.unwrap().is_ok());
    }
    let start = Instant::now();
    drop(body);
    eventually("the slot is free", || actor.stats().instances == 0 && engine.memory_in_use() == 0).await;
    println!("endless: stopped after {:?} of {WITHIN:?}", start.elapsed());
    assert!(start.elapsed() < WITHIN * 3);
}

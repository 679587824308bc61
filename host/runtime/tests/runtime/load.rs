//! Many calls at once: what is refused, what is cancelled, and what the neighbours notice.

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use futures::future::join_all;
use http_body_util::BodyExt as _;
use mesh_lattice::{Caller, Code, Serve, application::Limits};
use mesh_runtime::{Actor, ActorConfig, Engine};
use tokio_util::sync::CancellationToken;

use crate::{
    guests::{alone, config, engine, eventually, get, guest, text},
    peer::Peer,
};

async fn narrow(engine: &Engine, name: &str, concurrency: u32) -> Arc<Actor> {
    let config = config("narrow").with_concurrency(NonZeroU32::new(concurrency).unwrap());
    engine.actor(&guest(name), config, Peer::nobody()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn beyond_instances_and_queue_a_call_hears_busy_at_once() {
    for pooling in [true, false] {
        let actor = narrow(&engine(pooling), "sleepy", 2).await;
        let calls: Vec<_> = (0..10).map(|_| actor.serve(get("/200"))).collect();
        let results = join_all(calls).await;
        let served = results.iter().filter(|result| result.is_ok()).count();
        let codes: Vec<_> = results.iter().filter_map(|result| result.as_ref().err().map(|e| e.code)).collect();
        assert_eq!((served, codes), (6, vec![Code::Busy; 4]));
        assert_eq!(text(&actor, "/0").await, "awake", "normal again");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_goes_away_frees_its_slot() {
    let engine = engine(true);
    let actor = narrow(&engine, "sleepy", 1).await;
    let mut abandoned = actor.serve(get("/60000"));
    assert!(futures::poll!(&mut abandoned).is_pending());
    assert_eq!(actor.stats().instances, 1);
    let mut queued = actor.serve(get("/60000"));
    assert!(futures::poll!(&mut queued).is_pending());
    assert_eq!(actor.stats().queued, 1);
    drop(queued);
    drop(abandoned);
    assert_eq!((actor.stats().instances, actor.stats().queued, engine.memory_in_use()), (0, 0, 0));
    assert_eq!(text(&actor, "/0").await, "awake");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_goes_away_ends_the_guest() {
    let engine = engine(true);
    let actor = narrow(&engine, "endless", 1).await;
    let mut body = actor.serve(get("/")).await.unwrap().body.unwrap();
    assert!(body.frame().await.unwrap().is_ok());
    assert_eq!(actor.stats().instances, 1);
    drop(body);
    eventually("the slot is free", || actor.stats().instances == 0 && engine.memory_in_use() == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_host_has_room_for_so_many_instances() {
    let engine = Engine::new(mesh_runtime::EngineConfig { instances: 2, ..Default::default() }).unwrap();
    let actor = narrow(&engine, "sleepy", 10).await;
    let results = join_all((0..5).map(|_| actor.serve(get("/100")))).await;
    let busy = results.iter().filter(|result| result.as_ref().is_err_and(|error| error.code == Code::Busy)).count();
    assert_eq!(busy, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn all_instances_together_keep_to_the_memory_of_the_host() {
    let config = mesh_runtime::EngineConfig { memory_bytes: 2 << 20, ..Default::default() };
    let engine = Engine::new(config).unwrap();
    let actor = narrow(&engine, "sleepy", 10).await;
    let results = join_all((0..5).map(|_| actor.serve(get("/100")))).await;
    assert!(results.iter().any(Result::is_ok));
    assert!(results.iter().any(|result| result.as_ref().is_err_and(|error| error.code == Code::MemoryLimit)));
    eventually("those that answered are taken down", || engine.memory_in_use() == 0).await;
}

/// One caller with a hundred calls at a time, and one with a single one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_noisy_caller_does_not_starve_a_quiet_one() {
    let actor = narrow(&engine(true), "sleepy", 2).await;
    let named = |name: &str| {
        let mut invocation = get("/20");
        invocation.caller = Caller::Named(name.parse().unwrap());
        invocation
    };
    let quiet_is_done = CancellationToken::new();
    let mut noisy = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let (actor, done) = (Arc::clone(&actor), quiet_is_done.clone());
        noisy.spawn(async move {
            let (mut served, mut busy) = (0, 0);
            while !done.is_cancelled() {
                match actor.serve(named("noisy")).await {
                    Ok(_) => served += 1,
                    Err(error) => {
                        assert_eq!(error.code, Code::Busy, "{error}");
                        busy += 1;
                        tokio::task::yield_now().await;
                    }
                }
            }
            (served, busy)
        });
    }
    eventually("the queue is full", || actor.stats().queued == 4).await;
    let mut slowest = Duration::ZERO;
    for call in 0..50 {
        let start = std::time::Instant::now();
        let reply = actor.serve(named("quiet")).await;
        slowest = slowest.max(start.elapsed());
        assert!(reply.is_ok(), "call {call} of 50: {reply:?}");
    }
    quiet_is_done.cancel();
    let (served, busy) = noisy.join_all().await.into_iter().fold((0, 0), |all, one| (all.0 + one.0, all.1 + one.1));
    println!("quiet: 50 of 50, the slowest after {slowest:?}; noisy: {served} served, {busy} refused");
    assert!(served > 0 && busy > 0, "{served} {busy}: there was no load");
}

/// Twice as many hostile calls at a time as there are processors, and a healthy actor beside them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn neighbours_of_hostile_guests_see_no_error() {
    for pooling in [true, false] {
        let engine = engine(pooling);
        let healthy = alone(&engine, "hello").await;
        let limits = Limits { memory_bytes: 16 << 20, cpu_ms: 300, time_ms: 10_000 };
        let mut actors = Vec::new();
        for name in ["spin", "spin", "spin", "spin", "hog", "recurse", "handles", "trap", "late_trap", "silent"] {
            let config = ActorConfig { limits, ..config("hostile") };
            actors.push(engine.actor(&guest(name), config, Peer::nobody()).await.unwrap());
        }
        let mut hostile = tokio::task::JoinSet::new();
        for actor in actors {
            hostile.spawn(async move {
                for _ in 0..2 {
                    if let Ok(reply) = actor.serve(get("/")).await {
                        assert!(crate::guests::all(reply.body).await.is_err());
                    }
                }
                assert_eq!((actor.stats().calls, actor.stats().errors), (2, 2));
            });
        }
        let mut pace = tokio::time::interval(Duration::from_millis(10));
        let mut slowest = Duration::ZERO;
        let mut calls = 0;
        while !hostile.is_empty() {
            tokio::select! {
                biased;
                _ = pace.tick() => {
                    let start = std::time::Instant::now();
                    assert_eq!(text(&healthy, "/").await, "1");
                    slowest = slowest.max(start.elapsed());
                    calls += 1;
                }
                ended = hostile.join_next() => ended.unwrap().unwrap(),
            }
        }
        println!("pooling {pooling}: {calls} healthy calls, the slowest took {slowest:?}");
        assert!(calls > 10);
        eventually("the memory is back", || engine.memory_in_use() == 0).await;
    }
}

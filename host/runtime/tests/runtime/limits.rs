//! Each limit and the guest that runs into it, with instances from the pool and without.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use mesh_lattice::{Code, Deadline, Serve, application::Limits};
use mesh_runtime::{Actor, ActorConfig, Engine};

use crate::{
    guests::{all, config, engine, eventually, get, guest, text},
    peer::Peer,
};

const LIMITS: Limits = Limits { memory_bytes: 16 << 20, cpu_ms: 200, time_ms: 2_000 };

async fn limited(engine: &Engine, name: &str) -> Arc<Actor> {
    let config = ActorConfig { limits: LIMITS, ..config("limited") };
    engine.actor(&guest(name), config, Peer::nobody()).await.unwrap()
}

/// The guest fails with this code, again and again, and leaves nothing behind.
async fn fails(name: &str, path: &str, code: Code) {
    for pooling in [true, false] {
        let engine = engine(pooling);
        let actor = limited(&engine, name).await;
        for _ in 0..3 {
            let error = actor.serve(get(path)).await.unwrap_err();
            assert_eq!(error.code, code, "{name}, pooling {pooling}: {error}");
        }
        eventually("the memory is back", || engine.memory_in_use() == 0).await;
        let stats = actor.stats();
        assert_eq!((stats.instances, stats.calls, stats.errors), (0, 3, 3));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_traps_fails_alone() {
    fails("trap", "/", Code::Trap).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_calls_itself_without_end_traps() {
    fails("recurse", "/", Code::Trap).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_takes_memory_without_end_is_told_apart() {
    fails("hog", "/", Code::MemoryLimit).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_keeps_every_handle_is_stopped() {
    fails("handles", "/", Code::MemoryLimit).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_does_not_answer_is_told_apart() {
    fails("silent", "/", Code::NoAnswer).await;
    fails("silent", "/error", Code::NoAnswer).await;
    fails("exit", "/", Code::NoAnswer).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_fills_headers_without_end_is_stopped() {
    fails("fields", "/", Code::MemoryLimit).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_spins_is_stopped_between_once_and_twice_its_limit() {
    for pooling in [true, false] {
        let actor = limited(&engine(pooling), "spin").await;
        let start = Instant::now();
        let error = actor.serve(get("/")).await.unwrap_err();
        let taken = start.elapsed();
        assert_eq!(error.code, Code::CpuLimit, "{error}");
        println!("stopped after {taken:?} of {:?}", LIMITS.cpu());
        assert!(taken >= LIMITS.cpu(), "{taken:?}");
        assert_eq!(actor.stats().instances, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_spins_behind_its_head_breaks_its_body() {
    let actor = limited(&engine(true), "spin").await;
    let reply = actor.serve(get("/behind-its-head")).await.unwrap();
    assert_eq!(all(reply.body).await.unwrap_err().code, Code::CpuLimit);
    eventually("the instance is gone", || actor.stats().instances == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_traps_behind_its_head_breaks_its_body() {
    for pooling in [true, false] {
        let actor = limited(&engine(pooling), "late_trap").await;
        let reply = actor.serve(get("/")).await.unwrap();
        let error = all(reply.body).await.expect_err("a cut body that looks whole");
        assert_eq!(error.code, Code::Trap, "{error}");
        eventually("the failure counts", || actor.stats().errors == 1).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_waits_past_the_deadline_is_stopped() {
    for pooling in [true, false] {
        let engine = engine(pooling);
        let actor = limited(&engine, "sleepy").await;
        let mut invocation = get("/60000");
        invocation.deadline = Deadline::after(Duration::from_millis(100));
        assert_eq!(actor.serve(invocation).await.unwrap_err().code, Code::DeadlineExceeded);
        assert_eq!((actor.stats().instances, engine.memory_in_use()), (0, 0));
        let start = Instant::now();
        assert_eq!(actor.serve(get("/60000")).await.unwrap_err().code, Code::DeadlineExceeded);
        assert!(start.elapsed() >= LIMITS.time() && start.elapsed() < LIMITS.time() * 3, "{:?}", start.elapsed());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_that_has_passed_costs_no_instance() {
    let actor = limited(&engine(true), "spin").await;
    let mut invocation = get("/");
    invocation.deadline = Deadline::after(Duration::ZERO);
    assert_eq!(actor.serve(invocation).await.unwrap_err().code, Code::DeadlineExceeded);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_reaches_nothing_but_its_links() {
    let actor = limited(&engine(true), "print").await;
    assert_eq!(text(&actor, "/").await, "reached: ");
}

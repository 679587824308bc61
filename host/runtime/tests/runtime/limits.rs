//! Each limit and the guest that runs into it, with instances from the pool and without.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use mesh_lattice::{Code, Deadline, Serve, application::Limits};
use mesh_runtime::{Actor, ActorConfig, Engine};

use crate::{
    guests::{all, component, config, engine, eventually, get, guest, text},
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

/// A handler whose code is this core module, with more of the component behind it.
fn handler(module: &str, more: &str) -> String {
    format!(
        r#"(component
            (import "wasi:http/types@0.2.0" (instance $types
                (export "incoming-request" (type (sub resource)))
                (export "response-outparam" (type (sub resource)))))
            (alias export $types "incoming-request" (type $request))
            (alias export $types "response-outparam" (type $outparam))
            (core module $module {module})
            (core instance $instance (instantiate $module))
            {more}
            (func $handle (param "request" (own $request)) (param "response-out" (own $outparam))
                (canon lift (core func $instance "handle")))
            (instance $handler (export "handle" (func $handle)))
            (export "wasi:http/incoming-handler@0.2.0" (instance $handler)))"#
    )
}

const IDLE: &str = r#"(func (export "handle") (param i32 i32))"#;

/// What no Rust program does: tables, instances and memories beyond what one component may have.
#[tokio::test(flavor = "multi_thread")]
async fn tables_instances_and_memories_are_bounded() {
    let grows = r#"(table $table 1 funcref)
        (func (export "handle") (param i32 i32)
            (loop $again
                (br_if $again (i32.ne (i32.const -1) (table.grow $table (ref.null func) (i32.const 1000))))
                unreachable))"#;
    let large_table = format!("(table 200000 funcref) {IDLE}");
    let large_memory = format!("(memory 400) {IDLE}");
    let instances = "(core instance (instantiate $module))".repeat(120);
    for pooling in [true, false] {
        let engine = engine(pooling);
        for (what, text) in [
            ("a table that grows", handler(grows, "")),
            ("a memory of 25 MiB", handler(&large_memory, "")),
            ("120 instances", handler(IDLE, &instances)),
        ] {
            let config = ActorConfig { limits: LIMITS, ..config("limited") };
            let actor = engine.actor(&component(&text), config, Peer::nobody()).await.unwrap();
            let error = actor.serve(get("/")).await.unwrap_err();
            assert_eq!(error.code, Code::MemoryLimit, "{what}, pooling {pooling}: {error}");
        }
        // The pool has no slot for such a table and says so when the actor starts; without it the first call does.
        let config = ActorConfig { limits: LIMITS, ..config("limited") };
        match engine.actor(&component(&handler(&large_table, "")), config, Peer::nobody()).await {
            Ok(actor) => assert_eq!(actor.serve(get("/")).await.unwrap_err().code, Code::MemoryLimit),
            Err(error) => assert!(error.to_string().contains("table"), "{error}"),
        }
        let empty = handler(IDLE, "");
        let actor = engine.actor(&component(&empty), crate::guests::config("idle"), Peer::nobody()).await.unwrap();
        assert_eq!(actor.serve(get("/")).await.unwrap_err().code, Code::NoAnswer, "the text itself is sound");
        eventually("it is taken down", || engine.memory_in_use() == 0).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_host_call_copies_or_makes_is_bounded() {
    let engine = engine(true);
    let actor = engine.actor(&guest("flood"), config("flood"), Peer::nobody()).await.unwrap();
    let error = actor.serve(get("/header")).await.unwrap_err();
    assert_eq!(error.code, Code::MemoryLimit, "{error}");
    let error = actor.serve(get("/random")).await.unwrap_err();
    assert_eq!(error.code, Code::MemoryLimit, "{error}");
    // Its head may be out by then.
    let error = match actor.serve(get("/body")).await {
        Ok(reply) => all(reply.body).await.expect_err("a cut body that looks whole"),
        Err(error) => error,
    };
    assert_eq!(error.code, Code::MemoryLimit, "{error}");
}

/// Processor time of this thread.
fn used() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(now.tv_sec.try_into().unwrap(), now.tv_nsec.try_into().unwrap())
}

/// On one thread, so that its processor time is the guest's.
#[tokio::test]
async fn a_guest_that_spins_is_stopped_after_its_processor_time_and_before_twice_that() {
    for (pooling, cpu_ms) in [(true, 50), (false, 50), (true, 200), (false, 200)] {
        let (engine, limits) = (engine(pooling), Limits { cpu_ms, ..LIMITS });
        let config = ActorConfig { limits, ..config("limited") };
        let actor = engine.actor(&guest("spin"), config, Peer::nobody()).await.unwrap();
        let (start, before) = (Instant::now(), used());
        let error = actor.serve(get("/")).await.unwrap_err();
        let (taken, wall) = (used() - before, start.elapsed());
        assert_eq!(error.code, Code::CpuLimit, "{error}");
        println!("pooling {pooling}: {:?} allowed, stopped after {taken:?} of the processor, {wall:?}", limits.cpu());
        assert!(taken >= limits.cpu(), "{taken:?}");
        assert!(taken < limits.cpu() * 2 * 3, "{taken:?}: twice is promised");
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

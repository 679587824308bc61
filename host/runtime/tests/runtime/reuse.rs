//! Instances that serve more than one call: what they keep, what is new with each call, and when they go.

use std::{sync::Arc, time::Duration};

use mesh_lattice::{Code, Deadline, Reply, Serve, application::Limits};
use mesh_runtime::{Actor, ActorConfig, Engine};

use crate::{
    guests::{all, config, engine, eventually, get, guest, text},
    peer::Peer,
};

const LIMITS: Limits = Limits { memory_bytes: 16 << 20, cpu_ms: 200, time_ms: 10_000 };

async fn reused(engine: &Engine, reuse: u32) -> Arc<Actor> {
    let config = ActorConfig { limits: LIMITS, reuse, ..config("reused") };
    engine.actor(&guest("reused"), config, Peer::nobody()).await.unwrap()
}

/// What it answers, once its guest has returned as well: the end of the answer may come before that.
async fn told(actor: &Arc<Actor>, path: &str) -> String {
    let answer = text(actor, path).await;
    eventually("the guest has returned", || actor.stats().instances == 0).await;
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_serves_as_many_calls_as_it_is_told_to() {
    for pooling in [true, false] {
        let engine = engine(pooling);
        for (reuse, counts) in [(1, ["1", "1", "1", "1", "1", "1", "1"]), (3, ["1", "2", "3", "1", "2", "3", "1"])] {
            let actor = reused(&engine, reuse).await;
            for count in counts {
                assert_eq!(told(&actor, "/").await, count, "reuse {reuse}");
            }
            eventually("one waits, used or new", || actor.stats().idle == 1).await;
            drop(actor);
            eventually("the idle go with their actor", || engine.memory_in_use() == 0).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_that_failed_or_keeps_something_is_not_used_again() {
    let engine = engine(true);
    for path in ["/trap", "/keep", "/keep-request", "/keep-body"] {
        let actor = reused(&engine, 100).await;
        assert_eq!(told(&actor, "/").await, "1", "before {path}");
        assert_eq!(told(&actor, "/").await, "2", "before {path}");
        match actor.serve(get(path)).await {
            Ok(reply) => drop(all(reply.body).await),
            Err(error) => assert_eq!(error.code, Code::Trap, "{path}: {error}"),
        }
        eventually("the guest is gone", || actor.stats().instances == 0).await;
        assert_eq!(actor.stats().idle, 0, "after {path}");
        assert_eq!(told(&actor, "/").await, "1", "after {path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_whose_caller_went_away_is_not_used_again() {
    let engine = engine(true);
    let actor = reused(&engine, 100).await;
    assert_eq!(told(&actor, "/").await, "1");
    let mut abandoned = actor.serve(get("/sleep"));
    assert!(futures::poll!(&mut abandoned).is_pending());
    assert_eq!(actor.stats().idle, 0, "it took the one that waited");
    drop(abandoned);
    assert_eq!((actor.stats().instances, actor.stats().idle, engine.memory_in_use()), (0, 0, 0));
    assert_eq!(told(&actor, "/").await, "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn processor_time_is_counted_for_each_call_and_memory_over_all_of_them() {
    for pooling in [true, false] {
        let engine = engine(pooling);
        let actor = reused(&engine, 100).await;
        for count in ["1", "2", "3", "4"] {
            assert_eq!(told(&actor, "/work").await, count, "each takes more than half of what one may");
        }
        assert_eq!(told(&actor, "/grow").await, "5");
        assert_eq!(told(&actor, "/grow").await, "6");
        let held = engine.memory_in_use();
        assert!(held > 12 << 20 && held <= LIMITS.memory_bytes, "{held}");
        assert_eq!(actor.serve(get("/grow")).await.unwrap_err().code, Code::MemoryLimit);
        assert_eq!(engine.memory_in_use(), 0);
        assert_eq!(told(&actor, "/").await, "1");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_instances_go_after_a_while_and_at_once_when_the_actor_drains() {
    let engine = engine(true);
    let actor = reused(&engine, 100).await;
    assert_eq!(told(&actor, "/").await, "1");
    assert_eq!(actor.stats().idle, 1);
    assert!(engine.memory_in_use() > 0);
    eventually("it waited long enough", || actor.stats().idle == 0 && engine.memory_in_use() == 0).await;
    assert_eq!(told(&actor, "/").await, "1");
    assert!(actor.drain(Deadline::after(Duration::from_secs(3))).await, "an idle instance is no call that runs");
    assert_eq!((actor.stats().idle, engine.memory_in_use()), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_actor_of_the_same_component_has_instances_of_its_own() {
    let engine = engine(true);
    let (one, other) = (reused(&engine, 100).await, reused(&engine, 100).await);
    for count in ["1", "2", "3"] {
        assert_eq!(text(&one, "/").await, count);
        assert_eq!(text(&other, "/").await, count);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_belongs_to_a_call_ends_with_it() {
    let engine = engine(true);
    let peer = Peer::answering(|_| Ok(Reply::wire(b"\x81\xa2ok\x05".as_slice())));
    let config = ActorConfig { reuse: 100, ..config("visits") };
    let actor = engine.actor(&guest("visits"), config, peer.clone()).await.unwrap();
    assert_eq!(told(&actor, "/choose").await, "chosen");
    assert_eq!(actor.stats().idle, 1);
    assert_eq!(told(&actor, "/").await, "hello 5");
    let asked = peer.asked();
    assert_eq!(asked.last().unwrap().link, "default", "a link name holds for one call");
    assert!(asked.iter().all(|asked| asked.remaining > Duration::ZERO), "so does a deadline");
}

/// Never more instances than the actor may have, idle ones included.
#[tokio::test(flavor = "multi_thread")]
async fn calls_at_once_have_an_instance_each() {
    let engine = engine(true);
    let config = ActorConfig { reuse: 1_000, ..config("reused").with_concurrency(4.try_into().unwrap()) };
    let actor = engine.actor(&guest("reused"), config, Peer::nobody()).await.unwrap();
    for _ in 0..20 {
        let answers = futures::future::join_all((0..12).map(|_| actor.serve(get("/")))).await;
        for answer in answers {
            all(answer.unwrap().body).await.unwrap();
        }
        assert!((1..=4).contains(&actor.stats().idle), "{:?}", actor.stats());
    }
}

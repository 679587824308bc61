//! Instances that are made ahead of their call: as new as any other, given back when no call comes, and never made
//! where that would be seen from outside.

use std::{sync::Arc, time::Duration};

use mesh_lattice::{Deadline, Reply, Serve as _};
use mesh_runtime::{Actor, Engine};

use crate::{
    guests::{alone, component, config, engine, eventually, get, text},
    peer::Peer,
};

async fn until_one_waits(actor: &Arc<Actor>) {
    eventually("one is made", || actor.stats().idle == 1 && actor.stats().instances == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_is_made_behind_an_answer_serves_one_call_and_goes_when_none_comes() {
    for pooling in [true, false] {
        let engine = engine(pooling);
        let actor = alone(&engine, "hello").await;
        assert_eq!(actor.stats().idle, 0, "nobody called yet");
        for _ in 0..5 {
            assert_eq!(text(&actor, "/").await, "1", "it has served nobody before");
            until_one_waits(&actor).await;
            assert!(engine.memory_in_use() > 0, "what waits counts");
        }
        eventually("it waited long enough", || actor.stats().idle == 0 && engine.memory_in_use() == 0).await;
        assert_eq!((actor.stats().calls, actor.stats().errors), (5, 0));
        assert_eq!(text(&actor, "/").await, "1");
        until_one_waits(&actor).await;
        assert!(actor.drain(Deadline::after(Duration::from_secs(3))).await, "it is no call that runs");
        assert_eq!((actor.stats().idle, engine.memory_in_use()), (0, 0));
    }
}

/// A component that calls out while it is instantiated, if it is to; and handles requests by doing nothing.
fn starting(calls_out: bool) -> String {
    let start = if calls_out { "(start $ping)" } else { "" };
    format!(
        r#"(component
            (import "wasi:http/types@0.2.0" (instance $types
                (export "incoming-request" (type (sub resource)))
                (export "response-outparam" (type (sub resource)))))
            (alias export $types "incoming-request" (type $request))
            (alias export $types "response-outparam" (type $outparam))
            (import "test:peer/api" (instance $api (export "ping" (func))))
            (core func $ping (canon lower (func $api "ping")))
            (core module $module
                (import "api" "ping" (func $ping))
                (func (export "handle") (param i32 i32))
                {start})
            (core instance $instance (instantiate $module
                (with "api" (instance (export "ping" (func $ping))))))
            (func $handle (param "request" (own $request)) (param "response-out" (own $outparam))
                (canon lift (core func $instance "handle")))
            (instance $handler (export "handle" (func $handle)))
            (export "wasi:http/incoming-handler@0.2.0" (instance $handler)))"#
    )
}

async fn started(engine: &Engine, calls_out: bool) -> (Arc<Actor>, Arc<Peer>) {
    let peer = Peer::answering(|_| Ok(Reply::wire(b"\xc0".as_slice())));
    let actor = engine.actor(&component(&starting(calls_out)), config("starting"), peer.clone()).await.unwrap();
    (actor, peer)
}

#[tokio::test(flavor = "multi_thread")]
async fn none_is_made_of_what_calls_out_while_it_is_instantiated() {
    let engine = engine(true);
    let (quiet, _) = started(&engine, false).await;
    drop(quiet.serve(get("/")).await);
    until_one_waits(&quiet).await;

    let (loud, peer) = started(&engine, true).await;
    for calls in 1..=5 {
        drop(loud.serve(get("/")).await);
        eventually("the instance is gone", || loud.stats().instances == 0).await;
        assert_eq!(peer.asked().len(), calls, "one for each call, none for what may never come");
    }
    assert!(loud.drain(Deadline::after(Duration::from_secs(3))).await);
    assert_eq!(peer.asked().len(), 5);
    eventually("nothing waits", || quiet.stats().idle == 0 && engine.memory_in_use() == 0).await;
}

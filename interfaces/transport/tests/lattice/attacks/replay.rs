//! Everything that ten thousand calls put on the wire, played back.

use std::{sync::Arc, time::Duration};

use async_nats::Message;
use futures::StreamExt as _;
use mesh_lattice::{Deadline, LatticeName, frame::Frame, subject};
use mesh_transport::refusals::{Kind, Reason};
use tokio::task::JoinSet;

use super::{
    Target,
    raw::{bundle, frames},
};
use crate::fixture::{Enrolled, Host, Server, call, echo, settle, soon};

const CALLS: usize = 10_000;

/// Callers at one time.
const CALLERS: usize = 16;

/// What the callee keeps of a call, it keeps to the call's deadline: after this long it has forgotten every one, and
/// only the session's own window stands between a frame and its execution.
const REST: Duration = Duration::from_secs(10);
const DEADLINE: Duration = Duration::from_secs(5);

async fn make_calls(from: &Host, to: &Host) {
    let mut callers = JoinSet::new();
    for _ in 0..CALLERS {
        let (remote, host) = (from.remote.clone(), to.id.clone());
        callers.spawn(async move {
            for _ in 0..CALLS / CALLERS {
                let mut invocation = call("count", "tick");
                invocation.deadline = Deadline::after(DEADLINE);
                remote.call(&host, invocation).await.unwrap();
            }
        });
    }
    while let Some(ended) = callers.join_next().await {
        ended.unwrap();
    }
}

/// Publishes these messages as they were.
async fn play(client: &async_nats::Client, messages: &[Message]) {
    for message in messages {
        let reply = message.reply.clone().unwrap_or_else(|| "nowhere".into());
        client.publish_with_reply(message.subject.clone(), reply, message.payload.clone()).await.unwrap();
    }
    settle(client).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn captured_traffic_is_never_executed_again() {
    let server = Server::start().await;
    let enrolled = Enrolled::default();
    let target = Target::start(&server, &enrolled).await;
    let honest = Host::start(&server, &enrolled, echo()).await;
    let spy = async_nats::connect(server.url()).await.unwrap();
    let mut wire = spy.subscribe("mesh.>").await.unwrap();
    settle(&spy).await;

    make_calls(&honest, &target.host).await;
    assert_eq!(target.executed(), CALLS as u64, "each call is executed once when it is first sent");
    spy.publish("mesh.end", "".into()).await.unwrap();
    let mut captured = Vec::new();
    loop {
        let message = soon("what was captured", wire.next()).await.unwrap();
        if message.subject.as_str() == "mesh.end" {
            break;
        }
        captured.push(message);
    }
    let lattice = LatticeName::default();
    let on_call = subject::call(&lattice, &target.host.id, target.host.boot);
    let calls: Vec<_> = captured.iter().filter(|message| message.subject.as_str() == on_call).cloned().collect();
    let sealed: Vec<_> = calls.iter().flat_map(|message| frames(&message.payload)).collect();
    assert!(sealed.len() >= CALLS && calls.len() < CALLS, "{} frames in {} messages", sealed.len(), calls.len());
    let of_target = format!("mesh.{lattice}.h.{}.{}.", target.host.id, target.host.boot);
    let to_target = captured.iter().filter(|message| message.subject.starts_with(&of_target));
    let all = to_target.map(|message| frames(&message.payload).len() as u64).sum::<u64>();
    drop(wire);

    let before = target.refusals.of(Kind::Frame);
    assert_eq!(before, 0, "{:?}", target.all());
    play(&spy, &captured).await;
    target.until_refused(Kind::Frame, Reason::Replayed, all).await;
    let another = async_nats::connect(server.url()).await.unwrap();
    play(&another, &captured).await;
    target.until_refused(Kind::Frame, Reason::Replayed, 2 * all).await;
    // Time is what is tested here: nothing happens meanwhile that could be awaited.
    tokio::time::sleep(REST).await;
    play(&another, &captured).await;
    target.until_refused(Kind::Frame, Reason::Replayed, 3 * all).await;
    // Whatever travels with it: each frame alone, and in other company, its own twin included.
    for frame in &sealed {
        another.publish(on_call.clone(), frame.clone()).await.unwrap();
    }
    let mut regrouped = 0;
    for frames in sealed.chunks(31) {
        let frames = [frames, &frames[..1]].concat();
        regrouped += frames.len() as u64;
        another.publish(on_call.clone(), bundle(&frames)).await.unwrap();
    }
    settle(&another).await;
    target.until_refused(Kind::Frame, Reason::Replayed, 3 * all + sealed.len() as u64 + regrouped).await;
    assert_eq!(target.executed(), CALLS as u64);
    assert_eq!(target.host.remote.stats().taken, CALLS as u64);
    assert_eq!(target.refused(Kind::Call, Reason::Duplicate), 0, "no frame came as far as its call");

    let (key, executed) = (Arc::clone(&target.host.key), Arc::clone(&target.executed));
    target.host.stop().await;
    let target = Target::again(&server, &enrolled, key, executed).await;
    let renamed = subject::call(&lattice, &target.host.id, target.host.boot);
    play(&another, &captured).await;
    for message in &calls {
        another.publish(renamed.clone(), message.payload.clone()).await.unwrap();
    }
    target.until_refused(Kind::Frame, Reason::UnknownSession, sealed.len() as u64).await;
    assert_eq!(target.executed(), CALLS as u64);
    // A recorded Hello opens a session for one who cannot seal a frame for it.
    let hellos = captured.iter().filter(|message| matches!(Frame::decode(&message.payload), Ok(Frame::Hello(_))));
    assert_eq!(hellos.count(), 1);
    assert!(target.host.remote.stats().sessions <= 1);

    honest.remote.call(&target.host.id, call("count", "tick")).await.unwrap();
    assert_eq!(target.executed(), CALLS as u64 + 1, "the new boot executes what is honestly sent");
}

//! Hellos that are not what they seem, and too many of them.

use std::{sync::Arc, time::Duration};

use futures::StreamExt as _;
use mesh_claims::keys::{KeyKind, KeyPair};
use mesh_lattice::{
    Code, HostId, LatticeName,
    frame::{Frame, Hello},
    subject,
};
use mesh_transport::refusals::{Kind, Reason};

use super::{
    Target,
    raw::{CALL, Raw, call_frame, statement},
};
use crate::fixture::{Enrolled, Host, Server, call, echo, eventually, soon};

/// Somebody who plays back, invents and floods.
async fn send(raw: &Raw, to: &HostId, hello: &Hello) {
    let question = Frame::Hello(Box::new(hello.clone())).encode();
    let subject = subject::hello(&LatticeName::default(), to);
    raw.client.publish_with_reply(subject, "nowhere", question.into()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hello_that_is_not_its_senders_own_makes_no_session() {
    let server = Server::start().await;
    let enrolled = Enrolled::default();
    let target = Target::start(&server, &enrolled).await;
    let honest = Host::start(&server, &enrolled, echo()).await;
    let to = &target.host.id;
    let raw = Raw::with(&server, KeyPair::generate(KeyKind::Host)).await;
    let sessions = || target.host.remote.stats().sessions;

    // In an enrolled host's name, signed by another key, and with a signature of something else.
    let (mut forged, _) = raw.hello_with(to, |hello| hello.from = honest.id.clone());
    send(&raw, to, &forged).await;
    forged.signature = honest.key.sign(b"something else").to_vec();
    send(&raw, to, &forged).await;
    forged.signature.clear();
    send(&raw, to, &forged).await;
    target.until_refused(Kind::Hello, Reason::Unauthentic, 3).await;

    // Signed as it should be, by a key that is not enrolled.
    send(&raw, to, &raw.hello(to).0).await;
    target.until_refused(Kind::Hello, Reason::Unenrolled, 1).await;

    // For another lattice, for another host, in the callee's own name, with the roles exchanged.
    enrolled.add(&raw.host);
    send(&raw, to, &raw.hello_with(to, |hello| hello.lattice = "other".parse().unwrap()).0).await;
    send(&raw, to, &raw.hello(&honest.id).0).await;
    send(&raw, to, &raw.hello_with(to, |hello| hello.answers = Some([1; 32].into())).0).await;
    target.until_refused(Kind::Hello, Reason::Misdirected, 3).await;
    send(&raw, to, &raw.hello_with(to, |hello| hello.from = to.clone()).0).await;
    target.until_refused(Kind::Hello, Reason::Unenrolled, 2).await;
    send(&raw, to, &raw.hello_with(to, |hello| hello.versions = (9, 9)).0).await;
    target.until_refused(Kind::Hello, Reason::Version, 1).await;
    for garbage in [&b"garbage"[..], b"", &[0x93, 1, 0xdf, 0xff, 0xff, 0xff, 0xff]] {
        let subject = subject::hello(&LatticeName::default(), to);
        raw.client.publish_with_reply(subject, "nowhere", garbage.into()).await.unwrap();
    }
    target.until_refused(Kind::Hello, Reason::Malformed, 3).await;
    assert_eq!(sessions(), 0);

    let sealer = raw.shake_hands(to).await;
    raw.publish_call(to, target.host.boot, sealer.seal(CALL, &call_frame().1)).await;
    target.until_executed(1).await;
    assert_eq!(sessions(), 1, "the one that was honestly made");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recorded_hello_makes_no_second_session_and_its_answer_none_at_all() {
    let server = Server::start().await;
    let enrolled = Enrolled::default();
    let target = Target::start(&server, &enrolled).await;
    let spy = async_nats::connect(server.url()).await.unwrap();
    // Answers go to inboxes, so this one listens to those as well; its own message tells when it listens.
    let mut everything = spy.subscribe(">").await.unwrap();
    spy.publish("listening", "".into()).await.unwrap();
    while soon("the mark", everything.next()).await.unwrap().subject.as_str() != "listening" {}
    let honest = Host::start(&server, &enrolled, echo()).await;
    honest.remote.call(&target.host.id, call("count", "")).await.unwrap();
    let (mut question, mut answer) = (None, None);
    while question.is_none() || answer.is_none() {
        let message = soon("the handshake", everything.next()).await.unwrap();
        let Ok(Frame::Hello(hello)) = Frame::decode(&message.payload) else { continue };
        if hello.from == honest.id { question = Some(hello) } else { answer = Some(hello) }
    }
    let (question, answer) = (question.unwrap(), answer.unwrap());
    let raw = Raw::with(&server, KeyPair::generate(KeyKind::Host)).await;
    for _ in 0..100 {
        send(&raw, &target.host.id, &question).await;
    }
    target.until_refused(Kind::Hello, Reason::Replayed, 100).await;
    // Back to its own sender; the answer to either of them.
    send(&raw, &honest.id, &question).await;
    send(&raw, &honest.id, &answer).await;
    send(&raw, &target.host.id, &answer).await;
    target.until_refused(Kind::Hello, Reason::Misdirected, 1).await;
    eventually("the honest host refuses both", || async { honest.remote.stats().refused_hellos == 2 }).await;
    assert_eq!((target.host.remote.stats().sessions, honest.remote.stats().sessions), (1, 1));
    honest.remote.call(&target.host.id, call("count", "")).await.unwrap();
    assert_eq!(target.executed(), 2);
    assert_eq!(statement(&question).first_chunk(), Some(b"mesh hello\0"), "no answer is a question");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_host_is_refused_at_every_door() {
    let server = Server::start().await;
    let enrolled = Enrolled::default();
    let target = Target::start(&server, &enrolled).await;
    let raw = Raw::with(&server, KeyPair::generate(KeyKind::Host)).await;
    enrolled.add(&raw.host);
    let to = &target.host.id;
    let sealer = raw.shake_hands(to).await;
    raw.publish_call(to, target.host.boot, sealer.seal(CALL, &call_frame().1)).await;
    target.until_executed(1).await;

    enrolled.remove(&raw.host);
    for _ in 0..50 {
        raw.publish_call(to, target.host.boot, sealer.seal(CALL, &call_frame().1)).await;
    }
    target.until_refused(Kind::Call, Reason::Unenrolled, 50).await;
    send(&raw, to, &raw.hello(to).0).await;
    target.until_refused(Kind::Hello, Reason::Unenrolled, 1).await;
    let refused = target.host.remote.call(&raw.host, call("count", "")).await.unwrap_err();
    assert_eq!(refused.code, Code::Unauthenticated, "nor is it called");
    assert_eq!(target.executed(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_hellos_is_bounded_and_takes_nothing_from_those_who_talk_already() {
    const FLOOD: u64 = 20_000;
    let server = Server::start().await;
    let enrolled = Enrolled::default();
    let target = Target::start(&server, &enrolled).await;
    let honest = Host::start(&server, &enrolled, echo()).await;
    let to = target.host.id.clone();
    honest.remote.call(&to, call("count", "")).await.unwrap();
    // The worst that there is: an enrolled host's own key, each Hello fresh and well signed.
    let raw = Arc::new(Raw::with(&server, KeyPair::generate(KeyKind::Host)).await);
    enrolled.add(&raw.host);
    let (hello, _) = raw.hello(&to);
    let mut flood = tokio::task::JoinSet::new();
    let (flooding, flooded) = (Arc::clone(&raw), to.clone());
    flood.spawn(async move {
        for step in 0..FLOOD {
            let mut each = hello.clone();
            each.clock.0 += step;
            // Every tenth has a signature that holds: the others cost their sender less.
            if step % 10 == 0 {
                each.signature = flooding.key.sign(&statement(&each)).to_vec();
            }
            send(&flooding, &flooded, &each).await;
        }
        flooding.settle().await;
    });
    let mut calls = 0;
    while flood.try_join_next().is_none() {
        honest.remote.call(&to, call("count", "")).await.unwrap();
        calls += 1;
        assert!(target.host.remote.stats().sessions <= 66, "half-open sessions are bounded");
    }
    eventually("all of the flood was seen", || async { target.refusals.of(Kind::Hello) + 600 >= FLOOD - FLOOD / 10 })
        .await;
    println!("{calls} calls went through beside {FLOOD} hellos: {:?}", target.all());
    assert!(target.refused(Kind::Hello, Reason::Flooded) > FLOOD / 2, "{:?}", target.all());
    assert!(target.host.remote.stats().sessions <= 66);
    // The next one who comes is let in as soon as the flood is over.
    let newcomer = Host::start(&server, &enrolled, echo()).await;
    eventually("a newcomer is let in", || async {
        let mut invocation = call("count", "");
        invocation.deadline = mesh_lattice::Deadline::after(Duration::from_secs(3));
        newcomer.remote.call(&to, invocation).await.is_ok()
    })
    .await;
}

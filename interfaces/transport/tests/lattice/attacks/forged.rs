//! Calls that were changed on their way, and calls of those who hold no session.

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::StreamExt as _;
use mesh_claims::keys::{KeyKind, KeyPair};
use mesh_lattice::{
    BootId, LatticeName, Monotonic,
    frame::{Frame, Ping},
    subject,
};
use mesh_transport::refusals::{Kind, Reason};

use super::{
    Target,
    raw::{CALL, PREFIX, PULSE, Raw, Sealer, call_frame},
};
use crate::fixture::{Enrolled, Host, Server, call, echo, soon};

/// Forged calls of each kind: a thousand in all.
const EACH: u64 = 200;

/// Where `part` begins in `bytes`.
fn find(bytes: &[u8], part: &[u8]) -> usize {
    bytes.windows(part.len()).position(|window| window == part).unwrap()
}

async fn enrolled_raw(server: &Server, enrolled: &Enrolled) -> Raw {
    let raw = Raw::with(server, KeyPair::generate(KeyKind::Host)).await;
    enrolled.add(&raw.host);
    raw
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_changed_in_any_part_is_not_executed() {
    let server = Server::start().await;
    let enrolled = Enrolled::default();
    let target = Target::start(&server, &enrolled).await;
    let raw = enrolled_raw(&server, &enrolled).await;
    let sealer = raw.shake_hands(&target.host.id).await;
    let to = (&target.host.id, target.host.boot);

    let (call, plain) = call_frame();
    let sealed = sealer.seal(CALL, &plain);
    // MessagePack leaves the leading zeros out: there are more of them on a machine that has just started.
    let deadline = call.deadline.0.0.to_be_bytes();
    let deadline = &deadline[call.deadline.0.0.leading_zeros() as usize / 8..];
    let parts = [
        ("session", 1),
        ("counter", 9),
        ("kind", PREFIX + 1),
        ("id", PREFIX + find(&plain, call.id.0.as_bytes())),
        ("caller", PREFIX + find(&plain, b"web")),
        ("target", PREFIX + find(&plain, b"counter")),
        ("interface", PREFIX + find(&plain, b"test:echo/echo")),
        ("operation", PREFIX + find(&plain, b"count\xa1")),
        ("deadline", PREFIX + find(&plain, deadline)),
        ("body", PREFIX + find(&plain, b"tick")),
        ("tag", sealed.len() - 1),
    ];
    for (part, at) in parts {
        let mut changed = sealed.clone();
        changed[at] ^= 1;
        println!("changed: {part} at {at}");
        raw.publish_call(to.0, to.1, changed).await;
    }
    // Every byte and every bit of the same call; the form, the session's name and the counter among them.
    for at in 0..sealed.len() {
        let mut changed = sealed.clone();
        changed[at] ^= 1 << (at % 8);
        raw.publish_call(to.0, to.1, changed).await;
        raw.publish_call(to.0, to.1, sealed[..at].to_vec()).await;
    }
    raw.settle().await;
    raw.publish_call(to.0, to.1, sealed.clone()).await;
    target.until_executed(1).await;
    raw.publish_call(to.0, to.1, sealed.clone()).await;
    target.until_refused(Kind::Frame, Reason::Replayed, 1).await;
    assert_eq!(target.refusals.of(Kind::Frame), (parts.len() + 2 * sealed.len()) as u64 + 1, "{:?}", target.all());
    assert!(target.refused(Kind::Frame, Reason::Unauthentic) > plain.len() as u64);
    assert_eq!(target.executed(), 1, "the call itself, once, after all of its forgeries");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_forged_calls_are_refused() {
    let server = Server::start().await;
    let enrolled = Enrolled::default();
    let target = Target::start(&server, &enrolled).await;
    let bystander = Target::start(&server, &enrolled).await;
    let honest = Host::start(&server, &enrolled, echo()).await;
    honest.remote.call(&target.host.id, call("count", "")).await.unwrap();
    let raw = enrolled_raw(&server, &enrolled).await;
    let to = (&target.host.id, target.host.boot);
    let sealer = raw.shake_hands(to.0).await;
    raw.publish_call(to.0, to.1, sealer.seal(CALL, &call_frame().1)).await;
    target.until_executed(2).await;

    // Not sealed at all.
    for _ in 0..EACH {
        raw.publish_call(to.0, to.1, call_frame().1).await;
    }
    target.until_refused(Kind::Frame, Reason::Malformed, EACH).await;

    // Sealed for a session that nobody made: a key that is not enrolled gets no answer to its Hello.
    let stranger = Raw::with(&server, KeyPair::generate(KeyKind::Host)).await;
    let (hello, _) = stranger.hello(to.0);
    let asked = stranger.ask(to.0, &hello, std::time::Duration::from_millis(300)).await;
    assert!(asked.is_none(), "a stranger hears nothing");
    target.until_refused(Kind::Hello, Reason::Unenrolled, 1).await;
    for id in 0..EACH {
        let own = Sealer::new(id, [7; 32]);
        raw.publish_call(to.0, to.1, own.seal(CALL, &call_frame().1)).await;
    }
    target.until_refused(Kind::Frame, Reason::UnknownSession, EACH).await;

    // Sealed for a session that lives, with another key.
    for key in 0..EACH {
        let wrong = Sealer::new(sealer.id, [u8::try_from(key).unwrap(); 32]);
        raw.publish_call(to.0, to.1, wrong.seal(CALL, &call_frame().1)).await;
    }
    target.until_refused(Kind::Frame, Reason::Unauthentic, EACH).await;

    // Well sealed, for another host; and as if it belonged to a call that was taken.
    let other = raw.shake_hands(&bystander.host.id).await;
    for _ in 0..EACH {
        raw.publish_call(to.0, to.1, other.seal(CALL, &call_frame().1)).await;
    }
    target.until_refused(Kind::Frame, Reason::UnknownSession, 2 * EACH).await;
    for _ in 0..EACH {
        let (call, plain) = call_frame();
        let io = subject::io(&LatticeName::default(), to.0, to.1, call.id);
        raw.client.publish(io, Bytes::from(sealer.seal(CALL, &plain))).await.unwrap();
    }
    target.until_refused(Kind::Frame, Reason::Unauthentic, 2 * EACH).await;

    assert_eq!((target.executed(), bystander.executed()), (2, 0), "the two honest calls");
    raw.publish_call(to.0, to.1, sealer.seal(CALL, &call_frame().1)).await;
    target.until_executed(3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_sealed_for_an_earlier_boot_is_refused() {
    let server = Server::start().await;
    let enrolled = Enrolled::default();
    let target = Target::start(&server, &enrolled).await;
    let raw = enrolled_raw(&server, &enrolled).await;
    let sealer = raw.shake_hands(&target.host.id).await;
    let before = target.host.boot;
    raw.publish_call(&target.host.id, before, sealer.seal(CALL, &call_frame().1)).await;
    target.until_executed(1).await;

    let (key, executed) = (target.host.key.clone(), target.executed.clone());
    target.host.stop().await;
    let target = Target::again(&server, &enrolled, key, executed).await;
    for _ in 0..EACH {
        for boot in [target.host.boot, before, BootId::new()] {
            raw.publish_call(&target.host.id, boot, sealer.seal(CALL, &call_frame().1)).await;
        }
    }
    target.until_refused(Kind::Frame, Reason::UnknownSession, EACH).await;
    let (hello, _) = raw.hello_with(&target.host.id, |hello| hello.to_boot = Some(before));
    let question = Frame::Hello(Box::new(hello)).encode();
    let subject = subject::hello(&LatticeName::default(), &target.host.id);
    raw.client.publish_with_reply(subject, "nowhere", question.into()).await.unwrap();
    target.until_refused(Kind::Hello, Reason::StaleBoot, 1).await;
    assert_eq!(target.executed(), 1);
    let sealer = raw.shake_hands(&target.host.id).await;
    raw.publish_call(&target.host.id, target.host.boot, sealer.seal(CALL, &call_frame().1)).await;
    target.until_executed(2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn beside_the_calls_only_small_signs_of_life_are_taken_and_few_are_answered() {
    let (server, enrolled) = (Server::start().await, Enrolled::default());
    let target = Target::start(&server, &enrolled).await;
    let raw = enrolled_raw(&server, &enrolled).await;
    let (host, lattice) = (&target.host, LatticeName::default());
    let sealer = raw.shake_hands(&host.id).await;
    let mut answers = raw.client.subscribe(subject::pulse(&lattice, &raw.host, raw.boot)).await.unwrap();
    let publish = async |payload: Vec<u8>| {
        raw.client.publish(subject::pulse(&lattice, &host.id, host.boot), payload.into()).await.unwrap();
    };
    let ping = || Frame::Ping(Ping { nonce: 7, clock: Monotonic::now() }).encode();
    let begun = Instant::now();
    let first = sealer.seal(PULSE, &ping());
    publish(first.clone()).await;
    soon("an answer", answers.next()).await.unwrap();

    for _ in 0..1_000 {
        publish(sealer.seal(PULSE, &ping())).await;
    }
    publish(sealer.seal(PULSE, &call_frame().1)).await;
    target.until_refused(Kind::Frame, Reason::Malformed, 1).await;
    let most = 1 + begun.elapsed().as_millis() / 100;
    let mut answered = 1;
    while tokio::time::timeout(Duration::from_millis(500), answers.next()).await.is_ok() {
        answered += 1;
    }
    println!("{answered} of 1,001 were answered, {most} at most");
    assert!(answered <= most);

    // Not a session of anybody; that is not even looked at where it is too large.
    publish(vec![1; 256]).await;
    target.until_refused(Kind::Frame, Reason::UnknownSession, 1).await;
    publish(vec![1; 257]).await;
    target.until_refused(Kind::Frame, Reason::Malformed, 2).await;
    publish(first).await;
    target.until_refused(Kind::Frame, Reason::Replayed, 1).await;
    publish(sealer.seal(CALL, &ping())).await;
    target.until_refused(Kind::Frame, Reason::Unauthentic, 1).await;
    assert_eq!(target.executed(), 0);
    raw.publish_call(&host.id, host.boot, sealer.seal(CALL, &call_frame().1)).await;
    target.until_executed(1).await;
}

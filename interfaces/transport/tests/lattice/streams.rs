//! Large values and bodies: every byte, in both directions, whatever the sizes.

use bytes::Bytes;
use futures::{StreamExt as _, stream};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use mesh_lattice::{Body, CallError, Code, Reply, invocation::full_body};

use crate::fixture::{Enrolled, Host, Server, call, echo, eventually, pattern, result, serving, soon};

const MAX_PAYLOAD: usize = 1 << 20;

/// A body in pieces of this size, none of which is there at once.
fn pieces(bytes: Bytes, size: usize) -> Body {
    let pieces: Vec<_> = bytes.chunks(size).map(Bytes::copy_from_slice).collect();
    let stream = stream::iter(pieces).then(|piece| async move {
        tokio::task::yield_now().await;
        Ok::<_, CallError>(Frame::data(piece))
    });
    StreamBody::new(stream).boxed_unsync()
}

async fn read(body: Option<Body>) -> Result<Bytes, CallError> {
    Ok(soon("the body", body.unwrap().collect()).await?.to_bytes())
}

fn disconnects(host: &Host) -> u64 {
    host.connections.health().borrow().data_epoch - 1
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_and_values_of_every_size_arrive_as_they_were_sent() {
    let server = Server::start().await;
    let enrolled = Enrolled::default();
    let one = Host::start(&server, &enrolled, echo()).await;
    let other = Host::start(&server, &enrolled, echo()).await;
    let sizes = [0, 1, 65_535, 65_536, 65_537, MAX_PAYLOAD - 1, MAX_PAYLOAD, MAX_PAYLOAD + 1, 16 << 20];
    for size in sizes {
        let bytes = pattern(size);
        for body in [full_body(bytes.clone()), pieces(bytes.clone(), 100_003)] {
            let mut invocation = call("echo", "small");
            invocation.body = Some(body);
            let reply = one.remote.call(&other.id, invocation).await.unwrap();
            assert_eq!(result(&reply), "small");
            assert!(read(reply.body).await.unwrap() == bytes, "a body of {size} bytes");
        }
        let reply = one.remote.call(&other.id, call("echo", bytes.clone())).await.unwrap();
        assert!(result(&reply) == bytes, "a value of {size} bytes");
    }
    let mut both = call("echo", pattern(300_000));
    both.body = Some(pieces(pattern(500_000), 7));
    let reply = one.remote.call(&other.id, both).await.unwrap();
    assert!(result(&reply) == pattern(300_000));
    assert!(read(reply.body).await.unwrap() == pattern(500_000));
    assert_eq!((disconnects(&one), disconnects(&other)), (0, 0));
    for host in [&one, &other] {
        eventually("nothing is left open", || async {
            let stats = host.remote.stats();
            stats.open_in == 0 && stats.open_out == 0
        })
        .await;
        // Credit that finds the outbox full is dropped and said again: how often says how slow the machine is.
        println!("{} frames were dropped", host.remote.stats().dropped);
        assert_eq!(host.remote.stats().rejected_frames, 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_large_bodies_at_once_share_the_credit_and_all_arrive() {
    let server = Server::start().await;
    let enrolled = Enrolled::default();
    let one = Host::start(&server, &enrolled, echo()).await;
    let other = Host::start(&server, &enrolled, echo()).await;
    let calls = (0..40).map(|turn: usize| {
        let (remote, id) = (one.remote.clone(), other.id.clone());
        async move {
            let bytes = pattern((2 << 20) + turn);
            let mut invocation = call("echo", "");
            invocation.body = Some(full_body(bytes.clone()));
            let reply = remote.call(&id, invocation).await.unwrap();
            assert!(read(reply.body).await.unwrap() == bytes, "body {turn}");
        }
    });
    soon("all of them", futures::future::join_all(calls)).await;
    assert_eq!((disconnects(&one), disconnects(&other)), (0, 0));
}

#[tokio::test]
async fn a_slow_reader_slows_its_own_stream_and_nothing_else() {
    let server = Server::start().await;
    let enrolled = Enrolled::default();
    let one = Host::start(&server, &enrolled, echo()).await;
    let sent = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counter = std::sync::Arc::clone(&sent);
    let source = serving(move |_| {
        let sent = std::sync::Arc::clone(&counter);
        async move {
            let stream = stream::iter(0..160).then(move |_| {
                sent.fetch_add(100_000, std::sync::atomic::Ordering::Relaxed);
                async { Ok::<_, CallError>(Frame::data(pattern(100_000))) }
            });
            Ok(Reply {
                answer: mesh_lattice::Answer::Wire("".into()),
                body: Some(StreamBody::new(stream).boxed_unsync()),
            })
        }
    });
    let other = Host::start(&server, &enrolled, source).await;
    let reply = one.remote.call(&other.id, call("read", "")).await.unwrap();
    let mut body = reply.body.unwrap();
    let first = soon("the first bytes", body.frame()).await.unwrap().unwrap();
    let mut read = first.into_data().unwrap().len();
    // While nobody reads, the sender comes to rest far from its end.
    let (mut rest, mut still) = (0, 0);
    eventually("the sender waits", || {
        let now = sent.load(std::sync::atomic::Ordering::Relaxed);
        still = if std::mem::replace(&mut rest, now) == now { still + 1 } else { 0 };
        std::future::ready(still > 30)
    })
    .await;
    assert!(rest < 3_000_000, "{rest} bytes were sent to a reader that does not read");
    // Others are served all the while.
    let quick = soon("another call", one.remote.call(&other.id, call("read", ""))).await.unwrap();
    drop(quick);
    while let Some(frame) = soon("the rest", body.frame()).await {
        read += frame.unwrap().into_data().unwrap().len();
    }
    assert_eq!(read, 16_000_000);
}

#[tokio::test]
async fn a_body_that_breaks_off_says_so_at_the_other_end() {
    let server = Server::start().await;
    let enrolled = Enrolled::default();
    let breaking = serving(|_| async {
        let stream =
            stream::iter([Ok(Frame::data(pattern(200_000))), Err(CallError::new(Code::Trap, "in the middle of it"))]);
        Ok(Reply { answer: mesh_lattice::Answer::Wire("".into()), body: Some(StreamBody::new(stream).boxed_unsync()) })
    });
    let one = Host::start(&server, &enrolled, echo()).await;
    let other = Host::start(&server, &enrolled, breaking).await;
    let reply = one.remote.call(&other.id, call("read", "")).await.unwrap();
    assert_eq!(read(reply.body).await.unwrap_err().code, Code::Trap);
    let mut invocation = call("echo", "");
    let stream =
        stream::iter([Ok(Frame::data(pattern(200_000))), Err(CallError::new(Code::Backend, "the client went away"))]);
    invocation.body = Some(StreamBody::new(stream).boxed_unsync());
    let reply = other.remote.call(&one.id, invocation).await.unwrap();
    assert_eq!(read(reply.body).await.unwrap_err().code, Code::Backend, "through the echo and back");
}

#[tokio::test]
async fn a_reply_that_nobody_reads_on_is_cancelled() {
    let server = Server::start().await;
    let enrolled = Enrolled::default();
    let endless = serving(|_| async {
        let stream = stream::repeat_with(|| Ok::<_, CallError>(Frame::data(pattern(10_000))));
        Ok(Reply { answer: mesh_lattice::Answer::Wire("".into()), body: Some(StreamBody::new(stream).boxed_unsync()) })
    });
    let one = Host::start(&server, &enrolled, echo()).await;
    let other = Host::start(&server, &enrolled, endless).await;
    let mut reply = one.remote.call(&other.id, call("read", "")).await.unwrap();
    soon("some of it", reply.body.as_mut().unwrap().frame()).await.unwrap().unwrap();
    assert_eq!(other.remote.stats().open_in, 1);
    drop(reply);
    eventually("the sender stopped", || async { other.remote.stats().open_in == 0 }).await;
    assert_eq!(one.remote.stats().open_out, 0);
}

#[tokio::test]
async fn a_body_that_the_callee_does_not_read_does_not_hold_the_call_up() {
    let server = Server::start().await;
    let enrolled = Enrolled::default();
    let one = Host::start(&server, &enrolled, echo()).await;
    let other = Host::start(&server, &enrolled, serving(|_| async { Ok(Reply::wire("enough")) })).await;
    let mut invocation = call("skip", "");
    invocation.body = Some(full_body(pattern(8 << 20)));
    let reply = soon("the answer", one.remote.call(&other.id, invocation)).await.unwrap();
    assert_eq!(result(&reply), "enough");
    eventually("nothing is left open", || async { one.remote.stats().open_out == 0 }).await;
    let reply = soon("the next", one.remote.call(&other.id, call("skip", ""))).await.unwrap();
    assert_eq!(result(&reply), "enough");
}

#[tokio::test]
async fn trailers_cross_behind_a_body() {
    let server = Server::start().await;
    let enrolled = Enrolled::default();
    let one = Host::start(&server, &enrolled, echo()).await;
    let other = Host::start(&server, &enrolled, echo()).await;
    let mut trailers = http::HeaderMap::new();
    trailers.insert("x-sum", "42".parse().unwrap());
    let stream = stream::iter([Ok::<_, CallError>(Frame::data("body".into())), Ok(Frame::trailers(trailers.clone()))]);
    let mut invocation = call("echo", "");
    invocation.body = Some(StreamBody::new(stream).boxed_unsync());
    let reply = one.remote.call(&other.id, invocation).await.unwrap();
    let collected = soon("the body", reply.body.unwrap().collect()).await.unwrap();
    assert_eq!(collected.trailers(), Some(&trailers));
    assert_eq!(collected.to_bytes(), "body");
}

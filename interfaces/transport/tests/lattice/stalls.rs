//! Streams when credit, data or ends are lost, and when many readers stand still.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use futures::{StreamExt as _, stream};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use mesh_claims::keys::{KeyKind, KeyPair};
use mesh_lattice::{Answer, Body, CallError, Code, Reply, Serve, invocation::full_body};

use crate::{
    fixture::{Enrolled, Host, Server, call, echo, eventually, pattern, serving, soon},
    proxy::{Proxy, Seen, Verdict, Way},
};

/// Frames of a stream's control are smaller than this, its data larger.
const SMALL: usize = 200;

/// Serves bodies of so many bytes.
fn source(length: usize) -> Arc<dyn Serve> {
    serving(move |_| async move {
        let pieces: Vec<_> = pattern(length).chunks(50_000).map(bytes::Bytes::copy_from_slice).collect();
        let stream = stream::iter(pieces).then(|piece| async move { Ok::<_, CallError>(Frame::data(piece)) });
        Ok(Reply { answer: Answer::Wire("".into()), body: Some(StreamBody::new(stream).boxed_unsync()) })
    })
}

async fn begin_reading(from: &Host, to: &Host) -> Body {
    from.remote.call(&to.id, call("read", "")).await.unwrap().body.unwrap()
}

/// A message that carries control (or data) of streams.
fn is_io(message: &Seen<'_>, way: Way, data: bool) -> bool {
    message.way == way && message.subject.contains(".io.") && (message.length > SMALL) == data
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn credit_that_was_lost_is_given_again() {
    let server = Server::start().await;
    let enrolled = Enrolled::default();
    let proxy = Proxy::start(server.port).await;
    let one = Host::through(&proxy, &enrolled, echo()).await;
    let other = Host::start(&server, &enrolled, source(3_000_000)).await;
    let mut invocation = call("read", "");
    invocation.body = Some(full_body("".into()));
    let lost = Arc::new(AtomicU32::new(0));
    let counter = Arc::clone(&lost);
    proxy.rule(move |message| {
        let credit = is_io(&message, Way::Out, false);
        // The first ones: those that a reader who begins sends all at once.
        let lose = credit && counter.load(Ordering::Relaxed) < 3;
        if lose {
            counter.fetch_add(1, Ordering::Relaxed);
        }
        if lose { Verdict::Lose } else { Verdict::Pass }
    });
    let body = one.remote.call(&other.id, invocation).await.unwrap().body.unwrap();
    let started = Instant::now();
    assert!(soon("the body", body.collect()).await.unwrap().to_bytes() == pattern(3_000_000));
    println!("{} credits lost, the body was there after {:?}", lost.load(Ordering::Relaxed), started.elapsed());
    assert_eq!(lost.load(Ordering::Relaxed), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_piece_that_was_lost_breaks_the_stream_off_at_once() {
    let server = Server::start().await;
    let enrolled = Enrolled::default();
    let proxy = Proxy::start(server.port).await;
    let one = Host::start(&server, &enrolled, echo()).await;
    let other = Host::through(&proxy, &enrolled, source(3_000_000)).await;
    let turn = AtomicU32::new(0);
    proxy.rule(move |message| {
        let data = message.way == Way::Out && message.length > 10_000;
        let lose = data && turn.fetch_add(1, Ordering::Relaxed) == 7;
        if lose { Verdict::Lose } else { Verdict::Pass }
    });
    let started = Instant::now();
    let body = begin_reading(&one, &other).await;
    assert_eq!(soon("the body", body.collect()).await.unwrap_err().code, Code::Lost);
    println!("broken off {:?} after its begin", started.elapsed());
    assert!(started.elapsed() < Duration::from_secs(3));
    eventually("the sender stopped", || async { other.remote.stats().open_in == 0 }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_whose_end_was_lost_is_never_taken_for_whole() {
    let server = Server::start().await;
    let enrolled = Enrolled::default();
    let proxy = Proxy::start(server.port).await;
    let one = Host::start(&server, &enrolled, echo()).await;
    let other = Host::through(&proxy, &enrolled, source(300_000)).await;
    soon("a body that is whole", begin_reading(&one, &other).await.collect()).await.unwrap();
    let begun = AtomicBool::new(false);
    proxy.rule(move |message| {
        if is_io(&message, Way::Out, true) {
            begun.store(true, Ordering::Relaxed);
        }
        // What is small and comes behind data is the end; what comes after that passes.
        let end = is_io(&message, Way::Out, false) && begun.swap(false, Ordering::Relaxed);
        if end { Verdict::Lose } else { Verdict::Pass }
    });
    let body = begin_reading(&one, &other).await;
    let started = Instant::now();
    assert_eq!(soon("the body", body.collect()).await.unwrap_err().code, Code::Lost);
    println!("known to be incomplete after {:?}", started.elapsed());
    assert!(started.elapsed() < Duration::from_secs(9), "not the half minute that a stream may stand still");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_that_stand_still_hold_nobody_else_up() {
    let server = Server::start().await;
    let enrolled = Enrolled::default();
    let one = Host::start(&server, &enrolled, echo()).await;
    let other = Host::start(&server, &enrolled, source(4_000_000)).await;
    let mut still = Vec::new();
    for _ in 0..100 {
        let mut body = begin_reading(&one, &other).await;
        // It takes a while to stand still: each frame that it reads lets the sender go on.
        for _ in 0..3 {
            soon("a frame", body.frame()).await.unwrap().unwrap();
        }
        still.push(body);
    }
    let started = Instant::now();
    for _ in 0..3 {
        let body = begin_reading(&one, &other).await;
        assert!(soon("the body", body.collect()).await.unwrap().to_bytes() == pattern(4_000_000));
    }
    println!("3 bodies of 4 MB beside 100 readers that stand still: {:?}", started.elapsed());
    let last = still.pop().unwrap();
    assert!(soon("one that goes on", last.collect()).await.is_ok());
    assert_eq!(one.connections.health().borrow().data_epoch, 1, "nobody was disconnected");
}

/// A host whose streams may stand still for half a second.
async fn impatient(server: &Server, enrolled: &Enrolled, serve: Arc<dyn Serve>) -> Host {
    let key = Arc::new(KeyPair::generate(KeyKind::Host));
    Host::again(server, enrolled, serve, key, |config| config.idle = Duration::from_millis(500)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_nobody_reads_or_writes_is_given_up() {
    let server = Server::start().await;
    let enrolled = Enrolled::default();
    let one = impatient(&server, &enrolled, echo()).await;
    let other = impatient(&server, &enrolled, source(3_000_000)).await;
    let unread = begin_reading(&one, &other).await;
    eventually("its sender gave it up", || async { other.remote.stats().open_in == 0 }).await;
    assert_eq!(soon("the body", unread.collect()).await.unwrap_err().code, Code::Lost);

    let silent = serving(|_| async {
        let stream = stream::iter([Ok(Frame::data("begun".into()))]).chain(stream::pending());
        Ok(Reply { answer: Answer::Wire("".into()), body: Some(StreamBody::new(stream).boxed_unsync()) })
    });
    let third = impatient(&server, &enrolled, silent).await;
    let mut unwritten = begin_reading(&one, &third).await;
    assert_eq!(soon("a frame", unwritten.frame()).await.unwrap().unwrap().into_data().unwrap(), "begun");
    assert_eq!(soon("an end", unwritten.frame()).await.unwrap().unwrap_err().code, Code::Lost);
    eventually("its sender stopped", || async { third.remote.stats().open_in == 0 }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_readers_who_never_go_on_were_promised_comes_back() {
    let server = Server::start().await;
    let enrolled = Enrolled::default();
    let one = Host::start(&server, &enrolled, echo()).await;
    let other = impatient(&server, &enrolled, source(4_000_000)).await;
    // More than all that this host may promise, at the least that each of them is given.
    let mut still = Vec::new();
    for _ in 0..1_200 {
        still.push(begin_reading(&one, &other).await);
    }
    let body = begin_reading(&one, &other).await;
    let started = Instant::now();
    assert!(soon("the body", body.collect()).await.unwrap().to_bytes() == pattern(4_000_000));
    println!("4 MB beside {} readers that never go on: {:?}", still.len(), started.elapsed());
}

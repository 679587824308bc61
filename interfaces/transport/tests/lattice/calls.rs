//! Short calls: who may, who hears what, and when nothing is done.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use futures::StreamExt as _;
use mesh_lattice::{Answer, Code, Deadline, Params, Reply, subject, wit};

use crate::fixture::{
    Enrolled, Host, Server, begin, call, echo, end, eventually, gated, result, serving, settle, soon,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hosts_call_each_other() {
    let server = Server::start().await;
    let enrolled = Enrolled::default();
    let one = Host::start(&server, &enrolled, echo()).await;
    let other = Host::start(&server, &enrolled, echo()).await;
    for (from, to) in [(&one, &other), (&other, &one)] {
        for turn in 0..20u8 {
            let reply = from.remote.call(&to.id, call("echo", vec![turn; 40])).await.unwrap();
            assert_eq!(result(&reply), vec![turn; 40]);
            assert!(reply.body.is_none());
        }
    }
    let stats = one.remote.stats();
    assert_eq!((stats.sent, stats.taken, stats.rejected_frames, stats.open_in, stats.open_out), (20, 20, 0, 0, 0));
    assert_eq!(stats.sessions, 2, "one for each direction");
}

#[tokio::test]
async fn a_short_call_costs_two_messages() {
    let server = Server::start().await;
    let enrolled = Enrolled::default();
    let one = Host::start(&server, &enrolled, echo()).await;
    let other = Host::start(&server, &enrolled, echo()).await;
    one.remote.call(&other.id, call("echo", "first")).await.unwrap();
    let spy = async_nats::connect(server.url()).await.unwrap();
    let mut messages = spy.subscribe("mesh.>").await.unwrap();
    settle(&spy).await;
    let mut with_body = call("echo", "second");
    with_body.body = Some(mesh_lattice::invocation::full_body("body".into()));
    let reply = one.remote.call(&other.id, with_body).await.unwrap();
    assert!(reply.body.is_some());
    spy.publish("mesh.end", "".into()).await.unwrap();
    let mut seen = Vec::new();
    loop {
        let message = soon("the end", messages.next()).await.unwrap();
        if message.subject.as_str() == "mesh.end" {
            break;
        }
        assert!(!message.payload.windows(6).any(|part| part == b"second"), "payloads are private");
        seen.push(message.subject.rsplit('.').nth(1).unwrap_or_default().to_owned());
    }
    assert_eq!(seen.len(), 2, "{seen:?}");
}

#[tokio::test]
async fn an_http_head_arrives_as_one_and_so_does_its_answer() {
    let server = Server::start().await;
    let enrolled = Enrolled::default();
    let one = Host::start(&server, &enrolled, echo()).await;
    let other = Host::start(
        &server,
        &enrolled,
        serving(|invocation| async move {
            let Params::Http(parts) = invocation.params else { panic!("not a parsed head") };
            let response = http::Response::builder().status(418).header("x-path", parts.uri.path()).body(()).unwrap();
            Ok(Reply { answer: Answer::Http(Box::new(response.into_parts().0)), body: invocation.body })
        }),
    )
    .await;
    let request = http::Request::builder().uri("http://example.com/a?b").body(()).unwrap();
    let mut invocation = call(wit::http::HANDLE, "");
    invocation.interface = "wasi:http/incoming-handler@0.2.2".parse().unwrap();
    invocation.params = Params::Http(Box::new(request.into_parts().0));
    let reply = one.remote.call(&other.id, invocation).await.unwrap();
    let Answer::Http(parts) = reply.answer else { panic!("not a parsed head") };
    assert_eq!((parts.status.as_u16(), parts.headers["x-path"].to_str().unwrap()), (418, "/a"));
}

#[tokio::test]
async fn a_host_that_is_not_enrolled_neither_calls_nor_is_called() {
    let server = Server::start().await;
    let enrolled = Enrolled::default();
    let one = Host::start(&server, &enrolled, echo()).await;
    let all = Enrolled::default();
    all.add(&one.id);
    let stranger = Host::start(&server, &all, echo()).await;
    let refused = stranger.remote.call(&one.id, call("echo", "x")).await.unwrap_err();
    assert_eq!(refused.code, Code::Unavailable);
    assert_eq!(one.remote.stats().taken, 0);
    eventually("the hello was counted", || async { one.remote.stats().refused_hellos >= 1 }).await;
    let refused = one.remote.call(&stranger.id, call("echo", "x")).await.unwrap_err();
    assert_eq!(refused.code, Code::Unauthenticated);
}

#[tokio::test]
async fn a_revoked_host_is_refused_in_the_session_that_it_has() {
    let server = Server::start().await;
    let enrolled = Enrolled::default();
    let one = Host::start(&server, &enrolled, echo()).await;
    // The caller has a list of its own: it goes on trying.
    let own = Enrolled::default();
    own.add(&one.id);
    let other = Host::start(&server, &own, echo()).await;
    enrolled.add(&other.id);
    other.remote.call(&one.id, call("echo", "x")).await.unwrap();
    enrolled.remove(&other.id);
    let refused = other.remote.call(&one.id, call("echo", "x")).await.unwrap_err();
    assert_eq!(refused.code, Code::Unauthenticated);
    assert_eq!(one.remote.stats().taken, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_open_with_a_host_ends_when_it_is_revoked() {
    let server = Server::start().await;
    let enrolled = Enrolled::default();
    let (serve, _gate) = gated();
    let one = Host::start(&server, &enrolled, serve).await;
    let (serve, _gate) = gated();
    let other = Host::start(&server, &enrolled, serve).await;
    let (serve, gate) = gated();
    let third = Host::start(&server, &enrolled, serve).await;
    let (theirs, ours) = (begin(&other, &one, call("wait", "")), begin(&one, &other, call("wait", "")));
    let kept = begin(&one, &third, call("wait", ""));
    eventually("all of them run", || async {
        [&one, &other, &third].map(|host| host.remote.stats().open_in) == [1, 1, 1]
    })
    .await;
    enrolled.remove(&other.id);
    let revoked = Instant::now();
    let lost = end(ours).await.unwrap_err();
    assert_eq!(lost.code, Code::Lost, "{lost}");
    eventually("what it had here stops", || async { one.remote.stats().open_in == 0 }).await;
    println!("over {:?} after it was revoked", revoked.elapsed());
    assert!(revoked.elapsed() < Duration::from_secs(15), "three times the promised five seconds");
    gate.notify_one();
    end(kept).await.unwrap();
    drop(theirs);
}

#[tokio::test]
async fn a_call_that_breaks_its_host_is_answered_at_once_and_the_next_one_as_ever() {
    let server = Server::start().await;
    let enrolled = Enrolled::default();
    let one = Host::start(&server, &enrolled, echo()).await;
    let breaks = serving(|invocation| async move {
        assert_eq!(invocation.operation.as_ref(), "echo", "a defect");
        Ok(Reply::wire("fine"))
    });
    let other = Host::start(&server, &enrolled, breaks).await;
    for _ in 0..3 {
        let error = soon("an answer", one.remote.call(&other.id, call("break", ""))).await.unwrap_err();
        assert_eq!(error.code, Code::Internal, "{error}");
        assert_eq!(result(&one.remote.call(&other.id, call("echo", "")).await.unwrap()), "fine");
    }
    assert_eq!(other.remote.stats().open_in, 0);
}

#[tokio::test]
async fn a_call_that_is_not_admitted_is_not_served() {
    let server = Server::start().await;
    let enrolled = Enrolled::default();
    let one = Host::start(&server, &enrolled, echo()).await;
    let other = Host::start(&server, &enrolled, echo()).await;
    let denied = one.remote.call(&other.id, call("forbidden", "x")).await.unwrap_err();
    assert_eq!(denied.code, Code::Denied);
    assert_eq!((other.remote.stats().refused, other.remote.stats().taken), (1, 0));
}

#[tokio::test]
async fn a_full_host_says_busy_at_once_and_takes_calls_again_later() {
    let server = Server::start().await;
    let enrolled = Enrolled::default();
    let one = Host::start(&server, &enrolled, echo()).await;
    let (slow, gate) = gated();
    let key = Arc::new(mesh_claims::keys::KeyPair::generate(mesh_claims::keys::KeyKind::Host));
    let other = Host::again(&server, &enrolled, slow, key, |config| config.in_flight = 2).await;
    let held = [begin(&one, &other, call("wait", "")), begin(&one, &other, call("wait", ""))];
    eventually("both run", || async { other.remote.stats().open_in == 2 }).await;
    let busy = one.remote.call(&other.id, call("wait", "")).await.unwrap_err();
    assert_eq!(busy.code, Code::Busy);
    assert_eq!(one.remote.load(&other.id).map(|load| load.0), Some(u16::MAX));
    gate.notify_waiters();
    for call in held {
        assert_eq!(result(&end(call).await.unwrap()), "done");
    }
    let last = one.remote.call(&other.id, call("wait", ""));
    let (last, ()) = tokio::join!(last, async {
        eventually("it runs", || async { other.remote.stats().open_in == 1 }).await;
        gate.notify_waiters();
    });
    last.unwrap();
}

#[tokio::test]
async fn a_deadline_stops_the_work_and_a_cancelled_call_is_stopped_at_once() {
    struct Stopped(Arc<AtomicU32>);
    impl Drop for Stopped {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    let server = Server::start().await;
    let enrolled = Enrolled::default();
    let stopped = Arc::new(AtomicU32::new(0));
    let counter = Arc::clone(&stopped);
    let endless = serving(move |_| {
        let stopped = Stopped(Arc::clone(&counter));
        async move {
            let _stopped = stopped;
            std::future::pending().await
        }
    });
    let one = Host::start(&server, &enrolled, echo()).await;
    let other = Host::start(&server, &enrolled, endless).await;
    let mut late = call("wait", "");
    late.deadline = Deadline::after(Duration::from_millis(200));
    assert_eq!(one.remote.call(&other.id, late).await.unwrap_err().code, Code::DeadlineExceeded);
    eventually("the work was stopped", || async { stopped.load(Ordering::Relaxed) == 1 }).await;
    let mut dropped = Box::pin(one.remote.call(&other.id, call("wait", "")));
    tokio::select! {
        _ = &mut dropped => panic!("answered"),
        () = eventually("it runs", || async { other.remote.stats().open_in == 1 }) => {}
    }
    drop(dropped);
    eventually("the work was stopped", || async { stopped.load(Ordering::Relaxed) == 2 }).await;
    assert!(other.remote.stats().cancelled >= 1);
    assert_eq!((one.remote.stats().open_out, other.remote.stats().open_in), (0, 0));
}

#[tokio::test]
async fn a_new_boot_of_a_host_is_found_at_once() {
    let server = Server::start().await;
    let enrolled = Enrolled::default();
    let one = Host::start(&server, &enrolled, echo()).await;
    let other = Host::start(&server, &enrolled, echo()).await;
    one.remote.call(&other.id, call("echo", "x")).await.unwrap();
    let (key, id) = (Arc::clone(&other.key), other.id.clone());
    other.stop().await;
    let started = std::time::Instant::now();
    let nobody = one.remote.call(&id, call("echo", "x")).await.unwrap_err();
    assert_eq!(nobody.code, Code::Unavailable);
    assert!(started.elapsed() < Duration::from_secs(1), "no responders is known at once");
    let again = Host::again(&server, &enrolled, echo(), key, |_| {}).await;
    // Who was just found away is not asked again for a moment.
    eventually("the new boot is found", || async {
        one.remote.call(&again.id, call("echo", "y")).await.is_ok_and(|reply| result(&reply) == "y")
    })
    .await;
}

#[tokio::test]
async fn frames_that_were_changed_or_recorded_are_not_executed() {
    let server = Server::start().await;
    let enrolled = Enrolled::default();
    let executed = Arc::new(AtomicU32::new(0));
    let counter = Arc::clone(&executed);
    let counting = serving(move |_| {
        counter.fetch_add(1, Ordering::Relaxed);
        async { Ok(Reply::wire("done")) }
    });
    let one = Host::start(&server, &enrolled, echo()).await;
    let other = Host::start(&server, &enrolled, counting).await;
    let spy = async_nats::connect(server.url()).await.unwrap();
    let lattice = mesh_lattice::LatticeName::default();
    let mut recorded = spy.subscribe(subject::call(&lattice, &other.id, other.boot)).await.unwrap();
    let mut hellos = spy.subscribe(subject::hello(&lattice, &other.id)).await.unwrap();
    settle(&spy).await;
    for _ in 0..50 {
        one.remote.call(&other.id, call("count", "x")).await.unwrap();
    }
    let hello = soon("the hello", hellos.next()).await.unwrap();
    let mut frames = Vec::new();
    for _ in 0..50 {
        frames.push(soon("the calls", recorded.next()).await.unwrap());
    }
    // The recorded hello makes a session that nobody can use, and takes nothing from the one that is used.
    for _ in 0..100 {
        spy.publish_with_reply(hello.subject.clone(), "x.y", hello.payload.clone()).await.unwrap();
    }
    for frame in &frames {
        spy.publish(frame.subject.clone(), frame.payload.clone()).await.unwrap();
        let mut changed = frame.payload.to_vec();
        let at = changed.len() - 20;
        changed[at] ^= 1;
        spy.publish(frame.subject.clone(), changed.into()).await.unwrap();
        let io = subject::io(&lattice, &other.id, other.boot, mesh_lattice::CallId::new());
        spy.publish(io, frame.payload.clone()).await.unwrap();
        spy.publish(frame.subject.clone(), "garbage".into()).await.unwrap();
    }
    spy.flush().await.unwrap();
    eventually("all were refused", || async { other.remote.stats().rejected_frames == 200 }).await;
    one.remote.call(&other.id, call("count", "x")).await.unwrap();
    assert_eq!(executed.load(Ordering::Relaxed), 51);
}

#[tokio::test]
async fn a_drained_host_ends_what_it_took_and_takes_nothing_new() {
    let server = Server::start().await;
    let enrolled = Enrolled::default();
    let (slow, gate) = gated();
    let one = Host::start(&server, &enrolled, echo()).await;
    let other = Host::start(&server, &enrolled, slow).await;
    let held = begin(&one, &other, call("wait", ""));
    eventually("it runs", || async { other.remote.stats().open_in == 1 }).await;
    assert!(!other.remote.drain(Duration::from_millis(100)).await, "one call is still open");
    let refused = one.remote.call(&other.id, call("wait", "")).await.unwrap_err();
    assert_eq!(refused.code, Code::Unavailable);
    gate.notify_waiters();
    assert!(other.remote.drain(Duration::from_secs(5)).await);
    assert_eq!(result(&end(held).await.unwrap()), "done");
}

#[tokio::test]
async fn a_host_that_drains_tells_whoever_calls_it_before_they_ask() {
    let server = Server::start().await;
    let enrolled = Enrolled::default();
    let one = Host::start(&server, &enrolled, echo()).await;
    let other = Host::start(&server, &enrolled, echo()).await;
    one.remote.call(&other.id, call("count", "")).await.unwrap();
    assert!(other.remote.drain(Duration::from_secs(5)).await);
    eventually("nothing is sent to it any more", || async {
        let sent = one.remote.stats().sent;
        let refused = one.remote.call(&other.id, call("count", "")).await;
        refused.is_err_and(|error| error.code == Code::Unavailable) && one.remote.stats().sent == sent
    })
    .await;
}

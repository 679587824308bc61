//! What holds when messages are lost, repeated, late or overtaken, and when a host says nothing any more.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use http_body_util::BodyExt as _;
use mesh_lattice::{CallId, Code, Deadline, Invocation, Params, Reply, Serve, invocation::full_body};
use tokio::task::JoinSet;

use crate::{
    fixture::{Enrolled, Host, Server, begin, call, echo, end, eventually, gated, pattern, result, serving, soon},
    proxy::{Proxy, Seen, Verdict, Way},
};

/// How often each call ran.
#[derive(Clone, Default)]
struct Ledger(Arc<Mutex<HashMap<CallId, u32>>>);

impl Ledger {
    /// Answers each call with how many ran before it.
    fn serve(&self) -> Arc<dyn Serve> {
        let ledger = self.clone();
        serving(move |invocation| {
            let mut runs = ledger.0.lock().unwrap();
            *runs.entry(invocation.id).or_default() += 1;
            let answer = format!("run {}", runs.len());
            async move { Ok(Reply::wire(answer)) }
        })
    }

    fn runs(&self) -> usize {
        self.0.lock().unwrap().values().map(|runs| *runs as usize).sum()
    }

    fn most(&self) -> u32 {
        self.0.lock().unwrap().values().copied().max().unwrap_or(0)
    }
}

/// Two hosts that have spoken already, the path of one of them in our hands.
struct Pair {
    /// Calls.
    one: Host,
    /// Is called.
    other: Host,
    proxy: Proxy,
    _server: Server,
}

impl Pair {
    async fn caller_behind_proxy(serve: Arc<dyn Serve>) -> Self {
        let (server, enrolled) = (Server::start().await, Enrolled::default());
        let proxy = Proxy::start(server.port).await;
        let one = Host::through(&proxy, &enrolled, echo()).await;
        let other = Host::start(&server, &enrolled, serve).await;
        Self { one, other, proxy, _server: server }.that_have_spoken().await
    }

    async fn callee_behind_proxy(serve: Arc<dyn Serve>) -> Self {
        let (server, enrolled) = (Server::start().await, Enrolled::default());
        let proxy = Proxy::start(server.port).await;
        let one = Host::start(&server, &enrolled, echo()).await;
        let other = Host::through(&proxy, &enrolled, serve).await;
        Self { one, other, proxy, _server: server }.that_have_spoken().await
    }

    async fn that_have_spoken(self) -> Self {
        self.one.remote.call(&self.other.id, call("count", "")).await.unwrap();
        self
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_comes_twice_runs_once() {
    let ledger = Ledger::default();
    let Pair { one, other, proxy, _server } = Pair::caller_behind_proxy(ledger.serve()).await;
    proxy.rule(|message| if message.subject.contains(".h.") { Verdict::Twice } else { Verdict::Pass });
    for _ in 0..200 {
        one.remote.call(&other.id, call("count", "")).await.unwrap();
    }
    assert_eq!((ledger.runs(), ledger.most()), (201, 1));
    eventually("each copy was refused", || async { other.remote.stats().rejected_frames >= 200 }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_reply_is_said_again_and_the_call_does_not_run_again() {
    let ledger = Ledger::default();
    let Pair { one, other, proxy, _server } = Pair::callee_behind_proxy(ledger.serve()).await;
    let pass = Arc::new(AtomicBool::new(false));
    let passing = Arc::clone(&pass);
    proxy.rule(move |message| {
        let lose = message.way == Way::Out && message.subject.contains(".io.") && !passing.load(Ordering::Relaxed);
        if lose { Verdict::Lose } else { Verdict::Pass }
    });
    let started = Instant::now();
    let calls: Vec<_> = (0..20).map(|_| begin(&one, &other, call("count", ""))).collect();
    eventually("all were sent again", || async { one.remote.stats().resent >= 20 }).await;
    pass.store(true, Ordering::Relaxed);
    let mut answers = Vec::new();
    for call in calls {
        answers.push(result(&end(call).await.unwrap()));
    }
    println!("20 lost replies came {:?} after their calls", started.elapsed());
    answers.sort_unstable();
    answers.dedup();
    assert_eq!(answers.len(), 20, "each call has the reply of its own run");
    assert_eq!((ledger.runs(), ledger.most()), (21, 1));
    assert!(one.remote.stats().resent >= 20 && other.remote.stats().repeated >= 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_call_is_sent_again_and_runs_once() {
    let ledger = Ledger::default();
    let Pair { one, other, proxy, _server } = Pair::caller_behind_proxy(ledger.serve()).await;
    let first = AtomicU32::new(0);
    proxy.rule(move |message| {
        // All first copies, and as many of those that follow.
        let io = message.way == Way::Out && message.subject.contains(".io.");
        let lost = message.way == Way::Out && message.subject.ends_with(".call")
            || io && first.fetch_add(1, Ordering::Relaxed) < 20;
        if lost { Verdict::Lose } else { Verdict::Pass }
    });
    let calls: Vec<_> = (0..20).map(|_| begin(&one, &other, call("count", ""))).collect();
    for call in calls {
        end(call).await.unwrap();
    }
    assert_eq!((ledger.runs(), ledger.most()), (21, 1));
    assert!(one.remote.stats().resent >= 30);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_was_lost_on_its_way_to_a_host_that_drains_can_be_made_elsewhere() {
    let ledger = Ledger::default();
    let Pair { one, other, proxy, _server } = Pair::caller_behind_proxy(ledger.serve()).await;
    let lost = Arc::new(AtomicU32::new(0));
    let seen = Arc::clone(&lost);
    proxy.rule(move |message| {
        let call = message.way == Way::Out && message.subject.contains(".h.");
        seen.fetch_add(u32::from(call && message.subject.ends_with(".call")), Ordering::Relaxed);
        if call { Verdict::Lose } else { Verdict::Pass }
    });
    let calling = begin(&one, &other, call("count", ""));
    eventually("the call is lost", || async { lost.load(Ordering::Relaxed) == 1 }).await;
    assert!(other.remote.drain(Duration::from_secs(5)).await);
    proxy.rule(|_| Verdict::Pass);
    // It is no "busy", which nobody waits after: the host goes, and another one may have come.
    assert_eq!(end(calling).await.unwrap_err().code, Code::Unavailable);
    assert_eq!((ledger.runs(), one.remote.stats().open_out), (1, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_its_own_copy_overtook_runs_once() {
    let ledger = Ledger::default();
    let Pair { one, other, proxy, _server } = Pair::caller_behind_proxy(ledger.serve()).await;
    proxy.rule(|message| {
        let first = message.way == Way::Out && message.subject.ends_with(".call");
        if first { Verdict::Late(Duration::from_millis(600)) } else { Verdict::Pass }
    });
    let calls: Vec<_> = (0..20).map(|_| begin(&one, &other, call("count", ""))).collect();
    for call in calls {
        end(call).await.unwrap();
    }
    eventually("the first copies came too", || async { other.remote.stats().repeated >= 20 }).await;
    assert_eq!((ledger.runs(), ledger.most()), (21, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reply_that_is_no_longer_kept_is_lost_and_says_so() {
    let ledger = Ledger::default();
    let counting = ledger.clone();
    let large = serving(move |invocation| {
        *counting.0.lock().unwrap().entry(invocation.id).or_default() += 1;
        async { Ok(Reply::wire(vec![7; 60_000])) }
    });
    let Pair { one, other, proxy, _server } = Pair::callee_behind_proxy(large).await;
    let mut unlucky = call("count", "");
    unlucky.deadline = Deadline::after(Duration::from_secs(15));
    let token = unlucky.id.to_string();
    let id = unlucky.id;
    proxy.rule(move |message| {
        let reply = message.way == Way::Out && message.subject.ends_with(&token);
        if reply { Verdict::Lose } else { Verdict::Pass }
    });
    let unlucky = begin(&one, &other, unlucky);
    eventually("it ran", || async { ledger.0.lock().unwrap().contains_key(&id) }).await;
    for _ in 0..300 {
        one.remote.call(&other.id, call("count", "")).await.unwrap();
    }
    proxy.pass();
    assert_eq!(end(unlucky).await.unwrap_err().code, Code::ReplyLost);
    assert_eq!((ledger.runs(), ledger.most()), (302, 1));
    assert!(other.remote.stats().reply_lost >= 1, "said as often as it was asked after");
}

#[tokio::test]
async fn a_call_that_takes_long_is_announced_and_not_sent_again() {
    let server = Server::start().await;
    let enrolled = Enrolled::default();
    let (slow, gate) = gated();
    let one = Host::start(&server, &enrolled, echo()).await;
    let other = Host::start(&server, &enrolled, slow).await;
    let long = begin(&one, &other, call("wait", ""));
    let begun = Instant::now();
    eventually("it is announced", || async { one.remote.stats().accepted == 1 }).await;
    eventually("silence would be over", || async { begun.elapsed() > Duration::from_millis(600) }).await;
    let stats = one.remote.stats();
    assert_eq!((stats.resent, stats.silent), (0, 0));
    gate.notify_waiters();
    end(long).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_held_up_past_its_deadline_does_not_run() {
    let ledger = Ledger::default();
    let Pair { one, other, proxy, _server } = Pair::callee_behind_proxy(ledger.serve()).await;
    proxy.hold();
    let calls: Vec<_> = (0..20)
        .map(|_| {
            let mut late = call("count", "");
            late.deadline = Deadline::after(Duration::from_millis(400));
            begin(&one, &other, late)
        })
        .collect();
    for call in calls {
        assert_eq!(end(call).await.unwrap_err().code, Code::DeadlineExceeded);
    }
    proxy.release();
    // What a machine that stood still began too late was never sent: the host was silent by then.
    let sent = one.remote.stats().sent - 1;
    assert!(sent > 0);
    eventually("all of them came", || async { other.remote.stats().expired >= sent }).await;
    assert_eq!(ledger.runs(), 1, "nothing ran after its deadline");
    one.remote.call(&other.id, call("count", "")).await.unwrap();
    assert_eq!(ledger.runs(), 2, "what is in time runs");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_says_nothing_is_known_within_a_second_and_its_calls_are_lost() {
    let server = Server::start().await;
    let (enrolled, ledger) = (Enrolled::default(), Ledger::default());
    let proxy = Proxy::start(server.port).await;
    let one = Host::start(&server, &enrolled, echo()).await;
    let pending = serving(|invocation| async move {
        if invocation.operation.as_ref() == "wait" {
            std::future::pending::<()>().await;
        }
        Ok(Reply::wire("done"))
    });
    let other = Host::through(&proxy, &enrolled, pending).await;
    let third = Host::start(&server, &enrolled, ledger.serve()).await;
    one.remote.call(&other.id, call("go", "")).await.unwrap();
    let mut long = call("wait", "");
    long.deadline = Deadline::after(Duration::from_secs(60));
    let long = begin(&one, &other, long);
    eventually("it runs", || async { one.remote.stats().accepted == 1 }).await;
    proxy.rule(|_| Verdict::Lose);
    let silent = Instant::now();
    // One that may run twice is given up and made elsewhere.
    let left = one.remote.call_unless_silent(&other.id, call("go", ""), &|| true).await.unwrap_err();
    assert_eq!(left.code, Code::Lost);
    assert!(one.remote.is_silent(&other.id) && !one.remote.is_silent(&third.id));
    one.remote.call(&third.id, call("go", "")).await.unwrap();
    println!("routed around {:?} after the host fell silent", silent.elapsed());
    assert!(silent.elapsed() < Duration::from_secs(3), "three times the promised second");
    // One that may not is lost: whether it ran is unknown.
    let lost = end(long).await.unwrap_err();
    println!("the call that it held was lost after {:?}", silent.elapsed());
    assert_eq!(lost.code, Code::Lost);
    assert!(silent.elapsed() < Duration::from_secs(6));
    assert_eq!(one.remote.stats().lost, 1);
    assert!(one.remote.is_silent(&other.id), "until it is heard");
    proxy.pass();
    let back = Instant::now();
    eventually("it is heard again", || async { !one.remote.is_silent(&other.id) }).await;
    println!("heard again {:?} after it could be", back.elapsed());
    one.remote.call(&other.id, call("go", "")).await.unwrap();
}

/// Each frame of a stream takes as long as at 150 KiB a second.
fn slow_line(way: Way) -> impl Fn(Seen<'_>) -> Verdict {
    move |message| match message.length {
        length @ 10_000.. if message.way == way => Verdict::Slow(Duration::from_secs_f64(length as f64 / 150_000.0)),
        _ => Verdict::Pass,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_on_a_slow_line_is_not_taken_for_gone_and_takes_nobody_for_gone() {
    let (server, enrolled) = (Server::start().await, Enrolled::default());
    let proxy = Proxy::start(server.port).await;
    let edge = serving(|invocation| async move {
        if invocation.operation.as_ref() == "wait" {
            tokio::time::sleep(Duration::from_secs(4)).await;
        }
        Ok(Reply { body: Some(full_body(pattern(900_000))), ..Reply::wire("done") })
    });
    let edge = Host::through(&proxy, &enrolled, edge).await;
    let one = Host::start(&server, &enrolled, echo()).await;
    let slow = serving(|_| async {
        tokio::time::sleep(Duration::from_secs(4)).await;
        Ok(Reply::wire("done"))
    });
    let third = Host::start(&server, &enrolled, slow).await;
    one.remote.call(&edge.id, call("go", "")).await.unwrap();
    third.remote.call(&edge.id, call("go", "")).await.unwrap();
    for way in [Way::Out, Way::In] {
        proxy.rule(slow_line(way));
        let mut sent = call("go", "");
        if way == Way::In {
            sent.body = Some(full_body(pattern(900_000)));
        }
        // Six seconds of streams on the line, and meanwhile calls between the edge and a host that has no part in it.
        let streams = one.remote.call(&edge.id, sent).await.unwrap();
        let wait = || Invocation { deadline: Deadline::after(Duration::from_secs(60)), ..call("wait", "") };
        let (to, from) = (begin(&third, &edge, wait()), begin(&edge, &third, wait()));
        let started = Instant::now();
        end(from).await.unwrap();
        end(to).await.unwrap();
        println!("{way:?}: both calls were answered after {:?}", started.elapsed());
        assert!(streams.body.unwrap().collect().await.unwrap().to_bytes() == pattern(900_000));
    }
    assert_eq!(one.remote.stats().lost + third.remote.stats().lost + edge.remote.stats().lost, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_use_a_line_that_is_far_away_in_either_direction() {
    let (server, enrolled) = (Server::start().await, Enrolled::default());
    let proxy = Proxy::start(server.port).await;
    let serve = serving(|invocation| async move {
        let body = match invocation.body {
            Some(body) => body.collect().await?.to_bytes().len().to_string().into(),
            None => pattern(1_500_000),
        };
        Ok(Reply { body: Some(full_body(body)), ..Reply::wire("done") })
    });
    let one = Host::start(&server, &enrolled, echo()).await;
    let other = Host::through(&proxy, &enrolled, serve).await;
    proxy.rule(|_| Verdict::Late(Duration::from_millis(300)));
    for upload in [true, false] {
        let mut sent = call("read", "");
        sent.body = upload.then(|| full_body(pattern(1_500_000)));
        let begun = Instant::now();
        let body = one.remote.call(&other.id, sent).await.unwrap().body.unwrap().collect().await.unwrap().to_bytes();
        println!("upload: {upload}: 1.5 MB over a line of 600 ms took {:?}", begun.elapsed());
        assert!(body == if upload { "1500000".into() } else { pattern(1_500_000) });
        assert!(begun.elapsed() < Duration::from_secs(18), "three times what it takes");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_goes_on_beside_a_download_that_fills_the_line_the_other_way() {
    let (server, enrolled) = (Server::start().await, Enrolled::default());
    let proxy = Proxy::start(server.port).await;
    let came = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&came);
    let serve = serving(move |mut invocation| {
        let counter = Arc::clone(&counter);
        async move {
            match &mut invocation.body {
                Some(body) => {
                    while let Some(frame) = body.frame().await {
                        counter.fetch_add(frame?.into_data().map_or(0, |data| data.len()), Ordering::Relaxed);
                    }
                    Ok(Reply::wire("done"))
                }
                None => Ok(Reply { body: Some(full_body(pattern(30_000_000))), ..Reply::wire("done") }),
            }
        }
    });
    let edge = Host::through(&proxy, &enrolled, serve).await;
    let [one, other] = [Host::start(&server, &enrolled, echo()).await, Host::start(&server, &enrolled, echo()).await];
    for from in [&one, &other] {
        from.remote.call(&edge.id, call("read", "")).await.unwrap();
    }
    // What leaves the edge is slow, what comes there is not.
    proxy.rule(|message| match message.length {
        length @ 1_000.. if message.way == Way::Out => Verdict::Slow(Duration::from_micros(length as u64)),
        _ => Verdict::Pass,
    });
    let download = one.remote.call(&edge.id, call("read", "")).await.unwrap().body.unwrap();
    let _download = JoinSet::from_iter([download.collect()]);
    let mut sent = call("write", "");
    sent.deadline = Deadline::after(Duration::from_secs(60));
    sent.body = Some(full_body(vec![7; 400_000_000].into()));
    let _upload = begin(&other, &edge, sent);
    let credit = 1 << 20;
    let begun = Instant::now();
    let mut due = 2 * credit;
    while begun.elapsed() < Duration::from_secs(30) && came.load(Ordering::Relaxed) < 8 * credit {
        tokio::time::sleep(Duration::from_millis(50)).await;
        if came.load(Ordering::Relaxed) >= due {
            println!("{} MiB up after {:?}, beside a download of 1 MB a second", due / credit, begun.elapsed());
            due += credit;
        }
    }
    let came = came.load(Ordering::Relaxed);
    assert!(
        came >= 8 * credit,
        "{came} B: all but the first credit waits behind the download a quarter of a second each"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_lives_where_no_call_reaches_it_is_silent_and_keeps_what_it_holds() {
    let (serve, gate) = gated();
    let Pair { one, other, proxy, _server } = Pair::callee_behind_proxy(serve).await;
    let held = begin(&one, &other, call("wait", ""));
    eventually("it runs", || async { one.remote.stats().accepted == 1 }).await;
    // The server's own pings, which have no subject, pass too: else it ends the connection.
    proxy.rule(|message| match message.subject {
        "" => Verdict::Pass,
        subject if subject.ends_with(".pulse") => Verdict::Pass,
        _ => Verdict::Lose,
    });
    eventually("it is silent", || async { one.remote.is_silent(&other.id) }).await;
    let silent = Instant::now();
    while silent.elapsed() < Duration::from_secs(4) {
        assert!(one.remote.is_silent(&other.id), "signs of life beside the calls bring no new ones there");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(one.remote.stats().lost, 0, "it answers that it lives");
    proxy.pass();
    gate.notify_one();
    end(held).await.unwrap();
    assert!(!one.remote.is_silent(&other.id));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_that_a_killed_boot_held_are_lost_and_new_ones_find_the_next_boot() {
    let server = Server::start().await;
    let enrolled = Enrolled::default();
    let one = Host::start(&server, &enrolled, echo()).await;
    let endless = serving(|_| async { std::future::pending().await });
    let other = Host::start(&server, &enrolled, endless).await;
    let held = begin(&one, &other, call("wait", ""));
    eventually("it runs", || async { one.remote.stats().accepted == 1 }).await;
    let key = Arc::clone(&other.key);
    other.kill().await;
    let killed = Instant::now();
    let again = Ledger::default();
    let next = Host::again(&server, &enrolled, again.serve(), key, |_| {}).await;
    one.remote.call(&next.id, call("count", "")).await.unwrap();
    println!("the next boot was found {:?} after the kill", killed.elapsed());
    let lost = end(held).await.unwrap_err();
    println!("the call that the killed boot held was lost after {:?}", killed.elapsed());
    assert_eq!(lost.code, Code::Lost);
    assert!(killed.elapsed() < Duration::from_secs(6));
    assert_eq!(again.runs(), 1, "it did not run again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancelled_call_stops_within_a_tenth_of_a_second_and_frees_its_slot() {
    struct Stopped(Arc<Mutex<Option<Instant>>>);
    impl Drop for Stopped {
        fn drop(&mut self) {
            *self.0.lock().unwrap() = Some(Instant::now());
        }
    }
    let server = Server::start().await;
    let enrolled = Enrolled::default();
    let stopped = Arc::new(Mutex::new(None));
    let noted = Arc::clone(&stopped);
    let endless = serving(move |_| {
        let stopped = Stopped(Arc::clone(&noted));
        async move {
            let _stopped = stopped;
            std::future::pending().await
        }
    });
    let key = Arc::new(mesh_claims::keys::KeyPair::generate(mesh_claims::keys::KeyKind::Host));
    let one = Host::start(&server, &enrolled, echo()).await;
    let other = Host::again(&server, &enrolled, endless, key, |config| config.in_flight = 1).await;
    for _ in 0..5 {
        let mut held = begin(&one, &other, call("wait", ""));
        eventually("it runs", || async { other.remote.stats().open_in == 1 }).await;
        let dropped = Instant::now();
        held.abort_all();
        while held.join_next().await.is_some() {}
        eventually("the slot is free", || async { other.remote.stats().open_in == 0 }).await;
        let took = stopped.lock().unwrap().take().unwrap() - dropped;
        println!("stopped {took:?} after its caller went away");
        assert!(took < Duration::from_millis(300), "three times the promised tenth of a second");
    }
    assert_eq!(other.remote.stats().cancelled, 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_and_nothing_runs_twice_while_the_server_is_killed_again_and_again() {
    let mut server = Server::start().await;
    let (enrolled, ledger) = (Enrolled::default(), Ledger::default());
    let one = Host::start(&server, &enrolled, echo()).await;
    let other = Host::start(&server, &enrolled, ledger.serve()).await;
    one.remote.call(&other.id, call("count", "")).await.unwrap();
    let (done, stop) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicU32::new(0)));
    let mut workers = JoinSet::new();
    for _ in 0..16 {
        let (remote, id) = (one.remote.clone(), other.id.clone());
        let (done, stop) = (Arc::clone(&done), Arc::clone(&stop));
        workers.spawn(async move {
            while stop.load(Ordering::Relaxed) == 0 {
                let mut invocation = call("count", "");
                invocation.deadline = Deadline::after(Duration::from_secs(10));
                remote.call(&id, invocation).await.unwrap();
                done.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    let mut slowest = Duration::ZERO;
    for outage in [0, 100, 1_000, 0, 300] {
        let before = done.load(Ordering::Relaxed);
        eventually("there is load", || async { done.load(Ordering::Relaxed) > before + 200 }).await;
        server.kill();
        let away = Instant::now();
        eventually("the outage is over", || async { away.elapsed() >= Duration::from_millis(outage) }).await;
        server.run().await;
        let (back, before) = (Instant::now(), done.load(Ordering::Relaxed));
        eventually("calls are answered again", || async { done.load(Ordering::Relaxed) > before + 16 }).await;
        slowest = slowest.max(back.elapsed());
    }
    stop.store(1, Ordering::Relaxed);
    while let Some(worker) = soon("the workers", workers.join_next()).await {
        worker.unwrap();
    }
    let (done, runs) = (done.load(Ordering::Relaxed) + 1, ledger.runs());
    println!("{done} calls through 5 kills, {} sent again; slowest recovery {slowest:?}", one.remote.stats().resent);
    assert_eq!((runs, ledger.most()), (done, 1), "each call ran once");
    assert!(slowest < Duration::from_secs(6), "three times the promised two seconds");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lossy_line_loses_no_call_and_runs_none_twice() {
    let server = Server::start().await;
    let (enrolled, ledger) = (Enrolled::default(), Ledger::default());
    let (near, far) = (Proxy::start(server.port).await, Proxy::start(server.port).await);
    let one = Host::through(&near, &enrolled, echo()).await;
    let counting = ledger.clone();
    let serve = serving(move |invocation| {
        *counting.0.lock().unwrap().entry(invocation.id).or_default() += 1;
        async move {
            let Params::Wire(bytes) = invocation.params else { unreachable!() };
            Ok(Reply::wire(bytes))
        }
    });
    let other = Host::through(&far, &enrolled, serve).await;
    one.remote.call(&other.id, call("count", "")).await.unwrap();
    for (proxy, seed) in [(&near, 1u32), (&far, 7)] {
        let turn = AtomicU32::new(seed);
        proxy.rule(move |message| {
            if !message.subject.contains(".h.") {
                return Verdict::Pass;
            }
            match turn.fetch_add(1, Ordering::Relaxed).wrapping_mul(2_654_435_761) >> 24 {
                0..25 => Verdict::Lose,
                25..50 => Verdict::Twice,
                50..75 => Verdict::Late(Duration::from_millis(20)),
                _ => Verdict::Pass,
            }
        });
    }
    let patient = |turn| Invocation {
        // A third of the copies, or of what answers them, is lost: one call of a few hundred needs many.
        deadline: Deadline::after(Duration::from_secs(60)),
        ..call("count", pattern(turn))
    };
    let calls: Vec<_> = (0..400).map(|turn| (turn, begin(&one, &other, patient(turn)))).collect();
    for (turn, call) in calls {
        assert_eq!(result(&end(call).await.unwrap()), pattern(turn));
    }
    let stats = one.remote.stats();
    println!("400 calls, {} sent again, {} asked after", stats.resent, other.remote.stats().repeated);
    assert_eq!((ledger.runs(), ledger.most()), (401, 1));
    assert!(stats.resent > 0);
}

//! "No responders" in the server's name. Anybody who may publish can say it of any call; a caller who believed it would
//! make the call a second time elsewhere.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use futures::StreamExt as _;
use mesh_lattice::{CallError, CallId, Code, Invocation, LatticeName, Reply, subject};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinSet,
};

use crate::{
    fixture::{Enrolled, Host, Server, begin, call, echo, end, eventually, serving, soon},
    proxy::{Proxy, Verdict, Way},
};

/// Somebody who watches a host's inbox and says of each call of it, and again and again, that nobody listens.
struct Forger {
    said: Arc<AtomicU64>,
    _tasks: JoinSet<()>,
}

impl Forger {
    async fn start(server: &Server, victim: &Host) -> Self {
        // A client library would not publish what only a server says: the protocol is spoken by hand.
        let mut stream = TcpStream::connect(("127.0.0.1", server.port)).await.unwrap();
        stream
            .write_all(b"CONNECT {\"verbose\":false,\"headers\":true,\"no_responders\":true}\r\nPING\r\n")
            .await
            .unwrap();
        let (mut read, mut write) = stream.into_split();
        let watching = async_nats::connect(server.url()).await.unwrap();
        let all = format!("mesh.{}.h.>", LatticeName::default());
        let mut seen = watching.subscribe(all).await.unwrap();
        crate::fixture::settle(&watching).await;
        let inbox = subject::io(&LatticeName::default(), &victim.id, victim.boot, CallId(uuid::Uuid::nil()));
        let inbox = inbox.rsplit_once('.').unwrap().0.to_owned();
        let said = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&said);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut nothing = [0; 4_096];
            while read.read(&mut nothing).await.is_ok_and(|length| length > 0) {}
        });
        tasks.spawn(async move {
            let mut tick = tokio::time::interval(Duration::from_millis(1));
            let mut recent: Vec<String> = Vec::new();
            loop {
                tokio::select! {
                    Some(message) = seen.next() => {
                        let reply = message.reply.map(|reply| reply.to_string());
                        let Some(reply) = reply.filter(|reply| reply.starts_with(&inbox)) else { continue };
                        write.write_all(&nobody(&reply)).await.unwrap();
                        count.fetch_add(1, Ordering::Relaxed);
                        recent.push(reply);
                    }
                    _ = tick.tick() => {
                        // Of copies that were not sent yet, too.
                        for reply in recent.drain(..) {
                            for copy in 0..8 {
                                let (call, _) = reply.rsplit_once('_').unwrap();
                                write.write_all(&nobody(&format!("{call}_{copy}"))).await.unwrap();
                                count.fetch_add(1, Ordering::Relaxed);
                            }
                        }
                    }
                }
            }
        });
        Self { said, _tasks: tasks }
    }

    fn said(&self) -> u64 {
        self.said.load(Ordering::Relaxed)
    }
}

/// What a server says where nobody listens.
fn nobody(reply: &str) -> Vec<u8> {
    let head = "NATS/1.0 503\r\n\r\n";
    format!("HPUB {reply} {0} {0}\r\n{head}\r\n", head.len()).into_bytes()
}

type Ledger = Arc<Mutex<HashMap<bytes::Bytes, u32>>>;

/// Two hosts with one ledger of what they did, by the parameters.
async fn twins(server: &Server, enrolled: &Enrolled, proxy: Option<&Proxy>) -> (Ledger, [Host; 2]) {
    let ledger = Ledger::default();
    let serve = || {
        let ledger = Arc::clone(&ledger);
        serving(move |invocation: Invocation| {
            let ledger = Arc::clone(&ledger);
            async move {
                if invocation.operation.as_ref() == "slow" {
                    tokio::time::sleep(Duration::from_millis(15)).await;
                }
                let mesh_lattice::Params::Wire(params) = invocation.params else { panic!("not a wire call") };
                *ledger.lock().unwrap().entry(params).or_default() += 1;
                Ok(Reply::wire("done"))
            }
        })
    };
    let first = match proxy {
        Some(proxy) => Host::through(proxy, enrolled, serve()).await,
        None => Host::start(server, enrolled, serve()).await,
    };
    let second = Host::start(server, enrolled, serve()).await;
    (ledger, [first, second])
}

/// As a router does it: elsewhere where nothing was done, and once more where both say so.
async fn anywhere(
    from: &mesh_transport::Remote,
    hosts: &[mesh_lattice::HostId; 2],
    what: Invocation,
) -> Result<Reply, CallError> {
    let again = |host| {
        let copy = call(
            &what.operation,
            match &what.params {
                mesh_lattice::Params::Wire(bytes) => bytes.clone(),
                mesh_lattice::Params::Http(_) => panic!("not a wire call"),
            },
        );
        from.call(host, Invocation { id: what.id, deadline: what.deadline, ..copy })
    };
    for _ in 0..4 {
        for host in hosts {
            match again(host).await {
                Err(error) if error.code.nothing_done() => {}
                answered => return answered,
            }
        }
    }
    Err(CallError::new(Code::Unavailable, "nobody took it"))
}

/// The same in a task of its own.
fn begin_anywhere(from: &Host, hosts: &[mesh_lattice::HostId; 2], what: String) -> JoinSet<Result<Reply, CallError>> {
    let (remote, hosts) = (from.remote.clone(), hosts.clone());
    JoinSet::from_iter([async move { anywhere(&remote, &hosts, call("count", what)).await }])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_forged_statuses_makes_no_call_run_twice_and_loses_none() {
    let server = Server::start().await;
    let enrolled = Enrolled::default();
    let one = Host::start(&server, &enrolled, echo()).await;
    let (ledger, hosts) = twins(&server, &enrolled, None).await;
    let forger = Forger::start(&server, &one).await;
    let ids = [hosts[0].id.clone(), hosts[1].id.clone()];
    let mut workers = JoinSet::new();
    let started = Instant::now();
    for worker in 0..16 {
        let (remote, ids) = (one.remote.clone(), ids.clone());
        workers.spawn(async move {
            for turn in 0..40 {
                let operation = if turn % 4 == 0 { "slow" } else { "count" };
                let answered = anywhere(&remote, &ids, call(operation, format!("{worker}/{turn}"))).await;
                assert!(answered.is_ok(), "{answered:?}");
            }
        });
    }
    soon("all calls", async {
        while let Some(ended) = workers.join_next().await {
            ended.unwrap()
        }
    })
    .await;
    let (runs, most) = {
        let ledger = ledger.lock().unwrap();
        (ledger.len(), ledger.values().copied().max())
    };
    println!("640 calls beside {} forged statuses in {:?}", forger.said(), started.elapsed());
    assert!(forger.said() > 640, "the forger spoke");
    assert_eq!((runs, most), (640, Some(1)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_stands_still_while_a_status_is_forged_does_not_run_what_has_gone_elsewhere() {
    let server = Server::start().await;
    let enrolled = Enrolled::default();
    let proxy = Proxy::start(server.port).await;
    let one = Host::start(&server, &enrolled, echo()).await;
    let (ledger, hosts) = twins(&server, &enrolled, Some(&proxy)).await;
    let ids = [hosts[0].id.clone(), hosts[1].id.clone()];
    for id in &ids {
        one.remote.call(id, call("count", "warm")).await.unwrap();
    }
    let forger = Forger::start(&server, &one).await;
    // What is sent to the first host waits in front of it, and it says nothing.
    proxy.hold();
    let calls: Vec<_> = (0..20).map(|turn| begin_anywhere(&one, &ids, format!("{turn}"))).collect();
    let mut moved = 0;
    for call in calls {
        match end(call).await {
            Ok(_) => moved += 1,
            // It was sent as the last frame of that host came: nobody can know.
            Err(error) => assert_eq!(error.code, Code::Lost),
        }
    }
    assert!(forger.said() >= 40);
    proxy.release();
    let back = Instant::now();
    eventually("what was held was dropped", || async { hosts[0].remote.stats().expired >= 40 }).await;
    println!("{moved} of 20 went elsewhere; what came late was dropped {:?} after it came", back.elapsed());
    let ledger = ledger.lock().unwrap();
    let runs: Vec<_> = (0..20).map(|turn| ledger.get(format!("{turn}").as_bytes()).copied().unwrap_or(0)).collect();
    assert!(runs.iter().all(|runs| *runs <= 1) && runs.iter().sum::<u32>() == moved && moved > 10, "{runs:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_on_their_way_to_a_host_that_is_killed_go_elsewhere_within_a_second() {
    let server = Server::start().await;
    let enrolled = Enrolled::default();
    let one = Host::start(&server, &enrolled, echo()).await;
    let (ledger, [first, second]) = twins(&server, &enrolled, None).await;
    let ids = [first.id.clone(), second.id.clone()];
    for id in &ids {
        one.remote.call(id, call("count", "warm")).await.unwrap();
    }
    // While the server still passes calls on to it, nobody can know what became of them.
    let asker = async_nats::connect(server.url()).await.unwrap();
    let subject = subject::call(&LatticeName::default(), &first.id, first.boot);
    first.kill().await;
    eventually("the server knows that it is gone", || async {
        let asked = asker.request(subject.clone(), "".into());
        let answered = tokio::time::timeout(Duration::from_millis(200), asked).await;
        matches!(answered, Ok(Err(error)) if error.kind() == async_nats::RequestErrorKind::NoResponders)
    })
    .await;
    let killed = Instant::now();
    let calls: Vec<_> = (0..20).map(|turn| begin_anywhere(&one, &ids, format!("{turn}"))).collect();
    for call in calls {
        end(call).await.unwrap();
    }
    println!("20 calls to a host that was killed were made elsewhere within {:?}", killed.elapsed());
    assert!(killed.elapsed() < Duration::from_secs(3), "three times the promised second");
    assert!((0..20).all(|turn| ledger.lock().unwrap()[format!("{turn}").as_bytes()] == 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_held_up_until_its_caller_gave_up_does_not_run() {
    let server = Server::start().await;
    let enrolled = Enrolled::default();
    let proxy = Proxy::start(server.port).await;
    let one = Host::start(&server, &enrolled, echo()).await;
    let (ledger, hosts) = twins(&server, &enrolled, Some(&proxy)).await;
    one.remote.call(&hosts[0].id, call("count", "warm")).await.unwrap();
    proxy.rule(|message| match message.way {
        // The pings are not answered either.
        Way::In if message.subject.contains(".h.") => Verdict::Late(Duration::from_secs(6)),
        _ => Verdict::Pass,
    });
    let calls: Vec<_> = (0..20).map(|turn| begin(&one, &hosts[0], call("count", format!("{turn}")))).collect();
    for call in calls {
        assert_eq!(end(call).await.unwrap_err().code, Code::Lost);
    }
    eventually("the held calls came", || async { hosts[0].remote.stats().expired >= 60 }).await;
    assert_eq!(ledger.lock().unwrap().len(), 1, "their deadline has not passed, and yet none of them runs");
    proxy.pass();
    one.remote.call(&hosts[0].id, call("count", "after")).await.unwrap();
}

//! Servers that share one address lose nothing when one of them leaves or is killed.

use std::{
    net::SocketAddr,
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Child, Command},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use crate::fixture::{Actors, Server, dir, free_address, get, link, try_get, try_read_response, until};
use tokio::{io::AsyncWriteExt as _, net::TcpStream, task::JoinSet};

const ROLE: &str = "MESH_HTTP_TEST_SERVES";

/// What clients saw until they were told to stop.
#[derive(Default)]
struct Load {
    stop: AtomicBool,
    done: AtomicU64,
    failed: AtomicU64,
    /// Set where a killed server may take along what it had accepted.
    resets_allowed: bool,
    refused: AtomicU64,
}

impl Load {
    fn count(&self, result: std::io::Result<crate::fixture::Response>) {
        match result {
            Ok(response) if response.status == 200 => self.done.fetch_add(1, Ordering::SeqCst),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
                self.refused.fetch_add(1, Ordering::SeqCst)
            }
            other => {
                if !self.resets_allowed {
                    eprintln!("a request failed: {other:?}");
                }
                self.failed.fetch_add(1, Ordering::SeqCst)
            }
        };
    }

    async fn one_shot(self: Arc<Self>, address: SocketAddr) {
        while !self.stop.load(Ordering::SeqCst) {
            self.count(try_get(address, "/").await);
        }
    }

    async fn keep_alive(self: Arc<Self>, address: SocketAddr) {
        let mut open: Option<TcpStream> = None;
        while !self.stop.load(Ordering::SeqCst) {
            let stream = match open.take() {
                Some(stream) => Ok(stream),
                None => TcpStream::connect(address).await,
            };
            let mut stream = match stream {
                Ok(stream) => stream,
                Err(error) => {
                    self.count(Err(error));
                    continue;
                }
            };
            let response = match stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await {
                Ok(()) => try_read_response(&mut stream).await,
                Err(error) => Err(error),
            };
            let goes_on = response.as_ref().is_ok_and(|response| response.header("connection").is_none());
            self.count(response);
            open = goes_on.then_some(stream);
        }
    }

    fn start(self: &Arc<Self>, address: SocketAddr) -> JoinSet<()> {
        let mut clients = JoinSet::new();
        for _ in 0..8 {
            clients.spawn(Arc::clone(self).one_shot(address));
            clients.spawn(Arc::clone(self).keep_alive(address));
        }
        clients
    }

    /// Waits for this many more answers.
    async fn more(&self, answers: u64) {
        let at = self.done.load(Ordering::SeqCst) + answers;
        until(|| async { self.done.load(Ordering::SeqCst) >= at }).await;
    }

    async fn end(&self, clients: JoinSet<()>) -> u64 {
        self.stop.store(true, Ordering::SeqCst);
        tokio::time::timeout(Duration::from_secs(10), clients.join_all()).await.expect("a client hangs");
        self.done.load(Ordering::SeqCst)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_servers_restart_in_turn_under_load_and_no_request_fails() {
    let (dir, address) = (dir(), free_address());
    let actors = [Arc::new(Actors::default()), Arc::new(Actors::default())];
    let config = [("drain_delay_ms", "200")];
    let start = |at: usize| {
        let (dir, actors) = (dir.clone(), Arc::clone(&actors[at]));
        async move {
            let server = Server::start(&dir, &actors, &config).await;
            server.put(link("hello", address, &[])).await.unwrap();
            server
        }
    };
    let mut servers = [start(0).await, start(1).await];
    let load = Arc::new(Load::default());
    let clients = load.start(address);
    load.more(500).await;
    for round in 0..10 {
        let at = round % 2;
        servers[at].drain().await;
        load.more(100).await;
        servers[at] = start(at).await;
        load.more(100).await;
    }
    let done = load.end(clients).await;
    let served = actors.map(|actors| actors.served.load(Ordering::SeqCst));
    println!("{done} requests through ten restarts, {served:?} by each server");
    assert_eq!(load.failed.load(Ordering::SeqCst) + load.refused.load(Ordering::SeqCst), 0);
    assert!(served.iter().all(|served| *served > 0), "both had their share: {served:?}");
}

#[tokio::test]
async fn a_server_that_joins_answers_nobody_before_it_knows_all_its_links() {
    let (dir, address, elsewhere) = (dir(), free_address(), free_address());
    let actors = Arc::new(Actors::default());
    let joins = Server::not_begun(&dir, &actors).await;
    joins.put(link("api", address, &[("path", "/api")])).await.unwrap();
    let asks = JoinSet::from_iter([get(address, "/shop")]);

    // Whoever accepted at once would have answered by the time that another one has answered ten.
    let other = Server::start(&dir, &actors, &[]).await;
    other.put(link("other", elsewhere, &[])).await.unwrap();
    for _ in 0..10 {
        assert_eq!(get(elsewhere, "/").await.status, 200);
    }
    joins.put(link("shop", address, &[("path", "/shop")])).await.unwrap();
    joins.provider.begin().await;
    let answers = asks.join_all().await;
    assert_eq!(answers[0].status, 200, "{}", answers[0].text());
    joins.drain().await;
    other.drain().await;
}

#[tokio::test]
async fn a_server_that_leaves_before_it_began_loses_nobody() {
    let (dir, address, actors) = (dir(), free_address(), Arc::new(Actors::default()));
    let leaves = Server::not_begun(&dir, &actors).await;
    leaves.put(link("hello", address, &[])).await.unwrap();
    let mut queued = TcpStream::connect(address).await.unwrap();
    queued.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    leaves.drain().await;
    assert_eq!(try_read_response(&mut queued).await.unwrap().status, 200);
}

/// A server in a process of its own: this test binary, which runs [`serves_in_a_process_of_its_own`].
struct Process(Child);

impl Process {
    fn start(dir: &Path, address: SocketAddr) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args([
            "--exact",
            "sharing::serves_in_a_process_of_its_own",
            "--ignored",
            "--nocapture",
            "--test-threads=1",
        ]);
        command.env(ROLE, format!("{address} {}", dir.display())).process_group(0);
        command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
        Self(command.spawn().unwrap())
    }

    fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

#[test]
#[ignore = "the part of a server, for the test below"]
fn serves_in_a_process_of_its_own() {
    let Ok(role) = std::env::var(ROLE) else { return };
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL)).unwrap();
    let (address, dir) = role.split_once(' ').unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let server = Server::start(Path::new(dir), &Arc::new(Actors::default()), &[]).await;
        server.put(link(&format!("p{}", std::process::id()), address.parse().unwrap(), &[])).await.unwrap();
        std::future::pending::<()>().await;
    });
}

/// Which processes answer, asked a number of times.
async fn answering(address: SocketAddr, times: usize) -> std::collections::HashMap<String, usize> {
    let mut seen = std::collections::HashMap::new();
    for _ in 0..times {
        if let Ok(response) = try_get(address, "/").await {
            *seen.entry(response.text().split(' ').next().unwrap().to_owned()).or_default() += 1;
        }
    }
    seen
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_share_an_address_and_outlive_each_other() {
    let (dir, address) = (dir(), free_address());
    let mut one = Process::start(&dir, address);
    until(|| async { try_get(address, "/").await.is_ok() }).await;
    let mut other = Process::start(&dir, address);
    until(|| async { answering(address, 50).await.len() == 2 }).await;
    let shares = answering(address, 400).await;
    println!("one-shot connections by process: {shares:?}");
    assert!(shares.values().all(|share| *share >= 20), "one process takes nearly all: {shares:?}");

    let load = Arc::new(Load { resets_allowed: true, ..Load::default() });
    let clients = load.start(address);
    for _ in 0..5 {
        load.more(300).await;
        one.kill();
        load.more(100).await;
        one = Process::start(&dir, address);
        let joined = format!("p{}", one.0.id());
        until(|| async { answering(address, 50).await.contains_key(&joined) }).await;
        std::mem::swap(&mut one, &mut other);
    }
    let done = load.end(clients).await;
    let (lost, refused) = (load.failed.load(Ordering::SeqCst), load.refused.load(Ordering::SeqCst));
    println!("{done} requests through five kill -9, {lost} died with their server, {refused} refused");
    assert_eq!(refused, 0, "the address was never without a listener");
    // Sixteen clients: each kill takes at most what those had in the killed process.
    assert!(lost <= 5 * 16, "{lost} requests were lost");
    assert_eq!(get(address, "/").await.status, 200);
}

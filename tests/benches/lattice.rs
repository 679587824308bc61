//! Requests through whole lattices of real processes: `hello` on one host beside the floors of its engine, then one
//! host beside two: what crossing the network costs, next to one bare NATS round trip on the same server in the same
//! rounds.
//!
//! Each round asks every lattice in turn, so that what the machine does meanwhile hits all of them alike; a row is the
//! median of the rounds. The load is closed loops over kept connections in this process, which shares the cores with
//! what it measures: the ratios are what to read.
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program that measures; the floors are shared with the engine's own bench"
)]

#[path = "lattice/actors.rs"]
mod actors;
#[path = "../../host/runtime/benches/support/bare.rs"]
mod bare;
#[path = "../../host/runtime/benches/support/compare.rs"]
mod compare;
#[path = "../../host/runtime/benches/support/handler.rs"]
mod handler;
#[path = "lattice/hello.rs"]
mod hello;
#[path = "../../host/runtime/benches/support/load.rs"]
mod load;

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use futures::StreamExt as _;
use mesh_tests::{
    http::Client,
    lattice::{Lattice, Store, free_address},
    load::Closed,
    redis::Redis,
};

const ROUNDS: usize = 7;
const ALONE: usize = 2_000;
const CROWD: usize = 16;
const CROWD_FOR: Duration = Duration::from_secs(2);

/// Something that answers HTTP.
struct Subject {
    name: &'static str,
    address: SocketAddr,
    alone: Vec<Duration>,
    crowd: Vec<f64>,
}

impl Subject {
    fn new(name: &'static str, address: SocketAddr) -> Self {
        Self { name, address, alone: Vec::new(), crowd: Vec::new() }
    }

    async fn measure(&mut self) -> Result<()> {
        let mut client = Client::keep_alive(self.address);
        let mut taken = Vec::with_capacity(ALONE);
        for _ in 0..ALONE {
            let start = Instant::now();
            let answer = client.get("/").await?;
            taken.push(start.elapsed());
            ensure!(answer.status == 200, "{}: {} {}", self.name, answer.status, answer.text());
        }
        self.alone.push(median(&mut taken));
        let start = Instant::now();
        let load = Closed::keep_alive(CROWD, self.address, "/");
        tokio::time::sleep(CROWD_FOR).await;
        let tally = load.stop().await;
        ensure!(tally.failed() == 0, "{}: {tally:?}", self.name);
        self.crowd.push(tally.ok() as f64 / start.elapsed().as_secs_f64());
        Ok(())
    }

    fn row(&mut self, round_trip: Duration) {
        let alone = median(&mut self.alone);
        let crowd = compare::median(self.crowd.iter().copied());
        println!(
            "{:<24} {:>9.0} {:>15.2} {:>12.0}",
            self.name,
            micros(alone),
            alone.as_secs_f64() / round_trip.as_secs_f64(),
            crowd
        );
    }
}

/// Measures all, or what the arguments name: `hello`, `hosts`, `actors`.
fn main() -> Result<()> {
    let named: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let wanted = |part: &str| named.is_empty() || named.iter().any(|name| name == part);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let (one, address, reused) = runtime.block_on(async {
        let lattice = Lattice::builder().hosts(1).start().await?;
        let address = hello(&lattice, "hello", 1).await?;
        let reused = hello(&lattice, "reused", 1_000).await?;
        anyhow::Ok((lattice, address, reused))
    })?;
    if wanted("hello") {
        let component = std::fs::read(mesh_tests::guest::unsigned("hello")?)?;
        hello::beside_floors(&runtime, &component, address, reused)?;
    }
    if wanted("hosts") {
        runtime.block_on(one_and_two(&one, address))?;
    }
    if wanted("actors") {
        runtime.block_on(actors::measure(&one, address))?;
    }
    Ok(())
}

async fn one_and_two(one: &Lattice, address: SocketAddr) -> Result<()> {
    let two = Lattice::builder().hosts(1).start().await?;
    let two = split(two).await?;
    let redis = Redis::start().await?;
    let redis_counter = Lattice::builder().hosts(1).start().await?;
    let mut subjects = vec![
        Subject::new("hello, one host", address),
        Subject::new("hello, two hosts", two.hello),
        Subject::new("counter on NATS, one", one.counter(Store::Nats, 1).await?),
        Subject::new("counter on Redis, one", redis_counter.counter(Store::Redis { port: redis.port() }, 1).await?),
        Subject::new("counter on NATS, two", two.counter),
    ];
    let nats = async_nats::connect(one.says("server")?).await?;
    let mut round_trips = Vec::new();
    for _ in 0..ROUNDS {
        round_trips.push(bare_round_trip(&nats).await?);
        for subject in &mut subjects {
            subject.measure().await?;
        }
    }
    let round_trip = median(&mut round_trips);
    println!("bare NATS request of 256 bytes, one at a time: p50 {:.0} µs; {ROUNDS} rounds", micros(round_trip));
    println!("{:<24} {:>9} {:>15} {:>12}", "", "p50 µs", "x NATS request", "16 conns /s");
    for subject in &mut subjects {
        subject.row(round_trip);
    }
    Ok(())
}

/// The `hello` actor under this name beside an HTTP server; an instance serves up to `reuse` calls.
async fn hello(lattice: &Lattice, name: &str, reuse: u32) -> Result<SocketAddr> {
    let file = lattice.signed("hello").await?;
    let reuse = reuse.to_string();
    let (file, reuse) = (file.to_string_lossy(), reuse.as_str());
    lattice.ok(["start", "actor", &file, "--name", name, "--replicas", "1", "--reuse", reuse]).await?;
    let address = lattice.serve(name).await?;
    lattice.until_ready(name, 1).await?;
    lattice.until_answering(address, "/").await?;
    Ok(address)
}

/// Two hosts: the HTTP server on the first, the actors on the second.
struct Split {
    hello: SocketAddr,
    counter: SocketAddr,
    _lattice: Lattice,
}

/// A second host, with less on it than the first: what is wanted while there is one host runs there and stays, and what
/// comes later goes to the host with less.
async fn weighed_down(lattice: &mut Lattice) -> Result<()> {
    for web in ["web", "ballast-1", "ballast-2"] {
        lattice.ok(["start", "provider", "http-server", "--name", web, "--replicas", "1"]).await?;
        lattice.until_running(web, 1).await?;
    }
    lattice.up(2).await?;
    Ok(())
}

async fn split(mut lattice: Lattice) -> Result<Split> {
    weighed_down(&mut lattice).await?;
    start(&lattice, "hello").await?;
    start(&lattice, "counter").await?;
    lattice.key_value("kv", Store::Nats, "counter").await?;
    let (hello, counter) = (free_address()?, free_address()?);
    lattice.listen("web", "hello", hello).await?;
    lattice.listen("web", "counter", counter).await?;
    let (first, second) = (lattice.host_id(0)?, lattice.host_id(1)?);
    for (kind, name, host) in
        [("providers", "web", &first), ("actors", "hello", &second), ("actors", "counter", &second)]
    {
        if kind == "actors" {
            lattice.until_ready(name, 1).await?;
        }
        let view = lattice.get_one(kind, name).await?;
        let id = view.pointer("/hosts/0/id").and_then(|id| id.as_str()).context("it is on no host")?;
        ensure!(id == host, "{name} is not where this bench needs it: {view}");
    }
    lattice.until_answering(hello, "/").await?;
    lattice.until_answering(counter, "/").await?;
    Ok(Split { hello, counter, _lattice: lattice })
}

async fn start(lattice: &Lattice, actor: &str) -> Result<()> {
    let file = lattice.signed(actor).await?;
    lattice.ok(["start", "actor", &file.to_string_lossy(), "--name", actor, "--replicas", "1"]).await?;
    Ok(())
}

/// The floor under every remote call: a request and its answer over the server, and nothing else.
async fn bare_round_trip(nats: &async_nats::Client) -> Result<Duration> {
    let mut requests = nats.subscribe("bench.echo").await?;
    let answering = nats.clone();
    let mut answers = tokio::task::JoinSet::new();
    answers.spawn(async move {
        while let Some(request) = requests.next().await {
            if let Some(reply) = request.reply {
                let _ = answering.publish(reply, request.payload).await;
            }
        }
    });
    nats.flush().await?;
    let payload = bytes::Bytes::from(vec![7; 256]);
    let mut taken = Vec::with_capacity(ALONE);
    for _ in 0..ALONE {
        let start = Instant::now();
        nats.request("bench.echo", payload.clone()).await?;
        taken.push(start.elapsed());
    }
    Ok(median(&mut taken))
}

fn median(taken: &mut [Duration]) -> Duration {
    taken.sort_unstable();
    taken.get(taken.len() / 2).copied().unwrap_or_default()
}

fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

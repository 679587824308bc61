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

use anyhow::{Result, ensure};
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
    let two = split().await?;
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

/// Two hosts that a manifest tells apart: `side: near`, where the HTTP server is to run, and `side: far`.
async fn two_sides() -> Result<Lattice> {
    let lattice = Lattice::builder().hosts(2).start().await?;
    for (host, label) in [("host-1", "side=near"), ("host-2", "side=far")] {
        lattice.ok(["label", host, label]).await?;
    }
    Ok(lattice)
}

/// Applies the parts of a manifest, for which these actors are signed, and waits until all of it serves.
async fn apply(lattice: &Lattice, actors: &[&str], spec: &str) -> Result<()> {
    for actor in actors {
        lattice.signed(actor).await?;
    }
    let file = lattice.file("mesh.yaml");
    std::fs::write(
        &file,
        format!("apiVersion: mesh/v1\nkind: Application\nmetadata: {{ name: bench }}\nspec:\n{spec}"),
    )?;
    lattice.ok(["apply", "-f", &file.to_string_lossy(), "--wait"]).await?;
    Ok(())
}

/// The HTTP server on one host, the actors on the other.
struct Split {
    hello: SocketAddr,
    counter: SocketAddr,
    _lattice: Lattice,
}

async fn split() -> Result<Split> {
    let lattice = two_sides().await?;
    let (hello, counter) = (free_address()?, free_address()?);
    let spec = format!(
        r#"
  actors:
    - {{ name: hello, artifact: hello.wasm, placement: [ {{ where: {{ side: far }} }} ] }}
    - name: counter
      artifact: counter.wasm
      placement: [ {{ where: {{ side: far }} }} ]
      links: [ {{ to: kv, interfaces: [ "wasi:keyvalue" ], config: {{ bucket: counter }} }} ]
  providers:
    - {{ name: kv, use: keyvalue-nats, everywhere: true }}
    - name: web
      use: http-server
      replicas: 1
      placement: [ {{ where: {{ side: near }} }} ]
      links:
        - {{ to: hello, interfaces: [ "wasi:http/incoming-handler" ], config: {{ listen: "{hello}" }} }}
        - {{ to: counter, interfaces: [ "wasi:http/incoming-handler" ], config: {{ listen: "{counter}" }} }}
"#
    );
    apply(&lattice, &["hello", "counter"], &spec).await?;
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

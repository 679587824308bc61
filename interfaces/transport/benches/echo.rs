//! A remote call to an echo beside a bare NATS request of the same size, in one process, in turn, in the same run.
//!
//! `cargo bench -p mesh-transport --bench echo` prints, for each size and number of calls in flight, the median of
//! the rounds: microseconds at one in flight, calls per second at 64, and the ratio of the two.
#![expect(clippy::print_stdout, reason = "a bench prints what it measured")]

use std::{
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures::{StreamExt as _, future::BoxFuture, stream::FuturesUnordered};
use mesh_claims::keys::{KeyKind, KeyPair};
use mesh_lattice::{
    Answer, BootId, CallError, CallId, Caller, Deadline, HostId, Invocation, LatticeName, LinkName, Params, Reply,
    Serve, frame::Call,
};
use mesh_transport::{AdmitCall, CallsConfig, ConnectConfig, Connections, PeerPolicy, Remote, calls};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// As in `meshd`, for the calls and for their floor.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ROUNDS: usize = 7;

struct Anybody;

impl PeerPolicy for Anybody {
    fn is_enrolled(&self, _: &HostId) -> bool {
        true
    }
}

impl AdmitCall for Anybody {
    fn admit(&self, _: &HostId, _: &Call) -> Result<(), CallError> {
        Ok(())
    }
}

struct Echo;

impl Serve for Echo {
    fn serve(&self, invocation: Invocation) -> BoxFuture<'_, Result<Reply, CallError>> {
        Box::pin(async move {
            match invocation.params {
                Params::Wire(bytes) => Ok(Reply { answer: Answer::Wire(bytes), body: None }),
                Params::Http(_) => Ok(Reply::wire("")),
            }
        })
    }
}

struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn start_server() -> Result<(Server, String), Failure> {
    let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let tools = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../.tools/bin/nats-server");
    let binary = if tools.exists() { tools } else { "nats-server".into() };
    let child = Command::new("setpriv")
        .args(["--pdeathsig", "KILL"])
        .arg(binary)
        .args(["-a", "127.0.0.1", "-p", &port.to_string()])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    Ok((Server(child), format!("nats://127.0.0.1:{port}")))
}

async fn host(url: &str, tasks: &mut JoinSet<()>) -> Result<(HostId, Remote), Failure> {
    let connections = Connections::open(ConnectConfig::new(url, LatticeName::default())).await?;
    connections.up(Duration::from_secs(10)).await?;
    let key = Arc::new(KeyPair::generate(KeyKind::Host));
    let id = key.host_id().ok_or("not a host's key")?;
    let (remote, inbound) = calls(&connections, CallsConfig::new(key, BootId::new()), Arc::new(Anybody)).await?;
    tasks.spawn(inbound.run(Arc::new(Echo), Arc::new(Anybody), CancellationToken::new()));
    Ok((id, remote))
}

/// The bare thing: subscribe, answer with what came.
async fn answer_bare(client: async_nats::Client) {
    let Ok(mut requests) = client.subscribe("bare.echo").await else { return };
    while let Some(message) = requests.next().await {
        if let Some(reply) = message.reply {
            let _ = client.publish(reply, message.payload).await;
        }
    }
}

fn invocation(params: &Bytes) -> Result<Invocation, Failure> {
    Ok(Invocation {
        id: CallId::new(),
        caller: Caller::Named("web".parse()?),
        link: LinkName::default(),
        target: Some("counter".parse()?),
        interface: "bench:echo/echo".parse()?,
        operation: "echo".into(),
        params: Params::Wire(params.clone()),
        body: None,
        deadline: Deadline::after(Duration::from_secs(10)),
        trace: None,
        pin: None,
        from: None,
    })
}

/// Keeps this many in flight until `count` are done; the time that one took at one in flight, over all otherwise.
async fn run<F>(count: usize, in_flight: usize, one: impl Fn() -> F) -> Result<Duration, Failure>
where
    F: Future<Output = Result<(), Failure>>,
{
    let started = Instant::now();
    let mut open = FuturesUnordered::new();
    let mut begun = 0;
    while begun < count || !open.is_empty() {
        while begun < count && open.len() < in_flight {
            open.push(one());
            begun += 1;
        }
        if let Some(done) = open.next().await {
            done?;
        }
    }
    Ok(started.elapsed())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

async fn compare(
    remote: &Remote,
    id: &HostId,
    bare: &async_nats::Client,
    size: usize,
    in_flight: usize,
) -> Result<(), Failure> {
    let params = Bytes::from(vec![7; size]);
    let count = if in_flight == 1 { 3_000 } else { 20_000 };
    let mesh = || async {
        remote.call(id, invocation(&params)?).await?;
        Ok(())
    };
    let direct = || async {
        bare.request("bare.echo", params.clone()).await?;
        Ok(())
    };
    run(count / 4, in_flight, mesh).await?;
    run(count / 4, in_flight, direct).await?;
    let (mut ours, mut floor) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        ours.push(run(count, in_flight, mesh).await?.as_secs_f64() / count as f64);
        floor.push(run(count, in_flight, direct).await?.as_secs_f64() / count as f64);
    }
    let ratios = ours.iter().zip(&floor).map(|(ours, floor)| ours / floor).collect();
    let (ours, floor, ratio) = (median(ours), median(floor), median(ratios));
    if in_flight == 1 {
        println!(
            "{size:>6} B, 1 in flight:  call {:>7.1} µs, bare request {:>7.1} µs, {ratio:.2} × the time",
            ours * 1e6,
            floor * 1e6
        );
    } else {
        println!(
            "{size:>6} B, {in_flight} in flight: call {:>7.0}/s, bare request {:>7.0}/s, {:.2} × the throughput",
            1.0 / ours,
            1.0 / floor,
            1.0 / ratio
        );
    }
    Ok(())
}

/// Ten thousand of one side: what a profiler looks at.
async fn one_side(
    remote: &Remote,
    id: &HostId,
    bare: &async_nats::Client,
    (size, in_flight): (usize, usize),
    side: &str,
) -> Result<(), Failure> {
    let params = Bytes::from(vec![7; size]);
    let mesh = || async {
        remote.call(id, invocation(&params)?).await?;
        Ok(())
    };
    let direct = || async {
        bare.request("bare.echo", params.clone()).await?;
        Ok(())
    };
    let count = 50_000;
    let took = match side {
        "call" => run(count, in_flight, mesh).await?,
        _ => run(count, in_flight, direct).await?,
    };
    println!("{:.1} µs each", took.as_secs_f64() * 1e6 / f64::from(count as u32));
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let (_server, url) = start_server()?;
    let mut tasks = JoinSet::new();
    let (_, remote) = host(&url, &mut tasks).await?;
    let (id, _callee) = host(&url, &mut tasks).await?;
    tasks.spawn(answer_bare(async_nats::connect(&url).await?));
    let bare = async_nats::connect(&url).await?;
    while bare.request("bare.echo", "".into()).await.is_err() {
        tokio::task::yield_now().await;
    }
    // `-- <size> <in flight> call|request` runs one side alone, for a profiler.
    let picked: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    if let [size, in_flight, side] = picked.as_slice() {
        return one_side(&remote, &id, &bare, (size.parse()?, in_flight.parse()?), side).await;
    }
    for size in [64, 256, 4_096, 65_536] {
        for in_flight in [1, 64] {
            compare(&remote, &id, &bare, size, in_flight).await?;
        }
    }
    Ok(())
}

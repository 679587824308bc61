//! Connections that are slow, silent or do not read take no place from those who ask: not those of the server, not
//! those of the actor. `MESH_SLOW_CONNECTIONS` says how many there are; the full attack is 5000.

use std::time::Duration;

use anyhow::{Context as _, Result};
use http::StatusCode;
use mesh_tests::{
    lattice::{Lattice, free_address},
    load::{Closed, Get, Open},
    slow::{Paths, Slow, raise_descriptors},
    wait::eventually,
};
use tokio::time::{Instant, interval};

/// Connections that give nothing, where nothing else is said.
const SLOW: usize = 900;

/// How long the honest load goes on, with the attack and before it.
const LASTS: Duration = Duration::from_secs(15);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn honest_requests_succeed_beside_slow_connections() -> Result<()> {
    let slow = std::env::var("MESH_SLOW_CONNECTIONS").ok().and_then(|text| text.parse().ok()).unwrap_or(SLOW);
    let may_open = raise_descriptors()?;
    anyhow::ensure!(may_open > 2 * slow as u64, "{slow} connections need more than {may_open} descriptors");
    // Fewer places than there are connections that give nothing.
    let places = slow * 2 / 3;
    let lattice = Lattice::builder().start().await?;
    let address = serve(&lattice, places).await?;

    let capacity = capacity(address).await;
    let rate = capacity * 0.3;
    println!("capacity {capacity:.0}/s, so honest requests come at {rate:.0}/s");
    // Connections of honest clients are few beside the others, and each is used often.
    let honest = (rate, (slow / 16).clamp(64, 256));
    let alone = load(&lattice, honest, address, None).await?;
    let paths = Paths { quick: "/".into(), endless: "/endless".into() };
    let attack = Slow::start(slow, address, &paths);
    eventually("all of them have connected", Duration::from_secs(60), || async {
        anyhow::ensure!(attack.made() >= slow as u64, "{} have", attack.made());
        Ok(Some(()))
    })
    .await?;
    let beside = load(&lattice, honest, address, Some(places)).await?;

    println!(
        "slow connections: {} made, {} closed by the server, {} open",
        attack.made(),
        attack.closed(),
        attack.open()
    );
    for reason in ["evicted", "header_timeout", "body_timeout", "write_timeout", "idle_timeout", "full"] {
        let closed = lattice.metric(0, "mesh_http_connections_closed_total", &format!("reason=\"{reason}\"")).await?;
        println!("  {reason}: {closed}");
    }
    let evicted = lattice.metric(0, "mesh_http_connections_closed_total", "reason=\"evicted\"").await?;
    assert!(evicted > 0, "a positive control: places did run out");
    attack.stop().await;
    let p99 = |of: &mesh_tests::load::open::Measured| of.latency(StatusCode::OK, 0.99).unwrap_or_default();
    println!("honest p99 {:?} alone, {:?} beside them", p99(&alone), p99(&beside));
    let lost: Vec<_> = beside.tally.lost.iter().take(5).collect();
    println!("honest success {:.4} %: {:?}, unsent {}", beside.success() * 100.0, beside.tally.answers, beside.unsent);
    // What had no client free when it was due says how fast this machine is; without places, nearly all would be that.
    let (ok, sent) = (beside.tally.ok(), beside.tally.sent());
    assert!(ok as f64 >= 0.9999 * sent as f64, "{ok} of {sent} answered, lost {lost:?}");
    assert!(beside.success() >= 0.9, "{sent} sent, {} unsent", beside.unsent);
    Ok(())
}

/// One server for both: an actor that reads what it is sent, and one that answers without an end.
async fn serve(lattice: &Lattice, places: usize) -> Result<std::net::SocketAddr> {
    let address = free_address()?;
    let places = format!("max_connections={places}");
    lattice.ok(["start", "provider", "http-server", "--name", "web", "--everywhere", "--config", &places]).await?;
    for (guest, path) in [("echo", "/"), ("torrent", "/endless")] {
        let file = lattice.signed(guest).await?;
        let limits = ["--limit", "concurrency=64"];
        lattice.ok([&["start", "actor", &file.to_string_lossy(), "--name", guest][..], &limits].concat()).await?;
        let (listen, path) = (format!("listen={address}"), format!("path={path}"));
        let to = ["link", "put", "web", guest, "wasi:http/incoming-handler"];
        lattice.ok([&to[..], &["--source-config", &listen, "--source-config", &path]].concat()).await?;
        lattice.until_ready(guest, 1).await?;
    }
    lattice.until_running("web", 1).await?;
    lattice.until_answering(address, "/").await?;
    Ok(address)
}

async fn capacity(address: std::net::SocketAddr) -> f64 {
    let (start, load) = (Instant::now(), Closed::keep_alive(16, address, "/"));
    interval_until(start + Duration::from_secs(3)).await;
    load.stop().await.ok() as f64 / start.elapsed().as_secs_f64()
}

/// The load for its time; `below` says how many connections the server may have open meanwhile.
async fn load(
    lattice: &Lattice,
    (rate, connections): (f64, usize),
    address: std::net::SocketAddr,
    below: Option<usize>,
) -> Result<mesh_tests::load::open::Measured> {
    let pid = lattice.host_pid(0)?;
    let (start, load, used) = (Instant::now(), honest(rate, connections, address), processor_time(pid)?);
    let mut most = 0;
    while start.elapsed() < LASTS {
        interval_until(Instant::now() + Duration::from_millis(500)).await;
        let descriptors = lattice.metric(0, "process_open_fds", "").await.context("the host does not answer")?;
        most = most.max(descriptors);
        // Those that were told to go give their descriptor back in a moment.
        let allowed = below.map(|places| places as u64 + places as u64 / 8 + 256);
        assert!(allowed.is_none_or(|allowed| descriptors <= allowed), "{descriptors} descriptors");
    }
    let used = (processor_time(pid)? - used) / start.elapsed().as_secs_f64();
    println!("at most {most} descriptors open in the host, {used:.2} cores used by it");
    Ok(load.stop().await)
}

/// Clients that keep their connections, and do what clients do where the server takes one of them back.
fn honest(rate: f64, connections: usize, address: std::net::SocketAddr) -> Open {
    Open::start(rate, Get::over(connections, address, "/").map(Get::again))
}

async fn interval_until(end: Instant) {
    let mut every = interval(Duration::from_millis(20));
    while Instant::now() < end {
        every.tick().await;
    }
}

/// Seconds that a process has run; the system counts in hundredths.
fn processor_time(pid: i32) -> Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let fields: Vec<_> = stat.rsplit_once(')').context("no name")?.1.split_ascii_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok());
    Ok((ticks(11).context("no user time")? + ticks(12).context("no system time")?) / 100.0)
}

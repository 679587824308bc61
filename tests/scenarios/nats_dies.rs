//! Without NATS everything local goes on, and when it is back so is the lattice, by itself.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::Result;
use mesh_lattice::stored::LOST_AFTER;
use mesh_tests::{
    http,
    lattice::{Lattice, READY_WITHIN, Store},
    load::{self, Closed},
    wait::eventually,
};
use rustix::process::Signal;
use tokio::net::TcpStream;

/// What is promised; the bound is three times that.
const PROMISED: Duration = Duration::from_secs(2);

#[tokio::test]
async fn local_calls_go_on_without_nats_and_the_lattice_recovers_by_itself() -> Result<()> {
    let mut lattice = Lattice::builder().hosts(2).start().await?;
    let address = lattice.counter(Store::Redb, 1).await?;
    let local = lattice.signed("hello").await?;
    lattice.ok(["start", "actor", &local.to_string_lossy(), "--name", "hello", "--replicas", "2"]).await?;
    let hello = lattice.serve("hello").await?;
    lattice.until_ready("hello", 2).await?;
    lattice.until_running("web-hello", 2).await?;
    let hosts = [lattice.host_pid(0)?, lattice.host_pid(1)?];
    let before = http::get(address, "/").await?.number()?;

    let load = Closed::keep_alive(4, hello, "/");
    lattice.end(lattice.nats_pid()?, Signal::KILL).await?;
    let ((), noticed) = eventually("both hosts say that NATS is away", Duration::from_secs(30), || async {
        for index in [0, 1] {
            let ready = http::get(lattice.admin(index)?, "/readyz").await?;
            anyhow::ensure!(ready.status == 503, "host {index}: {}", ready.text());
        }
        Ok(Some(()))
    })
    .await?;
    println!("noticed after {noticed:?}");
    // Longer than hosts may go unheard before they count as lost.
    let away = Instant::now();
    while away.elapsed() < LOST_AFTER * 2 {
        let more = load::send(200, 4, hello, "/").await;
        assert_eq!((more.ok(), more.failed()), (200, 0), "{:?} {:?}", more.answers, more.lost.first());
    }
    let tally = load.stop().await;
    println!("{} local calls answered while NATS was away", tally.ok());
    assert_eq!(tally.failed(), 0, "{:?} {:?}", tally.answers, tally.lost.iter().take(3).collect::<Vec<_>>());
    assert!(tally.ok() > 100, "{}", tally.ok());
    assert_eq!([lattice.host_pid(0)?, lattice.host_pid(1)?], hosts, "a host was restarted");

    let ran = lattice.meshctl(["get", "hosts", "--timeout", "1s"]).await?;
    assert_eq!(ran.code, 5, "{ran}");
    let server: SocketAddr = lattice.says("server")?.trim_start_matches("nats://").parse()?;
    let listening = eventually("nats-server is back at its address", READY_WITHIN, || async {
        TcpStream::connect(server).await?;
        Ok(Some(Instant::now()))
    });
    // `up` starts what is missing and ends when all hosts are ready again.
    let (up, listening) = tokio::join!(lattice.up(2), listening);
    up?;
    let recovered = listening?.0.elapsed();
    println!("hosts ready {recovered:?} after NATS listened again");
    assert!(recovered <= PROMISED * 3, "hosts ready only {recovered:?} after NATS was back");
    let hosts = lattice.get("hosts").await?;
    assert!(hosts.len() == 2 && hosts.iter().all(|host| host["state"] == "ready"), "{hosts:?}");
    let (count, served) =
        eventually("the count goes on", PROMISED * 3, || async { Ok(Some(http::get(address, "/").await?.number()?)) })
            .await?;
    println!("counter served {served:?} later");
    assert_eq!(count, before + 1, "nothing was counted that was not asked for");
    assert_eq!(lattice.get_one("actors", "hello").await?["replicas"]["ready"], 2);
    Ok(())
}

//! Without NATS everything local goes on, and when it is back so is the lattice, by itself.

use std::time::Duration;

use anyhow::{Context as _, Result};
use mesh_tests::{
    http,
    lattice::{Lattice, Store},
    load::Load,
    wait::eventually,
};
use rustix::process::Signal;

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

    let load = Load::keep_alive(4, hello, "/");
    lattice.end(lattice.nats_pid()?, Signal::KILL).await?;
    // Longer than the time after which hosts count as lost, so that all of it is noticed.
    let _ = tokio::time::timeout(Duration::from_secs(5), std::future::pending::<()>()).await;
    let tally = load.stop().await;
    println!("{} local calls answered while NATS was away", tally.ok());
    assert_eq!(tally.failed(), 0, "{:?} {:?}", tally.answers, tally.lost.iter().take(3).collect::<Vec<_>>());
    assert!(tally.ok() > 100, "{}", tally.ok());
    assert_eq!([lattice.host_pid(0)?, lattice.host_pid(1)?], hosts, "a host was restarted");

    let ran = lattice.meshctl(["get", "hosts", "--timeout", "1s"]).await?;
    assert_eq!(ran.code, 5, "{ran}");
    lattice.up(2).await.context("NATS comes back at its address")?;
    let ((), recovered) = eventually("both hosts are ready again", PROMISED * 3, || async {
        let hosts = lattice.get("hosts").await?;
        anyhow::ensure!(hosts.len() == 2 && hosts.iter().all(|host| host["state"] == "ready"), "{hosts:?}");
        Ok(Some(()))
    })
    .await
    .with_context(|| lattice.logs())?;
    println!("hosts ready {recovered:?} after NATS was back");
    let (count, served) =
        eventually("the count goes on", PROMISED * 3, || async { Ok(Some(http::get(address, "/").await?.number()?)) })
            .await?;
    println!("counter served {served:?} later");
    assert_eq!(count, before + 1, "nothing was counted that was not asked for");
    assert_eq!(lattice.get_one("actors", "hello").await?["replicas"]["ready"], 2);
    Ok(())
}

//! What is stored does not grow with the number of changes.

use std::time::Duration;

use anyhow::{Context as _, Result};
use futures::StreamExt as _;
use mesh_tests::{
    http,
    lattice::{Lattice, Store},
    wait::eventually,
};

const CHANGES: usize = 40;
/// Those that are kept, and those that say how old links are.
const MOST: usize = 10 + 4;

#[tokio::test]
async fn forty_changes_leave_ten_revisions_and_a_restarted_host_serves_on() -> Result<()> {
    let mut lattice = Lattice::builder().start().await?;
    let address = lattice.counter(Store::Redb, 1).await?;
    assert_eq!(http::get(address, "/").await?.status, 200);
    for change in 0..CHANGES {
        let timeout = format!("timeout_ms={}", 30_000 + change);
        let listen = format!("listen={address}");
        let put = ["link", "put", "web-counter", "counter", "wasi:http/incoming-handler"];
        lattice.ok(put.into_iter().chain(["--source-config", &listen, "--source-config", &timeout])).await?;
    }
    let nats = async_nats::connect(lattice.says("server")?).await?;
    let bucket = async_nats::jetstream::new(nats).get_key_value("MESH_default").await?;
    let stored = || async {
        let keys: Vec<String> = bucket.keys().await?.filter_map(|key| std::future::ready(key.ok())).collect().await;
        Ok::<_, anyhow::Error>(keys.into_iter().filter(|key| key.starts_with("app.adhoc.")).collect::<Vec<_>>())
    };
    let ((), after) = eventually("old revisions are gone", Duration::from_secs(10), || async {
        let stored = stored().await?;
        anyhow::ensure!(stored.len() <= MOST, "{stored:?}");
        Ok(Some(()))
    })
    .await?;
    let stored = stored().await?;
    println!("{} revisions are left {after:?} after the last of {CHANGES} changes: {stored:?}", stored.len());
    assert!(stored.len() >= 10, "{stored:?}");

    // A host that reads all of it anew, and leads, finds what it needs.
    lattice.end(lattice.host_pid(0)?, rustix::process::Signal::TERM).await?;
    lattice.up(1).await?;
    lattice.until_answering(address, "/").await?;
    let link = lattice.get("links").await?.into_iter().find(|link| link["source"] == "web-counter");
    assert_eq!(link.context("the link")?["state"], "active");
    Ok(())
}

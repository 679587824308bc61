//! What the lattice says of itself is so: a link that cannot work is refused, a provider that reaches nothing does not
//! run, and a host that has nothing to wait for does not wait.

use std::time::Duration;

use anyhow::{Context as _, Result};
use mesh_tests::{
    http,
    lattice::{Lattice, READY_WITHIN, Store},
    wait::eventually,
};
use rustix::process::Signal;

/// A host that has nothing open stops within this, whatever its drain delay: for a second its HTTP providers still take
/// what is on its way to them. The bound is three times that.
const STOPS: Duration = Duration::from_millis(1_500);

#[tokio::test]
async fn a_link_that_never_can_work_is_refused_and_says_both_sides() -> Result<()> {
    let lattice = Lattice::builder().start().await?;
    let address = lattice.counter(Store::Redb, 1).await?;
    for (source, target, interface) in [
        ("counter", "kv", "wasi:http/incoming-handler"),
        ("counter", "kv", "wasi:blobstore"),
        ("counter", "kv", "wasi:keyvalue/nope"),
        ("counter", "counter", "wasi:http"),
        ("web-counter", "kv", "wasi:http/incoming-handler"),
        ("kv", "counter", "wasi:keyvalue"),
    ] {
        let ran = lattice.meshctl(["link", "put", source, target, interface, "--name", "other"]).await?;
        assert_eq!(ran.code, 2, "{source} {target} {interface}: {ran}");
        assert!(ran.stderr.contains(source) && ran.stderr.contains(target), "{ran}");
    }
    // Where an end is not known yet the link waits for it, and fails when it turns out not to fit.
    lattice.ok(["link", "put", "counter", "later", "wasi:blobstore", "--name", "other"]).await?;
    let of = |links: Vec<serde_json::Value>| links.into_iter().find(|link| link["name"] == "other");
    let link = of(lattice.get("links").await?).context("the link")?;
    assert_eq!(link["state"], "pending", "{link}");
    lattice.ok(["start", "provider", "keyvalue-redb", "--name", "later"]).await?;
    let link = of(lattice.get("links").await?).context("the link")?;
    assert_eq!(link["state"], "failed", "{link}");
    assert!(link["reason"].as_str().is_some_and(|reason| reason.contains("serves wasi:keyvalue")), "{link}");
    assert_eq!(http::get(address, "/").await?.status, 200);
    Ok(())
}

#[tokio::test]
async fn a_provider_that_reaches_nothing_does_not_run() -> Result<()> {
    let lattice = Lattice::builder().start().await?;
    let file = lattice.signed("counter").await?;
    lattice.ok(["start", "actor", &file.to_string_lossy(), "--name", "counter"]).await?;
    lattice.ok(["link", "put", "counter", "n", "wasi:keyvalue"]).await?;
    let start = ["start", "provider", "keyvalue-nats", "--name", "n", "--config", "url=nats://127.0.0.1:1"];
    let ran = lattice.meshctl(start.iter().copied().chain(["--replicas", "1", "--wait=6s"])).await?;
    assert_ne!(ran.code, 0, "{ran}");
    let provider = lattice.get_one("providers", "n").await?;
    let host = provider["hosts"].get(0).context("its host")?;
    assert_eq!(host["state"], "unhealthy", "{provider}");
    assert!(host["reason"].as_str().is_some_and(|reason| reason.contains("127.0.0.1:1")), "{provider}");
    eventually("the link says why it is not active", READY_WITHIN, || async {
        let links = lattice.get("links").await?;
        let link = links.first().context("the link")?;
        let reason = link["reason"].as_str().unwrap_or_default();
        anyhow::ensure!(link["state"] == "pending" && reason.contains("127.0.0.1:1"), "{link}");
        Ok(Some(()))
    })
    .await?;
    let actor = lattice.get_one("actors", "counter").await?;
    let said = actor["reason"].as_str().unwrap_or_default();
    assert!(said.contains("its provider n: unhealthy on host-1: ") && said.contains("127.0.0.1:1"), "{actor}");
    Ok(())
}

#[tokio::test]
async fn a_host_without_nats_that_has_nothing_open_stops_at_once() -> Result<()> {
    let lattice = Lattice::builder().start().await?;
    let address = lattice.counter(Store::Redb, 1).await?;
    lattice.end(lattice.nats_pid()?, Signal::KILL).await?;
    eventually("the host says that NATS is away", READY_WITHIN, || async {
        let ready = http::get(lattice.admin(0)?, "/readyz").await?;
        anyhow::ensure!(ready.status == 503, "{}", ready.text());
        Ok(Some(()))
    })
    .await?;
    assert_eq!(http::get(address, "/").await?.status, 200);
    let stopped = lattice.end(lattice.host_pid(0)?, Signal::TERM).await?;
    println!("stopped within {stopped:?}");
    let log = lattice.logs();
    assert!(stopped <= STOPS * 3, "{stopped:?}\n{log}");
    for untrue in ["still open at the deadline", "at rest at the deadline", "did not stop in time"] {
        assert!(!log.contains(untrue), "{untrue}\n{log}");
    }
    Ok(())
}

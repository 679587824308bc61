//! Two hosts, a signed counter on both, HTTP and key-value beside it; one host is killed and the count goes on.

use std::{collections::BTreeSet, time::Duration};

use anyhow::{Context as _, Result};
use mesh_lattice::Digest;
use mesh_tests::{
    http::{self, Client},
    lattice::{Lattice, Store},
    wait::eventually,
};
use rustix::process::Signal;
use serde_json::Value;

#[tokio::test]
async fn two_hosts_serve_a_signed_counter_and_the_count_outlives_one() -> Result<()> {
    let mut lattice = Lattice::builder().hosts(2).start().await?;
    let hosts = lattice.get("hosts").await?;
    assert_eq!(hosts.len(), 2);
    assert!(hosts.iter().all(|host| host["state"] == "ready"), "{hosts:?}");
    assert_eq!(hosts.iter().filter(|host| host["leader"] == true).count(), 1, "{hosts:?}");

    let address = lattice.counter(Store::Nats, 2).await?;
    let actor = lattice.get_one("actors", "counter").await?;
    let signed = std::fs::read(lattice.file("counter.wasm"))?;
    assert_eq!(actor["digest"], Digest::of(&signed).to_string(), "the digest of the file that was started");
    assert_eq!(actor["issuer"], issuer(&lattice).await?);

    let mut client = Client::keep_alive(address);
    for count in 1..=3 {
        assert_eq!(client.get("/").await?.number()?, count);
    }
    eventually("both hosts answer calls", Duration::from_secs(30), || async {
        http::get(address, "/spread").await?.number()?;
        let actor = lattice.get_one("actors", "counter").await?;
        let hosts = actor["hosts"].as_array().context("hosts")?;
        let busy = hosts.iter().filter(|host| host["calls"].as_u64().is_some_and(|calls| calls > 0)).count();
        Ok((busy == 2).then_some(()))
    })
    .await?;

    lattice.end(lattice.host_pid(0)?, Signal::KILL).await?;
    let killed = lattice.host_id(0)?;
    let (count, after) = eventually("the count goes on", Duration::from_secs(10), || async {
        Ok(Some(http::get(address, "/").await?.number()?))
    })
    .await?;
    assert!(count >= 4, "{count}");
    println!("served again {after:?} after kill -9 of a host");
    let next = http::get(address, "/").await?.number()?;
    assert_eq!(next, count + 1);
    let ((), lost) = eventually("the killed host is shown as lost", Duration::from_secs(15), || async {
        Ok((lattice.get_one("hosts", &killed).await?["state"] == "lost").then_some(()))
    })
    .await?;
    println!("shown as lost after another {lost:?}");

    lattice.up(2).await?;
    lattice.until_ready("counter", 2).await?;
    assert_eq!(http::get(address, "/").await?.number()?, next + 1);
    Ok(())
}

async fn issuer(lattice: &Lattice) -> Result<Value> {
    let trust: Vec<Value> = serde_json::from_str(&lattice.ok(["trust", "list", "-o", "json"]).await?)?;
    let issuers: BTreeSet<_> =
        trust.iter().filter(|one| one["kind"] == "issuer").map(|one| one["id"].to_string()).collect();
    assert_eq!(issuers.len(), 1, "{trust:?}");
    let issuer = trust.iter().find(|one| one["kind"] == "issuer").context("no issuer")?;
    Ok(issuer["id"].clone())
}

#[tokio::test]
async fn what_is_started_again_is_unchanged_and_an_update_where_it_differs() -> Result<()> {
    let lattice = Lattice::builder().start().await?;
    let file = lattice.signed("hello").await?;
    let file = file.to_string_lossy();
    lattice.ok(["start", "actor", &file, "--name", "one"]).await?;
    lattice.until_ready("one", 1).await?;
    let again = lattice.meshctl(["start", "actor", &file, "--name", "one"]).await?;
    assert_eq!(again.code, 0, "{again}");
    assert!(format!("{}{}", again.stdout, again.stderr).contains("unchanged"), "{again}");

    let before = lattice.get_one("actors", "one").await?;
    let other = lattice.signed("counter").await?;
    let update = lattice.meshctl(["start", "actor", &other.to_string_lossy(), "--name", "one"]).await?;
    assert_eq!(update.code, 0, "{update}");
    eventually("the update is there", Duration::from_secs(30), || async {
        let now = lattice.get_one("actors", "one").await?;
        Ok((now["digest"] != before["digest"]).then_some(()))
    })
    .await?;
    let all = lattice.get("actors").await?;
    assert_eq!(all.len(), 1, "never two things of one name: {all:?}");
    let provider = lattice.meshctl(["start", "provider", "http-server", "--name", "one"]).await?;
    assert_ne!(provider.code, 0, "the name of an actor is not a provider's: {provider}");
    Ok(())
}

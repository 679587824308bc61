//! An actor that serves `wasi:keyvalue` to other actors, which know nothing of that: the same where both run on one host
//! and where each has its own.

use anyhow::Result;
use mesh_tests::{
    http,
    lattice::{Lattice, Store, free_address},
};

async fn start(lattice: &Lattice, guest: &str, name: &str) -> Result<()> {
    let file = lattice.signed(guest).await?;
    lattice.ok(["start", "actor", &file.to_string_lossy(), "--name", name, "--replicas", "1"]).await?;
    if name != "keeper" {
        lattice.ok(["link", "put", name, "keeper", "wasi:keyvalue"]).await?;
    }
    lattice.until_ready(name, 1).await?;
    Ok(())
}

#[tokio::test]
async fn a_counter_counts_on_an_actor_on_one_host_and_across_two() -> Result<()> {
    let mut lattice = Lattice::builder().hosts(1).start().await?;
    lattice.ok(["start", "provider", "http-server", "--name", "web", "--replicas", "1"]).await?;
    let file = lattice.signed("keeper").await?;
    lattice.ok(["start", "actor", &file.to_string_lossy(), "--name", "keeper", "--replicas", "1"]).await?;
    lattice.key_value("kv", Store::Redb, "keeper").await?;
    lattice.until_ready("keeper", 1).await?;
    start(&lattice, "counter", "near").await?;
    start(&lattice, "later", "near-later").await?;
    lattice.up(2).await?;
    start(&lattice, "counter", "far").await?;
    start(&lattice, "later", "far-later").await?;
    let hosts = [("keeper", 0), ("near", 0), ("near-later", 0), ("far", 1)];
    for (actor, host) in hosts {
        let one = lattice.get_one("actors", actor).await?;
        assert_eq!(one["hosts"][0]["id"], lattice.host_id(host)?, "{actor} is not where this needs it: {one}");
    }
    let mut counted = 0;
    for actor in ["near", "far"] {
        let address = free_address()?;
        lattice.listen("web", actor, address).await?;
        lattice.until_answering(address, "/ready").await?;
        for _ in 0..10 {
            counted += 1;
            assert_eq!(http::get(address, "/").await?.text(), format!("{counted}\n"), "{actor}");
        }
    }
    for (at, actor) in ["near-later", "far-later"].into_iter().enumerate() {
        let address = free_address()?;
        lattice.listen("web", actor, address).await?;
        lattice.until_answering(address, "/bad-link").await?;
        assert_eq!(http::get(address, "/").await?.text(), format!("Ok({})", -3 * (at as i64 + 1)), "{actor}");
        assert_eq!(http::get(address, "/swap").await?.text(), format!("{} after 2", "x".repeat(at + 1)), "{actor}");
    }
    Ok(())
}

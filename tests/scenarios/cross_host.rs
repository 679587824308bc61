//! An HTTP server on one host serves actors on the other, whose key-value provider is on the first: bodies are streamed
//! both ways, byte for byte.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use bytes::Bytes;
use http::Method;
use mesh_tests::{
    http::{self as client, Client, whole},
    lattice::{Lattice, Store, free_address},
    redis::Redis,
    rig::world::World,
    wait::eventually,
};
use tokio::{io::AsyncWriteExt as _, net::TcpStream};

const BODY: usize = 8 << 20;

#[tokio::test]
async fn bodies_and_key_value_calls_cross_from_host_to_host() -> Result<()> {
    let mut lattice = Lattice::builder().hosts(1).start().await?;
    // What is wanted while there is one host runs there and stays; what comes later goes to the host with less.
    lattice.ok(["start", "provider", "http-server", "--name", "web", "--replicas", "1"]).await?;
    lattice.ok(["start", "provider", "keyvalue-redb", "--name", "kv"]).await?;
    lattice.until_running("kv", 1).await?;
    lattice.until_running("web", 1).await?;
    lattice.up(2).await?;
    for actor in ["counter", "echo"] {
        let file = lattice.signed(actor).await?;
        lattice.ok(["start", "actor", &file.to_string_lossy(), "--name", actor, "--replicas", "1"]).await?;
    }
    lattice.ok(["link", "put", "counter", "kv", "wasi:keyvalue", "--target-config", "bucket=counter"]).await?;
    let (count, echo) = (free_address()?, free_address()?);
    lattice.listen("web", "counter", count).await?;
    lattice.listen("web", "echo", echo).await?;
    lattice.until_ready("counter", 1).await?;
    lattice.until_ready("echo", 1).await?;
    let (first, second) = (lattice.host_id(0)?, lattice.host_id(1)?);
    for (kind, name, host) in [
        ("providers", "web", &first),
        ("providers", "kv", &first),
        ("actors", "counter", &second),
        ("actors", "echo", &second),
    ] {
        let one = lattice.get_one(kind, name).await?;
        assert_eq!(one["hosts"][0]["id"], *host, "{name} is not where this scenario needs it: {one}");
    }

    lattice.until_answering(count, "/ready").await?;
    for expected in 1..=20 {
        assert_eq!(client::get(count, "/").await?.number()?, expected);
    }
    lattice.until_answering(echo, "/").await?;
    let body = noise(BODY);
    let mut client = Client::keep_alive(echo);
    for length in [0, 1, 65_535, 65_536, 65_537, 1 << 20, BODY] {
        let sent = body.slice(..length);
        let start = std::time::Instant::now();
        let answer = client.send(Method::POST, "/", whole(sent.clone())).await.with_context(|| lattice.logs())?;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(answer.body.len(), length);
        assert!(answer.body == sent, "{length} bytes came back changed");
        println!("{length} bytes there and back in {:?}", start.elapsed());
    }
    Ok(())
}

/// Bytes without a pattern that a lost or repeated piece could hide in (xorshift64).
fn noise(length: usize) -> Bytes {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes.into()
}

/// Who asked has gone: the guest that spins for it, on another host, is stopped, and its place is free.
#[tokio::test]
async fn a_client_that_leaves_stops_the_guest_on_the_other_host() -> Result<()> {
    let mut world = World::front().await?;
    world.lattice.up(2).await?;
    let endless = ["--limit", "cpu=1h", "--limit", "time=1h", "--limit", "concurrency=1"];
    let spin = world.actor("spin", 1, &endless, &[]).await?;
    world.lattice.until_ready("spin", 1).await?;
    let one = world.lattice.get_one("actors", "spin").await?;
    assert_eq!(one["hosts"][0]["id"], *world.lattice.host_id(1)?, "it is not where this scenario needs it: {one}");
    let running = || world.lattice.metric(1, "mesh_calls_open", "callee");
    let within = Duration::from_secs(10);
    for round in 0..3 {
        let mut client = TcpStream::connect(spin).await?;
        client.write_all(b"GET / HTTP/1.1\r\nhost: spin\r\n\r\n").await?;
        eventually("the guest spins", within, || async { Ok((running().await? == 1).then_some(())) }).await?;
        drop(client);
        let left = Instant::now();
        eventually("the guest is stopped", within, || async { Ok((running().await? == 0).then_some(())) }).await?;
        println!("round {round}: stopped {:?} after its client left", left.elapsed());
        assert!(left.elapsed() < Duration::from_millis(300), "three times the promised tenth of a second");
    }
    Ok(())
}

#[tokio::test]
async fn every_store_of_the_counter_counts_alike() -> Result<()> {
    let redis = Redis::start().await?;
    for store in [Store::Nats, Store::Redb, Store::Redis { port: redis.port() }] {
        let lattice = Lattice::builder().hosts(2).start().await?;
        let address = lattice.counter(store, 2).await?;
        for expected in 1..=10 {
            assert_eq!(client::get(address, "/").await?.number()?, expected, "{store:?}");
        }
    }
    Ok(())
}

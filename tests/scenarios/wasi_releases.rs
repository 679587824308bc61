//! Actors of WASI 0.2 and of 0.3 behind one HTTP server, on its host and on another, and along a link between them.

use anyhow::{Context as _, Result};
use bytes::Bytes;
use http::Method;
use mesh_tests::{
    http::{self as client, Client, whole},
    lattice::{Lattice, Store, free_address},
};

/// The guest of each release, and where its echo is.
const ECHOES: [(&str, &str); 2] = [("echo", "/"), ("wasi-0-3", "/echo")];

const BODY: usize = 8 << 20;

async fn start(lattice: &Lattice, actor: &str) -> Result<()> {
    let file = lattice.signed(actor).await?;
    lattice.ok(["start", "actor", &file.to_string_lossy(), "--name", actor, "--replicas", "1"]).await?;
    Ok(())
}

/// Links what the guest of 0.3 imports: its requests go to `to`.
async fn link(lattice: &Lattice, to: &str) -> Result<()> {
    lattice.key_value("kv", Store::Nats, "wasi-0-3").await?;
    lattice.ok(["link", "put", "wasi-0-3", to, "wasi:http"]).await?;
    Ok(())
}

#[tokio::test]
async fn one_server_stands_before_actors_of_both_releases_which_call_each_other() -> Result<()> {
    let lattice = Lattice::builder().hosts(1).start().await?;
    lattice.ok(["start", "provider", "http-server", "--name", "web"]).await?;
    let (before, latest) = (free_address()?, free_address()?);
    for (actor, address) in [("hello", before), ("wasi-0-3", latest)] {
        start(&lattice, actor).await?;
        if address == latest {
            link(&lattice, "hello").await?;
        }
        lattice.listen("web", actor, address).await?;
        lattice.until_ready(actor, 1).await?;
        lattice.until_answering(address, "/").await?;
    }
    for _ in 0..10 {
        assert_eq!(client::get(before, "/").await?.text().trim(), "1");
        assert_eq!(client::get(latest, "/").await?.text(), "1");
    }
    assert_eq!(client::get(latest, "/fetch/").await?.text().trim(), "200 1");
    assert_eq!(client::get(latest, "/count").await?.text(), "Ok(2)");
    Ok(())
}

#[tokio::test]
async fn bodies_cross_from_host_to_host_whichever_release_the_actor_speaks() -> Result<()> {
    let mut lattice = Lattice::builder().hosts(1).start().await?;
    // What is wanted while there is one host runs there and stays; what comes later goes to the host with less.
    lattice.ok(["start", "provider", "http-server", "--name", "web", "--replicas", "1"]).await?;
    lattice.until_running("web", 1).await?;
    lattice.up(2).await?;
    let second = lattice.host_id(1)?;
    let body: Bytes = (0..BODY).map(|at| (at % 251) as u8).collect();
    for (actor, path) in ECHOES {
        start(&lattice, actor).await?;
        if actor == "wasi-0-3" {
            lattice.ok(["start", "provider", "http-client", "--name", "out", "--config", "allow=localhost"]).await?;
            link(&lattice, "out").await?;
        }
        let address = free_address()?;
        let listen = format!("listen={address}");
        // The name that this interface has in 0.3 says the same as the one of 0.2.
        lattice.ok(["link", "put", "web", actor, "wasi:http/handler", "--source-config", &listen]).await?;
        lattice.until_ready(actor, 1).await?;
        let one = lattice.get_one("actors", actor).await?;
        assert_eq!(one["hosts"][0]["id"], second, "{actor} is not where this scenario needs it: {one}");
        lattice.until_answering(address, path).await?;
        let mut client = Client::keep_alive(address);
        for length in [0, 1, 65_537, BODY] {
            let sent = body.slice(..length);
            let start = std::time::Instant::now();
            let answer = client.send(Method::POST, path, whole(sent.clone())).await.with_context(|| lattice.logs())?;
            assert_eq!(answer.status, 200, "{}", answer.text());
            assert!(answer.body == sent, "{actor}: {} of {length} bytes came back", answer.body.len());
            println!("{actor}: {length} bytes there and back in {:?}", start.elapsed());
        }
        lattice.ok(["stop", "actor", actor]).await?;
    }
    Ok(())
}

//! A user who leaves, or is revoked, takes no work with him and locks nobody out.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context as _, Result};
use mesh_claims::KeyPair;
use mesh_lattice::{
    key::{Key, TrustKey},
    stored::TrustStatement,
};
use mesh_tests::{
    http,
    lattice::{Lattice, READY_WITHIN, Store},
    load::Closed,
    wait::eventually,
};
use mesh_transport::{ConnectConfig, Connections, Position, State};
use rustix::process::Signal;

/// How long nothing may happen that could happen.
const WATCHED: Duration = Duration::from_secs(3);

/// A user of his own, with his key in a file.
async fn user(lattice: &Lattice, name: &str) -> Result<(String, String)> {
    let file = lattice.file(&format!("{name}.nk")).to_string_lossy().into_owned();
    lattice.ok(["keys", "gen", "user", &file]).await?;
    let seed = std::fs::read_to_string(&file)?;
    let id = KeyPair::from_seed(seed.trim())?.public();
    lattice.ok(["trust", "add", "user", &id]).await?;
    Ok((file, id))
}

/// The user is the one who wrote everything last: the application, its newest name, a shared configuration.
async fn writes_last(lattice: &Lattice, key: &str, name: &str) -> Result<()> {
    let hello = lattice.signed("hello").await?;
    let hello = hello.to_string_lossy().into_owned();
    lattice.ok(["start", "actor", &hello, "--name", name, "--replicas", "2", "--key", key]).await?;
    lattice.ok(["config", "put", name, "a=1", "--key", key]).await?;
    lattice.until_ready(name, 2).await?;
    Ok(())
}

async fn restart(lattice: &mut Lattice, with: Signal) -> Result<()> {
    for host in [0, 1] {
        lattice.end(lattice.host_pid(host)?, with).await?;
        lattice.up(2).await?;
        lattice.until_ready("counter", 2).await?;
        lattice.until_running("web-counter", 2).await?;
    }
    Ok(())
}

#[tokio::test]
async fn what_a_user_wrote_goes_on_when_he_is_removed_or_revoked() -> Result<()> {
    let mut lattice = Lattice::builder().hosts(2).start().await?;
    let address = lattice.counter(Store::Nats, 2).await?;
    lattice.until_running("web-counter", 2).await?;
    let load = Closed::keep_alive(4, address, "/");
    for (name, gone) in [("leaver", ["trust", "remove", "user"].as_slice()), ("thief", &["revoke", "user"])] {
        let (key, id) = user(&lattice, name).await?;
        writes_last(&lattice, &key, name).await?;
        let ran = lattice.meshctl(gone.iter().copied().chain([id.as_str()])).await?;
        anyhow::ensure!(ran.code == 0, "{ran}");
        restart(&mut lattice, Signal::TERM).await?;
        assert_eq!(lattice.get_one("config", name).await?["values"]["a"], "1");
        let app = lattice.get_one("apps", "adhoc").await?;
        assert_eq!(app["reason"], "", "{app}");
        let refused = lattice.meshctl(["scale", "actor", name, "--replicas", "1", "--key", &key]).await?;
        assert_eq!(refused.code, 4, "{refused}");
        lattice.ok(["scale", "actor", name, "--replicas", "1"]).await?;
        lattice.until_ready(name, 1).await?;
        lattice.ok(["stop", "actor", name]).await?;
    }
    let tally = load.stop().await;
    println!("{} requests answered", tally.ok());
    let some: Vec<_> = tally.lost.iter().take(5).collect();
    assert_eq!(tally.failed(), 0, "answers {:?}, {some:?}", tally.answers);
    assert!(tally.ok() > 1_000, "{}", tally.ok());
    Ok(())
}

/// Writes the root's word about a user and nothing else, as a careless program would.
async fn withdraw_alone(lattice: &Lattice, id: &str) -> Result<()> {
    let connect = ConnectConfig::new(lattice.says("server")?, lattice.says("lattice")?.parse()?);
    let state = State::open(&Connections::connect(connect).await?, &lattice.root()?).await?;
    let root = std::fs::read_to_string(lattice.file("keys").join("root.nk"))?;
    let root = KeyPair::from_seed(root.trim())?;
    let key = Key::Trust(TrustKey::User(id.parse()?));
    let position = state.entry(&key).await?.as_ref().map(Position::from).context("the user was never trusted")?;
    state.put_signed(&key, &TrustStatement::Withdrawn, position, &root).await?;
    Ok(())
}

#[tokio::test]
async fn what_is_believed_no_more_is_still_gone_by_and_can_be_written_over() -> Result<()> {
    let mut lattice = Lattice::builder().hosts(2).start().await?;
    let address: SocketAddr = lattice.counter(Store::Nats, 2).await?;
    lattice.until_running("web-counter", 2).await?;
    let (key, id) = user(&lattice, "leaver").await?;
    writes_last(&lattice, &key, "hello").await?;
    let load = Closed::keep_alive(4, address, "/");
    withdraw_alone(&lattice, &id).await?;
    let ((), after) = eventually("the reason is said", READY_WITHIN, || async {
        let app = lattice.get_one("apps", "adhoc").await?;
        anyhow::ensure!(app["reason"].as_str().is_some_and(|reason| reason.contains("state_stale")), "{app}");
        Ok(Some(()))
    })
    .await?;
    println!("said after {after:?}");
    let begun = std::time::Instant::now();
    while begun.elapsed() < WATCHED {
        let answer = http::get(address, "/").await?;
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    restart(&mut lattice, Signal::TERM).await?;
    let tally = load.stop().await;
    let some: Vec<_> = tally.lost.iter().take(5).collect();
    assert_eq!(tally.failed(), 0, "answers {:?}, {some:?}", tally.answers);

    // Both at once: nobody is left who saw it believed, but each host remembers what it went by.
    for host in [0, 1] {
        lattice.end(lattice.host_pid(host)?, Signal::KILL).await?;
    }
    lattice.up(2).await?;
    lattice.until_ready("counter", 2).await?;
    lattice.until_ready("hello", 2).await?;
    lattice.until_answering(address, "/").await?;

    lattice.ok(["scale", "actor", "hello", "--replicas", "1"]).await?;
    lattice.until_ready("hello", 1).await?;
    assert_eq!(lattice.get_one("apps", "adhoc").await?["reason"], "");
    lattice.ok(["stop", "actor", "hello"]).await?;
    lattice.until_answering(address, "/").await?;
    Ok(())
}

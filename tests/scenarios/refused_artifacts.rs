//! A host runs nothing that it has not verified, whatever the stored state asks for.

use std::time::Duration;

use anyhow::{Context as _, Result};
use bytes::Bytes;
use mesh_claims::KeyPair;
use mesh_lattice::{
    Digest, Name,
    application::{Actor, Application, Artifact, Limits, Replicas},
    key::Key,
    stored::{AppPointer, OwnerRecord},
};
use mesh_tests::{guest, lattice::Lattice, wait::eventually};
use mesh_transport::{Artifacts, ConnectConfig, Connections, Position, State};

#[tokio::test]
async fn what_is_not_signed_by_an_issuer_of_the_lattice_fails_with_its_reason() -> Result<()> {
    let lattice = Lattice::builder().start().await?;
    let signed = std::fs::read(lattice.signed("hello").await?)?;
    let unsigned = std::fs::read(guest::unsigned("hello")?)?;
    let theirs = signed_by_a_stranger(&lattice).await?;
    let mut flipped = signed.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 1;

    let refused =
        [("bare", unsigned, "unsigned"), ("foreign", theirs, "unknown_issuer"), ("flipped", flipped, "tampered")];
    let good = [("good", signed)];
    want(&lattice, good.iter().cloned().chain(refused.iter().map(|(name, bytes, _)| (*name, bytes.clone())))).await?;
    lattice.until_ready("good", 1).await?;
    for (name, _, code) in &refused {
        let (reason, _) = eventually(&format!("{name} is refused"), Duration::from_secs(30), || async {
            let actor = lattice.get_one("actors", name).await?;
            let host = &actor["hosts"][0];
            anyhow::ensure!(host["state"] == "failed", "{actor}");
            Ok(Some(host["reason"].as_str().unwrap_or_default().to_owned()))
        })
        .await
        .with_context(|| lattice.logs())?;
        assert!(reason.contains(code), "{name} is refused, but not as {code}: {reason:?}");
        println!("{name}: {reason}");
        let actor = lattice.get_one("actors", name).await?;
        assert_eq!(actor["replicas"]["ready"], 0, "{actor}");
    }
    Ok(())
}

async fn signed_by_a_stranger(lattice: &Lattice) -> Result<Vec<u8>> {
    let key = lattice.file("stranger.nk");
    lattice.ok(["keys", "gen", "account", &key.to_string_lossy()]).await?;
    let file = guest::copy("hello", lattice.dir())?;
    lattice.ok(["claims", "sign", &file.to_string_lossy(), "--issuer", &key.to_string_lossy()]).await?;
    Ok(std::fs::read(file)?)
}

/// Writes an application past `meshctl`, as the admin, whose signature every host accepts: what stands between these
/// bytes and their running is the host alone.
async fn want(lattice: &Lattice, artifacts: impl Iterator<Item = (&'static str, Vec<u8>)>) -> Result<()> {
    let admin = KeyPair::from_seed(std::fs::read_to_string(lattice.says("key")?)?.trim())?;
    let connections =
        Connections::connect(ConnectConfig::new(lattice.says("server")?, lattice.says("lattice")?.parse()?)).await?;
    let state = State::open(&connections, &lattice.root()?).await?;
    let store = Artifacts::new(&connections);
    let name: Name = "smuggled".parse()?;
    let mut application = Application::empty(name.clone());
    let mut writes = Vec::new();
    for (actor, bytes) in artifacts {
        let digest = store.put(Bytes::from(bytes)).await?;
        application.actors.push(actor_of(actor.parse()?, digest));
        let owner = OwnerRecord { app: Some(name.clone()) };
        writes.push(state.seal(&Key::Owner(actor.parse()?), &owner, Position::default(), &admin)?);
    }
    writes.push(state.seal(&Key::AppRevision(name.clone(), 1), &application, Position::default(), &admin)?);
    let pointer = AppPointer { revision: 1, deleted: false };
    writes.push(state.seal(&Key::App(name), &pointer, Position::default(), &admin)?);
    state.commit(writes).await?;
    Ok(())
}

fn actor_of(name: Name, digest: Digest) -> Actor {
    Actor {
        name,
        artifact: Artifact { digest, reference: "smuggled".to_owned() },
        replicas: Replicas::Count(1),
        concurrency: 4,
        instances: mesh_lattice::application::Instances::default(),
        limits: Limits::default(),
        placement: Vec::new(),
        config: Vec::new(),
        imports: Vec::new(),
        exports: vec![],
    }
}

//! An actor that comes from a registry is pinned to what its tag meant: neither a tag that moves nor a registry that is
//! gone changes what runs.

use anyhow::Result;
use mesh_tests::{lattice::Lattice, registry::Registry};
use rustix::process::Signal;

#[tokio::test]
async fn an_actor_from_a_registry_stays_what_it_was_when_the_tag_moves_and_when_the_registry_is_gone() -> Result<()> {
    let (mut lattice, registry) = (Lattice::builder().start().await?, Registry::start().await?);
    let image = registry.image("team/hello:1");
    let (hello, echo) = (lattice.signed("hello").await?, lattice.signed("echo").await?);
    lattice.ok(["push", &image, &hello.to_string_lossy()]).await?;
    lattice.ok(["start", "actor", &image, "--name", "hello", "--wait"]).await?;
    let started = lattice.get_one("actors", "hello").await?;
    let artifact = started["artifact"].as_str().unwrap_or_default();
    assert!(artifact.starts_with(&format!("{image}@sha256:")), "{artifact}");
    let first = mesh_lattice::Digest::of(&std::fs::read(&hello)?).to_string();
    assert_eq!(started["digest"], first);

    lattice.ok(["push", &image, &echo.to_string_lossy()]).await?;
    drop(registry);
    lattice.end(lattice.host_pid(0)?, Signal::KILL).await?;
    lattice.up(1).await?;
    lattice.until_ready("hello", 1).await?;
    let after = lattice.get_one("actors", "hello").await?;
    assert_eq!((&after["artifact"], &after["digest"]), (&started["artifact"], &started["digest"]));
    assert!(!lattice.ok(["call", "hello", "http", "GET", "/"]).await?.is_empty());

    // It lies in the lattice's store, and goes by its digest from there on.
    let again = format!("sha256:{first}");
    lattice.ok(["start", "actor", &again, "--name", "again", "--wait"]).await?;
    assert!(lattice.ok(["inspect", &again]).await?.contains("hello"));
    let gone = lattice.meshctl(["start", "actor", &image, "--name", "hello"]).await?;
    assert!(gone.code == 1 && gone.stderr.contains("cannot be reached"), "{gone}");
    Ok(())
}

#[tokio::test]
async fn a_tag_that_moved_is_what_starts_next_and_what_nobody_signed_does_not() -> Result<()> {
    let (lattice, registry) = (Lattice::builder().start().await?, Registry::start().await?);
    let image = registry.image("hello:1");
    let (hello, echo) = (lattice.signed("hello").await?, lattice.signed("echo").await?);
    for file in [&hello, &echo] {
        lattice.ok(["push", &image, &file.to_string_lossy()]).await?;
        lattice.ok(["start", "actor", &image, "--name", "hello", "--wait"]).await?;
        let digest = mesh_lattice::Digest::of(&std::fs::read(file)?).to_string();
        assert_eq!(lattice.get_one("actors", "hello").await?["digest"], digest);
    }
    let unsigned = mesh_tests::guest::copy("visits", lattice.dir())?;
    let pushed = lattice.meshctl(["push", &image, &unsigned.to_string_lossy()]).await?;
    assert!(pushed.code == 0 && pushed.stderr.contains("is not signed"), "{pushed}");
    let refused = lattice.meshctl(["start", "actor", &image, "--name", "other"]).await?;
    assert!(refused.code == 4 && refused.stderr.contains("claims sign"), "{refused}");
    Ok(())
}

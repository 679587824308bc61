//! All desired state as files: a lattice that lost everything, keys included, runs again what it ran before.

use std::time::Duration;

use anyhow::{Context as _, Result};
use mesh_tests::{
    http,
    lattice::{Lattice, Store},
    wait::eventually,
};

/// From the import until calls succeed; asserted at three times that.
const ANSWERS_AGAIN: Duration = Duration::from_secs(10);

#[tokio::test]
async fn what_was_exported_answers_again_in_a_lattice_that_was_made_anew() -> Result<()> {
    let kept = tempfile::tempdir()?;
    let folder = kept.path().join("kept");
    let folder = folder.to_str().context("a path")?;
    let lattice = Lattice::builder().start().await?;
    let address = lattice.counter(Store::Redb, 1).await?;
    assert_eq!(http::get(address, "/").await?.status, 200);
    lattice.ok(["state", "export", folder]).await?;
    drop(lattice);
    assert!(http::get(address, "/").await.is_err(), "nothing is left of it");

    let lattice = Lattice::builder().start().await?;
    let refused = lattice.meshctl(["state", "import", folder]).await?;
    assert_eq!(refused.code, 4, "{refused}");
    lattice.ok(["state", "import", folder, "--adopt"]).await?;
    let ((), after) = eventually("the actor answers again", ANSWERS_AGAIN * 3, || async {
        Ok((http::get(address, "/").await?.status == 200).then_some(()))
    })
    .await
    .with_context(|| lattice.logs())?;
    println!("it answers {after:?} after the import");
    Ok(())
}

#[tokio::test]
async fn undo_goes_back_to_what_ran_before_and_delete_stops_it() -> Result<()> {
    let lattice = Lattice::builder().start().await?;
    let address = lattice.counter(Store::Redb, 1).await?;
    let before = lattice.get_one("actors", "counter").await?;
    let other = lattice.signed("hello").await?;
    lattice.ok(["start", "actor", &other.to_string_lossy(), "--name", "counter"]).await?;
    lattice.ok(["rollout", "undo", "app", "adhoc", "--wait"]).await?;
    let now = lattice.get_one("actors", "counter").await?;
    assert_eq!((&now["digest"], &now["hosts"][0]["behind"]), (&before["digest"], &serde_json::json!(false)), "{now}");
    assert_eq!(http::get(address, "/kept").await?.text(), "1\n");

    let deleted = lattice.meshctl(["delete", "app", "adhoc", "--wait"]).await?;
    assert_eq!(deleted.code, 0, "{deleted}\n{}", lattice.logs());
    assert!(deleted.stderr.contains("the data of provider kv stays on host"), "{deleted}");
    for kind in ["apps", "actors", "providers", "links"] {
        assert!(lattice.get(kind).await?.is_empty(), "{kind}");
    }
    eventually("nobody listens any more", ANSWERS_AGAIN, || async {
        Ok(http::get(address, "/").await.is_err().then_some(()))
    })
    .await?;
    lattice.ok(["rollout", "undo", "app", "adhoc", "--wait"]).await?;
    assert_eq!(http::get(address, "/kept").await?.text(), "2\n", "its data was kept");
    Ok(())
}

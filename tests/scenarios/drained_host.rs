//! A host that people drain loses what it has to others, and is cordoned then.

use anyhow::{Context as _, Result};
use mesh_tests::{
    lattice::{Lattice, READY_WITHIN},
    wait::eventually,
};

#[tokio::test]
async fn a_drained_host_is_empty_and_cordoned_and_its_work_is_elsewhere() -> Result<()> {
    let lattice = Lattice::builder().hosts(2).start().await?;
    let file = lattice.signed("hello").await?;
    lattice.ok(["start", "actor", &file.to_string_lossy(), "--name", "hello", "--wait"]).await?;
    let place = |actor: serde_json::Value| actor["hosts"][0]["id"].as_str().map(str::to_owned);
    let before = place(lattice.get_one("actors", "hello").await?).context("its host")?;
    lattice.ok(["drain", &before]).await?;
    assert_eq!(lattice.get_one("hosts", &before).await?["state"], "cordoned");
    let actor = lattice.get_one("actors", "hello").await?;
    assert_eq!(actor["replicas"]["ready"], 1, "{actor}");
    assert_ne!(place(actor).as_deref(), Some(before.as_str()));
    let other = (0..2).map(|index| lattice.host_id(index)).find(|id| id.as_ref().is_ok_and(|id| *id != before));
    let other = other.context("the other host")??;
    let ran = lattice.meshctl(["drain", &other, "--wait=1s"]).await?;
    assert_eq!(ran.code, 6, "there is nowhere to go: {ran}");
    assert!(ran.stderr.contains("still has actor hello"), "{ran}");
    lattice.ok(["uncordon", &before]).await?;
    lattice.ok(["drain", &other]).await?;
    lattice.ok(["wait", "host", &before]).await?;
    lattice.ok(["label", &before, "zone=edge"]).await?;
    eventually("it carries the label", READY_WITHIN, || async {
        let host = lattice.get_one("hosts", &before).await?;
        anyhow::ensure!(host["labels"]["zone"] == "edge", "{host}");
        Ok(Some(()))
    })
    .await?;
    Ok(())
}

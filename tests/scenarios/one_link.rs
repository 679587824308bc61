//! One link opens one interface of one target under one name, and nothing else: of a thousand calls that an actor makes
//! on whatever it imports, one is answered, and each of the others is refused with its code and counted.

use std::time::Duration;

use anyhow::{Result, ensure};
use mesh_tests::{http, lattice::Lattice, wait::eventually};

const INTERFACES: &str = "acme:targets";

async fn refused(lattice: &Lattice) -> Result<u64> {
    lattice.metric(0, "mesh_refusals_total", "refused=\"call\",reason=\"not_linked\"").await
}

#[tokio::test]
async fn of_a_thousand_calls_of_an_actor_one_has_a_link() -> Result<()> {
    let lattice = Lattice::builder().start().await?;
    for name in ["prober", "target"] {
        let file = lattice.signed("prober").await?;
        lattice.ok(["start", "actor", &file.to_string_lossy(), "--name", name]).await?;
    }
    for name in ["prober", "target"] {
        // An actor is ready once somebody serves all that it imports. Nobody calls along these two.
        lattice.ok(["link", "put", name, "target", INTERFACES, "--name", "never-chosen"]).await?;
    }
    let address = lattice.serve("prober").await?;
    lattice.until_answering(address, "/").await?;
    let before = refused(&lattice).await?;
    assert_eq!(http::get(address, "/").await?.text(), "1000 not_linked\n");
    assert_eq!(refused(&lattice).await? - before, 1_000);

    lattice.ok(["link", "put", "prober", "target", "acme:targets/operation3", "--name", "target-7"]).await?;
    eventually("the link is there", Duration::from_secs(30), || async {
        let before = refused(&lattice).await?;
        let told = http::get(address, "/").await?.text();
        if told == "1000 not_linked\n" {
            return Ok(None);
        }
        assert_eq!(told, "999 not_linked\n1 target-7 operation-3 answered 3\n");
        ensure!(refused(&lattice).await? - before == 999, "each of them is counted");
        Ok(Some(()))
    })
    .await?;
    assert_eq!(lattice.metric(0, "mesh_actor_calls_total", "actor=\"target\"").await?, 1, "nothing else was reached");
    Ok(())
}

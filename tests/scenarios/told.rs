//! What happens is told: once for each thing and each kind, however often it happens, and whoever leads.

use anyhow::{Context as _, Result};
use mesh_tests::{
    http,
    lattice::{Lattice, READY_WITHIN, Store},
    wait::eventually,
};
use rustix::process::Signal;
use serde_json::Value;

async fn events(lattice: &Lattice, about: &str) -> Result<Vec<Value>> {
    Ok(serde_json::from_str(&lattice.ok(["get", "events", about, "-o", "json"]).await?)?)
}

/// The event of this kind about this, once it was told.
async fn told(lattice: &Lattice, kind: &str, about: &str) -> Result<Value> {
    let what = format!("{kind} is told of {about}");
    let (event, _) = eventually(&what, READY_WITHIN, || async {
        let all = events(lattice, about).await?;
        let found = all.iter().find(|event| event["kind"] == kind).cloned();
        anyhow::ensure!(found.is_some(), "{all:?}");
        Ok(found)
    })
    .await
    .with_context(|| lattice.logs())?;
    Ok(event)
}

#[tokio::test]
async fn what_happens_to_actors_providers_links_and_applications_is_told_and_outlives_the_leader() -> Result<()> {
    let lattice = Lattice::builder().hosts(2).start().await?;
    let address = lattice.counter(Store::Nats, 2).await?;
    assert_eq!(http::get(address, "/").await?.status, 200);
    for (kind, about) in
        [("actor_ready", "counter"), ("provider_running", "kv"), ("link_active", "counter"), ("app_ready", "adhoc")]
    {
        told(&lattice, kind, about).await?;
    }
    let text = lattice.ok(["describe", "actor", "counter"]).await?;
    let last = text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
    assert!(last.contains("actor_"), "it ends with what happened: {text}");
    let link: Value = serde_json::from_str(&lattice.ok(["describe", "link", "counter", "kv", "-o", "json"]).await?)?;
    assert_eq!(link[0]["events"][0]["subject"], "counter -> kv", "{link}");

    let before = events(&lattice, "counter").await?;
    let hosts = lattice.get("hosts").await?;
    let leader = hosts.iter().find(|host| host["leader"] == true).context("a leader")?["id"].clone();
    let index =
        (0..2).find(|index| lattice.host_id(*index).is_ok_and(|id| leader == id.as_str())).context("its place")?;
    lattice.end(lattice.host_pid(index)?, Signal::KILL).await?;
    let id = lattice.host_id(index)?;
    told(&lattice, "host_lost", &id).await?;
    let after = events(&lattice, "counter").await?;
    for event in &before {
        assert!(
            after.iter().any(|one| one["kind"] == event["kind"] && one["first"] == event["first"]),
            "{event}: {after:?}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn an_actor_that_breaks_down_all_the_time_is_one_event_with_a_count() -> Result<()> {
    let lattice = Lattice::builder().start().await?;
    let file = lattice.signed("trap").await?;
    lattice.ok(["start", "actor", &file.to_string_lossy(), "--name", "trap", "--wait"]).await?;
    for _ in 0..20 {
        let ran = lattice.meshctl(["call", "trap", "http", "GET", "/"]).await?;
        assert_ne!(ran.code, 0, "{ran}");
    }
    let (broke, _) = eventually("all are counted", READY_WITHIN, || async {
        let all = events(&lattice, "trap").await?;
        let broke: Vec<_> = all.into_iter().filter(|event| event["kind"] == "actor_broke").collect();
        anyhow::ensure!(broke.len() == 1 && broke[0]["count"] == 20, "{broke:?}");
        Ok(broke.into_iter().next())
    })
    .await
    .with_context(|| lattice.logs())?;
    println!("{broke}");
    assert!(broke["message"].as_str().is_some_and(|text| text.contains("trap")), "{broke}");
    let text = lattice.ok(["describe", "actor", "trap"]).await?;
    assert!(text.contains("(20 times since"), "{text}");
    Ok(())
}

//! Calls between two parties on one host publish nothing.

use std::time::Duration;

use anyhow::Result;
use mesh_tests::{
    http,
    lattice::{Lattice, Store},
    load,
};

const REQUESTS: u64 = 10_000;

#[tokio::test]
async fn ten_thousand_requests_on_one_host_move_the_server_no_more_than_idling() -> Result<()> {
    let lattice = Lattice::builder().start().await?;
    let address = lattice.counter(Store::Redb, 1).await?;
    let before = http::get(address, "/").await?.number()?;

    let first = lattice.server_counter("in_msgs").await?;
    let start = std::time::Instant::now();
    let tally = load::send(REQUESTS, 16, address, "/").await;
    let took = start.elapsed();
    let busy = lattice.server_counter("in_msgs").await? - first;
    assert_eq!((tally.ok(), tally.failed()), (REQUESTS, 0), "{tally:?}");
    assert_eq!(http::get(address, "/").await?.number()?, before + REQUESTS + 1);

    let first = lattice.server_counter("in_msgs").await?;
    // The measurement is how much an idle lattice says in this time: time is what has to pass.
    let _ = tokio::time::timeout(took, std::future::pending::<()>()).await;
    let idle = lattice.server_counter("in_msgs").await? - first;
    println!("{REQUESTS} requests in {took:?}: in_msgs moved by {busy}, idle by {idle}");
    // Idling is a beat, not a constant: a few more or less of it is not traffic of calls.
    let beats = 20 + 8 * took.max(Duration::from_secs(1)).as_secs();
    assert!(busy <= idle + beats, "in_msgs moved by {busy} under load and by {idle} idle");
    Ok(())
}

//! More calls than fit are refused at once, say when to come again, and are forgotten when the load stops.

use std::time::Duration;

use anyhow::Result;
use http::header::RETRY_AFTER;
use mesh_tests::{
    http::{self as client, Client},
    lattice::Lattice,
};
use tokio::task::JoinSet;

#[tokio::test]
async fn calls_over_capacity_get_503_and_retry_after_and_it_passes() -> Result<()> {
    let lattice = Lattice::builder().start().await?;
    let file = lattice.signed("spin").await?;
    // One instance and a queue of two: the fourth call finds no room.
    lattice
        .ok([
            "start",
            "actor",
            &file.to_string_lossy(),
            "--name",
            "spin",
            "--limit",
            "concurrency=1",
            "--limit",
            "cpu=1s",
        ])
        .await?;
    let address = lattice.serve("spin").await?;
    lattice.until_ready("spin", 1).await?;
    lattice.until_running("web-spin", 1).await?;

    let mut calls = JoinSet::new();
    for _ in 0..16 {
        calls.spawn(async move {
            let start = std::time::Instant::now();
            let answer = Client::one_shot(address).get("/").await;
            (answer, start.elapsed())
        });
    }
    let (mut refused, mut slowest) = (0, Duration::ZERO);
    while let Some(call) = calls.join_next().await {
        let (answer, took) = call?;
        let answer = answer?;
        if answer.status == 503 {
            refused += 1;
            slowest = slowest.max(took);
            let after = answer.headers.get(RETRY_AFTER).map(|value| value.to_str().map(str::to_owned)).transpose()?;
            assert!(after.is_some_and(|after| after.parse::<u64>().is_ok()), "no Retry-After: {:?}", answer.headers);
        }
    }
    assert!((13..=15).contains(&refused), "{refused} of 16 refused where 3 fit");
    println!("{refused} of 16 refused, the slowest after {slowest:?}");
    let next = client::get(address, "/").await?;
    assert_ne!(next.status, 503, "still refused when nothing is going on: {}", next.text());
    Ok(())
}

//! Scenarios of the fault rig with settings short enough for every run.

use anyhow::Result;
use mesh_tests::rig::{self, Scenario, Settings, Verdict};
use tokio::sync::Mutex;

/// One at a time: what one breaks must not be what another measures. A rate of its own, because half of what a machine
/// can do that does other tests as well is another number each time.
const RATE: Option<f64> = Some(40.0);
static ALONE: Mutex<()> = Mutex::const_new(());

async fn passes(scenario: Scenario, settings: Settings) -> Result<()> {
    let _alone = ALONE.lock().await;
    let verdict: Verdict = rig::run(scenario, settings).await?;
    assert!(verdict.pass, "{:#?}\n{:#?}", verdict.broken(), verdict.figures);
    Ok(())
}

#[tokio::test]
async fn calls_outlast_restarts_of_nats() -> Result<()> {
    passes(Scenario::NatsRestarts, Settings { seed: 1, rounds: Some(3), rate: RATE, ..Settings::default() }).await
}

#[tokio::test]
async fn calls_go_around_a_host_that_stops() -> Result<()> {
    passes(Scenario::Stop, Settings { seed: 1, rounds: Some(1), rate: RATE, ..Settings::default() }).await
}

#[tokio::test]
async fn calls_go_around_a_host_that_is_killed() -> Result<()> {
    passes(Scenario::Kill, Settings { seed: 1, rounds: Some(1), rate: RATE, ..Settings::default() }).await
}

#[tokio::test]
async fn sixty_four_mebibytes_there_and_back_are_equal_and_held_by_nobody() -> Result<()> {
    let settings = Settings { seed: 1, amount: Some(64 << 20), ..Settings::default() };
    passes(Scenario::Streams, settings).await
}

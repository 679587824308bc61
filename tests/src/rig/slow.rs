//! Thousands of connections that do next to nothing, beside honest requests. Where the server closes one, another
//! takes its place.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use http::StatusCode;
use tokio::time::sleep;

use super::{
    Settings, Verdict,
    world::{Normal, World},
};
use crate::{
    load::open::Open,
    sample::gauges,
    slow::{Paths, Slow, raise_descriptors},
    wait::eventually,
};

const CONNECTIONS: u64 = 5_000;
const SHARE: f64 = 0.3;
const FOR: Duration = Duration::from_secs(30);
/// So many that a machine which stands still for a tenth of a second leaves no request unsent.
const CALLERS: usize = 1_024;

/// Runs it.
///
/// # Errors
///
/// Where it cannot be set up.
pub async fn run(settings: Settings) -> Result<Verdict> {
    let mut verdict = Verdict::new("slow", settings.seed);
    let may_open = raise_descriptors()?;
    let wanted = settings.amount.unwrap_or(CONNECTIONS);
    ensure!(may_open > 2 * wanted, "{wanted} connections need more than {may_open} descriptors");
    let world = World::front().await?;
    let address = world.actor("echo", 1, &[], &["--source-config", "path=/"]).await?;
    world.also(address, "torrent", "/endless").await?;
    world.lattice.until_answering(address, "/").await?;
    let rate = world.capacity(address, "/").await * SHARE;
    verdict.figure("honest requests per second", rate.round());
    let load = Open::get(rate, CALLERS, address, "/");
    let normal = Normal::of(&load, rate, Duration::from_secs(4)).await?;
    load.stop().await;

    let paths = Paths { quick: "/".into(), endless: "/endless".into() };
    let attack = Slow::start(usize::try_from(wanted)?, address, &paths);
    let made = || async { Ok((attack.made() >= wanted).then_some(())) };
    eventually("all have connected once", Duration::from_secs(60), made).await?;
    let load = Open::get(rate, CALLERS, address, "/");
    sleep(settings.duration.unwrap_or(FOR)).await;
    let held = gauges(world.lattice.host_pid(0)?);
    let open = attack.open();
    let honest = load.stop().await;
    verdict.figure("slow connections made", attack.made());
    verdict.figure("slow connections closed by the server", attack.closed());
    attack.stop().await;

    for (gauge, value) in held {
        verdict.figure(&format!("{gauge} of the host"), value);
    }
    verdict.figure("honest answers", serde_json::json!(honest.tally.answers));
    verdict.figure("honest requests never sent", honest.unsent);
    verdict.millis("honest p99 alone", Some(normal.p99));
    let p99 = honest.latency(StatusCode::OK, 0.99).context("nothing was answered")?;
    verdict.millis("honest p99 beside them", Some(p99));
    // Without the attack the rest proves nothing.
    verdict.at_least("slow connections open at the end", open as f64, wanted as f64 * 0.8);
    verdict.at_least("share of honest requests answered with 200", honest.success(), 0.9999);
    verdict.at_most("honest p99, times that alone", p99.as_secs_f64() / normal.p99.as_secs_f64(), 2.0);
    Ok(verdict.end())
}

//! Three times of what a host can do is asked of it, by callers who do not wait for each other.
//!
//! What fits must be done about as fast as ever, the rest refused at once and with a word about when to come again,
//! and when it is over it must be over. The generator runs on the same machine and takes its share of it: so the calls
//! are such that few of them are much, those that wait as well as those that use a core each. How much longer than usual
//! the latter take says more of the generator, which needs those cores too, than of the host: they are judged in time.

use std::{net::SocketAddr, time::Duration};

use anyhow::Result;
use http::StatusCode;
use tokio::time::sleep;

use super::{
    Settings, Verdict,
    world::{Normal, World},
};
use crate::{
    load::open::{Measured, Open},
    sample::gauges,
};

const TIMES: f64 = 3.0;
const NORMALLY: f64 = 0.5;
const FOR: Duration = Duration::from_secs(10);
/// At most so many requests at once: many more than a host takes.
const CALLERS: usize = 1_500;
const REFUSES_WITHIN: Duration = Duration::from_millis(50);
const RECOVERS_WITHIN: Duration = Duration::from_secs(2);

/// Runs it.
///
/// # Errors
///
/// Where it cannot be set up.
pub async fn run(settings: Settings) -> Result<Verdict> {
    let mut verdict = Verdict::new("overload", settings.seed);
    let world = World::front().await?;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    for (waits, what, actor, path, concurrency) in
        [(true, "calls that wait", "sleepy", "/80", 8), (false, "calls that use a core", "busy", "/2000", cores)]
    {
        let concurrency = format!("concurrency={concurrency}");
        let address = world.actor(actor, 1, &["--limit", &concurrency], &[]).await?;
        world.lattice.until_ready(actor, 1).await?;
        world.lattice.until_answering(address, path).await?;
        verdict.part(what);
        let lasts = settings.duration.unwrap_or(FOR);
        too_much(&mut verdict, &world, (address, path), lasts, waits).await?;
    }
    verdict.part("the host");
    for (gauge, value) in gauges(world.lattice.host_pid(0)?) {
        verdict.figure(gauge, value);
    }
    Ok(verdict.end())
}

async fn too_much(
    verdict: &mut Verdict,
    world: &World,
    (address, path): (SocketAddr, &str),
    lasts: Duration,
    waits: bool,
) -> Result<()> {
    let capacity = world.capacity(address, path).await;
    verdict.figure("capacity, requests per second", capacity.round());

    let rate = capacity * NORMALLY;
    let load = Open::get(rate, CALLERS, address, path);
    let normal = Normal::of(&load, rate, Duration::from_secs(4)).await?;
    load.stop().await;
    verdict.millis("p99 at half of the capacity", Some(normal.p99));

    let load = Open::get(capacity * TIMES, CALLERS, address, path);
    sleep(lasts).await;
    let over = load.stop().await;
    let after = Open::get(rate, CALLERS, address, path);
    let recovered = normal.recovery(&after, Duration::ZERO, RECOVERS_WITHIN * 5).await;
    after.stop().await;
    judge(verdict, &over, capacity, normal, waits);
    verdict.within("as before when it was over, seconds", recovered, RECOVERS_WITHIN);
    Ok(())
}

/// Judges what came of a load; `waits` says whether its calls leave the cores to others.
fn judge(verdict: &mut Verdict, over: &Measured, capacity: f64, normal: Normal, waits: bool) {
    verdict.figure("answers", serde_json::json!(over.tally.answers));
    verdict.figure("requests without answer", over.tally.lost.len());
    verdict.figure("requests never sent", over.unsent);
    let accepted = over.latency(StatusCode::OK, 0.99);
    verdict.millis("p99 of what was done", accepted);
    verdict.at_least("share of the capacity that was done", over.goodput() / capacity, 0.9);
    verdict.within("p99 of refusals, seconds", over.latency(StatusCode::SERVICE_UNAVAILABLE, 0.99), REFUSES_WITHIN);
    let times = accepted.map_or(f64::MAX, |accepted| accepted.as_secs_f64() / normal.p99.as_secs_f64());
    match waits {
        true => verdict.at_most("p99 of what was done, times the normal", times, 3.0),
        false => verdict.within("p99 of what was done, seconds", accepted, REFUSES_WITHIN),
    }
    let others = over.tally.failed() - over.tally.answers.get(&503).copied().unwrap_or_default();
    verdict.at_most("requests neither done nor refused", others as f64, 0.0);
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    use super::*;

    #[test]
    fn what_is_neither_done_nor_refused_is_found() -> Result<()> {
        let mut verdict = Verdict::new("overload", 1);
        let mut over = Measured { lasted: Duration::from_secs(1), ..Measured::default() };
        over.tally.answers.extend([(200, 90), (503, 200), (500, 1)]);
        over.tally.lost.push("no answer".into());
        judge(&mut verdict, &over, 100.0, Normal::for_tests(Duration::from_millis(1)), true);
        let bound = verdict.bounds.iter().find(|bound| bound.name.starts_with("requests neither")).context("bound")?;
        assert!(!bound.pass && (bound.measured - 2.0).abs() < f64::EPSILON, "{bound:?}");
        let done = verdict.bounds.iter().find(|bound| bound.name.starts_with("share")).context("bound")?;
        assert!(done.pass, "{done:?}");
        Ok(())
    }
}

//! nats-server is killed and started again, again and again, at half of what the lattice can do.
//!
//! Local requests (HTTP server and actor on one host) must not notice. Remote ones have a deadline beyond the longest
//! outage and a second: they wait for the server and succeed. The store of the remote ledger is a file beside it, so
//! that its effects depend on nothing but the call.

use std::{sync::Arc, time::Duration};

use anyhow::Result;
use fastrand::Rng;
use tokio::time::sleep;

use super::{
    Settings, Verdict,
    world::{Normal, World},
};
use crate::{
    lattice::{Server, Store},
    ledger::Ledger,
    load::open::{Measured, Open},
};

/// How long the server is away.
const OUTAGES: [Duration; 3] = [Duration::from_millis(100), Duration::from_secs(1), Duration::from_secs(5)];
/// Beyond the longest outage and a second.
const DEADLINE: Duration = Duration::from_secs(8);
const RECOVERS_WITHIN: Duration = Duration::from_secs(2);
/// Shares of what each path can do alone, together half of the machine.
const LOCAL_SHARE: f64 = 0.4;
const REMOTE_SHARE: f64 = 0.1;
/// So many remote requests a second that those of the longest outage fit into the callee's queue.
const REMOTE_MOST: f64 = 100.0;
/// A round that has not recovered by then never will.
const GIVES_UP_AFTER: Duration = Duration::from_secs(10);

/// Runs it.
///
/// # Errors
///
/// Where it cannot be set up.
pub async fn run(settings: Settings) -> Result<Verdict> {
    let mut verdict = Verdict::new("nats-restarts", settings.seed);
    let mut random = Rng::with_seed(settings.seed);
    let mut world = World::front().await?;
    let hello = world.actor("hello", 1, &[], &[]).await?;
    world.lattice.until_ready("hello", 1).await?;
    world.lattice.until_answering(hello, "/").await?;
    world.lattice.up(2).await?;
    let address = world.ledger(Store::Redb, 1, DEADLINE).await?;
    let (local_rate, remote_rate) = match settings.rate {
        Some(rate) => (rate, rate),
        None => {
            let local = world.capacity(hello, "/").await * LOCAL_SHARE;
            let remote = world.ledger_capacity(address, Duration::ZERO).await * REMOTE_SHARE;
            (local, remote.min(REMOTE_MOST))
        }
    };
    verdict.figure("local requests per second", local_rate.round());
    verdict.figure("remote requests per second", remote_rate.round());

    let ledger = Arc::new(Ledger::new('r'));
    // As many as can wait for the longest outage.
    let clerks = (0..1_000).map(|_| ledger.clerk(address, DEADLINE * 2, Duration::ZERO));
    let (local, remote) = (Open::get(local_rate, 256, hello, "/"), Open::start(remote_rate, clerks));
    let normal = Normal::of(&remote, remote_rate, Duration::from_secs(2)).await?;
    verdict.millis("remote p99 with nothing broken", Some(normal.p99));
    let mut server = world.lattice.server()?;
    let recovered =
        restart(&mut server, &mut verdict, &remote, normal, &mut random, settings.rounds.unwrap_or(20)).await?;
    sleep(Duration::from_secs(1)).await;
    let (local, remote) = tokio::join!(local.stop(), remote.stop());
    judge(&mut verdict, &local, &remote, recovered);
    verdict.figure("refusals", serde_json::json!(ledger.refusals()));
    verdict.ledger(&ledger.check(&world.effects(address).await?, DEADLINE));
    let hosts = world.lattice.get("hosts").await?;
    let ready = hosts.iter().filter(|host| host.get("state").is_some_and(|state| state == "ready")).count();
    verdict.at_least("hosts ready at the end", ready as f64, 2.0);
    Ok(verdict.end())
}

/// The longest recovery; `None` where one did not end.
async fn restart(
    server: &mut Server,
    verdict: &mut Verdict,
    remote: &Open,
    normal: Normal,
    random: &mut Rng,
    rounds: u32,
) -> Result<Option<Duration>> {
    let mut worst = Some(Duration::ZERO);
    for round in 1..=rounds {
        let outage = random.choice(OUTAGES).unwrap_or_default();
        server.kill().await?;
        sleep(outage).await;
        server.start().await?;
        let recovered = normal.recovery(remote, remote.elapsed(), GIVES_UP_AFTER).await;
        verdict.say(&format!("round {round}: away for {outage:?}, recovered {recovered:?} after it listened"));
        worst = worst.zip(recovered).map(|(worst, recovered)| worst.max(recovered));
        // Kills at another moment of each beat.
        sleep(Duration::from_millis(random.u64(200..1_200))).await;
    }
    Ok(worst)
}

fn judge(verdict: &mut Verdict, local: &Measured, remote: &Measured, recovered: Option<Duration>) {
    for (name, measured) in [("local", local), ("remote", remote)] {
        verdict.figure(&format!("{name} requests"), measured.tally.sent());
        verdict.figure(&format!("{name} requests never sent"), measured.unsent);
        verdict.figure(&format!("{name} answers"), serde_json::json!(measured.tally.answers));
        let some: Vec<_> = measured.tally.lost.iter().take(3).collect();
        verdict.figure(&format!("{name} requests without answer"), measured.tally.lost.len());
        verdict.say(&format!("{name}: for example {some:?}"));
        verdict.millis(&format!("{name} p99"), measured.latency(http::StatusCode::OK, 0.99));
    }
    verdict.at_most("local requests that failed", local.tally.failed() as f64, 0.0);
    verdict.at_least("share of remote requests answered with 200", remote.success(), 0.999);
    verdict.within("recovery after the server listens, seconds", recovered, RECOVERS_WITHIN);
}

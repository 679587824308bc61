//! One host's messages are lost, repeated, swapped, late, slow, and its connections reset, one fault after the other
//! and in both directions.
//!
//! The ledger is on that host with a file for a store, so that the faults are in the calls and not in their effects.
//! What repeats must change nothing that a caller sees. What swaps may end a stream, which has a gap then: NATS keeps
//! the order of what one host sends, so nothing waits for what should have come before. What loses and slows must cost
//! him no more than one in five requests.

use std::{net::Ipv4Addr, sync::Arc, time::Duration};

use anyhow::Result;
use tokio::time::sleep;

use super::{
    Settings, Verdict,
    world::{Normal, World},
};
use crate::{
    fault::{Conditions, Proxy, Way},
    lattice::Store,
    ledger::Ledger,
    load::open::Open,
};

const DEADLINE: Duration = Duration::from_secs(3);
const RATE: f64 = 50.0;
const PHASE: Duration = Duration::from_secs(8);
const HEALS_WITHIN: Duration = Duration::from_secs(10);

/// A fault, and the share of the requests that must be answered with 200 in it.
struct Phase {
    name: &'static str,
    to_server: Conditions,
    from_server: Conditions,
    success: &'static str,
    at_least: f64,
}

const GOOD: Conditions =
    Conditions { delay: Duration::ZERO, drop: 0.0, duplicate: 0.0, reorder: 0.0, bytes_per_second: 0, silent: false };

fn phases() -> [Phase; 6] {
    let same = |name, success, conditions: Conditions, at_least| Phase {
        name,
        success,
        to_server: conditions,
        from_server: conditions,
        at_least,
    };
    let lossy = Conditions { drop: 0.02, ..GOOD };
    [
        same("every tenth twice", "success where messages repeat", Conditions { duplicate: 0.1, ..GOOD }, 0.999),
        same("every tenth swapped", "success where messages swap", Conditions { reorder: 0.1, ..GOOD }, 0.95),
        same("2 of 100 lost", "success where messages are lost", lossy, 0.8),
        Phase {
            name: "10 of 100 lost one way",
            success: "success where one direction loses",
            to_server: Conditions { drop: 0.1, ..GOOD },
            from_server: GOOD,
            at_least: 0.8,
        },
        same(
            "200 ms late",
            "success where messages are late",
            Conditions { delay: Duration::from_millis(200), ..GOOD },
            0.8,
        ),
        same("64 KiB/s", "success where the link is slow", Conditions { bytes_per_second: 64 << 10, ..GOOD }, 0.8),
    ]
}

/// Runs it.
///
/// # Errors
///
/// Where it cannot be set up.
pub async fn run(settings: Settings) -> Result<Verdict> {
    let mut verdict = Verdict::new("network", settings.seed);
    let mut world = World::front().await?;
    let server = world.lattice.server_address()?;
    let proxy = Proxy::start(Ipv4Addr::LOCALHOST.into(), server, settings.seed).await?;
    let joined = world.lattice.join("far", proxy.address(), None).await?;
    world.joined.push(joined);
    let address = world.ledger(Store::Redb, 1, DEADLINE).await?;
    let ledger = Arc::new(Ledger::new('r'));
    let clerks = (0..400).map(|_| ledger.clerk(address, DEADLINE * 3, Duration::ZERO));
    let load = Open::start(RATE, clerks);
    let normal = Normal::of(&load, RATE, Duration::from_secs(2)).await?;
    for phase in phases() {
        attack(&mut verdict, &proxy, &load, &phase, settings.duration.unwrap_or(PHASE)).await;
        proxy.heal();
        let healed = normal.recovery(&load, load.elapsed(), HEALS_WITHIN * 3).await;
        verdict.within("as before after the fault, seconds", healed, HEALS_WITHIN);
    }
    proxy.reset();
    let healed = normal.recovery(&load, load.elapsed(), HEALS_WITHIN * 3).await;
    verdict.within("as before after a reset, seconds", healed, HEALS_WITHIN);
    let measured = load.stop().await;
    verdict.figure("answers", serde_json::json!(measured.tally.answers));
    verdict.figure("to the server", serde_json::to_value(proxy.done(Way::ToServer))?);
    verdict.figure("from the server", serde_json::to_value(proxy.done(Way::FromServer))?);
    verdict.figure("refusals", serde_json::json!(ledger.refusals()));
    verdict.ledger(&ledger.check(&world.effects(address).await?, DEADLINE));
    Ok(verdict.end())
}

async fn attack(verdict: &mut Verdict, proxy: &Proxy, load: &Open, phase: &Phase, time: Duration) {
    verdict.say(phase.name);
    let from = load.elapsed();
    proxy.set(Way::ToServer, phase.to_server);
    proxy.set(Way::FromServer, phase.from_server);
    sleep(time).await;
    let until = load.elapsed();
    // What was due in it has had its time only a deadline later.
    sleep(DEADLINE).await;
    let due = RATE * (until - from).as_secs_f64();
    let failed = load.so_far().failures(from, until) as f64;
    verdict.at_least(phase.success, (due - failed) / due, phase.at_least);
}

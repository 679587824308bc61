//! One of the two hosts that serve the ledger goes away under load and comes back: cut off, stopped or killed. A third
//! one stands by.
//!
//! New requests must go to the other one within a second. What may fail are the calls that were under way until then:
//! nobody knows what became of them, and an effect that may have happened is not tried again elsewhere. Beside them
//! runs a trickle of requests that have no effect.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::{Context as _, Result, bail};
use fastrand::Rng;
use rustix::process::Signal;
use tokio::time::sleep;

use super::{
    Settings, Verdict,
    world::{Normal, World},
};
use crate::{
    fault::{Namespace, Proxy},
    lattice::Store,
    ledger::{Ledger, stored},
    load::Open,
    process::signal,
};

/// Of what the lattice can do.
const SHARE: f64 = 0.6;
/// Each request is under way for so long, so that some are when the fault comes.
const WORK: Duration = Duration::from_millis(20);
const ROUTED_WITHIN: Duration = Duration::from_secs(1);
const ROUNDS: u32 = 3;
/// The front, two that serve, and one that can.
const HOSTS: usize = 4;
/// More than a host may go unheard before it counts as lost.
const GONE_FOR: Duration = Duration::from_secs(4);
const GIVES_UP_AFTER: Duration = Duration::from_secs(20);
/// How often the calls in flight are counted.
const COUNT_EVERY: Duration = Duration::from_millis(5);
/// Requests without effect, a second.
const TRICKLE: f64 = 20.0;

/// A host's link goes down in its own namespace.
///
/// # Errors
///
/// Where it cannot be set up: it needs root.
pub async fn partition(settings: Settings) -> Result<Verdict> {
    let deadline = Duration::from_secs(3);
    let mut verdict = Verdict::new("partition", settings.seed);
    let mut random = Rng::with_seed(settings.seed);
    let mut spaces = vec![Namespace::make(1)?, Namespace::make(2)?, Namespace::make(3)?];
    let mut world = World::front().await?;
    world.spaces.append(&mut spaces);
    let server = world.lattice.server_address()?;
    for (number, space) in world.spaces.iter().enumerate() {
        let proxy = Proxy::start(space.outside().into(), server, random.u64(..)).await?;
        let joined = world.lattice.join(&format!("away-{number}"), proxy.address(), Some(space)).await?;
        world.proxies.push(proxy);
        world.joined.push(joined);
    }
    let address = world.ledger(Store::Nats, 2, deadline).await?;
    let mut run = Run::begin(&world, &mut verdict, address, deadline, settings).await?;
    for _ in 0..settings.rounds.unwrap_or(ROUNDS) {
        let victim = random.choice(world.serving().await?).context("nobody serves")?;
        let at = world.joined.iter().position(|joined| joined.id == victim);
        let space = at.and_then(|at| world.spaces.get(at)).context("it is in no namespace")?;
        run.gone(&mut verdict, GONE_FOR, || space.cut()).await?;
        space.heal()?;
        run.back(&world, &mut verdict, &mut random).await?;
    }
    run.end(&world, verdict).await
}

/// A host stops in the midst of its work, and later goes on as if nothing had been.
///
/// # Errors
///
/// Where it cannot be set up.
pub async fn stop(settings: Settings) -> Result<Verdict> {
    // Shorter than the stop: what the host finds when it goes on is late.
    let deadline = Duration::from_secs(1);
    let (world, mut verdict, mut random, mut run) = loaded("stop", deadline, settings).await?;
    for _ in 0..settings.rounds.unwrap_or(ROUNDS) {
        let pid = victim(&world, &mut random).await?;
        let gone_for = Duration::from_millis(random.u64(2_000..6_000));
        run.gone(&mut verdict, gone_for, || signal(pid, Signal::STOP)).await?;
        signal(pid, Signal::CONT)?;
        run.back(&world, &mut verdict, &mut random).await?;
    }
    run.end(&world, verdict).await
}

/// A host is killed, and another is started in its place.
///
/// # Errors
///
/// Where it cannot be set up.
pub async fn kill(settings: Settings) -> Result<Verdict> {
    let (mut world, mut verdict, mut random, mut run) = loaded("kill", Duration::from_secs(3), settings).await?;
    for _ in 0..settings.rounds.unwrap_or(ROUNDS) {
        let pid = victim(&world, &mut random).await?;
        run.gone(&mut verdict, Duration::from_secs(2), || signal(pid, Signal::KILL)).await?;
        world.lattice.up(HOSTS).await?;
        run.back(&world, &mut verdict, &mut random).await?;
    }
    run.end(&world, verdict).await
}

/// A lattice of hosts on this machine, whose ledger is under load.
async fn loaded(scenario: &'static str, deadline: Duration, settings: Settings) -> Result<(World, Verdict, Rng, Run)> {
    let mut verdict = Verdict::new(scenario, settings.seed);
    let mut world = World::front().await?;
    world.lattice.up(HOSTS).await?;
    let address = world.ledger(Store::Nats, 2, deadline).await?;
    let run = Run::begin(&world, &mut verdict, address, deadline, settings).await?;
    Ok((world, verdict, Rng::with_seed(settings.seed), run))
}

/// The process of one of the hosts that serve now.
async fn victim(world: &World, random: &mut Rng) -> Result<i32> {
    let id = random.choice(world.serving().await?).context("nobody serves")?;
    for host in 1..HOSTS {
        if world.lattice.host_id(host)? == id {
            return world.lattice.host_pid(host);
        }
    }
    bail!("{id} is none of ours")
}

/// The load, and what happened to it.
struct Run {
    deadline: Duration,
    ledger: Arc<Ledger>,
    load: Open,
    trickle: Open,
    normal: Normal,
    rounds: Vec<Round>,
}

/// One time that a host was away, on the clock of the load.
struct Round {
    from: Duration,
    until: Duration,
    in_flight: u64,
    in_flight_most: u64,
    back: bool,
}

impl Run {
    async fn begin(
        world: &World,
        verdict: &mut Verdict,
        address: SocketAddr,
        deadline: Duration,
        settings: Settings,
    ) -> Result<Self> {
        let rate = match settings.rate {
            Some(rate) => rate,
            None => world.ledger_capacity(address, WORK).await * SHARE,
        };
        verdict.figure("requests per second", rate.round());
        let ledger = Arc::new(Ledger::new('r'));
        let clerks = (0..1_000).map(|_| ledger.clerk(address, deadline * 3, WORK));
        let (load, trickle) = (Open::start(rate, clerks), Open::get(TRICKLE, 100, address, "/"));
        let normal = Normal::of(&load, rate, Duration::from_secs(2)).await?;
        verdict.millis("p99 with nothing broken", Some(normal.p99));
        Ok(Self { deadline, ledger, load, trickle, normal, rounds: Vec::new() })
    }

    /// Makes a host go away and waits for so long.
    async fn gone(&mut self, verdict: &mut Verdict, time: Duration, fault: impl FnOnce() -> Result<()>) -> Result<()> {
        fault()?;
        let (from, in_flight) = (self.load.elapsed(), self.load.in_flight());
        let mut in_flight_most = in_flight;
        while self.load.elapsed() < from + ROUTED_WITHIN {
            in_flight_most = in_flight_most.max(self.load.in_flight());
            sleep(COUNT_EVERY).await;
        }
        sleep((from + time).saturating_sub(self.load.elapsed())).await;
        let until = self.load.elapsed();
        verdict.say(&format!("away for {time:?} with {in_flight} calls in flight, {in_flight_most} at most"));
        self.rounds.push(Round { from, until, in_flight, in_flight_most, back: false });
        Ok(())
    }

    /// Waits until both hosts serve again and requests are answered as before.
    async fn back(&mut self, world: &World, verdict: &mut Verdict, random: &mut Rng) -> Result<()> {
        let after = world.lattice.until_ready("ledger", 2).await?;
        let back = self.normal.recovery(&self.load, self.load.elapsed(), GIVES_UP_AFTER).await;
        verdict.say(&format!("both serve {after:?} after it came back; answered as before {back:?} later"));
        if let Some(round) = self.rounds.last_mut() {
            round.back = back.is_some();
        }
        sleep(Duration::from_millis(random.u64(200..1_200))).await;
        Ok(())
    }

    async fn end(self, world: &World, mut verdict: Verdict) -> Result<Verdict> {
        let (measured, trickle) = tokio::join!(self.load.stop(), self.trickle.stop());
        let (mut routed, mut above, mut errors) = (Duration::ZERO, 0, Vec::new());
        for (number, round) in self.rounds.iter().enumerate() {
            let trouble = measured.trouble(round.from, round.until, self.normal.is_bad());
            // Whatever fails belongs to some round: coming back may break something too.
            let from = if number == 0 { Duration::ZERO } else { round.from.saturating_sub(self.deadline) };
            let next = self.rounds.get(number + 1).map_or(Duration::MAX, |next| next.from);
            let failed = measured.failures(from, next.saturating_sub(self.deadline));
            routed = routed.max(trouble);
            above = above.max(failed.saturating_sub(round.in_flight_most));
            errors.push(failed);
        }
        verdict.figure("requests", measured.tally.sent());
        verdict.figure("requests never sent", measured.unsent);
        verdict.figure("answers", serde_json::json!(measured.tally.answers));
        verdict.figure("requests without answer", measured.tally.lost.len());
        verdict.figure("errors in each round", errors);
        let counts = |of: fn(&Round) -> u64| self.rounds.iter().map(of).collect::<Vec<_>>();
        verdict.figure("calls in flight at the fault", counts(|round| round.in_flight));
        verdict.figure("calls in flight at most within a second", counts(|round| round.in_flight_most));
        verdict.figure("refusals", serde_json::json!(self.ledger.refusals()));
        verdict.figure("requests without effect", trickle.tally.sent());
        verdict.figure("requests without effect that failed", trickle.tally.failed());
        verdict.within("routed around, seconds", Some(routed), ROUTED_WITHIN);
        verdict.at_most("errors above the calls in flight", above as f64, 0.0);
        let lasting = self.rounds.iter().filter(|round| !round.back).count();
        verdict.at_most("rounds after which it never was as before", lasting as f64, 0.0);
        let effects = stored(world.lattice.server_address()?, "ledger").await?;
        verdict.ledger(&self.ledger.check(&effects, self.deadline));
        Ok(verdict.end())
    }
}

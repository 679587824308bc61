//! A long time at 40 % of the capacity, while links and configuration change every few seconds.
//!
//! No request may fail, and when the lattice is warm nothing of it may grow. What is changed is on the path of the
//! load: the HTTP route is written anew each time, a second link of the actor comes and goes, shared configuration
//! and the number of another actor's replicas change.
//!
//! What nats-server holds is told from what its collector found in use beside the buffers of messages: the memory that
//! is resident sways by tens of MiB with the moment at which it ran last, and the buffers by some MiB with how full each
//! stream's block is, which says more than an hour of growth would.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use anyhow::Result;
use http::StatusCode;
use rustix::process::Signal;
use tokio::{
    join,
    time::{Instant, sleep, sleep_until},
};

use super::{Settings, Verdict, world::World};
use crate::{
    lattice::Store,
    load::{self, open::Open},
    process::signal,
    sample::{Process, Sampler, Samples, Server, growth, middles, slope},
};

const FOR: Duration = Duration::from_secs(2 * 3_600);
const SHARE: f64 = 0.4;
const CALLERS: usize = 256;
/// For so long it is asked for all that it can do.
const CAPACITY_FOR: Duration = Duration::from_secs(5);
/// For so long nats-server stands still before the load begins.
const STANDS_STILL: Duration = Duration::from_millis(500);
const CHANGES_EVERY: Duration = Duration::from_secs(5);
const SAMPLES_EVERY: Duration = Duration::from_secs(2);
/// Until a lattice is warm, at most.
const WARM_UP: Duration = Duration::from_secs(30 * 60);
/// What nats-server is called in the samples.
const SERVER: &str = "nats-server";
/// KiB an hour, where the run is long enough to tell.
const MEMORY: f64 = 1024.0;
/// A slope is told from swaying in a time of this, after the warm-up.
const LONG: Duration = Duration::from_secs(3_600);
/// What sways in a time of this says nothing.
const MIDDLE_OF: Duration = Duration::from_secs(300);
/// KiB more, from the first third of a shorter run to its last.
const MEMORY_AT_ONCE: f64 = 4_096.0;
/// What a count sways by.
const SWAY: f64 = 8.0;
/// What tasks sway by: each request under way has one or two.
const TASKS: f64 = 32.0;

/// Runs it.
///
/// # Errors
///
/// Where it cannot be set up.
pub async fn run(settings: Settings) -> Result<Verdict> {
    let mut verdict = Verdict::new("soak", settings.seed);
    let mut world = World::front().await?;
    world.lattice.up(2).await?;
    // Nobody hears `busy` where the machine stands still for a moment: that is for the scenario of overload.
    let room = format!("concurrency={CALLERS}");
    let counter = world.actor("counter", 1, &["--limit", &room], &[]).await?;
    world.lattice.key_value("kv", Store::Nats, "counter").await?;
    world.actor("hello", 1, &[], &[]).await?;
    world.lattice.until_ready("counter", 1).await?;
    world.lattice.until_answering(counter, "/ready").await?;
    wait_together(&world, counter).await?;
    let capacity = load::capacity(load::Get::over(CALLERS, counter, "/"), CAPACITY_FOR).await;
    let rate = capacity * SHARE;
    verdict.figure("requests per second", rate.round());

    let time = settings.duration.unwrap_or(FOR);
    let mut processes = vec![Process { name: SERVER.to_owned(), pid: world.lattice.nats_pid()?, admin: None }];
    for host in 0..2 {
        let (pid, admin) = (world.lattice.host_pid(host)?, world.lattice.admin(host)?);
        processes.push(Process { name: format!("host-{}", host + 1), pid, admin: Some(admin) });
    }
    let server = Server {
        monitor: world.lattice.says("monitor")?.trim_start_matches("http://").parse()?,
        store: world.lattice.file("nats"),
    };
    let sampler = Sampler::start(SAMPLES_EVERY, processes, Some(server));
    let load = Open::get(rate, CALLERS, counter, "/");
    let (end, mut changes, mut refused, mut failed) = (Instant::now() + time, 0, 0, 0);
    while Instant::now() + CHANGES_EVERY < end {
        sleep(CHANGES_EVERY).await;
        changes += 1;
        if let Err(error) = change(&world, &counter.to_string(), changes).await {
            refused += 1;
            verdict.say(&format!("change {changes}: {error:#}"));
        }
        let so_far = load.so_far().tally;
        if so_far.failed() > failed || changes % 12 == 0 {
            failed = so_far.failed();
            verdict.say(&format!("{} requests, {failed} failed, {:?}", so_far.sent(), so_far.answers));
        }
    }
    sleep_until(end).await;
    let measured = load.stop().await;
    let samples = sampler.stop().await;
    verdict.figure("changes", changes);
    verdict.at_most("changes that were not made", f64::from(refused), 0.0);
    verdict.figure("requests", measured.tally.sent());
    verdict.figure("requests never sent", measured.unsent);
    verdict.figure("answers", serde_json::json!(measured.tally.answers));
    let some: Vec<_> = measured.tally.lost.iter().take(3).collect();
    verdict.say(&format!("without answer, for example: {some:?}"));
    verdict.millis("p50", measured.latency(StatusCode::OK, 0.5));
    verdict.millis("p99", measured.latency(StatusCode::OK, 0.99));
    verdict.at_most("requests that failed", measured.tally.failed() as f64, 0.0);
    let warm = WARM_UP.min(time / 4);
    judge(&mut verdict, &samples, warm, time - warm >= LONG);
    Ok(verdict.end())
}

/// All callers wait for the store at the same moment, as they do again wherever the disk or the machine stands still:
/// afterwards there are as many instances, and stacks that were used, as there will ever be.
async fn wait_together(world: &World, counter: SocketAddr) -> Result<()> {
    let server = world.lattice.nats_pid()?;
    let still = async {
        sleep(STANDS_STILL).await;
        signal(server, Signal::STOP)?;
        sleep(STANDS_STILL).await;
        signal(server, Signal::CONT)
    };
    join!(load::capacity(load::Get::over(CALLERS, counter, "/"), STANDS_STILL * 4), still).1
}

async fn change(world: &World, listen: &str, number: u32) -> Result<()> {
    let lattice = &world.lattice;
    let (step, timeout) = (format!("step={number}"), format!("timeout_ms={}", 30_000 + number));
    lattice.ok(["config", "put", "soak", &step]).await?;
    let listen = format!("listen={listen}");
    let put = ["link", "put", "web", "counter", "wasi:http/incoming-handler", "--source-config", &listen];
    lattice.ok(put.into_iter().chain(["--source-config", &timeout])).await?;
    if number % 2 == 1 {
        let spare = ["--name", "spare", "--target-config", "bucket=spare"];
        lattice.ok(["link", "put", "counter", "kv", "wasi:keyvalue"].into_iter().chain(spare)).await?;
        lattice.ok(["scale", "actor", "hello", "--replicas", "2"]).await?;
    } else {
        lattice.ok(["link", "del", "counter", "kv", "wasi:keyvalue", "--name", "spare"]).await?;
        lattice.ok(["scale", "actor", "hello", "--replicas", "1"]).await?;
    }
    Ok(())
}

/// Judges what was sampled after the warm-up; `long` says whether that is enough to tell how memory grows in an hour.
fn judge(verdict: &mut Verdict, samples: &Samples, warm: Duration, long: bool) {
    let mut worst: BTreeMap<&'static str, f64> = BTreeMap::new();
    for ((process, gauge), series) in samples {
        let memory = matches!(*gauge, "rss" | "live" | "held");
        if memory {
            let middles: Vec<_> = middles(series, MIDDLE_OF).iter().map(|(_, value)| value.round()).collect();
            verdict.figure(&format!("{gauge} of {process}, KiB, each {} s", MIDDLE_OF.as_secs()), middles);
        }
        let series: Vec<_> = series.iter().copied().filter(|(at, _)| *at >= warm.as_secs_f64()).collect();
        let (grew, unit) = match *gauge {
            "hwm" => continue,
            _ if memory && long => (slope(&middles(&series, MIDDLE_OF)) * 3_600.0, "KiB an hour"),
            _ if memory => (growth(&series), "KiB more"),
            _ => (growth(&series), "more"),
        };
        verdict.figure(&format!("{gauge} of {process}, {unit}"), grew);
        if *gauge == "live" || (*gauge == "rss" && process == SERVER) {
            continue;
        }
        let of = worst.entry(gauge).or_insert(f64::MIN);
        *of = of.max(grew);
    }
    let of = |gauge| worst.get(gauge).copied().unwrap_or(f64::MAX);
    let (unit, most) = if long { ("KiB an hour", MEMORY) } else { ("KiB", MEMORY_AT_ONCE) };
    verdict.at_most(&format!("{unit} that a host grows by"), of("rss"), most);
    verdict.at_most(&format!("{unit} that nats-server holds more"), of("held"), most);
    verdict.at_most("descriptors more", of("fds"), SWAY);
    verdict.at_most("threads more", of("threads"), SWAY);
    verdict.at_most("tasks more", of("tasks"), TASKS);
    verdict.at_most("subscriptions more", of("subscriptions"), SWAY);
    verdict.at_most("connections more", of("connections"), SWAY);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_grows_is_found_and_what_sways_is_not() {
        let series = |slope: f64| (0..1_000).map(|n| f64::from(n) * 6.0).map(|at| (at, 1_000.0 + slope * at)).collect();
        let samples = |grows: &[(&'static str, f64)]| {
            let flat =
                ["rss", "held", "fds", "threads", "tasks", "subscriptions", "connections"].map(|gauge| (gauge, 0.0));
            let of_host = |&(gauge, slope): &(&'static str, f64)| (("h".to_owned(), gauge), series(slope));
            flat.iter().chain(grows).map(of_host).collect::<Samples>()
        };
        let broken = |samples: &Samples, long: bool| {
            let mut verdict = Verdict::new("soak", 1);
            judge(&mut verdict, samples, Duration::from_secs(10), long);
            verdict.broken()
        };
        for (long, grows) in [(true, 1.0), (false, 5.0)] {
            let sways = [("rss", grows / 10.0), ("held", grows / 10.0), ("live", grows), ("fds", 0.001)];
            assert_eq!(broken(&samples(&sways), long), Vec::<String>::new());
            for gauge in ["rss", "held"] {
                assert_eq!(broken(&samples(&[(gauge, grows)]), long).len(), 1, "{gauge}");
            }
            for gauge in ["fds", "threads", "tasks", "subscriptions", "connections"] {
                assert_eq!(broken(&samples(&[(gauge, 5.0)]), long).len(), 1, "{gauge}");
            }
            assert_eq!(broken(&Samples::new(), long).len(), 7, "what was not read does not pass");
        }
    }
}

//! More calls than fit are refused at once, say when to come again, and are forgotten when the load stops.

use std::{net::SocketAddr, time::Duration};

use anyhow::Result;
use http::{StatusCode, header::RETRY_AFTER};
use mesh_tests::{
    http::{self as client, Client},
    lattice::Lattice,
    load::{
        Closed, Open,
        open::{Ask, Measured, Outcome, Turn},
    },
    process::resident_bytes,
};
use tokio::{
    task::JoinSet,
    time::{Instant, interval},
};

/// A refusal comes within this for 99 of 100; asserted at three times that.
const REFUSED_WITHIN: Duration = Duration::from_millis(50);

/// All is as before this long after the load stops; asserted at three times that.
const NORMAL_WITHIN: Duration = Duration::from_secs(2);

/// How long each load goes on.
const LASTS: Duration = Duration::from_secs(5);

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

/// Three times what an actor can do, whose calls take time and no processor: what is measured is the host and not the
/// cores that it shares with the load.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_times_capacity_is_refused_in_time_and_costs_those_who_are_served_little() -> Result<()> {
    let lattice = Lattice::builder().start().await?;
    let address = start(&lattice, "sleepy", &["--limit", "concurrency=8"]).await?;
    let seen = overload(&lattice, address, "/80").await?;
    let refused = seen.overload.latency(StatusCode::SERVICE_UNAVAILABLE, 0.99).unwrap_or(Duration::MAX);
    // What a call takes beyond its sleep while there is room is what the machine adds to everything just now.
    let machine = seen.usual.saturating_sub(Duration::from_millis(80));
    println!("the machine adds {machine:?}");
    assert!(refused < (REFUSED_WITHIN + machine) * 3, "a refusal takes {refused:?}");
    let goodput = seen.overload.goodput() / seen.capacity;
    assert!(goodput >= 0.9, "{goodput:.2} of the capacity is left");
    Ok(())
}

/// The same with an actor that needs the processor.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_without_a_core_to_spare_refuses_and_recovers() -> Result<()> {
    let lattice = Lattice::builder().start().await?;
    let address = start(&lattice, "hello", &["--limit", "concurrency=8"]).await?;
    overload(&lattice, address, "/").await?;
    Ok(())
}

async fn start(lattice: &Lattice, guest: &str, limits: &[&str]) -> Result<SocketAddr> {
    let file = lattice.signed(guest).await?;
    let actor = ["start", "actor", &file.to_string_lossy(), "--name", guest];
    lattice.ok([&actor[..], limits].concat()).await?;
    let address = lattice.serve(guest).await?;
    lattice.until_ready(guest, 1).await?;
    lattice.until_running(&format!("web-{guest}"), 1).await?;
    lattice.until_answering(address, "/").await?;
    Ok(address)
}

struct Seen {
    capacity: f64,
    /// What 99 of 100 calls stay within where there is room.
    usual: Duration,
    overload: Measured,
}

/// Measures the capacity, asks for three times that, and then for half of it.
async fn overload(lattice: &Lattice, address: SocketAddr, path: &str) -> Result<Seen> {
    let (begun, load) = (Instant::now(), Closed::keep_alive(24, address, path));
    pass(LASTS).await;
    let capacity = load.stop().await.ok() as f64 / begun.elapsed().as_secs_f64();
    let resident = resident_bytes(lattice.host_pid(0)?)?;
    let normal = for_a_while(capacity / 2.0, 64, address, path).await;
    let overload = for_a_while(capacity * 3.0, 512, address, path).await;
    let after = for_a_while(capacity / 2.0, 64, address, path).await;

    let grown = resident_bytes(lattice.host_pid(0)?)?.saturating_sub(resident);
    let at = |of: &Measured, status: StatusCode| of.latency(status, 0.99).unwrap_or_default();
    let usual = at(&normal, StatusCode::OK);
    let again = after.trouble(Duration::ZERO, LASTS, |window| window.failed > 0 || window.slowest > usual * 3);
    println!(
        "capacity {capacity:.0}/s; at three times that {:.0}/s served ({:.2}), answers {:?}, {} unsent",
        overload.goodput(),
        overload.goodput() / capacity,
        overload.tally.answers,
        overload.unsent
    );
    println!(
        "p99: normal {usual:?}, served {:?}, refused {:?}; normal again after {again:?}; {} MiB more",
        at(&overload, StatusCode::OK),
        at(&overload, StatusCode::SERVICE_UNAVAILABLE),
        grown >> 20
    );
    let lost: Vec<_> = overload.tally.lost.iter().take(5).collect();
    assert_eq!(overload.tally.lost.len(), 0, "each request has an answer: {lost:?}");
    assert!(overload.tally.answers.keys().all(|status| [200, 503].contains(status)), "{:?}", overload.tally.answers);
    let refused = overload.tally.answers.get(&503).copied().unwrap_or_default();
    assert!(refused > 0, "a positive control: it was too much");
    assert!(grown < 64 << 20, "{} MiB more", grown >> 20);
    assert!(again < NORMAL_WITHIN * 3, "normal again only after {again:?}");
    Ok(Seen { capacity, usual, overload })
}

async fn for_a_while(rate: f64, connections: usize, address: SocketAddr, path: &str) -> Measured {
    let workers = (0..connections).map(|_| Polite { client: Client::keep_alive(address), path: path.to_owned() });
    let load = Open::start(rate, workers);
    pass(LASTS).await;
    load.stop().await
}

/// One for whom a refusal without `Retry-After` is no answer.
struct Polite {
    client: Client,
    path: String,
}

impl Ask for Polite {
    async fn ask(&mut self, _: Turn) -> Outcome {
        match self.client.get(&self.path).await {
            Ok(answer) if answer.status == 503 && !answer.headers.contains_key(RETRY_AFTER) => {
                Outcome::Lost("a refusal that does not say when to come again".to_owned())
            }
            Ok(answer) => Outcome::Answered(answer.status.as_u16()),
            Err(error) => Outcome::Lost(format!("{error:#}")),
        }
    }
}

async fn pass(time: Duration) {
    let (end, mut every) = (Instant::now() + time, interval(Duration::from_millis(20)));
    while Instant::now() < end {
        every.tick().await;
    }
}

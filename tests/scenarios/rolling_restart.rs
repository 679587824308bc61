//! Hosts of one machine share an address, and no request is lost when they are restarted in turn.

use std::{net::SocketAddr, time::Duration};

use anyhow::Result;
use mesh_tests::{
    http,
    lattice::{Lattice, Store},
    load::{Closed, Tally},
    wait::eventually,
};
use rustix::process::Signal;

const ROUNDS: usize = 10;

#[tokio::test]
async fn no_request_on_kept_connections_is_lost_while_each_host_restarts() -> Result<()> {
    restarts_under(|address| Closed::keep_alive(16, address, "/")).await
}

#[tokio::test]
async fn no_request_on_connections_of_its_own_is_lost_while_each_host_restarts() -> Result<()> {
    restarts_under(|address| Closed::one_shot(16, address, "/")).await
}

async fn restarts_under(load: impl Fn(SocketAddr) -> Closed) -> Result<()> {
    let mut lattice = Lattice::builder().hosts(2).start().await?;
    let address = lattice.counter(Store::Nats, 2).await?;
    lattice.until_running("web-counter", 2).await?;
    let load = load(address);
    for round in 0..ROUNDS {
        for host in [0, 1] {
            let stopped = lattice.end(lattice.host_pid(host)?, Signal::TERM).await?;
            lattice.up(2).await?;
            lattice.until_ready("counter", 2).await?;
            lattice.until_running("web-counter", 2).await?;
            if round == 0 {
                println!("host {host} stopped within {stopped:?}");
            }
        }
    }
    let tally = load.stop().await;
    println!("{} requests answered over {} restarts", tally.ok(), 2 * ROUNDS);
    assert_no_failure(&tally, &lattice);
    counted(address, tally.ok()).await
}

fn assert_no_failure(tally: &Tally, lattice: &Lattice) {
    if tally.failed() > 0 {
        println!("{}", lattice.logs());
    }
    let some: Vec<_> = tally.lost.iter().take(5).chain(&tally.refusals).collect();
    let (answers, lost) = (&tally.answers, tally.lost.len());
    assert!(tally.failed() == 0, "answers {answers:?}, {lost} lost, for example {some:#?}");
    assert!(tally.ok() > 1_000, "too few requests to have met a restart: {}", tally.ok());
}

/// The count is the number of answers, and the request that asks for it is the next.
async fn counted(address: SocketAddr, answers: u64) -> Result<()> {
    let (count, _) = eventually("the count can be read", Duration::from_secs(10), || async {
        Ok(Some(http::get(address, "/").await?.number()?))
    })
    .await?;
    assert_eq!(count, answers + 1, "the count is not the number of answers with 200");
    Ok(())
}

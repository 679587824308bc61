//! A guest that traps, spins, grows or says nothing fails its own call and nobody else's.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::Result;
use mesh_tests::{
    http::{self, Client},
    lattice::Lattice,
    process::resident_bytes,
    wait::eventually,
};
use tokio::{sync::watch, task::JoinSet};

/// Guests, and the code that tells what became of their calls.
const GUESTS: [(&str, &str); 4] =
    [("trap", "trap"), ("spin", "cpu_limit"), ("hog", "memory_limit"), ("silent", "no_answer")];

#[tokio::test]
async fn a_misbehaving_guest_fails_its_own_call_and_no_other() -> Result<()> {
    let lattice = Lattice::builder().start().await?;
    let healthy = start(&lattice, "hello").await?;
    let mut bad = Vec::new();
    for (guest, code) in GUESTS {
        bad.push((guest, start(&lattice, guest).await?, code));
    }
    lattice.until_answering(healthy, "/").await?;
    let resident = resident_bytes(lattice.host_pid(0)?)?;

    let (stop, stopped) = watch::channel(false);
    let mut neighbour = JoinSet::new();
    neighbour.spawn(ask_every_10_ms(healthy, stopped));
    for round in 0..5 {
        for (guest, address, code) in &bad {
            let start = Instant::now();
            let answer = http::get(*address, "/").await?;
            let took = start.elapsed();
            assert_eq!(answer.status, 500, "{guest}: {}", answer.text());
            let said: serde_json::Value = serde_json::from_slice(&answer.body)?;
            assert_eq!(said["error"], *code, "{guest}: {said}");
            assert!(took < Duration::from_secs(15), "{guest} held its caller for {took:?}");
            if round == 0 {
                println!("{guest}: {} after {took:?}: {}", answer.status, answer.text().trim());
            }
        }
    }
    stop.send_replace(true);
    let errors = neighbour.join_next().await.transpose()?.unwrap_or_default();
    assert!(errors.is_empty(), "a neighbour's calls failed: {errors:?}");

    let pid = lattice.host_pid(0)?;
    let (after, _) = eventually("the memory comes back", Duration::from_secs(10), || async move {
        let now = resident_bytes(pid)?;
        anyhow::ensure!(now < resident + (64 << 20), "{} MiB over what it was", (now.saturating_sub(resident)) >> 20);
        Ok(Some(now))
    })
    .await?;
    println!("resident before {} MiB, after {} MiB", resident >> 20, after >> 20);
    Ok(())
}

async fn start(lattice: &Lattice, guest: &str) -> Result<SocketAddr> {
    let file = lattice.signed(guest).await?;
    lattice.ok(["start", "actor", &file.to_string_lossy(), "--name", guest]).await?;
    let address = lattice.serve(guest).await?;
    lattice.until_ready(guest, 1).await?;
    lattice.until_running(&format!("web-{guest}"), 1).await?;
    Ok(address)
}

/// What went wrong.
async fn ask_every_10_ms(address: SocketAddr, stopped: watch::Receiver<bool>) -> Vec<String> {
    let mut client = Client::keep_alive(address);
    let mut every = tokio::time::interval(Duration::from_millis(10));
    let mut errors = Vec::new();
    while !*stopped.borrow() {
        every.tick().await;
        match client.get("/").await {
            Ok(answer) if answer.status == 200 => {}
            Ok(answer) => errors.push(format!("{}: {}", answer.status, answer.text())),
            Err(error) => errors.push(format!("{error:#}")),
        }
    }
    errors
}

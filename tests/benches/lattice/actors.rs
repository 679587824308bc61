//! Calls that actors make: to another actor on the same host and on another one, along an interface that the host knows
//! only by its types, and to an HTTP server outside.
//!
//! The asking actor times its own calls, so that nothing but them is in the figure. A fresh instance serves each.

use std::{net::SocketAddr, time::Instant};

use anyhow::{Result, ensure};
use mesh_tests::{
    http::Client,
    lattice::{Lattice, free_address},
};

use crate::{apply, compare, median, micros, start, two_sides};

const ROUNDS: usize = 7;
const SIZES: [(usize, usize); 4] = [(16, 200), (1 << 10, 200), (64 << 10, 50), (1 << 20, 10)];

/// Measures on `one`, where `outside` answers HTTP, and on a lattice of two hosts.
pub async fn measure(one: &Lattice, outside: SocketAddr) -> Result<()> {
    let two = two_sides().await?;
    let here = asker(one, Default::default()).await?;
    let there =
        asker(&two, ["near", "far"].map(|side| format!("placement: [ {{ where: {{ side: {side} }} }} ]"))).await?;
    println!("a call from actor to actor, µs (a fresh instance serves each); {ROUNDS} rounds");
    println!("{:<28} {:>12} {:>12}", "", "one host", "two hosts");
    for function in ["same", "wrapped"] {
        for (size, count) in SIZES {
            let (mut near, mut far) = (Vec::new(), Vec::new());
            for _ in 0..ROUNDS {
                near.push(timed(here, function, size, count).await?);
                far.push(timed(there, function, size, count).await?);
            }
            let name = format!("{function}, {size} bytes");
            println!("{name:<28} {:>12.0} {:>12.0}", compare::median(near), compare::median(far));
        }
    }
    outgoing(one, outside).await
}

/// An actor that asks and one that answers, beside the HTTP server or on the other host.
async fn asker(lattice: &Lattice, placed: [String; 2]) -> Result<SocketAddr> {
    let address = free_address()?;
    let [near, far] = placed;
    let spec = format!(
        r#"
  actors:
    - name: asker
      artifact: asker.wasm
      {near}
      links: [ {{ to: bytes, interfaces: [ "bench:bytes" ] }} ]
    - name: bytes
      artifact: bytes.wasm
      {far}
  providers:
    - name: asks
      use: http-server
      {near}
      links: [ {{ to: asker, interfaces: [ "wasi:http/incoming-handler" ], config: {{ listen: "{address}" }} }} ]
"#
    );
    apply(lattice, &["asker", "bytes"], &spec).await?;
    lattice.until_answering(address, "/same/16/1").await?;
    Ok(address)
}

/// Microseconds for one of so many calls.
async fn timed(address: SocketAddr, function: &str, size: usize, count: usize) -> Result<f64> {
    let answer = Client::one_shot(address).get(&format!("/{function}/{size}/{count}")).await?;
    ensure!(answer.status == 200, "{} {}", answer.status, answer.text());
    Ok(answer.text().parse::<f64>()? / 1e3 / count as f64)
}

/// A request through an actor to an HTTP server outside, beside the same request without the lattice.
async fn outgoing(lattice: &Lattice, outside: SocketAddr) -> Result<()> {
    start(lattice, "fetch").await?;
    lattice.ok(["start", "provider", "http-client", "--name", "out", "--replicas", "1"]).await?;
    let allow = ["--target-config", "allow=127.0.0.1", "--target-config", "allow_networks=127.0.0.1"];
    let put = ["link", "put", "fetch", "out", "wasi:http/outgoing-handler"];
    lattice.ok(put.into_iter().chain(allow)).await?;
    lattice.ok(["start", "provider", "http-server", "--name", "web", "--replicas", "1"]).await?;
    let address = free_address()?;
    lattice.listen("web", "fetch", address).await?;
    lattice.until_ready("fetch", 1).await?;
    let path = format!("/{outside}/");
    lattice.until_answering(address, &path).await?;
    let (mut direct, mut through) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        for (at, path, taken) in [(outside, "/", &mut direct), (address, path.as_str(), &mut through)] {
            let mut client = Client::keep_alive(at);
            let mut times = Vec::new();
            for _ in 0..200 {
                let start = Instant::now();
                let answer = client.get(path).await?;
                times.push(start.elapsed());
                ensure!(answer.status == 200, "{} {}", answer.status, answer.text());
            }
            taken.push(micros(median(&mut times)));
        }
    }
    println!(
        "outgoing HTTP: {:.0} µs through an actor, {:.0} µs without",
        compare::median(through),
        compare::median(direct)
    );
    Ok(())
}

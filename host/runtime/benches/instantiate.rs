//! A fresh instance and one call, in process and without HTTP's wire: an actor beside bare wasmtime with the same
//! engine configuration.

#![allow(
    missing_docs,
    dead_code,
    unreachable_pub,
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program that measures"
)]

#[path = "support/bare.rs"]
mod bare;
#[path = "../tests/runtime/guests.rs"]
mod guests;
#[path = "../tests/runtime/peer.rs"]
mod peer;

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Empty};
use mesh_lattice::Serve;

const CALLS: u32 = 5_000;
const ROUNDS: usize = 7;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let hello = guests::guest("hello");
        let bare = bare::Bare::new(hello.bytes()).unwrap();
        let actor = guests::alone(&guests::engine(true), "hello").await;
        let (mut floor, mut ours) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            floor.push(
                median(async || {
                    let request = Request::get("/").header("host", "bench").body(Empty::<Bytes>::new()).unwrap();
                    let response = bare.handle(request).await.unwrap();
                    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "1");
                })
                .await,
            );
            ours.push(
                median(async || {
                    let reply = actor.serve(guests::get("/")).await.unwrap();
                    assert_eq!(guests::all(reply.body).await.unwrap(), "1");
                })
                .await,
            );
        }
        floor.sort();
        ours.sort();
        let (floor, ours) = (floor[ROUNDS / 2], ours[ROUNDS / 2]);
        println!("instantiate and call, {ROUNDS} rounds of {CALLS}, median of the medians:");
        println!("  bare wasmtime  {floor:>10.1?}");
        println!("  actor          {ours:>10.1?}  ({:+.1?})", ours.as_secs_f64() * 1e6 - floor.as_secs_f64() * 1e6);
    });
}

async fn median(call: impl AsyncFn()) -> Duration {
    let mut times = Vec::new();
    for _ in 0..CALLS {
        let start = Instant::now();
        call().await;
        times.push(start.elapsed());
    }
    times.sort();
    times[times.len() / 2]
}

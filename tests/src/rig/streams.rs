//! Bytes go through an HTTP server on one host to an actor on another and back, while the reader stops for a while.
//!
//! What comes back must be what was sent, and no process may have held more of it than a window: a reader that does
//! not read stops the writer and nothing else.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use bytes::Bytes;
use http::{Method, StatusCode};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;
use ring::digest::{Context as Digest, SHA256};
use tokio::{
    sync::oneshot,
    time::{sleep, timeout},
};

use super::{Settings, Verdict, world::World};
use crate::{http::Client, sample::gauges};

const AMOUNT: u64 = 1 << 30;
const PIECE: usize = 64 << 10;
const STOPS_FOR: Duration = Duration::from_secs(2);
/// What a process may hold more than before, in KiB.
const WINDOW: f64 = (16 << 10) as f64;
/// Nothing at all arrives for so long: it never will.
const IDLE: Duration = Duration::from_secs(30);

/// Runs it.
///
/// # Errors
///
/// Where it cannot be set up, or the bytes do not arrive.
pub async fn run(settings: Settings) -> Result<Verdict> {
    let mut verdict = Verdict::new("streams", settings.seed);
    let mut world = World::front().await?;
    world.lattice.up(2).await?;
    // The CPU limit is for all of a call, however long its body.
    let echo = world.actor("echo", 1, &["--limit", "cpu=1h", "--limit", "time=1h"], &[]).await?;
    world.lattice.until_ready("echo", 1).await?;
    let actor = world.lattice.get_one("actors", "echo").await?;
    let on = actor.pointer("/hosts/0/id").and_then(|id| id.as_str());
    ensure!(on == Some(world.lattice.host_id(1)?.as_str()), "echo is not remote: {actor}");
    world.lattice.until_answering(echo, "/").await?;
    let processes = [
        ("the HTTP server's host", world.lattice.host_pid(0)?),
        ("the actor's host", world.lattice.host_pid(1)?),
        ("nats-server", world.lattice.nats_pid()?),
    ];
    there_and_back(&verdict, Client::keep_alive(echo), settings.seed, 1 << 20, None).await?;
    let before = processes.map(|(_, pid)| most_resident(pid));
    let amount = settings.amount.unwrap_or(AMOUNT);
    let start = Instant::now();
    let (sent, received, bytes) =
        there_and_back(&verdict, Client::keep_alive(echo), settings.seed, amount, Some(amount / 3)).await?;
    let took = start.elapsed();
    verdict.figure("bytes", bytes);
    verdict.figure("MiB per second", (bytes as f64 / took.as_secs_f64() / 1_048_576.0 * 10.0).round() / 10.0);
    verdict.at_most("bytes that did not come back", amount.abs_diff(bytes) as f64, 0.0);
    verdict.at_most("hashes that differ", f64::from(u8::from(sent != received)), 0.0);
    for ((name, pid), before) in processes.into_iter().zip(before) {
        verdict.figure(&format!("KiB at most resident before, {name}"), before);
        let bound = match name {
            "nats-server" => "KiB that nats-server grew by",
            "the actor's host" => "KiB that the actor's host grew by",
            _ => "KiB that the HTTP server's host grew by",
        };
        verdict.at_most(bound, most_resident(pid) - before, WINDOW);
    }
    Ok(verdict.end())
}

fn most_resident(pid: i32) -> f64 {
    gauges(pid).into_iter().find(|(gauge, _)| *gauge == "hwm").map_or(f64::MAX, |(_, value)| value)
}

/// The hash of what was sent, that of what came back, and how much that was.
async fn there_and_back(
    verdict: &Verdict,
    client: Client,
    seed: u64,
    amount: u64,
    stop_at: Option<u64>,
) -> Result<(Vec<u8>, Vec<u8>, u64)> {
    let mut client = client.within(IDLE);
    let (done, sent) = oneshot::channel();
    let noise = Noise { state: seed | 1, left: amount, digest: Digest::new(&SHA256), done: Some(done) };
    let response = client.begin(Method::POST, "/", StreamBody::new(noise).boxed()).await?;
    ensure!(response.status() == StatusCode::OK, "{}", response.status());
    let (mut body, mut digest, mut bytes) = (response.into_body(), Digest::new(&SHA256), 0);
    let mut stop_at = stop_at;
    while let Some(frame) = timeout(IDLE, body.frame()).await.with_context(|| format!("nothing after {bytes} bytes"))? {
        let frame = frame.with_context(|| format!("broken off after {bytes} bytes"))?;
        let Ok(data) = frame.into_data() else { continue };
        digest.update(&data);
        bytes += data.len() as u64;
        if stop_at.take_if(|at| bytes >= *at).is_some() {
            verdict.say(&format!("the reader stops after {bytes} bytes"));
            sleep(STOPS_FOR).await;
        }
    }
    let Ok(sent) = timeout(IDLE, sent).await? else { bail!("the request was not sent to its end") };
    Ok((sent, digest.finish().as_ref().to_vec(), bytes))
}

/// Bytes without a pattern that a lost or repeated piece could hide in (xorshift64), and their hash when they end.
struct Noise {
    state: u64,
    left: u64,
    digest: Digest,
    done: Option<oneshot::Sender<Vec<u8>>>,
}

impl futures::Stream for Noise {
    type Item = std::io::Result<Frame<Bytes>>;

    fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        let length = usize::try_from(this.left).unwrap_or(PIECE).min(PIECE);
        if length == 0 {
            if let Some(done) = this.done.take() {
                // Whoever asked may be gone.
                let _ = done.send(this.digest.clone().finish().as_ref().to_vec());
            }
            return Poll::Ready(None);
        }
        let mut piece = Vec::with_capacity(length + 8);
        while piece.len() < length {
            this.state ^= this.state << 13;
            this.state ^= this.state >> 7;
            this.state ^= this.state << 17;
            piece.extend(this.state.to_le_bytes());
        }
        piece.truncate(length);
        this.left -= length as u64;
        this.digest.update(&piece);
        Poll::Ready(Some(Ok(Frame::data(piece.into()))))
    }
}

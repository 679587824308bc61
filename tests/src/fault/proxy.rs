//! A proxy between hosts and nats-server that does to their messages what it is told to.
//!
//! ```text
//! host ──► read ─► cut ─► fate ─► queue ─► wait until due ─► write ──► nats-server
//!      ◄── the same, with conditions of its own ◄───────────────────
//! ```
//!
//! A full queue stops the reading, as a slow network would. Conditions may change at any moment and count for what is
//! read from then on. Everything ends with the [`Proxy`].

use std::{
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context as _, Result};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{ReadHalf, WriteHalf},
    },
    sync::{mpsc, watch},
    task::JoinSet,
    time::{Instant, sleep, sleep_until, timeout},
};

use super::{
    fate::{Conditions, Done, Fate},
    frames::{Cutter, Frame},
};

/// Operations under way in one direction of one connection; more of them wait in the sender's socket.
const QUEUE: usize = 1024;
const CONNECTS_WITHIN: Duration = Duration::from_secs(5);

/// A direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// From hosts to nats-server.
    ToServer,
    /// From nats-server to hosts.
    FromServer,
}

/// A proxy in front of one nats-server.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    to_server: Direction,
    from_server: Direction,
    resets: watch::Sender<u64>,
    _connections: JoinSet<()>,
}

#[derive(Debug, Clone)]
struct Direction {
    conditions: Arc<watch::Sender<Conditions>>,
    done: Arc<Mutex<Done>>,
}

impl Direction {
    fn new() -> Self {
        Self { conditions: Arc::new(watch::Sender::new(Conditions::default())), done: Arc::default() }
    }
}

impl Proxy {
    /// Listens on a free port of this address and passes everything on to `server`.
    ///
    /// # Errors
    ///
    /// Where it cannot listen.
    pub async fn start(on: IpAddr, server: SocketAddr, seed: u64) -> Result<Self> {
        let listener = TcpListener::bind((on, 0)).await.with_context(|| format!("no free port on {on}"))?;
        let address = listener.local_addr()?;
        let (to_server, from_server) = (Direction::new(), Direction::new());
        let resets = watch::Sender::new(0);
        let mut connections = JoinSet::new();
        connections.spawn(accept(listener, server, seed, [to_server.clone(), from_server.clone()], resets.clone()));
        Ok(Self { address, to_server, from_server, resets, _connections: connections })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Makes one direction so from now on.
    pub fn set(&self, way: Way, conditions: Conditions) {
        self.direction(way).conditions.send_replace(conditions);
    }

    /// Makes both directions good again.
    pub fn heal(&self) {
        self.set(Way::ToServer, Conditions::default());
        self.set(Way::FromServer, Conditions::default());
    }

    /// Resets every connection that is open now.
    pub fn reset(&self) {
        self.resets.send_modify(|resets| *resets += 1);
    }

    /// What it has done in one direction.
    #[must_use]
    pub fn done(&self, way: Way) -> Done {
        *self.direction(way).done.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn direction(&self, way: Way) -> &Direction {
        match way {
            Way::ToServer => &self.to_server,
            Way::FromServer => &self.from_server,
        }
    }
}

async fn accept(
    listener: TcpListener,
    server: SocketAddr,
    seed: u64,
    ways: [Direction; 2],
    resets: watch::Sender<u64>,
) {
    let mut connections = JoinSet::new();
    let mut seeds = fastrand::Rng::with_seed(seed);
    loop {
        let Ok((client, _)) = listener.accept().await else {
            // Out of descriptors: some are free when a connection ends.
            sleep(Duration::from_millis(10)).await;
            continue;
        };
        while connections.try_join_next().is_some() {}
        let fates = [Fate::new(seeds.u64(..)), Fate::new(seeds.u64(..))];
        connections.spawn(carry(client, server, fates, ways.clone(), resets.subscribe()));
    }
}

/// One connection, until one of its ends closes it or it is reset.
async fn carry(
    mut client: TcpStream,
    server: SocketAddr,
    fates: [Fate; 2],
    ways: [Direction; 2],
    mut resets: watch::Receiver<u64>,
) {
    // Nobody at the server's address: the client sees its connection close, and comes again.
    let Ok(Ok(mut server)) = timeout(CONNECTS_WITHIN, TcpStream::connect(server)).await else { return };
    for stream in [&client, &server] {
        // A delay that nobody asked for is all that is lost without it.
        let _ = stream.set_nodelay(true);
    }
    let [to_server, from_server] = ways;
    let [outward, inward] = fates;
    let reset = {
        let ((from_client, to_client), (from_host, to_host)) = (client.split(), server.split());
        tokio::select! {
            _ = pipe(from_client, to_host, outward, &to_server) => false,
            _ = pipe(from_host, to_client, inward, &from_server) => false,
            changed = resets.changed() => changed.is_ok(),
        }
    };
    if reset {
        for stream in [&client, &server] {
            // Without lingering, closing is a reset.
            let _ = socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO));
        }
    }
}

async fn pipe(from: ReadHalf<'_>, to: WriteHalf<'_>, fate: Fate, direction: &Direction) -> Result<()> {
    let (queue, due) = mpsc::channel(QUEUE);
    tokio::try_join!(read(from, fate, direction, queue), write(to, due, direction))?;
    Ok(())
}

async fn read(
    mut from: ReadHalf<'_>,
    mut fate: Fate,
    direction: &Direction,
    queue: mpsc::Sender<(Instant, Frame)>,
) -> Result<()> {
    let mut cutter = Cutter::default();
    while from.read_buf(cutter.arrived()).await? > 0 {
        while let Some(frame) = cutter.cut()? {
            let conditions = *direction.conditions.borrow();
            let due = Instant::now() + conditions.delay;
            let on = fate.step(frame, &conditions);
            *direction.done.lock().unwrap_or_else(PoisonError::into_inner) += fate.done();
            for frame in on {
                queue.send((due, frame)).await.context("the other side is gone")?;
            }
        }
    }
    Ok(())
}

async fn write(
    mut to: WriteHalf<'_>,
    mut queue: mpsc::Receiver<(Instant, Frame)>,
    direction: &Direction,
) -> Result<()> {
    while let Some((due, frame)) = queue.recv().await {
        if due > Instant::now() {
            sleep_until(due).await;
        }
        let rate = direction.conditions.borrow().bytes_per_second;
        if rate > 0 {
            sleep(Duration::from_secs_f64(frame.bytes.len() as f64 / rate as f64)).await;
        }
        to.write_all(&frame.bytes).await?;
    }
    to.shutdown().await?;
    Ok(())
}

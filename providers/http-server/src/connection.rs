//! One connection: its limits in time, and its end.
//!
//! ```text
//! Reading ─ head complete ─► Serving ─ response sent ─► Idle ─ first byte ─► Reading
//!    │ header_timeout            │ the client takes nothing      │ idle_timeout
//!    ▼                           ▼                               ▼
//!  closed                      closed                          closed
//! ```
//!
//! One slow tick for each connection watches over all of it, so that a request arms no timer. When the server stops,
//! responses say `Connection: close`; a connection without a request is read from for a moment longer, because its
//! client may be sending one just then.

use std::{
    collections::HashMap,
    future::poll_fn,
    io,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use futures::task::AtomicWaker;
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    sync::OwnedSemaphorePermit,
    time::Instant,
};
use tokio_util::task::TaskTracker;

use crate::{exchange::Site, settings::ServerSettings};

/// How often a connection is looked after.
const TICK: Duration = Duration::from_millis(500);

/// The same while the server stops.
const DRAIN_TICK: Duration = Duration::from_millis(50);

/// The largest head of a request.
const MAX_HEAD: usize = 64 << 10;

/// What happens to all connections of an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Phase {
    /// Serving.
    Open = 0,
    /// Serving what is there.
    Draining = 1,
    /// Cut.
    Closed = 2,
}

/// The connections of one address.
pub(crate) struct Connections {
    phase: AtomicU8,
    next: AtomicU64,
    open: Mutex<HashMap<u64, Arc<Watch>>>,
    tasks: TaskTracker,
    http: http1::Builder,
    limits: Limits,
}

impl Connections {
    pub(crate) fn new(settings: &ServerSettings) -> Self {
        let mut http = http1::Builder::new();
        // Time is watched here, for the pauses between requests are not the same as the reading of a head.
        http.header_read_timeout(None).max_buf_size(MAX_HEAD).max_header_size(MAX_HEAD);
        Self {
            phase: AtomicU8::new(Phase::Open as u8),
            next: AtomicU64::new(0),
            open: Mutex::default(),
            tasks: TaskTracker::new(),
            http,
            limits: Limits::new(settings),
        }
    }

    pub(crate) fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Relaxed) {
            0 => Phase::Open,
            1 => Phase::Draining,
            _ => Phase::Closed,
        }
    }

    /// Enters a phase and tells every connection; never goes back.
    pub(crate) fn enter(&self, phase: Phase) {
        self.phase.fetch_max(phase as u8, Ordering::Relaxed);
        for watch in self.open.lock().values() {
            watch.waker.wake();
        }
    }

    /// Serves a connection until it ends.
    pub(crate) fn start(site: &Arc<Site>, stream: TcpStream, permit: Option<OwnedSemaphorePermit>) {
        let connections = &site.connections;
        let watch = Arc::new(Watch::default());
        let id = connections.next.fetch_add(1, Ordering::Relaxed);
        connections.open.lock().insert(id, Arc::clone(&watch));
        let site = Arc::clone(site);
        site.connections.tasks.clone().spawn(async move {
            let _listed = Listed { site: &site, id, _permit: permit };
            serve(&site, stream, watch).await;
        });
    }

    /// Waits until the last one has ended.
    pub(crate) async fn ended(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// A place among the open connections, left on drop.
struct Listed<'a> {
    site: &'a Site,
    id: u64,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Drop for Listed<'_> {
    fn drop(&mut self) {
        self.site.connections.open.lock().remove(&self.id);
    }
}

#[derive(Debug, Clone, Copy)]
struct Limits {
    head: u32,
    idle: u32,
    stall: u32,
    drain: u32,
}

impl Limits {
    fn new(settings: &ServerSettings) -> Self {
        // Time is counted in ticks, so what is measured may be one tick longer than what was.
        let millis = |limit: Duration| u32::try_from((limit + TICK).as_millis()).unwrap_or(u32::MAX);
        Self {
            head: millis(settings.header_timeout),
            idle: millis(settings.idle_timeout),
            stall: millis(settings.body_timeout.saturating_mul(3)),
            drain: u32::try_from(settings.drain_delay.as_millis()).unwrap_or(u32::MAX),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Stage {
    Reading = 0,
    Serving = 1,
    Idle = 2,
}

/// Where a connection stands; written by its socket and its requests, read by its tick, all in one task.
#[derive(Default)]
pub(crate) struct Watch {
    waker: AtomicWaker,
    stage: AtomicU8,
    /// Milliseconds by the ticks.
    now: AtomicU32,
    /// When the stage began.
    since: AtomicU32,
    /// When the client stopped taking what is sent, plus one; 0 where it does take it.
    stalled: AtomicU32,
}

/// What a tick comes to.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Keep,
    /// Close once what is being served has been.
    Finish,
    /// Close now.
    Cut,
}

impl Watch {
    fn stage(&self) -> Stage {
        match self.stage.load(Ordering::Relaxed) {
            0 => Stage::Reading,
            1 => Stage::Serving,
            _ => Stage::Idle,
        }
    }

    fn enter(&self, stage: Stage) {
        self.since.store(self.now.load(Ordering::Relaxed), Ordering::Relaxed);
        self.stage.store(stage as u8, Ordering::Relaxed);
    }

    /// A request begins; its end is the drop of what this returns.
    pub(crate) fn begin(self: &Arc<Self>) -> InFlight {
        self.enter(Stage::Serving);
        InFlight(Arc::clone(self))
    }

    /// Time has passed. `draining` says for how long the server has been stopping.
    fn tick(&self, passed: Duration, draining: Option<u32>, limits: &Limits) -> Verdict {
        let passed = u32::try_from(passed.as_millis()).unwrap_or(u32::MAX);
        let now = self.now.load(Ordering::Relaxed).saturating_add(passed);
        self.now.store(now, Ordering::Relaxed);
        let stage_for = now.saturating_sub(self.since.load(Ordering::Relaxed));
        let stalled = self.stalled.load(Ordering::Relaxed);
        if stalled > 0 && now.saturating_sub(stalled - 1) > limits.stall {
            return Verdict::Cut;
        }
        let drained = draining.is_some_and(|millis| millis >= limits.drain);
        match self.stage() {
            Stage::Reading if stage_for > limits.head => Verdict::Cut,
            Stage::Reading => Verdict::Keep,
            Stage::Idle if stage_for > limits.idle || drained => Verdict::Finish,
            Stage::Serving if drained => Verdict::Finish,
            Stage::Idle | Stage::Serving => Verdict::Keep,
        }
    }
}

/// A request that is being served.
pub(crate) struct InFlight(Arc<Watch>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.enter(Stage::Idle);
    }
}

async fn serve(site: &Arc<Site>, stream: TcpStream, watch: Arc<Watch>) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection ended before it began");
        return;
    }
    let service = service_fn(|request| site.exchange(watch.begin(), request));
    let stream = WatchedStream { stream, watch: Arc::clone(&watch) };
    let mut connection = pin!(site.connections.http.serve_connection(TokioIo::new(stream), service));
    let mut tick = pin!(tokio::time::sleep(TICK));
    let mut every = TICK;
    let mut draining = None;
    poll_fn(|cx| {
        watch.waker.register(cx.waker());
        loop {
            if let Poll::Ready(ended) = connection.as_mut().poll(cx) {
                if let Err(error) = ended {
                    tracing::debug!(%error, "a connection broke off");
                }
                return Poll::Ready(());
            }
            match site.connections.phase() {
                Phase::Open => {}
                Phase::Draining if draining.is_some() => {}
                Phase::Draining => {
                    draining = Some(0);
                    every = DRAIN_TICK;
                    tick.as_mut().reset(Instant::now() + every);
                }
                Phase::Closed => return Poll::Ready(()),
            }
            std::task::ready!(tick.as_mut().poll(cx));
            tick.as_mut().reset(Instant::now() + every);
            draining = draining.map(|millis| millis + u32::try_from(every.as_millis()).unwrap_or(0));
            match watch.tick(every, draining, &site.connections.limits) {
                Verdict::Keep => {}
                Verdict::Finish => connection.as_mut().graceful_shutdown(),
                Verdict::Cut => return Poll::Ready(()),
            }
        }
    })
    .await;
}

/// The socket, telling the watch what it sees.
struct WatchedStream {
    stream: TcpStream,
    watch: Arc<Watch>,
}

impl WatchedStream {
    fn written<T>(&self, poll: Poll<T>) -> Poll<T> {
        let stalled = &self.watch.stalled;
        if poll.is_ready() {
            stalled.store(0, Ordering::Relaxed);
        } else if stalled.load(Ordering::Relaxed) == 0 {
            stalled.store(self.watch.now.load(Ordering::Relaxed).saturating_add(1), Ordering::Relaxed);
        }
        poll
    }
}

impl AsyncRead for WatchedStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if buffer.filled().len() > before && self.watch.stage() == Stage::Idle {
            self.watch.enter(Stage::Reading);
        }
        read
    }
}

impl AsyncWrite for WatchedStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.written(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, parts);
        self.written(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { head: 5_500, idle: 60_500, stall: 30_500, drain: 1_000 };

    fn ticks(watch: &Watch, draining: Option<u32>, most: u32) -> Option<(u32, Verdict)> {
        (1..=most)
            .map(|tick| (tick, watch.tick(TICK, draining, &LIMITS)))
            .find(|(_, verdict)| *verdict != Verdict::Keep)
    }

    #[test]
    fn each_stage_has_its_own_limit() {
        let watch = Arc::new(Watch::default());
        assert_eq!(ticks(&watch, None, 20), Some((12, Verdict::Cut)), "a head that does not come");
        let request = watch.begin();
        assert_eq!(ticks(&watch, None, 1_000), None, "a request has its deadline elsewhere");
        drop(request);
        assert_eq!(ticks(&watch, None, 1_000), Some((122, Verdict::Finish)), "an idle connection");
        watch.enter(Stage::Reading);
        assert_eq!(ticks(&watch, None, 20), Some((12, Verdict::Cut)));
    }

    #[test]
    fn a_client_that_takes_nothing_is_cut() {
        let watch = Arc::new(Watch::default());
        let _request = watch.begin();
        watch.stalled.store(1, Ordering::Relaxed);
        assert_eq!(ticks(&watch, None, 1_000), Some((62, Verdict::Cut)));
    }

    #[test]
    fn while_the_server_stops_idle_connections_are_read_a_moment_longer() {
        let watch = Arc::new(Watch::default());
        drop(watch.begin());
        assert_eq!(ticks(&watch, Some(950), 1), None);
        assert_eq!(ticks(&watch, Some(1_000), 1), Some((1, Verdict::Finish)));
        watch.enter(Stage::Reading);
        assert_eq!(ticks(&watch, Some(1_000), 1), None, "a request that has begun is read to its end");
    }
}

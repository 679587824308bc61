//! The connections of one address: each is a task that serves HTTP/1.1 or HTTP/2 on it, watched by one slow tick, so
//! that a request on HTTP/1.1 arms no timer.
//!
//! | module | owns |
//! |---|---|
//! | [`watch`] | where a connection stands, and what its limits make of it |
//! | `stream` | its socket, and which HTTP its first bytes are |
//! | [`streams`] | the tasks of HTTP/2 requests |
//! | `tick` | polling a connection and looking after it |
//!
//! ```text
//! Open ──► Leaving ──────────────────────► Draining ───────────────────► Closed
//!          still accepts; every response   accepts no more; who asks     cut
//!          closes, HTTP/2 says GOAWAY      nothing is closed
//! ```

mod stream;
pub(crate) mod streams;
mod tick;
pub(crate) mod watch;

use std::{
    collections::HashMap,
    net::IpAddr,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicU64, Ordering},
    },
};

use hyper::{
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use parking_lot::Mutex;
use tokio::net::TcpStream;
use tokio_util::task::TaskTracker;

use crate::{
    counters::{Counters, Reason},
    descriptors::Descriptor,
    exchange::Site,
    limits::{Limits, PARSER_HEADERS},
};
use stream::WatchedStream;
use streams::Streams;
use tick::Ticking;
pub(crate) use watch::InFlight;
use watch::{Claim, Patience, Watch};

/// What one HTTP/2 request's body may hold back before it is read, and all of those of a connection.
const STREAM_WINDOW: u32 = 128 << 10;
const CONNECTION_WINDOW: u32 = 256 << 10;

/// What is kept of one HTTP/2 response before its client takes it.
const SEND_BUFFER: usize = 64 << 10;

/// One in this many connections is closed where places are needed: looking for one costs as much as for many.
const SHARE: usize = 32;

/// What happens to all connections of an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Phase {
    /// Serving.
    Open = 0,
    /// Serving, and telling everybody to go elsewhere.
    Leaving = 1,
    /// Serving what is there.
    Draining = 2,
    /// Cut.
    Closed = 3,
}

/// The connections of one address.
pub(crate) struct Connections {
    phase: AtomicU8,
    next: AtomicU64,
    open: Mutex<HashMap<u64, Arc<Watch>>>,
    tasks: TaskTracker,
    http1: http1::Builder,
    http2: http2::Builder<Streams>,
    patience: Patience,
    most: usize,
    pub(crate) counters: Arc<Counters>,
}

impl Connections {
    pub(crate) fn new(limits: &Limits, counters: Arc<Counters>) -> Self {
        let tasks = TaskTracker::new();
        let streams = Streams::new(tasks.clone(), limits.write_timeout, Arc::clone(&counters));
        Self {
            phase: AtomicU8::new(Phase::Open as u8),
            next: AtomicU64::new(0),
            open: Mutex::default(),
            tasks,
            http1: http1(limits),
            http2: http2(limits, streams),
            patience: Patience::new(limits),
            most: limits.max_connections,
            counters,
        }
    }

    pub(crate) fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Relaxed) {
            0 => Phase::Open,
            1 => Phase::Leaving,
            2 => Phase::Draining,
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

    /// Serves a connection until it ends. Where all places are taken, one that is put to little use is given to it;
    /// where all are in good use, the connection is returned.
    pub(crate) fn start(site: &Arc<Site>, stream: TcpStream, peer: IpAddr) -> Result<(), TcpStream> {
        let connections = &site.connections;
        let Some(descriptor) = connections.place() else { return Err(stream) };
        let watch = Watch::new(peer, &connections.patience);
        let id = connections.next.fetch_add(1, Ordering::Relaxed);
        connections.open.lock().insert(id, Arc::clone(&watch));
        connections.counters.opened();
        let site = Arc::clone(site);
        site.connections.tasks.clone().spawn(async move {
            let _listed = Listed { site: &site, id, _descriptor: descriptor };
            serve(&site, stream, watch).await;
        });
        Ok(())
    }

    /// A place for one more connection.
    fn place(&self) -> Option<Descriptor> {
        if self.open.lock().len() < self.most
            && let Some(descriptor) = Descriptor::take()
        {
            return Some(descriptor);
        }
        if !self.evict() {
            return None;
        }
        // Those that were closed give their descriptors back in a moment; until then they are above the budget's line.
        Some(Descriptor::take_above())
    }

    /// Closes the connections that make least use of their places. Returns whether there were any.
    fn evict(&self) -> bool {
        let mut open = self.open.lock();
        let claims: Vec<_> = open.iter().filter_map(|(id, watch)| Some((*id, watch.claim()?))).collect();
        let mut peers: HashMap<IpAddr, usize> = HashMap::new();
        for (_, claim) in &claims {
            *peers.entry(claim.peer()).or_default() += 1;
        }
        let of_peer = |claim: &Claim| peers.get(&claim.peer()).copied().unwrap_or_default();
        let mut claims: Vec<_> = claims.iter().map(|(id, claim)| (claim.order(of_peer(claim)), *id)).collect();
        let share = (open.len() / SHARE).max(1);
        if share < claims.len() {
            // Which ones go matters, and not in which order: there may be many thousands to choose from.
            claims.select_nth_unstable(share);
            claims.truncate(share);
        }
        for (_, id) in &claims {
            if let Some(watch) = open.remove(id) {
                watch.cut(Reason::Evicted);
            }
        }
        !claims.is_empty()
    }

    /// Runs what belongs to a connection that was not taken.
    pub(crate) fn aside(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(task);
    }

    /// Waits until the last one has ended.
    pub(crate) async fn ended(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }
}

fn http1(limits: &Limits) -> http1::Builder {
    let mut http = http1::Builder::new();
    // Time is watched here, for the pauses between requests are not the same as the reading of a head.
    http.header_read_timeout(None).max_buf_size(limits.max_head).max_header_size(limits.max_head);
    if limits.max_headers != PARSER_HEADERS {
        http.max_headers(limits.max_headers);
    }
    http
}

fn http2(limits: &Limits, streams: Streams) -> http2::Builder<Streams> {
    let mut http = http2::Builder::new(streams);
    let head = u32::try_from(limits.max_head).unwrap_or(u32::MAX);
    http.timer(TokioTimer::new())
        .max_concurrent_streams(limits.max_streams)
        .max_header_list_size(head)
        .max_send_buf_size(SEND_BUFFER)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .keep_alive_interval(limits.ping_interval)
        .keep_alive_timeout(limits.ping_interval);
    http
}

/// A place among the open connections, left on drop.
struct Listed<'a> {
    site: &'a Site,
    id: u64,
    _descriptor: Descriptor,
}

impl Drop for Listed<'_> {
    fn drop(&mut self) {
        let connections = &self.site.connections;
        connections.open.lock().remove(&self.id);
        connections.counters.ended();
    }
}

async fn serve(site: &Arc<Site>, stream: TcpStream, watch: Arc<Watch>) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection ended before it began");
        return;
    }
    let mut ticking = Ticking::new(&site.connections, &watch);
    let mut stream = WatchedStream::new(stream, Arc::clone(&watch));
    let Some(is_http2) = ticking.which(&mut stream).await else { return };
    if is_http2 {
        watch.is_http2();
        let (to, of) = (Arc::clone(site), Arc::clone(&watch));
        let service = service_fn(move |request| {
            let (site, in_flight) = (Arc::clone(&to), of.begin());
            async move { site.exchange(in_flight, request).await }
        });
        let connection = site.connections.http2.serve_connection(TokioIo::new(stream), service);
        ticking.run(Box::pin(connection).as_mut()).await;
    } else {
        let service = service_fn(|request| site.exchange(watch.begin(), request));
        let connection = pin!(site.connections.http1.serve_connection(TokioIo::new(stream), service));
        ticking.run(connection).await;
    }
}

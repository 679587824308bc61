//! One open address: accepting, and stopping without losing anybody.

use std::{
    net::SocketAddr,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use mesh_lattice::Deadline;
use mesh_provider::LinkId;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::OwnedSemaphorePermit,
    task::JoinHandle,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    connection::{Connections, Phase},
    counters::Reason,
    exchange::{Outward, Site},
    respond::FULL,
    routes::{Route, Taken},
    settings::ServerSettings,
    sharing::Shared,
};

/// How long a client that finds no place may take to hear that.
const REFUSAL: Duration = Duration::from_secs(1);

/// Connections that are taken in one go while they queue.
const TURN: usize = 8;

/// The same where the threads are busy, and the next turn comes only when this was waited for it.
const LONG_TURN: usize = 512;
const BUSY: Duration = Duration::from_millis(1);

/// An address that this host accepts at.
pub(crate) struct Listener {
    site: Arc<Site>,
    shared: Option<Shared>,
    socket: Option<Socket>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

/// The listening socket.
enum Socket {
    /// Nobody accepts here yet: other hosts of this machine may, and what they leave waits.
    Held(TcpListener),
    /// A task accepts, and gives the socket back when it is stopped.
    Accepting(JoinHandle<TcpListener>),
}

impl Listener {
    /// Opens it, or takes its socket over from another host of this machine. Nothing is accepted yet.
    pub(crate) async fn open(
        address: SocketAddr,
        dir: &Path,
        outward: Outward,
        settings: &ServerSettings,
    ) -> std::io::Result<Self> {
        let tasks = TaskTracker::new();
        let name = address.to_string().replace([':', '[', ']', '%'], "-");
        let (socket, shared) = Shared::take(dir.join(name), address, &tasks).await?;
        let site = Arc::new(Site::new(outward, settings));
        let socket = Some(Socket::Held(socket));
        Ok(Self { site, shared: Some(shared), socket, stop: CancellationToken::new(), tasks })
    }

    /// Accepts from now on.
    pub(crate) fn begin(&mut self) {
        self.socket = self.socket.take().map(|socket| match socket {
            Socket::Held(socket) => {
                Socket::Accepting(self.tasks.spawn(accept(Arc::clone(&self.site), socket, self.stop.clone())))
            }
            accepting @ Socket::Accepting(_) => accepting,
        });
    }

    pub(crate) fn put(&self, route: Route) -> Result<(), Taken> {
        let mut routes = self.site.routes.write();
        *routes = Arc::new(routes.with(route)?);
        Ok(())
    }

    pub(crate) fn remove(&self, id: &LinkId) {
        let mut routes = self.site.routes.write();
        *routes = Arc::new(routes.without(id));
    }

    pub(crate) fn holds(&self, id: &LinkId) -> bool {
        self.site.routes.read().holds(id)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.site.routes.read().is_empty()
    }

    /// Whether it has ended by itself.
    pub(crate) fn has_ended(&self) -> bool {
        matches!(&self.socket, Some(Socket::Accepting(accepting)) if accepting.is_finished())
    }

    /// Stops: `leave` says for how long it still accepts and answers, so that whoever balances over several addresses
    /// hears first that this one goes. Then finishes what is there, and cuts what is left at the deadline.
    pub(crate) async fn close(mut self, leave: Duration, deadline: Deadline) {
        let connections = &self.site.connections;
        // 1. Everybody is told to go elsewhere, and nobody is turned away. Half of the time is for what is left then.
        let leave = leave.min(deadline.remaining() / 2);
        if !leave.is_zero() {
            connections.enter(Phase::Leaving);
            tokio::time::sleep(leave).await;
        }
        // 2. No more connections. What is queued stays in the socket, which other hosts of this machine accept from.
        self.stop.cancel();
        let socket = match self.socket.take() {
            Some(Socket::Accepting(accepting)) => accepting.await.ok(),
            Some(Socket::Held(socket)) => Some(socket),
            None => None,
        };
        let socket = socket.and_then(|socket| socket.into_std().ok());
        // 3. Where no other host does, what is queued is served here.
        if let (Some(socket), Some(shared)) = (socket, self.shared.take()) {
            let site = &self.site;
            shared.give_up(socket, |socket| empty_queue(site, socket)).await;
        }
        connections.enter(Phase::Draining);
        // 4. Each connection ends with the response to its last request.
        if tokio::time::timeout(deadline.remaining(), connections.ended()).await.is_err() {
            tracing::warn!("requests that did not end in time are cut off");
            connections.enter(Phase::Closed);
            connections.ended().await;
        }
        self.tasks.close();
        self.tasks.wait().await;
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.stop.cancel();
        self.site.connections.enter(Phase::Closed);
    }
}

fn empty_queue(site: &Arc<Site>, socket: &std::net::TcpListener) {
    while let Ok((stream, peer)) = socket.accept() {
        let stream = stream.set_nonblocking(true).and_then(|()| TcpStream::from_std(stream));
        match stream {
            Ok(stream) => take(site, stream, peer),
            Err(error) => tracing::debug!(%error, "a connection ended before it began"),
        }
    }
}

/// Serves a connection, or says that there is no place for it.
fn take(site: &Arc<Site>, stream: TcpStream, peer: SocketAddr) {
    let connections = &site.connections;
    if let Err(stream) = Connections::start(site, stream, peer.ip()) {
        connections.counters.closed(Reason::Full);
        if let Ok(place) = Arc::clone(&site.refusing).try_acquire_owned() {
            connections.aside(refuse(stream, place));
        }
    }
}

/// Says that the server is full, and reads what the client sends until it has heard that.
async fn refuse(mut stream: TcpStream, _place: OwnedSemaphorePermit) {
    let said = async {
        stream.write_all(FULL).await?;
        stream.shutdown().await?;
        let mut space = [0; 1024];
        while stream.read(&mut space).await? > 0 {}
        Ok::<(), std::io::Error>(())
    };
    if !matches!(tokio::time::timeout(REFUSAL, said).await, Ok(Ok(()))) {
        tracing::trace!("a client that was refused did not hear it out");
    }
}

/// Accepts until it is stopped, and returns the socket.
async fn accept(site: Arc<Site>, socket: TcpListener, stop: CancellationToken) -> TcpListener {
    let (mut taken, mut turn) = (0, TURN);
    while let Some((stream, peer)) = stop.run_until_cancelled(next(&socket)).await {
        take(&site, stream, peer);
        taken += 1;
        // The host that shares the socket gets its turn, and where many come at once, they do not wait for it.
        if taken >= turn {
            let waits = Instant::now();
            tokio::task::yield_now().await;
            (taken, turn) = (0, if waits.elapsed() < BUSY { TURN } else { LONG_TURN });
        }
    }
    socket
}

async fn next(socket: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match socket.accept().await {
            Ok(accepted) => return accepted,
            Err(error) if is_the_connections_own(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

fn is_the_connections_own(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

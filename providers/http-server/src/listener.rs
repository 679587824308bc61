//! One open address: accepting, and stopping without losing anybody.

use std::{net::SocketAddr, path::Path, sync::Arc, time::Duration};

use mesh_lattice::Deadline;
use mesh_provider::LinkId;
use tokio::{
    net::TcpListener,
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinHandle,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    connection::{Connections, Phase},
    exchange::{Outward, Site},
    routes::{Route, Taken},
    settings::ServerSettings,
    sharing::Shared,
};

/// An address that this host accepts at.
pub(crate) struct Listener {
    site: Arc<Site>,
    shared: Option<Shared>,
    accepting: Option<JoinHandle<TcpListener>>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Listener {
    /// Opens it, or takes its socket over from another host of this machine.
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
        let stop = CancellationToken::new();
        let slots = Arc::new(Semaphore::new(settings.max_connections));
        let accepting = tasks.spawn(accept(Arc::clone(&site), socket, slots, stop.clone()));
        Ok(Self { site, shared: Some(shared), accepting: Some(accepting), stop, tasks })
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

    pub(crate) fn is_accepting(&self) -> bool {
        self.accepting.as_ref().is_some_and(|accepting| !accepting.is_finished())
    }

    /// Stops accepting, finishes what is there, and cuts what is left at the deadline.
    pub(crate) async fn close(mut self, deadline: Deadline) {
        // 1. No more connections. What is queued stays in the socket, which other hosts of this machine accept from.
        self.stop.cancel();
        self.site.connections.enter(Phase::Draining);
        let socket = match self.accepting.take() {
            Some(accepting) => accepting.await.ok().and_then(|socket| socket.into_std().ok()),
            None => None,
        };
        // 2. Where no other host does, what is queued is served here.
        if let (Some(socket), Some(shared)) = (socket, self.shared.take()) {
            let site = &self.site;
            shared.give_up(socket, |socket| empty_queue(site, socket)).await;
        }
        // 3. Each connection ends with the response to its last request.
        let connections = &self.site.connections;
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
    while let Ok((stream, _)) = socket.accept() {
        let stream = stream.set_nonblocking(true).and_then(|()| tokio::net::TcpStream::from_std(stream));
        match stream {
            Ok(stream) => Connections::start(site, stream, None),
            Err(error) => tracing::debug!(%error, "a connection ended before it began"),
        }
    }
}

/// Accepts until it is stopped, and returns the socket. At the limit of connections it accepts nothing: what is queued
/// is for the other hosts, or waits.
async fn accept(site: Arc<Site>, socket: TcpListener, slots: Arc<Semaphore>, stop: CancellationToken) -> TcpListener {
    while let Some(Some((stream, permit))) = stop.run_until_cancelled(next(&socket, &slots)).await {
        Connections::start(&site, stream, Some(permit));
        // The host that shares the socket gets its turn.
        tokio::task::yield_now().await;
    }
    socket
}

async fn next(socket: &TcpListener, slots: &Arc<Semaphore>) -> Option<(tokio::net::TcpStream, OwnedSemaphorePermit)> {
    let permit = Arc::clone(slots).acquire_owned().await.ok()?;
    loop {
        match socket.accept().await {
            Ok((stream, _)) => return Some((stream, permit)),
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

//! How a host stops: one numbered function with one deadline, and its place in the lattice, which is the last that it
//! gives up.

use std::time::Duration;

use mesh_lattice::Deadline;
use mesh_transport::{Connections, LeaseError, Remote};
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::{JoinHandle, JoinSet},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use super::RunError;
use crate::{
    config::Config,
    converge::Stop,
    lattice::LatticeError,
    readiness::{Concern, Readiness},
    telemetry::Spans,
};

/// What is left to do once everything has stopped takes at most this long.
const FAREWELL: Duration = Duration::from_secs(2);

/// A host's place in its lattice.
pub(super) struct Membership {
    pub(super) connections: Connections,
    pub(super) remote: Remote,
    pub(super) task: JoinHandle<Result<(), LatticeError>>,
    pub(super) leave: CancellationToken,
}

/// The task that `run` watches over by its handle and joins in the shutdown.
#[expect(
    clippy::disallowed_methods,
    reason = "its handle is kept in the membership, watched, and joined when the host stops"
)]
pub(super) fn core_task(
    future: impl Future<Output = Result<(), LatticeError>> + Send + 'static,
) -> JoinHandle<Result<(), LatticeError>> {
    tokio::spawn(future)
}

/// Why the host has left its lattice; never, where it is in none.
pub(super) async fn left(lattice: &mut Option<Membership>) -> RunError {
    let Some(membership) = lattice else { return std::future::pending().await };
    match (&mut membership.task).await {
        Ok(Err(LatticeError::Lease(error @ LeaseError::IdentityInUse { .. }))) => RunError::IdentityInUse(error),
        Ok(Err(error)) => RunError::Lattice(error),
        Ok(Ok(())) | Err(_) => RunError::Ended("the part in the lattice"),
    }
}

/// Everything that has to stop.
pub(super) struct Shutdown {
    pub(super) config: Config,
    pub(super) readiness: Readiness,
    pub(super) draining: watch::Sender<bool>,
    pub(super) stops: mpsc::Sender<Stop>,
    pub(super) lattice: Option<Membership>,
    pub(super) cancel: CancellationToken,
    pub(super) core: JoinSet<&'static str>,
    pub(super) spans: Option<Spans>,
}

impl Shutdown {
    /// Stops the host in this order, all of it before one deadline.
    pub(super) async fn run(mut self) {
        let deadline = Deadline::after(self.config.drain_delay);
        tracing::info!(within = ?self.config.drain_delay, "stopping");

        // 1. Say so: the lease and the report carry it, and the leader moves routes and work away.
        self.readiness.set(Concern::Draining, Some("this host is stopping".into()));
        self.draining.send_replace(true);

        // 2. Bring no more calls in from outside: HTTP requests that are here are finished, new ones go to the other
        //    holders of the shared socket.
        self.stop(deadline, Stop::Sources).await;

        // 3. Take no more calls of other hosts, and wait until none is taken, none is out and no stream is open.
        if let Some(lattice) = &self.lattice
            && !lattice.remote.drain(deadline.remaining()).await
        {
            tracing::warn!("calls between hosts were still open at the deadline");
        }

        // 4. Stop the actors: they have nothing left to do, or the deadline is over.
        self.stop(deadline, Stop::Actors).await;

        // 5. Stop the providers.
        self.stop(deadline, Stop::Providers).await;

        // 6. Say that all of it has stopped, and give the lease back; where nobody hears it, do not wait for answers.
        if let Some(lattice) = &mut self.lattice {
            lattice.leave.cancel();
            if !lattice.task.is_finished() {
                tokio::select! {
                    _ = timeout(FAREWELL, &mut lattice.task) => {}
                    () = lattice.connections.down() => {}
                }
            }
            lattice.task.abort();
        }

        // 7. Flush what is on its way: messages, spans.
        if let Some(lattice) = &self.lattice {
            lattice.connections.close(FAREWELL).await;
        }
        if let Some(spans) = self.spans.take() {
            let flushed = tokio::task::spawn_blocking(move || spans.shutdown(FAREWELL));
            let _ = timeout(FAREWELL, flushed).await;
        }

        // 8. Join what is left.
        self.cancel.cancel();
        let joined = async { while self.core.join_next().await.is_some() {} };
        if timeout(FAREWELL, joined).await.is_err() {
            self.core.abort_all();
        }
        tracing::info!("stopped");
    }

    async fn stop(&self, deadline: Deadline, what: impl FnOnce(Deadline, oneshot::Sender<()>) -> Stop) {
        let (done, ended) = oneshot::channel();
        if self.stops.send(what(deadline, done)).await.is_ok() {
            // Each part keeps the deadline by itself; a little is left for it to say so.
            let _ = timeout(deadline.remaining() + FAREWELL, ended).await;
        }
    }
}

//! Who can still send a call to something that serves on this host.
//!
//! What is replaced or stopped must take every call that was routed to it before, and how long a call is on its way from
//! the router's choice to its door depends on the machine: a thread that gets no processor for a second is there a second
//! later. So whoever publishes that something serves, every table that names it and every call that is routed by such
//! a table holds a [`Reach`] of it, and only when the last one has gone does it stop taking calls.

use std::{sync::Arc, time::Duration};

use futures::future::BoxFuture;
use mesh_lattice::{CallError, Invocation, Reply, Serve};
use tokio::time::timeout;
use tokio_util::task::{TaskTracker, task_tracker::TaskTrackerToken};

/// Held by whoever can send a call to one thing.
#[derive(Debug, Clone)]
pub struct Reach(TaskTrackerToken);

impl Default for Reach {
    fn default() -> Self {
        Self(TaskTracker::new().token())
    }
}

impl Reach {
    /// Gives this one up, and returns when nobody else has one either, or after `within`.
    pub async fn end(self, within: Duration) {
        let all = self.0.task_tracker().clone();
        drop(self);
        all.close();
        if timeout(within, all.wait()).await.is_err() {
            tracing::debug!("calls that were routed before are still there");
        }
    }
}

/// Something that serves, as a table names it: a call that is routed to it holds its reach.
pub(crate) struct Reached<S: ?Sized> {
    serve: Arc<S>,
    _reach: Reach,
}

impl<S: ?Sized> Reached<S> {
    pub(crate) fn new(serve: Arc<S>, reach: Reach) -> Arc<Self> {
        Arc::new(Self { serve, _reach: reach })
    }
}

impl<S: Serve + ?Sized> Serve for Reached<S> {
    fn serve(&self, call: Invocation) -> BoxFuture<'_, Result<Reply, CallError>> {
        self.serve.serve(call)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_ends_when_the_last_holder_has_gone_and_not_before() {
        let reach = Reach::default();
        let (table, call) = (reach.clone(), reach.clone());
        let mut ends = Box::pin(reach.end(Duration::from_secs(60)));
        assert!(futures::poll!(&mut ends).is_pending());
        drop(table);
        let later = call.clone();
        drop(call);
        assert!(futures::poll!(&mut ends).is_pending(), "a holder may pass it on");
        drop(later);
        ends.await;
    }

    #[tokio::test(start_paused = true)]
    async fn somebody_who_never_lets_go_is_not_waited_for_for_ever() {
        let reach = Reach::default();
        let _held = reach.clone();
        let before = tokio::time::Instant::now();
        reach.end(Duration::from_secs(5)).await;
        assert_eq!(before.elapsed().as_secs(), 5);
    }
}

//! The tasks of HTTP/2 requests. A client that opens a request's window and then takes nothing of the answer is not
//! seen at the socket, where other requests may go on: so each request watches over its own answer.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use hyper::rt::Executor;
use mesh_lattice::Monotonic;
use tokio_util::task::TaskTracker;

use crate::counters::{Counters, Reason};

tokio::task_local! {
    static TAKEN: Arc<Taken>;
}

/// Runs requests beside their connection.
#[derive(Clone)]
pub(crate) struct Streams {
    tasks: TaskTracker,
    write_timeout: Duration,
    counters: Arc<Counters>,
}

impl Streams {
    pub(super) fn new(tasks: TaskTracker, write_timeout: Duration, counters: Arc<Counters>) -> Self {
        Self { tasks, write_timeout, counters }
    }
}

impl<F> Executor<F> for Streams
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, request: F) {
        let (taken, counters, limit) = (Arc::new(Taken::default()), Arc::clone(&self.counters), self.write_timeout);
        self.tasks.spawn(TAKEN.scope(Arc::clone(&taken), async move {
            tokio::select! {
                biased;
                () = request => {}
                // Dropping the request resets it.
                () = taken.stops(limit) => counters.closed(Reason::Write),
            }
        }));
    }
}

/// When the client last took a part of an answer.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    /// A part of the answer was handed over, and the next has not been asked for.
    offered: AtomicBool,
    /// When, in microseconds of the machine's clock.
    at: AtomicU64,
}

impl Taken {
    /// That of the HTTP/2 request whose task this is.
    pub(crate) fn of_this_request() -> Option<Arc<Self>> {
        TAKEN.try_with(Arc::clone).ok()
    }

    /// The answer was asked for its next part; `offered` says whether there was one.
    pub(crate) fn asked(&self, offered: bool) {
        self.at.store(Monotonic::now().0, Relaxed);
        self.offered.store(offered, Relaxed);
    }

    /// Resolves when nothing was taken for `limit`.
    async fn stops(&self, limit: Duration) {
        loop {
            tokio::time::sleep(limit / 2).await;
            let since = Monotonic::now().since(Monotonic(self.at.load(Relaxed)));
            if self.offered.load(Relaxed) && since >= limit {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_an_answer_that_was_offered_and_not_taken_is_over() {
        let limit = Duration::from_millis(40);
        let patience = limit * 3;
        let waits = Taken::default();
        waits.asked(false);
        assert!(tokio::time::timeout(patience, waits.stops(limit)).await.is_err(), "the actor is what is slow");
        waits.asked(true);
        tokio::time::timeout(Duration::from_secs(5), waits.stops(limit)).await.unwrap();
    }
}

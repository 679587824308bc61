//! How many instances of an actor live at once, and how many calls wait for one: first come, first served; beyond
//! that `busy`, at once.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU32, Ordering},
};

use mesh_lattice::{CallError, Code, Deadline};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError};

/// The door of one actor.
pub(crate) struct Admission {
    slots: Arc<Semaphore>,
    concurrency: u32,
    queue: u32,
    waiting: AtomicU32,
    closed: AtomicBool,
}

/// A place in the queue, given up when it goes.
struct Place<'a>(&'a AtomicU32);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Admission {
    pub(crate) fn new(concurrency: u32, queue: u32) -> Self {
        let concurrency = concurrency.max(1);
        let slots = Arc::new(Semaphore::new(usize::try_from(concurrency).unwrap_or(Semaphore::MAX_PERMITS)));
        Self { slots, concurrency, queue, waiting: AtomicU32::new(0), closed: AtomicBool::new(false) }
    }

    /// A slot for one instance; what it costs to wait for one counts against the deadline.
    pub(crate) async fn enter(&self, deadline: Deadline) -> Result<OwnedSemaphorePermit, CallError> {
        if self.closed.load(Ordering::Acquire) {
            return Err(CallError::new(Code::Unavailable, "the actor is being stopped on this host"));
        }
        match Arc::clone(&self.slots).try_acquire_owned() {
            Ok(slot) => Ok(slot),
            Err(TryAcquireError::NoPermits) => self.wait(deadline).await,
            Err(TryAcquireError::Closed) => Err(closed()),
        }
    }

    async fn wait(&self, deadline: Deadline) -> Result<OwnedSemaphorePermit, CallError> {
        let queued = self.waiting.fetch_add(1, Ordering::Relaxed);
        let _place = Place(&self.waiting);
        if queued >= self.queue {
            let message = format!("{} calls run and {} wait already", self.concurrency, self.queue);
            return Err(CallError::new(Code::Busy, message));
        }
        match tokio::time::timeout(deadline.remaining(), Arc::clone(&self.slots).acquire_owned()).await {
            Ok(Ok(slot)) => Ok(slot),
            Ok(Err(_)) => Err(closed()),
            Err(_) => Err(CallError::new(Code::DeadlineExceeded, "the deadline passed in the actor's queue")),
        }
    }

    /// Takes no new call; those that wait still get their turn.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }

    pub(crate) fn running(&self) -> u32 {
        let free = u32::try_from(self.slots.available_permits()).unwrap_or(u32::MAX);
        self.concurrency.saturating_sub(free)
    }

    pub(crate) fn waiting(&self) -> u32 {
        self.waiting.load(Ordering::Relaxed)
    }
}

fn closed() -> CallError {
    CallError::new(Code::Internal, "the actor's slots are gone")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn soon() -> Deadline {
        Deadline::after(Duration::from_secs(10))
    }

    #[tokio::test]
    async fn beyond_its_queue_a_call_hears_busy_and_order_is_kept() {
        let admission = Admission::new(1, 2);
        let running = admission.enter(soon()).await.unwrap();
        let mut first = Box::pin(admission.enter(soon()));
        let mut second = Box::pin(admission.enter(soon()));
        assert!(futures::poll!(&mut first).is_pending());
        assert!(futures::poll!(&mut second).is_pending());
        assert_eq!(admission.enter(soon()).await.unwrap_err().code, Code::Busy);
        assert_eq!((admission.running(), admission.waiting()), (1, 2));
        drop(running);
        assert!(futures::poll!(&mut second).is_pending());
        let running = first.await.unwrap();
        drop(second);
        drop(running);
        assert_eq!((admission.running(), admission.waiting()), (0, 0));
        admission.close();
        assert_eq!(admission.enter(soon()).await.unwrap_err().code, Code::Unavailable);
    }

    #[tokio::test(start_paused = true)]
    async fn the_deadline_passes_in_the_queue_too() {
        let admission = Admission::new(1, 1);
        let _running = admission.enter(soon()).await.unwrap();
        let error = admission.enter(Deadline::after(Duration::from_millis(50))).await.unwrap_err();
        assert_eq!(error.code, Code::DeadlineExceeded);
        assert_eq!(admission.waiting(), 0);
    }
}

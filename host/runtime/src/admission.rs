//! How many instances of an actor live at once, and who waits for one. The queue is bounded and fair between callers:
//! each has a line of its own, and free slots go round the lines. A full queue makes room for a caller with a shorter
//! line than the longest; whoever has the longest hears `busy`, at once.

mod lines;

use std::sync::Arc;

use mesh_lattice::{CallError, Caller, Code, Deadline};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use lines::{Joined, Lines};

/// What a waiting call is told.
type Grant = oneshot::Sender<Result<Slot, CallError>>;

/// The door of one actor.
pub(crate) struct Admission(Arc<Door>);

struct Door {
    concurrency: u32,
    queue: u32,
    state: Mutex<State>,
}

struct State {
    running: u32,
    lines: Lines<Grant>,
    closed: bool,
}

/// The right to one live instance; it passes to the next in turn when it goes.
pub(crate) struct Slot(Option<Arc<Door>>);

/// A place in a line, given up when it goes.
struct Place<'a> {
    door: &'a Door,
    caller: &'a Caller,
    ticket: u64,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.door.state.lock().lines.leave(self.caller, self.ticket);
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let Some(door) = self.0.take() else { return };
        loop {
            let next = {
                let mut state = door.state.lock();
                let next = state.lines.next();
                if next.is_none() {
                    state.running = state.running.saturating_sub(1);
                }
                next
            };
            let Some(next) = next else { return };
            match next.send(Ok(Slot(Some(Arc::clone(&door))))) {
                // It gave up between its turn and this moment: the slot is still to be given away.
                Err(Ok(mut slot)) => drop(slot.0.take()),
                _ => return,
            }
        }
    }
}

impl Admission {
    pub(crate) fn new(concurrency: u32, queue: u32) -> Self {
        let state = State { running: 0, lines: Lines::new(queue as usize), closed: false };
        Self(Arc::new(Door { concurrency: concurrency.max(1), queue, state: Mutex::new(state) }))
    }

    /// A slot for one instance; what it costs to wait for one counts against the deadline.
    pub(crate) async fn enter(&self, caller: &Caller, deadline: Deadline) -> Result<Slot, CallError> {
        let (joined, granted) = {
            let mut state = self.0.state.lock();
            if state.closed {
                return Err(CallError::new(Code::Unavailable, "the actor is being stopped on this host"));
            }
            if state.running < self.0.concurrency {
                state.running += 1;
                return Ok(Slot(Some(Arc::clone(&self.0))));
            }
            let (grant, granted) = oneshot::channel();
            (state.lines.join(caller, grant), granted)
        };
        let ticket = match joined {
            Joined::Queued(ticket) => ticket,
            Joined::Displaced(ticket, other) => {
                // Whoever it was may have gone.
                drop(other.send(Err(self.busy())));
                ticket
            }
            Joined::Full(_) => return Err(self.busy()),
        };
        let _place = Place { door: &self.0, caller, ticket };
        match tokio::time::timeout(deadline.remaining(), deadline.bounds(granted)).await {
            Ok(Some(Ok(result))) => result,
            Ok(Some(Err(_))) => Err(CallError::new(Code::Internal, "the actor's slots are gone")),
            Ok(None) | Err(_) => {
                Err(CallError::new(Code::DeadlineExceeded, "the deadline passed in the actor's queue"))
            }
        }
    }

    fn busy(&self) -> CallError {
        let (running, queue) = (self.0.concurrency, self.0.queue);
        CallError::new(Code::Busy, format!("{running} calls run and {queue} wait already"))
    }

    /// Takes no new call; those that wait still get their turn.
    pub(crate) fn close(&self) {
        self.0.state.lock().closed = true;
    }

    pub(crate) fn running(&self) -> u32 {
        self.0.state.lock().running
    }

    pub(crate) fn waiting(&self) -> u32 {
        u32::try_from(self.0.state.lock().lines.len()).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn soon() -> Deadline {
        Deadline::after(Duration::from_secs(10))
    }

    fn named(name: &str) -> Caller {
        Caller::Named(name.parse().unwrap())
    }

    #[tokio::test]
    async fn beyond_its_queue_a_call_hears_busy_and_order_is_kept() {
        let (admission, edge) = (Admission::new(1, 2), named("edge"));
        let running = admission.enter(&edge, soon()).await.unwrap();
        let mut first = Box::pin(admission.enter(&edge, soon()));
        let mut second = Box::pin(admission.enter(&edge, soon()));
        assert!(futures::poll!(&mut first).is_pending());
        assert!(futures::poll!(&mut second).is_pending());
        assert_eq!(admission.enter(&edge, soon()).await.err().unwrap().code, Code::Busy);
        assert_eq!((admission.running(), admission.waiting()), (1, 2));
        drop(running);
        assert!(futures::poll!(&mut second).is_pending());
        let running = first.await.unwrap();
        drop(second);
        drop(running);
        assert_eq!((admission.running(), admission.waiting()), (0, 0));
        admission.close();
        assert_eq!(admission.enter(&edge, soon()).await.err().unwrap().code, Code::Unavailable);
    }

    #[tokio::test(start_paused = true)]
    async fn the_deadline_passes_in_the_queue_too() {
        let (admission, edge) = (Admission::new(1, 1), named("edge"));
        let _running = admission.enter(&edge, soon()).await.unwrap();
        let error = admission.enter(&edge, Deadline::after(Duration::from_millis(50))).await.err().unwrap();
        assert_eq!(error.code, Code::DeadlineExceeded);
        assert_eq!(admission.waiting(), 0);
    }

    #[tokio::test]
    async fn a_slot_that_comes_for_a_caller_who_left_goes_to_the_next() {
        let (admission, edge) = (Admission::new(1, 4), named("edge"));
        let running = admission.enter(&edge, soon()).await.unwrap();
        let mut left = Box::pin(admission.enter(&edge, soon()));
        let mut stays = Box::pin(admission.enter(&edge, soon()));
        assert!(futures::poll!(&mut left).is_pending());
        assert!(futures::poll!(&mut stays).is_pending());
        drop(running);
        drop(left);
        assert!(stays.await.is_ok());
        assert_eq!((admission.running(), admission.waiting()), (0, 0));
    }

    #[tokio::test]
    async fn a_full_queue_makes_room_for_whoever_has_less_of_it() {
        let (admission, noisy, quiet) = (Admission::new(1, 4), named("noisy"), named("quiet"));
        let running = admission.enter(&noisy, soon()).await.unwrap();
        let mut waiting: Vec<_> = (0..4).map(|_| Box::pin(admission.enter(&noisy, soon()))).collect();
        for call in &mut waiting {
            assert!(futures::poll!(call).is_pending());
        }
        let mut own = Box::pin(admission.enter(&quiet, soon()));
        assert!(futures::poll!(&mut own).is_pending());
        let displaced = waiting.pop().unwrap().await.err().unwrap();
        assert_eq!((displaced.code, admission.waiting()), (Code::Busy, 4));
        drop(running);
        let first = waiting.remove(0).await.unwrap();
        drop(first);
        assert!(own.await.is_ok(), "its turn comes after one of the other's, not after all");
    }
}

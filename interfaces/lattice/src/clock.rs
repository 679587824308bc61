//! The monotonic time that deadlines are made of.
//!
//! The clock counts while the machine sleeps (`CLOCK_BOOTTIME`), so a call that sat in a buffer through a suspend is
//! late when it wakes up. It starts at each boot of the machine: a reading means nothing to another machine until a
//! session has mapped it by the smallest difference between sending and receiving that it has seen.

use std::{future::poll_fn, pin::pin, task::Poll, time::Duration};

use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

/// A reading of this machine's monotonic clock, in microseconds; by default its beginning.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Monotonic(pub u64);

impl Monotonic {
    /// Now.
    #[must_use]
    pub fn now() -> Self {
        let now = clock_gettime(ClockId::Boottime);
        let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
        let nanoseconds = u64::try_from(now.tv_nsec).unwrap_or(0);
        Self(seconds * 1_000_000 + nanoseconds / 1_000)
    }

    /// This much later.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)))
    }

    /// The time from `earlier` to this; zero where that is not earlier.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

/// When an answer stops being of use: the time to the head of the reply. Streams then live by an idle timeout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Deadline(pub Monotonic);

impl Deadline {
    /// This long from now.
    #[must_use]
    pub fn after(duration: Duration) -> Self {
        Self(Monotonic::now().plus(duration))
    }

    /// What is left of it; zero once it has passed.
    #[must_use]
    pub fn remaining(self) -> Duration {
        self.0.since(Monotonic::now())
    }

    /// Whether it has passed.
    #[must_use]
    pub fn has_passed(self) -> bool {
        Monotonic::now() >= self.0
    }

    /// What comes of `work`; `None` once this has passed: from then on it is not touched any more. A process that stood
    /// still finds a timer and the work that it bounds due at once, and a timeout lets the work go first. This wakes
    /// nobody when the time has come: that takes a timer beside it.
    pub async fn bounds<F: Future>(self, work: F) -> Option<F::Output> {
        let mut work = pin!(work);
        poll_fn(|context| match self.has_passed() {
            true => Poll::Ready(None),
            false => work.as_mut().poll(context).map(Some),
        })
        .await
    }

    /// The earlier of this and `other`.
    #[must_use]
    pub fn sooner(self, other: Self) -> Self {
        self.min(other)
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Waker};

    use super::*;

    #[test]
    fn work_is_not_touched_any_more_once_its_deadline_has_passed() {
        let mut context = Context::from_waker(Waker::noop());
        let effects = std::cell::Cell::new(0);
        let late = pin!(Deadline(Monotonic::now()).bounds(async { effects.set(1) }));
        assert_eq!((late.poll(&mut context), effects.get()), (Poll::Ready(None), 0));

        let deadline = Deadline::after(Duration::from_millis(20));
        let mut begun = false;
        let mut waits = pin!(deadline.bounds(poll_fn(|_| match std::mem::replace(&mut begun, true) {
            false => Poll::<()>::Pending,
            true => panic!("it was polled after its deadline"),
        })));
        assert!(waits.as_mut().poll(&mut context).is_pending());
        while !deadline.has_passed() {
            std::thread::yield_now();
        }
        assert_eq!(waits.as_mut().poll(&mut context), Poll::Ready(None));
        let soon = Deadline::after(Duration::from_secs(60));
        assert_eq!(pin!(soon.bounds(async { 7 })).poll(&mut context), Poll::Ready(Some(7)));
    }

    #[test]
    fn time_does_not_go_back_and_a_deadline_passes() {
        let first = Monotonic::now();
        let deadline = Deadline::after(Duration::from_secs(60));
        assert!(Monotonic::now() >= first);
        assert!(!deadline.has_passed());
        assert!(deadline.remaining() > Duration::from_secs(59));
        assert!(Deadline(first).has_passed());
        assert_eq!(Deadline(first).remaining(), Duration::ZERO);
    }
}

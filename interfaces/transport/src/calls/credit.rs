//! How far streams may go: what a receiver promised to all of them, and what a sender was promised.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::sync::Notify;

/// What all streams of a host may have outstanding: sent or to be sent, not consumed yet.
pub(super) const TOTAL: u64 = 16 << 20;

/// Less than this is not worth a credit, unless there is no more.
pub(super) const LEAST: u64 = 16 << 10;

/// Out of this part a stream is given [`LEAST`], and nothing beyond: readers that stand still keep what they were
/// given, and whoever comes after them begins all the same.
const RESERVE: u64 = 4 << 20;

/// What calls that wait for their answers may hold of it for the streams of those: most answers have none, and however
/// many are waited for, the streams that do flow keep theirs.
const AHEAD: u64 = 4 << 20;

/// What may still be promised to senders.
pub(super) struct Budget {
    left: AtomicU64,
    ahead: AtomicU64,
}

impl Default for Budget {
    fn default() -> Self {
        Self { left: AtomicU64::new(TOTAL), ahead: AtomicU64::new(AHEAD) }
    }
}

impl Budget {
    /// Takes up to `want` for a stream that has `outstanding` already, and not much more than an eighth of what is
    /// left: the more streams, the less for each.
    pub(super) fn take(&self, want: u64, outstanding: u64) -> u64 {
        let mut taken = 0;
        let _ = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
            let open = left.saturating_sub(RESERVE);
            let first = LEAST.saturating_sub(outstanding).min(left);
            taken = want.min((open / 8).max(LEAST).min(open).max(first));
            Some(left - taken)
        });
        taken
    }

    pub(super) fn give(&self, amount: u64) {
        self.left.fetch_add(amount, Ordering::Relaxed);
    }

    /// Takes up to `want`, an even number, for the two streams that an answer may bring, and less the more are waited for.
    pub(super) fn take_ahead(&self, want: u64) -> u64 {
        let mut room = 0;
        let _ = self.ahead.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
            room = want.min((left / 8).max(LEAST).min(left));
            Some(left - room)
        });
        // It is for two streams alike.
        let taken = self.take(room, LEAST);
        self.give(taken % 2);
        let taken = taken - taken % 2;
        self.settle_ahead(room - taken);
        taken
    }

    /// So much of what was taken ahead is a stream's own now, or is given back.
    pub(super) fn settle_ahead(&self, amount: u64) {
        self.ahead.fetch_add(amount, Ordering::Relaxed);
    }

    #[cfg(any(test, fuzzing))]
    pub(super) fn outstanding(&self) -> u64 {
        TOTAL - self.left.load(Ordering::Relaxed)
    }
}

/// The sending end: how far it may go.
#[derive(Default)]
pub(super) struct Leave {
    upto: AtomicU64,
    closed: AtomicBool,
    changed: Notify,
}

impl Leave {
    pub(super) fn new(upto: u64) -> Self {
        Self { upto: AtomicU64::new(upto), ..Self::default() }
    }

    pub(super) fn raise(&self, upto: u64) {
        if self.upto.fetch_max(upto, Ordering::Relaxed) < upto {
            self.changed.notify_one();
        }
    }

    /// The receiver wants no more.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
        self.changed.notify_one();
    }

    /// How far the stream may go, once that is further than `offset`; `None` once it is closed.
    pub(super) async fn beyond(&self, offset: u64) -> Option<u64> {
        loop {
            let changed = self.changed.notified();
            if self.closed.load(Ordering::Relaxed) {
                return None;
            }
            let upto = self.upto.load(Ordering::Relaxed);
            if upto > offset {
                return Some(upto);
            }
            changed.await;
        }
    }

    /// Returns once the receiver wants no more.
    pub(super) async fn closed(&self) {
        loop {
            let changed = self.changed.notified();
            if self.closed.load(Ordering::Relaxed) {
                return;
            }
            changed.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_promised_is_bounded_and_something_is_left_for_whoever_comes_late() {
        let budget = Budget::default();
        let mut held = 0;
        // Streams that stand still ask for more until they get nothing.
        let mut greedy = [0u64; 64];
        for _ in 0..1_000 {
            for outstanding in &mut greedy {
                let taken = budget.take((1 << 20) - *outstanding, *outstanding);
                *outstanding += taken;
                held += taken;
            }
        }
        assert!(held <= TOTAL - RESERVE + 64 * LEAST, "{held}");
        for _ in 64..RESERVE / LEAST {
            assert_eq!(budget.take(1 << 20, 0), LEAST);
        }
        for _ in 0..100 {
            budget.take(1 << 20, 0);
        }
        assert!(budget.outstanding() <= TOTAL);
    }

    #[test]
    fn calls_that_wait_leave_room_for_streams_that_flow() {
        let budget = Budget::default();
        let waiting: Vec<u64> = (0..4_096).map(|_| budget.take_ahead(128 << 10)).collect();
        assert!(waiting[0] == 128 << 10 && waiting.iter().sum::<u64>() <= AHEAD);
        assert_eq!(budget.take(1 << 20, 0), (TOTAL - RESERVE - waiting.iter().sum::<u64>()) / 8);
        for taken in waiting {
            budget.give(taken);
            budget.settle_ahead(taken);
        }
        assert_eq!(budget.take_ahead(128 << 10), 128 << 10);
    }

    #[tokio::test]
    async fn leave_is_cumulative_and_closing_ends_it() {
        let leave = Leave::new(5);
        assert_eq!(leave.beyond(4).await, Some(5));
        leave.raise(9);
        leave.raise(7);
        assert_eq!(leave.beyond(5).await, Some(9));
        leave.close();
        assert_eq!(leave.beyond(5).await, None);
        leave.closed().await;
    }
}

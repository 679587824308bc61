//! How far streams may go: what a receiver promised to all of them, and what a sender was promised.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::sync::Notify;

/// What all streams of a host may have outstanding: sent or to be sent, not consumed yet.
pub(super) const TOTAL: u64 = 16 << 20;

/// Less than this is not worth a credit, unless there is no more.
const LEAST: u64 = 16 << 10;

/// What may still be promised to senders.
pub(super) struct Budget(AtomicU64);

impl Default for Budget {
    fn default() -> Self {
        Self(AtomicU64::new(TOTAL))
    }
}

impl Budget {
    /// Takes up to `want`, and not much more than an eighth of what is left: the more streams, the less for each.
    pub(super) fn take(&self, want: u64) -> u64 {
        let mut taken = 0;
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
            taken = want.min((left / 8).max(LEAST)).min(left);
            Some(left - taken)
        });
        taken
    }

    pub(super) fn give(&self, amount: u64) {
        self.0.fetch_add(amount, Ordering::Relaxed);
    }

    #[cfg(test)]
    pub(super) fn outstanding(&self) -> u64 {
        TOTAL - self.0.load(Ordering::Relaxed)
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

//! What happened to calls, counted where it happens and shown by the admin port.

use std::sync::atomic::{AtomicU64, Ordering};

/// What happened so far, and what is open now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CallStats {
    /// Calls sent to other hosts.
    pub sent: u64,
    /// Copies of calls that were sent because nothing was heard of the ones before.
    pub resent: u64,
    /// Calls of ours of which their callees said that they have them and answer later.
    pub accepted: u64,
    /// How often a call of ours met silence.
    pub silent: u64,
    /// Calls of ours that were given up at a silent host, to be made elsewhere.
    pub left: u64,
    /// Calls of ours whose host was gone with the call in its hands.
    pub lost: u64,
    /// Calls of other hosts that were begun.
    pub taken: u64,
    /// Calls answered `busy`.
    pub busy: u64,
    /// Calls dropped because they came after their deadline.
    pub expired: u64,
    /// Calls whose id was taken before: answered as before, not run again.
    pub repeated: u64,
    /// Those of them whose reply was no longer there.
    pub reply_lost: u64,
    /// Calls refused by policy or by [`super::AdmitCall`].
    pub refused: u64,
    /// Calls that their callers cancelled.
    pub cancelled: u64,
    /// Messages that no session vouches for, or that came twice; [`crate::refusals`] says why.
    pub rejected_frames: u64,
    /// Hellos that led to no session; [`crate::refusals`] says why.
    pub refused_hellos: u64,
    /// Frames dropped because the outbox was full.
    pub dropped: u64,
    /// Messages dropped because this process did not take them in time.
    pub overflowed: u64,
    /// Sessions held.
    pub sessions: u64,
    /// Calls of ours that wait for their answer or its streams.
    pub open_out: u64,
    /// Calls of others that run here.
    pub open_in: u64,
}

#[derive(Default)]
pub(super) struct Counters {
    pub(super) sent: AtomicU64,
    pub(super) resent: AtomicU64,
    pub(super) accepted: AtomicU64,
    pub(super) silent: AtomicU64,
    pub(super) left: AtomicU64,
    pub(super) lost: AtomicU64,
    pub(super) taken: AtomicU64,
    pub(super) busy: AtomicU64,
    pub(super) expired: AtomicU64,
    pub(super) repeated: AtomicU64,
    pub(super) reply_lost: AtomicU64,
    pub(super) refused: AtomicU64,
    pub(super) cancelled: AtomicU64,
    pub(super) dropped: AtomicU64,
}

pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl Counters {
    /// The counters; what others count and what is open now is left at 0.
    pub(super) fn read(&self) -> CallStats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        CallStats {
            sent: read(&self.sent),
            resent: read(&self.resent),
            accepted: read(&self.accepted),
            silent: read(&self.silent),
            left: read(&self.left),
            lost: read(&self.lost),
            taken: read(&self.taken),
            busy: read(&self.busy),
            expired: read(&self.expired),
            repeated: read(&self.repeated),
            reply_lost: read(&self.reply_lost),
            refused: read(&self.refused),
            cancelled: read(&self.cancelled),
            dropped: read(&self.dropped),
            ..CallStats::default()
        }
    }
}

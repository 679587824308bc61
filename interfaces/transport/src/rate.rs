//! How often something may happen: so many times at once, and once more after each while.

use std::time::{Duration, Instant};

/// What is allowed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rate {
    pub(crate) burst: u32,
    /// One more after each of these.
    pub(crate) refill: Duration,
}

/// What is left of a rate.
#[derive(Debug)]
pub(crate) struct Limit {
    rate: Rate,
    left: u32,
    refilled: Instant,
}

impl Limit {
    pub(crate) fn new(rate: Rate, now: Instant) -> Self {
        Self { rate, left: rate.burst, refilled: now }
    }

    /// Whether it may happen now; then it has.
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        self.refill(now);
        let left = self.left.checked_sub(1);
        self.left = left.unwrap_or(0);
        left.is_some()
    }

    /// Whether none of it was used lately.
    pub(crate) fn is_full(&mut self, now: Instant) -> bool {
        self.refill(now);
        self.left >= self.rate.burst
    }

    fn refill(&mut self, now: Instant) {
        let due = now.saturating_duration_since(self.refilled).as_nanos() / self.rate.refill.as_nanos();
        if due > 0 {
            self.left = self.left.saturating_add(u32::try_from(due).unwrap_or(u32::MAX)).min(self.rate.burst);
            self.refilled = now;
        }
    }
}

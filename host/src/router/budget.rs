//! How many calls may be made once more elsewhere: a fifth of those that are made, so that an overload or a fault is
//! not answered with twice the calls. A few each second may be in any case, or whoever calls seldom could never.
//!
//! A token bucket: each call puts a fifth of a token in, time puts in ten a second, each retry takes one out.

use std::sync::atomic::{AtomicU64, Ordering};

use mesh_lattice::Monotonic;
use parking_lot::Mutex;

/// What one token is made of.
const TOKEN: u64 = 1_000_000;

/// What each call puts in.
const EACH_CALL: u64 = TOKEN / 5;

/// Tokens that a second brings.
const EACH_SECOND: u64 = 10;

/// The bucket holds no more tokens than this: what a burst may use.
const MOST: u64 = 100;

/// The bucket.
#[derive(Debug)]
pub struct Budget {
    bucket: Mutex<Bucket>,
    granted: AtomicU64,
    refused: AtomicU64,
}

#[derive(Debug)]
struct Bucket {
    content: u64,
    filled: Monotonic,
}

impl Budget {
    /// A full bucket.
    #[must_use]
    pub fn new(now: Monotonic) -> Self {
        let bucket = Mutex::new(Bucket { content: MOST * TOKEN, filled: now });
        Self { bucket, granted: AtomicU64::new(0), refused: AtomicU64::new(0) }
    }

    /// A call is made.
    pub fn note_call(&self) {
        let mut bucket = self.bucket.lock();
        bucket.content = (bucket.content + EACH_CALL).min(MOST * TOKEN);
    }

    /// Whether one may be made once more.
    pub fn take(&self, now: Monotonic) -> bool {
        let granted = self.take_token(now);
        if granted { &self.granted } else { &self.refused }.fetch_add(1, Ordering::Relaxed);
        granted
    }

    /// How many were made once more.
    #[must_use]
    pub fn granted(&self) -> u64 {
        self.granted.load(Ordering::Relaxed)
    }

    /// How often the bucket was empty.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    fn take_token(&self, now: Monotonic) -> bool {
        let mut bucket = self.bucket.lock();
        let microseconds = now.0.saturating_sub(bucket.filled.0).min(MOST * 1_000_000);
        bucket.content = (bucket.content + microseconds * EACH_SECOND).min(MOST * TOKEN);
        bucket.filled = now;
        match bucket.content.checked_sub(TOKEN) {
            Some(left) => {
                bucket.content = left;
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(budget: &Budget, now: Monotonic) -> u64 {
        (0..10_000).take_while(|_| budget.take(now)).count() as u64
    }

    #[test]
    fn a_fifth_of_the_calls_may_be_made_again() {
        let (budget, now) = (Budget::new(Monotonic(0)), Monotonic(0));
        assert_eq!(taken(&budget, now), MOST);
        for _ in 0..200 {
            budget.note_call();
        }
        assert_eq!(taken(&budget, now), 40);
    }

    #[test]
    fn time_brings_a_few_and_the_bucket_overflows() {
        let budget = Budget::new(Monotonic(0));
        taken(&budget, Monotonic(0));
        assert_eq!(taken(&budget, Monotonic(1_000_000)), EACH_SECOND);
        assert_eq!(taken(&budget, Monotonic(3_600_000_000)), MOST);
    }
}

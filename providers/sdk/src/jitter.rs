//! Random waits. Callers are retry loops; nothing here is secret, so the randomness of a hash map's seed is enough.

use std::{
    hash::{BuildHasher as _, RandomState},
    time::Duration,
};

/// A wait between nothing and `most`, evenly spread.
#[must_use]
pub fn up_to(most: Duration) -> Duration {
    let most = u64::try_from(most.as_micros()).unwrap_or(u64::MAX);
    let random = RandomState::new().hash_one(most);
    Duration::from_micros(random % most.saturating_add(1).max(1))
}

/// The wait before retry number `attempt` (from 0): up to `first` doubled each time, `most` at most.
#[must_use]
pub fn backoff(attempt: usize, first: Duration, most: Duration) -> Duration {
    let doublings = u32::try_from(attempt.min(16)).unwrap_or(16);
    up_to(first.saturating_mul(1 << doublings).min(most))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_bounded_and_spread() {
        let most = Duration::from_millis(100);
        let waits: Vec<_> = (0..100).map(|_| up_to(most)).collect();
        assert!(waits.iter().all(|wait| *wait <= most));
        assert!(waits.iter().any(|wait| *wait < most / 2) && waits.iter().any(|wait| *wait > most / 2));
        assert_eq!(up_to(Duration::ZERO), Duration::ZERO);
        assert!(backoff(usize::MAX, Duration::from_millis(10), most) <= most);
        assert!(backoff(0, Duration::from_millis(10), most) <= Duration::from_millis(10));
    }
}

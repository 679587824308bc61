//! The peer's clock, read on ours.
//!
//! The quickest frame is taken to have needed no time: the smallest (received - sent) is how far the two clocks are
//! apart, so that whatever sat in a buffer is late by as much as it sat there. Two clocks do not run equally fast,
//! though: in a session of many days the smallest difference of the first minute would make every later frame seem
//! late. So the difference may grow by [`DRIFT`], and no faster: a second of buffering would need hours to hide in it.
//!
//! That is an estimate, good enough for deadlines. Where a caller has to be *sure* that the peer begins nothing any more,
//! it goes by a [`Reading`]: what the peer's clock said between two moments of ours.

use std::time::Duration;

use mesh_lattice::clock::{Deadline, Monotonic};

/// Two clocks of ordinary machines drift apart by less: 200 parts in a million.
const DRIFT: u64 = 200;

/// How far the peer's clock is from ours.
pub(super) struct PeerClock {
    /// Ours less theirs, in microseconds, as the quickest frame showed it.
    offset: i128,
    /// When that was seen, by our clock.
    seen: Monotonic,
}

impl PeerClock {
    pub(super) fn new(sent: Monotonic, received: Monotonic) -> Self {
        Self { offset: difference(sent, received), seen: received }
    }

    /// Notes that what was sent at `sent` by the peer's clock came at `received` by ours.
    pub(super) fn note(&mut self, sent: Monotonic, received: Monotonic) {
        let offset = difference(sent, received);
        let drifted = self.offset + i128::from(received.0.saturating_sub(self.seen.0) * DRIFT / 1_000_000);
        if offset <= drifted {
            (self.offset, self.seen) = (offset, received);
        }
    }

    /// A moment of the peer's clock on ours.
    pub(super) fn map(&self, deadline: Deadline) -> Deadline {
        let mapped = i128::from(deadline.0.0) + self.offset;
        Deadline(Monotonic(u64::try_from(mapped.max(0)).unwrap_or(u64::MAX)))
    }
}

/// What the peer's clock said once: it was read between two moments of ours.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reading {
    /// When the peer was asked.
    pub(crate) asked: Monotonic,
    /// What its clock said.
    pub(crate) said: Monotonic,
    /// When its answer came.
    pub(crate) came: Monotonic,
}

/// A moment that the peer keeps to by its clock, and when it has certainly passed by ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limit {
    pub(crate) theirs: Monotonic,
    pub(crate) ours: Monotonic,
}

impl Reading {
    /// The peer's clock is `length` further on at `theirs` at the earliest, whatever the two clocks drifted since the
    /// reading, and at `ours` it has passed that.
    pub(crate) fn limit(&self, now: Monotonic, length: Duration) -> Limit {
        let theirs = self.said.plus(with_drift(now.since(self.asked))).plus(length);
        Limit { theirs, ours: self.came.plus(with_drift(theirs.since(self.said))) }
    }
}

/// What a clock that is slow by [`DRIFT`] may need for this.
fn with_drift(time: Duration) -> Duration {
    let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    Duration::from_micros(micros.saturating_add(micros / 1_000_000 * DRIFT + DRIFT))
}

fn difference(sent: Monotonic, received: Monotonic) -> i128 {
    i128::from(received.0) - i128::from(sent.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000;

    fn mapped(clock: &PeerClock, at: u64) -> u64 {
        clock.map(Deadline(Monotonic(at))).0.0
    }

    #[test]
    fn the_quickest_frame_counts_and_a_slow_one_changes_nothing() {
        let mut clock = PeerClock::new(Monotonic(1_000), Monotonic(501_000));
        clock.note(Monotonic(2_000), Monotonic(102_000));
        clock.note(Monotonic(3_000), Monotonic(903_000));
        assert_eq!(mapped(&clock, 1_000_000), 1_100_000);
    }

    #[test]
    fn a_frame_that_sat_in_a_buffer_stays_late_even_after_an_hour_without_any() {
        let mut clock = PeerClock::new(Monotonic(0), Monotonic(1_000));
        let (sent, received) = (3_600 * SECOND, 3_605 * SECOND);
        clock.note(Monotonic(sent), Monotonic(received));
        assert!(mapped(&clock, sent + SECOND) < received, "its deadline of a second has passed");
    }

    #[test]
    fn a_limit_has_passed_by_both_clocks_whatever_they_drifted_and_however_long_the_way_was() {
        // The peer's clock is 1,000 s ahead and runs fast or slow; the reading took 40 ms, on either half of the way.
        for (drift, way_out) in [(-200i64, 0), (-200, 40_000), (0, 20_000), (200, 0), (200, 40_000)] {
            let theirs_at = |ours: u64| {
                let since = i64::try_from(ours).unwrap() - 5_000_000;
                u64::try_from(1_005_000_000 + since + since * drift / 1_000_000).unwrap()
            };
            let asked = 5_000_000;
            let reading = Reading {
                asked: Monotonic(asked),
                said: Monotonic(theirs_at(asked + way_out)),
                came: Monotonic(asked + 40_000),
            };
            for age in [0, 1, 60, 3_600] {
                let now = asked + 40_000 + age * SECOND;
                let limit = reading.limit(Monotonic(now), Duration::from_millis(500));
                assert!(limit.theirs.0 >= theirs_at(now) + 499_000, "the peer has the whole time");
                assert!(theirs_at(limit.ours.0) >= limit.theirs.0, "{drift} {way_out} {age}: it has passed");
                let slack = limit.ours.0 - now;
                assert!(slack < 500_000 + 42_000 + 3 * age * 200 + 1_000, "{slack} after {age} s");
            }
        }
    }

    #[test]
    fn clocks_that_drift_apart_do_not_make_a_long_session_late() {
        let mut clock = PeerClock::new(Monotonic(0), Monotonic(100));
        for minute in 1..=3 * 24 * 60 {
            // The peer's clock is slow by 50 in a million.
            let received = minute * 60 * SECOND;
            let sent = received - received * 50 / 1_000_000;
            clock.note(Monotonic(sent), Monotonic(received + 100));
            assert!(mapped(&clock, sent + SECOND) > received + SECOND / 2);
        }
    }
}

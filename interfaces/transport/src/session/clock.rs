//! The peer's clock, read on ours.
//!
//! The quickest frame is taken to have needed no time: the smallest (received - sent) is how far the two clocks are
//! apart, so that whatever sat in a buffer is late by as much as it sat there. Two clocks do not run equally fast,
//! though: in a session of many days the smallest difference of the first minute would make every later frame seem
//! late. So the difference may grow by [`DRIFT`], and no faster: a second of buffering would need hours to hide in it.

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

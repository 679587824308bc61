//! Whether the other end of a session lives: written by the reader with every frame and by callers that wait in vain,
//! read by whoever chooses a host and by the pings.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    time::Duration,
};

use mesh_lattice::clock::Monotonic;

/// Silence is never shorter than this, however near the peer is.
const SHORTEST_SILENCE: Duration = Duration::from_millis(250);

/// What is known of the other end.
#[derive(Default)]
pub(crate) struct Life {
    /// A frame of it came since this was asked last.
    heard: AtomicBool,
    /// It let somebody wait in vain, and nothing came of it since.
    silent: AtomicBool,
    /// Smoothed, in microseconds; 0 where none was measured.
    round_trip: AtomicU64,
    /// When it was pinged last, in microseconds of our clock.
    pinged: AtomicU64,
    /// Calls of ours that it holds.
    open: AtomicUsize,
}

impl Life {
    /// A frame came.
    pub(crate) fn hear(&self) {
        // Looked at first: this runs for every frame, and a line that is only read is shared.
        if !self.heard.load(Ordering::Relaxed) {
            self.heard.store(true, Ordering::Relaxed);
        }
        if self.silent.load(Ordering::Relaxed) {
            self.silent.store(false, Ordering::Relaxed);
        }
    }

    /// Whether a frame came since this was asked last.
    pub(crate) fn was_heard(&self) -> bool {
        self.heard.swap(false, Ordering::Relaxed)
    }

    /// Somebody waited in vain.
    pub(crate) fn fall_silent(&self) {
        self.silent.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_silent(&self) -> bool {
        self.silent.load(Ordering::Relaxed)
    }

    /// Notes how long a question and its answer took.
    pub(crate) fn note_round_trip(&self, measured: Duration) {
        let measured = u64::try_from(measured.as_micros()).unwrap_or(u64::MAX).clamp(1, 60_000_000);
        let smoothed = match self.round_trip.load(Ordering::Relaxed) {
            0 => measured,
            before => (before * 7 + measured) / 8,
        };
        self.round_trip.store(smoothed.max(1), Ordering::Relaxed);
    }

    /// It is pinged.
    pub(crate) fn ping(&self, now: Monotonic) {
        self.pinged.store(now.0, Ordering::Relaxed);
    }

    /// It answered the ping of `sent`. An earlier one than the last says how long the peer stood still, not how far
    /// away it is.
    pub(crate) fn pong(&self, sent: Monotonic, now: Monotonic) {
        if sent.0 == self.pinged.load(Ordering::Relaxed) {
            self.note_round_trip(now.since(sent));
        }
    }

    /// How long nothing may come before it counts as silence.
    pub(crate) fn silence(&self) -> Duration {
        SHORTEST_SILENCE.max(Duration::from_micros(3 * self.round_trip.load(Ordering::Relaxed)))
    }

    pub(crate) fn call_opened(&self) {
        self.open.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn call_closed(&self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
    }

    /// Whether somebody wants to know that it lives.
    pub(crate) fn is_watched(&self) -> bool {
        self.open.load(Ordering::Relaxed) > 0 || self.is_silent()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_is_a_quarter_of_a_second_or_three_round_trips() {
        let life = Life::default();
        assert_eq!(life.silence(), Duration::from_millis(250));
        life.note_round_trip(Duration::from_millis(2));
        assert_eq!(life.silence(), Duration::from_millis(250));
        for _ in 0..100 {
            life.note_round_trip(Duration::from_millis(200));
        }
        assert!(life.silence() > Duration::from_millis(590) && life.silence() <= Duration::from_millis(600));
    }

    #[test]
    fn a_peer_that_stood_still_is_not_taken_to_be_far_away() {
        let life = Life::default();
        life.ping(Monotonic(1_000_000));
        life.ping(Monotonic(9_000_000));
        life.pong(Monotonic(1_000_000), Monotonic(9_100_000));
        life.pong(Monotonic(9_000_000), Monotonic(9_100_000));
        assert_eq!(life.silence(), Duration::from_millis(300));
    }

    #[test]
    fn whoever_is_heard_is_silent_no_more() {
        let life = Life::default();
        life.fall_silent();
        assert!(life.is_silent() && life.is_watched());
        life.hear();
        assert!(!life.is_silent() && !life.is_watched());
        assert!(life.was_heard() && !life.was_heard());
    }
}

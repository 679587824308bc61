//! How much of a stream is worth having on its way: as much as comes in the time to its sender and back, and in a quarter
//! of a second more.
//!
//! What is beyond that is of no use to its reader: it waits on the line, and every call that goes over the same line waits
//! behind it. Where the line is quick, as much as [`WINDOW`] comes in no time, and nothing is slower for this; where it
//! is slow, calls are held up for a moment, and not for as long as all that the window has room for takes.
//!
//! ```text
//! FIRST ─► what came in 20 ms or more ─┬─ would be more in that time ─► so much, twice as much as before at most
//!                                      └─ would be less ──────────────► so much, half as much as before at least
//! ```

use std::time::Duration;

use tokio::time::Instant;

use super::credit::LEAST;

/// What one stream may have outstanding at most: on its way, or waiting for its reader.
pub(super) const WINDOW: u64 = 1 << 20;

/// What may be on its way before anything is known of the line.
const FIRST: u64 = 128 << 10;

/// What is on its way is there after this long and one round trip.
const AHEAD: Duration = Duration::from_millis(250);

/// What came is measured over no less than this.
const MEASURED: Duration = Duration::from_millis(20);

/// What is known of how fast a stream comes.
pub(super) struct Pace {
    worth: u64,
    /// When something came that was measured, and how much had come by then.
    since: Option<(Instant, u64)>,
}

impl Default for Pace {
    fn default() -> Self {
        Self { worth: FIRST, since: None }
    }
}

impl Pace {
    /// `received` bytes have come by `now`; `round_trip` is the time to the sender and back.
    pub(super) fn note(&mut self, received: u64, now: Instant, round_trip: Duration) {
        let (since, before) = *self.since.get_or_insert((now, received));
        let elapsed = now - since;
        if elapsed >= MEASURED {
            let came = u128::from(received.saturating_sub(before));
            let worth = came * (AHEAD + round_trip).as_micros() / elapsed.as_micros();
            let worth = u64::try_from(worth).unwrap_or(u64::MAX).clamp(self.worth / 2, self.worth * 2);
            self.worth = worth.clamp(LEAST, WINDOW);
            self.since = Some((now, received));
        }
    }

    /// How much is worth having on its way.
    pub(super) fn worth(&self) -> u64 {
        self.worth
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    /// A stream over a line that takes so many bytes a second, in front of which its sender puts all that it may send:
    /// how many bytes came in each of the last ten seconds, and the longest that anything waited in front of the line.
    fn over(rate: u64, round_trip: Duration) -> (u64, Duration) {
        let start = Instant::now();
        let way = u64::try_from(round_trip.as_millis() / 2).unwrap();
        let (mut pace, mut credit, mut data) = (Pace::default(), VecDeque::from([(way, FIRST)]), VecDeque::new());
        let (mut granted, mut sent, mut waiting, mut received, mut longest) = (FIRST, 0, 0, 0, 0);
        let mut came = 0;
        for now in 0..20_000_u64 {
            while credit.front().is_some_and(|(at, _)| *at <= now) {
                let (_, upto) = credit.pop_front().unwrap();
                waiting += upto - sent;
                sent = upto;
            }
            let passes = waiting.min(rate / 1_000);
            waiting -= passes;
            data.push_back((now + way, passes));
            let (_, bytes) = data.pop_front_if(|(at, _)| *at <= now).unwrap_or_default();
            if bytes > 0 {
                received += bytes;
                pace.note(received, start + Duration::from_millis(now), round_trip);
            }
            let (worth, coming) = (pace.worth(), granted - received);
            if coming <= worth * 3 / 4 {
                granted += worth - coming;
                credit.push_back((now + way, granted));
            }
            if now >= 10_000 {
                came += bytes;
                longest = longest.max(waiting);
            }
        }
        (came / 10, Duration::from_secs_f64(longest as f64 / rate as f64))
    }

    #[test]
    fn a_line_is_used_to_the_full_and_nothing_waits_long_in_front_of_it() {
        for rate in [100_000, 1_000_000, 10_000_000, 100_000_000] {
            for round_trip in [2, 20, 100, 600].map(Duration::from_millis) {
                let (came, waited) = over(rate, round_trip);
                let could = (rate as f64).min(WINDOW as f64 / round_trip.as_secs_f64());
                println!("{rate} B/s, {round_trip:?}: {came} B/s came, {waited:?} in front of the line");
                assert!(came as f64 > could * 0.6, "{came} of {could}");
                assert!(waited < 2 * (AHEAD + round_trip), "{waited:?}");
            }
        }
    }

    #[test]
    fn a_line_that_stands_still_for_a_while_is_given_more_again_soon() {
        let (mut pace, start) = (Pace::default(), Instant::now());
        let mut worth = |received, at| {
            pace.note(received, start + Duration::from_millis(at), Duration::ZERO);
            pace.worth()
        };
        assert_eq!(worth(FIRST, 5_000), FIRST, "how long the first bytes took says nothing");
        assert_eq!(worth(3 * FIRST, 5_010), FIRST, "too soon to tell");
        let opened = (1..5).map(|turn| worth((turn + 1) << 20, 5_000 + turn * 20));
        assert_eq!(opened.collect::<Vec<_>>(), [2 * FIRST, 4 * FIRST, WINDOW, WINDOW]);
        assert_eq!(worth((5 << 20) + 1, 60_000), WINDOW / 2);
        assert_eq!(worth(7 << 20, 60_020), WINDOW);
        let closed = (1..20).map(|second| worth((7 << 20) + second, 61_000 + second * 1_000));
        assert_eq!(closed.last(), Some(LEAST), "it is never given nothing");
    }
}

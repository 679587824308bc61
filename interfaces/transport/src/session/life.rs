//! Whether the other end of a session lives: written by the reader with every frame and by callers that wait in vain,
//! read by whoever chooses a host and by the pings.
//!
//! ```text
//!          something is sent            longer than a short call takes
//! heard ─────────────────────► asked ─────────────────────────────────► doubtful ──► silent: somebody waited in vain
//!   ▲                            │                                         │            │
//!   └────────────────────────────┴──────────── any frame of it ────────────┴────────────┘
//! ```
//!
//! Whoever is doubtful takes no new calls where another one can: what is sent to a host that is cut off may have run,
//! and the fewer calls that is said of the better.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    time::Duration,
};

use mesh_lattice::clock::Monotonic;
use tokio::{sync::Notify, time::timeout};

/// Silence is never shorter than this, however near the peer is.
const SHORTEST_SILENCE: Duration = Duration::from_millis(250);

/// Who was asked and says nothing for this long, and for two round trips, is doubtful: a call that is taken is answered
/// or announced within 25 ms.
const DOUBT: Duration = Duration::from_millis(40);

/// A question beside the calls is answered so often at most.
const ANSWERED: Duration = Duration::from_millis(100);

/// What is known of the other end.
#[derive(Default)]
pub(crate) struct Life {
    /// A frame of it came since this was asked last.
    heard: AtomicBool,
    /// When something was first sent that it has to answer, since a frame of it came; in microseconds of our clock, 0
    /// where nothing was.
    asked: AtomicU64,
    /// It let somebody wait in vain, and nothing came of it since.
    silent: AtomicBool,
    /// It takes no new calls any more.
    leaving: AtomicBool,
    /// Smoothed, in microseconds; 0 where none was measured.
    round_trip: AtomicU64,
    /// When it was pinged last, in microseconds of our clock.
    pinged: AtomicU64,
    /// When it was answered beside the calls last, in microseconds of our clock.
    answered: AtomicU64,
    /// When the last question that it answered beside the calls was sent, in microseconds of our clock.
    assured: AtomicU64,
    /// Calls of ours that it holds.
    open: AtomicUsize,
    /// Who waits for a sign of it, and how many do.
    sign: Notify,
    waiting: AtomicUsize,
}

/// One who waits for a sign.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Life {
    /// A frame came.
    pub(crate) fn hear(&self) {
        // Looked at first: this runs for every frame, and a line that is only read is shared.
        if !self.heard.load(Ordering::Relaxed) {
            self.heard.store(true, Ordering::Relaxed);
        }
        if self.asked.load(Ordering::Relaxed) != 0 {
            self.asked.store(0, Ordering::Relaxed);
        }
        if self.silent.load(Ordering::Relaxed) {
            self.silent.store(false, Ordering::Relaxed);
        }
        if self.waiting.load(Ordering::SeqCst) > 0 {
            self.sign.notify_waiters();
        }
    }

    /// Something is about to be sent that it has to answer.
    pub(crate) fn ask(&self, now: Monotonic) {
        if self.asked.load(Ordering::Relaxed) == 0 {
            let _ = self.asked.compare_exchange(0, now.0.max(1), Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    /// Whether no frame of it came since something was sent at `sent`.
    pub(crate) fn is_unheard_since(&self, sent: Monotonic) -> bool {
        let asked = self.asked.load(Ordering::Relaxed);
        asked != 0 && asked <= sent.0
    }

    /// Whether it owes an answer for longer than a host that is well ever does, or somebody waited in vain.
    pub(crate) fn is_doubtful(&self, now: impl FnOnce() -> Monotonic) -> bool {
        let asked = self.asked.load(Ordering::Relaxed);
        self.is_silent() || asked != 0 && now().since(Monotonic(asked)) > self.doubt()
    }

    fn doubt(&self) -> Duration {
        DOUBT + Duration::from_micros(2 * self.round_trip.load(Ordering::Relaxed))
    }

    /// How soon a host that is well answers a ping.
    pub(crate) fn soon(&self) -> Duration {
        self.doubt()
    }

    /// Waits for a frame of it; whether one came within `limit`.
    pub(crate) async fn sign(&self, limit: Duration) -> bool {
        let _waiting = Waiting::new(&self.waiting);
        let sign = self.sign.notified();
        if !self.is_doubtful(Monotonic::now) {
            return true;
        }
        timeout(limit, sign).await.is_ok()
    }

    /// It said that it takes no new calls.
    pub(crate) fn leave(&self) {
        self.leaving.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_leaving(&self) -> bool {
        self.leaving.load(Ordering::Relaxed)
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
        self.ask(now);
        self.pinged.store(now.0, Ordering::Relaxed);
    }

    /// When it was pinged last.
    pub(crate) fn pinged(&self) -> Monotonic {
        Monotonic(self.pinged.load(Ordering::Relaxed))
    }

    /// It answered the ping of `sent`; whether that was the last one. An earlier one says how long the peer stood still,
    /// not how far away it is.
    pub(crate) fn pong(&self, sent: Monotonic, now: Monotonic) -> bool {
        let last = sent.0 == self.pinged.load(Ordering::Relaxed);
        if last {
            self.note_round_trip(now.since(sent));
        }
        last
    }

    /// Whether a question of it beside the calls is to be answered at `now`: it has no reason to ask again so soon.
    pub(crate) fn may_answer(&self, now: Monotonic) -> bool {
        let last = Monotonic(self.answered.load(Ordering::Relaxed));
        let may = now.since(last) >= ANSWERED;
        if may {
            self.answered.store(now.0, Ordering::Relaxed);
        }
        may
    }

    /// It answered, beside the calls, what it was asked at `sent`: it lives, and whether calls reach it is not known.
    pub(crate) fn assure(&self, sent: Monotonic, now: Monotonic) {
        self.assured.fetch_max(sent.min(now).0, Ordering::Relaxed);
    }

    /// When it certainly lived, as far as it said so beside the calls.
    pub(crate) fn assured(&self) -> Monotonic {
        Monotonic(self.assured.load(Ordering::Relaxed))
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
        self.open.load(Ordering::Relaxed) > 0 || self.is_silent() || self.asked.load(Ordering::Relaxed) != 0
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

    #[test]
    fn whoever_owes_an_answer_for_too_long_is_doubtful_until_it_is_heard() {
        let life = Life::default();
        life.note_round_trip(Duration::from_millis(5));
        let at = |ms: u64| Monotonic(1_000_000 + ms * 1_000);
        assert!(!life.is_doubtful(|| at(1_000)), "it was asked nothing");
        life.ask(at(0));
        life.ask(at(30));
        assert!(!life.is_doubtful(|| at(50)) && life.is_doubtful(|| at(51)), "from the first question on");
        assert!(life.is_unheard_since(at(0)) && life.is_unheard_since(at(30)));
        life.hear();
        assert!(!life.is_doubtful(|| at(90)) && !life.is_unheard_since(at(30)));
        life.ask(at(60));
        assert!(!life.is_unheard_since(at(30)), "something came after that");
    }

    #[test]
    fn whoever_is_assured_to_live_is_as_silent_as_before() {
        let life = Life::default();
        life.fall_silent();
        life.ask(Monotonic(50));
        for (sent, assured) in [(70, 70), (60, 70), (500, 100)] {
            life.assure(Monotonic(sent), Monotonic(100));
            assert_eq!(life.assured(), Monotonic(assured), "never later than now");
        }
        assert!(life.is_silent() && life.is_unheard_since(Monotonic(50)) && !life.was_heard());
    }

    #[test]
    fn whoever_asks_without_end_is_answered_now_and_then() {
        let life = Life::default();
        let answered = (0..1_000).filter(|ms| life.may_answer(Monotonic(1_000_000 + ms * 1_000))).count();
        assert_eq!(answered, 10);
    }

    #[tokio::test]
    async fn a_sign_is_waited_for_and_missed() {
        let life = Life::default();
        assert!(life.sign(Duration::ZERO).await, "nothing speaks against it");
        life.fall_silent();
        assert!(!life.sign(Duration::from_millis(1)).await);
        let (heard, ()) = tokio::join!(life.sign(Duration::from_secs(60)), async { life.hear() });
        assert!(heard && life.waiting.load(Ordering::SeqCst) == 0);
    }
}

//! What becomes of one operation on its way: the pure choice. Called by the proxy for each.
//!
//! Only messages are lost, repeated or swapped: a lost SUB would be a broken connection and not a bad network. What is
//! late or slow is all of the stream, and what is silent is all of it too.

use std::{ops::AddAssign, time::Duration};

use fastrand::Rng;

use super::frames::Frame;

/// How one direction is.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Conditions {
    /// How much later everything arrives.
    pub delay: Duration,
    /// The share of the messages that are lost.
    pub drop: f64,
    /// The share of the messages that arrive twice.
    pub duplicate: f64,
    /// The share of the messages that arrive behind the next one.
    pub reorder: f64,
    /// The most that gets through in a second; 0 for all.
    pub bytes_per_second: u64,
    /// Nothing gets through, and nobody is told: not even a PING.
    pub silent: bool,
}

/// What the proxy has done in one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct Done {
    /// Operations that got through.
    pub passed: u64,
    /// Operations that were lost.
    pub dropped: u64,
    /// Messages that arrived twice.
    pub duplicated: u64,
    /// Messages that arrived behind the next one.
    pub reordered: u64,
}

impl AddAssign for Done {
    fn add_assign(&mut self, more: Self) {
        self.passed += more.passed;
        self.dropped += more.dropped;
        self.duplicated += more.duplicated;
        self.reordered += more.reordered;
    }
}

/// Chooses for one direction of one connection.
#[derive(Debug)]
pub struct Fate {
    random: Rng,
    held: Option<Frame>,
    done: Done,
}

impl Fate {
    /// The same seed chooses the same for the same stream.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { random: Rng::with_seed(seed), held: None, done: Done::default() }
    }

    /// What goes on now, in this order.
    pub fn step(&mut self, frame: Frame, conditions: &Conditions) -> Vec<Frame> {
        if conditions.silent || (frame.message && self.happens(conditions.drop)) {
            self.done.dropped += 1;
            return Vec::new();
        }
        if frame.message && self.held.is_none() && self.happens(conditions.reorder) {
            self.held = Some(frame);
            return Vec::new();
        }
        let mut on = Vec::with_capacity(3);
        let twice = frame.message && self.happens(conditions.duplicate);
        self.done.duplicated += u64::from(twice);
        on.extend(twice.then(|| frame.clone()));
        on.push(frame);
        if let Some(held) = self.held.take() {
            self.done.reordered += 1;
            on.push(held);
        }
        self.done.passed += on.len() as u64;
        on
    }

    /// What it has done since it was asked last.
    pub fn done(&mut self) -> Done {
        std::mem::take(&mut self.done)
    }

    fn happens(&mut self, share: f64) -> bool {
        share > 0.0 && self.random.f64() < share
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(number: usize) -> Frame {
        Frame { bytes: format!("PUB a 1\r\n{number}\r\n").into(), message: true }
    }

    fn run(conditions: Conditions, seed: u64) -> (Vec<Frame>, Done) {
        let mut fate = Fate::new(seed);
        let on = (0..1_000).flat_map(|number| fate.step(message(number), &conditions)).collect();
        let done = fate.done();
        assert_eq!(fate.done(), Done::default());
        (on, done)
    }

    #[test]
    fn a_good_network_changes_nothing() {
        let (on, done) = run(Conditions::default(), 1);
        assert_eq!(on, (0..1_000).map(message).collect::<Vec<_>>());
        assert_eq!(done, Done { passed: 1_000, ..Done::default() });
    }

    #[test]
    fn each_share_is_kept_and_counted_and_a_seed_chooses_alike() {
        let bad = Conditions { drop: 0.1, duplicate: 0.2, reorder: 0.1, ..Conditions::default() };
        let (on, done) = run(bad, 7);
        assert_eq!(on, run(bad, 7).0);
        assert_ne!(on, run(bad, 8).0);
        assert_eq!(on.len() as u64, done.passed);
        assert!((60..140).contains(&done.dropped), "{done:?}");
        assert!((110..230).contains(&done.duplicated), "{done:?}");
        assert!((50..130).contains(&done.reordered), "{done:?}");
        let mut missing: Vec<_> = (0..1_000).map(message).filter(|frame| !on.contains(frame)).collect();
        missing.truncate(200);
        // One may be held still.
        assert!((done.dropped..=done.dropped + 1).contains(&(missing.len() as u64)), "{done:?}");
    }

    #[test]
    fn what_holds_the_connection_together_is_never_lost_but_in_silence() {
        let ping = Frame { bytes: "PING\r\n".into(), message: false };
        let mut fate = Fate::new(3);
        let worst = Conditions { drop: 1.0, duplicate: 1.0, reorder: 1.0, ..Conditions::default() };
        assert_eq!(fate.step(ping.clone(), &worst), vec![ping.clone()]);
        assert!(fate.step(message(1), &worst).is_empty());
        assert!(fate.step(ping, &Conditions { silent: true, ..worst }).is_empty());
    }
}

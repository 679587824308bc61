//! The election as seen by one candidate: pure, time comes in.

use std::time::{Duration, Instant};

use mesh_lattice::{
    id::{BootId, HostId},
    stored::{LEADER_LOST_AFTER, Leader},
};
use uuid::Uuid;

use super::Leadership;
use crate::state::Position;

/// A leader renews this often.
const RENEWAL: Duration = Duration::from_secs(1);

/// A leader that could not renew for this long leads no more: half a second before others may take over.
const STEP_DOWN: Duration = Duration::from_millis(2_500);

/// Candidates that become free to take in the same moment spread over this.
const SPREAD: Duration = Duration::from_millis(300);

/// After a write that did not succeed.
const PAUSE: Duration = Duration::from_millis(500);

/// What stands under the key: `record` is `None` where it counts for nothing.
pub(super) struct Observed {
    pub(super) record: Option<Leader>,
    pub(super) position: Position,
}

/// A record to be written in place of what is at `position`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Move {
    pub(super) record: Leader,
    pub(super) position: Position,
}

pub(super) struct Election {
    host: HostId,
    boot: BootId,
    random: u64,
    /// What stands there, and since when we see it unchanged.
    position: Position,
    record: Option<Leader>,
    /// When it may be taken; `None` before the watch has caught up, and while the state is stale.
    takeable_at: Option<Instant>,
    /// When our last successful renewal was begun; `None` while we do not lead.
    renewed: Option<Instant>,
    next_write: Option<Instant>,
    term: u64,
}

impl Election {
    pub(super) fn new(host: HostId, boot: BootId, random: u64) -> Self {
        Self {
            host,
            boot,
            random,
            position: Position::default(),
            record: None,
            takeable_at: None,
            renewed: None,
            next_write: None,
            term: 0,
        }
    }

    /// Some moment of the spread; another one each time.
    fn jitter(&mut self) -> Duration {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let spread = u64::try_from(SPREAD.as_micros()).unwrap_or(0).max(1);
        Duration::from_micros((self.random >> 33) % spread)
    }

    pub(super) fn observe(&mut self, observed: Observed, now: Instant) {
        if observed.position.revision <= self.position.revision {
            return;
        }
        self.position = observed.position;
        let own = observed.record.as_ref().is_some_and(|record| record.host == self.host && record.boot == self.boot);
        if !own {
            self.renewed = None;
        }
        self.term = self.term.max(observed.record.as_ref().map_or(0, |record| record.term));
        let vacant = observed.record.as_ref().is_none_or(|record| record.boot.0.is_nil());
        let patience = if vacant { Duration::ZERO } else { LEADER_LOST_AFTER };
        self.record = observed.record;
        self.takeable_at = Some(now + patience + self.jitter());
    }

    /// Everything that is there has been seen; where there was nothing, it may be taken.
    pub(super) fn caught_up(&mut self, now: Instant) {
        if self.takeable_at.is_none() {
            let patience = if self.position.revision == 0 { Duration::ZERO } else { LEADER_LOST_AFTER };
            self.takeable_at = Some(now + patience + self.jitter());
        }
    }

    pub(super) fn stale(&mut self) {
        self.takeable_at = None;
        self.renewed = None;
    }

    /// The state was made anew: nothing of before counts, terms included.
    pub(super) fn restart(&mut self) {
        self.stale();
        self.position = Position::default();
        self.record = None;
        self.next_write = None;
        self.term = 0;
    }

    fn leads(&self, now: Instant) -> bool {
        self.renewed.is_some_and(|renewed| now < renewed + STEP_DOWN)
    }

    /// What is to be written now.
    pub(super) fn turn(&mut self, now: Instant) -> Option<Move> {
        if !self.leads(now) {
            self.renewed = None;
        }
        if self.next_write.is_some_and(|at| now < at) {
            return None;
        }
        if self.renewed.is_some() {
            let mut record = self.record.clone()?;
            record.renewal += 1;
            return Some(Move { record, position: self.position });
        }
        (now >= self.takeable_at?).then(|| Move {
            record: Leader { host: self.host.clone(), boot: self.boot, term: self.next_term(), renewal: 0 },
            position: self.position,
        })
    }

    /// Above every term that was taken before, those of records that this candidate does not believe included: while the
    /// first hosts of a lattice are being enrolled, one may follow another whom it does not know yet. No record has a
    /// term above its own revision, so one above the revision that is replaced is new, whatever stands there.
    fn next_term(&self) -> u64 {
        self.term.max(self.position.revision).saturating_add(1)
    }

    pub(super) fn written(&mut self, done: Move, position: Position, started: Instant) {
        // The watch may have shown something later already: then that counts.
        if position.revision < self.position.revision {
            return;
        }
        self.renewed = (!done.record.boot.0.is_nil()).then_some(started);
        self.next_write = Some(started + RENEWAL);
        self.term = self.term.max(done.record.term);
        self.record = Some(done.record);
        self.position = position;
        self.takeable_at = Some(started + LEADER_LOST_AFTER);
    }

    /// The write was not done, as far as we know: what stands there will show.
    pub(super) fn refused(&mut self, now: Instant) {
        let pause = PAUSE + self.jitter();
        self.next_write = Some(now + pause);
        if self.renewed.is_none() {
            self.takeable_at = self.takeable_at.map(|at| at.max(now + pause));
        }
    }

    /// The record that says that nobody leads; `None` where we do not.
    pub(super) fn resign(&mut self) -> Option<Move> {
        self.renewed.take()?;
        let mut record = self.record.clone()?;
        record.boot = BootId(Uuid::nil());
        record.renewal += 1;
        Some(Move { record, position: self.position })
    }

    pub(super) fn leadership(&self, now: Instant) -> Leadership {
        let leader = self.record.as_ref().filter(|record| !record.boot.0.is_nil()).map(|record| record.host.clone());
        Leadership { leading: self.leads(now), term: self.term, leader }
    }

    /// When there is something to do, if nothing is seen until then.
    pub(super) fn wakes_at(&self) -> Option<Instant> {
        match self.renewed {
            Some(renewed) => Some(self.next_write.unwrap_or(renewed).min(renewed + STEP_DOWN)),
            None => self.takeable_at.map(|at| self.next_write.map_or(at, |next| at.max(next))),
        }
    }
}

#[cfg(test)]
mod tests {
    use mesh_claims::keys::{KeyKind, KeyPair};

    use super::*;

    fn candidate() -> Election {
        Election::new(KeyPair::generate(KeyKind::Host).host_id().unwrap(), BootId::new(), 1)
    }

    fn position(revision: u64) -> Position {
        Position { revision, generation: revision }
    }

    /// What the candidate sees of a record of `other`.
    fn of(other: &Election, term: u64, renewal: u64, revision: u64) -> Observed {
        let record = Leader { host: other.host.clone(), boot: other.boot, term, renewal };
        Observed { record: Some(record), position: position(revision) }
    }

    #[test]
    fn nothing_is_taken_before_everything_was_seen() {
        let (mut one, start) = (candidate(), Instant::now());
        assert_eq!(one.turn(start + Duration::from_secs(60)), None);
        one.caught_up(start);
        let taken = one.turn(start + SPREAD).unwrap();
        assert_eq!((taken.record.term, taken.position.revision), (1, 0));
        one.written(taken, position(1), start + SPREAD);
        assert!(one.leadership(start + SPREAD).leading);
    }

    #[test]
    fn a_leader_that_renews_is_left_alone_and_one_that_stops_is_followed_by_a_higher_term() {
        let (mut one, other, start) = (candidate(), candidate(), Instant::now());
        let at = |ms: u64| start + Duration::from_millis(ms);
        for turn in 0..10 {
            one.observe(of(&other, 4, turn, turn + 1), at(turn * 1_000));
            assert_eq!(one.turn(at(turn * 1_000 + 999)), None);
        }
        assert_eq!(one.leadership(at(9_000)).leader, Some(other.host.clone()));
        assert_eq!(one.turn(at(11_999)), None, "unchanged for less than three seconds");
        let taken = one.turn(at(12_000) + SPREAD).unwrap();
        assert_eq!((taken.record.term, taken.position.revision), (11, 10));
    }

    #[test]
    fn a_leader_that_cannot_renew_stops_before_others_may_begin() {
        let (mut one, start) = (candidate(), Instant::now());
        one.caught_up(start);
        let taken = one.turn(start + SPREAD).unwrap();
        one.written(taken, position(1), start);
        one.refused(start + RENEWAL);
        assert!(one.leadership(start + STEP_DOWN - Duration::from_millis(1)).leading);
        assert!(!one.leadership(start + STEP_DOWN).leading);
        assert!(STEP_DOWN < LEADER_LOST_AFTER);
        assert_eq!(one.turn(start + STEP_DOWN), None);
    }

    #[test]
    fn who_sees_another_record_leads_no_more() {
        let (mut one, other, start) = (candidate(), candidate(), Instant::now());
        one.caught_up(start);
        let taken = one.turn(start + SPREAD).unwrap();
        one.written(taken, position(1), start);
        one.observe(of(&other, 2, 0, 2), start);
        assert_eq!(one.leadership(start), Leadership { leading: false, term: 2, leader: Some(other.host) });
    }

    #[test]
    fn what_counts_for_nothing_or_was_given_up_is_taken_at_once() {
        let (mut one, mut other, start) = (candidate(), candidate(), Instant::now());
        one.observe(Observed { record: None, position: position(7) }, start);
        assert_eq!(one.turn(start + SPREAD).unwrap().position, position(7));
        other.caught_up(start);
        let taken = other.turn(start + SPREAD).unwrap();
        other.written(taken, position(1), start);
        let farewell = other.resign().unwrap();
        let mut third = candidate();
        third.observe(Observed { record: Some(farewell.record), position: position(2) }, start);
        assert_eq!(third.leadership(start).leader, None);
        assert_eq!(third.turn(start + SPREAD).unwrap().record.term, 3);
    }

    #[test]
    fn no_two_lead_in_one_term_even_where_one_does_not_know_the_other_yet() {
        let (mut one, mut other, start) = (candidate(), candidate(), Instant::now());
        one.caught_up(start);
        let first = one.turn(start + SPREAD).unwrap();
        let term = first.record.term;
        one.written(first, position(5), start);
        // The other one cannot tell whose record that is: it counts for nothing and is replaced.
        other.observe(Observed { record: None, position: position(5) }, start);
        let second = other.turn(start + SPREAD).unwrap();
        assert!(second.record.term > term, "the first one still leads in {term}, until it sees that it does not");
        assert!(second.record.term <= 6, "no term is above the revision that its record gets");
    }

    #[test]
    fn a_stale_state_is_led_by_nobody() {
        let (mut one, start) = (candidate(), Instant::now());
        one.caught_up(start);
        let taken = one.turn(start + SPREAD).unwrap();
        one.written(taken, position(1), start);
        one.stale();
        assert!(!one.leadership(start).leading);
        assert_eq!(one.turn(start + Duration::from_secs(100)), None);
        one.restart();
        one.caught_up(start);
        assert_eq!(one.turn(start + SPREAD).unwrap().record.term, 1);
    }
}

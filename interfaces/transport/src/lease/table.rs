//! Who lives and who is lost: pure judgement over what was seen and when.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use mesh_lattice::id::{BootId, HostId};

use super::{LeaseEvent, Sighting};

/// A lease may ask for no more patience than this.
const MOST_PATIENCE: Duration = Duration::from_secs(300);

/// Whether a host lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Renewed while we watched, and lately.
    Alive,
    /// Its lease is there, and we have not watched long enough to say more.
    Unproven,
    /// Not renewed for longer than its lease allows, while we watched.
    Lost,
}

/// What is to be said of one host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    /// The host.
    pub host: HostId,
    /// The boot that renewed its lease last.
    pub boot: BootId,
    /// Whether it lives.
    pub standing: Standing,
    /// Whether it is on its way out.
    pub draining: bool,
}

/// The leases that one watcher saw.
#[derive(Debug, Clone)]
pub struct LeaseTable {
    grace: Duration,
    settled_at: Instant,
    hosts: BTreeMap<HostId, Known>,
}

#[derive(Debug, Clone)]
struct Known {
    sighting: Sighting,
    seen: Instant,
    renewed: bool,
}

impl Known {
    fn lost_at(&self) -> Instant {
        self.seen + self.sighting.lost_after.min(MOST_PATIENCE)
    }

    fn standing(&self, now: Instant) -> Standing {
        if now >= self.lost_at() {
            Standing::Lost
        } else if self.renewed {
            Standing::Alive
        } else {
            Standing::Unproven
        }
    }
}

impl LeaseTable {
    /// Begins to watch; nobody counts as unknown to be gone before `grace` is over.
    #[must_use]
    pub fn new(now: Instant, grace: Duration) -> Self {
        Self { grace, settled_at: now + grace, hosts: BTreeMap::new() }
    }

    /// Takes in what a [`super::LeaseWatch`] says.
    pub fn step(&mut self, event: LeaseEvent, now: Instant) {
        match event {
            LeaseEvent::Seen(sighting) => self.observe(sighting, now),
            LeaseEvent::Released(host) => self.forget(&host),
            LeaseEvent::Gap => self.gap(now),
        }
    }

    /// A lease was seen. What was seen before, played back, renews nothing.
    pub fn observe(&mut self, sighting: Sighting, now: Instant) {
        match self.hosts.get_mut(&sighting.host) {
            Some(known) if sighting.revision <= known.sighting.revision => {}
            Some(known) => *known = Known { sighting, seen: now, renewed: true },
            None => {
                self.hosts.insert(sighting.host.clone(), Known { sighting, seen: now, renewed: false });
            }
        }
    }

    /// The watcher itself was away until now: what it did not see is held against nobody, and revisions may have
    /// started over.
    pub fn gap(&mut self, now: Instant) {
        self.settled_at = now + self.grace;
        for known in self.hosts.values_mut() {
            known.seen = now;
            known.renewed = false;
            known.sighting.revision = 0;
        }
    }

    /// The host is gone for good.
    pub fn forget(&mut self, host: &HostId) {
        self.hosts.remove(host);
    }

    /// Whether the host's lease is there and not lost.
    #[must_use]
    pub fn alive(&self, host: &HostId, now: Instant) -> bool {
        self.hosts.get(host).is_some_and(|known| known.standing(now) != Standing::Lost)
    }

    /// Everybody whose lease was seen, in the order of their ids.
    #[must_use]
    pub fn judge(&self, now: Instant) -> Vec<Judgement> {
        let judgement = |known: &Known| Judgement {
            host: known.sighting.host.clone(),
            boot: known.sighting.boot,
            standing: known.standing(now),
            draining: known.sighting.draining,
        };
        self.hosts.values().map(judgement).collect()
    }

    /// Whether we have watched for long enough to say that who was not seen is not there.
    #[must_use]
    pub fn settled(&self, now: Instant) -> bool {
        now >= self.settled_at
    }

    /// When a judgement changes next if nothing is seen until then.
    #[must_use]
    pub fn next_change(&self, now: Instant) -> Option<Instant> {
        let losses = self.hosts.values().map(Known::lost_at);
        losses.chain([self.settled_at]).filter(|at| *at > now).min()
    }
}

#[cfg(test)]
mod tests {
    use mesh_claims::keys::{KeyKind, KeyPair};

    use super::*;

    const LOST_AFTER: Duration = Duration::from_millis(2_500);

    fn host() -> HostId {
        KeyPair::generate(KeyKind::Host).host_id().unwrap()
    }

    fn lease(host: &HostId, revision: u64) -> Sighting {
        Sighting { host: host.clone(), boot: BootId::new(), lost_after: LOST_AFTER, draining: false, revision }
    }

    fn standing(table: &LeaseTable, now: Instant) -> Standing {
        table.judge(now)[0].standing
    }

    #[test]
    fn a_lease_that_is_only_there_is_not_renewed() {
        let (host, start) = (host(), Instant::now());
        let at = |ms| start + Duration::from_millis(ms);
        let mut table = LeaseTable::new(start, LOST_AFTER);
        table.observe(lease(&host, 5), start);
        assert_eq!(standing(&table, at(100)), Standing::Unproven);
        table.observe(lease(&host, 5), at(2_000));
        assert_eq!(standing(&table, at(2_499)), Standing::Unproven);
        assert_eq!(standing(&table, at(2_500)), Standing::Lost, "seeing the same again renews nothing");
        assert!(!table.alive(&host, at(2_500)));
    }

    #[test]
    fn a_renewed_lease_lives_and_is_lost_when_its_time_is_over() {
        let (host, start) = (host(), Instant::now());
        let at = |ms| start + Duration::from_millis(ms);
        let mut table = LeaseTable::new(start, LOST_AFTER);
        for turn in 0..10 {
            table.observe(lease(&host, turn + 1), at(turn * 500));
        }
        assert_eq!(standing(&table, at(6_999)), Standing::Alive);
        assert_eq!(table.next_change(at(5_000)), Some(at(7_000)));
        assert_eq!(standing(&table, at(7_000)), Standing::Lost);
        table.observe(lease(&host, 11), at(8_000));
        assert_eq!(standing(&table, at(8_001)), Standing::Alive, "who comes back is back");
    }

    #[test]
    fn what_was_missed_while_the_watcher_was_away_is_held_against_nobody() {
        let (host, start) = (host(), Instant::now());
        let at = |ms| start + Duration::from_millis(ms);
        let mut table = LeaseTable::new(start, LOST_AFTER);
        assert!(!table.settled(at(2_499)) && table.settled(at(2_500)));
        table.observe(lease(&host, 100), start);
        table.gap(at(60_000));
        assert!(table.alive(&host, at(62_499)));
        assert!(!table.settled(at(62_499)));
        table.observe(lease(&host, 3), at(61_000));
        assert_eq!(standing(&table, at(61_001)), Standing::Alive, "revisions may have started over");
        assert!(!table.alive(&host, at(63_501)));
    }

    #[test]
    fn who_gave_its_lease_back_is_gone() {
        let (host, start) = (host(), Instant::now());
        let mut table = LeaseTable::new(start, LOST_AFTER);
        table.step(LeaseEvent::Seen(lease(&host, 1)), start);
        table.step(LeaseEvent::Released(host.clone()), start);
        assert!(table.judge(start).is_empty() && !table.alive(&host, start));
    }
}

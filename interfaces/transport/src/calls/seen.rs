//! The ids of calls that were taken, each kept to its deadline, so that none runs twice.
//!
//! The reader alone owns it. Ids leave by whole seconds: what is due in the same second leaves together.

use std::collections::{BTreeMap, HashSet};

use mesh_lattice::{clock::Deadline, clock::Monotonic, id::CallId};

/// More ids than this are not kept: further calls are answered `busy` until some are due.
const LIMIT: usize = 1 << 20;

/// A deadline further away than this is kept for no longer than this; no call lives longer.
const LONGEST: u64 = 3_600;

#[derive(Default)]
pub(super) struct Seen {
    ids: HashSet<CallId>,
    due: BTreeMap<u64, Vec<CallId>>,
}

/// Whether an id is new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Freshness {
    New,
    Repeated,
    /// There is no room to remember it.
    Full,
}

impl Seen {
    pub(super) fn judge(&mut self, id: CallId, now: Monotonic) -> Freshness {
        self.forget(now);
        if self.ids.contains(&id) {
            Freshness::Repeated
        } else if self.ids.len() >= LIMIT {
            Freshness::Full
        } else {
            Freshness::New
        }
    }

    /// Keeps `id` until `deadline` has passed.
    pub(super) fn keep(&mut self, id: CallId, deadline: Deadline, now: Monotonic) {
        let second = (deadline.0.0 / 1_000_000).min(now.0 / 1_000_000 + LONGEST) + 1;
        if self.ids.insert(id) {
            self.due.entry(second).or_default().push(id);
        }
    }

    fn forget(&mut self, now: Monotonic) {
        while let Some(entry) = self.due.first_entry() {
            if *entry.key() >= now.0 / 1_000_000 {
                return;
            }
            for id in entry.remove() {
                self.ids.remove(&id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_kept_to_its_deadline_and_no_longer() {
        let mut seen = Seen::default();
        let (id, now) = (CallId::new(), Monotonic(10_000_000));
        assert_eq!(seen.judge(id, now), Freshness::New);
        seen.keep(id, Deadline(Monotonic(12_500_000)), now);
        assert_eq!(seen.judge(id, now), Freshness::Repeated);
        assert_eq!(seen.judge(id, Monotonic(12_600_000)), Freshness::Repeated);
        assert_eq!(seen.judge(id, Monotonic(15_000_000)), Freshness::New);
        assert!(seen.due.is_empty() && seen.ids.is_empty());
    }

    #[test]
    fn what_cannot_be_remembered_is_not_taken() {
        let mut seen = Seen::default();
        let now = Monotonic(0);
        for _ in 0..LIMIT {
            seen.keep(CallId(uuid::Uuid::new_v4()), Deadline(Monotonic(5_000_000)), now);
        }
        assert_eq!(seen.judge(CallId::new(), now), Freshness::Full);
        assert_eq!(seen.judge(CallId::new(), Monotonic(8_000_000)), Freshness::New);
    }
}

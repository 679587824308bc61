//! The order of those who wait: a line for each caller, served in turn. Pure; `admission.rs` asks and tells.

use std::collections::{HashMap, VecDeque};

use mesh_lattice::Caller;

/// Waiting lines, one for each caller that waits.
pub(super) struct Lines<T> {
    lines: HashMap<Caller, VecDeque<(u64, T)>>,
    /// Callers with a line, next first.
    turns: VecDeque<Caller>,
    length: usize,
    capacity: usize,
    tickets: u64,
}

/// What became of one who came.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Joined<T> {
    /// It waits under this ticket.
    Queued(u64),
    /// It waits, and the last of the longest line had to go for it.
    Displaced(u64, T),
    /// There is no room, and nobody has more than it would have.
    Full(T),
}

impl<T> Lines<T> {
    pub(super) fn new(capacity: usize) -> Self {
        Self { lines: HashMap::new(), turns: VecDeque::new(), length: 0, capacity, tickets: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.length
    }

    /// Waits at the end of the caller's line.
    pub(super) fn join(&mut self, caller: &Caller, who: T) -> Joined<T> {
        if self.length < self.capacity {
            return Joined::Queued(self.push(caller, who));
        }
        let own = self.lines.get(caller).map_or(0, VecDeque::len);
        let longest = self.lines.iter().max_by_key(|(_, line)| line.len()).map(|(who, line)| (who.clone(), line.len()));
        let Some((loser, _)) = longest.filter(|(_, length)| *length > own + 1) else { return Joined::Full(who) };
        let Some((_, last)) = self.lines.get_mut(&loser).and_then(VecDeque::pop_back) else { return Joined::Full(who) };
        self.length -= 1;
        Joined::Displaced(self.push(caller, who), last)
    }

    fn push(&mut self, caller: &Caller, who: T) -> u64 {
        self.tickets += 1;
        self.length += 1;
        if let Some(line) = self.lines.get_mut(caller) {
            line.push_back((self.tickets, who));
        } else {
            self.lines.insert(caller.clone(), VecDeque::from([(self.tickets, who)]));
            self.turns.push_back(caller.clone());
        }
        self.tickets
    }

    /// Whose turn it is.
    pub(super) fn next(&mut self) -> Option<T> {
        let caller = self.turns.pop_front()?;
        let line = self.lines.get_mut(&caller)?;
        let (_, who) = line.pop_front()?;
        self.length -= 1;
        if line.is_empty() {
            self.lines.remove(&caller);
        } else {
            self.turns.push_back(caller);
        }
        Some(who)
    }

    /// Gives up a place, where it is still held.
    pub(super) fn leave(&mut self, caller: &Caller, ticket: u64) {
        let Some(line) = self.lines.get_mut(caller) else { return };
        let before = line.len();
        line.retain(|(held, _)| *held != ticket);
        self.length -= before - line.len();
        if line.is_empty() {
            self.lines.remove(caller);
            self.turns.retain(|other| other != caller);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str) -> Caller {
        Caller::Named(name.parse().unwrap())
    }

    #[test]
    fn lines_are_served_in_turn_and_each_in_its_order() {
        let mut lines = Lines::new(10);
        for (caller, who) in [("a", "a1"), ("a", "a2"), ("a", "a3"), ("b", "b1"), ("c", "c1"), ("c", "c2")] {
            assert!(matches!(lines.join(&named(caller), who), Joined::Queued(_)));
        }
        let order: Vec<_> = std::iter::from_fn(|| lines.next()).collect();
        assert_eq!(order, ["a1", "b1", "c1", "a2", "c2", "a3"]);
        assert_eq!((lines.len(), lines.lines.len(), lines.turns.len()), (0, 0, 0));
    }

    #[test]
    fn a_full_queue_is_shared_evenly_by_those_who_want_it() {
        let mut lines = Lines::new(4);
        let mut displaced = Vec::new();
        for n in 0..4 {
            lines.join(&named("noisy"), n);
        }
        for (caller, n) in [("quiet", 10), ("quiet", 11), ("other", 20)] {
            match lines.join(&named(caller), n) {
                Joined::Displaced(_, last) => displaced.push(last),
                joined => panic!("{joined:?}"),
            }
        }
        assert_eq!(displaced.len(), 3);
        assert_eq!(displaced[..2], [3, 2], "the last of the longest");
        assert_eq!(lines.join(&named("noisy"), 30), Joined::Full(30));
        assert_eq!(lines.len(), 4);
    }

    /// Whatever comes and goes, nobody is lost, nobody waits who left, and the bound holds.
    #[test]
    fn everyone_who_waits_is_served_once_or_left_or_was_displaced() {
        let mut lines = Lines::new(7);
        let mut waiting = HashMap::new();
        let mut random = 1_u64;
        for step in 0..20_000_u64 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let caller = named(["a", "b", "c", "d", "e"][(random >> 33) as usize % 5]);
            match (random >> 40) % 4 {
                0 | 1 => match lines.join(&caller, step) {
                    Joined::Queued(ticket) => assert!(waiting.insert(step, (caller, ticket)).is_none()),
                    Joined::Displaced(ticket, last) => {
                        assert!(waiting.remove(&last).is_some());
                        assert!(waiting.insert(step, (caller, ticket)).is_none());
                    }
                    Joined::Full(same) => assert_eq!((same, lines.len()), (step, 7)),
                },
                2 => match lines.next() {
                    Some(who) => assert!(waiting.remove(&who).is_some()),
                    None => assert!(waiting.is_empty()),
                },
                _ => {
                    if let Some((&who, (caller, ticket))) = waiting.iter().next() {
                        lines.leave(caller, *ticket);
                        waiting.remove(&who);
                    }
                }
            }
            assert_eq!(lines.len(), waiting.len());
            assert_eq!(lines.turns.len(), lines.lines.len());
        }
    }
}

//! The ids of the calls that were taken and what became of each, kept to their deadlines: none runs twice, and who
//! asks again hears what was said before.
//!
//! ```text
//! New ─┬─► taken ─┬─► said (the reply's bytes, in a ring)  ── the ring is full ──┐
//!      │          ├─► over (its reply streamed, or it was cancelled) ◄───────────┘
//!      │          ├─► not begun in time: forgotten, as if it had not come
//!      │          └── the deadline ─► forgotten: what comes now is late anyway
//!      └─► refused for good: this boot takes nothing new
//! ```
//!
//! Nothing is forgotten to make room: where there is none, new calls are refused. Ids leave by whole seconds: what is
//! due in the same second leaves together.

use std::collections::{BTreeMap, HashMap, VecDeque};

use bytes::Bytes;
use mesh_lattice::{
    clock::{Deadline, Monotonic},
    id::{CallId, HostId},
};
use parking_lot::Mutex;

/// More ids than this are not kept: further calls are answered `busy` until some are due.
const LIMIT: usize = 1 << 20;

/// Replies are kept up to so many bytes; then the oldest go.
const RING: usize = 16 << 20;

/// What a kept reply costs beside its bytes.
const OVERHEAD: usize = 256;

/// A deadline further away than this is kept for no longer than this; no call lives longer.
pub(super) const LONGEST: u64 = 3_600;

/// What a call that was cancelled before it came is kept for, in microseconds: its deadline is not known.
const CANCELLED: u64 = 30_000_000;

/// What is remembered of calls.
#[derive(Default)]
pub(super) struct Memory(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    calls: HashMap<CallId, Entry>,
    due: BTreeMap<u64, Vec<CallId>>,
    /// The replies that are kept, oldest first.
    ring: VecDeque<(CallId, usize)>,
    ring_bytes: usize,
}

struct Entry {
    /// Who called: nobody else is told what became of it.
    peer: HostId,
    state: State,
}

enum State {
    Taken,
    Said(Bytes),
    Over,
    Refused,
}

/// What is known of an id.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Recalled {
    New,
    /// It runs.
    Taken,
    /// It was answered with this frame.
    Said(Bytes),
    /// It ran, and its answer cannot be said again.
    Over,
    /// It was refused for good.
    Refused,
    /// It is a call of another host.
    Foreign,
    /// There is no room to remember it.
    Full,
}

impl Memory {
    pub(super) fn recall(&self, id: CallId, peer: &HostId, now: Monotonic) -> Recalled {
        let mut inner = self.0.lock();
        inner.forget(now);
        match inner.calls.get(&id) {
            None if inner.calls.len() >= LIMIT => Recalled::Full,
            None => Recalled::New,
            Some(entry) if entry.peer != *peer => Recalled::Foreign,
            Some(Entry { state: State::Taken, .. }) => Recalled::Taken,
            Some(Entry { state: State::Said(reply), .. }) => Recalled::Said(reply.clone()),
            Some(Entry { state: State::Over, .. }) => Recalled::Over,
            Some(Entry { state: State::Refused, .. }) => Recalled::Refused,
        }
    }

    /// Keeps `id` until `deadline` has passed.
    pub(super) fn keep(&self, id: CallId, peer: &HostId, deadline: Deadline, now: Monotonic) {
        self.0.lock().insert(id, peer, State::Taken, deadline, now);
    }

    /// Takes no copy of `id`, which was not taken before, to its deadline.
    pub(super) fn refuse(&self, id: CallId, peer: &HostId, deadline: Deadline, now: Monotonic) {
        self.0.lock().insert(id, peer, State::Refused, deadline, now);
    }

    /// `id` was taken, and not begun: another copy of it may be.
    pub(super) fn take_back(&self, id: CallId) {
        let mut inner = self.0.lock();
        if inner.calls.get(&id).is_some_and(|entry| matches!(entry.state, State::Taken)) {
            inner.calls.remove(&id);
        }
    }

    /// This is the whole answer to `id`.
    pub(super) fn say(&self, id: CallId, reply: Bytes) {
        let mut inner = self.0.lock();
        let length = reply.len() + OVERHEAD;
        let Some(entry) = inner.calls.get_mut(&id) else { return };
        if length > RING {
            entry.state = State::Over;
            return;
        }
        entry.state = State::Said(reply);
        inner.ring.push_back((id, length));
        inner.ring_bytes += length;
        inner.make_room();
    }

    /// `id` has been answered with what cannot be said again, or is wanted no more; also where it has yet to come.
    pub(super) fn end(&self, id: CallId, peer: &HostId, now: Monotonic) {
        let mut inner = self.0.lock();
        // What has yet to come, if it ever does, never takes the room of what was taken.
        let room = inner.calls.len() < LIMIT / 2;
        match inner.calls.get_mut(&id) {
            Some(entry) if entry.peer == *peer && matches!(entry.state, State::Taken) => entry.state = State::Over,
            Some(_) => {}
            None if room => {
                inner.insert(id, peer, State::Over, Deadline(Monotonic(now.0 + CANCELLED)), now);
            }
            None => {}
        }
    }
}

impl Inner {
    fn insert(&mut self, id: CallId, peer: &HostId, state: State, deadline: Deadline, now: Monotonic) {
        let second = (deadline.0.0 / 1_000_000).min(now.0 / 1_000_000 + LONGEST) + 1;
        if self.calls.insert(id, Entry { peer: peer.clone(), state }).is_none() {
            self.due.entry(second).or_default().push(id);
        }
    }

    /// Lets go of the oldest replies; that they were said stays known.
    fn make_room(&mut self) {
        while self.ring_bytes > RING {
            let Some((id, length)) = self.ring.pop_front() else { return };
            self.ring_bytes -= length;
            if let Some(entry) = self.calls.get_mut(&id) {
                entry.state = State::Over;
            }
        }
    }

    fn forget(&mut self, now: Monotonic) {
        while let Some(entry) = self.due.first_entry() {
            if *entry.key() >= now.0 / 1_000_000 {
                break;
            }
            for id in entry.remove() {
                self.calls.remove(&id);
            }
        }
        // Whose deadline passed has no entry any more: its place in the ring goes as soon as it is the oldest.
        while let Some((id, length)) = self.ring.front().copied() {
            if self.calls.contains_key(&id) {
                return;
            }
            self.ring.pop_front();
            self.ring_bytes -= length;
        }
    }
}

#[cfg(test)]
mod tests {
    use mesh_claims::keys::{KeyKind, KeyPair};

    use super::*;

    fn host() -> HostId {
        KeyPair::generate(KeyKind::Host).host_id().unwrap()
    }

    fn at(seconds: u64) -> Monotonic {
        Monotonic(seconds * 1_000_000)
    }

    #[test]
    fn an_id_is_kept_to_its_deadline_and_no_longer() {
        let (memory, peer, id) = (Memory::default(), host(), CallId::new());
        assert_eq!(memory.recall(id, &peer, at(10)), Recalled::New);
        memory.keep(id, &peer, Deadline(at(12)), at(10));
        assert_eq!(memory.recall(id, &peer, at(10)), Recalled::Taken);
        memory.say(id, "reply".into());
        assert_eq!(memory.recall(id, &peer, at(12)), Recalled::Said("reply".into()));
        assert_eq!(memory.recall(id, &peer, at(15)), Recalled::New);
        let inner = memory.0.lock();
        assert!(inner.due.is_empty() && inner.calls.is_empty() && inner.ring.is_empty());
        assert_eq!(inner.ring_bytes, 0);
    }

    #[test]
    fn another_host_is_not_told_what_became_of_a_call() {
        let (memory, peer, id) = (Memory::default(), host(), CallId::new());
        memory.keep(id, &peer, Deadline(at(12)), at(10));
        memory.say(id, "secret".into());
        assert_eq!(memory.recall(id, &host(), at(11)), Recalled::Foreign);
        memory.end(id, &host(), at(11));
        assert_eq!(memory.recall(id, &peer, at(11)), Recalled::Said("secret".into()));
    }

    #[test]
    fn the_ring_lets_go_of_the_oldest_reply_and_never_of_the_id() {
        let (memory, peer) = (Memory::default(), host());
        let ids: Vec<_> = (0..20).map(|_| CallId::new()).collect();
        for id in &ids {
            memory.keep(*id, &peer, Deadline(at(60)), at(1));
            memory.say(*id, vec![0; 1 << 20].into());
        }
        assert!(memory.0.lock().ring_bytes <= RING);
        assert_eq!(memory.recall(ids[0], &peer, at(2)), Recalled::Over);
        assert!(matches!(memory.recall(ids[19], &peer, at(2)), Recalled::Said(_)));
    }

    #[test]
    fn a_call_that_was_cancelled_before_it_came_does_not_run() {
        let (memory, peer, id) = (Memory::default(), host(), CallId::new());
        memory.end(id, &peer, at(1));
        assert_eq!(memory.recall(id, &peer, at(2)), Recalled::Over);
        assert_eq!(memory.recall(id, &peer, at(60)), Recalled::New);
    }

    #[test]
    fn what_was_not_begun_may_come_again_and_what_was_refused_may_not() {
        let (memory, peer, [late, refused]) = (Memory::default(), host(), [CallId::new(), CallId::new()]);
        memory.keep(late, &peer, Deadline(at(9)), at(1));
        memory.take_back(late);
        assert_eq!(memory.recall(late, &peer, at(2)), Recalled::New);
        memory.keep(late, &peer, Deadline(at(9)), at(2));
        memory.say(late, "reply".into());
        memory.take_back(late);
        assert_eq!(memory.recall(late, &peer, at(2)), Recalled::Said("reply".into()));
        memory.refuse(refused, &peer, Deadline(at(9)), at(1));
        assert_eq!(memory.recall(refused, &peer, at(9)), Recalled::Refused);
        assert_eq!([late, refused].map(|id| memory.recall(id, &peer, at(12))), [Recalled::New, Recalled::New]);
        assert!(memory.0.lock().due.is_empty());
    }

    #[test]
    fn what_cannot_be_remembered_is_not_taken() {
        let (memory, peer) = (Memory::default(), host());
        for _ in 0..LIMIT {
            memory.keep(CallId(uuid::Uuid::new_v4()), &peer, Deadline(at(5)), at(0));
        }
        assert_eq!(memory.recall(CallId::new(), &peer, at(0)), Recalled::Full);
        assert_eq!(memory.recall(CallId::new(), &peer, at(8)), Recalled::New);
    }
}

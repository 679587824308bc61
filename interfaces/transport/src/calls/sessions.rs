//! The sessions that this boot holds, and the one that each host is called through.
//!
//! A session that a peer asked for counts only once the peer has sealed a frame with it: a Hello can be recorded and
//! played back, the keys cannot. So what is not confirmed is kept apart and short, and can never push out what is.

use std::{collections::HashMap, sync::Arc};

use mesh_lattice::{frame::Load, id::HostId};
use parking_lot::{Mutex, RwLock};
use tokio::{sync::OnceCell, time::Instant};

use crate::session::{Session, SessionId};

/// Sessions that one peer asked for and has not used yet.
const UNCONFIRMED: usize = 64;

/// Sessions that all peers together asked for and have not used yet.
const HALF_OPEN: usize = 1_024;

/// Sessions that one peer asked for and has used: one is enough unless boots overlap.
const CONFIRMED: usize = 8;

/// Sessions that we asked one peer for: the last, and earlier ones whose calls may still be answered.
const ASKED: usize = 4;

struct Held {
    session: Arc<Session>,
    since: Instant,
    /// We asked for it: it lives until we let go of it.
    asked: bool,
}

/// How one host is called.
#[derive(Default)]
pub(super) struct Slot {
    /// Filled by the first caller; the others wait for that.
    pub(super) session: OnceCell<Arc<Session>>,
}

#[derive(Default)]
pub(super) struct Sessions {
    held: RwLock<HashMap<SessionId, Held>>,
    slots: Mutex<HashMap<HostId, Arc<Slot>>>,
    loads: Mutex<HashMap<HostId, Load>>,
}

impl Sessions {
    pub(super) fn get(&self, id: SessionId) -> Option<Arc<Session>> {
        self.held.read().get(&id).map(|held| Arc::clone(&held.session))
    }

    pub(super) fn len(&self) -> usize {
        self.held.read().len()
    }

    /// The slot of a host: the session in it, or the place where it will be.
    pub(super) fn slot(&self, host: &HostId) -> Arc<Slot> {
        let mut slots = self.slots.lock();
        match slots.get(host) {
            Some(slot) => Arc::clone(slot),
            None => Arc::clone(slots.entry(host.clone()).or_default()),
        }
    }

    /// Keeps a session that we asked for, in place of the oldest where there are too many.
    pub(super) fn keep(&self, session: &Arc<Session>, now: Instant) {
        let mut all = self.held.write();
        make_room(&mut all, ASKED, |held| held.asked && held.session.peer == session.peer);
        all.insert(session.id, Held { session: Arc::clone(session), since: now, asked: true });
    }

    /// Keeps a session that its peer asked for, in place of its oldest where it has too many.
    pub(super) fn accept(&self, session: &Arc<Session>, now: Instant) {
        let mut all = self.held.write();
        for (confirmed, limit) in [(false, UNCONFIRMED), (true, CONFIRMED)] {
            make_room(&mut all, limit, |held| {
                !held.asked && held.session.peer == session.peer && held.session.is_confirmed() == confirmed
            });
        }
        make_room(&mut all, HALF_OPEN, |held| !held.asked && !held.session.is_confirmed());
        all.insert(session.id, Held { session: Arc::clone(session), since: now, asked: false });
    }

    /// Makes no new calls through this session; what it has open is still answered through it.
    pub(super) fn retire(&self, session: &Session) {
        let mut slots = self.slots.lock();
        let current = slots.get(&session.peer).and_then(|slot| slot.session.get()).map(|current| current.id);
        if current == Some(session.id) {
            slots.remove(&session.peer);
        }
    }

    /// Lets go of everything that is shared with a host.
    pub(super) fn forget(&self, host: &HostId) {
        self.held.write().retain(|_, held| held.session.peer != *host);
        self.slots.lock().remove(host);
        self.loads.lock().remove(host);
    }

    pub(super) fn note_load(&self, host: &HostId, load: Load) {
        let mut loads = self.loads.lock();
        match loads.get_mut(host) {
            Some(known) => *known = load,
            None => {
                loads.insert(host.clone(), load);
            }
        }
    }

    pub(super) fn load(&self, host: &HostId) -> Option<Load> {
        self.loads.lock().get(host).copied()
    }
}

/// Removes the oldest of these until one more makes no more than `limit`.
fn make_room(all: &mut HashMap<SessionId, Held>, limit: usize, of_these: impl Fn(&Held) -> bool) {
    let mut these: Vec<_> = all.iter().filter(|(_, held)| of_these(held)).map(|(id, held)| (held.since, *id)).collect();
    these.sort_unstable();
    let surplus = (these.len() + 1).saturating_sub(limit);
    for (_, id) in these.into_iter().take(surplus) {
        all.remove(&id);
    }
}

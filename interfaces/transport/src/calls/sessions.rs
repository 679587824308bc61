//! The sessions that this boot holds, and what is known of each host that is called.
//!
//! A session that a peer asked for counts only once the peer has sealed a frame with it: a Hello can be recorded and
//! played back, the keys cannot. So what is not confirmed is kept apart and short, and can never push out what is.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use mesh_lattice::{
    clock::Monotonic,
    frame::Load,
    handle::Origin,
    id::{BootId, HostId},
};
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

/// What is known of one host that is called.
#[derive(Default)]
pub(super) struct Known {
    /// Filled by the first caller; the others wait for that.
    current: Mutex<Arc<OnceCell<Arc<Session>>>>,
    /// One more than the load that came with its last answer; 0 before that.
    load: AtomicU32,
    /// Until when it is not asked for a session, in microseconds of our clock.
    away: AtomicU64,
    /// When it was last found out which boot it has, and which: held by whoever asks, so that the others wait for that.
    pub(super) seen: tokio::sync::Mutex<Option<(Instant, Option<BootId>)>>,
}

#[derive(Default)]
pub(super) struct Sessions {
    held: RwLock<HashMap<SessionId, Held>>,
    hosts: RwLock<HashMap<HostId, Arc<Known>>>,
}

impl Known {
    /// The session of the calls that begin now, or the place where it will be.
    pub(super) fn current(&self) -> Arc<OnceCell<Arc<Session>>> {
        Arc::clone(&self.current.lock())
    }

    /// It did not answer, or nobody listens there: nothing new goes there for a while.
    pub(super) fn stay_away(&self, pause: Duration) {
        self.away.store(Monotonic::now().plus(pause).0, Ordering::Relaxed);
    }

    pub(super) fn come_back(&self) {
        self.away.store(0, Ordering::Relaxed);
    }

    pub(super) fn is_away(&self) -> bool {
        let away = self.away.load(Ordering::Relaxed);
        away > 0 && away > Monotonic::now().0
    }

    fn load(&self) -> Option<Load> {
        let load = self.load.load(Ordering::Relaxed).checked_sub(1)?;
        Some(Load(u16::try_from(load).unwrap_or(u16::MAX)))
    }

    fn is_doubtful(&self) -> bool {
        self.is_away() || self.current.lock().get().is_some_and(|session| session.life.is_doubtful(Monotonic::now))
    }
}

impl Sessions {
    pub(super) fn get(&self, id: SessionId) -> Option<Arc<Session>> {
        self.held.read().get(&id).map(|held| Arc::clone(&held.session))
    }

    pub(super) fn len(&self) -> usize {
        self.held.read().len()
    }

    /// The sessions whose other end somebody waits for.
    pub(super) fn watched(&self) -> Vec<Arc<Session>> {
        self.those(|session| session.life.is_watched())
    }

    /// The sessions that are such.
    pub(super) fn those(&self, such: impl Fn(&Session) -> bool) -> Vec<Arc<Session>> {
        let held = self.held.read();
        held.values().map(|held| &held.session).filter(|one| such(one)).map(Arc::clone).collect()
    }

    /// The sessions with this boot.
    pub(super) fn of_boot(&self, boot: &Origin) -> Vec<Arc<Session>> {
        self.those(|session| session.peer == boot.host && session.peer_boot == boot.boot)
    }

    /// What is known of a host.
    pub(super) fn host(&self, host: &HostId) -> Arc<Known> {
        if let Some(known) = self.hosts.read().get(host) {
            return Arc::clone(known);
        }
        Arc::clone(self.hosts.write().entry(host.clone()).or_default())
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
        let Some(known) = self.hosts.read().get(&session.peer).map(Arc::clone) else { return };
        let mut current = known.current.lock();
        if current.get().map(|current| current.id) == Some(session.id) {
            *current = Arc::default();
        }
    }

    /// Lets go of a session whose other end is gone.
    pub(super) fn drop_session(&self, session: &Session) {
        self.retire(session);
        self.held.write().remove(&session.id);
    }

    /// Whether another boot of this session's host has proved, after this session was made, that it holds keys.
    pub(super) fn is_succeeded(&self, session: &Session) -> bool {
        let held = self.held.read();
        let Some(since) = held.get(&session.id).map(|held| held.since) else { return true };
        held.values().any(|other| {
            other.since > since
                && other.session.peer == session.peer
                && other.session.peer_boot != session.peer_boot
                && (other.asked || other.session.is_confirmed())
        })
    }

    pub(super) fn note_load(&self, host: &HostId, load: Load) {
        self.host(host).load.store(u32::from(load.0) + 1, Ordering::Relaxed);
    }

    pub(super) fn load(&self, host: &HostId) -> Option<Load> {
        self.hosts.read().get(host)?.load()
    }

    /// Whether a host owes an answer for too long, or let somebody wait in vain, and has not been heard since.
    pub(super) fn is_doubtful(&self, host: &HostId) -> bool {
        self.hosts.read().get(host).is_some_and(|known| known.is_doubtful())
    }

    /// Its host says that this boot takes no new calls: the next one is looked for, soon, and not at once.
    pub(super) fn leave(&self, session: &Session, pause: Duration) {
        session.life.leave();
        self.retire(session);
        self.host(&session.peer).stay_away(pause);
    }

    /// A host that was silent is heard through this session: it is called again, through this one where there is no
    /// other.
    pub(super) fn revive(&self, session: &Arc<Session>) {
        let asked = self.held.read().get(&session.id).is_some_and(|held| held.asked);
        if !asked || session.life.is_leaving() {
            return;
        }
        let known = self.host(&session.peer);
        known.come_back();
        let mut current = known.current.lock();
        if current.get().is_none() {
            *current = Arc::new(OnceCell::new_with(Some(Arc::clone(session))));
        }
    }

    /// The sessions through which others may call us.
    pub(super) fn callers(&self) -> Vec<Arc<Session>> {
        let held = self.held.read();
        let theirs = held.values().filter(|held| !held.asked && held.session.is_confirmed());
        theirs.map(|held| Arc::clone(&held.session)).collect()
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

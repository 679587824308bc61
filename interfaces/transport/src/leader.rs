//! Who leads: taken by compare-and-set, held by renewal, told apart by terms.
//!
//! ```text
//! watching ── unchanged for 3 s, or given up ──► taking ── written ──► leading ── renewed every second ─┐
//!    ▲                                             │ lost the race        │  ▲─────────────────────────┘
//!    └─────────────────────────────────────────────┴── another's record, 2.5 s without a renewal, state stale
//! ```
//!
//! A leader that cannot renew stops leading before anybody else may begin. That is a courtesy: what makes a late
//! leader harmless is the term, which each taking raises and everyone who obeys a leader compares.

mod election;

use std::{sync::Arc, time::Instant};

use mesh_claims::keys::KeyPair;
use mesh_lattice::{
    id::{BootId, HostId},
    key::Key,
    stored::Leader,
};
use tokio::{
    sync::watch,
    time::{Duration, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{
    calls::PeerPolicy,
    state::{Change, Entry, Position, State, StateError},
};
use election::{Election, Move, Observed};

/// How long a write may take before it counts as not done.
const WRITE_TIMEOUT: Duration = Duration::from_secs(2);

/// Who leads, as this host knows it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Leadership {
    /// Whether this host leads now.
    pub leading: bool,
    /// The highest term seen.
    pub term: u64,
    /// Who leads, as it was last said.
    pub leader: Option<HostId>,
}

/// A host that can lead.
pub struct Candidate {
    state: State,
    key: Arc<KeyPair>,
    policy: Arc<dyn PeerPolicy>,
    election: Election,
    leadership: watch::Sender<Leadership>,
}

impl Candidate {
    /// A candidate, and what it knows of who leads. `None` where the key is not a host's.
    #[must_use]
    pub fn new(
        state: &State,
        key: Arc<KeyPair>,
        boot: BootId,
        policy: Arc<dyn PeerPolicy>,
    ) -> Option<(Self, watch::Receiver<Leadership>)> {
        let election = Election::new(key.host_id()?, boot, uuid::Uuid::new_v4().as_u64_pair().1);
        let (leadership, watched) = watch::channel(Leadership::default());
        Some((Self { state: state.clone(), key, policy, election, leadership }, watched))
    }

    /// Takes part until `cancel`; gives leadership up then, if this host has it.
    pub async fn run(mut self, cancel: CancellationToken) {
        let mut watch = self.state.watch("leader");
        loop {
            tokio::select! {
                biased;
                () = cancel.cancelled() => break,
                change = watch.next() => self.take(change),
                () = until(self.election.wakes_at()) => {}
            }
            if let Some(wanted) = self.election.turn(Instant::now()) {
                self.write(wanted).await;
            }
            self.publish();
        }
        if let Some(farewell) = self.election.resign() {
            self.write(farewell).await;
        }
        self.publish();
    }

    fn take(&mut self, change: Change) {
        let now = Instant::now();
        match change {
            Change::Put(entry) if entry.key == Key::Leader => {
                let observed = self.read(&entry);
                self.election.observe(observed, now);
            }
            Change::CaughtUp => self.election.caught_up(now),
            Change::Stale(_) => self.election.stale(),
            Change::Resync(_) => self.election.restart(),
            Change::Put(_) | Change::Deleted(_) => {}
        }
    }

    /// A record that its own enrolled host did not sign holds nothing: it can be taken at once.
    fn read(&self, entry: &Entry) -> Observed {
        let signer = entry.envelope.signer.parse::<HostId>().ok().filter(|host| self.policy.is_enrolled(host));
        let key = Key::Leader.to_string();
        let record = entry.envelope.open::<Leader>(&key, self.state.incarnation(), |_| Ok(())).ok();
        let record = record.filter(|record| signer.as_ref() == Some(&record.host));
        Observed { record, position: Position::from(entry) }
    }

    async fn write(&mut self, wanted: Move) {
        let started = Instant::now();
        let write = self.state.put_signed(&Key::Leader, &wanted.record, wanted.position, &self.key);
        match timeout(WRITE_TIMEOUT, write).await {
            Ok(Ok(position)) => self.election.written(wanted, position, started),
            Ok(Err(StateError::Conflict { .. })) => self.election.refused(Instant::now()),
            Ok(Err(error)) => {
                tracing::debug!(%error, "leadership was not written");
                self.election.refused(Instant::now());
            }
            Err(_) => self.election.refused(Instant::now()),
        }
    }

    fn publish(&self) {
        let now = self.election.leadership(Instant::now());
        self.leadership.send_if_modified(|before| {
            let changed = *before != now;
            *before = now;
            changed
        });
    }
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

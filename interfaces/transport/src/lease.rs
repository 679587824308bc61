//! Leases: a host lives while it renews, not while something of it is stored.
//!
//! A host writes its lease every half second, and only while its data connection is up too: a host that cannot be
//! called is as good as gone. Whoever judges others ([`LeaseTable`]) counts from the last *new* revision that it saw
//! itself, by its own monotonic clock; what it missed while it was away itself is held against nobody.
//!
//! ```text
//! renewing:  looking ─► free, ours, or not renewed by the other boot for 1.5 s ─► held ◄─► renewed
//!               │                                                                  │
//!               └── another boot renews it ──► identity in use ◄── another boot took it
//! ```

mod table;

use std::{sync::Arc, time::Duration};

use mesh_claims::{Envelope, keys::KeyPair, refusal::Refusal, refusal::RefusalCode};
use mesh_lattice::{
    id::{BootId, HostId, Incarnation},
    key,
    stored::{LEASE_RENEWAL, LOST_AFTER, Lease},
};
use tokio::{
    sync::watch,
    time::{Instant, MissedTickBehavior, interval, timeout},
};
use tokio_util::sync::CancellationToken;

pub use table::{Judgement, LeaseTable, Standing};

use crate::{
    bucket::{
        Bucket, BucketError, Stored,
        watch::{BucketWatch, Raw},
    },
    state::State,
};

/// A lease that another boot left behind is taken over when it has not been renewed for this long.
const TAKE_OVER: Duration = Duration::from_millis(1_500);

/// How long giving the lease back may take.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(1);

/// Whose lease is renewed.
#[derive(Clone)]
pub struct LeaseConfig {
    /// The host's key.
    pub host: Arc<KeyPair>,
    /// This start of its process.
    pub boot: BootId,
    /// How long it may go unrenewed before the host counts as lost.
    pub lost_after: Duration,
}

impl LeaseConfig {
    /// A lease that is lost after the usual time.
    #[must_use]
    pub fn new(host: Arc<KeyPair>, boot: BootId) -> Self {
        Self { host, boot, lost_after: LOST_AFTER }
    }
}

/// Why a lease is renewed no longer.
#[derive(Debug, thiserror::Error)]
pub enum LeaseError {
    /// Another process runs under the same key.
    #[error("another process (boot {other}) runs with this host's key")]
    IdentityInUse {
        /// Its boot.
        other: BootId,
    },
    /// The key is not that of a host, or the lease cannot be written.
    #[error("{0}")]
    Malformed(String),
}

/// A lease that was seen: its signature is that of its host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sighting {
    /// The host.
    pub host: HostId,
    /// The boot that renews it.
    pub boot: BootId,
    /// How long it may go unrenewed.
    pub lost_after: Duration,
    /// Whether the host is on its way out.
    pub draining: bool,
    /// Raised by each renewal.
    pub revision: u64,
}

/// What a [`LeaseWatch`] says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LeaseEvent {
    /// A lease, new or renewed.
    Seen(Sighting),
    /// The host gave its lease back: it is gone, on purpose.
    Released(HostId),
    /// Leases may have been renewed unseen until now: our own connection was away.
    Gap,
}

/// The leases of one lattice. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Leases {
    state: State,
}

impl Leases {
    /// The leases beside this state.
    #[must_use]
    pub fn new(state: &State) -> Self {
        Self { state: state.clone() }
    }

    /// Renews a host's lease until `cancel`, then gives it back. `draining` is said with it.
    ///
    /// # Errors
    ///
    /// [`LeaseError::IdentityInUse`], where another process renews the same lease: this one has to stop.
    pub async fn renew(
        &self,
        config: LeaseConfig,
        draining: watch::Receiver<bool>,
        cancel: CancellationToken,
    ) -> Result<(), LeaseError> {
        let mut renewer = Renewer::new(&self.state, config)?;
        let mut ticks = interval(LEASE_RENEWAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = cancel.cancelled() => break,
                _ = ticks.tick() => {}
            }
            let connections = self.state.connections();
            if connections.control_up() && connections.data_up() {
                let draining = *draining.borrow();
                renewer.turn(draining).await?;
            }
        }
        let _ = timeout(RELEASE_TIMEOUT, renewer.release()).await;
        Ok(())
    }

    /// Watches all leases.
    #[must_use]
    pub fn watch(&self) -> LeaseWatch {
        let raw = BucketWatch::new(self.state.leases(), &["host.*"]);
        LeaseWatch { state: self.state.clone(), raw, away: false }
    }
}

/// A watch of all leases; it never ends.
pub struct LeaseWatch {
    state: State,
    raw: BucketWatch,
    away: bool,
}

impl LeaseWatch {
    /// What happened next. Nothing is lost where the future is dropped.
    pub async fn next(&mut self) -> LeaseEvent {
        loop {
            match self.raw.next().await {
                Raw::Put { key, value, revision } => {
                    let Some(host) = key::leased_host(&key) else { continue };
                    match read(&value, &host, self.state.incarnation()) {
                        Ok(lease) => return LeaseEvent::Seen(sighting(host, &lease, revision)),
                        Err(refusal) => tracing::debug!(%host, %refusal, "a lease is refused"),
                    }
                }
                Raw::Deleted { key } => {
                    if let Some(host) = key::leased_host(&key) {
                        return LeaseEvent::Released(host);
                    }
                }
                Raw::Opened => {
                    self.away = false;
                    return LeaseEvent::Gap;
                }
                Raw::Closed(_) if !std::mem::replace(&mut self.away, true) => return LeaseEvent::Gap,
                Raw::Closed(_) | Raw::CaughtUp => {}
            }
        }
    }
}

/// How far one host is with its lease.
struct Renewer {
    state: State,
    config: LeaseConfig,
    key: String,
    host: HostId,
    renewal: u64,
    place: Place,
}

enum Place {
    /// Not looked yet, or what we knew is no longer so.
    Unknown { held: bool },
    /// Another boot's lease stands there; taken over if it stays as it is.
    Contested { revision: u64, since: Instant },
    /// Ours, at this revision.
    Held { revision: u64 },
}

impl Renewer {
    fn new(state: &State, config: LeaseConfig) -> Result<Self, LeaseError> {
        let host = config.host.host_id();
        let host = host.ok_or_else(|| LeaseError::Malformed("a lease needs a host's key".to_owned()))?;
        let (key, state) = (key::lease(&host), state.clone());
        Ok(Self { state, config, key, host, renewal: 0, place: Place::Unknown { held: false } })
    }

    fn bucket(&self) -> &Bucket {
        self.state.leases()
    }

    /// One renewal, or one step towards the first.
    async fn turn(&mut self, draining: bool) -> Result<(), LeaseError> {
        if !matches!(self.place, Place::Held { .. }) {
            self.look().await?;
        }
        let Place::Held { revision } = self.place else { return Ok(()) };
        self.renewal += 1;
        let lease = Lease {
            boot: self.config.boot,
            lost_after_ms: u64::try_from(self.config.lost_after.as_millis()).unwrap_or(u64::MAX),
            renewal: self.renewal,
            draining,
        };
        let envelope =
            Envelope::sign(&self.key, self.state.incarnation(), self.renewal, &lease, self.config.host.as_ref())
                .map_err(|error| LeaseError::Malformed(error.to_string()))?;
        match self.bucket().put(&self.key, envelope.encode().into(), revision).await {
            Ok(revision) => self.place = Place::Held { revision },
            // A write that was not answered may have been done: look before the next.
            Err(error) => {
                tracing::debug!(%error, "a lease was not renewed");
                self.place = Place::Unknown { held: true };
                if matches!(error, BucketError::Conflict) {
                    self.look().await?;
                }
            }
        }
        Ok(())
    }

    /// Finds out whose lease it is.
    async fn look(&mut self) -> Result<(), LeaseError> {
        let Ok(found) = self.bucket().get(&self.key).await else { return Ok(()) };
        let revision = found.as_ref().map_or(0, |stored| stored.revision);
        let other = found.and_then(|stored| self.other_boot(&stored));
        let Some(other) = other else {
            self.place = Place::Held { revision };
            return Ok(());
        };
        match self.place {
            Place::Unknown { held: true } | Place::Held { .. } => return Err(LeaseError::IdentityInUse { other }),
            Place::Contested { revision: before, .. } if before != revision => {
                return Err(LeaseError::IdentityInUse { other });
            }
            Place::Contested { since, .. } if since.elapsed() >= TAKE_OVER => self.place = Place::Held { revision },
            Place::Contested { .. } => {}
            Place::Unknown { held: false } => {
                self.place = Place::Contested { revision, since: Instant::now() };
            }
        }
        Ok(())
    }

    /// The boot of another process that holds the lease; what is not signed by this host counts for nothing.
    fn other_boot(&self, stored: &Stored) -> Option<BootId> {
        let lease = read(stored.value.as_ref()?, &self.host, self.state.incarnation()).ok()?;
        (lease.boot != self.config.boot).then_some(lease.boot)
    }

    /// Gives the lease back, if it is ours.
    async fn release(&self) {
        if let Place::Held { revision } = self.place {
            let _ = self.bucket().delete(&self.key, revision).await;
        }
    }
}

fn read(value: &[u8], host: &HostId, incarnation: Incarnation) -> Result<Lease, Refusal> {
    let own = |signer: &str| {
        let own = signer == host.as_str();
        if own { Ok(()) } else { Err(Refusal::new(RefusalCode::WrongKind, "a lease is signed by its own host")) }
    };
    Envelope::decode(value)?.open(&key::lease(host), incarnation, own)
}

fn sighting(host: HostId, lease: &Lease, revision: u64) -> Sighting {
    let lost_after = Duration::from_millis(lease.lost_after_ms);
    Sighting { host, boot: lease.boot, lost_after, draining: lease.draining, revision }
}

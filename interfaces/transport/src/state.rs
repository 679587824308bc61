//! The lattice's state: signed values under keys, written by compare-and-set, watched through anything.
//!
//! The bucket is not trusted: whoever has the lattice's NATS credentials can write into it. So a value is an
//! [`Envelope`], and reading one with [`State::get`] or [`verify`] checks its signature, its key, the life of the state
//! that it was signed for and whether its signer may write that key. What comes out of [`State::entry`], [`State::list`]
//! and a [`Watch`] is decoded, not verified: who uses it does that.
//!
//! The key `lattice` names the life of the state: it is believed where the lattice's root or a user signed it, so that
//! nobody else can begin a new life in which nothing that is stored counts. A bucket that was deleted and made again has another one, and every
//! watch says so ([`Change::Resync`]); where the bucket or the key is missing it says [`Change::Stale`] and goes on
//! looking, because nothing may stop for what is absent.

mod value;
mod watch;
mod write;

use std::sync::Arc;

use mesh_claims::{Envelope, Refusal, authority, envelope::EnvelopeError, keys::KeyPair, trust::Trust};
use mesh_lattice::{
    id::{Incarnation, OperatorId},
    key::{self, Key},
    stored::LatticeRecord,
};
use parking_lot::RwLock;
use serde::de::DeserializeOwned;
use tokio::time::{Duration, timeout};

pub use value::{Entry, Position, RawWrite, Stored, Write};
use watch::entry_of;
pub use watch::{Change, Watch};

use crate::{
    bucket::{
        Bucket, BucketError,
        watch::{BucketWatch, Raw},
    },
    connect::{Connections, Disconnected},
};

/// No stored value is larger, envelope included.
pub const MAX_VALUE: usize = 512 << 10;

/// A list is a watch up to the point where it has caught up; this is how long that may take.
const LIST_TIMEOUT: Duration = Duration::from_secs(10);

/// How the buckets of a lattice are made.
#[derive(Debug, Clone, Copy)]
pub struct StateConfig {
    /// How many servers keep each value.
    pub replicas: usize,
}

impl Default for StateConfig {
    fn default() -> Self {
        Self { replicas: 1 }
    }
}

/// Why the state was not read or not changed.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The connection is down.
    #[error(transparent)]
    Disconnected(#[from] Disconnected),
    /// The server did not answer in time; a write may have been done all the same.
    #[error("nats-server did not answer in time")]
    Timeout,
    /// There is no state of this lattice: no bucket, or no `lattice` in it.
    #[error("there is no state of this lattice on the server")]
    Missing,
    /// Somebody else wrote first: read again, decide again.
    #[error("{key} was changed by somebody else")]
    Conflict {
        /// The key, or the first of the batch where it is not known which.
        key: String,
    },
    /// Larger than [`MAX_VALUE`].
    #[error("the value of {key} has {size} bytes; at most {MAX_VALUE} are stored")]
    TooLarge {
        /// The key.
        key: String,
        /// The size of its envelope.
        size: usize,
    },
    /// The value is not what it should be, or not from whom it should be.
    #[error("a stored value is refused: {0}")]
    Refused(#[from] Refusal),
    /// What was to be written cannot be.
    #[error("{0}")]
    Malformed(String),
    /// JetStream says no.
    #[error("JetStream: {0}")]
    Backend(String),
}

/// The state of one lattice. Cheap to clone.
#[derive(Debug, Clone)]
pub struct State {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    bucket: Bucket,
    root: OperatorId,
    leases: Bucket,
    incarnation: RwLock<Incarnation>,
}

impl State {
    /// Makes the buckets and the `lattice` record, unless they are there: the root does that.
    ///
    /// # Errors
    ///
    /// Where the key is no root's, and where the server does not do it.
    pub async fn create(connections: &Connections, config: StateConfig, signer: &KeyPair) -> Result<Self, StateError> {
        let root = signer.operator_id();
        let root = root.ok_or_else(|| StateError::Malformed("the state is made by the lattice's root".to_owned()))?;
        let (bucket, leases) = buckets(connections);
        for bucket in [&bucket, &leases] {
            bucket.create(config.replicas).await.map_err(|error| failed(error, &Key::Lattice))?;
        }
        crate::artifact::Artifacts::new(connections).create(config.replicas).await.map_err(StateError::Backend)?;
        let events = crate::events::EventLog::new(connections);
        events.create(config.replicas).await.map_err(|error| StateError::Backend(error.to_string()))?;
        let record = LatticeRecord { incarnation: Incarnation::new() };
        let envelope = Envelope::sign(&Key::Lattice, record.incarnation, 1, &record, signer).map_err(unsigned)?;
        match bucket.put(&Key::Lattice.to_string(), envelope.encode().into(), 0).await {
            Ok(_) | Err(BucketError::Conflict) => Self::open(connections, &root).await,
            Err(error) => Err(failed(error, &Key::Lattice)),
        }
    }

    /// Opens the state that is there, of the lattice whose root this is.
    ///
    /// # Errors
    ///
    /// [`StateError::Missing`], where there is none; [`StateError::Refused`], where neither the root nor a user made it.
    pub async fn open(connections: &Connections, root: &OperatorId) -> Result<Self, StateError> {
        let (bucket, leases) = buckets(connections);
        let incarnation = read_lattice(&bucket, root).await?;
        let incarnation = RwLock::new(incarnation);
        Ok(Self { inner: Arc::new(Inner { bucket, root: root.clone(), leases, incarnation }) })
    }

    /// The connections that the state is reached by.
    #[must_use]
    pub fn connections(&self) -> &Connections {
        self.inner.bucket.connections()
    }

    /// The life of the state, as it was last seen.
    #[must_use]
    pub fn incarnation(&self) -> Incarnation {
        *self.inner.incarnation.read()
    }

    /// Reads the life of the state again.
    ///
    /// # Errors
    ///
    /// [`StateError::Missing`], where there is no state any more.
    pub async fn refresh(&self) -> Result<Incarnation, StateError> {
        let incarnation = read_lattice(&self.inner.bucket, &self.inner.root).await?;
        *self.inner.incarnation.write() = incarnation;
        Ok(incarnation)
    }

    /// What is stored under `key`, not verified.
    ///
    /// # Errors
    ///
    /// Where it cannot be read, or is no envelope.
    pub async fn entry(&self, key: &Key) -> Result<Option<Entry>, StateError> {
        let found = self.inner.bucket.get(&key.to_string()).await.map_err(|error| failed(error, key))?;
        let Some((value, revision, at)) = found.and_then(|stored| Some((stored.value?, stored.revision, stored.at)))
        else {
            return Ok(None);
        };
        Ok(Some(Entry { key: key.clone(), envelope: Envelope::decode(&value)?, revision, at }))
    }

    /// What is stored under `key`, verified.
    ///
    /// # Errors
    ///
    /// [`StateError::Refused`], where it is not what it should be or not from whom it should be.
    pub async fn get<T: DeserializeOwned>(&self, key: &Key, trust: &Trust) -> Result<Option<Stored<T>>, StateError> {
        let entry = self.entry(key).await?;
        Ok(entry.map(|entry| verify(&entry, self.incarnation(), trust)).transpose()?)
    }

    /// Everything under keys of this pattern, not verified. What is no envelope of a key of ours is left out.
    ///
    /// # Errors
    ///
    /// Where it cannot be read.
    pub async fn list(&self, pattern: &str) -> Result<Vec<Entry>, StateError> {
        list(&self.inner.bucket, pattern).await
    }

    /// Everything under keys of this pattern: what is verified, and what is refused and why.
    ///
    /// # Errors
    ///
    /// Where it cannot be read.
    pub async fn list_verified<T: DeserializeOwned>(
        &self,
        pattern: &str,
        trust: &Trust,
    ) -> Result<(Vec<(Key, Stored<T>)>, Vec<(Key, Refusal)>), StateError> {
        let incarnation = self.incarnation();
        let (mut verified, mut refused) = (Vec::new(), Vec::new());
        for entry in self.list(pattern).await? {
            match verify(&entry, incarnation, trust) {
                Ok(stored) => verified.push((entry.key, stored)),
                Err(refusal) => refused.push((entry.key, refusal)),
            }
        }
        Ok((verified, refused))
    }

    /// Watches all keys of this pattern.
    #[must_use]
    pub fn watch(&self, pattern: &str) -> Watch {
        self.watch_all(&[pattern])
    }

    /// Watches all keys of any of these patterns, none of which may contain another.
    #[must_use]
    pub fn watch_all(&self, patterns: &[&str]) -> Watch {
        Watch::new(self, patterns)
    }

    pub(crate) fn leases(&self) -> &Bucket {
        &self.inner.leases
    }
}

/// The value of `entry`, if it is what it should be and from whom it should be.
///
/// # Errors
///
/// A refusal with its code, where it is not.
pub fn verify<T: DeserializeOwned>(
    entry: &Entry,
    incarnation: Incarnation,
    trust: &Trust,
) -> Result<Stored<T>, Refusal> {
    let authority = |signer: &str| authority::may_write(&entry.key, signer, trust);
    let value = entry.envelope.open(&entry.key.to_string(), incarnation, authority)?;
    Ok(Stored {
        value,
        revision: entry.revision,
        generation: entry.envelope.generation,
        signer: entry.envelope.signer.clone(),
    })
}

fn buckets(connections: &Connections) -> (Bucket, Bucket) {
    let lattice = connections.lattice();
    (Bucket::new(connections, key::state_bucket(lattice)), Bucket::new(connections, key::lease_bucket(lattice)))
}

async fn list(bucket: &Bucket, pattern: &str) -> Result<Vec<Entry>, StateError> {
    let mut watch = BucketWatch::new(bucket, &[pattern]);
    let mut found = std::collections::BTreeMap::new();
    let all = async {
        loop {
            match watch.next().await {
                Raw::Put { key, value, revision } => {
                    if let Some(entry) = entry_of(&key, &value, revision) {
                        found.insert(entry.key.clone(), entry);
                    }
                }
                Raw::Deleted { key } => {
                    if let Some(key) = Key::parse(&key) {
                        found.remove(&key);
                    }
                }
                Raw::Opened => {}
                Raw::CaughtUp => return Ok(()),
                Raw::Closed(error) => return Err(failed(error, &Key::Lattice)),
            }
        }
    };
    timeout(LIST_TIMEOUT, all).await.map_err(|_| StateError::Timeout)??;
    Ok(found.into_values().collect())
}

/// The life that the record names, once it is certain that its signer may say so.
async fn read_lattice(bucket: &Bucket, root: &OperatorId) -> Result<Incarnation, StateError> {
    let stored = bucket.get(&Key::Lattice.to_string()).await.map_err(|error| failed(error, &Key::Lattice))?;
    let value = stored.and_then(|stored| stored.value).ok_or(StateError::Missing)?;
    let envelope = Envelope::decode(&value)?;
    let record: LatticeRecord = envelope.open(&Key::Lattice.to_string(), envelope.incarnation, |_| Ok(()))?;
    if record.incarnation != envelope.incarnation {
        return Err(StateError::Malformed("the record of the lattice names another life than its own".to_owned()));
    }
    let mut trust = Trust::of_incarnation(root.clone(), record.incarnation);
    if authority::may_write(&Key::Lattice, &envelope.signer, &trust).is_err() {
        // Not the root: whoever it is has to be a user by the statements of the same life.
        for entry in list(bucket, key::pattern::TRUST).await? {
            // What does not count makes nobody a user.
            let _ = trust.apply(&entry.key, &entry.envelope);
        }
        authority::may_write(&Key::Lattice, &envelope.signer, &trust)?;
    }
    Ok(record.incarnation)
}

fn failed(error: BucketError, key: &Key) -> StateError {
    match error {
        BucketError::Disconnected(disconnected) => StateError::Disconnected(disconnected),
        BucketError::Timeout => StateError::Timeout,
        BucketError::Missing => StateError::Missing,
        BucketError::Conflict => StateError::Conflict { key: key.to_string() },
        BucketError::Backend(what) => StateError::Backend(what),
    }
}

fn unsigned(error: EnvelopeError) -> StateError {
    match error {
        EnvelopeError::TooLarge { key, size } => StateError::TooLarge { key, size },
        error => StateError::Malformed(error.to_string()),
    }
}

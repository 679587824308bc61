//! The functions of the actors that links begin and end at, read from their artifacts by the leader.
//!
//! ```text
//! wanted actors ─► fetch and read, two at once, beside the leader's loop ─► Read, by digest
//!                                                                             ▲
//! commit ─► its artifacts are read? ── yes ──────────────────────────────────► judged
//!                     └─ no: parked until they are, or for a while
//! ```
//!
//! Nothing here holds up the loop. What cannot be read stands against nothing: the hosts that start the artifact will
//! say what is wrong with it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use mesh_lattice::Digest;
use mesh_transport::Artifacts;
use mesh_wit::Signatures;
use tokio::{task::JoinSet, time::timeout};

/// Artifacts that are read at once.
const AT_ONCE: usize = 2;
/// Artifacts whose functions are kept.
const KEPT: usize = 512;
/// Artifacts that may wait to be read.
const QUEUED: usize = 512;
/// One artifact is fetched within this time.
const FETCH: Duration = Duration::from_secs(20);
/// One that could not be read is tried again after this time.
const AGAIN: Duration = Duration::from_secs(10);

/// What has been read. One that is not there is unknown.
#[derive(Debug, Default)]
pub(crate) struct Read {
    known: BTreeMap<Digest, Option<Arc<Signatures>>>,
}

impl Read {
    /// The functions of an artifact.
    pub(crate) fn get(&self, digest: &Digest) -> Option<&Signatures> {
        self.known.get(digest)?.as_deref()
    }

    #[cfg(test)]
    pub(crate) fn of(artifacts: impl IntoIterator<Item = (Digest, Signatures)>) -> Self {
        Self { known: artifacts.into_iter().map(|(digest, read)| (digest, Some(Arc::new(read)))).collect() }
    }
}

/// Reads artifacts.
#[derive(Default)]
pub(crate) struct Reader {
    read: Read,
    failed: BTreeMap<Digest, Instant>,
    queue: BTreeSet<Digest>,
    running: BTreeSet<Digest>,
    tasks: JoinSet<Done>,
}

type Done = (Digest, Result<Option<Arc<Signatures>>, String>);

impl Reader {
    /// What has been read so far.
    pub(crate) fn read(&self) -> &Read {
        &self.read
    }

    /// Those of these artifacts that are still to be read; they will be.
    pub(crate) fn want(&mut self, wanted: BTreeSet<Digest>, store: &Artifacts, now: Instant) -> BTreeSet<Digest> {
        self.failed.retain(|_, at| now.saturating_duration_since(*at) < AGAIN);
        let lacks = |digest: &Digest| !self.read.known.contains_key(digest) && !self.failed.contains_key(digest);
        let missing: BTreeSet<Digest> = wanted.into_iter().filter(lacks).collect();
        for digest in &missing {
            if !self.running.contains(digest) && self.queue.len() < QUEUED {
                self.queue.insert(*digest);
            }
        }
        self.begin(store);
        missing
    }

    /// Keeps the functions of these artifacts alone, where too many are kept.
    pub(crate) fn keep(&mut self, wanted: &BTreeSet<Digest>) {
        if self.read.known.len() > KEPT {
            self.read.known.retain(|digest, _| wanted.contains(digest));
        }
    }

    /// Waits until one more is read, or is known to be unreadable; for ever, where none is being read.
    pub(crate) async fn next(&mut self) {
        match self.tasks.join_next().await {
            Some(Ok((digest, outcome))) => {
                self.running.remove(&digest);
                match outcome {
                    Ok(read) => _ = self.read.known.insert(digest, read),
                    Err(reason) => {
                        tracing::debug!(%digest, reason, "the functions of an artifact are not known yet");
                        self.failed.insert(digest, Instant::now());
                    }
                }
            }
            Some(Err(_)) => self.running.clear(),
            None => std::future::pending().await,
        }
    }

    /// Starts what may be read now.
    pub(crate) fn begin(&mut self, store: &Artifacts) {
        while self.tasks.len() < AT_ONCE {
            let Some(digest) = self.queue.pop_first() else { return };
            self.running.insert(digest);
            let store = store.clone();
            self.tasks.spawn(async move { (digest, read(&store, &digest).await) });
        }
    }
}

async fn read(store: &Artifacts, digest: &Digest) -> Result<Option<Arc<Signatures>>, String> {
    let fetched = timeout(FETCH, store.get(digest)).await.map_err(|_| "the store did not answer in time".to_owned())?;
    let bytes = fetched.map_err(|error| error.to_string())?.ok_or("the store does not have it")?;
    // Validating takes a processor for as long as the component is large.
    let read =
        tokio::task::spawn_blocking(move || Signatures::read(&bytes)).await.map_err(|error| error.to_string())?;
    match read {
        Ok(signatures) => Ok(Some(Arc::new(signatures))),
        Err(error) => {
            tracing::warn!(%digest, %error, "the functions of an artifact cannot be read: its links are not compared");
            Ok(None)
        }
    }
}

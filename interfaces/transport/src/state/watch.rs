//! A watch of the state: what is there, what changes, and whether it is still the state that we knew.

use mesh_claims::Envelope;
use mesh_lattice::{id::Incarnation, key::Key};

use super::{Entry, State, read_lattice};
use crate::bucket::watch::{BucketWatch, Raw};

/// A watch of the state: it never ends and never fails, it says what it knows.
pub struct Watch {
    state: State,
    raw: BucketWatch,
    incarnation: Incarnation,
    /// Whether `lattice` is watched for its own sake.
    shows_lattice: bool,
    stale: bool,
    /// Whether it has to be asked again which life of the state this is.
    unchecked: bool,
    /// Said at the next opportunity.
    resync: bool,
}

/// What a [`Watch`] says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// This is stored now: decoded, not verified.
    Put(Entry),
    /// Somebody deleted this.
    Deleted(Key),
    /// Everything that is there has been said; again after every time that the watch had to be opened again.
    CaughtUp,
    /// The state is missing or cannot be read, for this reason: keep running, plan nothing. The watch goes on looking.
    Stale(String),
    /// The state was made anew: forget what was said, everything comes again. Not verified: `lattice` says by whom.
    Resync(Incarnation),
}

impl Watch {
    pub(super) fn new(state: &State, patterns: &[&str]) -> Self {
        let shows_lattice = patterns.iter().any(|pattern| matches!(*pattern, ">" | "*" | "lattice"));
        let mut all = patterns.to_vec();
        if !shows_lattice {
            all.push("lattice");
        }
        let raw = BucketWatch::new(&state.inner.bucket, &all);
        let incarnation = state.incarnation();
        let state = state.clone();
        Self { state, raw, incarnation, shows_lattice, stale: false, unchecked: false, resync: false }
    }

    /// What happened next. Nothing is lost where the future is dropped.
    pub async fn next(&mut self) -> Change {
        loop {
            if std::mem::take(&mut self.resync) {
                return Change::Resync(self.incarnation);
            }
            if self.unchecked {
                let change = self.check().await;
                self.unchecked = false;
                match change {
                    Some(change) => return change,
                    None => continue,
                }
            }
            let change = match self.raw.next().await {
                Raw::Opened => {
                    self.unchecked = true;
                    None
                }
                Raw::Closed(error) => self.stale(error.to_string()),
                Raw::CaughtUp => {
                    self.stale = false;
                    Some(Change::CaughtUp)
                }
                Raw::Deleted { key } if key == "lattice" => {
                    self.raw.restart();
                    self.stale("the record of the lattice was deleted".to_owned())
                }
                Raw::Deleted { key } => Key::parse(&key).map(Change::Deleted),
                Raw::Put { key, value, revision } => self.put(&key, &value, revision),
            };
            if let Some(change) = change {
                return change;
            }
        }
    }

    /// Before anything is said of a bucket that was just opened, or whose record was written: is it the one that we
    /// knew? Done again where the future is dropped meanwhile.
    async fn check(&mut self) -> Option<Change> {
        match read_lattice(&self.state.inner.bucket, &self.state.inner.root).await {
            Ok(incarnation) => {
                self.renewed(incarnation);
                None
            }
            Err(error) => {
                self.raw.close();
                self.stale(error.to_string())
            }
        }
    }

    fn renewed(&mut self, incarnation: Incarnation) {
        if incarnation != self.incarnation {
            self.incarnation = incarnation;
            *self.state.inner.incarnation.write() = incarnation;
            self.raw.restart();
            self.resync = true;
        }
    }

    fn put(&mut self, key: &str, value: &[u8], revision: u64) -> Option<Change> {
        let entry = entry_of(key, value, revision);
        if key == "lattice" {
            if entry.as_ref().is_none_or(|entry| entry.envelope.incarnation != self.incarnation) {
                self.unchecked = true;
                return None;
            }
            if !self.shows_lattice {
                return None;
            }
        }
        entry.map(Change::Put)
    }

    /// Said once, until the watch has caught up again.
    fn stale(&mut self, reason: String) -> Option<Change> {
        (!std::mem::replace(&mut self.stale, true)).then_some(Change::Stale(reason))
    }
}

pub(super) fn entry_of(key: &str, value: &[u8], revision: u64) -> Option<Entry> {
    let entry = Key::parse(key).zip(Envelope::decode(value).ok());
    if entry.is_none() {
        tracing::debug!(key, "a stored value is not an envelope under a key of ours");
    }
    entry.map(|(key, envelope)| Entry { key, envelope, revision, at: None })
}

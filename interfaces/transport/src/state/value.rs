//! What is read from the state and written into it.

use bytes::Bytes;
use mesh_claims::Envelope;
use mesh_lattice::key::Key;

/// A stored value as it was found: decoded, not verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its key.
    pub key: Key,
    /// The value and who says it.
    pub envelope: Envelope,
    /// What a change of it has to name.
    pub revision: u64,
    /// When it was written, in seconds since 1970 by the server's clock; `None` where nobody said so: a watch does not.
    pub at: Option<u64>,
}

/// A verified value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored<T> {
    /// The value.
    pub value: T,
    /// What a change of it has to name.
    pub revision: u64,
    /// Raised with each change.
    pub generation: u64,
    /// Who signed it.
    pub signer: String,
}

/// What a write replaces; the default: there must be nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Position {
    /// The revision of what is replaced.
    pub revision: u64,
    /// Its generation.
    pub generation: u64,
}

impl From<&Entry> for Position {
    fn from(entry: &Entry) -> Self {
        Self { revision: entry.revision, generation: entry.envelope.generation }
    }
}

impl<T> From<&Stored<T>> for Position {
    fn from(stored: &Stored<T>) -> Self {
        Self { revision: stored.revision, generation: stored.generation }
    }
}

/// One signed value of a batch.
#[derive(Debug, Clone)]
pub struct Write {
    /// Its key.
    pub key: Key,
    /// The revision that it replaces; 0 where there must be none.
    pub expected: u64,
    /// The signed value.
    pub envelope: Envelope,
}

/// One value of a batch as somebody else signed it.
#[derive(Debug, Clone)]
pub struct RawWrite {
    /// Its key.
    pub key: Key,
    /// The revision that it replaces; 0 where there must be none.
    pub expected: u64,
    /// The envelope's bytes.
    pub value: Bytes,
}

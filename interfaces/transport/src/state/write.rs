//! Writing into the lattice's state: a value is signed as what follows the one before it, and several are written together
//! or not at all.

use mesh_claims::{Envelope, keys::KeyPair};
use mesh_lattice::key::Key;
use serde::Serialize;

use super::{MAX_VALUE, Position, RawWrite, State, StateError, Write, failed, unsigned};
use crate::bucket::BucketError;

impl State {
    /// Signs a value as what follows `position`.
    ///
    /// # Errors
    ///
    /// Where it cannot be written or is too large.
    pub fn seal<T: Serialize>(
        &self,
        key: &Key,
        value: &T,
        position: Position,
        signer: &KeyPair,
    ) -> Result<Write, StateError> {
        let envelope = Envelope::sign(key, self.incarnation(), position.generation + 1, value, signer);
        Ok(Write { key: key.clone(), expected: position.revision, envelope: envelope.map_err(unsigned)? })
    }

    /// Signs a value and writes it in place of what is at `position`; where it stands then.
    ///
    /// # Errors
    ///
    /// [`StateError::Conflict`], where something else is there.
    pub async fn put_signed<T: Serialize>(
        &self,
        key: &Key,
        value: &T,
        position: Position,
        signer: &KeyPair,
    ) -> Result<Position, StateError> {
        let write = self.seal(key, value, position, signer)?;
        let generation = write.envelope.generation;
        let revision = self.commit(vec![write]).await?;
        Ok(Position { revision, generation })
    }

    /// Writes all of these or none; the revision of the last.
    ///
    /// # Errors
    ///
    /// [`StateError::Conflict`], where one of the keys is not at its expected revision: nothing was written.
    pub async fn commit(&self, writes: Vec<Write>) -> Result<u64, StateError> {
        let raw = |write: Write| {
            let value = write.envelope.encode().into();
            RawWrite { key: write.key, expected: write.expected, value }
        };
        self.commit_raw(writes.into_iter().map(raw).collect()).await
    }

    /// Writes all of these or none; the revision of the last.
    ///
    /// # Errors
    ///
    /// See [`State::commit`].
    pub async fn commit_raw(&self, writes: Vec<RawWrite>) -> Result<u64, StateError> {
        let mut keys = std::collections::BTreeSet::new();
        for write in &writes {
            if write.value.len() > MAX_VALUE {
                return Err(StateError::TooLarge { key: write.key.to_string(), size: write.value.len() });
            }
            if !keys.insert(&write.key) {
                return Err(StateError::Malformed(format!("{} stands twice in one batch", write.key)));
            }
        }
        let Some(first) = writes.first().map(|write| write.key.clone()) else {
            return Err(StateError::Malformed("an empty batch".to_owned()));
        };
        let expectations: Vec<_> = writes.iter().map(|write| (write.key.clone(), write.expected)).collect();
        let mut raw: Vec<_> =
            writes.into_iter().map(|write| (write.key.to_string(), write.value, write.expected)).collect();
        let written = match raw.pop() {
            Some((key, value, expected)) if raw.is_empty() => self.inner.bucket.put(&key, value, expected).await,
            Some(last) => {
                raw.push(last);
                self.inner.bucket.batch(raw).await
            }
            None => Ok(0),
        };
        match written {
            Err(BucketError::Conflict) => Err(StateError::Conflict { key: self.changed(&expectations, first).await }),
            other => other.map_err(|error| failed(error, &first)),
        }
    }

    /// Which of these keys is not where it was expected: the server does not say.
    async fn changed(&self, expectations: &[(Key, u64)], or: Key) -> String {
        for (key, expected) in expectations {
            let found = self.inner.bucket.get(&key.to_string()).await;
            if found.is_ok_and(|found| found.map_or(0, |stored| stored.revision) != *expected) {
                return key.to_string();
            }
        }
        or.to_string()
    }

    /// Takes away a value that nothing needs any more; nobody who watches hears of it.
    ///
    /// # Errors
    ///
    /// Where the store does not do it.
    pub async fn purge(&self, key: &Key) -> Result<(), StateError> {
        self.inner.bucket.purge(&key.to_string()).await.map_err(|error| failed(error, key))
    }
}

//! The bytes of artifacts: from this host's disk, else from a path that an assignment file names, else from the
//! lattice's object store. Called by `actors.rs`, which verifies them; what comes from here is only what its digest
//! says.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use mesh_lattice::Digest;
use tokio::sync::watch;

use crate::files;

/// One fetch from the object store takes at most this long.
const FETCH: Duration = Duration::from_secs(60);

/// There are no bytes of this digest to be had now.
#[derive(Debug, thiserror::Error)]
pub enum ArtifactError {
    /// Nobody has it.
    #[error("the artifact {digest} is neither on this host's disk nor in the lattice's store")]
    Missing {
        /// What is missing.
        digest: Digest,
    },
    /// The store does not answer.
    #[error("the artifact {digest} cannot be fetched: {what}")]
    Unreachable {
        /// What is wanted.
        digest: Digest,
        /// Why.
        what: String,
    },
}

/// This host's artifacts.
pub struct Artifacts {
    dir: PathBuf,
    store: watch::Receiver<Option<Arc<mesh_transport::Artifacts>>>,
}

impl Artifacts {
    /// Artifacts kept under `dir`, and fetched from `store` as soon as there is one.
    #[must_use]
    pub fn new(dir: PathBuf, store: watch::Receiver<Option<Arc<mesh_transport::Artifacts>>>) -> Self {
        Self { dir, store }
    }

    /// The bytes.
    ///
    /// # Errors
    ///
    /// Where nobody has them now.
    pub async fn get(&self, digest: &Digest) -> Result<Bytes, ArtifactError> {
        if let Some(bytes) = self.read_disk(digest).await {
            return Ok(bytes);
        }
        let store = self.store.borrow().clone();
        let Some(store) = store else { return Err(ArtifactError::Missing { digest: *digest }) };
        let unreachable = |what: String| ArtifactError::Unreachable { digest: *digest, what };
        let fetched = tokio::time::timeout(FETCH, store.get(digest))
            .await
            .map_err(|_| unreachable(format!("no answer within {} s", FETCH.as_secs())))?
            .map_err(|error| unreachable(error.to_string()))?;
        let bytes = fetched.ok_or(ArtifactError::Missing { digest: *digest })?;
        if let Err(error) = self.keep(digest, bytes.clone()).await {
            tracing::warn!(%digest, "the artifact is not kept on disk: {error}");
        }
        Ok(bytes)
    }

    /// What is on disk, where it is what its name says; a file that is not is removed.
    async fn read_disk(&self, digest: &Digest) -> Option<Bytes> {
        let path = self.path(digest);
        let bytes = Bytes::from(tokio::fs::read(&path).await.ok()?);
        let (hashed, wanted) = (bytes.clone(), *digest);
        let intact = tokio::task::spawn_blocking(move || Digest::of(&hashed) == wanted).await.ok()?;
        if !intact {
            tracing::warn!(%digest, "a file of the artifact cache is not what its name says; it is removed");
            let _ = tokio::fs::remove_file(&path).await;
            return None;
        }
        Some(bytes)
    }

    async fn keep(&self, digest: &Digest, bytes: Bytes) -> std::io::Result<()> {
        let path = self.path(digest);
        match tokio::task::spawn_blocking(move || files::write_private(&path, &bytes)).await {
            Ok(written) => written,
            Err(_) => Err(std::io::Error::other("the write was cancelled")),
        }
    }

    fn path(&self, digest: &Digest) -> PathBuf {
        self.dir.join(digest.to_string())
    }
}

/// Puts a file's bytes into the cache and says what they are.
///
/// # Errors
///
/// Where the file cannot be read or the cache not be written.
pub(crate) fn import(dir: &Path, file: &Path) -> std::io::Result<Digest> {
    let bytes = std::fs::read(file)?;
    let digest = Digest::of(&bytes);
    let path = dir.join(digest.to_string());
    if !path.exists() {
        files::write_private(&path, &bytes)?;
    }
    Ok(digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alone(dir: &Path) -> Artifacts {
        Artifacts::new(dir.to_owned(), watch::channel(None).1)
    }

    #[tokio::test]
    async fn what_was_imported_is_read_read_disk() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a.wasm");
        std::fs::write(&file, b"bytes").unwrap();
        let cache = dir.path().join("cache");
        let digest = import(&cache, &file).unwrap();
        assert_eq!(alone(&cache).get(&digest).await.unwrap(), "bytes");
    }

    #[tokio::test]
    async fn a_file_that_is_not_what_its_name_says_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let digest = Digest::of(b"good");
        let path = dir.path().join(digest.to_string());
        std::fs::write(&path, b"bad").unwrap();
        assert!(matches!(alone(dir.path()).get(&digest).await, Err(ArtifactError::Missing { .. })));
        assert!(!path.exists());
    }
}

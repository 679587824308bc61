//! Artifacts in the lattice's store.

use bytes::Bytes;
use mesh_lattice::Digest;
use mesh_transport::Artifacts;

use super::Client;
use crate::exit::Failure;

impl Client {
    /// Puts an artifact into the store; whether it was not there yet.
    pub(crate) async fn upload(&self, bytes: Bytes) -> anyhow::Result<bool> {
        let store = Artifacts::new(self.connections());
        if store.has(&Digest::of(&bytes)).await? {
            return Ok(false);
        }
        store.put(bytes).await?;
        Ok(true)
    }

    /// An artifact from the store.
    pub(crate) async fn download(&self, digest: &Digest) -> anyhow::Result<Bytes> {
        let found = Artifacts::new(self.connections()).get(digest).await?;
        found.ok_or_else(|| Failure::not_found(format!("the lattice's store has no artifact {digest}")).into())
    }
}

//! Artifacts in the lattice's store.

use bytes::Bytes;
use mesh_lattice::Digest;
use mesh_transport::Artifacts;

use super::Client;
use crate::{exit::Failure, output::Output};

impl Client {
    /// Puts the artifact of this digest into the store, and says so, where it is not there yet.
    pub(crate) async fn upload(&self, digest: &Digest, bytes: Bytes, out: &Output) -> anyhow::Result<()> {
        let store = Artifacts::new(self.connections());
        if !store.has(digest).await? {
            store.put(bytes).await?;
            out.detail(&format!("{digest} is in the lattice's store"));
        }
        Ok(())
    }

    /// An artifact from the store.
    pub(crate) async fn download(&self, digest: &Digest) -> anyhow::Result<Bytes> {
        let found = Artifacts::new(self.connections()).get(digest).await?;
        found.ok_or_else(|| Failure::not_found(format!("the lattice's store has no artifact {digest}")).into())
    }
}

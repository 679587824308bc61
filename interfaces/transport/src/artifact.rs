//! The artifact store: bytes under their SHA-256, an untrusted cache. What comes out is hashed before it is used.

use std::{str::FromStr as _, time::Duration};

use async_nats::jetstream::object_store::{Config, GetErrorKind, InfoErrorKind, ObjectStore};
use bytes::Bytes;
use futures::StreamExt as _;
use mesh_lattice::{id::Digest, key};
use tokio::{io::AsyncReadExt as _, time::timeout};

use crate::connect::{Connections, Disconnected};

/// How long one artifact may take to be stored or read.
const TRANSFER_TIMEOUT: Duration = Duration::from_secs(120);

/// How long a question about one may take.
const QUESTION_TIMEOUT: Duration = Duration::from_secs(5);

/// Artifacts larger than this are neither stored nor read.
const MAX_ARTIFACT: usize = 512 << 20;

/// Why an artifact was not stored or not read.
#[derive(Debug, thiserror::Error)]
pub enum ArtifactError {
    /// The connection is down.
    #[error(transparent)]
    Disconnected(#[from] Disconnected),
    /// It took too long.
    #[error("the artifact store did not answer in time")]
    Timeout,
    /// What is stored under the digest has another.
    #[error("what is stored as {0} is something else")]
    Corrupt(Digest),
    /// Larger than half a gibibyte.
    #[error("an artifact of {0} bytes is too large")]
    TooLarge(usize),
    /// The store says no.
    #[error("the artifact store: {0}")]
    Backend(String),
}

/// The artifacts of one lattice. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Artifacts {
    connections: Connections,
    name: String,
}

impl Artifacts {
    /// The store; whether it is there shows when it is used.
    #[must_use]
    pub fn new(connections: &Connections) -> Self {
        Self { connections: connections.clone(), name: key::artifact_store(connections.lattice()) }
    }

    pub(crate) async fn create(&self, replicas: usize) -> Result<(), String> {
        if self.store().await.is_ok() {
            return Ok(());
        }
        let config = Config { bucket: self.name.clone(), num_replicas: replicas, ..Config::default() };
        let made = timeout(QUESTION_TIMEOUT, self.connections.js().create_object_store(config)).await;
        made.map_err(|_| "the artifact store was not made in time".to_owned())?
            .map(|_| ())
            .map_err(|error| error.to_string())
    }

    async fn store(&self) -> Result<ObjectStore, ArtifactError> {
        self.connections.control()?;
        let store = timeout(QUESTION_TIMEOUT, self.connections.js().get_object_store(&self.name)).await;
        store.map_err(|_| ArtifactError::Timeout)?.map_err(backend)
    }

    /// Stores an artifact, unless it is there.
    ///
    /// # Errors
    ///
    /// Where the store does not take it.
    pub async fn put(&self, bytes: Bytes) -> Result<Digest, ArtifactError> {
        if bytes.len() > MAX_ARTIFACT {
            return Err(ArtifactError::TooLarge(bytes.len()));
        }
        let digest = Digest::of(&bytes);
        let store = self.store().await?;
        if let Some(size) = size_of(&store, &digest).await?
            && size == bytes.len()
        {
            return Ok(digest);
        }
        let name = key::artifact(&digest);
        let mut reader = std::io::Cursor::new(bytes);
        let stored = timeout(TRANSFER_TIMEOUT, store.put(name.as_str(), &mut reader)).await;
        stored.map_err(|_| ArtifactError::Timeout)?.map_err(backend)?;
        Ok(digest)
    }

    /// The artifact of this digest, hashed again; `None` where there is none.
    ///
    /// # Errors
    ///
    /// [`ArtifactError::Corrupt`], where what is there is something else.
    pub async fn get(&self, digest: &Digest) -> Result<Option<Bytes>, ArtifactError> {
        let store = self.store().await?;
        let read = async {
            let mut object = match store.get(key::artifact(digest)).await {
                Ok(object) => object,
                Err(error) if error.kind() == GetErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(backend(error)),
            };
            let size = object.info().size;
            if size > MAX_ARTIFACT {
                return Err(ArtifactError::TooLarge(size));
            }
            // The size is only what the store says: what is read decides.
            let mut bytes = Vec::with_capacity(size.min(64 << 20));
            let limit = u64::try_from(MAX_ARTIFACT).unwrap_or(u64::MAX);
            let mut limited = (&mut object).take(limit);
            limited.read_to_end(&mut bytes).await.map_err(|_| ArtifactError::Corrupt(*digest))?;
            Ok(Some(bytes))
        };
        let Some(bytes) = timeout(TRANSFER_TIMEOUT, read).await.map_err(|_| ArtifactError::Timeout)?? else {
            return Ok(None);
        };
        if Digest::of(&bytes) == *digest { Ok(Some(bytes.into())) } else { Err(ArtifactError::Corrupt(*digest)) }
    }

    /// Whether the store says that it has this artifact.
    ///
    /// # Errors
    ///
    /// Where it does not answer.
    pub async fn has(&self, digest: &Digest) -> Result<bool, ArtifactError> {
        Ok(size_of(&self.store().await?, digest).await?.is_some())
    }

    /// What the store says that it has.
    ///
    /// # Errors
    ///
    /// Where it does not answer.
    pub async fn list(&self) -> Result<Vec<Digest>, ArtifactError> {
        let store = self.store().await?;
        let list = async {
            let mut objects = store.list().await.map_err(backend)?;
            let mut digests = Vec::new();
            while let Some(object) = objects.next().await {
                let object = object.map_err(backend)?;
                digests.extend(Digest::from_str(&object.name).ok());
            }
            Ok(digests)
        };
        timeout(QUESTION_TIMEOUT, list).await.map_err(|_| ArtifactError::Timeout)?
    }

    /// Deletes an artifact; no matter if there is none.
    ///
    /// # Errors
    ///
    /// Where the store does not answer.
    pub async fn delete(&self, digest: &Digest) -> Result<(), ArtifactError> {
        let store = self.store().await?;
        if size_of(&store, digest).await?.is_none() {
            return Ok(());
        }
        let deleted = timeout(QUESTION_TIMEOUT, store.delete(key::artifact(digest))).await;
        deleted.map_err(|_| ArtifactError::Timeout)?.map_err(backend)
    }
}

async fn size_of(store: &ObjectStore, digest: &Digest) -> Result<Option<usize>, ArtifactError> {
    let info = timeout(QUESTION_TIMEOUT, store.info(key::artifact(digest))).await;
    match info.map_err(|_| ArtifactError::Timeout)? {
        Ok(info) => Ok((!info.deleted).then_some(info.size)),
        Err(error) if error.kind() == InfoErrorKind::NotFound => Ok(None),
        Err(error) => Err(backend(error)),
    }
}

fn backend(error: impl std::fmt::Display) -> ArtifactError {
    ArtifactError::Backend(error.to_string())
}

//! The operations on a bucket.
//!
//! A write is not handed to the connection once its deadline has passed. NATS knows no deadlines: what the connection has,
//! and has not written when the process is stopped or the network stands still, is stored when it goes on, unless the
//! server has closed the connection by then, as it does where its pings stay unanswered.

use std::{collections::HashMap, sync::Arc};

use async_nats::jetstream::kv::{self, Operation, UpdateErrorKind};
use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use mesh_lattice::{CallError, Code, wit::keyvalue::KeyResponse};
use mesh_provider::keyvalue::{Delta, Scope, Store, StoreError, Version};

use crate::{
    connection::{Connection, within},
    counter::Counters,
    key::{decode, encode},
    listing,
    settings::{LinkSettings, is_reserved},
};

/// What a message takes beside its value: a value may be as large as the server's `max_payload` less this.
pub const HEADROOM: usize = 1024;

/// The longest key as it stands in the bucket: a protocol line of NATS has 4,096 bytes.
const MAX_ENCODED: usize = 3_584;

/// Requests of one batch that are under way at the same time.
const AT_ONCE: usize = 64;

/// A link's store.
pub(crate) struct NatsStore {
    pub(crate) connection: Arc<Connection>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) settings: LinkSettings,
}

impl NatsStore {
    async fn bucket(&self, scope: Scope<'_>) -> Result<kv::Store, StoreError> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
        if is_reserved(scope.bucket) {
            return Err(StoreError::access_denied());
        }
        if scope.bucket.is_empty() || scope.bucket.len() > 200 || !scope.bucket.bytes().all(plain) {
            return Err(StoreError::no_such_store());
        }
        self.connection.bucket(&self.settings, scope.bucket, scope.deadline).await
    }

    /// The answer, or what went wrong; then the bucket is looked for anew by the next call.
    async fn answer<T, E: std::fmt::Display>(
        &self,
        scope: Scope<'_>,
        answer: impl Future<Output = Result<T, E>> + Send,
    ) -> Result<T, StoreError> {
        let failed = match within(scope.deadline, answer).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(error)) => StoreError::backend(format!("NATS: {error}")),
            Err(late) => late,
        };
        self.connection.forget(&self.settings, scope.bucket);
        Err(failed)
    }

    async fn read(&self, scope: Scope<'_>, bucket: &kv::Store, key: &str) -> Result<Option<Bytes>, StoreError> {
        let entry = self.answer(scope, bucket.entry(encoded(key)?)).await?;
        Ok(entry.filter(|entry| entry.operation == Operation::Put).map(|entry| entry.value))
    }

    async fn write(&self, scope: Scope<'_>, bucket: &kv::Store, key: &str, value: Bytes) -> Result<(), StoreError> {
        self.answer(scope, bucket.put(encoded(key)?, value)).await.map(drop)
    }

    async fn erase(&self, scope: Scope<'_>, bucket: &kv::Store, key: &str) -> Result<(), StoreError> {
        self.answer(scope, bucket.delete(encoded(key)?)).await
    }

    fn fits(&self, bucket: &kv::Store, value: &Bytes) -> Result<(), StoreError> {
        let of_bucket = usize::try_from(bucket.stream.cached_info().config.max_message_size).ok();
        let most = self.connection.nats.max_payload().min(of_bucket.filter(|most| *most > 0).unwrap_or(usize::MAX));
        let most = most.saturating_sub(HEADROOM);
        if value.len() <= most { Ok(()) } else { Err(StoreError::too_large(value.len(), most)) }
    }
}

fn encoded(key: &str) -> Result<String, StoreError> {
    let encoded = encode(key);
    if encoded.len() <= MAX_ENCODED {
        return Ok(encoded);
    }
    let message = format!("a key that takes {} bytes in NATS, where at most {MAX_ENCODED} fit", encoded.len());
    Err(StoreError::Call(CallError::new(Code::TooLarge, message)))
}

impl Store for NatsStore {
    async fn open(&self, scope: Scope<'_>) -> Result<(), StoreError> {
        self.bucket(scope).await.map(drop)
    }

    async fn get(&self, scope: Scope<'_>, key: String) -> Result<Option<Bytes>, StoreError> {
        let bucket = self.bucket(scope).await?;
        self.read(scope, &bucket, &key).await
    }

    async fn set(&self, scope: Scope<'_>, key: String, value: Bytes) -> Result<(), StoreError> {
        let bucket = self.bucket(scope).await?;
        self.fits(&bucket, &value)?;
        self.write(scope, &bucket, &key, value).await
    }

    async fn delete(&self, scope: Scope<'_>, key: String) -> Result<(), StoreError> {
        let bucket = self.bucket(scope).await?;
        self.erase(scope, &bucket, &key).await
    }

    async fn exists(&self, scope: Scope<'_>, key: String) -> Result<bool, StoreError> {
        self.get(scope, key).await.map(|value| value.is_some())
    }

    async fn list_keys(&self, scope: Scope<'_>, cursor: Option<u64>) -> Result<KeyResponse, StoreError> {
        let bucket = self.bucket(scope).await?;
        let mut page = self.answer(scope, Box::pin(listing::page(&bucket, self.connection.inbox(), cursor))).await?;
        for key in &mut page.keys {
            *key = decode(key);
        }
        Ok(page)
    }

    async fn increment(&self, scope: Scope<'_>, key: String, delta: Delta) -> Result<i128, StoreError> {
        let bucket = self.bucket(scope).await?;
        let added =
            self.counters.add(self.settings.domain.as_deref(), &bucket, (encoded(&key)?, delta), scope.deadline).await;
        if matches!(&added, Err(StoreError::Call(error)) if error.code == Code::Backend) {
            self.connection.forget(&self.settings, scope.bucket);
        }
        added
    }

    async fn get_many(&self, scope: Scope<'_>, keys: Vec<String>) -> Result<Vec<Option<Bytes>>, StoreError> {
        let bucket = &self.bucket(scope).await?;
        let reads = keys.iter().map(|key| self.read(scope, bucket, key));
        // Collected first, so that the stream is over plain futures: a closure in it would tie their lifetimes.
        stream::iter(reads.collect::<Vec<_>>()).buffered(AT_ONCE).try_collect().await
    }

    async fn set_many(&self, scope: Scope<'_>, pairs: Vec<(String, Bytes)>) -> Result<(), StoreError> {
        let bucket = &self.bucket(scope).await?;
        pairs.iter().try_for_each(|(_, value)| self.fits(bucket, value))?;
        // They are written side by side: of a key that comes twice, the last one counts.
        let last: HashMap<String, Bytes> = pairs.into_iter().collect();
        let writes: Vec<_> = last.iter().map(|(key, value)| self.write(scope, bucket, key, value.clone())).collect();
        stream::iter(writes).buffer_unordered(AT_ONCE).try_collect().await
    }

    async fn delete_many(&self, scope: Scope<'_>, keys: Vec<String>) -> Result<(), StoreError> {
        let bucket = &self.bucket(scope).await?;
        let deletes: Vec<_> = keys.iter().map(|key| self.erase(scope, bucket, key)).collect();
        stream::iter(deletes).buffer_unordered(AT_ONCE).try_collect().await
    }

    /// The revision that stands there, also that of a deletion; 0 where there never was anything.
    async fn version(&self, scope: Scope<'_>, key: String) -> Result<Version, StoreError> {
        let bucket = self.bucket(scope).await?;
        let entry = self.answer(scope, bucket.entry(encoded(&key)?)).await?;
        Ok(Version(entry.map_or(0, |entry| entry.revision).to_be_bytes().to_vec()))
    }

    async fn swap(&self, scope: Scope<'_>, key: String, expected: Version, value: Bytes) -> Result<bool, StoreError> {
        let bucket = self.bucket(scope).await?;
        self.fits(&bucket, &value)?;
        // A version that this store never made is none that stands there.
        let Ok(revision) = expected.0.try_into().map(u64::from_be_bytes) else { return Ok(false) };
        match within(scope.deadline, bucket.update(encoded(&key)?, value, revision)).await? {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == UpdateErrorKind::WrongLastRevision => Ok(false),
            Err(error) => {
                self.connection.forget(&self.settings, scope.bucket);
                Err(StoreError::backend(format!("NATS: {error}")))
            }
        }
    }
}

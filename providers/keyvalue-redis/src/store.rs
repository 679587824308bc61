//! The operations on a bucket.

use std::{collections::HashSet, sync::Arc};

use bytes::Bytes;
use mesh_lattice::{Deadline, wit::keyvalue::KeyResponse};
use mesh_provider::keyvalue::{Delta, Scope, Store, StoreError, Version, add};
use redis::{Cmd, FromRedisValue, cmd};

use crate::{connection::Connection, settings::is_bucket};

/// The largest value that is taken. Redis takes more; whatever reads it has to hold it in memory.
pub const MAX_VALUE: usize = 64 << 20;

/// Keys that one step of a listing looks at.
const LOOKED_AT: usize = 1_000;

/// Writes a key if it still holds what was read, and keeps its time to live.
const SWAP: &str = "if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('SET', KEYS[1], ARGV[2], 'KEEPTTL') return 1 end return 0";

/// A link's store.
pub(crate) struct RedisStore {
    pub(crate) connection: Arc<Connection>,
}

/// What a bucket puts in front of its keys.
struct Prefix(String);

impl Prefix {
    fn of(scope: Scope<'_>) -> Result<Self, StoreError> {
        match scope.bucket {
            "" => Ok(Self(String::new())),
            bucket if is_bucket(bucket) => Ok(Self(format!("{bucket}:"))),
            _ => Err(StoreError::no_such_store()),
        }
    }

    fn key(&self, key: &str) -> String {
        format!("{}{key}", self.0)
    }

    fn keys(&self, keys: &[String]) -> Vec<String> {
        keys.iter().map(|key| self.key(key)).collect()
    }
}

impl RedisStore {
    async fn ask<T: FromRedisValue>(&self, command: &Cmd, deadline: Deadline) -> Result<T, StoreError> {
        self.connection.ask(command, deadline).await.map_err(|failed| failed.into_error(&self.connection))
    }

    /// Writes `value` if `current` still stands there; whether it did.
    async fn write_over(
        &self,
        key: &str,
        current: Option<&[u8]>,
        value: &[u8],
        deadline: Deadline,
    ) -> Result<bool, StoreError> {
        let Some(current) = current else {
            let set: Option<String> = self.ask(cmd("SET").arg(key).arg(value).arg("NX"), deadline).await?;
            return Ok(set.is_some());
        };
        let mut swap = cmd("EVAL");
        swap.arg(SWAP).arg(1).arg(key).arg(current).arg(value);
        Ok(self.ask::<u8>(&swap, deadline).await? == 1)
    }

    /// Adds where `INCRBY` cannot: it counts to 2^63 - 1 and wants the text to be exactly its number.
    async fn add_by_hand(&self, key: &str, delta: Delta, deadline: Deadline) -> Result<i128, StoreError> {
        while !deadline.has_passed() {
            let current: Option<Bytes> = self.ask(cmd("GET").arg(key), deadline).await?;
            let sum = add(current.as_deref(), delta)?;
            if self.write_over(key, current.as_deref(), sum.to_string().as_bytes(), deadline).await? {
                return Ok(sum);
            }
        }
        Err(StoreError::backend("the counter was changed by others all the time"))
    }
}

fn fits(value: &Bytes) -> Result<(), StoreError> {
    if value.len() <= MAX_VALUE { Ok(()) } else { Err(StoreError::too_large(value.len(), MAX_VALUE)) }
}

impl Store for RedisStore {
    async fn open(&self, scope: Scope<'_>) -> Result<(), StoreError> {
        Prefix::of(scope).map(drop)
    }

    async fn get(&self, scope: Scope<'_>, key: String) -> Result<Option<Bytes>, StoreError> {
        self.ask(cmd("GET").arg(Prefix::of(scope)?.key(&key)), scope.deadline).await
    }

    async fn set(&self, scope: Scope<'_>, key: String, value: Bytes) -> Result<(), StoreError> {
        fits(&value)?;
        self.ask(cmd("SET").arg(Prefix::of(scope)?.key(&key)).arg(&value[..]), scope.deadline).await
    }

    async fn delete(&self, scope: Scope<'_>, key: String) -> Result<(), StoreError> {
        self.ask(cmd("DEL").arg(Prefix::of(scope)?.key(&key)), scope.deadline).await
    }

    async fn exists(&self, scope: Scope<'_>, key: String) -> Result<bool, StoreError> {
        self.ask(cmd("EXISTS").arg(Prefix::of(scope)?.key(&key)), scope.deadline).await
    }

    /// Redis shows each key that stands all the while at least once. Within a page none comes twice; across pages one
    /// may, while Redis grows or shrinks its table.
    async fn list_keys(&self, scope: Scope<'_>, cursor: Option<u64>) -> Result<KeyResponse, StoreError> {
        let prefix = Prefix::of(scope)?;
        let mut cursor = cursor.unwrap_or(0);
        let mut keys = HashSet::new();
        // A step may find nothing though there is more: a guest is not made to ask for the next one.
        loop {
            let mut scan = cmd("SCAN");
            scan.arg(cursor).arg("COUNT").arg(LOOKED_AT).arg("TYPE").arg("string");
            if !prefix.0.is_empty() {
                scan.arg("MATCH").arg(format!("{}*", prefix.0));
            }
            let (next, found): (u64, Vec<Vec<u8>>) = self.ask(&scan, scope.deadline).await?;
            // A key that is no text cannot be asked for either.
            let texts = found.into_iter().filter_map(|key| String::from_utf8(key).ok());
            keys.extend(texts.filter_map(|key| key.strip_prefix(&prefix.0).map(str::to_owned)));
            cursor = next;
            if cursor == 0 || !keys.is_empty() {
                return Ok(KeyResponse { keys: keys.into_iter().collect(), cursor: (cursor != 0).then_some(cursor) });
            }
        }
    }

    async fn increment(&self, scope: Scope<'_>, key: String, delta: Delta) -> Result<i128, StoreError> {
        let key = Prefix::of(scope)?.key(&key);
        let by = match delta {
            Delta::Signed(by) => Ok(by),
            Delta::Unsigned(by) => i64::try_from(by),
        };
        let Ok(by) = by else { return self.add_by_hand(&key, delta, scope.deadline).await };
        match self.connection.ask::<i64>(cmd("INCRBY").arg(&key).arg(by), scope.deadline).await {
            Ok(sum) => Ok(sum.into()),
            Err(failed) if failed.is_out_of_range() => self.add_by_hand(&key, delta, scope.deadline).await,
            Err(failed) => Err(failed.into_error(&self.connection)),
        }
    }

    async fn get_many(&self, scope: Scope<'_>, keys: Vec<String>) -> Result<Vec<Option<Bytes>>, StoreError> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        self.ask(cmd("MGET").arg(Prefix::of(scope)?.keys(&keys)), scope.deadline).await
    }

    async fn set_many(&self, scope: Scope<'_>, pairs: Vec<(String, Bytes)>) -> Result<(), StoreError> {
        pairs.iter().try_for_each(|(_, value)| fits(value))?;
        if pairs.is_empty() {
            return Ok(());
        }
        let prefix = Prefix::of(scope)?;
        let mut write = cmd("MSET");
        for (key, value) in &pairs {
            write.arg(prefix.key(key)).arg(&value[..]);
        }
        self.ask(&write, scope.deadline).await
    }

    async fn delete_many(&self, scope: Scope<'_>, keys: Vec<String>) -> Result<(), StoreError> {
        if keys.is_empty() {
            return Ok(());
        }
        self.ask(cmd("DEL").arg(Prefix::of(scope)?.keys(&keys)), scope.deadline).await
    }

    async fn version(&self, scope: Scope<'_>, key: String) -> Result<Version, StoreError> {
        Ok(Version::of_value(self.get(scope, key).await?.as_deref()))
    }

    async fn swap(&self, scope: Scope<'_>, key: String, expected: Version, value: Bytes) -> Result<bool, StoreError> {
        fits(&value)?;
        let current = self.get(scope, key.clone()).await?;
        if Version::of_value(current.as_deref()) != expected {
            return Ok(false);
        }
        self.write_over(&Prefix::of(scope)?.key(&key), current.as_deref(), &value, scope.deadline).await
    }
}

//! Reads, in place; writes, through the writer.

use std::sync::Arc;

use bytes::Bytes;
use mesh_lattice::wit::keyvalue::KeyResponse;
use mesh_provider::keyvalue::{Delta, Scope, Store, StoreError, Version};
use redb::Database;

use crate::{
    tables,
    writer::{Change, Writer},
};

/// The largest value.
pub const MAX_VALUE: usize = 16 << 20;

/// The longest name of a bucket.
const MAX_BUCKET: usize = 255;

/// A store on one database.
pub(crate) struct RedbStore {
    pub(crate) database: Arc<Database>,
    pub(crate) writer: Writer,
}

impl RedbStore {
    async fn change(&self, scope: Scope<'_>, change: Change) -> Result<i128, StoreError> {
        check(scope)?;
        self.writer.change(scope.bucket, change, scope.deadline).await
    }
}

fn check(scope: Scope<'_>) -> Result<(), StoreError> {
    if scope.bucket.len() <= MAX_BUCKET { Ok(()) } else { Err(StoreError::no_such_store()) }
}

fn fits(value: &Bytes) -> Result<(), StoreError> {
    if value.len() <= MAX_VALUE { Ok(()) } else { Err(StoreError::too_large(value.len(), MAX_VALUE)) }
}

impl Store for RedbStore {
    async fn open(&self, scope: Scope<'_>) -> Result<(), StoreError> {
        check(scope)
    }

    async fn get(&self, scope: Scope<'_>, key: String) -> Result<Option<Bytes>, StoreError> {
        check(scope)?;
        let mut values = tables::get(&*self.database, scope.bucket, [key], Bytes::copy_from_slice)?;
        Ok(values.pop().flatten())
    }

    async fn set(&self, scope: Scope<'_>, key: String, value: Bytes) -> Result<(), StoreError> {
        self.set_many(scope, vec![(key, value)]).await
    }

    async fn delete(&self, scope: Scope<'_>, key: String) -> Result<(), StoreError> {
        self.delete_many(scope, vec![key]).await
    }

    async fn exists(&self, scope: Scope<'_>, key: String) -> Result<bool, StoreError> {
        check(scope)?;
        let found = tables::get(&*self.database, scope.bucket, [key], |_| ())?;
        Ok(found.first().is_some_and(Option::is_some))
    }

    async fn list_keys(&self, scope: Scope<'_>, cursor: Option<u64>) -> Result<KeyResponse, StoreError> {
        check(scope)?;
        Ok(tables::list(&*self.database, scope.bucket, cursor)?)
    }

    async fn increment(&self, scope: Scope<'_>, key: String, delta: Delta) -> Result<i128, StoreError> {
        self.change(scope, Change::Increment(key, delta)).await
    }

    async fn get_many(&self, scope: Scope<'_>, keys: Vec<String>) -> Result<Vec<Option<Bytes>>, StoreError> {
        check(scope)?;
        Ok(tables::get(&*self.database, scope.bucket, keys, Bytes::copy_from_slice)?)
    }

    async fn set_many(&self, scope: Scope<'_>, pairs: Vec<(String, Bytes)>) -> Result<(), StoreError> {
        pairs.iter().try_for_each(|(_, value)| fits(value))?;
        self.change(scope, Change::Set(pairs)).await.map(drop)
    }

    async fn delete_many(&self, scope: Scope<'_>, keys: Vec<String>) -> Result<(), StoreError> {
        self.change(scope, Change::Delete(keys)).await.map(drop)
    }

    async fn version(&self, scope: Scope<'_>, key: String) -> Result<Version, StoreError> {
        check(scope)?;
        let found = tables::get(&*self.database, scope.bucket, [key], |value| Version::of_value(Some(value)))?;
        Ok(found.into_iter().flatten().next().unwrap_or_else(|| Version::of_value(None)))
    }

    async fn swap(&self, scope: Scope<'_>, key: String, expected: Version, value: Bytes) -> Result<bool, StoreError> {
        fits(&value)?;
        Ok(self.change(scope, Change::Swap(key, expected, value)).await? == 1)
    }
}

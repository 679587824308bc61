//! Open calls by their id, in shards so that callers and the reader seldom meet at one lock.

use std::{
    collections::HashMap,
    sync::atomic::{AtomicUsize, Ordering},
};

use mesh_lattice::id::CallId;
use parking_lot::Mutex;

const SHARDS: usize = 16;

/// The table.
pub(super) struct Table<V> {
    shards: [Mutex<HashMap<CallId, V>>; SHARDS],
    length: AtomicUsize,
}

impl<V> Default for Table<V> {
    fn default() -> Self {
        Self { shards: std::array::from_fn(|_| Mutex::default()), length: AtomicUsize::new(0) }
    }
}

impl<V: Clone> Table<V> {
    /// The last byte of an id is random, so it picks the shard.
    fn shard(&self, id: CallId) -> Option<&Mutex<HashMap<CallId, V>>> {
        let [.., last] = id.0.as_bytes();
        self.shards.get(usize::from(*last) % SHARDS)
    }

    pub(super) fn insert(&self, id: CallId, value: V) {
        let before = self.shard(id).and_then(|shard| shard.lock().insert(id, value));
        if before.is_none() {
            self.length.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn get(&self, id: CallId) -> Option<V> {
        self.shard(id)?.lock().get(&id).cloned()
    }

    pub(super) fn remove(&self, id: CallId) -> Option<V> {
        let removed = self.shard(id)?.lock().remove(&id);
        if removed.is_some() {
            self.length.fetch_sub(1, Ordering::Relaxed);
        }
        removed
    }

    pub(super) fn values(&self) -> Vec<V> {
        self.shards.iter().flat_map(|shard| shard.lock().values().cloned().collect::<Vec<_>>()).collect()
    }

    pub(super) fn len(&self) -> usize {
        self.length.load(Ordering::Relaxed)
    }
}

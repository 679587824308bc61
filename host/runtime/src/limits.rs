//! Memory, tables and instances: what one call may use, and what all of them together may.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use wasmtime::ResourceLimiter;

/// Elements of one table.
pub(crate) const MAX_TABLE_ELEMENTS: usize = 100_000;
/// Core instances of one component.
const MAX_INSTANCES: usize = 100;
/// Tables of one component.
const MAX_TABLES: usize = 32;
/// Linear memories of one component.
const MAX_MEMORIES: usize = 16;
/// Bytes that one host call may copy out of the guest.
pub(crate) const HOSTCALL_FUEL: usize = 16 << 20;
/// Resource handles that the guest holds at once.
pub(crate) const MAX_HANDLES: usize = 4096;
/// Resources that the host keeps for one instance.
pub(crate) const MAX_RESOURCES: usize = 4096;
/// Random bytes that one host call gives.
pub(crate) const MAX_RANDOM_BYTES: u64 = 1 << 20;
/// Bytes of the headers of one message, as they lie in memory.
pub(crate) const MAX_FIELD_BYTES: usize = 128 << 10;

/// The linear memory of all instances of an engine.
pub(crate) struct Budget {
    limit: u64,
    used: AtomicU64,
}

impl Budget {
    pub(crate) fn new(limit: u64) -> Self {
        Self { limit, used: AtomicU64::new(0) }
    }

    pub(crate) fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// Whether at least half of it is free.
    pub(crate) fn is_roomy(&self) -> bool {
        self.used() <= self.limit / 2
    }

    fn take(&self, bytes: u64) -> bool {
        let taken = self.used.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes) <= self.limit;
        if !taken {
            self.give_back(bytes);
        }
        taken
    }

    fn give_back(&self, bytes: u64) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// What one instance uses; given back when it goes.
pub(crate) struct Usage {
    budget: Arc<Budget>,
    limit: u64,
    memory: u64,
    last_growth: u64,
    /// Whether something was refused: what the guest then does wrong is explained by this.
    pub(crate) refused: bool,
}

impl Usage {
    pub(crate) fn new(budget: Arc<Budget>, limit: u64) -> Self {
        Self { budget, limit, memory: 0, last_growth: 0, refused: false }
    }

    /// Counts bytes that the host keeps for the guest as the guest's own; whether it may have them.
    pub(crate) fn hold(&mut self, bytes: usize) -> bool {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        let fits = self.memory.checked_add(bytes).is_some_and(|memory| memory <= self.limit);
        if fits && self.budget.take(bytes) {
            self.memory += bytes;
            return true;
        }
        self.refused = true;
        false
    }

    /// Bytes that were held are gone.
    pub(crate) fn release(&mut self, bytes: usize) {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX).min(self.memory);
        self.memory -= bytes;
        self.budget.give_back(bytes);
    }
}

impl Drop for Usage {
    fn drop(&mut self) {
        self.budget.give_back(self.memory);
    }
}

impl ResourceLimiter for Usage {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let growth = u64::try_from(desired.saturating_sub(current)).unwrap_or(u64::MAX);
        let fits = self.memory.checked_add(growth).is_some_and(|memory| memory <= self.limit);
        if fits && self.budget.take(growth) {
            self.memory += growth;
            self.last_growth = growth;
            return Ok(true);
        }
        self.refused = true;
        Ok(false)
    }

    fn memory_grow_failed(&mut self, _: wasmtime::Error) -> wasmtime::Result<()> {
        let growth = std::mem::take(&mut self.last_growth);
        self.memory -= growth;
        self.budget.give_back(growth);
        self.refused = true;
        Ok(())
    }

    fn table_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let fits = desired <= MAX_TABLE_ELEMENTS;
        self.refused |= !fits;
        Ok(fits)
    }

    fn table_grow_failed(&mut self, _: wasmtime::Error) -> wasmtime::Result<()> {
        self.refused = true;
        Ok(())
    }

    fn instances(&self) -> usize {
        MAX_INSTANCES
    }

    fn tables(&self) -> usize {
        MAX_TABLES
    }

    fn memories(&self) -> usize {
        MAX_MEMORIES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_bounded_for_one_and_for_all_and_comes_back() {
        let budget = Arc::new(Budget::new(150));
        let mut one = Usage::new(Arc::clone(&budget), 100);
        let mut other = Usage::new(Arc::clone(&budget), 100);
        assert!(one.memory_growing(0, 100, None).unwrap());
        assert!(!one.memory_growing(100, 101, None).unwrap());
        assert!(one.refused);
        assert!(!other.memory_growing(0, 60, None).unwrap(), "beyond what all may use");
        drop(one);
        assert!(other.memory_growing(0, 60, None).unwrap());
        assert_eq!(budget.used(), 60);
        other.memory_grow_failed(wasmtime::Error::msg("no pages")).unwrap();
        assert_eq!(budget.used(), 0);
        assert!(other.hold(99) && !other.hold(2) && other.hold(1));
        other.release(50);
        assert_eq!(budget.used(), 50);
        drop(other);
        assert_eq!(budget.used(), 0);
    }
}

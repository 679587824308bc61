//! How many connections this process may have open: descriptors are the process's, not an address's, so all addresses
//! and all providers of this kind in it share one budget. The rest is for the lattice, the admin port, files and what
//! other providers open.

use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::process::{Resource, getrlimit};

/// What is counted on where the system sets no limit, or a larger one: beyond it memory is the limit.
const MOST: u64 = 65_536;

/// Connections of all addresses that are open in this process.
static OPEN: AtomicUsize = AtomicUsize::new(0);

/// Three quarters of the descriptors that this process may open.
pub(crate) fn for_connections() -> usize {
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(MOST).min(MOST);
    usize::try_from(limit / 4 * 3).unwrap_or(1).max(1)
}

/// A connection's place in the budget, given up on drop.
#[derive(Debug)]
pub(crate) struct Descriptor(());

impl Descriptor {
    /// A place, where there is one.
    pub(crate) fn take() -> Option<Self> {
        Self::take_below(for_connections())
    }

    /// A place for a connection that others have just been closed for.
    pub(crate) fn take_above() -> Self {
        OPEN.fetch_add(1, Ordering::Relaxed);
        Self(())
    }

    fn take_below(most: usize) -> Option<Self> {
        let more = |open: usize| (open < most).then_some(open + 1);
        OPEN.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok().map(|_| Self(()))
    }
}

impl Drop for Descriptor {
    fn drop(&mut self) {
        OPEN.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_free_again_when_it_is_given_up() {
        let before = OPEN.load(Ordering::Relaxed);
        let (one, other) = (Descriptor::take_below(before + 2), Descriptor::take_below(before + 2));
        assert!(one.is_some() && other.is_some());
        assert!(Descriptor::take_below(before + 2).is_none());
        drop(one);
        assert!(Descriptor::take_below(before + 2).is_some());
    }
}

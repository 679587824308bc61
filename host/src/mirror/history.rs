//! Which revisions of an application nothing needs any more. The leader takes them out of the store, and whoever follows
//! lets go of them by the same rule: a value that only disappears says nothing.
//!
//! Kept are the last ones, those that a host is told to run, and those that say how old a link is.

use std::collections::BTreeSet;

use mesh_lattice::{Name, key::Key, stored::AppPointer};

use super::Mirror;
use crate::known::ages_rest_on;

/// Revisions of an application that can be gone back to.
pub(crate) const KEPT: usize = 10;

impl Mirror {
    /// The revisions that nothing needs, where the last `kept` are.
    pub(crate) fn outdated(&self, kept: usize) -> Vec<Key> {
        let believed =
            self.typed.pointers.iter().filter(|(name, _)| !self.doubts.contains_key(&Key::App((*name).clone())));
        believed.flat_map(|(name, pointer)| self.outdated_of(name, pointer, kept)).collect()
    }

    fn outdated_of(&self, name: &Name, pointer: &AppPointer, kept: usize) -> Vec<Key> {
        let all = Key::AppRevision(name.clone(), 0)..=Key::AppRevision(name.clone(), pointer.revision);
        let stored: Vec<&Key> = self.entries.range(all).map(|(key, _)| key).collect();
        let Some(older) = stored.len().checked_sub(kept).filter(|older| *older > 0) else { return Vec::new() };
        let needed = self.needed(name, pointer.revision);
        let outdated = stored.into_iter().take(older).filter(|key| match key {
            Key::AppRevision(_, revision) => !needed.contains(revision),
            _ => false,
        });
        outdated.cloned().collect()
    }

    /// The revisions up to this one that hosts run or ages rest on.
    fn needed(&self, name: &Name, wanted: u64) -> BTreeSet<u64> {
        let items = self.typed.assigned.values().flat_map(|assignment| &assignment.items);
        let running = items.filter(|item| item.app == *name).map(|item| item.revision);
        let known = self.typed.revisions.range((name.clone(), 0)..=(name.clone(), wanted));
        let (revisions, applications): (Vec<u64>, Vec<_>) =
            known.map(|((_, revision), application)| (*revision, application.as_ref())).unzip();
        let aged = ages_rest_on(&applications).into_iter().filter_map(|place| revisions.get(place).copied());
        running.chain(aged).collect()
    }

    /// Lets go of a value.
    pub(crate) fn forget(&mut self, key: &Key) {
        self.entries.remove(key);
        self.believed.remove(key);
        self.doubts.remove(key);
        if let Key::AppRevision(name, revision) = key {
            self.typed.revisions.remove(&(name.clone(), *revision));
        }
    }
}

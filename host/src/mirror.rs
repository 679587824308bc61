//! The stored state as the leader sees it: every value verified, typed, and put together to the [`World`] that plans
//! and lists are made from.
//!
//! A value is read once, when it comes. Who may have written it is judged again whenever trust changes: what is not
//! believed any more is doubted (`doubt`), and gone by until somebody who is trusted writes over it. A value of an
//! older generation than the one that is believed is a rollback by somebody with access to the bucket: it is refused,
//! and the newer one stays.

mod doubt;
pub(crate) mod history;
mod known;
mod typed;

use std::{collections::BTreeMap, sync::Arc};

use mesh_claims::{Refusal, Trust};
use mesh_lattice::{
    HostId, Incarnation, Name,
    application::Values,
    id::OperatorId,
    key::Key,
    name::Labels,
    stored::{AppPointer, NodeRecord, Observed},
};
use mesh_scheduler::{Desired, Host, Standing, World};
use mesh_transport::{Change, Entry, Position};

use self::typed::Typed;

/// What a host's lease says of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sign {
    /// Whether it is renewed.
    pub(crate) alive: bool,
    /// Whether its host is on its way out.
    pub(crate) draining: bool,
}

/// The stored state.
pub(crate) struct Mirror {
    root: OperatorId,
    trust: Trust,
    incarnation: Incarnation,
    /// What is stored, believed or not: where a change has to start.
    entries: BTreeMap<Key, Entry>,
    /// What was believed last: what is gone by.
    believed: BTreeMap<Key, Entry>,
    /// The keys whose stored value is not what is gone by, or is no longer believed, and why.
    doubts: BTreeMap<Key, Refusal>,
    typed: Typed,
    caught_up: bool,
    stale: Option<String>,
}

impl Mirror {
    pub(crate) fn new(root: OperatorId, incarnation: Incarnation) -> Self {
        Self {
            trust: Trust::of_incarnation(root.clone(), incarnation),
            root,
            incarnation,
            entries: BTreeMap::new(),
            believed: BTreeMap::new(),
            doubts: BTreeMap::new(),
            typed: Typed::default(),
            caught_up: false,
            stale: None,
        }
    }

    pub(crate) fn trust(&self) -> &Trust {
        &self.trust
    }

    pub(crate) fn incarnation(&self) -> Incarnation {
        self.incarnation
    }

    pub(crate) fn config(&self) -> &BTreeMap<Name, Values> {
        &self.typed.config
    }

    /// Where a change of this key has to start.
    pub(crate) fn position(&self, key: &Key) -> Position {
        self.entries.get(key).map(Position::from).unwrap_or_default()
    }

    /// Whether everything that is stored has been seen, so that what is missing is missing.
    pub(crate) fn is_complete(&self) -> bool {
        self.caught_up && self.stale.is_none()
    }

    /// Why nothing can be planned now, where that is so.
    pub(crate) fn stale(&self) -> Option<&str> {
        self.stale.as_deref()
    }

    /// Takes in one change; an error is a value that was refused, for the log.
    pub(crate) fn apply(&mut self, change: Change) -> Result<(), String> {
        match change {
            Change::Put(entry) => return self.put(entry),
            // A key that is gone says nothing: what it held stays wanted until a signed value says otherwise.
            Change::Deleted(_) => {}
            Change::CaughtUp => {
                self.caught_up = true;
                self.stale = None;
            }
            Change::Stale(reason) => self.stale = Some(reason),
            Change::Resync(incarnation) => *self = Self::new(self.root.clone(), incarnation),
        }
        Ok(())
    }

    fn put(&mut self, entry: Entry) -> Result<(), String> {
        let key = entry.key.clone();
        if let Some(held) = self.believed.get(&key)
            && entry.envelope.generation < held.envelope.generation
        {
            return Err(format!("{key}: an older generation than the one that was there"));
        }
        let read = if matches!(key, Key::Trust(_)) {
            self.state(&key, &entry)
        } else {
            let read = self.typed.read(&entry, self.incarnation, &self.trust);
            match &read {
                Ok(()) => {
                    self.doubts.remove(&key);
                    self.believed.insert(key.clone(), entry.clone());
                }
                Err(refusal) => drop(self.doubts.insert(key.clone(), refusal.clone())),
            }
            self.entries.insert(key.clone(), entry);
            read
        };
        read.map_err(|refusal| format!("{key}: {refusal}"))
    }

    /// Takes in a trust statement. One that does not count yet is kept as well where there is none that does: the
    /// statement that names its signer may come later.
    fn state(&mut self, key: &Key, entry: &Entry) -> Result<(), Refusal> {
        let applied = self.trust.apply(key, &entry.envelope);
        if applied.is_ok() || !self.believed.contains_key(key) {
            self.believed.insert(key.clone(), entry.clone());
        }
        self.entries.insert(key.clone(), entry.clone());
        self.judge_again();
        applied
    }

    /// Everything that a plan depends on. `signs` are the leases: a host without one has none that is renewed.
    pub(crate) fn world(&self, term: u64, signs: &BTreeMap<HostId, Sign>) -> World {
        let ids = self.typed.observed.keys().chain(signs.keys());
        let hosts = ids.map(|id| (id.clone(), self.host(id, signs.get(id).copied())));
        World {
            incarnation: self.incarnation,
            term,
            hosts: hosts.collect(),
            apps: self
                .typed
                .pointers
                .iter()
                .map(|(name, pointer)| (name.clone(), self.desired(name, pointer)))
                .chain(self.unreadable())
                .collect(),
            assigned: self.typed.assigned.clone(),
            pins: self.typed.pins.clone(),
            routes: self.typed.routes.clone(),
        }
    }

    fn desired(&self, name: &Name, pointer: &AppPointer) -> Desired {
        if pointer.deleted {
            return Desired::Deleted;
        }
        match self.typed.revisions.get(&(name.clone(), pointer.revision)) {
            Some(application) => Desired::Wanted { revision: pointer.revision, application: Arc::clone(application) },
            None => Desired::Unreadable,
        }
    }

    fn host(&self, id: &HostId, sign: Option<Sign>) -> Host {
        let observed = self.typed.observed.get(id);
        let node = self.typed.nodes.get(id);
        let standing = match (sign, node) {
            _ if !self.trust.is_host(id) => Standing::Untrusted,
            (None | Some(Sign { alive: false, .. }), _) => Standing::Lost,
            (Some(Sign { draining: true, .. }), _) => Standing::Leaving,
            (_, Some(NodeRecord { drain: true, .. })) => Standing::Draining,
            (_, Some(NodeRecord { cordoned: true, .. })) => Standing::Cordoned,
            (_, None) if self.wonders_about(id) => Standing::Cordoned,
            _ => Standing::Ready,
        };
        Host { standing, labels: self.labels(id, observed, node), observed: observed.cloned() }
    }

    /// The labels that the host claims and may claim, as people changed them.
    fn labels(&self, id: &HostId, observed: Option<&Observed>, node: Option<&NodeRecord>) -> Labels {
        let mut labels = observed.map(|observed| self.trust.host_labels(id, &observed.labels)).unwrap_or_default();
        if let Some(node) = node {
            labels.retain(|key, _| !node.removed_labels.contains(key));
            labels.extend(node.labels.clone());
        }
        labels
    }
}

#[cfg(test)]
mod tests;

//! The stored state as the leader sees it: every value verified, typed, and put together to the [`World`] that plans
//! and lists are made from.
//!
//! A value is read once, when it comes. Who may have written it is judged again whenever trust changes, because a
//! revocation takes back what the revoked key said. A value of an older generation than the one that is held is a
//! rollback by somebody with access to the bucket: it is refused, and the newer one stays.

mod known;

use std::{collections::BTreeMap, sync::Arc};

use mesh_claims::Trust;
use mesh_lattice::{
    HostId, Incarnation, Name,
    application::{Application, Values},
    id::OperatorId,
    key::Key,
    name::Labels,
    stored::{AppPointer, Assignment, NodeRecord, Observed, Pin, Route},
};
use mesh_scheduler::{Desired, Host, Standing, World};
use mesh_transport::{Change, Entry, Position, Stored};
use serde::de::DeserializeOwned;

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
    entries: BTreeMap<Key, Entry>,
    typed: Typed,
    caught_up: bool,
    stale: Option<String>,
}

/// The values that verify, by what they are.
#[derive(Default)]
struct Typed {
    pointers: BTreeMap<Name, AppPointer>,
    revisions: BTreeMap<(Name, u64), Arc<Application>>,
    config: BTreeMap<Name, Values>,
    nodes: BTreeMap<HostId, NodeRecord>,
    pins: BTreeMap<Name, Pin>,
    assigned: BTreeMap<HostId, Assignment>,
    observed: BTreeMap<HostId, Observed>,
    routes: BTreeMap<Name, Route>,
}

impl Mirror {
    pub(crate) fn new(root: OperatorId, incarnation: Incarnation) -> Self {
        Self {
            trust: Trust::of_incarnation(root.clone(), incarnation),
            root,
            incarnation,
            entries: BTreeMap::new(),
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
        if let Some(held) = self.entries.get(&entry.key)
            && entry.envelope.generation < held.envelope.generation
        {
            return Err(format!("{}: an older generation than the one that was there", entry.key));
        }
        let key = entry.key.clone();
        let read = if matches!(key, Key::Trust(_)) {
            let applied = self.trust.apply(&key, &entry.envelope);
            self.entries.insert(key.clone(), entry);
            self.read_all();
            applied.map_err(|refusal| refusal.to_string())
        } else {
            let read = self.typed.read(&entry, self.incarnation, &self.trust);
            self.entries.insert(key.clone(), entry);
            read
        };
        read.map_err(|refusal| format!("{key}: {refusal}"))
    }

    /// Judges every value again.
    fn read_all(&mut self) {
        self.typed = Typed::default();
        for entry in self.entries.values().filter(|entry| !matches!(entry.key, Key::Trust(_))) {
            // A refusal was reported when the value came.
            let _ = self.typed.read(entry, self.incarnation, &self.trust);
        }
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

impl Typed {
    fn read(&mut self, entry: &Entry, incarnation: Incarnation, trust: &Trust) -> Result<(), String> {
        let place = Place { entry, incarnation, trust };
        match &entry.key {
            Key::App(name) => place.read_into(name, &mut self.pointers),
            Key::AppRevision(name, revision) => {
                let key = (name.clone(), *revision);
                self.revisions.remove(&key);
                self.revisions.insert(key, Arc::new(place.read()?));
                Ok(())
            }
            Key::Config(name) => place.read_into(name, &mut self.config),
            Key::Node(host) => place.read_into(host, &mut self.nodes),
            Key::Pin(name) => place.read_into(name, &mut self.pins),
            Key::Assign(host) => place.read_into(host, &mut self.assigned),
            Key::Observed(host) => place.read_into(host, &mut self.observed),
            Key::Route(name) => place.read_into(name, &mut self.routes),
            Key::Lattice | Key::Owner(_) | Key::Trust(_) | Key::Leader => Ok(()),
        }
    }
}

/// A stored value and what it is verified by.
struct Place<'a> {
    entry: &'a Entry,
    incarnation: Incarnation,
    trust: &'a Trust,
}

impl Place<'_> {
    fn read<T: DeserializeOwned>(&self) -> Result<T, String> {
        mesh_transport::verify(self.entry, self.incarnation, self.trust)
            .map(|stored: Stored<T>| stored.value)
            .map_err(|refusal| refusal.to_string())
    }

    /// A value that does not verify takes the place of nothing: the last good one stays, and what never was good is
    /// not there.
    fn read_into<K: Ord + Clone, T: DeserializeOwned>(&self, key: &K, map: &mut BTreeMap<K, T>) -> Result<(), String> {
        map.insert(key.clone(), self.read()?);
        Ok(())
    }
}

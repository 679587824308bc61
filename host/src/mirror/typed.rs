//! The values that are believed, typed: what plans and lists are made from.

use std::{collections::BTreeMap, sync::Arc};

use mesh_claims::{Refusal, Trust};
use mesh_lattice::{
    HostId, Incarnation, Name,
    application::{Application, Values},
    key::Key,
    stored::{AppPointer, Assignment, NodeRecord, Observed, OwnerRecord, Pin, Route},
};
use mesh_transport::{Entry, Stored};
use serde::de::DeserializeOwned;

/// The believed values by what they are.
#[derive(Default)]
pub(super) struct Typed {
    pub(super) pointers: BTreeMap<Name, AppPointer>,
    pub(super) revisions: BTreeMap<(Name, u64), Arc<Application>>,
    pub(super) owners: BTreeMap<Name, OwnerRecord>,
    pub(super) config: BTreeMap<Name, Values>,
    pub(super) nodes: BTreeMap<HostId, NodeRecord>,
    pub(super) pins: BTreeMap<Name, Pin>,
    pub(super) assigned: BTreeMap<HostId, Assignment>,
    pub(super) observed: BTreeMap<HostId, Observed>,
    pub(super) routes: BTreeMap<Name, Route>,
}

impl Typed {
    /// Takes in a value that verifies. One that does not takes the place of nothing: the last good one stays, and what
    /// never was good is not there.
    pub(super) fn read(&mut self, entry: &Entry, incarnation: Incarnation, trust: &Trust) -> Result<(), Refusal> {
        let place = Place { entry, incarnation, trust };
        match &entry.key {
            Key::App(name) => place.read_into(name.clone(), &mut self.pointers),
            Key::AppRevision(name, revision) => {
                let application = Arc::new(place.read()?);
                self.revisions.insert((name.clone(), *revision), application);
                Ok(())
            }
            Key::Owner(name) => place.read_into(name.clone(), &mut self.owners),
            Key::Config(name) => place.read_into(name.clone(), &mut self.config),
            Key::Node(host) => place.read_into(host.clone(), &mut self.nodes),
            Key::Pin(name) => place.read_into(name.clone(), &mut self.pins),
            Key::Assign(host) => place.read_into(host.clone(), &mut self.assigned),
            Key::Observed(host) => place.read_into(host.clone(), &mut self.observed),
            Key::Route(name) => place.read_into(name.clone(), &mut self.routes),
            Key::Lattice | Key::Trust(_) | Key::Leader => Ok(()),
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
    fn read<T: DeserializeOwned>(&self) -> Result<T, Refusal> {
        mesh_transport::verify(self.entry, self.incarnation, self.trust).map(|stored: Stored<T>| stored.value)
    }

    fn read_into<K: Ord, T: DeserializeOwned>(&self, key: K, map: &mut BTreeMap<K, T>) -> Result<(), Refusal> {
        map.insert(key, self.read()?);
        Ok(())
    }
}

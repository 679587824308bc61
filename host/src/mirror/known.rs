//! What one host knows, out of everything that is stored.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use mesh_claims::{Envelope, Trust};
use mesh_lattice::{
    HostId, Name,
    application::Application,
    key::Key,
    stored::{AppPointer, Assignment},
};

use super::Mirror;
use crate::{
    known::{Known, Origin, WantedApp, links_of, links_since},
    links::Links,
};

impl Mirror {
    /// What `own` is to run, where somebody who may say so has said so in this life of the state.
    pub(crate) fn assignment(&self, own: &HostId) -> Option<&Assignment> {
        let assignment = self.typed.assigned.get(own)?;
        (assignment.incarnation == self.incarnation && self.trust.is_host(own)).then_some(assignment)
    }

    /// What a host knows that is to run `assignment`.
    pub(crate) fn known(&self, assignment: Option<Assignment>) -> Known {
        let names = |assignment: &Assignment| -> BTreeSet<Name> {
            assignment.items.iter().map(|item| item.name.clone()).collect()
        };
        Known {
            origin: Origin::Lattice,
            incarnation: self.incarnation,
            apps: self.wanted_apps(),
            revisions: self.typed.revisions.clone(),
            config: self.typed.config.clone(),
            assignment,
            routes: self.typed.routes.clone(),
            left: BTreeMap::new(),
            placements: self.typed.assigned.iter().map(|(host, assigned)| (host.clone(), names(assigned))).collect(),
            trust: Arc::new(self.trust.clone()),
            statements: self.statements(),
        }
    }

    /// The links of all wanted applications: which of them hold, and which stand behind an older one.
    pub(crate) fn links(&self) -> Links {
        links_of(&self.wanted_apps())
    }

    /// The applications in their wanted revisions.
    pub(crate) fn wanted_apps(&self) -> BTreeMap<Name, WantedApp> {
        let wanted = self.typed.pointers.iter().filter(|(_, pointer)| !pointer.deleted);
        wanted.filter_map(|(name, pointer)| Some((name.clone(), self.wanted(name, pointer)?))).collect()
    }

    /// A revision of an application, where it is stored and believed.
    pub(crate) fn revision(&self, name: &Name, revision: u64) -> Option<Arc<Application>> {
        self.typed.revisions.get(&(name.clone(), revision)).map(Arc::clone)
    }

    /// Whom to trust, and the statements that say so.
    pub(crate) fn trusted(&self) -> (Arc<Trust>, Vec<(Key, Envelope)>) {
        (Arc::new(self.trust.clone()), self.statements())
    }

    /// The wanted revision; one before it where that cannot be read, because its links are in use.
    fn wanted(&self, name: &Name, pointer: &AppPointer) -> Option<WantedApp> {
        let kept = self.typed.revisions.range((name.clone(), 0)..=(name.clone(), pointer.revision));
        let kept: Vec<(u64, u64, &Arc<Application>)> = kept
            .map(|((_, revision), application)| {
                let stored = self.entries.get(&Key::AppRevision(name.clone(), *revision));
                (*revision, stored.map_or(0, |entry| entry.revision), application)
            })
            .collect();
        let (revision, _, application) = kept.last()?;
        let ages: Vec<_> = kept.iter().map(|(_, stored, application)| (*stored, application.as_ref())).collect();
        Some(WantedApp { revision: *revision, application: Arc::clone(application), links_since: links_since(&ages) })
    }

    fn statements(&self) -> Vec<(Key, Envelope)> {
        let statements = self.believed.iter().filter(|(key, _)| matches!(key, Key::Trust(_)));
        statements.map(|(key, entry)| (key.clone(), entry.envelope.clone())).collect()
    }
}

//! Values that are stored and not believed: their signer is not trusted, or not any more.
//!
//! ```text
//!             verifies                     its signer loses trust
//!  stored ───────────────► believed ───────────────────────────────► doubted, and still what the lattice goes by
//!     │                        ▲                                                        │
//!     └─► doubted ─────────────┴────────────────── a trusted signer writes over it ─────┘
//! ```
//!
//! Whoever leaves takes nothing with him: work stops only on a present statement, and that somebody is no longer
//! trusted says nothing about the work. So a doubted value never counts as absent. Where this process did not see it
//! while it was believed, what the host remembers of an earlier life stands in for it; where nobody remembers, what
//! depends on it is left as it is.

use mesh_claims::authority;
use mesh_lattice::{
    HostId, Name,
    application::{Application, Values},
    key::Key,
    stored::{AppPointer, Assignment, OwnerRecord},
};
use mesh_scheduler::{Desired, Plan, World};
use mesh_transport::Entry;
use serde::de::DeserializeOwned;

use super::Mirror;
use crate::known::Known;

impl Mirror {
    /// Judges by whom each value may have been written again.
    pub(super) fn judge_again(&mut self) {
        let values = self.entries.iter().filter(|(key, _)| !matches!(key, Key::Trust(_)));
        for (key, entry) in values {
            let judged = if self.believed.get(key) == Some(entry) {
                authority::may_write(key, &entry.envelope.signer, &self.trust)
            } else {
                self.typed.read(entry, self.incarnation, &self.trust)
            };
            match judged {
                Ok(()) => {
                    self.doubts.remove(key);
                    self.believed.insert(key.clone(), entry.clone());
                }
                // What was refused when it came was reported then.
                Err(refusal) => drop(self.doubts.insert(key.clone(), refusal)),
            }
        }
    }

    /// The value that is gone by in place of a stored one that is not believed.
    pub(crate) fn instead(&self, key: &Key) -> Option<&Entry> {
        self.doubts.contains_key(key).then(|| self.believed.get(key)).flatten()
    }

    /// What people write, as far as this user signed what is gone by.
    pub(crate) fn signed_by(&self, signer: &str) -> Vec<Key> {
        let his = self.believed.iter().filter(|(key, entry)| is_peoples(key) && entry.envelope.signer == signer);
        his.map(|(key, _)| key.clone()).collect()
    }

    /// Why an application is not as its stored record says, in words for a person; none where it is.
    pub(crate) fn doubt_about(&self, app: &Name, revision: u64) -> Option<String> {
        let keys = [Key::App(app.clone()), Key::AppRevision(app.clone(), revision)];
        let key = keys.into_iter().find(|key| self.doubts.contains_key(key))?;
        let signer = &self.entries.get(&key)?.envelope.signer;
        Some(format!(
            "state_stale: what is stored was signed by {signer}, who is not trusted now; what was believed last goes \
             on, and the next change of the application by a trusted user settles it"
        ))
    }

    /// Lets what this host remembers stand in for what is stored, doubted, and was never seen believed here.
    pub(crate) fn recall(&mut self, known: &Known) {
        if known.incarnation != self.incarnation || self.doubts.is_empty() {
            return;
        }
        let unseen = |key: &&Key| !self.believed.contains_key(key);
        let doubted: Vec<Key> = self.doubts.keys().filter(unseen).cloned().collect();
        for key in &doubted {
            if self.remembers(key, known)
                && let Some(entry) = self.entries.get(key)
            {
                self.believed.insert(key.clone(), entry.clone());
            }
        }
        // An owner is nobody's memory: the application that has the name now is.
        for key in &doubted {
            if let Key::Owner(name) = key
                && let Some(entry) = self.entries.get(key)
                && let Some(OwnerRecord { app: Some(app) }) = unsigned::<OwnerRecord>(entry)
                && self.holder(name) == Some(&app)
            {
                self.typed.owners.insert(name.clone(), OwnerRecord { app: Some(app) });
                self.believed.insert(key.clone(), entry.clone());
            }
        }
    }

    /// Puts the remembered value in place of the doubted one; true where both are the same.
    fn remembers(&mut self, key: &Key, known: &Known) -> bool {
        let Some(entry) = self.entries.get(key) else { return false };
        match key {
            Key::App(name) => {
                let Some(app) = known.apps.get(name) else { return false };
                let pointer = AppPointer { revision: app.revision, deleted: false };
                let same = unsigned::<AppPointer>(entry).as_ref() == Some(&pointer);
                self.typed.pointers.entry(name.clone()).or_insert(pointer);
                let revision = (name.clone(), app.revision);
                self.typed.revisions.entry(revision).or_insert_with(|| app.application.clone());
                same
            }
            Key::AppRevision(name, revision) => {
                let id = (name.clone(), *revision);
                let Some(application) = known.revisions.get(&id) else { return false };
                let same = unsigned::<Application>(entry).as_ref() == Some(application.as_ref());
                self.typed.revisions.entry(id).or_insert_with(|| application.clone());
                same
            }
            Key::Config(name) => {
                let Some(values) = known.config.get(name) else { return false };
                let same = unsigned::<Values>(entry).as_ref() == Some(values);
                self.typed.config.entry(name.clone()).or_insert_with(|| values.clone());
                same
            }
            _ => false,
        }
    }

    /// The application that names this actor or provider now.
    fn holder(&self, name: &Name) -> Option<&Name> {
        self.typed.pointers.iter().filter(|(_, pointer)| !pointer.deleted).find_map(|(app, pointer)| {
            let application = self.typed.revisions.get(&(app.clone(), pointer.revision))?;
            let named = application.actors.iter().any(|actor| actor.name == *name)
                || application.providers.iter().any(|provider| provider.name == *name);
            named.then_some(app)
        })
    }

    /// Applications of which nothing but a doubted record is known: what they have stays as it is.
    pub(super) fn unreadable(&self) -> impl Iterator<Item = (Name, Desired)> {
        self.doubts.keys().filter_map(|key| match key {
            Key::App(name) if !self.typed.pointers.contains_key(name) => Some((name.clone(), Desired::Unreadable)),
            _ => None,
        })
    }

    /// Whether what people set on this host is stored, doubted and unknown.
    pub(super) fn wonders_about(&self, host: &HostId) -> bool {
        !self.typed.nodes.contains_key(host) && self.doubts.contains_key(&Key::Node(host.clone()))
    }

    /// Adds to a plan what an earlier leader signed who is no longer trusted: the one that leads now says it himself.
    pub(crate) fn confirm(&self, world: &World, plan: &mut Plan) {
        for key in self.doubts.keys() {
            match key {
                Key::Pin(name) => {
                    if let Some(pin) = self.typed.pins.get(name) {
                        plan.pins.entry(name.clone()).or_insert_with(|| pin.clone());
                    }
                }
                Key::Route(name) => {
                    if let Some(route) = self.typed.routes.get(name) {
                        plan.routes.entry(name.clone()).or_insert_with(|| route.clone());
                    }
                }
                Key::Assign(host) if self.trust.is_host(host) => {
                    let (incarnation, term) = (world.incarnation, world.term);
                    let same = || Assignment { incarnation, term, items: world.items(host) };
                    plan.assignments.entry(host.clone()).or_insert_with(same);
                }
                _ => {}
            }
        }
    }
}

/// What people write, and a user's leaving therefore puts in doubt.
fn is_peoples(key: &Key) -> bool {
    matches!(key, Key::App(_) | Key::AppRevision(..) | Key::Owner(_) | Key::Config(_) | Key::Node(_))
}

/// What a value says, whoever signed it: only good for comparing it with something that is believed.
fn unsigned<T: DeserializeOwned>(entry: &Entry) -> Option<T> {
    rmp_serde::from_slice(&entry.envelope.payload).ok()
}

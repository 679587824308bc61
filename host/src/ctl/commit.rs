//! May this commit be written? Every check that a change of desired state has to pass, as one pure function.
//!
//! A commit carries values that a user signed. Each is checked as every later reader will check it again (signature,
//! key, life of the state, authority of the signer), and it must follow what is stored: its generation is the next
//! one. Then come the checks that only the whole state allows: a name belongs to one application, and a link's place
//! (source, interface, link name) to one link.
//!
//! Two commits at once that each pass here cannot both be written: whoever claims a name writes its owner, and the
//! batch holds only where every owner, pointer and revision is still the one that was checked.

mod config;
mod links;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use mesh_claims::Trust;
use mesh_lattice::{
    Digest, Incarnation, Name,
    application::{Application, Link, Provider, Replicas, Values, range},
    control::{Commit, ControlCode, ControlError},
    key::{Key, TrustKey},
    stored::{AppPointer, NodeRecord, OwnerRecord, TrustStatement},
    value::ReadError,
};
use mesh_provider::Factory;
use mesh_scheduler::{Desired, World};
use mesh_transport::{Entry, RawWrite, Write};
use serde::de::{DeserializeOwned, IgnoredAny};

use super::signatures::Read;
use crate::mirror::Mirror;

/// Writes in one commit: more than any application needs, fewer than a server takes in one batch.
const MAX_WRITES: usize = 500;

/// A provider that this build can run.
#[derive(Clone)]
pub(crate) struct Kind {
    /// What starts it, and what judges its configuration.
    pub(crate) factory: Arc<dyn Factory>,
}

/// What a commit is judged by.
pub(crate) struct Judge<'a> {
    pub(crate) incarnation: Incarnation,
    pub(crate) trust: &'a Trust,
    /// The applications as they stand.
    pub(crate) world: &'a World,
    /// What is stored under the keys that [`keys`] named.
    pub(crate) stored: &'a BTreeMap<Key, Entry>,
    /// What is gone by where the stored value is not believed.
    pub(crate) mirror: &'a Mirror,
    /// The built-in providers.
    pub(crate) kinds: &'a BTreeMap<Name, Kind>,
    /// The shared configurations.
    pub(crate) shared: &'a BTreeMap<Name, Values>,
    /// The functions of the artifacts that were read.
    pub(crate) read: &'a Read,
}

/// The parsed writes of a commit.
pub(crate) fn parse(commit: &Commit) -> Result<Vec<Write>, ControlError> {
    if commit.writes.is_empty() || commit.writes.len() > MAX_WRITES {
        return Err(invalid(format!("a commit has 1 to {MAX_WRITES} writes, not {}", commit.writes.len())));
    }
    let mut seen = BTreeSet::new();
    commit
        .writes
        .iter()
        .map(|write| {
            let key = Key::parse(&write.key).ok_or_else(|| invalid(format!("{:?} is no key", write.key)))?;
            if !seen.insert(key.clone()) {
                return Err(invalid(format!("{key} is written twice")));
            }
            let envelope = mesh_claims::Envelope::decode(&write.envelope)
                .map_err(|error| invalid(format!("the value of {key} is no envelope: {error}")))?;
            Ok(Write { key, expected: write.expected, envelope })
        })
        .collect()
}

/// The keys whose stored values decide about these writes.
pub(crate) fn keys(writes: &[Write]) -> BTreeSet<Key> {
    let mut keys: BTreeSet<Key> = writes.iter().map(|write| write.key.clone()).collect();
    for write in writes {
        match &write.key {
            Key::AppRevision(name, _) => {
                keys.insert(Key::App(name.clone()));
                if let Ok(application) = peek::<Application>(write) {
                    keys.extend(application.names().map(|name| Key::Owner(name.clone())));
                }
            }
            Key::App(name) => {
                if let Ok(pointer) = peek::<AppPointer>(write) {
                    keys.insert(Key::AppRevision(name.clone(), pointer.revision));
                }
            }
            _ => {}
        }
    }
    keys
}

/// The artifacts that have to be read before these writes can be judged: those at the ends of their links, and of the
/// links of others to what they change.
pub(crate) fn artifacts(writes: &[Write], world: &World) -> BTreeSet<Digest> {
    let revisions = writes.iter().filter(|write| matches!(write.key, Key::AppRevision(..)));
    let written: Vec<Application> = revisions.filter_map(|write| peek(write).ok()).collect();
    let held = world.apps.values().filter_map(|desired| match desired {
        Desired::Wanted { application, .. } => Some(application.as_ref()),
        Desired::Deleted | Desired::Unreadable => None,
    });
    let changed: BTreeSet<&Name> = written.iter().flat_map(|app| &app.actors).map(|actor| &actor.name).collect();
    let touches = |link: &&Link| changed.contains(&link.source) || changed.contains(&link.target);
    let links = held.clone().flat_map(|app| &app.links).filter(touches);
    let links = links.chain(written.iter().flat_map(|app| &app.links));
    let ends: BTreeSet<_> = links.flat_map(|link| [&link.source, &link.target]).collect();
    let actors = written.iter().chain(held).flat_map(|application| &application.actors);
    actors.filter(|actor| ends.contains(&actor.name)).map(|actor| actor.artifact.digest).collect()
}

/// A payload that nobody has verified yet: only good for knowing what to look up.
fn peek<T: DeserializeOwned>(write: &Write) -> Result<T, ReadError> {
    mesh_lattice::value::read(&write.envelope.payload)
}

impl Judge<'_> {
    /// The same writes as they go into the batch, bytes as they came.
    pub(crate) fn check(&self, commit: &Commit, writes: &[Write]) -> Result<Vec<RawWrite>, ControlError> {
        for write in writes {
            self.check_order(write)?;
            self.check_value(write, writes)?;
        }
        let raw = commit.writes.iter().zip(writes).map(|(raw, write)| RawWrite {
            key: write.key.clone(),
            expected: write.expected,
            value: raw.envelope.to_vec().into(),
        });
        Ok(raw.collect())
    }

    /// Each value follows the one that it replaces, so that no old one can be brought back.
    fn check_order(&self, write: &Write) -> Result<(), ControlError> {
        let (revision, generation) =
            self.stored.get(&write.key).map_or((0, 0), |entry| (entry.revision, entry.envelope.generation));
        if write.expected != revision {
            return Err(conflict(format!("{} was changed by somebody else in the meantime", write.key)));
        }
        if write.envelope.generation != generation.saturating_add(1) {
            return Err(conflict(format!(
                "{} is in generation {generation}: generation {} does not follow",
                write.key, write.envelope.generation
            )));
        }
        Ok(())
    }

    fn check_value(&self, write: &Write, writes: &[Write]) -> Result<(), ControlError> {
        if self.is_taken_over(write) {
            return self.open::<IgnoredAny>(write).map(drop);
        }
        match &write.key {
            Key::App(name) => self.check_pointer(name, &self.open(write)?, writes),
            Key::AppRevision(name, revision) => self.check_revision(name, *revision, &self.open(write)?, writes),
            Key::Owner(name) => self.check_owner(name, &self.open(write)?, writes),
            Key::Config(_) => self.open::<Values>(write).map(drop),
            Key::Node(_) => self.open::<NodeRecord>(write).map(drop),
            Key::Trust(key) => check_statement(key, &self.open(write)?),
            Key::Lattice | Key::Pin(_) | Key::Assign(_) | Key::Observed(_) | Key::Route(_) | Key::Leader => {
                Err(refused(format!("{} is written by hosts, not by people", write.key)))
            }
        }
    }

    /// Whether somebody puts his signature under what is there already, so that it outlives the trust in whoever signed
    /// it before: it changes nothing that is gone by.
    fn is_taken_over(&self, write: &Write) -> bool {
        let peoples =
            matches!(write.key, Key::App(_) | Key::AppRevision(..) | Key::Owner(_) | Key::Config(_) | Key::Node(_));
        let held = self.mirror.instead(&write.key).or_else(|| self.stored.get(&write.key));
        peoples && held.is_some_and(|held| held.envelope.payload == write.envelope.payload)
    }

    fn open<T: DeserializeOwned>(&self, write: &Write) -> Result<T, ControlError> {
        let entry =
            Entry { key: write.key.clone(), envelope: write.envelope.clone(), revision: write.expected, at: None };
        mesh_transport::verify::<T>(&entry, self.incarnation, self.trust)
            .map(|stored| stored.value)
            .map_err(|refusal| refused(format!("{}: {refusal}", write.key)))
    }

    /// A revision is wanted by the commit that writes it, and by no other: what was judged earlier was judged beside
    /// other applications than those of today.
    fn check_pointer(&self, name: &Name, pointer: &AppPointer, writes: &[Write]) -> Result<(), ControlError> {
        let key = Key::AppRevision(name.clone(), pointer.revision);
        if pointer.deleted || writes.iter().any(|write| write.key == key) {
            return Ok(());
        }
        if !self.stored.contains_key(&key) {
            return Err(invalid(format!("application {name} has no revision {}", pointer.revision)));
        }
        let hint = "write it again as the newest revision: it is judged as it would run today".to_owned();
        let message = format!("revision {} of application {name} is an earlier one", pointer.revision);
        Err(ControlError { hint, ..invalid(message) })
    }

    fn check_revision(
        &self,
        name: &Name,
        revision: u64,
        application: &Application,
        writes: &[Write],
    ) -> Result<(), ControlError> {
        if application.name != *name {
            return Err(invalid(format!("the application under {name} calls itself {}", application.name)));
        }
        if revision == 0 || self.stored.contains_key(&Key::AppRevision(name.clone(), revision)) {
            return Err(conflict(format!("revision {revision} of application {name} is there already")));
        }
        let mut seen = BTreeSet::new();
        for owned in application.names() {
            if !seen.insert(owned) {
                return Err(invalid(format!("{owned} stands twice in application {name}")));
            }
            self.check_claim(name, owned, writes)?;
        }
        for provider in &application.providers {
            self.check_provider(provider)?;
        }
        check_numbers(application)?;
        self.check_links(application)?;
        self.check_configuration(application)?;
        self.check_fit(application)
    }

    /// The application owns the name already, or says so in this very commit.
    fn check_claim(&self, app: &Name, name: &Name, writes: &[Write]) -> Result<(), ControlError> {
        let key = Key::Owner(name.clone());
        if let Some(write) = writes.iter().find(|write| write.key == key) {
            let record: OwnerRecord = self.open(write)?;
            return if record.app.as_ref() == Some(app) {
                Ok(())
            } else {
                Err(invalid(format!("application {app} names {name} and gives the name away in one commit")))
            };
        }
        match self.owner(name) {
            Some(owner) if owner == *app => Ok(()),
            Some(owner) => Err(taken(name, &owner)),
            None => Err(invalid(format!("application {app} names {name} without claiming the name"))),
        }
    }

    /// Who has this name. Where the record of that is not believed, the one that is gone by says it, or else the
    /// application that names it.
    fn owner(&self, name: &Name) -> Option<Name> {
        let key = Key::Owner(name.clone());
        let entry = self.stored.get(&key)?;
        match mesh_transport::verify::<OwnerRecord>(entry, self.incarnation, self.trust) {
            Ok(stored) => stored.value.app,
            Err(_) => match self.mirror.instead(&key) {
                Some(held) => rmp_serde::from_slice::<OwnerRecord>(&held.envelope.payload).ok()?.app,
                None => self.holder(name).cloned(),
            },
        }
    }

    fn holder(&self, name: &Name) -> Option<&Name> {
        self.world.apps.iter().find_map(|(app, desired)| match desired {
            Desired::Wanted { application, .. } => application.names().any(|held| held == name).then_some(app),
            Desired::Deleted | Desired::Unreadable => None,
        })
    }

    fn check_owner(&self, name: &Name, record: &OwnerRecord, writes: &[Write]) -> Result<(), ControlError> {
        let Some(owner) = self.owner(name) else { return Ok(()) };
        let Some(application) = self.application(&owner) else { return Ok(()) };
        let leaves = writes.iter().any(|write| match &write.key {
            Key::AppRevision(app, _) if *app == owner => {
                peek::<Application>(write).is_ok_and(|next| !next.names().any(|kept| kept == name))
            }
            Key::App(app) if *app == owner => peek::<AppPointer>(write).is_ok_and(|pointer| pointer.deleted),
            _ => false,
        });
        let holds = application.names().any(|held| held == name);
        if record.app.as_ref() == Some(&owner) || !holds || leaves { Ok(()) } else { Err(taken(name, &owner)) }
    }

    fn application(&self, name: &Name) -> Option<&Application> {
        match self.world.apps.get(name) {
            Some(Desired::Wanted { application, .. }) => Some(application),
            _ => None,
        }
    }

    fn check_provider(&self, provider: &Provider) -> Result<(), ControlError> {
        let name = &provider.name;
        let Some(kind) = self.kinds.get(&provider.kind) else {
            let known: Vec<_> = self.kinds.keys().map(Name::as_str).collect();
            return Err(invalid(format!(
                "provider {name} uses {}, which is none of {}",
                provider.kind,
                known.join(", ")
            )));
        };
        let local_state = kind.factory.local_state();
        if local_state != provider.local_state {
            return Err(invalid(format!("provider {name}: {} and its local state do not match", provider.kind)));
        }
        if local_state && !matches!(provider.replicas, None | Some(Replicas::Count(1))) {
            return Err(invalid(format!(
                "provider {name} keeps its data on its host: more than one of it would be several stores"
            )));
        }
        Ok(())
    }
}

fn check_statement(key: &TrustKey, statement: &TrustStatement) -> Result<(), ControlError> {
    if statement.speaks_of(key) {
        return Ok(());
    }
    Err(invalid("the trust statement speaks of something else than its key".into()))
}

fn check_numbers(application: &Application) -> Result<(), ControlError> {
    let actors = application.actors.iter();
    let mut actors =
        actors.filter_map(|actor| Some(format!("actor {}: {}", actor.name, range::broken_by_actor(actor)?)));
    let links = application.links.iter();
    let mut links = links
        .filter_map(|link| Some(format!("link {} -> {}: {}", link.source, link.target, range::broken_by_link(link)?)));
    actors.next().or_else(|| links.next()).map_or(Ok(()), |broken| Err(invalid(broken)))
}

fn invalid(message: String) -> ControlError {
    ControlError { code: ControlCode::Invalid, message, hint: String::new() }
}

fn refused(message: String) -> ControlError {
    ControlError { code: ControlCode::Refused, message, hint: String::new() }
}

fn conflict(message: String) -> ControlError {
    ControlError { code: ControlCode::Conflict, message, hint: "read again and decide again".into() }
}

fn taken(name: &Name, owner: &Name) -> ControlError {
    ControlError {
        code: ControlCode::Conflict,
        message: format!("the name {name} belongs to application {owner}"),
        hint: format!("choose another name, or take it out of {owner} first"),
    }
}

#[cfg(test)]
pub(super) mod testing;
#[cfg(test)]
mod tests;

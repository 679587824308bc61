//! An application as it stands, read and verified to be changed, and the writes that put another in its place: the next
//! revision, the pointer to it, and the names that come and go with it.

use std::collections::BTreeSet;

use anyhow::Context as _;
use mesh_claims::KeyPair;
use mesh_lattice::{
    Name,
    application::Application,
    control,
    key::Key,
    stored::{AppPointer, OwnerRecord},
};

use super::{Client, Judge, Snapshot};
use crate::{
    difference,
    exit::{Exit, Failure},
};

/// Revisions that may lie above the wanted one after it was taken back.
pub(super) const REVISIONS_AHEAD: u64 = 16;
/// How often a pointer is looked at again that moves while its revision is read.
const TRIES: u32 = 12;

/// An application that was read to be changed.
pub(crate) struct Base {
    pub(crate) name: Name,
    /// As it stands; `None` where there is none, or none any more.
    pub(crate) before: Option<Application>,
    pub(super) pointer: Option<AppPointer>,
    pub(super) next: u64,
    pub(super) snapshot: Snapshot,
}

impl Base {
    /// The revision that is wanted, 0 before the first; that which was, where the application was deleted.
    pub(crate) fn revision(&self) -> u64 {
        self.pointer.as_ref().map_or(0, |pointer| pointer.revision)
    }

    /// Whether what is there is what is wanted.
    pub(crate) fn is_as(&self, wanted: Option<&Application>) -> bool {
        match (&self.before, wanted) {
            (Some(before), Some(wanted)) => difference::is_same(before, wanted),
            (before, wanted) => before.is_none() && wanted.is_none(),
        }
    }

    /// Whether both were read with nobody's change in between.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.snapshot.position(&Key::App(self.name.clone())) == other.snapshot.position(&Key::App(other.name.clone()))
    }
}

impl Client {
    /// Reads an application to change it.
    pub(crate) async fn base(&self, name: &Name, judge: &Judge) -> anyhow::Result<Base> {
        let key = Key::App(name.clone());
        let mut expected: u64 = 0;
        let mut tries = 0;
        // Which revisions are of interest is known only once the pointer is: where it moved in between, look again.
        let (mut snapshot, pointer, revision) = loop {
            tries += 1;
            let revisions = (expected..=expected.saturating_add(REVISIONS_AHEAD)).filter(|revision| *revision > 0);
            let keys = revisions.map(|revision| Key::AppRevision(name.clone(), revision));
            let snapshot = self.read(&std::iter::once(key.clone()).chain(keys).collect::<Vec<_>>()).await?;
            let pointer: Option<AppPointer> = snapshot.get(&key, judge)?;
            let revision = pointer.as_ref().map_or(0, |pointer| pointer.revision);
            if revision == expected {
                break (snapshot, pointer, revision);
            }
            anyhow::ensure!(tries < TRIES, "application {name} keeps being changed by somebody else: try again");
            expected = revision;
        };
        let before = match &pointer {
            Some(AppPointer { deleted: false, revision }) if *revision > 0 => {
                let key = Key::AppRevision(name.clone(), *revision);
                let found: Option<Application> = snapshot.get(&key, judge)?;
                Some(found.with_context(|| format!("revision {revision} of application {name} is missing"))?)
            }
            _ => None,
        };
        let highest = (revision..=revision.saturating_add(REVISIONS_AHEAD))
            .rev()
            .find(|n| snapshot.envelope(&Key::AppRevision(name.clone(), *n)).is_some());
        let next = highest.unwrap_or(revision).max(revision).saturating_add(1);
        // The next revision is a key of its own that must not be there.
        snapshot.found.remove(&Key::AppRevision(name.clone(), next).to_string());
        Ok(Base { name: name.clone(), before, pointer, next, snapshot })
    }

    /// What puts `wanted` in the place of what was read.
    pub(super) async fn writes(
        &self,
        base: &Base,
        wanted: &Application,
        judge: &Judge,
        signer: &KeyPair,
    ) -> anyhow::Result<Vec<control::Write>> {
        let Base { name, before, pointer, next, snapshot } = base;
        debug_assert!(pointer.as_ref().is_none_or(|pointer| pointer.revision < *next), "no revision is written twice");
        let (old, new) = (names(before.as_ref()), names(Some(wanted)));
        let pointer = AppPointer { revision: *next, deleted: false };
        let mut writes = vec![
            snapshot.write(&Key::AppRevision(name.clone(), *next), wanted, signer)?,
            snapshot.write(&Key::App(name.clone()), &pointer, signer)?,
        ];
        writes.extend(self.claims(base, &old, &new, judge, signer).await?);
        Ok(writes)
    }

    /// What takes the application away that was read, and gives its names back.
    pub(super) async fn removal(
        &self,
        base: &Base,
        judge: &Judge,
        signer: &KeyPair,
    ) -> anyhow::Result<Vec<control::Write>> {
        let names = names(base.before.as_ref());
        let pointer = AppPointer { revision: base.revision(), deleted: true };
        let mut writes = vec![base.snapshot.write(&Key::App(base.name.clone()), &pointer, signer)?];
        writes.extend(self.claims(base, &names, &BTreeSet::new(), judge, signer).await?);
        Ok(writes)
    }

    /// Claims the names that come and hands back those that go.
    async fn claims(
        &self,
        base: &Base,
        old: &BTreeSet<Name>,
        new: &BTreeSet<Name>,
        judge: &Judge,
        signer: &KeyPair,
    ) -> anyhow::Result<Vec<control::Write>> {
        let app = &base.name;
        let keys: Vec<Key> = old.symmetric_difference(new).map(|name| Key::Owner(name.clone())).collect();
        let mut writes = Vec::new();
        if keys.is_empty() {
            return Ok(writes);
        }
        let owners = self.read(&keys).await?;
        anyhow::ensure!(
            owners.incarnation == base.snapshot.incarnation,
            "the lattice's state was made anew: try again"
        );
        for name in new.difference(old) {
            let key = Key::Owner(name.clone());
            let record: Option<OwnerRecord> = owners.get(&key, judge)?;
            match record.and_then(|record| record.app) {
                Some(owner) if owner == *app => {}
                Some(owner) => return Err(taken(name, &owner).into()),
                None => writes.push(owners.write(&key, &OwnerRecord { app: Some(app.clone()) }, signer)?),
            }
        }
        for name in old.difference(new) {
            let key = Key::Owner(name.clone());
            let record: Option<OwnerRecord> = owners.get(&key, judge)?;
            if record.and_then(|record| record.app).as_ref() == Some(app) {
                writes.push(owners.write(&key, &OwnerRecord { app: None }, signer)?);
            }
        }
        Ok(writes)
    }
}

fn names(application: Option<&Application>) -> BTreeSet<Name> {
    application.into_iter().flat_map(Application::names).cloned().collect()
}

fn taken(name: &Name, owner: &Name) -> Failure {
    Failure::new(Exit::Invalid, format!("the name {name} belongs to application {owner}"))
        .hint(format!("choose another name, or take it out of {owner} first"))
}

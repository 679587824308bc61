//! Changes: read, verify, decide, sign, commit; again from the start where somebody else was faster.

use std::{collections::BTreeSet, time::Duration};

use anyhow::Context as _;
use mesh_claims::KeyPair;
use mesh_lattice::{
    Name,
    application::{self, ADHOC},
    control::{self, ControlCode},
    key::{Key, TrustKey},
    stored::{AppPointer, OwnerRecord, TrustStatement},
};
use mesh_transport::RequestError;
use serde::{Serialize, de::DeserializeOwned};

use super::{Client, Judge, Snapshot};
use crate::exit::{Exit, Failure};

/// How often a change is tried that others keep overtaking.
const TRIES: u32 = 12;
/// Revisions that may lie above the wanted one after it was taken back.
const REVISIONS_AHEAD: u64 = 16;

/// What a change came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Change {
    Created,
    Updated,
    Removed,
    Unchanged,
}

impl Change {
    /// The word that a person reads.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Updated => "updated",
            Self::Removed => "removed",
            Self::Unchanged => "unchanged",
        }
    }
}

/// An application that was read to be changed.
struct Base {
    /// As it stands, and as it is to become.
    wanted: application::Application,
    before: Option<application::Application>,
    pointer: Option<AppPointer>,
    next: u64,
    snapshot: Snapshot,
}

impl Client {
    /// Changes the application that owns `name`, or `adhoc` where none does. `change` is called again where somebody
    /// else was faster; where it says that nothing changes, nothing is written. Returns the application's name too.
    pub(crate) async fn edit_owner_of(
        &self,
        name: &Name,
        change: impl FnMut(&mut application::Application) -> anyhow::Result<Change>,
    ) -> anyhow::Result<(Change, Name)> {
        self.edit(Some(name), None, change).await
    }

    /// Changes this application.
    pub(crate) async fn edit_app(
        &self,
        app: &Name,
        change: impl FnMut(&mut application::Application) -> anyhow::Result<Change>,
    ) -> anyhow::Result<(Change, Name)> {
        self.edit(None, Some(app), change).await
    }

    async fn edit(
        &self,
        name: Option<&Name>,
        app: Option<&Name>,
        mut change: impl FnMut(&mut application::Application) -> anyhow::Result<Change>,
    ) -> anyhow::Result<(Change, Name)> {
        let signer = self.signer()?;
        let judge = self.judge(&signer).await?;
        let adhoc: Name = ADHOC.parse().context("the name of the application that has none")?;
        let mut tries = 0;
        loop {
            tries += 1;
            let owner = match (name, app) {
                (_, Some(app)) => Some(app.clone()),
                (Some(name), None) => self.owner(name, &judge).await?,
                (None, None) => None,
            };
            let mut base = self.base(owner.as_ref().unwrap_or(&adhoc), &judge).await?;
            let done = change(&mut base.wanted)?;
            let app = base.wanted.name.clone();
            if done == Change::Unchanged || base.before.as_ref() == Some(&base.wanted) {
                return Ok((Change::Unchanged, app));
            }
            let writes = self.writes(base, &judge, &signer).await?;
            if self.committed(writes, tries).await? {
                return Ok((done, app));
            }
        }
    }

    /// Whether the commit is in; not, where somebody else was faster and it is worth trying again.
    pub(super) async fn committed(&self, writes: Vec<control::Write>, tries: u32) -> anyhow::Result<bool> {
        let Err(error) = self.commit(writes).await else { return Ok(true) };
        let conflict = error.downcast_ref::<RequestError>().is_some_and(
            |error| matches!(error, RequestError::Refused(refused) if refused.code == ControlCode::Conflict),
        );
        if !conflict || tries >= TRIES {
            return Err(error);
        }
        tokio::time::sleep(pause(tries)).await;
        Ok(false)
    }

    /// The application that owns this name.
    async fn owner(&self, name: &Name, judge: &Judge) -> anyhow::Result<Option<Name>> {
        let key = Key::Owner(name.clone());
        let record: Option<OwnerRecord> = self.read(std::slice::from_ref(&key)).await?.get(&key, judge)?;
        Ok(record.and_then(|record| record.app))
    }

    async fn base(&self, name: &Name, judge: &Judge) -> anyhow::Result<Base> {
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
                let found: Option<application::Application> = snapshot.get(&key, judge)?;
                Some(found.with_context(|| format!("revision {revision} of application {name} is missing"))?)
            }
            _ => None,
        };
        let highest = (revision..=revision.saturating_add(REVISIONS_AHEAD))
            .rev()
            .find(|n| snapshot.envelope(&Key::AppRevision(name.clone(), *n)).is_some());
        let next = highest.unwrap_or(revision).max(revision).saturating_add(1);
        let wanted = before.clone().unwrap_or_else(|| application::Application::empty(name.clone()));
        // The next revision is a key of its own that must not be there.
        snapshot.found.remove(&Key::AppRevision(name.clone(), next).to_string());
        Ok(Base { wanted, before, pointer, next, snapshot })
    }

    /// The new revision, the pointer to it, and the names that come and go with it.
    async fn writes(&self, base: Base, judge: &Judge, signer: &KeyPair) -> anyhow::Result<Vec<control::Write>> {
        let Base { wanted, before, pointer, next, mut snapshot } = base;
        let (old, new) = (before.as_ref().map(names).unwrap_or_default(), names(&wanted));
        let come: Vec<&Name> = new.difference(&old).collect();
        let go: Vec<&Name> = old.difference(&new).collect();
        let keys: Vec<Key> = come.iter().chain(&go).map(|name| Key::Owner((*name).clone())).collect();
        if !keys.is_empty() {
            let owners = self.read(&keys).await?;
            anyhow::ensure!(owners.incarnation == snapshot.incarnation, "the lattice's state was made anew: try again");
            snapshot.found.extend(owners.found);
        }
        let app = wanted.name.clone();
        let mut writes = vec![
            snapshot.write(&Key::AppRevision(app.clone(), next), &wanted, signer)?,
            snapshot.write(&Key::App(app.clone()), &AppPointer { revision: next, deleted: false }, signer)?,
        ];
        debug_assert!(pointer.is_none_or(|pointer| pointer.revision < next), "a revision is never written twice");
        for name in come {
            let key = Key::Owner(name.clone());
            let record: Option<OwnerRecord> = snapshot.get(&key, judge)?;
            match record.and_then(|record| record.app) {
                Some(owner) if owner == app => {}
                Some(owner) => return Err(taken(name, &owner).into()),
                None => writes.push(snapshot.write(&key, &OwnerRecord { app: Some(app.clone()) }, signer)?),
            }
        }
        for name in go {
            let key = Key::Owner(name.clone());
            let record: Option<OwnerRecord> = snapshot.get(&key, judge)?;
            if record.and_then(|record| record.app).as_ref() == Some(&app) {
                writes.push(snapshot.write(&key, &OwnerRecord { app: None }, signer)?);
            }
        }
        Ok(writes)
    }

    /// Replaces one value. `change` sees what is there, verified, and says what is to be there; `None` changes
    /// nothing.
    pub(crate) async fn edit_value<T: Serialize + DeserializeOwned>(
        &self,
        key: &Key,
        mut change: impl FnMut(Option<T>) -> anyhow::Result<Option<T>>,
    ) -> anyhow::Result<Change> {
        let signer = self.signer()?;
        let judge = self.judge(&signer).await?;
        let mut tries = 0;
        loop {
            tries += 1;
            let snapshot = self.read(std::slice::from_ref(key)).await?;
            let before: Option<T> = snapshot.get(key, &judge)?;
            let done = if before.is_some() { Change::Updated } else { Change::Created };
            let Some(after) = change(before)? else { return Ok(Change::Unchanged) };
            let write = snapshot.write(key, &after, &signer)?;
            if self.committed(vec![write], tries).await? {
                return Ok(done);
            }
        }
    }

    /// Writes trust statements in one commit. What is there already, word for word, is left as it is, unless `resign`
    /// says that it has to carry this signature.
    pub(crate) async fn state(
        &self,
        statements: &[(TrustKey, TrustStatement)],
        resign: bool,
    ) -> anyhow::Result<Change> {
        let signer = self.signer()?;
        let judge = self.judge(&signer).await?;
        let mut tries = 0;
        loop {
            tries += 1;
            let (writes, done) = self.statements(statements, resign, &judge, &signer).await?;
            if writes.is_empty() {
                return Ok(Change::Unchanged);
            }
            if self.committed(writes, tries).await? {
                return Ok(done);
            }
        }
    }

    /// The writes that make these statements, as things stand.
    pub(super) async fn statements(
        &self,
        statements: &[(TrustKey, TrustStatement)],
        resign: bool,
        judge: &Judge,
        signer: &KeyPair,
    ) -> anyhow::Result<(Vec<control::Write>, Change)> {
        let keys: Vec<Key> = statements.iter().map(|(key, _)| Key::Trust(key.clone())).collect();
        let mut writes = Vec::new();
        let mut done = Change::Created;
        if keys.is_empty() {
            return Ok((writes, done));
        }
        let snapshot = self.read(&keys).await?;
        for (key, (_, statement)) in keys.iter().zip(statements) {
            // What is not believed is replaced as if it were not there.
            let there: Option<TrustStatement> = snapshot.get(key, judge).ok().flatten();
            let same_signer = snapshot.envelope(key).is_some_and(|envelope| envelope.signer == signer.public());
            if there.as_ref().is_some_and(|there| *there != TrustStatement::Withdrawn) {
                done = Change::Updated;
            }
            if there.as_ref() != Some(statement) || (resign && !same_signer) {
                writes.push(snapshot.write(key, statement, signer)?);
            }
        }
        Ok((writes, done))
    }
}

/// The names of an application's actors and providers.
fn names(application: &application::Application) -> BTreeSet<Name> {
    let actors = application.actors.iter().map(|actor| &actor.name);
    actors.chain(application.providers.iter().map(|provider| &provider.name)).cloned().collect()
}

fn taken(name: &Name, owner: &Name) -> Failure {
    Failure::new(Exit::Invalid, format!("the name {name} belongs to application {owner}"))
        .hint(format!("choose another name, or take it out of {owner} first"))
}

/// Full jitter, from the clock's last digits: two who collided should not meet again.
fn pause(tries: u32) -> Duration {
    let noise =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.subsec_nanos());
    let most = 25_u64 << tries.min(5);
    Duration::from_millis(5 + u64::from(noise) % most)
}

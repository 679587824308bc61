//! Changes: read, verify, decide, sign, commit; again from the start where somebody else was faster.

use std::time::Duration;

use anyhow::Context as _;
use mesh_claims::KeyPair;
use mesh_lattice::{
    Name,
    application::{self, ADHOC},
    control::{self, ControlCode},
    key::{Key, TrustKey},
    stored::{OwnerRecord, TrustStatement},
};
use mesh_transport::RequestError;
use serde::{Serialize, de::DeserializeOwned};

use super::{Client, Judge};

/// How often a change is tried that others keep overtaking.
const TRIES: u32 = 12;

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
            let app = owner.unwrap_or_else(|| adhoc.clone());
            let base = self.base(&app, &judge).await?;
            let mut wanted = base.before.clone().unwrap_or_else(|| application::Application::empty(app.clone()));
            let done = change(&mut wanted)?;
            if done == Change::Unchanged || base.before.as_ref() == Some(&wanted) {
                return Ok((Change::Unchanged, app));
            }
            let writes = self.writes(&base, &wanted, &judge, &signer).await?;
            if self.committed(writes, tries).await? {
                return Ok((done, app));
            }
        }
    }

    /// Whether the commit is in; not, where somebody else was faster and it is worth trying again.
    pub(super) async fn committed(&self, writes: Vec<control::Write>, tries: u32) -> anyhow::Result<bool> {
        let Err(error) = self.commit(writes).await else { return Ok(true) };
        if !is_conflict(&error) || tries >= TRIES {
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

/// Whether somebody else was faster, or has what is asked for.
pub(super) fn is_conflict(error: &anyhow::Error) -> bool {
    let conflict =
        |error: &RequestError| matches!(error, RequestError::Refused(refused) if refused.code == ControlCode::Conflict);
    error.downcast_ref::<RequestError>().is_some_and(conflict)
}

/// Full jitter, from the clock's last digits: two who collided should not meet again.
pub(super) fn pause(tries: u32) -> Duration {
    let noise =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.subsec_nanos());
    let most = 25_u64 << tries.min(5);
    Duration::from_millis(5 + u64::from(noise) % most)
}

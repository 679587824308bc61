//! Stored values as they were signed: the revisions of an application that are kept, immutable, each with who signed it and
//! when it was written; and anything else that people have said, for an export.

use std::collections::BTreeMap;

use mesh_claims::Envelope;
use mesh_lattice::{
    Incarnation, Name,
    application::Application,
    control::Status,
    key::{Key, TrustKey},
    stored::{AppPointer, TrustStatement},
};

use super::{Client, Judge, base::REVISIONS_AHEAD};

/// Revisions before the wanted one that are looked for: the last ten are kept, and older ones that links are as old as.
const BACK: u64 = 64;

/// What is known of an application and its past.
pub(crate) struct History {
    /// The wanted revision; 0 where there never was one.
    pub(crate) wanted: u64,
    /// Whether the application was deleted since.
    pub(crate) deleted: bool,
    /// Oldest first.
    pub(crate) revisions: Vec<Revision>,
}

/// One revision.
pub(crate) struct Revision {
    pub(crate) number: u64,
    /// What it says, or why that is not believed.
    pub(crate) application: Result<Application, String>,
    /// The public key of who signed it.
    pub(crate) signer: String,
    /// When it was written, in seconds since 1970 by the server's clock.
    pub(crate) at: Option<u64>,
}

impl Client {
    /// The revisions of an application.
    pub(crate) async fn history(&self, name: &Name, judge: &Judge) -> anyhow::Result<History> {
        let pointer = Key::App(name.clone());
        let found: Option<AppPointer> = self.read(std::slice::from_ref(&pointer)).await?.get(&pointer, judge)?;
        let (wanted, deleted) = found.map_or((0, false), |pointer| (pointer.revision, pointer.deleted));
        let numbers: Vec<u64> = (wanted.saturating_sub(BACK).max(1)..=wanted.saturating_add(REVISIONS_AHEAD)).collect();
        let keys: Vec<Key> = numbers.iter().map(|number| Key::AppRevision(name.clone(), *number)).collect();
        let snapshot = self.read(&keys).await?;
        let revisions = numbers.into_iter().zip(&keys).filter_map(|(number, key)| {
            let envelope = snapshot.envelope(key)?;
            let application = match snapshot.get::<Application>(key, judge) {
                Ok(application) => application.ok_or_else(String::new),
                Err(error) => Err(format!("{error:#}")),
            };
            Some(Revision { number, application, signer: envelope.signer.clone(), at: snapshot.at(key) })
        });
        Ok(History { wanted, deleted, revisions: revisions.collect() })
    }

    /// What the lattice goes by under these keys, as it was signed, and the life of the state that it was signed for. What
    /// is not there is left out.
    pub(crate) async fn signed_values(
        &self,
        keys: &[Key],
        judge: &Judge,
    ) -> anyhow::Result<(Incarnation, BTreeMap<Key, Envelope>)> {
        // The record of the lattice is always there, so that something is asked for.
        let asked: Vec<Key> = std::iter::once(Key::Lattice).chain(keys.iter().cloned()).collect();
        let snapshot = self.read(&asked).await?;
        let mut values = BTreeMap::new();
        for key in keys {
            // Statements are judged by one another, and count or do not count wherever they are read.
            let value = match key {
                Key::Trust(_) => snapshot.envelope(key),
                key => snapshot.believed(key, judge)?,
            };
            values.extend(value.map(|envelope| (key.clone(), envelope.clone())));
        }
        Ok((snapshot.incarnation, values))
    }

    /// The applications that are wanted, as far as they are believed.
    pub(crate) async fn applications(&self, status: &Status, judge: &Judge) -> anyhow::Result<Vec<Application>> {
        let keys: Vec<Key> = status
            .apps
            .iter()
            .filter(|app| app.revision > 0)
            .map(|app| Key::AppRevision(app.name.clone(), app.revision))
            .collect();
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let snapshot = self.read(&keys).await?;
        Ok(keys.iter().filter_map(|key| snapshot.get(key, judge).ok().flatten()).collect())
    }

    /// Those of these statements about whose key nobody has said anything here.
    pub(crate) async fn unsaid(
        &self,
        statements: Vec<(TrustKey, TrustStatement)>,
    ) -> anyhow::Result<Vec<(TrustKey, TrustStatement)>> {
        let keys: Vec<Key> = statements.iter().map(|(key, _)| Key::Trust(key.clone())).collect();
        if keys.is_empty() {
            return Ok(statements);
        }
        let snapshot = self.read(&keys).await?;
        let unsaid = |(key, _): &(TrustKey, TrustStatement)| snapshot.envelope(&Key::Trust(key.clone())).is_none();
        Ok(statements.into_iter().filter(unsaid).collect())
    }
}

//! What a host needs to start with no network: applications, its assignment, shared configuration, trust statements.
//!
//! It is kept beside the artifacts, for this host's user only, and written whole or not at all whenever it changes.
//! A file of the same form can be written by hand and run with `--assignment`; there an artifact may be the path of
//! a file, revisions may be left out, and so may the assignment: then everything in the file runs.
//!
//! ```json
//! { "applications": [ { "application": {
//!     "name": "demo",
//!     "actors":    [ { "name": "counter", "artifact": "./counter.wasm" } ],
//!     "providers": [ { "name": "kv", "use": "keyvalue-redb" }, { "name": "web", "use": "http-server" } ],
//!     "links": [
//!       { "source": "counter", "target": "kv", "interfaces": ["wasi:keyvalue"] },
//!       { "source": "web", "target": "counter", "interfaces": ["wasi:http/incoming-handler"],
//!         "source_config": [ { "values": { "listen": "127.0.0.1:8080" } } ] } ] } } ] }
//! ```

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use data_encoding::BASE64;
use mesh_claims::{Envelope, Trust};
use mesh_lattice::{
    Incarnation, Name,
    application::{Application, Values},
    key::Key,
    stored::{Assignment, Item, ItemKind},
};
use serde::{Deserialize, Serialize};

use crate::{
    artifacts, files,
    known::{Known, Origin, WantedApp},
};

/// The name of the snapshot in a host's directory.
pub const FILE: &str = "snapshot.json";

/// A snapshot as it is written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Snapshot {
    #[serde(default = "first_version")]
    v: u16,
    #[serde(default)]
    incarnation: Option<Incarnation>,
    applications: Vec<KeptApp>,
    #[serde(default)]
    assignment: Option<Assignment>,
    #[serde(default)]
    config: BTreeMap<Name, Values>,
    #[serde(default)]
    trust: Vec<Statement>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct KeptApp {
    #[serde(default = "first_revision")]
    revision: u64,
    /// Whether this is the revision that is wanted: its links hold.
    #[serde(default = "yes")]
    wanted: bool,
    #[serde(default)]
    links_since: Vec<u64>,
    application: Application,
}

/// A trust statement with its signature, as it was stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Statement {
    key: String,
    /// The envelope in base64.
    envelope: String,
}

fn first_version() -> u16 {
    1
}

fn first_revision() -> u64 {
    1
}

fn yes() -> bool {
    true
}

/// A snapshot cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// A file cannot be read or written.
    #[error("{} cannot be used", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It is not what it should be.
    #[error("{} is not an assignment", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
}

/// Reads the snapshot of an earlier life; `None` where there is none.
///
/// # Errors
///
/// Where there is one and it cannot be read.
pub fn read(path: &Path, trust: Trust) -> Result<Option<Known>, SnapshotError> {
    match std::fs::read(path) {
        Ok(bytes) => {
            let snapshot: Snapshot = serde_json::from_slice(&bytes).map_err(|source| malformed(path, source))?;
            Ok(Some(known(snapshot, trust, Origin::Snapshot)))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(SnapshotError::Io { path: path.to_owned(), source }),
    }
}

/// Reads a file that a person wrote, and takes the artifacts that it names by path into the cache `artifacts`.
///
/// # Errors
///
/// Where it or one of its artifacts cannot be read.
pub fn read_assignment(path: &Path, artifacts: &Path, trust: Trust) -> Result<Known, SnapshotError> {
    let bytes = std::fs::read(path).map_err(|source| SnapshotError::Io { path: path.to_owned(), source })?;
    let mut document: serde_json::Value = serde_json::from_slice(&bytes).map_err(|source| malformed(path, source))?;
    let base = path.parent().unwrap_or(Path::new("."));
    let applications = document.get_mut("applications").and_then(serde_json::Value::as_array_mut);
    for application in applications.into_iter().flatten() {
        let actors = application.pointer_mut("/application/actors").and_then(serde_json::Value::as_array_mut);
        for artifact in actors.into_iter().flatten().filter_map(|actor| actor.get_mut("artifact")) {
            name_by_digest(artifact, base, artifacts)?;
        }
    }
    let snapshot: Snapshot = serde_json::from_value(document).map_err(|source| malformed(path, source))?;
    Ok(known(snapshot, trust, Origin::File))
}

/// An artifact that is written as a text: a digest, or the path of a file.
fn name_by_digest(artifact: &mut serde_json::Value, base: &Path, cache: &Path) -> Result<(), SnapshotError> {
    let Some(reference) = artifact.as_str().map(str::to_owned) else { return Ok(()) };
    let digest = match reference.strip_prefix("sha256:") {
        Some(digest) => digest.to_owned(),
        None => {
            let file = base.join(&reference);
            let digest = artifacts::import(cache, &file).map_err(|source| SnapshotError::Io { path: file, source })?;
            digest.to_string()
        }
    };
    *artifact = serde_json::json!({ "digest": digest, "reference": reference });
    Ok(())
}

fn malformed(path: &Path, source: serde_json::Error) -> SnapshotError {
    SnapshotError::Malformed { path: path.to_owned(), source }
}

fn known(snapshot: Snapshot, mut trust: Trust, origin: Origin) -> Known {
    let mut statements = Vec::new();
    for statement in &snapshot.trust {
        let envelope = BASE64.decode(statement.envelope.as_bytes()).ok().and_then(|raw| Envelope::decode(&raw).ok());
        let (Some(key), Some(envelope)) = (Key::parse(&statement.key), envelope) else {
            tracing::warn!(key = statement.key, "a trust statement of the snapshot cannot be read");
            continue;
        };
        if let Err(refusal) = trust.apply(&key, &envelope) {
            // One that waits for the statement that names its signer counts as soon as that came.
            tracing::debug!(%key, %refusal, "a trust statement of the snapshot does not count yet");
        }
        statements.push((key, envelope));
    }
    let incarnation = snapshot.incarnation.unwrap_or(Incarnation(uuid::Uuid::nil()));
    let mut known = Known { origin, incarnation, statements, config: snapshot.config, ..Known::nothing(trust) };
    let mut items = Vec::new();
    for kept in snapshot.applications {
        let application = Arc::new(kept.application);
        items.extend(all_items(&application, kept.revision));
        known.revisions.insert((application.name.clone(), kept.revision), application.clone());
        if kept.wanted {
            let wanted =
                WantedApp { revision: kept.revision, application: application.clone(), links_since: kept.links_since };
            known.apps.insert(application.name.clone(), wanted);
        }
    }
    known.assignment = Some(snapshot.assignment.unwrap_or(Assignment { incarnation, term: 0, items }));
    known
}

fn all_items(application: &Application, revision: u64) -> Vec<Item> {
    let item = |name: &Name, kind| Item { app: application.name.clone(), revision, name: name.clone(), kind };
    let actors = application.actors.iter().map(|actor| item(&actor.name, ItemKind::Actor));
    let providers = application.providers.iter().map(|provider| item(&provider.name, ItemKind::Provider));
    actors.chain(providers).collect()
}

/// What this host needs of what it knows, as it goes into the file; `None` where it has nothing to run yet.
#[must_use]
pub fn take(known: &Known) -> Option<Vec<u8>> {
    let assignment = known.assignment.clone()?;
    let mine: BTreeSet<&Name> = assignment.items.iter().map(|item| &item.name).collect();
    let named: BTreeSet<(&Name, u64)> = assignment.items.iter().map(|item| (&item.app, item.revision)).collect();
    let concerns = |application: &Application| {
        application.links.iter().any(|link| mine.contains(&link.source) || mine.contains(&link.target))
    };
    let mut applications: Vec<KeptApp> = Vec::new();
    for (name, app) in &known.apps {
        if named.contains(&(name, app.revision)) || concerns(&app.application) {
            applications.push(KeptApp {
                revision: app.revision,
                wanted: true,
                links_since: app.links_since.clone(),
                application: app.application.as_ref().clone(),
            });
        }
    }
    for (name, revision) in named {
        let wanted = known.apps.get(name).is_some_and(|app| app.revision == revision);
        if let (false, Some(application)) = (wanted, known.revisions.get(&(name.clone(), revision))) {
            let application = application.as_ref().clone();
            applications.push(KeptApp { revision, wanted: false, links_since: Vec::new(), application });
        }
    }
    let snapshot = Snapshot {
        v: 1,
        incarnation: Some(known.incarnation),
        config: needed_config(&applications, known),
        applications,
        assignment: Some(assignment),
        trust: known
            .statements
            .iter()
            .map(|(key, envelope)| Statement { key: key.to_string(), envelope: BASE64.encode(&envelope.encode()) })
            .collect(),
    };
    serde_json::to_vec_pretty(&snapshot).ok()
}

fn needed_config(applications: &[KeptApp], known: &Known) -> BTreeMap<Name, Values> {
    let mut needed = BTreeMap::new();
    for kept in applications {
        let Application { actors, providers, links, .. } = &kept.application;
        let parts = actors.iter().flat_map(|actor| &actor.config);
        let parts = parts.chain(providers.iter().flat_map(|provider| &provider.config));
        let parts = parts.chain(links.iter().flat_map(|link| link.source_config.iter().chain(&link.target_config)));
        for name in parts.filter_map(crate::links::shared_name) {
            if let Some(values) = known.config.get(name) {
                needed.insert(name.clone(), values.clone());
            }
        }
    }
    needed
}

/// Writes the snapshot.
///
/// # Errors
///
/// What the file system says.
pub fn write(path: &Path, bytes: &[u8]) -> Result<(), SnapshotError> {
    files::write_private(path, bytes).map_err(|source| SnapshotError::Io { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use mesh_claims::{KeyKind, KeyPair};
    use mesh_lattice::{Digest, id::AccountId, key::TrustKey, stored::TrustStatement};

    use super::*;

    fn root() -> KeyPair {
        KeyPair::generate(KeyKind::Operator)
    }

    fn file(dir: &Path, document: serde_json::Value) -> PathBuf {
        let path = dir.join("assignment.json");
        std::fs::write(&path, document.to_string()).unwrap();
        path
    }

    #[test]
    fn a_file_written_by_hand_runs_everything_in_it() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("counter.wasm"), b"wasm").unwrap();
        let path = file(
            dir.path(),
            serde_json::json!({ "applications": [ { "application": {
                "name": "demo",
                "actors": [ { "name": "counter", "artifact": "./counter.wasm" } ],
                "providers": [ { "name": "kv", "use": "keyvalue-redb" } ] } } ] }),
        );
        let cache = dir.path().join("artifacts");
        let trust = Trust::new(root().operator_id().unwrap());
        let known = read_assignment(&path, &cache, trust).unwrap();
        let items = &known.assignment.as_ref().unwrap().items;
        assert_eq!(items.iter().map(|item| item.name.as_str()).collect::<Vec<_>>(), ["counter", "kv"]);
        let actor = &known.apps.values().next().unwrap().application.actors[0];
        assert_eq!(actor.artifact.digest, Digest::of(b"wasm"));
        assert!(cache.join(Digest::of(b"wasm").to_string()).exists());
    }

    #[test]
    fn what_is_written_is_read_back_with_its_trust() {
        let root = root();
        let issuer: AccountId = KeyPair::generate(KeyKind::Account).account_id().unwrap();
        let key = Key::Trust(TrustKey::Issuer(issuer.clone()));
        let incarnation = Incarnation::new();
        let envelope =
            Envelope::sign(&key, incarnation, 1, &TrustStatement::Issuer { id: issuer.clone() }, &root).unwrap();
        let mut known = Known::nothing(Trust::new(root.operator_id().unwrap()));
        known.incarnation = incarnation;
        known.statements.push((key, envelope));
        let application: Application = serde_json::from_value(serde_json::json!({
            "name": "demo", "providers": [ { "name": "kv", "use": "keyvalue-redb", "config": [ { "shared": "s" } ] } ]
        }))
        .unwrap();
        known.config.insert("s".parse().unwrap(), [("a".to_owned(), "b".to_owned())].into());
        known.config.insert("unneeded".parse().unwrap(), Values::new());
        let items = all_items(&application, 7);
        let application = Arc::new(application);
        known.revisions.insert((application.name.clone(), 7), application.clone());
        known.assignment = Some(Assignment { incarnation, term: 3, items });
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FILE);
        assert!(read(&path, Trust::new(root.operator_id().unwrap())).unwrap().is_none());
        write(&path, &take(&known).unwrap()).unwrap();
        let again = read(&path, Trust::new(root.operator_id().unwrap())).unwrap().unwrap();
        assert_eq!(again.assignment, known.assignment);
        assert!(again.apps.is_empty(), "a revision that is not wanted any more gives no links");
        assert!(again.revisions.contains_key(&(application.name.clone(), 7)));
        assert!(again.trust.is_issuer(&issuer));
        assert_eq!(again.config.len(), 1);
    }

    #[test]
    fn nothing_is_written_where_nothing_is_assigned() {
        assert!(take(&Known::nothing(Trust::new(root().operator_id().unwrap()))).is_none());
    }
}

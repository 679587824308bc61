//! The files of an export: written once into a new folder, and read back only as they were written.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use data_encoding::BASE64;
use mesh_claims::{Envelope, KeyPair};
use mesh_lattice::{Digest, Incarnation, LatticeName, id::OperatorId, key::Key};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::exit::{Exit, Failure};

/// The list of what belongs to an export.
const LIST: &str = "state.json";
/// What its signature is for: no key of the stored state.
const SIGNED_FOR: &str = "export";
/// No file of an export but an artifact is larger.
const MAX_FILE: u64 = 4 << 20;
/// No artifact is larger.
const MAX_ARTIFACT: u64 = 1 << 30;

/// What belongs to an export.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct List {
    pub(super) lattice: LatticeName,
    /// The root of the exported lattice, where the exporter knew it.
    pub(super) root: Option<OperatorId>,
    /// Seconds since 1970, by the exporter's clock.
    pub(super) at: u64,
    /// Each key, and the digest of its envelope.
    pub(super) values: BTreeMap<String, Digest>,
    pub(super) artifacts: BTreeSet<Digest>,
}

/// One file: for people, but for what is signed.
#[derive(Debug, Serialize, Deserialize)]
struct File {
    signer: String,
    value: Value,
    /// The envelope, in base64.
    signed: String,
}

/// An export as it was read: complete, and as its exporter signed it.
#[derive(Debug)]
pub(super) struct Exported {
    pub(super) list: List,
    pub(super) exporter: String,
    pub(super) incarnation: Incarnation,
    pub(super) values: BTreeMap<Key, Envelope>,
    folder: PathBuf,
}

/// Writes an export into a folder that is not there yet.
pub(super) fn write(
    folder: &Path,
    list: &List,
    incarnation: Incarnation,
    values: &BTreeMap<Key, Envelope>,
    signer: &KeyPair,
) -> anyhow::Result<()> {
    let envelope = Envelope::sign(SIGNED_FOR, incarnation, 1, list, signer).context("the list")?;
    let states = folder.join("state");
    fs::create_dir_all(&states).with_context(|| format!("{} cannot be made", states.display()))?;
    for (key, envelope) in values {
        write_file(&states.join(format!("{key}.json")), envelope)?;
    }
    write_file(&folder.join(LIST), &envelope)
}

fn write_file(path: &Path, envelope: &Envelope) -> anyhow::Result<()> {
    let value: Value = mesh_lattice::value::read(&envelope.payload).context("a stored value")?;
    let file = File { signer: envelope.signer.clone(), value, signed: BASE64.encode(&envelope.encode()) };
    let text = serde_json::to_string_pretty(&file).context("a stored value")? + "\n";
    fs::write(path, text).with_context(|| format!("{} cannot be written", path.display()))
}

/// Where an artifact of an export lies.
pub(super) fn artifact(folder: &Path, digest: &Digest) -> PathBuf {
    folder.join("artifacts").join(format!("{digest}.wasm"))
}

/// Reads an export, or says all that is wrong with it.
pub(super) fn read(folder: &Path) -> anyhow::Result<Exported> {
    let (envelope, list) = read_file::<List>(&folder.join(LIST), SIGNED_FOR)?;
    let mut wrong = Vec::new();
    let mut values = BTreeMap::new();
    for (text, digest) in &list.values {
        match value(folder, text, digest, envelope.incarnation) {
            Ok((key, envelope)) => _ = values.insert(key, envelope),
            Err(error) => wrong.push(format!("{error:#}")),
        }
    }
    for digest in &list.artifacts {
        if !artifact(folder, digest).is_file() {
            wrong.push(format!("{} is missing", artifact(folder, digest).display()));
        }
    }
    wrong.extend(strangers(folder, &list));
    if !wrong.is_empty() {
        let message = format!("the export is not as {} signed it:\n  {}", envelope.signer, wrong.join("\n  "));
        return Err(Failure::new(Exit::Refused, message).into());
    }
    let (exporter, incarnation) = (envelope.signer, envelope.incarnation);
    Ok(Exported { list, exporter, incarnation, values, folder: folder.to_owned() })
}

fn value(folder: &Path, text: &str, digest: &Digest, life: Incarnation) -> anyhow::Result<(Key, Envelope)> {
    let key = Key::parse(text).with_context(|| format!("{text:?} is no key"))?;
    let (envelope, _) = read_file::<Value>(&folder.join("state").join(format!("{key}.json")), text)?;
    anyhow::ensure!(Digest::of(&envelope.encode()) == *digest, "{key} is another value than the one in the list");
    anyhow::ensure!(envelope.incarnation == life, "{key} belongs to another life of the lattice's state");
    Ok((key, envelope))
}

/// A file whose value is what its envelope says, and whose envelope is what its signer signed for this key.
fn read_file<T: DeserializeOwned>(path: &Path, key: &str) -> anyhow::Result<(Envelope, T)> {
    let shown = path.display();
    let bytes = bounded(path, MAX_FILE)?;
    let file: File =
        serde_json::from_slice(&bytes).map_err(|error| Failure::invalid(format!("{shown} is no export: {error}")))?;
    let signed =
        BASE64.decode(file.signed.as_bytes()).map_err(|_| Failure::invalid(format!("{shown} is no export")))?;
    let envelope = Envelope::decode(&signed).with_context(|| shown.to_string())?;
    let payload: T = envelope.open(key, envelope.incarnation, |_| Ok(())).with_context(|| shown.to_string())?;
    let said: Value = mesh_lattice::value::read(&envelope.payload).with_context(|| shown.to_string())?;
    if said != file.value || envelope.signer != file.signer {
        let failure = Failure::new(Exit::Refused, format!("{shown} was edited: what counts is what is signed in it"));
        return Err(failure.hint("change what is wanted with a manifest: `meshctl apply`").into());
    }
    Ok((envelope, payload))
}

/// Files that nobody signed.
fn strangers(folder: &Path, list: &List) -> Vec<String> {
    let names = |folder: PathBuf| {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect::<Vec<_>>()
    };
    let value = |name: &String| {
        let key = name.strip_suffix(".json");
        !key.is_some_and(|key| list.values.contains_key(key))
    };
    let artifact = |name: &String| {
        let digest = name.strip_suffix(".wasm").and_then(|digest| digest.parse::<Digest>().ok());
        !digest.is_some_and(|digest| list.artifacts.contains(&digest))
    };
    let values = names(folder.join("state")).into_iter().filter(value);
    let artifacts = names(folder.join("artifacts")).into_iter().filter(artifact);
    values.chain(artifacts).map(|name| format!("{name} does not belong to it")).collect()
}

fn bounded(path: &Path, most: u64) -> anyhow::Result<Vec<u8>> {
    let shown = path.display();
    let unread = |error: std::io::Error| Failure::invalid(format!("{shown} cannot be read: {error}"));
    let size = fs::metadata(path).map_err(unread)?.len();
    if size > most {
        return Err(Failure::invalid(format!("{shown} has {size} bytes; at most {most} are read")).into());
    }
    Ok(fs::read(path).map_err(unread)?)
}

impl Exported {
    /// The bytes of an artifact, which are what its digest says.
    pub(super) fn artifact(&self, digest: &Digest) -> anyhow::Result<Vec<u8>> {
        let path = artifact(&self.folder, digest);
        let bytes = bounded(&path, MAX_ARTIFACT)?;
        if Digest::of(&bytes) != *digest {
            return Err(Failure::new(Exit::Refused, format!("{} has another content", path.display())).into());
        }
        Ok(bytes)
    }

    /// What stands under a key.
    pub(super) fn get<T: DeserializeOwned>(&self, key: &Key) -> anyhow::Result<Option<T>> {
        let Some(envelope) = self.values.get(key) else { return Ok(None) };
        Ok(Some(envelope.open(&key.to_string(), self.incarnation, |_| Ok(()))?))
    }
}

#[cfg(test)]
mod tests {
    use mesh_claims::KeyKind;
    use mesh_lattice::application::Values;

    use super::*;

    fn exported(folder: &Path) -> KeyPair {
        let user = KeyPair::generate(KeyKind::User);
        let incarnation = Incarnation::new();
        let key = Key::Config("shared".parse().unwrap());
        let values = Values::from([("a".to_owned(), "1".to_owned())]);
        let envelope = Envelope::sign(&key, incarnation, 3, &values, &user).unwrap();
        let artifact_bytes = b"an artifact";
        let list = List {
            lattice: LatticeName::default(),
            root: None,
            at: 1,
            values: BTreeMap::from([(key.to_string(), Digest::of(&envelope.encode()))]),
            artifacts: BTreeSet::from([Digest::of(artifact_bytes)]),
        };
        fs::create_dir_all(folder.join("artifacts")).unwrap();
        fs::write(artifact(folder, &Digest::of(artifact_bytes)), artifact_bytes).unwrap();
        write(folder, &list, incarnation, &BTreeMap::from([(key, envelope)]), &user).unwrap();
        user
    }

    #[test]
    fn an_export_is_read_as_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let user = exported(folder.path());
        let read = read(folder.path()).unwrap();
        assert_eq!(read.exporter, user.public());
        let values: Values = read.get(&Key::Config("shared".parse().unwrap())).unwrap().unwrap();
        assert_eq!(values.get("a").map(String::as_str), Some("1"));
        assert!(read.artifact(&Digest::of(b"an artifact")).is_ok());
    }

    #[test]
    fn what_was_edited_added_taken_away_or_put_in_anothers_place_is_refused() {
        let value = "state/config.shared.json";
        type Spoil = fn(&Path);
        let spoil: [(&str, Spoil); 6] = [
            ("edited", |folder| {
                let text = fs::read_to_string(folder.join("state/config.shared.json")).unwrap();
                fs::write(folder.join("state/config.shared.json"), text.replace("\"1\"", "\"2\"")).unwrap();
            }),
            ("cannot be read", |folder| fs::remove_file(folder.join("state/config.shared.json")).unwrap()),
            ("is missing", |folder| fs::remove_dir_all(folder.join("artifacts")).unwrap()),
            ("does not belong", |folder| fs::write(folder.join("state/config.other.json"), "{}").unwrap()),
            ("another value", |folder| {
                let other = tempfile::tempdir().unwrap();
                exported(other.path());
                fs::copy(other.path().join("state/config.shared.json"), folder.join("state/config.shared.json"))
                    .unwrap();
            }),
            ("no export", |folder| fs::write(folder.join("state.json"), "{}").unwrap()),
        ];
        for (words, spoil) in spoil {
            let folder = tempfile::tempdir().unwrap();
            exported(folder.path());
            assert!(folder.path().join(value).is_file());
            spoil(folder.path());
            let error = format!("{:#}", read(folder.path()).unwrap_err());
            assert!(error.contains(words), "{words}: {error}");
        }
    }
}

//! `state export`: reads all that people have said, as the lattice goes by it, and writes it into a new folder.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use mesh_claims::Envelope;
use mesh_lattice::{Digest, application::Application, control::Status, key::Key, stored::AppPointer};
use serde::Serialize;

use super::files::{self, List};
use crate::{
    cli::Global,
    client::{self, Client, key_of},
    exit::{Exit, Failure},
    output::{Output, Table},
    time,
};

/// Write all desired state into a new folder
#[derive(Debug, clap::Args)]
pub(crate) struct Export {
    /// The folder; it must not be there yet
    folder: PathBuf,
    /// Leave the artifacts out: an import then needs a lattice that has them
    #[arg(long)]
    without_artifacts: bool,
}

#[derive(Serialize)]
struct Done<'a> {
    folder: &'a Path,
    values: usize,
    artifacts: usize,
}

impl Export {
    pub(crate) fn run(self, global: &Global, out: &Output) -> anyhow::Result<()> {
        if self.folder.exists() {
            let failure = Failure::new(Exit::Refused, format!("{} is there already", self.folder.display()));
            return Err(failure.hint("an export is never mixed with another one: name a new folder").into());
        }
        client::connected(global, out, async |client| self.export(client, out).await)
    }

    async fn export(&self, client: &Client, out: &Output) -> anyhow::Result<()> {
        let signer = client.signer()?;
        let judge = client.judge(&signer).await?;
        let status = client.status().await?;
        let (incarnation, mut values) = client.signed_values(&keys(&status), &judge).await?;
        let revisions: Vec<Key> = values.iter().filter_map(revision).collect();
        values.extend(client.signed_values(&revisions, &judge).await?.1);
        let artifacts = if self.without_artifacts { BTreeSet::new() } else { artifacts(&values)? };
        // Beside its place first, so that half an export is never taken for one.
        let parent = self.folder.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let begun = tempfile::tempdir_in(parent).with_context(|| parent.display().to_string())?;
        fs::create_dir(begun.path().join("artifacts")).context("the folder of the artifacts cannot be made")?;
        for digest in &artifacts {
            let bytes = client.download(digest).await?;
            let path = files::artifact(begun.path(), digest);
            fs::write(&path, bytes).with_context(|| format!("{} cannot be written", path.display()))?;
        }
        let list = List {
            lattice: status.lattice.clone(),
            root: client.root()?,
            at: time::now(),
            values: values.iter().map(|(key, value)| (key.to_string(), Digest::of(&value.encode()))).collect(),
            artifacts,
        };
        files::write(begun.path(), &list, incarnation, &values, &signer)?;
        fs::rename(begun.keep(), &self.folder).with_context(|| self.folder.display().to_string())?;
        let done = Done { folder: &self.folder, values: values.len(), artifacts: list.artifacts.len() };
        out.show(&done, || {
            let Done { values, artifacts, .. } = done;
            Table::of_line(format!("{values} values and {artifacts} artifacts are in {}", self.folder.display()))
        })
    }
}

/// The keys of all that people say, but for revisions.
fn keys(status: &Status) -> Vec<Key> {
    let apps = status.apps.iter().map(|app| Key::App(app.name.clone()));
    let config = status.config.iter().map(|config| Key::Config(config.name.clone()));
    let nodes = status.hosts.iter().map(|host| Key::Node(host.id.clone()));
    let trust = status.trust.iter().filter_map(key_of).map(Key::Trust);
    apps.chain(config).chain(nodes).chain(trust).collect()
}

/// The revision that is wanted of an application.
fn revision((key, envelope): (&Key, &Envelope)) -> Option<Key> {
    let Key::App(name) = key else { return None };
    let pointer: AppPointer = mesh_lattice::value::read(&envelope.payload).ok()?;
    (!pointer.deleted && pointer.revision > 0).then(|| Key::AppRevision(name.clone(), pointer.revision))
}

/// What all actors run.
fn artifacts(values: &BTreeMap<Key, Envelope>) -> anyhow::Result<BTreeSet<Digest>> {
    let mut artifacts = BTreeSet::new();
    for (key, envelope) in values {
        if matches!(key, Key::AppRevision(..)) {
            let application: Application = mesh_lattice::value::read(&envelope.payload).context("an application")?;
            artifacts.extend(application.actors.iter().map(|actor| actor.artifact.digest));
        }
    }
    Ok(artifacts)
}

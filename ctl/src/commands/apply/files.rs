//! The files that a person names: manifests, folders of them, standard input.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use mesh_lattice::name::Labels;
use mesh_manifest::{Draft, Reading, Source};

use crate::{exit::Failure, manifest, output::Output, values};

/// What ends the name of a manifest in a folder.
const ENDINGS: [&str; 3] = ["yaml", "yml", "json"];

/// A text that was read.
pub(crate) type Read = Arc<Source>;

/// Which manifests, and what fills them.
#[derive(Debug, clap::Args)]
pub(crate) struct Files {
    /// A manifest, a folder with manifests in it, or - for standard input
    #[arg(short = 'f', long = "file", value_name = "FILE", num_args = 1..)]
    files: Vec<PathBuf>,
    /// What `${K}` in them stands for
    #[arg(long = "set", value_name = "K=V", value_parser = values::pair)]
    set: Vec<(String, String)>,
}

impl Files {
    /// Their texts; all that cannot be read is said at once.
    pub(crate) fn sources(&self) -> anyhow::Result<Vec<Read>> {
        if self.files.is_empty() {
            return Err(Failure::invalid("no manifest is named")
                .hint("-f FILE names one, a folder of them, or -")
                .into());
        }
        let (mut sources, mut wrong) = (Vec::new(), Vec::new());
        for path in &self.files {
            match read_all(path) {
                Ok(read) => sources.extend(read),
                Err(error) => wrong.push(error),
            }
        }
        if wrong.is_empty() { Ok(sources) } else { Err(Failure::invalid(wrong.join("\n")).into()) }
    }

    /// What they say. The labels of the hosts are needed where OAM speaks of instances.
    pub(crate) fn drafts(
        &self,
        sources: &[Read],
        hosts: Option<&[Labels]>,
        out: &Output,
    ) -> anyhow::Result<Vec<Draft>> {
        let values = values::values(&self.set)?;
        let manifests = mesh_manifest::read(sources, &Reading { values: Some(&values), hosts })?;
        out.warn(&manifests.warnings);
        Ok(manifests.drafts)
    }
}

fn read_all(path: &Path) -> Result<Vec<Read>, String> {
    let read = |path: &Path| manifest::source(path).map_err(|error| error.to_string());
    if path.as_os_str() == "-" || !path.is_dir() {
        return Ok(vec![read(path)?]);
    }
    let shown = path.display();
    let mut files = Vec::new();
    for entry in fs::read_dir(path).map_err(|error| format!("{shown} cannot be read: {error}"))? {
        let file = entry.map_err(|error| format!("{shown} cannot be read: {error}"))?.path();
        let ending = file.extension().and_then(|ending| ending.to_str());
        if ending.is_some_and(|ending| ENDINGS.contains(&ending)) && file.is_file() {
            files.push(file);
        }
    }
    files.sort();
    if files.is_empty() {
        return Err(format!("{shown} has no manifest in it: no file ends in .yaml, .yml or .json"));
    }
    files.iter().map(|file| read(file)).collect()
}

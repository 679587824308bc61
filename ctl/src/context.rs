//! Which lattice is meant, and as whom: flags and environment first, then the context that `--context` names, then the
//! nearest `.mesh/lattice.json` from the current folder upward.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use mesh_claims::{KeyKind, KeyPair};
use mesh_lattice::{LatticeName, id::OperatorId};
use serde::Deserialize;

use crate::{
    cli::Global,
    exit::{Exit, Failure},
    seed,
};

/// Which lattice, and as whom.
#[derive(Debug, Clone, Default)]
pub(crate) struct Context {
    /// Where NATS listens.
    pub(crate) server: String,
    /// Whether nobody said so.
    pub(crate) guessed: bool,
    /// Where its monitoring listens, where that is known.
    pub(crate) monitor: Option<String>,
    /// The lattice.
    pub(crate) lattice: LatticeName,
    /// The NATS credentials.
    pub(crate) creds: Option<PathBuf>,
    /// The user's seed.
    pub(crate) key: Option<PathBuf>,
    /// The root's public key, or the file with its seed.
    pub(crate) root: Option<String>,
}

/// A context as a file holds it; other fields are other programs' business.
#[derive(Debug, Default, Deserialize)]
struct File {
    server: Option<String>,
    monitor: Option<String>,
    lattice: Option<LatticeName>,
    creds: Option<PathBuf>,
    key: Option<PathBuf>,
    root: Option<String>,
}

/// Where a development lattice says how to reach it.
const FILE: &str = ".mesh/lattice.json";
/// Where NATS listens where nothing is said.
const SERVER: &str = "nats://127.0.0.1:4222";

impl Context {
    /// Finds out.
    pub(crate) fn find(global: &Global) -> anyhow::Result<Self> {
        let file = match (&global.context, &global.server) {
            (Some(name), _) => File::named(name)?,
            // A server that was named is not the one that the file speaks of.
            (None, Some(_)) => File::default(),
            (None, None) => File::nearest(&env::current_dir().context("the current folder is gone")?)?,
        };
        let context = Self {
            guessed: global.server.is_none() && file.server.is_none(),
            server: global.server.clone().or(file.server).unwrap_or_else(|| SERVER.to_owned()),
            monitor: file.monitor,
            lattice: global.lattice.clone().or(file.lattice).unwrap_or_default(),
            creds: global.creds.clone().or(file.creds),
            key: global.key.clone().or(file.key),
            root: global.root.clone().or(file.root),
        };
        if global.root.is_some() {
            // What was typed wrongly is refused also by commands that get along without it.
            context.root()?;
        }
        Ok(context)
    }

    /// The key that signs changes.
    pub(crate) fn signer(&self) -> anyhow::Result<KeyPair> {
        let path = self.key.as_ref().ok_or_else(|| {
            Failure::new(Exit::Refused, "a change has to be signed, and no key is named")
                .hint("name the file of a user's seed with --key or MESH_KEY; `meshctl keys gen user FILE` makes one")
        })?;
        seed::read(path, &[KeyKind::User, KeyKind::Operator])
    }

    /// The root of the lattice's trust, where it is known.
    pub(crate) fn root(&self) -> anyhow::Result<Option<OperatorId>> {
        let Some(text) = &self.root else { return Ok(None) };
        if let Ok(id) = text.parse() {
            return Ok(Some(id));
        }
        Ok(seed::read(Path::new(text), &[KeyKind::Operator])?.operator_id())
    }
}

impl File {
    fn nearest(folder: &Path) -> anyhow::Result<Self> {
        let found = folder.ancestors().map(|folder| folder.join(FILE)).find(|path| path.is_file());
        found.map_or_else(|| Ok(Self::default()), |path| Self::read(&path))
    }

    fn named(name: &str) -> anyhow::Result<Self> {
        let plain = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
        if !plain {
            return Err(Failure::invalid(format!("{name:?} is not the name of a context")).into());
        }
        let folder = env::var_os("XDG_CONFIG_HOME")
            .map(PathBuf::from)
            .or_else(|| env::var_os("HOME").map(|home| PathBuf::from(home).join(".config")))
            .ok_or_else(|| Failure::invalid("neither XDG_CONFIG_HOME nor HOME is set: contexts live there"))?;
        let path = folder.join("mesh/contexts").join(format!("{name}.json"));
        if !path.is_file() {
            return Err(Failure::not_found(format!("there is no context {name}: no file {}", path.display())).into());
        }
        Self::read(&path)
    }

    fn read(path: &Path) -> anyhow::Result<Self> {
        let shown = path.display();
        let text = fs::read(path).with_context(|| format!("{shown} cannot be read"))?;
        serde_json::from_slice(&text)
            .map_err(|error| Failure::invalid(format!("{shown} cannot be understood: {error}")).into())
    }
}

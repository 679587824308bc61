//! Which lattice is meant, and as whom: flags and environment first, then the context that `--context` names, then the
//! nearest `.mesh/lattice.json` from the current folder upward, then the context that `context use` named.
//!
//! Contexts are files in the person's own folder of configuration. They name files and hold no secrets.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use mesh_claims::{KeyKind, KeyPair};
use mesh_lattice::{LatticeName, id::OperatorId};
use mesh_transport::Tls;
use serde::{Deserialize, Serialize};

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
    /// The JetStream domain.
    pub(crate) js_domain: Option<String>,
    /// TLS files.
    pub(crate) tls: Tls,
}

/// A context as a file holds it; other fields are other programs' business.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct File {
    pub(crate) server: Option<String>,
    pub(crate) monitor: Option<String>,
    pub(crate) lattice: Option<LatticeName>,
    pub(crate) creds: Option<PathBuf>,
    pub(crate) key: Option<PathBuf>,
    pub(crate) root: Option<String>,
    pub(crate) js_domain: Option<String>,
    pub(crate) tls_ca: Option<PathBuf>,
    pub(crate) tls_cert: Option<PathBuf>,
    pub(crate) tls_key: Option<PathBuf>,
}

/// Where a development lattice says how to reach it.
const FILE: &str = ".mesh/lattice.json";
/// Names the context that is used, in the folder of configuration.
const CURRENT: &str = "context";
/// Where NATS listens where nothing is said.
const SERVER: &str = "nats://127.0.0.1:4222";

impl Context {
    /// Finds out.
    pub(crate) fn find(global: &Global) -> anyhow::Result<Self> {
        let file = match (&global.context, &global.server) {
            (Some(name), _) => File::named(name)?,
            // A server that was named is not the one that the file speaks of.
            (None, Some(_)) => File::default(),
            (None, None) => match File::nearest(&env::current_dir().context("the current folder is gone")?)? {
                Some(file) => file,
                None => current()?.map_or_else(|| Ok(File::default()), |name| File::named(&name))?,
            },
        };
        let context = Self {
            guessed: global.server.is_none() && file.server.is_none(),
            server: global.server.clone().or(file.server).unwrap_or_else(|| SERVER.to_owned()),
            monitor: file.monitor,
            lattice: global.lattice.clone().or(file.lattice).unwrap_or_default(),
            creds: global.creds.clone().or(file.creds),
            key: global.key.clone().or(file.key),
            root: global.root.clone().or(file.root),
            js_domain: global.js_domain.clone().or(file.js_domain),
            tls: Tls {
                ca: global.tls_ca.clone().or(file.tls_ca),
                cert: global.tls_cert.clone().or(file.tls_cert),
                key: global.tls_key.clone().or(file.tls_key),
            },
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
    /// The one of a development lattice, in this folder or above.
    pub(crate) fn nearest(folder: &Path) -> anyhow::Result<Option<Self>> {
        let found = folder.ancestors().map(|folder| folder.join(FILE)).find(|path| path.is_file());
        found.map(|path| Self::read(&path)).transpose()
    }

    /// The one that was saved under this name.
    pub(crate) fn named(name: &str) -> anyhow::Result<Self> {
        let path = Self::path(name)?;
        if !path.is_file() {
            return Err(Failure::not_found(format!("there is no context {name}: no file {}", path.display())).into());
        }
        Self::read(&path)
    }

    /// Saves it under this name, whole or not at all.
    pub(crate) fn save(&self, name: &str) -> anyhow::Result<()> {
        let text = serde_json::to_string_pretty(self).context("the context cannot be written")? + "\n";
        replace(&Self::path(name)?, &text)
    }

    /// Where the context of this name is.
    pub(crate) fn path(name: &str) -> anyhow::Result<PathBuf> {
        let plain = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
        if !plain {
            return Err(Failure::invalid(format!("{name:?} is not the name of a context")).into());
        }
        Ok(folder()?.join("contexts").join(format!("{name}.json")))
    }

    fn read(path: &Path) -> anyhow::Result<Self> {
        let shown = path.display();
        let text = fs::read(path).with_context(|| format!("{shown} cannot be read"))?;
        serde_json::from_slice(&text)
            .map_err(|error| Failure::invalid(format!("{shown} cannot be understood: {error}")).into())
    }
}

/// The folder of the person's own configuration.
pub(crate) fn folder() -> anyhow::Result<PathBuf> {
    let folder = env::var_os("XDG_CONFIG_HOME")
        .filter(|folder| !folder.is_empty())
        .map(PathBuf::from)
        .or_else(|| env::var_os("HOME").map(|home| PathBuf::from(home).join(".config")))
        .ok_or_else(|| Failure::invalid("neither XDG_CONFIG_HOME nor HOME is set: contexts live there"))?;
    Ok(folder.join("mesh"))
}

/// The context that `context use` named, where there is one.
pub(crate) fn current() -> anyhow::Result<Option<String>> {
    // Who has no folder of configuration has used no context.
    let Ok(folder) = folder() else { return Ok(None) };
    match fs::read_to_string(folder.join(CURRENT)) {
        Ok(name) => Ok(Some(name.trim().to_owned()).filter(|name| !name.is_empty())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("{} cannot be read", folder.join(CURRENT).display())),
    }
}

/// Names the context that is used where nothing else is said; none any more where there is no name.
pub(crate) fn make_current(name: Option<&str>) -> anyhow::Result<()> {
    let path = folder()?.join(CURRENT);
    match name {
        Some(name) => replace(&path, &format!("{name}\n")),
        None => match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("{} cannot be removed", path.display()))
            }
            _ => Ok(()),
        },
    }
}

/// Writes a file beside its place first, so that nobody reads half of one.
fn replace(path: &Path, text: &str) -> anyhow::Result<()> {
    let about = || format!("{} cannot be written", path.display());
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(about)?;
    }
    let beside = path.with_extension("new");
    fs::write(&beside, text).with_context(about)?;
    fs::rename(&beside, path).with_context(about)
}

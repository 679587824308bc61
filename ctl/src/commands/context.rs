//! `context`: which lattices there are, by name, and which one is meant where nothing is said.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use serde::Serialize;

use crate::{
    cli::Global,
    context::{self, File},
    exit::Failure,
    output::{Output, Table},
};

/// Keep lattices by name
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Context {
    /// List the contexts
    List,
    /// Show one
    Show {
        /// Its name; the one in use where nothing is said
        name: Option<String>,
    },
    /// Keep what is said with --server, --lattice, --creds, --key, --root, --js-domain and --tls-* under this name
    Set {
        /// Its name
        name: String,
    },
    /// Use this one wherever nothing else is said and no .mesh/lattice.json is near
    Use {
        /// Its name
        name: String,
    },
    /// Forget it
    Rm {
        /// Its name
        name: String,
    },
}

/// A context and its name.
#[derive(Serialize)]
struct Named {
    name: String,
    current: bool,
    #[serde(flatten)]
    file: File,
}

/// What was done.
#[derive(Serialize)]
struct Done {
    kind: &'static str,
    name: String,
    result: &'static str,
}

impl Context {
    pub(crate) fn run(self, global: &Global, out: &Output) -> anyhow::Result<()> {
        match self {
            Self::List => list(out),
            Self::Show { name } => show(name, out),
            Self::Set { name } => set(name, global, out),
            Self::Use { name } => {
                File::named(&name)?;
                context::make_current(Some(&name))?;
                done(out, name, "used")
            }
            Self::Rm { name } => {
                File::named(&name)?;
                if context::current()?.as_deref() == Some(&*name) {
                    context::make_current(None)?;
                }
                let path = File::path(&name)?;
                fs::remove_file(&path).with_context(|| format!("{} cannot be removed", path.display()))?;
                done(out, name, "removed")
            }
        }
    }
}

fn list(out: &Output) -> anyhow::Result<()> {
    let current = context::current()?;
    let folder = context::folder()?.join("contexts");
    let mut names: Vec<String> = match fs::read_dir(&folder) {
        Ok(entries) => entries.filter_map(|entry| name_of(&entry.ok()?.path())).collect(),
        // Nobody has saved one yet.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(error).with_context(|| format!("{} cannot be read", folder.display())),
    };
    names.sort();
    let mut all = Vec::new();
    for name in names {
        let current = current.as_ref() == Some(&name);
        all.push(Named { file: File::named(&name)?, name, current });
    }
    out.show(&all, || {
        let mut table = Table::new(["CURRENT", "NAME", "SERVER", "LATTICE", "+KEY", "+CREDS"]);
        for one in &all {
            let path =
                |path: &Option<PathBuf>| path.as_ref().map_or_else(|| "-".to_owned(), |p| p.display().to_string());
            table.row([
                if one.current { "*".to_owned() } else { String::new() },
                one.name.clone(),
                one.file.server.clone().unwrap_or_else(|| "-".to_owned()),
                one.file.lattice.clone().unwrap_or_default().to_string(),
                path(&one.file.key),
                path(&one.file.creds),
            ]);
        }
        table
    })
}

fn name_of(path: &Path) -> Option<String> {
    let is_one = path.extension().is_some_and(|extension| extension == "json");
    is_one.then(|| path.file_stem()?.to_str().map(str::to_owned)).flatten()
}

fn show(name: Option<String>, out: &Output) -> anyhow::Result<()> {
    let current = context::current()?;
    let name = name.or_else(|| current.clone());
    let name = name.ok_or_else(|| {
        Failure::not_found("no context is in use")
            .hint("`meshctl context list` lists them, `meshctl context use NAME` uses one")
    })?;
    let named = Named { file: File::named(&name)?, current: current.as_ref() == Some(&name), name };
    out.show(&named, || {
        let file = &named.file;
        let path = |path: &Option<PathBuf>| path.as_ref().map_or_else(|| "-".to_owned(), |p| p.display().to_string());
        let text = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
        Table::of_fields([
            ("name", named.name.clone()),
            ("current", if named.current { "yes" } else { "no" }.to_owned()),
            ("server", text(&file.server)),
            ("lattice", file.lattice.clone().unwrap_or_default().to_string()),
            ("creds", path(&file.creds)),
            ("key", path(&file.key)),
            ("root", text(&file.root)),
            ("js domain", text(&file.js_domain)),
            ("tls ca", path(&file.tls_ca)),
            ("tls cert", path(&file.tls_cert)),
            ("tls key", path(&file.tls_key)),
        ])
    })
}

fn set(name: String, global: &Global, out: &Output) -> anyhow::Result<()> {
    let before = File::path(&name)?.is_file().then(|| File::named(&name)).transpose()?;
    let base = before.clone().unwrap_or_default();
    let whole = |path: &Option<PathBuf>| {
        path.as_ref().map(std::path::absolute).transpose().context("the current folder is gone")
    };
    // What is no key is a file, and is to be found from everywhere.
    let root = match &global.root {
        Some(root) if Path::new(root).exists() => Some(std::path::absolute(root)?.to_string_lossy().into_owned()),
        root => root.clone(),
    };
    let file = File {
        server: global.server.clone().or(base.server),
        monitor: base.monitor,
        lattice: global.lattice.clone().or(base.lattice),
        creds: whole(&global.creds)?.or(base.creds),
        key: whole(&global.key)?.or(base.key),
        root: root.or(base.root),
        js_domain: global.js_domain.clone().or(base.js_domain),
        tls_ca: whole(&global.tls_ca)?.or(base.tls_ca),
        tls_cert: whole(&global.tls_cert)?.or(base.tls_cert),
        tls_key: whole(&global.tls_key)?.or(base.tls_key),
    };
    if file.server.is_none() {
        return Err(Failure::invalid("a context needs a server: say one with --server").into());
    }
    let result = match &before {
        None => "created",
        Some(before) if *before == file => "unchanged",
        Some(_) => "updated",
    };
    file.save(&name)?;
    done(out, name, result)
}

fn done(out: &Output, name: String, result: &'static str) -> anyhow::Result<()> {
    let done = Done { kind: "context", name, result };
    out.show(&done, || Table::of_line(format!("context {} {result}", done.name)))
}

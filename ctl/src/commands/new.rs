//! `new`: writes a project that builds, passes its tests and runs as it is. Offline.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use mesh_lattice::Name;
use serde::Serialize;

use crate::{
    exit::{Exit, Failure},
    output::{Output, Table},
    templates::{self, Kind, Template},
};

/// Begin an actor, a provider or an application of one's own
#[derive(Debug, clap::Args)]
#[command(
    arg_required_else_help = true,
    args_conflicts_with_subcommands = true,
    after_long_help = "Examples:\n  \
        meshctl new actor hello\n  \
        meshctl new actor orders --template keyvalue\n  \
        meshctl new app shop"
)]
pub(crate) struct New {
    /// List the templates
    #[arg(long)]
    list: bool,
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// An actor in Rust
    Actor(Project),
    /// An actor in Rust that serves an interface to other actors
    Provider(Project),
    /// Actors in Rust that talk to each other
    App(Project),
}

#[derive(Debug, clap::Args)]
struct Project {
    /// Its name in the lattice, and that of its package
    #[arg(value_parser = project_name)]
    name: Name,
    /// Which of the templates; `meshctl new --list` lists them
    #[arg(long, value_name = "TEMPLATE")]
    template: Option<String>,
    /// The new folder that it goes to [default: NAME]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

#[derive(Serialize)]
struct Made<'a> {
    kind: Kind,
    template: &'a str,
    name: &'a Name,
    dir: &'a Path,
    files: Vec<&'a str>,
}

impl New {
    pub(crate) fn run(self, out: &Output) -> anyhow::Result<()> {
        match self.what {
            Some(What::Actor(project)) => project.write(Kind::Actor, out),
            Some(What::Provider(project)) => project.write(Kind::Provider, out),
            Some(What::App(project)) => project.write(Kind::App, out),
            None => list(out),
        }
    }
}

fn list(out: &Output) -> anyhow::Result<()> {
    out.show(&templates::ALL, || {
        let mut table = Table::new(["KIND", "TEMPLATE", "WHAT IT IS"]);
        for template in templates::ALL {
            table.row([template.kind.word(), template.name, template.about].map(str::to_owned));
        }
        table
    })
}

impl Project {
    fn write(self, kind: Kind, out: &Output) -> anyhow::Result<()> {
        let template = find(kind, self.template.as_deref())?;
        let dir = self.dir.clone().unwrap_or_else(|| PathBuf::from(self.name.as_str()));
        begin(&dir)?;
        let written = write_files(template, &self.name, &dir);
        let files = match written {
            Ok(files) => files,
            Err(error) => {
                // Half a project helps nobody, and the folder is ours: it was not there before.
                let _ = fs::remove_dir_all(&dir);
                return Err(error);
            }
        };
        if let Some(above) = workspace_above(&dir) {
            out.say(&format!(
                "{} is a Cargo workspace, and this project is one of its own: where `members` there has a pattern that \
                 covers {}, add it to `exclude`",
                above.display(),
                dir.display()
            ));
        }
        let made = Made { kind, template: template.name, name: &self.name, dir: &dir, files };
        out.show(&made, || Table::of_line(format!("{} {} is in {}", kind.word(), self.name, dir.display())))?;
        out.say(&format!("next: cd {} && make", dir.display()));
        Ok(())
    }
}

fn find(kind: Kind, name: Option<&str>) -> Result<&'static Template, Failure> {
    let found = templates::of(kind).find(|template| name.is_none_or(|name| name == template.name));
    found.ok_or_else(|| {
        let names: Vec<&str> = templates::of(kind).map(|template| template.name).collect();
        let name = name.unwrap_or_default();
        Failure::invalid(format!("no template of {} is called {name:?}", kind.word()))
            .hint(format!("there is {}; `meshctl new --list` says what they are", names.join(", ")))
    })
}

/// Makes the folder, which must not be there yet.
fn begin(dir: &Path) -> anyhow::Result<()> {
    let shown = dir.display();
    fs::create_dir(dir).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => {
            Failure::new(Exit::Refused, format!("{shown} is there already and is not overwritten"))
                .hint("name another folder with --dir")
                .into()
        }
        _ => Failure::invalid(format!("{shown} cannot be made: {error}")).into(),
    })
}

fn write_files(template: &Template, name: &Name, dir: &Path) -> anyhow::Result<Vec<&'static str>> {
    let mut files = Vec::new();
    for (path, text) in template.files(name.as_str()) {
        let file = dir.join(path);
        let folder = file.parent().unwrap_or(dir);
        fs::create_dir_all(folder).with_context(|| format!("{} cannot be made", folder.display()))?;
        fs::write(&file, text).with_context(|| format!("{} cannot be written", file.display()))?;
        files.push(path);
    }
    Ok(files)
}

/// The manifest of the Cargo workspace that this folder lies in, if it lies in one.
fn workspace_above(dir: &Path) -> Option<PathBuf> {
    let dir = fs::canonicalize(dir).ok()?;
    let manifests = dir.ancestors().skip(1).map(|above| above.join("Cargo.toml"));
    let begins_one = |line: &str| line.trim_start().starts_with("[workspace");
    manifests
        .filter(|manifest| fs::read_to_string(manifest).is_ok_and(|text| text.lines().any(begins_one)))
        .find(|manifest| manifest.is_file())
}

/// The longest name: what belongs to a project has a word behind it, and names end at 63 characters.
const LONGEST: usize = 48;

/// What Rust, YAML or one of the packages that a project uses means something else by.
const TAKEN: &[&str] = &[
    "abstract",
    "alloc",
    "as",
    "async",
    "await",
    "become",
    "box",
    "break",
    "const",
    "continue",
    "core",
    "crate",
    "do",
    "dyn",
    "else",
    "enum",
    "extern",
    "false",
    "final",
    "fn",
    "for",
    "gen",
    "if",
    "impl",
    "in",
    "let",
    "loop",
    "macro",
    "match",
    "mod",
    "move",
    "mut",
    "n",
    "no",
    "null",
    "off",
    "on",
    "override",
    "priv",
    "proc_macro",
    "proc-macro",
    "pub",
    "ref",
    "return",
    "self",
    "static",
    "std",
    "struct",
    "super",
    "test",
    "trait",
    "true",
    "try",
    "type",
    "typeof",
    "unsafe",
    "unsized",
    "use",
    "virtual",
    "wasi",
    "where",
    "while",
    "wit-bindgen",
    "wit_bindgen",
    "y",
    "yes",
    "yield",
];

/// A name that the lattice, Cargo and Rust all take.
fn project_name(text: &str) -> Result<Name, String> {
    let name: Name = text.parse().map_err(|error: mesh_lattice::name::BadName| error.to_string())?;
    if !text.starts_with(|first: char| first.is_ascii_lowercase()) {
        return Err("a package of Cargo begins with a letter".to_owned());
    }
    if text.len() > LONGEST {
        return Err(format!("it has more than {LONGEST} characters"));
    }
    if TAKEN.contains(&text) {
        return Err("Rust, YAML or a package that it uses means something else by this word".to_owned());
    }
    Ok(name)
}

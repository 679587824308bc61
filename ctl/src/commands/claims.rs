//! `claims sign` and `claims show`: what an artifact says about itself, and who says it. Offline.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;
use mesh_claims::{
    KeyKind, KeyPair,
    sign::{self, SignOptions},
    surface, verify,
};
use mesh_lattice::Digest;
use serde::Serialize;

use crate::{
    exit::Failure,
    output::{Output, Table},
    seed, time,
};

/// Sign an artifact, or show what its signature says
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Claims {
    /// Sign a component, in place unless --to says where
    Sign(Sign),
    /// Show who signed an artifact, and what he says
    Show {
        /// The artifact
        file: PathBuf,
    },
}

/// Sign a component
#[derive(Debug, clap::Args)]
pub(crate) struct Sign {
    /// The component
    file: PathBuf,
    /// The file with the issuer's seed (an account)
    #[arg(long, value_name = "KEY")]
    issuer: PathBuf,
    /// The file with the actor's seed [default: NAME.actor.nk beside the issuer's, made on first use]
    #[arg(long, value_name = "KEY")]
    subject: Option<PathBuf>,
    /// Where the signed component goes
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
    /// A name for people [default: the file's]
    #[arg(long)]
    name: Option<String>,
    /// The revision
    #[arg(long, default_value_t = 0)]
    rev: i32,
    /// The version, for people
    #[arg(long)]
    ver: Option<String>,
    /// A word to put on it
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<String>,
    /// How long the claims hold
    #[arg(long, value_name = "TIME", value_parser = time::parse, default_value = "90d")]
    expires: Duration,
}

/// What is said about an artifact, as programs read it.
#[derive(Debug, Serialize)]
pub(crate) struct Shown {
    issuer: String,
    subject: String,
    name: Option<String>,
    digest: Digest,
    hash: String,
    revision: i64,
    version: Option<String>,
    expires: Option<u64>,
    not_before: Option<u64>,
}

impl Shown {
    /// What the artifact says; its structure, signature and hash are checked.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, mesh_claims::Refusal> {
        let claims = verify::read(bytes)?;
        Ok(Self {
            issuer: claims.issuer.to_string(),
            subject: claims.subject.as_str().to_owned(),
            name: claims.name,
            digest: Digest::of(bytes),
            hash: claims.hash,
            revision: claims.revision,
            version: claims.version,
            expires: claims.expires,
            not_before: claims.not_before,
        })
    }

    pub(crate) fn fields(&self) -> Vec<(&'static str, String)> {
        let moment = |at: Option<u64>| at.map_or_else(|| "-".to_owned(), time::utc);
        let text = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
        vec![
            ("name", text(&self.name)),
            ("issuer", self.issuer.clone()),
            ("subject", self.subject.clone()),
            ("digest", self.digest.to_string()),
            ("hash", self.hash.clone()),
            ("revision", self.revision.to_string()),
            ("version", text(&self.version)),
            ("not before", moment(self.not_before)),
            ("expires", moment(self.expires)),
        ]
    }
}

impl Claims {
    pub(crate) fn run(self, out: &Output) -> anyhow::Result<()> {
        match self {
            Self::Sign(sign) => sign.run(out),
            Self::Show { file } => {
                let shown = Shown::read(&read(&file)?).with_context(|| file.display().to_string())?;
                out.show(&shown, || Table::of_fields(shown.fields()))
            }
        }
    }
}

impl Sign {
    fn run(self, out: &Output) -> anyhow::Result<()> {
        let bytes = read(&self.file)?;
        let shown = self.file.display();
        // What no host can ever run is not worth a signature.
        surface::read(&bytes).with_context(|| shown.to_string())?;
        let issuer = seed::read(&self.issuer, &[KeyKind::Account])?;
        let name = match &self.name {
            Some(name) => name.clone(),
            None => self.file.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default(),
        };
        let now = time::now();
        let options = SignOptions {
            name: Some(name.clone()),
            revision: self.rev,
            version: self.ver.clone(),
            tags: self.tags.clone(),
            not_before: Some(now),
            expires: Some(now.saturating_add(self.expires.as_secs())),
            issued_at: now,
            ..SignOptions::new(self.subject(&name, out)?)
        };
        let signed = sign::component(&bytes, &issuer, &options).with_context(|| shown.to_string())?;
        let to = self.to.as_ref().unwrap_or(&self.file);
        replace(to, &signed)?;
        out.detail(&format!("{} is signed", to.display()));
        let claims = Shown::read(&signed).context("what was signed just now")?;
        out.show(&claims, || Table::of_fields(claims.fields()))
    }

    /// The actor's own key. It stays the same for a name under one issuer, so that a new build is a new revision of
    /// the same actor.
    fn subject(&self, name: &str, out: &Output) -> anyhow::Result<KeyPair> {
        if let Some(path) = &self.subject {
            return seed::read(path, &[KeyKind::Actor]);
        }
        let plain: String =
            name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' }).take(80).collect();
        let path = self.issuer.with_file_name(format!("{plain}.actor.nk"));
        if path.exists() {
            return seed::read(&path, &[KeyKind::Actor]);
        }
        let pair = KeyPair::generate(KeyKind::Actor);
        seed::write(&path, &pair)?;
        out.say(&format!("the key of {name} is new: {}", path.display()));
        Ok(pair)
    }
}

/// Reads an artifact.
pub(crate) fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    fs::read(path).map_err(|error| Failure::invalid(format!("{} cannot be read: {error}", path.display())).into())
}

/// Writes a file whole or not at all.
fn replace(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let shown = path.display();
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    let mode = fs::metadata(path).map_or(0o644, |metadata| metadata.permissions().mode());
    let write = || -> std::io::Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(bytes)?;
        file.as_file().set_permissions(fs::Permissions::from_mode(mode))?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        Ok(())
    };
    write().with_context(|| format!("{shown} cannot be written"))
}

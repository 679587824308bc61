//! `claims sign` and `claims show`: what an artifact says about itself, and who says it. Nobody is asked about a
//! file.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;
use mesh_claims::{
    KeyKind, KeyPair, Refusal, RefusalCode,
    sign::{self, SignOptions},
    surface, verify,
};
use mesh_lattice::{Digest, Name};
use serde::Serialize;

use crate::{
    artifact,
    cli::Global,
    exit::Failure,
    output::{Output, Table},
    registry,
    replacement::Replacement,
    seed, time,
};

/// Sign an artifact, or show what its signature says
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Claims {
    /// Sign a component, in place unless --to says where
    Sign(Sign),
    /// Show who signed an artifact, and what he says
    Show {
        /// The artifact: a file, oci://registry/repository:tag, or sha256:DIGEST of one that the lattice has
        artifact: String,
        #[command(flatten)]
        registry: registry::Options,
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
    /// Where the signed component goes; what stands there is left as it is where it says the same
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
    /// The name that the actor has where nobody gives it another [default: the file's]
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
    #[arg(long, value_name = "TIME", value_parser = lifetime, default_value = "90d")]
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
    pub(crate) fn run(self, global: &Global, out: &Output) -> anyhow::Result<()> {
        match self {
            Self::Sign(sign) => sign.run(out),
            Self::Show { artifact, registry } => {
                let read = artifact::look(&artifact, &registry, global, out)?;
                let shown = Shown::read(&read.bytes).map_err(|refusal| as_of_a_component(refusal, &read.bytes));
                let shown = shown.with_context(|| read.reference)?;
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
        let name = plain(&name)?;
        let to = self.to.as_ref().unwrap_or(&self.file);
        // Whether it can be written is seen before a key is made for it.
        let replacement = Replacement::begin(to)?;
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
        let signed = match self.standing(&signed, now) {
            Some(standing) => {
                out.say(&format!("unchanged: {} says this already", to.display()));
                standing
            }
            None => {
                replacement.finish(&signed)?;
                out.detail(&format!("{} is signed", to.display()));
                signed
            }
        };
        let claims = Shown::read(&signed).context("what was signed just now")?;
        out.show(&claims, || Table::of_fields(claims.fields()))
    }

    /// What stands where the signed component goes, if that says the same and goes on to hold for half of the time at
    /// least. It is left as it is: the same actor signed at another moment would be another artifact, and roll out.
    fn standing(&self, signed: &[u8], now: u64) -> Option<Vec<u8>> {
        let standing = fs::read(self.to.as_ref()?).ok()?;
        let (old, new) = (verify::read(&standing).ok()?, verify::read(signed).ok()?);
        let holds = old.not_before.is_none_or(|from| from <= now);
        let long_enough = old.expires? >= now.saturating_add(self.expires.as_secs() / 2);
        let timeless = |claims: mesh_claims::Claims| mesh_claims::Claims {
            id: String::new(),
            issued_at: 0,
            not_before: None,
            expires: None,
            ..claims
        };
        (holds && long_enough && timeless(old) == timeless(new)).then_some(standing)
    }

    /// The actor's own key. It stays the same for a name under one issuer, so that a new build is a new revision of
    /// the same actor.
    fn subject(&self, name: &str, out: &Output) -> anyhow::Result<KeyPair> {
        if let Some(path) = &self.subject {
            return seed::read(path, &[KeyKind::Actor]);
        }
        let path = self.issuer.with_file_name(format!("{name}.actor.nk"));
        if path.exists() {
            return seed::read(&path, &[KeyKind::Actor]);
        }
        let pair = KeyPair::generate(KeyKind::Actor);
        seed::write(&path, &pair)?;
        out.say(&format!("the key of {name} is new: {}", path.display()));
        Ok(pair)
    }
}

/// Reads a file that a person named.
pub(crate) fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    fs::read(path).map_err(|error| Failure::invalid(format!("{} cannot be read: {error}", path.display())).into())
}

/// Claims that hold for longer than this are a slip of the pen.
const LONGEST: Duration = Duration::from_secs(3_650 * 86_400);

fn lifetime(text: &str) -> Result<Duration, String> {
    match time::parse(text)? {
        time if time < Duration::from_secs(1) => Err("claims hold for 1 s at least".to_owned()),
        time if time > LONGEST => Err("claims hold for 3650d at most".to_owned()),
        time => Ok(time),
    }
}

/// A name that an actor can have; small and capital letters are one to it.
fn plain(name: &str) -> Result<String, Failure> {
    match name.to_lowercase().parse::<Name>() {
        Ok(_) => Ok(name.to_owned()),
        Err(error) => {
            Err(Failure::invalid(format!("{name:?} cannot name an actor: {error}")).hint("name it with --name"))
        }
    }
}

/// What is no component at all is called so, in the words of every other command.
fn as_of_a_component(refusal: Refusal, bytes: &[u8]) -> anyhow::Error {
    match (refusal.code, surface::read(bytes)) {
        (RefusalCode::Malformed, Err(reason)) => reason.into(),
        _ => refusal.into(),
    }
}

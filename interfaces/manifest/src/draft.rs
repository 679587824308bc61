//! An application as it was written, ours or OAM: names and numbers are judged, artifacts are still references.
//!
//! All that can still turn out wrong carries its place: a check that comes later, the caller's own included, points at the
//! line with [`Draft::fault`].

use std::{collections::BTreeMap, fmt, path::PathBuf, sync::Arc};

use mesh_lattice::{
    Digest, InterfacePattern, Name,
    application::{ConfigPart, Instances, Limits, Replicas, Spread},
    name::LinkName,
};

use crate::{
    fault::Fault,
    source::{Source, Span, Spanned},
};

/// What an artifact is known by in a manifest.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reference {
    /// A file: where it is, and what was written.
    File {
        /// Its path, from the folder of the manifest.
        path: PathBuf,
        /// As it was written.
        written: String,
    },
    /// A reference in a registry, with its `oci://`.
    Oci(String),
    /// Bytes that the lattice has.
    Digest(Digest),
}

/// As it was written.
impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { written, .. } => f.write_str(written),
            Self::Oci(reference) => f.write_str(reference),
            Self::Digest(digest) => write!(f, "sha256:{digest}"),
        }
    }
}

/// An application as it was written. Two are equal where they say the same, wherever they say it.
#[derive(Debug, Clone)]
pub struct Draft {
    /// The text that says it.
    pub source: Arc<Source>,
    /// Its name.
    pub name: Spanned<Name>,
    /// Its actors.
    pub actors: Vec<Actor>,
    /// Its providers.
    pub providers: Vec<Provider>,
    /// Its links.
    pub links: Vec<Link>,
}

impl PartialEq for Draft {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
            && self.actors == other.actors
            && self.providers == other.providers
            && self.links == other.links
    }
}

/// Links in the order in which our format says them: those of the actors, of the providers, of what is elsewhere.
pub(crate) fn in_order(actors: &[Actor], providers: &[Provider], mut links: Vec<Link>) -> Vec<Link> {
    let names = actors.iter().map(|actor| &actor.name).chain(providers.iter().map(|provider| &provider.name));
    let mut places = BTreeMap::new();
    for (place, name) in names.enumerate() {
        places.entry(&name.value).or_insert(place);
    }
    links.sort_by_key(|link| places.get(&link.source.value).copied().unwrap_or(usize::MAX));
    links
}

impl Draft {
    /// Something that is wrong at a place of this manifest.
    #[must_use]
    pub fn fault(&self, span: Span, message: impl Into<String>) -> Fault {
        Fault::at(&self.source, span, message)
    }

    /// The artifacts that it names, each where it does.
    pub fn references(&self) -> impl Iterator<Item = &Spanned<Reference>> {
        self.actors.iter().map(|actor| &actor.artifact)
    }

    /// The names of its actors and providers.
    pub fn names(&self) -> impl Iterator<Item = &Spanned<Name>> {
        self.actors.iter().map(|actor| &actor.name).chain(self.providers.iter().map(|provider| &provider.name))
    }
}

/// One actor.
#[derive(Debug, Clone, PartialEq)]
pub struct Actor {
    /// Its name in the lattice.
    pub name: Spanned<Name>,
    /// What it runs.
    pub artifact: Spanned<Reference>,
    /// On how many hosts it runs.
    pub replicas: Spanned<Replicas>,
    /// Live instances on one host.
    pub concurrency: u32,
    /// How long an instance lives.
    pub instances: Instances,
    /// What one instance may use.
    pub limits: Limits,
    /// Where it runs.
    pub placement: Vec<Spread>,
    /// Its configuration.
    pub config: Vec<Spanned<ConfigPart>>,
}

/// One provider.
#[derive(Debug, Clone, PartialEq)]
pub struct Provider {
    /// Its name in the lattice.
    pub name: Spanned<Name>,
    /// Which one it is.
    pub kind: Spanned<Name>,
    /// On how many hosts it runs, where that is said.
    pub replicas: Option<Spanned<Replicas>>,
    /// Where it runs.
    pub placement: Vec<Spread>,
    /// Its configuration.
    pub config: Vec<Spanned<ConfigPart>>,
}

/// One link.
#[derive(Debug, Clone, PartialEq)]
pub struct Link {
    /// Who calls.
    pub source: Spanned<Name>,
    /// Who is called.
    pub target: Spanned<Name>,
    /// On what.
    pub interfaces: Vec<Spanned<InterfacePattern>>,
    /// Its name.
    pub name: Spanned<LinkName>,
    /// For the end that is a provider.
    pub config: Vec<Spanned<ConfigPart>>,
    /// For the source.
    pub source_config: Vec<Spanned<ConfigPart>>,
    /// For the target.
    pub target_config: Vec<Spanned<ConfigPart>>,
    /// Whether a call that got no answer may be made again elsewhere.
    pub idempotent: bool,
    /// How long a call may take, in milliseconds.
    pub timeout_ms: Option<u64>,
}

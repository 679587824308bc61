//! What a host and a provider say to each other. The host's supervisor calls [`Factory`] and [`Provider`]; the
//! provider calls the host's router through [`Context::calls`].
//!
//! ```text
//! Factory::start ─► put_link* ─► begin ─► serve* / calls.serve* ─► drain ─► dropped
//!                                        put_link* delete_link* health*
//! ```

use std::{io, path::PathBuf, sync::Arc, time::Duration};

use futures::future::BoxFuture;
use mesh_lattice::{Deadline, InterfacePattern, LatticeName, LinkName, Name, Serve, application::Values};

use crate::{metric::Metric, settings::ConfigError};

/// A running provider.
pub trait Provider: Serve + Send + Sync + 'static {
    /// Makes a link effective; the same link again with other values changes it. Idempotent.
    fn put_link(&self, link: ProviderLink) -> BoxFuture<'_, Result<(), LinkError>>;

    /// Told once, when every link that there was at the start has been offered: whoever brings calls in begins with it,
    /// so that nobody from outside meets a provider that knows only some of its links.
    fn begin(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }

    /// Forgets a link; one that is unknown is no error.
    fn delete_link(&self, link: &LinkId) -> BoxFuture<'_, ()>;

    /// Whether it can do its work now; else why not, for a person.
    fn health(&self) -> BoxFuture<'_, Result<(), String>>;

    /// What it counts; nothing, where it counts nothing.
    fn metrics(&self) -> Vec<Metric> {
        Vec::new()
    }

    /// Takes nothing new, finishes what is there, then lets go of what it holds. After `deadline` what is left is cut.
    fn drain(&self, deadline: Deadline) -> BoxFuture<'_, ()>;
}

/// Which end of a link the provider is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum End {
    /// This provider calls.
    Source,
    /// This provider is called.
    Target,
}

/// A link, as the provider at one end of it sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderLink {
    /// Which end the provider is.
    pub end: End,
    /// Who is at the other end.
    pub peer: Name,
    /// The link's name.
    pub name: LinkName,
    /// What the link is for.
    pub interfaces: Vec<InterfacePattern>,
    /// The configuration of the provider's end.
    pub config: Values,
    /// How long a call along this link may take.
    pub timeout: Option<Duration>,
}

impl ProviderLink {
    /// Refuses a link that begins at a provider which is only called.
    ///
    /// # Errors
    ///
    /// [`LinkError::Unsupported`] with these words.
    pub fn only_called(&self, otherwise: &str) -> Result<(), LinkError> {
        match self.end {
            End::Target => Ok(()),
            End::Source => Err(LinkError::Unsupported(otherwise.to_owned())),
        }
    }

    /// What tells this link apart from the provider's other links.
    #[must_use]
    pub fn id(&self) -> LinkId {
        let mut interfaces = self.interfaces.clone();
        interfaces.sort();
        interfaces.dedup();
        LinkId { end: self.end, peer: self.peer.clone(), name: self.name.clone(), interfaces }
    }
}

/// What tells a provider's links apart. Two links between the same two under the same name differ in their interfaces,
/// and may differ in their configuration.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId {
    /// Which end the provider is.
    pub end: End,
    /// Who is at the other end.
    pub peer: Name,
    /// The link's name.
    pub name: LinkName,
    /// What the link is for, sorted.
    pub interfaces: Vec<InterfacePattern>,
}

/// Why a link cannot be made effective.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// Its configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Another link has what this one wants.
    #[error("{0}")]
    Conflict(String),
    /// The provider is not at this end of a link, or not for these interfaces.
    #[error("{0}")]
    Unsupported(String),
    /// What it needs from the machine is not to be had.
    #[error("{what}")]
    Io {
        /// What was tried.
        what: String,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// What the provider stands on refuses.
    #[error("{0}")]
    Backend(String),
    /// The provider drains.
    #[error("the provider is stopping")]
    Stopping,
}

impl LinkError {
    /// The error and its causes in one line.
    #[must_use]
    pub fn reason(&self) -> String {
        match self {
            Self::Io { what, source } => format!("{what}: {source}"),
            other => other.to_string(),
        }
    }
}

/// Why a provider did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Its configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// What it needs from the machine is not to be had.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// What it stands on refuses.
    #[error("{0}")]
    Backend(String),
}

/// Starts providers of one kind.
pub trait Factory: Send + Sync {
    /// The kind's name: what `use` in a manifest says.
    fn kind(&self) -> Name;

    /// What providers of this kind serve; empty for one that only calls.
    fn interfaces(&self) -> Vec<InterfacePattern>;

    /// What providers of this kind call along their links; empty for one that only is called.
    fn calls(&self) -> Vec<InterfacePattern> {
        Vec::new()
    }

    /// Whether its data lives on its host, so that it is placed once and pinned.
    fn local_state(&self) -> bool;

    /// Whether a person may say this of a provider of this kind. Pure, and stricter than starting one, which has to
    /// live with what was stored before: keys that mean nothing are refused.
    ///
    /// # Errors
    ///
    /// Names the key that is wrong.
    fn check(&self, config: &Values) -> Result<(), ConfigError> {
        let _ = config;
        Ok(())
    }

    /// The same of a link of a provider that has this configuration.
    ///
    /// # Errors
    ///
    /// Says what is wrong with the link.
    fn check_link(&self, config: &Values, link: &ProviderLink) -> Result<(), LinkError> {
        let _ = (config, link);
        Ok(())
    }

    /// Starts one.
    fn start(&self, context: Context) -> BoxFuture<'_, Result<Arc<dyn Provider>, StartError>>;
}

/// What a provider gets from its host.
#[derive(Clone)]
pub struct Context {
    /// The lattice that it runs in.
    pub lattice: LatticeName,
    /// The provider's name in the lattice: who it is when it calls.
    pub name: Name,
    /// Its configuration.
    pub config: Values,
    /// A directory of its own on this host, made by whoever uses it first.
    pub data_dir: PathBuf,
    /// Where the hosts of one lattice on one machine find each other; the same for all of them.
    pub runtime_dir: PathBuf,
    /// The host's router, for a provider that calls.
    pub calls: Arc<dyn Serve>,
    /// The NATS server that is meant where a provider that stands on NATS is told none.
    pub default_nats: Option<NatsDefault>,
    /// Whether spans are exported: a provider that brings calls in then starts a trace where the caller brought none.
    pub tracing: bool,
}

/// A NATS server, and what a provider may connect to it with. Never the host's own credentials: a provider is a user
/// of its own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NatsDefault {
    /// Its address, for example `nats://127.0.0.1:4222`.
    pub url: String,
    /// A credentials file for providers; none where the server asks for none.
    pub credentials_file: Option<PathBuf>,
    /// A file of certificates to trust.
    pub tls_ca_file: Option<PathBuf>,
    /// The JetStream domain.
    pub js_domain: Option<String>,
}

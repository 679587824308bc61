//! What stands between a process and its server.

use super::TlsTrouble;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Nothing answers there.
    #[error("cannot reach nats-server at {server}: {what}")]
    Unreachable {
        /// The address that was tried.
        server: String,
        /// What came of it.
        what: String,
    },
    /// The server is there, and TLS with it fails.
    #[error("no TLS with nats-server at {server}: {what}")]
    Tls {
        /// The address that was tried.
        server: String,
        /// Which part of it fails.
        trouble: TlsTrouble,
        /// What came of it.
        what: String,
    },
    /// The server does not take these credentials.
    #[error("nats-server at {server} refused the credentials: {what}")]
    Refused {
        /// The address that was tried.
        server: String,
        /// What it said.
        what: String,
    },
    /// The server, or this account of it, has no JetStream.
    #[error("nats-server at {server} has no JetStream for this account{note}")]
    NoJetStream {
        /// The address that was tried.
        server: String,
        /// What its version says about that; empty where it is no wonder by that.
        note: String,
    },
    /// A file or an address in the settings is of no use.
    #[error("{what}")]
    Configuration {
        /// What is wrong with it.
        what: String,
    },
}

/// The connection is down; nothing was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not connected to nats-server")]
pub struct Disconnected;

/// A server that is older than it should be: a warning, it is used all the same.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("nats-server {found} is older than {floor}: it has known holes or lacks atomic batches")]
pub struct TooOld {
    /// Its version.
    pub found: String,
    /// The oldest versions that are fit.
    pub floor: &'static str,
}

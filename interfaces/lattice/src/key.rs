//! Every bucket and every key in it. No other file formats one.
//!
//! A key's tokens are names, public keys, numbers and digests only: a WIT name holds `:` and `@`, which a bucket
//! refuses, and is never part of one.

use std::fmt;

use crate::{
    id::{Digest, HostId, OperationId},
    name::{LatticeName, Name},
};

/// The bucket of desired, assigned and observed state.
#[must_use]
pub fn state_bucket(lattice: &LatticeName) -> String {
    format!("MESH_{lattice}")
}

/// The bucket of leases.
#[must_use]
pub fn lease_bucket(lattice: &LatticeName) -> String {
    format!("MESH_{lattice}_LEASE")
}

/// The object store of artifacts.
#[must_use]
pub fn artifact_store(lattice: &LatticeName) -> String {
    format!("MESH_{lattice}_ART")
}

/// The stream of events.
#[must_use]
pub fn event_stream(lattice: &LatticeName) -> String {
    format!("MESH_{lattice}_EVT")
}

/// What an event at this place is signed for.
#[must_use]
pub fn event(place: &Digest) -> String {
    format!("evt.{place}")
}

/// The bucket of operations.
#[must_use]
pub fn operation_bucket(lattice: &LatticeName) -> String {
    format!("MESH_{lattice}_OPS")
}

/// The name of an artifact in the store.
#[must_use]
pub fn artifact(digest: &Digest) -> String {
    digest.to_string()
}

/// A key of the state bucket.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// The incarnation of this lattice's state.
    Lattice,
    /// Which revision of an application is wanted.
    App(Name),
    /// One revision of an application: never changed once written.
    AppRevision(Name, u64),
    /// Which application owns the name of an actor or a provider.
    Owner(Name),
    /// A shared configuration.
    Config(Name),
    /// A trust statement: its kind and the key that it speaks of.
    Trust(TrustKey),
    /// What people set on a host: cordon, drain, labels.
    Node(HostId),
    /// Where a provider's local data lives.
    Pin(Name),
    /// What a host is to run.
    Assign(HostId),
    /// What a host runs.
    Observed(HostId),
    /// The hosts that serve a target now.
    Route(Name),
    /// Who leads.
    Leader,
}

/// What a trust statement speaks of. A revocation has a key of its own, so that writing the grant again does not
/// overwrite it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TrustKey {
    /// An account that may sign artifacts.
    Issuer(crate::id::AccountId),
    /// A host that may join.
    Host(HostId),
    /// A user who may change desired state.
    User(crate::id::UserId),
    /// A key or an artifact that is no longer trusted, by its text (an nkey or 64 hexadecimal digits).
    Revoked(String),
}

impl TrustKey {
    /// The key of the revocation of `subject`: an nkeys public key or a digest.
    #[must_use]
    pub fn revoked(subject: &str) -> Option<Self> {
        let token = subject.strip_prefix("sha256:").unwrap_or(subject);
        let valid = matches!(token.len(), 56 | 64) && token.bytes().all(|b| b.is_ascii_alphanumeric());
        valid.then(|| Self::Revoked(token.to_owned()))
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lattice => f.write_str("lattice"),
            Self::App(name) => write!(f, "app.{name}"),
            Self::AppRevision(name, revision) => write!(f, "app.{name}.{revision}"),
            Self::Owner(name) => write!(f, "name.{name}"),
            Self::Config(name) => write!(f, "config.{name}"),
            Self::Trust(TrustKey::Issuer(id)) => write!(f, "trust.issuer.{id}"),
            Self::Trust(TrustKey::Host(id)) => write!(f, "trust.host.{id}"),
            Self::Trust(TrustKey::User(id)) => write!(f, "trust.user.{id}"),
            Self::Trust(TrustKey::Revoked(id)) => write!(f, "trust.revoked.{id}"),
            Self::Node(host) => write!(f, "node.{host}"),
            Self::Pin(name) => write!(f, "pin.{name}"),
            Self::Assign(host) => write!(f, "assign.{host}"),
            Self::Observed(host) => write!(f, "observed.{host}"),
            Self::Route(target) => write!(f, "route.{target}"),
            Self::Leader => f.write_str("leader"),
        }
    }
}

impl Key {
    /// The key that this text is; `None` where it is none of ours.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut tokens = text.split('.');
        let key = match (tokens.next()?, tokens.next(), tokens.next()) {
            ("lattice", None, _) => Self::Lattice,
            ("leader", None, _) => Self::Leader,
            ("app", Some(name), None) => Self::App(name.parse().ok()?),
            ("app", Some(name), Some(revision)) => Self::AppRevision(name.parse().ok()?, revision.parse().ok()?),
            ("name", Some(name), None) => Self::Owner(name.parse().ok()?),
            ("config", Some(name), None) => Self::Config(name.parse().ok()?),
            ("trust", Some("issuer"), Some(id)) => Self::Trust(TrustKey::Issuer(id.parse().ok()?)),
            ("trust", Some("host"), Some(id)) => Self::Trust(TrustKey::Host(id.parse().ok()?)),
            ("trust", Some("user"), Some(id)) => Self::Trust(TrustKey::User(id.parse().ok()?)),
            ("trust", Some("revoked"), Some(id)) => Self::Trust(TrustKey::revoked(id)?),
            ("node", Some(host), None) => Self::Node(host.parse().ok()?),
            ("pin", Some(name), None) => Self::Pin(name.parse().ok()?),
            ("assign", Some(host), None) => Self::Assign(host.parse().ok()?),
            ("observed", Some(host), None) => Self::Observed(host.parse().ok()?),
            ("route", Some(target), None) => Self::Route(target.parse().ok()?),
            _ => return None,
        };
        tokens.next().is_none().then_some(key)
    }
}

/// Watch patterns over the state bucket.
pub mod pattern {
    /// Every trust statement.
    pub const TRUST: &str = "trust.>";
    /// Every application pointer and revision.
    pub const APPS: &str = "app.>";
    /// Every report of a host.
    pub const OBSERVED: &str = "observed.*";
    /// Everything.
    pub const ALL: &str = ">";
}

/// The key of a host's lease in the lease bucket.
#[must_use]
pub fn lease(host: &HostId) -> String {
    format!("host.{host}")
}

/// The host that a key of the lease bucket speaks of.
#[must_use]
pub fn leased_host(key: &str) -> Option<HostId> {
    key.strip_prefix("host.")?.parse().ok()
}

/// The key of an operation in its bucket.
#[must_use]
pub fn operation(id: OperationId) -> String {
    format!("op.{id}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_key_is_read_back_as_itself() {
        let name: Name = "counter".parse().unwrap();
        for key in [
            Key::Lattice,
            Key::Leader,
            Key::App(name.clone()),
            Key::AppRevision(name.clone(), 7),
            Key::Owner(name.clone()),
            Key::Config(name.clone()),
            Key::Pin(name.clone()),
            Key::Route(name),
        ] {
            assert_eq!(Key::parse(&key.to_string()), Some(key));
        }
    }

    proptest! {
        #[test]
        fn no_text_is_read_as_a_key_that_a_bucket_refuses(text in ".{0,120}") {
            if let Some(key) = Key::parse(&text) {
                let valid = |b: u8| b.is_ascii_alphanumeric() || b"-/_=.".contains(&b);
                prop_assert!(key.to_string().bytes().all(valid));
            }
        }
    }
}

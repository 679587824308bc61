//! What is written into JetStream, and by whom.
//!
//! Every value is the payload of a signed envelope (see `mesh-claims`), as MessagePack maps by field name, so that a
//! reader of the last version skips what it does not know.
//!
//! | key | payload | signed by |
//! |---|---|---|
//! | `lattice` | [`LatticeRecord`] | whoever made the bucket: a user, or the root |
//! | `app.<name>` | [`AppPointer`] | a user |
//! | `app.<name>.<n>` | [`crate::application::Application`] | a user |
//! | `name.<name>` | [`OwnerRecord`] | a user |
//! | `config.<name>` | [`crate::application::Values`] | a user |
//! | `trust.<kind>.<id>` | [`TrustStatement`] | the root, or a user that the root names |
//! | `node.<host>` | [`NodeRecord`] | a user |
//! | `pin.<name>` | [`Pin`] | the leader |
//! | `assign.<host>` | [`Assignment`] | the leader |
//! | `observed.<host>` | [`Observed`] | that host |
//! | `route.<target>` | [`Route`] | the leader |
//! | `leader` | [`Leader`] | the host that took it |
//! | `host.<id>` in the lease bucket | [`Lease`] | that host |
//! | `evt.<place>` in the stream of events | [`Event`] | the leader |

use serde::{Deserialize, Serialize};

use crate::{
    id::{AccountId, BootId, Digest, HostId, Incarnation, UserId},
    interface::{Interface, InterfacePattern},
    key::TrustKey,
    name::{Labels, Name},
};

mod event;

pub use event::Event;

/// One life of a lattice's state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LatticeRecord {
    /// Made anew with the bucket.
    pub incarnation: Incarnation,
}

/// Which revision of an application is wanted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppPointer {
    /// The wanted revision; 0 before the first.
    pub revision: u64,
    /// Whether the application is to go away. A deletion is a statement, never an absence.
    #[serde(default)]
    pub deleted: bool,
}

/// Which application owns a name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnerRecord {
    /// The application; `None` once the name is free again.
    pub app: Option<Name>,
}

/// A statement about whom to trust.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TrustStatement {
    /// This account signs artifacts that may run here.
    Issuer {
        /// The account.
        id: AccountId,
    },
    /// This host may join.
    Host {
        /// The host.
        id: HostId,
        /// The labels that it may claim; any where this is `None`.
        labels: Option<Labels>,
    },
    /// This user may change desired state; an admin may make trust statements too.
    User {
        /// The user.
        id: UserId,
        /// Whether the user may make trust statements.
        #[serde(default)]
        admin: bool,
    },
    /// Nothing with this key or digest is trusted any more. Only the root can take a revocation back, by removing it.
    Revoked {
        /// An nkeys public key or 64 hexadecimal digits.
        subject: String,
    },
    /// What the key says is taken back: the grant or the revocation stands no longer.
    Withdrawn,
}

impl TrustStatement {
    /// Whether this is what stands under `key`: the statement speaks of what its key says.
    #[must_use]
    pub fn speaks_of(&self, key: &TrustKey) -> bool {
        match (self, key) {
            (Self::Issuer { id }, TrustKey::Issuer(key)) => id == key,
            (Self::Host { id, .. }, TrustKey::Host(key)) => id == key,
            (Self::User { id, .. }, TrustKey::User(key)) => id == key,
            (Self::Revoked { subject }, TrustKey::Revoked(key)) => subject == key,
            (Self::Withdrawn, _) => true,
            _ => false,
        }
    }
}

/// What people set on a host.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeRecord {
    /// Nothing new is placed on it.
    #[serde(default)]
    pub cordoned: bool,
    /// What is on it is moved away.
    #[serde(default)]
    pub drain: bool,
    /// Labels that people added; they win over the host's own.
    #[serde(default)]
    pub labels: Labels,
    /// Labels that people took away.
    #[serde(default)]
    pub removed_labels: Vec<crate::name::LabelKey>,
}

/// Where a provider's local data lives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pin {
    /// The host.
    pub host: HostId,
}

/// What one host is to run. Refused where its term is lower than one seen before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assignment {
    /// The state that it was planned from.
    pub incarnation: Incarnation,
    /// The term of the leader that wrote it.
    pub term: u64,
    /// What to run.
    pub items: Vec<Item>,
}

/// One thing to run.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Item {
    /// The application that it belongs to.
    pub app: Name,
    /// The revision that it is read from.
    pub revision: u64,
    /// The name of the actor or provider.
    pub name: Name,
    /// Which of the two it is.
    pub kind: ItemKind,
}

/// An actor or a provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ItemKind {
    /// An actor.
    Actor,
    /// A provider.
    Provider,
}

/// What a host runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observed {
    /// The boot that says so.
    pub boot: BootId,
    /// A readable name of the host.
    pub name: String,
    /// The version of its program.
    pub version: String,
    /// The labels that it claims.
    pub labels: Labels,
    /// Seconds since it started.
    pub uptime_seconds: u64,
    /// Whether it is on its way out.
    #[serde(default)]
    pub draining: bool,
    /// The term of the assignment that it follows; 0 before the first.
    #[serde(default)]
    pub term: u64,
    /// Its actors.
    pub actors: Vec<ObservedActor>,
    /// Its providers.
    pub providers: Vec<ObservedProvider>,
}

/// An actor as its host sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObservedActor {
    /// Its name.
    pub name: Name,
    /// The application and the revision that it was started from.
    pub app: Name,
    /// See [`ObservedActor::app`].
    pub revision: u64,
    /// The artifact that runs.
    pub digest: Digest,
    /// Who signed it.
    pub issuer: Option<AccountId>,
    /// The artifact's own revision, from its claims.
    pub claims_revision: Option<i64>,
    /// How far it is.
    pub state: ActorState,
    /// Why it is in this state, for a person; empty where there is nothing to say.
    #[serde(default)]
    pub reason: String,
    /// Whether what runs is what was wanted before: what is wanted now has not started yet.
    #[serde(default)]
    pub behind: bool,
    /// Live instances.
    pub instances: u32,
    /// Calls that it answered, errors included.
    pub calls: u64,
    /// Those of them that its guest broke down under: a trap, or a limit.
    #[serde(default)]
    pub breakdowns: u64,
    /// What the last of them came to.
    #[serde(default)]
    pub last_breakdown: String,
    /// What it exports.
    #[serde(default)]
    pub exports: Vec<Interface>,
}

/// How far an actor is on one host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ActorState {
    /// Wanted, not begun.
    Pending,
    /// Being fetched, verified, compiled.
    Starting,
    /// Calls succeed.
    Ready,
    /// Takes no new calls, finishes those that it has.
    Draining,
    /// Cannot run; the reason says why.
    Failed,
}

/// A provider as its host sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObservedProvider {
    /// Its name.
    pub name: Name,
    /// The application and the revision that it was started from.
    pub app: Name,
    /// See [`ObservedProvider::app`].
    pub revision: u64,
    /// Which built-in provider it is.
    #[serde(rename = "use")]
    pub kind: Name,
    /// How it is.
    pub state: ProviderState,
    /// Why it is in this state, for a person; empty where there is nothing to say.
    #[serde(default)]
    pub reason: String,
    /// How often it was started again.
    pub restarts: u32,
    /// The packages that it serves.
    #[serde(default)]
    pub interfaces: Vec<InterfacePattern>,
    /// Links that it could not take, and why.
    #[serde(default)]
    pub failed_links: Vec<FailedLink>,
    /// A mark of each link that it has taken, configuration included, so that a link that was changed is told apart
    /// from what it was before; `None` from a host that does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub taken_links: Option<Vec<String>>,
}

/// A link that a provider at one of its ends refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedLink {
    /// Who calls along it.
    pub source: Name,
    /// Who is called.
    pub target: Name,
    /// The link's name.
    pub link: crate::name::LinkName,
    /// Why.
    pub reason: String,
}

/// How a provider is on one host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProviderState {
    /// Not yet able to serve.
    Starting,
    /// Serves.
    Running,
    /// Runs, but what it stands on does not answer.
    Unhealthy,
    /// Waits before it is started again.
    Backoff,
    /// Given up; the reason says why.
    Failed,
    /// Stopped on purpose.
    Stopped,
}

/// The hosts that serve a target now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// The term of the leader that wrote it.
    pub term: u64,
    /// The hosts, in the order of their ids.
    pub hosts: Vec<RouteHost>,
}

/// One host that serves a target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteHost {
    /// The host.
    pub id: HostId,
    /// Its site: the value of its label `site`; empty where it has none.
    #[serde(default)]
    pub site: String,
}

/// Who leads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leader {
    /// The host.
    pub host: HostId,
    /// Its boot.
    pub boot: BootId,
    /// Raised with each taking.
    pub term: u64,
    /// Raised with each renewal.
    pub renewal: u64,
}

/// A host's sign of life. It is its renewal that says that the host lives, not its presence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// The boot that renews it.
    pub boot: BootId,
    /// How long it may go unrenewed before the host counts as lost, in milliseconds.
    pub lost_after_ms: u64,
    /// Raised with each renewal.
    pub renewal: u64,
    /// Whether the host is on its way out.
    #[serde(default)]
    pub draining: bool,
}

/// Renewed this often.
pub const LEASE_RENEWAL: std::time::Duration = std::time::Duration::from_millis(500);

/// A host counts as lost after this long without a renewal, where nothing else is said.
pub const LOST_AFTER: std::time::Duration = std::time::Duration::from_millis(2_500);

/// Leadership is free after this long without a renewal.
pub const LEADER_LOST_AFTER: std::time::Duration = std::time::Duration::from_secs(3);

//! What `meshctl` asks a host, and what it hears.
//!
//! Requests go to `mesh.<lattice>.ctl.<operation>` and are taken by one host of many. Reading needs nothing but the
//! lattice's NATS credentials. There is one way to change anything: [`Commit`], a set of values, each in an envelope
//! that a user signed, written in one atomic batch or not at all. The host that takes it checks what every reader
//! will check again (the signatures, the authority of the signers, that no generation goes back) and what only the
//! whole state shows (that no name is taken twice). A commit that is sent twice is done once, because its second
//! sending finds the generations already there.
//!
//! The views are what `meshctl get -o json` prints: their fields are a contract with scripts.

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::{
    application::Values,
    id::{AccountId, Digest, HostId, Incarnation},
    interface::InterfacePattern,
    name::{Labels, LatticeName, LinkName, Name},
    stored::{ActorState, Event, ProviderState},
};

mod judge;
mod reply;

pub use judge::{Effect, Judged};
pub use reply::{ControlCode, ControlError, ControlReply};

/// The operations, as they stand in a subject.
pub mod operation {
    /// [`super::StatusRequest`] → [`super::Status`]
    pub const STATUS: &str = "status";
    /// [`super::ReadRequest`] → [`super::Read`]
    pub const READ: &str = "read";
    /// [`super::SignedRequest`] → [`super::Signed`]
    pub const SIGNED: &str = "signed";
    /// [`super::Commit`] → [`super::Committed`]
    pub const COMMIT: &str = "commit";
    /// [`super::Commit`] → [`super::Judged`]: the same answer where it is no, and nothing is written. A host that does
    /// not know it refuses it as `invalid`.
    pub const JUDGE: &str = "judge";
}

/// Asks for everything that can be listed, as it is observed.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct StatusRequest {
    /// Events are left out unless they are asked for.
    #[serde(default)]
    pub events: bool,
}

/// Everything that can be listed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Status {
    /// The host that answers.
    pub answered_by: HostId,
    /// The lattice.
    pub lattice: LatticeName,
    /// The life of its state.
    pub incarnation: Incarnation,
    /// Its hosts.
    pub hosts: Vec<HostView>,
    /// Its actors.
    pub actors: Vec<ActorView>,
    /// Its providers.
    pub providers: Vec<ProviderView>,
    /// Its links.
    pub links: Vec<LinkView>,
    /// Its applications.
    pub apps: Vec<AppView>,
    /// Its shared configurations.
    pub config: Vec<ConfigView>,
    /// Whom it trusts.
    pub trust: Vec<TrustView>,
    /// What happened lately, oldest first.
    #[serde(default)]
    pub events: Vec<Event>,
}

impl Status {
    /// The name of a host, or its key where it has not said one.
    #[must_use]
    pub fn host_name(&self, id: &HostId) -> String {
        let named = self.hosts.iter().find(|host| host.id == *id && !host.name.is_empty());
        named.map_or_else(|| id.to_string(), |host| host.name.clone())
    }
}

/// A state as the word that programs read.
#[must_use]
pub fn word<T: Serialize>(state: &T) -> String {
    match serde_json::to_value(state) {
        Ok(serde_json::Value::String(word)) => word,
        _ => String::new(),
    }
}

/// A host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostView {
    /// Its public key.
    pub id: HostId,
    /// A readable name.
    pub name: String,
    /// Its labels.
    pub labels: Labels,
    /// The version of its program.
    pub version: String,
    /// How it is.
    pub state: HostState,
    /// Whether it leads.
    pub leader: bool,
    /// Seconds since it started.
    pub uptime_seconds: u64,
    /// How many actors it runs.
    pub actors: usize,
    /// How many providers it runs.
    pub providers: usize,
}

/// How a host is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HostState {
    /// Takes work.
    Ready,
    /// Keeps its work and takes no new.
    Cordoned,
    /// On its way out.
    Draining,
    /// Its lease is not renewed.
    Lost,
    /// Its key is not enrolled: it never gets work.
    Untrusted,
}

/// An actor over all hosts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActorView {
    /// Its name.
    pub name: Name,
    /// The application that wants it.
    pub app: Name,
    /// What a person called its artifact.
    pub artifact: String,
    /// The artifact.
    pub digest: Digest,
    /// Who signed it, as soon as a host has verified it.
    pub issuer: Option<AccountId>,
    /// The application's revision that it is read from.
    pub revision: u64,
    /// Its configuration, with what looks like a secret left out.
    #[serde(default)]
    pub config: Values,
    /// Wanted and ready.
    pub replicas: ReplicaView,
    /// What stands against it: its hosts, the planner, the providers that it is linked to; empty where nothing does.
    #[serde(default)]
    pub reason: String,
    /// Where it is.
    pub hosts: Vec<ActorHostView>,
}

/// Wanted and ready replicas.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicaView {
    /// Wanted: for `everywhere`, as many as there are eligible hosts.
    pub desired: u32,
    /// Ready.
    pub ready: u32,
}

/// An actor on one host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActorHostView {
    /// The host.
    pub id: HostId,
    /// How far it is there.
    pub state: ActorState,
    /// Whether it still runs what was wanted before.
    #[serde(default)]
    pub behind: bool,
    /// Live instances.
    pub instances: u32,
    /// Calls answered.
    pub calls: u64,
    /// Those of them that its guest broke down under.
    #[serde(default)]
    pub breakdowns: u64,
    /// What the last of them came to.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub last_breakdown: String,
    /// Why it is in this state.
    pub reason: String,
}

/// A provider over all hosts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderView {
    /// Its name.
    pub name: Name,
    /// The application that wants it.
    pub app: Name,
    /// Which built-in provider it is.
    #[serde(rename = "use")]
    pub kind: Name,
    /// What it serves.
    pub interfaces: Vec<InterfacePattern>,
    /// The host that its data lives on, where it has local data.
    pub pinned: Option<HostId>,
    /// Its configuration, with what looks like a secret left out.
    #[serde(default)]
    pub config: Values,
    /// What stands against it; empty where it runs wherever it is to.
    #[serde(default)]
    pub reason: String,
    /// Where it is.
    pub hosts: Vec<ProviderHostView>,
}

/// A provider on one host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderHostView {
    /// The host.
    pub id: HostId,
    /// How it is there.
    pub state: ProviderState,
    /// Whether it has not heard yet of what is wanted now.
    #[serde(default)]
    pub behind: bool,
    /// How often it was started again.
    pub restarts: u32,
    /// Why it is in this state.
    pub reason: String,
}

/// A link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkView {
    /// Who may call.
    pub source: Name,
    /// Who is called.
    pub target: Name,
    /// On what.
    pub interfaces: Vec<InterfacePattern>,
    /// Its name.
    pub name: LinkName,
    /// What it says to its source, with what looks like a secret left out.
    #[serde(default)]
    pub source_config: Values,
    /// The same to its target.
    #[serde(default)]
    pub target_config: Values,
    /// The application that declares it.
    pub app: Name,
    /// How it is.
    pub state: LinkState,
    /// Why it is in this state.
    pub reason: String,
}

/// How a link is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LinkState {
    /// Calls along it have somewhere to go.
    Active,
    /// One of its ends is not ready.
    Pending,
    /// It cannot work; the reason says why.
    Failed,
}

/// An application.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppView {
    /// Its name.
    pub name: Name,
    /// The wanted revision.
    pub revision: u64,
    /// How it is.
    pub state: AppState,
    /// Why it is in this state.
    pub reason: String,
    /// Since when, in seconds since 1970.
    pub since: u64,
}

/// How an application is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AppState {
    /// On its way.
    Progressing,
    /// All of it is ready.
    Ready,
    /// Was ready, or is in part.
    Degraded,
    /// Cannot become ready; the reason says why.
    Failed,
    /// On its way out.
    Removing,
}

/// A shared configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigView {
    /// Its name.
    pub name: Name,
    /// Its values.
    pub values: Values,
}

/// One grant or revocation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrustView {
    /// `issuer`, `host`, `user` or `revoked`.
    pub kind: String,
    /// What it speaks of.
    pub id: String,
    /// Who signed it.
    pub signer: String,
    /// Whether a user may make trust statements; false for the rest.
    #[serde(default)]
    pub admin: bool,
}

/// Asks for what a change starts from: the stored envelopes under these keys.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ReadRequest {
    /// Texts of [`crate::key::Key`].
    pub keys: Vec<String>,
}

/// What is stored now.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Read {
    /// The life of the lattice's state: goes into each envelope that is signed.
    pub incarnation: Incarnation,
    /// In the order of the request.
    pub values: Vec<ReadValue>,
}

/// One stored value.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ReadValue {
    /// Its key.
    pub key: String,
    /// The revision that a change of it has to name; 0 where there is none yet.
    pub revision: u64,
    /// The envelope; `None` where there is none. The reader verifies it.
    pub envelope: Option<ByteBuf>,
    /// When it was written, in seconds since 1970 by the clock of the server, as far as that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<u64>,
    /// Where that one is not believed, because its signer is not trusted or not any more: the envelope that was
    /// believed last, which the lattice goes on with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub believed: Option<ByteBuf>,
}

/// Asks which values that people write carry the signature of this key: whoever takes a user's word away signs them
/// again, so that they stay.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SignedRequest {
    /// A user's public key.
    pub signer: String,
}

/// The values that a user signed last, out of those that the lattice goes by.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Signed {
    /// Texts of [`crate::key::Key`].
    pub keys: Vec<String>,
}

/// Values to write, all of them or none.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Commit {
    /// The values.
    pub writes: Vec<Write>,
}

/// One value to write.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Write {
    /// Its key.
    pub key: String,
    /// The revision that it replaces; 0 where there must be none.
    pub expected: u64,
    /// The signed envelope.
    pub envelope: ByteBuf,
}

/// A commit is in.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Committed {
    /// The host that wrote it.
    pub by: HostId,
}

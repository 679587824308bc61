//! Calls between hosts: what both directions of them share.
//!
//! ```text
//! Remote::call ── hello ──► session (once per pair of boots)
//!              ── call  ──► Inbound: in time? enrolled? new id? room? admitted? ── Serve
//!              ◄── io ────  Reply │ Busy │ Accepted, then Reply │ "no responders": looked into
//!              ── io ────►  the same call again, after silence: answered as before, never run twice
//!              ◄── io ───►  StreamData under StreamCredit, StreamEnd, StreamAbort, Cancel, Ping, Pong, Drain
//!              ◄── pulse ►  Ping, Pong: over the connection of leases, where nothing comes over this one
//! ```
//!
//! | module | owns |
//! |---|---|
//! | `remote`, `ask`, `doubt`, `greet` | the caller: one call, its copies to one boot, whether that is gone, the way there |
//! | `inbound`, `take`, `memory`, `served` | the callee: what is read, what is taken, what was said, what runs |
//! | `outbox` | what goes out: alone, or with others of the same session |
//! | `pulse`, `alive` | whether the hosts that hold our calls live, and those that hold what we gave them |
//! | `source`, `lane`, `received`, `credit` | streams: sent, received and read, how far they may go |
//!
//! One task reads everything that comes ([`Inbound::run`]) and never waits for work: it opens a frame, finds whose it
//! is and hands it on. A call taken runs in a task of its own; what the reader itself has to say (busy, credit,
//! cancel) goes through a bounded outbox.

mod alive;
mod ask;
mod counters;
mod credit;
mod door;
mod doubt;
mod greet;
mod head;
mod inbound;
mod lane;
mod memory;
mod outbox;
mod outgoing;
mod pulse;
mod received;
mod remote;
mod served;
mod sessions;
mod source;
mod table;
mod take;

use std::{
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use async_nats::Client;
use mesh_claims::keys::KeyPair;
use mesh_lattice::{
    frame::{Call, Load},
    id::{BootId, HostId},
    invocation::{CallError, Code},
};
use tokio::{
    runtime::Handle,
    sync::{Semaphore, mpsc, watch},
};
use tokio_util::task::TaskTracker;

pub use counters::CallStats;
pub use inbound::Inbound;
pub use remote::Remote;

use crate::{
    connect::Connections,
    refusals::{Kind, Refusals},
    session::handshake::Identity,
};
use counters::{Counters, count};
use credit::Budget;
use memory::Memory;
use outbox::Post;
use outgoing::Outgoing;
use served::Incoming;
use sessions::Sessions;
use table::Table;

/// Takes a message apart that several frames may share; panics where more comes out than went in.
#[cfg(fuzzing)]
pub fn fuzz_bundle(message: &[u8]) {
    crate::session::bundle::check(bytes::Bytes::copy_from_slice(message));
}

/// Drives the receiving end of a stream beside a model of it; panics where they differ.
#[cfg(fuzzing)]
pub fn fuzz_lane(script: &[u8]) {
    lane::model::drive(script);
}

/// Calls that wait for the connection at one time; further ones are refused as busy.
const MAX_WAITING: usize = 4_096;

/// Says which hosts belong to the lattice.
pub trait PeerPolicy: Send + Sync {
    /// Whether this host is enrolled and not revoked: no other one begins anything here.
    fn is_enrolled(&self, host: &HostId) -> bool;

    /// Whether somebody has revoked this host: what is open with it ends. Not so with one that is only unknown.
    fn is_revoked(&self, _host: &HostId) -> bool {
        false
    }
}

/// Judges a call before anything is done for it.
pub trait AdmitCall: Send + Sync {
    /// Whether `peer` may make this call: that its caller is placed there and linked.
    ///
    /// # Errors
    ///
    /// What the caller hears.
    fn admit(&self, peer: &HostId, call: &Call) -> Result<(), CallError>;
}

/// Asked when a host is silent: whether the call may be given up there, to be made elsewhere.
pub type Leave<'a> = &'a (dyn Fn() -> bool + Send + Sync);

/// Settings of the calls of one host.
#[derive(Clone)]
pub struct CallsConfig {
    /// The host's key.
    pub host: Arc<KeyPair>,
    /// This start of its process.
    pub boot: BootId,
    /// Calls of other hosts that run here at once; one more is answered `busy`.
    pub in_flight: usize,
    /// How long a stream may stand still.
    pub idle: Duration,
    /// Where calls run: not the runtime that keeps the leases.
    pub work: Handle,
    /// Where what is refused is counted.
    pub refusals: Arc<Refusals>,
}

impl CallsConfig {
    /// 4,096 calls in flight, streams idle for 30 s at most, calls on the current runtime.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    #[must_use]
    pub fn new(host: Arc<KeyPair>, boot: BootId) -> Self {
        let (work, refusals) = (Handle::current(), Arc::default());
        Self { host, boot, in_flight: 4_096, idle: Duration::from_secs(30), work, refusals }
    }
}

/// Why a host cannot take part in calls.
#[derive(Debug, thiserror::Error)]
pub enum CallsError {
    /// The key is not that of a host.
    #[error("calls need a host's key, not that of {0}")]
    NotAHost(String),
    /// The connection was closed.
    #[error("cannot subscribe: {0}")]
    Subscribe(String),
}

/// What both directions share.
struct Node {
    identity: Identity,
    connections: Connections,
    client: Client,
    policy: Arc<dyn PeerPolicy>,
    in_flight: usize,
    idle: Duration,
    work: Handle,
    tasks: TaskTracker,
    sessions: Sessions,
    outgoing: Table<Arc<Outgoing>>,
    incoming: Table<Arc<Incoming>>,
    /// What became of the calls that were taken.
    memory: Memory,
    /// Calls that may wait for the connection at one time.
    waiting: Semaphore,
    budget: Arc<Budget>,
    /// Room for values that stream, in KiB.
    values: Arc<Semaphore>,
    outbox: mpsc::Sender<Post>,
    draining: watch::Sender<bool>,
    /// When the head of a call or a reply was sent last.
    last_post: AtomicU64,
    counters: Counters,
    refusals: Arc<Refusals>,
}

/// Makes the two halves of a host's calls and subscribes for them; nothing is read before [`Inbound::run`].
///
/// # Errors
///
/// Where the key is not a host's or the connection was closed.
pub async fn calls(
    connections: &Connections,
    config: CallsConfig,
    policy: Arc<dyn PeerPolicy>,
) -> Result<(Remote, Inbound), CallsError> {
    let host = config.host.host_id().ok_or_else(|| CallsError::NotAHost(config.host.kind().to_string()))?;
    let identity = Identity { lattice: connections.lattice().clone(), host, boot: config.boot, key: config.host };
    let (outbox, waiting) = mpsc::channel(outbox::CAPACITY);
    let node = Arc::new(Node {
        identity,
        client: connections.data().clone(),
        connections: connections.clone(),
        policy,
        in_flight: config.in_flight,
        idle: config.idle,
        work: config.work,
        tasks: TaskTracker::new(),
        sessions: Sessions::default(),
        outgoing: Table::default(),
        incoming: Table::default(),
        memory: Memory::default(),
        waiting: Semaphore::new(MAX_WAITING),
        budget: Arc::new(Budget::default()),
        values: Arc::new(Semaphore::new(remote::VALUES)),
        outbox,
        draining: watch::Sender::new(false),
        last_post: AtomicU64::new(0),
        counters: Counters::default(),
        refusals: config.refusals,
    });
    let inbound = Inbound::subscribe(Arc::clone(&node), waiting).await?;
    connections.settle_data().await;
    Ok((Remote::new(node), inbound))
}

impl Node {
    /// The largest message that we can take, as it stands in a Hello.
    fn max_frame(&self) -> u32 {
        u32::try_from(self.connections.max_payload()).unwrap_or(u32::MAX)
    }

    /// How full this host is, of 65,535.
    fn load(&self) -> Load {
        let share = self.incoming.len().saturating_mul(usize::from(u16::MAX)) / self.in_flight.max(1);
        Load(u16::try_from(share).unwrap_or(u16::MAX))
    }

    fn stats(&self) -> CallStats {
        let open = |length: usize| u64::try_from(length).unwrap_or(u64::MAX);
        CallStats {
            rejected_frames: self.refusals.of(Kind::Frame),
            refused_hellos: self.refusals.of(Kind::Hello),
            overflowed: self.connections.overflowed(),
            sessions: open(self.sessions.len()),
            open_out: open(self.outgoing.len()),
            open_in: open(self.incoming.len()),
            ..self.counters.read()
        }
    }
}

fn disconnected() -> CallError {
    CallError::new(Code::Unavailable, "this host is not connected to the lattice")
}

fn unsealed() -> CallError {
    CallError::new(Code::Internal, "a frame cannot be sealed")
}

//! One call that a person makes: `meshctl call`.
//!
//! ```text
//! meshctl ── hail ──► host              which boot it is, and its clock
//! meshctl ── signed OperatorCall ──► that boot of that host, which runs the target
//! ```
//!
//! Whoever holds the lattice's NATS credentials can hail a host; only a trusted user's signature makes it call. The
//! envelope's key names host and boot, so that no other one can be made to take it; the call's id is kept until
//! `until`, on the clock of the boot itself, so that the same envelope never executes twice, and later it is too late.
//! A host that starts again is another boot and takes nothing that was signed for the one before.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::{
    clock::Monotonic,
    id::{BootId, CallId, HostId, Incarnation},
    interface::Interface,
    invocation::CallError,
    name::Name,
};

/// A call may be signed for this long at most.
pub const LONGEST: Duration = Duration::from_secs(120);

/// A body of an answer that is larger is not brought to a person: it has to fit one message.
pub const MAX_BODY: usize = 512 << 10;

/// Asks a host for what a call has to name.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Hail {}

/// What a call has to name.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Hailed {
    /// The boot that answers.
    pub boot: BootId,
    /// The life of the lattice's state that its trust belongs to.
    pub incarnation: Incarnation,
    /// Its clock.
    pub now: Monotonic,
}

/// What a person signs.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct OperatorCall {
    /// Never run twice.
    pub id: CallId,
    /// When its answer stops being of use, on the clock of the boot that takes it.
    pub until: Monotonic,
    /// Who is called.
    pub target: Name,
    /// The interface as the target spells it; [`crate::interface::ROOT`] for a function at its root.
    pub interface: Interface,
    /// The function.
    pub operation: String,
    /// A MessagePack array of the parameters.
    pub params: ByteBuf,
    /// Bytes that stream to the callee beside them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<ByteBuf>,
}

/// What became of the call.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Called {
    /// The function returned.
    Returned {
        /// Its result as MessagePack.
        result: ByteBuf,
        /// The bytes that streamed behind it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        body: Option<ByteBuf>,
    },
    /// It has no result.
    Failed(CallError),
}

/// The key that the envelope of such a call is signed for. No stored value has one like it.
#[must_use]
pub fn key(host: &HostId, boot: BootId) -> String {
    format!("operate.{host}.{boot}")
}

//! The caller's side: one invocation to one host.
//!
//! ```text
//! connected? ─► session? ─► asked ─┬─► Reply            the answer; its streams live on in the bodies
//!                                  ├─► Busy, Leaving    nothing was done
//!                                  ├─► Gone             the boot went without it: once more from hello
//!                                  └─► Lost             whether it ran is unknown
//! ```
//!
//! Dropping the future, or the reply's body before its end, sends Cancel.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::BodyExt as _;
use mesh_lattice::{
    clock::{Deadline, Monotonic},
    frame::{Call, Frame, Lane, Load, ReplyHead},
    id::HostId,
    invocation::{Body, CallError, Code, Invocation, Reply, full_body},
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout},
};

use super::{
    CallStats, Leave, Node,
    ask::Prepared,
    count,
    greet::GONE_PAUSE,
    head,
    outgoing::{Answered, OpenCall},
    received::Received,
    source::Source,
};
use crate::session::Session;

/// A value that streams is put together again up to this size.
const MAX_VALUE: u64 = 64 << 20;

/// What all values that stream may hold of this host's memory, from their first byte until nobody needs them: in KiB.
pub(super) const VALUES: usize = 256 << 10;

/// Calls to other hosts. Cheap to clone; works while [`super::Inbound::run`] runs.
#[derive(Clone)]
pub struct Remote {
    pub(super) node: Arc<Node>,
}

impl std::fmt::Debug for Remote {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Remote").field("host", &self.node.identity.host).finish_non_exhaustive()
    }
}

impl Remote {
    pub(super) fn new(node: Arc<Node>) -> Self {
        Self { node }
    }

    /// Makes one call to `host`; `invocation.target` says to whom. A host that stays silent is asked again, with the
    /// same id, to the deadline; while our own connection is down the call waits for it.
    ///
    /// # Errors
    ///
    /// `unavailable` where nobody has the call (not connected, not reachable, refused the session), `busy` where the
    /// host has no room, `lost` where it is gone with the call in its hands, `deadline_exceeded`, and whatever the
    /// callee answers.
    pub async fn call(&self, host: &HostId, invocation: Invocation) -> Result<Reply, CallError> {
        self.call_unless_silent(host, invocation, &|| false).await
    }

    /// Like [`Remote::call`]; but where the host is silent and `leave` says so, the call ends with `lost` at once, so
    /// that it can be made elsewhere. That is for calls that may run twice.
    ///
    /// # Errors
    ///
    /// As [`Remote::call`].
    pub async fn call_unless_silent(
        &self,
        host: &HostId,
        invocation: Invocation,
        leave: Leave<'_>,
    ) -> Result<Reply, CallError> {
        self.node.call(host, invocation, leave).await
    }

    /// How full `host` said it was when it last answered.
    #[must_use]
    pub fn load(&self, host: &HostId) -> Option<Load> {
        self.node.sessions.load(host)
    }

    /// Whether `host` owes an answer for longer than one that is well, and has not been heard since: another one is the
    /// better choice.
    #[must_use]
    pub fn is_silent(&self, host: &HostId) -> bool {
        self.node.sessions.is_doubtful(host)
    }

    /// What happened so far, and what is open now.
    #[must_use]
    pub fn stats(&self) -> CallStats {
        self.node.stats()
    }

    /// Takes no new calls and waits until none is open in either direction; whether that came within `limit`.
    pub async fn drain(&self, limit: Duration) -> bool {
        self.node.draining.send_replace(true);
        let until = Instant::now() + limit;
        let mut tick = tokio::time::interval(Duration::from_millis(5));
        loop {
            tick.tick().await;
            let open = self.node.incoming.len() + self.node.outgoing.len();
            // Without a connection nothing new can come, and there is nobody to tell.
            if open == 0 && !self.node.connections.data_up() {
                return true;
            }
            if open == 0 && self.node.draining.receiver_count() == 0 {
                return timeout(limit, self.node.settle()).await.is_ok();
            }
            if Instant::now() >= until {
                return false;
            }
        }
    }
}

impl Node {
    async fn call(
        self: &Arc<Self>,
        host: &HostId,
        invocation: Invocation,
        leave: Leave<'_>,
    ) -> Result<Reply, CallError> {
        let deadline = invocation.deadline;
        let mut session = self.reach_awake(host, deadline).await?;
        let mut prepared = self.prepare(invocation, &session).await?;
        if deadline.has_passed() {
            return Err(CallError::new(Code::DeadlineExceeded, "the deadline passed before the call was sent"));
        }
        count(&self.counters.sent);
        let mut gone = false;
        loop {
            let (answered, open) = self.ask(&session, &mut prepared, leave).await?;
            match answered {
                Answered::Reply(head, body) => {
                    let Prepared { deadline, http, .. } = prepared;
                    return self.reply(open, *head, body, deadline, http).await;
                }
                Answered::Busy(load) => {
                    self.sessions.note_load(host, load);
                    open.finish();
                    return Err(CallError::new(Code::Busy, "the host has no room"));
                }
                Answered::Leaving => {
                    self.sessions.leave(&session, GONE_PAUSE);
                    open.finish();
                    return Err(CallError::new(Code::Unavailable, "the host is stopping"));
                }
                Answered::Lost(error) => return Err(error),
                Answered::Gone => {
                    open.finish();
                    self.sessions.retire(&session);
                    if std::mem::replace(&mut gone, true) && self.connections.settled() {
                        return Err(CallError::new(Code::Unavailable, "the host takes no calls"));
                    }
                    session = self.reach_awake(host, deadline).await?;
                }
            }
        }
    }

    async fn prepare(&self, invocation: Invocation, session: &Session) -> Result<Prepared, CallError> {
        let (params, http) = head::encode_params(&invocation.params)?;
        let target = invocation.target.ok_or_else(|| CallError::new(Code::Internal, "a call without a target"))?;
        let (inline, source) = Source::divide(params, invocation.body, session.max_frame).await?;
        let deadline = invocation.deadline;
        let call = Call {
            id: invocation.id,
            caller: invocation.caller,
            link: invocation.link,
            target,
            interface: invocation.interface,
            operation: invocation.operation.as_ref().to_owned(),
            sent: Monotonic::now(),
            deadline,
            start_by: None,
            value_bytes: inline.value_bytes,
            body: source.body.is_some(),
            whole_body: inline.whole_body,
            reply_credit: 0,
            trace: invocation.trace,
        };
        let (id, length) = (call.id, inline.bytes.len());
        Ok(Prepared { id, deadline, frame: Frame::Call(Box::new(call), inline.bytes), length, source, http })
    }

    /// The answer as the caller wants it, with its streams.
    async fn reply(
        self: &Arc<Self>,
        open: OpenCall,
        head: ReplyHead,
        mut bytes: Bytes,
        deadline: Deadline,
        http: bool,
    ) -> Result<Reply, CallError> {
        self.sessions.note_load(&open.call.session.peer, head.load);
        if let Some(error) = head.error {
            open.finish();
            return Err(error);
        }
        let whole = split_whole(&mut bytes, head.whole_body)?;
        let (value, body) = (open.call.download(Lane::Value), open.call.download(Lane::Body));
        if let (Some(receiver), Some(length)) = (value, head.value_bytes) {
            let value = Received::new(self, &open.call.session, (open.id, Lane::Value), receiver, None);
            // It ran, and there is nowhere to put what came of it.
            let collected = collect(value, length, &self.values, Code::ReplyLost);
            let collected = Box::pin(timeout(deadline.remaining(), collected)).await;
            let late = || CallError::new(Code::DeadlineExceeded, "the result did not arrive before the deadline");
            bytes = collected.map_err(|_| late())??;
        }
        let answer = head::decode_answer(bytes, http)?;
        let body: Option<Body> = match (body, whole) {
            (Some(receiver), _) => {
                let session = Arc::clone(&open.call.session);
                let received = Received::new(self, &session, (open.id, Lane::Body), receiver, Some(open));
                received.grant_first();
                Some(received.boxed_unsync())
            }
            (None, whole) => {
                open.finish();
                whole.map(full_body)
            }
        };
        Ok(Reply { answer, body })
    }
}

/// Cuts a body that travels whole off the end of a frame's bytes.
pub(super) fn split_whole(bytes: &mut Bytes, whole: Option<u32>) -> Result<Option<Bytes>, CallError> {
    let Some(length) = whole else { return Ok(None) };
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    let at = bytes.len().checked_sub(length);
    let at = at.ok_or_else(|| CallError::new(Code::BadParams, "a body is longer than its frame"))?;
    Ok(Some(bytes.split_off(at)))
}

/// A value that streamed, and its place in what all of them may hold.
struct Collected {
    bytes: Vec<u8>,
    _room: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for Collected {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Puts a value that streams together; `full` where there is no room for it now.
pub(super) async fn collect(
    mut stream: Received,
    length: u64,
    values: &Arc<Semaphore>,
    full: Code,
) -> Result<Bytes, CallError> {
    if length > MAX_VALUE {
        return Err(CallError::new(Code::TooLarge, format!("a value of {length} bytes")));
    }
    let take = |kib: usize| {
        let taken = Arc::clone(values).try_acquire_many_owned(u32::try_from(kib).unwrap_or(u32::MAX));
        taken.map_err(|_| CallError::new(full, format!("there is no room for a value of {length} bytes now")))
    };
    let mut room = take(0)?;
    stream.grant();
    let mut bytes = Vec::new();
    while let Some(frame) = stream.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        bytes.reserve(data.len());
        // As it comes, and all that is kept for it: whoever announces much and sends nothing holds nothing.
        let owed = bytes.capacity().div_ceil(1 << 10).saturating_sub(room.num_permits());
        if owed > 0 {
            room.merge(take(owed)?);
        }
        bytes.extend_from_slice(&data);
        if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > length {
            break;
        }
    }
    if u64::try_from(bytes.len()) == Ok(length) {
        Ok(Bytes::from_owner(Collected { bytes, _room: room }))
    } else {
        Err(CallError::new(Code::Lost, "a value is not as long as it was said to be"))
    }
}

//! The caller's side: one invocation to one host.
//!
//! ```text
//! session? ─no─► hello ─► session ─► Call ─┬─► Reply            the answer; its streams live on in the bodies
//!                                          ├─► Busy             nothing was done
//!                                          └─► no responders    nobody has it: once more from hello
//! ```
//!
//! Dropping the future, or the reply's body before its end, sends Cancel.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::BodyExt as _;
use mesh_lattice::{
    clock::Monotonic,
    frame::{Call, Frame, Lane, Load, ReplyHead},
    id::{CallId, HostId},
    invocation::{Body, CallError, Code, Invocation, Reply, full_body},
    subject,
};
use tokio::time::{Instant, timeout};

use super::{
    CallStats, Node, count, disconnected, head,
    lane::Received,
    outgoing::{Answered, OpenCall, Outgoing},
    source::{Sending, Source},
    unsealed,
};
use crate::{
    refusals::{About, Kind},
    session::{Class, Session},
};

/// How long a host may take to answer a Hello.
const HELLO_TIMEOUT: Duration = Duration::from_secs(2);

/// What each stream of a reply may send before it is given more.
const REPLY_CREDIT: u64 = 64 << 10;

/// A value that streams is put together again up to this size.
pub(super) const MAX_VALUE: u64 = 64 << 20;

/// Calls to other hosts. Cheap to clone; works while [`super::Inbound::run`] runs.
#[derive(Clone)]
pub struct Remote {
    node: Arc<Node>,
}

/// What is sent, possibly twice.
struct Prepared {
    id: CallId,
    /// The call and what travels in its frame.
    frame: Frame,
    length: usize,
    source: Source,
    http: bool,
}

impl Remote {
    pub(super) fn new(node: Arc<Node>) -> Self {
        Self { node }
    }

    /// Makes one call to `host`; `invocation.target` says to whom.
    ///
    /// # Errors
    ///
    /// `unavailable` where nobody has the call (not connected, not reachable, refused the session), `busy` where the
    /// host has no room, `deadline_exceeded`, and whatever the callee answers.
    pub async fn call(&self, host: &HostId, invocation: Invocation) -> Result<Reply, CallError> {
        let limit = invocation.deadline.remaining();
        match timeout(limit, Box::pin(self.node.call(host, invocation))).await {
            Ok(answer) => answer,
            Err(_) => Err(CallError::new(Code::DeadlineExceeded, "there was no answer before the deadline")),
        }
    }

    /// How full `host` said it was when it last answered.
    #[must_use]
    pub fn load(&self, host: &HostId) -> Option<Load> {
        self.node.sessions.load(host)
    }

    /// Lets go of every session with `host`.
    pub fn forget(&self, host: &HostId) {
        self.node.sessions.forget(host);
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
    async fn call(self: &Arc<Self>, host: &HostId, invocation: Invocation) -> Result<Reply, CallError> {
        if !self.connections.data_up() {
            return Err(disconnected());
        }
        let mut session = self.session(host).await?;
        let mut prepared = self.prepare(invocation, &session).await?;
        count(&self.counters.sent);
        for first in [true, false] {
            let (answered, open) = self.attempt(&session, &mut prepared).await?;
            match answered {
                Answered::Reply(head, body) => return self.reply(host, open, *head, body, prepared.http).await,
                Answered::Busy(load) => {
                    self.sessions.note_load(host, load);
                    open.finish();
                    return Err(CallError::new(Code::Busy, "the host has no room"));
                }
                Answered::Gone => {
                    open.finish();
                    self.sessions.retire(&session);
                    if first {
                        session = self.session(host).await?;
                    }
                }
            }
        }
        Err(CallError::new(Code::Unavailable, "the host takes no calls"))
    }

    async fn prepare(&self, invocation: Invocation, session: &Session) -> Result<Prepared, CallError> {
        let (params, http) = head::encode_params(&invocation.params)?;
        let target = invocation.target.ok_or_else(|| CallError::new(Code::Internal, "a call without a target"))?;
        let (inline, source) = Source::divide(params, invocation.body, session.max_frame).await?;
        let call = Call {
            id: invocation.id,
            caller: invocation.caller,
            link: invocation.link,
            target,
            interface: invocation.interface,
            operation: invocation.operation.as_ref().to_owned(),
            sent: Monotonic::now(),
            deadline: invocation.deadline,
            value_bytes: inline.value_bytes,
            body: source.body.is_some(),
            whole_body: inline.whole_body,
            reply_credit: 0,
            trace: invocation.trace,
        };
        let (id, length) = (call.id, inline.bytes.len());
        Ok(Prepared { id, frame: Frame::Call(Box::new(call), inline.bytes), length, source, http })
    }

    /// Sends the call once and waits for what comes back; streams begin with the callee's first credit.
    async fn attempt(
        self: &Arc<Self>,
        session: &Arc<Session>,
        prepared: &mut Prepared,
    ) -> Result<(Answered, OpenCall), CallError> {
        let id = prepared.id;
        let reply_credit = self.budget.take(2 * REPLY_CREDIT) / 2;
        let (call, mut answered) = Outgoing::new(session, &self.budget, reply_credit);
        let open = OpenCall::open(self, id, call);
        self.send_call(session, prepared, reply_credit).await?;
        // A stream may begin with the first credit; where the answer overtakes that, the callee may still read on.
        let early = tokio::select! {
            biased;
            answered = &mut answered => Some(answered),
            () = open.call.credited(), if !prepared.source.is_empty() => None,
        };
        if !prepared.source.is_empty() && !matches!(early, Some(Ok(Answered::Busy(_) | Answered::Gone) | Err(_))) {
            self.upload(&open, std::mem::take(&mut prepared.source));
        }
        let answered = match early {
            Some(answered) => answered,
            None => answered.await,
        };
        match answered {
            Ok(answered) => Ok((answered, open)),
            Err(_) => Err(CallError::new(Code::Lost, "calls have ended on this host")),
        }
    }

    /// Sends the streams of a call beside it, until they or the call are over.
    fn upload(self: &Arc<Self>, open: &OpenCall, source: Source) {
        let call = Arc::clone(&open.call);
        let sending = Sending { node: Arc::clone(self), session: Arc::clone(&call.session), id: open.id };
        self.tasks.spawn_on(async move { source.send(&sending, &call.leaves).await }, &self.work);
    }

    async fn send_call(&self, session: &Session, prepared: &mut Prepared, reply_credit: u64) -> Result<(), CallError> {
        if let Frame::Call(call, _) = &mut prepared.frame {
            call.sent = Monotonic::now();
            call.reply_credit = reply_credit;
        }
        let sealed = session.seal(Class::Call, &prepared.frame, prepared.length).ok_or_else(unsealed)?;
        if sealed.len() > session.max_frame {
            return Err(CallError::new(Code::TooLarge, "the head of the call is too large"));
        }
        let reply = subject::io(&self.identity.lattice, &self.identity.host, self.identity.boot, prepared.id);
        self.post(session.call_subject.clone(), Some(reply.into()), sealed).await
    }

    /// The answer as the caller wants it, with its streams.
    async fn reply(
        self: &Arc<Self>,
        host: &HostId,
        open: OpenCall,
        head: ReplyHead,
        mut bytes: Bytes,
        http: bool,
    ) -> Result<Reply, CallError> {
        self.sessions.note_load(host, head.load);
        if let Some(error) = head.error {
            open.finish();
            return Err(error);
        }
        let whole = split_whole(&mut bytes, head.whole_body)?;
        let (value, body) = (open.call.download(Lane::Value), open.call.download(Lane::Body));
        if let (Some(receiver), Some(length)) = (value, head.value_bytes) {
            let value = Received::new(self, &open.call.session, (open.id, Lane::Value), receiver, None);
            bytes = Box::pin(collect(value, length)).await?;
        }
        let answer = head::decode_answer(bytes, http)?;
        let body: Option<Body> = match (body, whole) {
            (Some(receiver), _) => {
                let session = Arc::clone(&open.call.session);
                let received = Received::new(self, &session, (open.id, Lane::Body), receiver, Some(open));
                Some(received.boxed_unsync())
            }
            (None, whole) => {
                open.finish();
                whole.map(full_body)
            }
        };
        Ok(Reply { answer, body })
    }

    /// The session that `host` is called through; the first caller makes it, the others wait for that.
    async fn session(self: &Arc<Self>, host: &HostId) -> Result<Arc<Session>, CallError> {
        if !self.policy.is_enrolled(host) {
            return Err(CallError::new(Code::Unauthenticated, format!("{host} is not a host of this lattice")));
        }
        let slot = self.sessions.slot(host);
        match slot.session.get() {
            Some(session) => Ok(Arc::clone(session)),
            None => Box::pin(slot.session.get_or_try_init(|| self.shake_hands(host))).await.map(Arc::clone),
        }
    }

    async fn shake_hands(self: &Arc<Self>, host: &HostId) -> Result<Arc<Session>, CallError> {
        let unavailable = |what: String| CallError::new(Code::Unavailable, format!("no session with {host}: {what}"));
        let asked = self.identity.ask(host, self.max_frame()).map_err(|error| unavailable(error.to_string()))?;
        let question = Frame::Hello(Box::new(asked.hello().clone())).encode();
        let request = self.client.request(subject::hello(&self.identity.lattice, host), question.into());
        let message = match timeout(HELLO_TIMEOUT, request).await {
            Ok(Ok(message)) => message,
            Ok(Err(error)) => return Err(unavailable(error.to_string())),
            Err(_) => return Err(unavailable("it did not answer".to_owned())),
        };
        let Ok(Frame::Hello(answer)) = Frame::decode(&message.payload) else {
            return Err(unavailable("its answer cannot be read".to_owned()));
        };
        let enrolled = |host: &HostId| self.policy.is_enrolled(host);
        let (peer, keys) = asked.finish(&answer, enrolled).map_err(|error| {
            self.refusals.note(Kind::Hello, error.reason(), About::hello(&answer));
            unavailable(error.to_string())
        })?;
        let session = Session::new(&self.identity.lattice, peer, &keys).ok_or_else(unsealed)?;
        self.sessions.keep(&session, Instant::now());
        Ok(session)
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

/// A value that streamed, put together.
pub(super) async fn collect(mut stream: Received, length: u64) -> Result<Bytes, CallError> {
    if length > MAX_VALUE {
        return Err(CallError::new(Code::TooLarge, format!("a value of {length} bytes")));
    }
    stream.grant();
    let mut value = Vec::with_capacity(usize::try_from(length.min(1 << 20)).unwrap_or(0));
    while let Some(frame) = stream.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        value.extend_from_slice(&data);
        if u64::try_from(value.len()).unwrap_or(u64::MAX) > length {
            break;
        }
    }
    if u64::try_from(value.len()) == Ok(length) {
        Ok(value.into())
    } else {
        Err(CallError::new(Code::Lost, "a value is not as long as it was said to be"))
    }
}

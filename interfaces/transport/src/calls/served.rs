//! The callee's side: one call that was taken, from its invocation to the end of its reply.
//!
//! ```text
//! taken ─┬─► running ─┬─ within 25 ms ───────────────► Reply ─► streams ─► over
//!        │           ├─ later: Accepted first ──────► Reply ─► streams ─► over
//!        │           ├─ deadline ─► work dropped ───► Reply{deadline_exceeded}
//!        │           └─ Cancel ─► work dropped ─────► over
//!        └─ this process stood still ─► too late to begin: as if it had not come
//! ```
//!
//! A reply that streams nothing is kept to the call's deadline, and said again to a caller who heard nothing of it.

use std::{panic::AssertUnwindSafe, pin::pin, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::FutureExt as _;
use http_body_util::BodyExt as _;
use mesh_lattice::{
    clock::{Deadline, Monotonic},
    frame::{Accepted, Call, Frame, Lane, ReplyHead},
    handle::Origin,
    invocation::{Body, CallError, Code, Invocation, Reply, Serve, full_body},
};
use tokio::{sync::Notify, time::timeout};

use super::{
    Node, count,
    credit::Leave,
    disconnected, head,
    lane::Receiver,
    outbox::Sealed,
    received::Received,
    remote::{collect, split_whole},
    source::{Sending, Source},
    take::is_late,
    unsealed,
};
use crate::session::{Class, Session};

/// A reply that is not ready by then is announced, so that a short call costs two messages and a long one is known
/// to be in good hands.
const ACCEPT_AFTER: Duration = Duration::from_millis(25);

/// Room for the head of a reply: what most of them need.
const HEAD_ROOM: usize = 160;

/// A call of another host that runs here.
pub(super) struct Incoming {
    session: Arc<Session>,
    cancelled: Notify,
    /// How far the streams of the reply may go.
    leaves: [Leave; 2],
    /// What the streams of the call bring.
    uploads: [Option<Arc<Receiver>>; 2],
}

/// A call that was taken.
pub(super) struct Taken {
    pub(super) node: Arc<Node>,
    pub(super) session: Arc<Session>,
    pub(super) call: Call,
    pub(super) bytes: Bytes,
    /// On our clock.
    pub(super) deadline: Deadline,
    pub(super) serve: Arc<dyn Serve>,
}

/// Takes the call out of the table when it is over, however that comes.
struct OpenIncoming {
    node: Arc<Node>,
    incoming: Arc<Incoming>,
    id: mesh_lattice::CallId,
}

impl Incoming {
    pub(super) fn new(node: &Node, session: &Arc<Session>, call: &Call) -> Arc<Self> {
        let upload = |announced: bool| announced.then(|| Receiver::new(&node.budget, 0));
        Arc::new(Self {
            session: Arc::clone(session),
            cancelled: Notify::new(),
            leaves: [Leave::new(call.reply_credit), Leave::new(call.reply_credit)],
            uploads: [upload(call.value_bytes.is_some()), upload(call.body)],
        })
    }

    pub(super) fn belongs_to(&self, session: &Session) -> bool {
        self.session.id == session.id
    }

    pub(super) fn cancel(&self) {
        self.cancelled.notify_one();
    }

    pub(super) fn upload(&self, lane: Lane) -> Option<&Arc<Receiver>> {
        let [value, body] = &self.uploads;
        match lane {
            Lane::Value => value.as_ref(),
            Lane::Body => body.as_ref(),
        }
    }

    pub(super) fn leave(&self, lane: Lane) -> &Leave {
        let [value, body] = &self.leaves;
        match lane {
            Lane::Value => value,
            Lane::Body => body,
        }
    }
}

impl Drop for OpenIncoming {
    fn drop(&mut self) {
        self.node.incoming.remove(self.id);
        for receiver in self.incoming.uploads.iter().flatten() {
            receiver.fail(CallError::new(Code::Cancelled, "the call is over"));
        }
    }
}

impl Taken {
    /// Runs the call to its end; it stands in the table already.
    pub(super) async fn run(self, incoming: Arc<Incoming>) {
        let node = Arc::clone(&self.node);
        if is_late(&self.call, Monotonic::now()) {
            count(&node.counters.expired);
            node.incoming.remove(self.call.id);
            return node.memory.take_back(self.call.id);
        }
        let open = OpenIncoming { node: Arc::clone(&node), incoming, id: self.call.id };
        let peer = self.session.peer.clone();
        let said = tokio::select! {
            biased;
            () = open.incoming.cancelled.notified() => {
                count(&node.counters.cancelled);
                false
            }
            said = self.answer(&open.incoming) => said,
        };
        if !said {
            node.memory.end(open.id, &peer, Monotonic::now());
        }
    }

    /// Whether the answer can be said again.
    async fn answer(self, incoming: &Incoming) -> bool {
        let (id, deadline) = (self.call.id, self.deadline);
        let sending = Sending { node: Arc::clone(&self.node), session: Arc::clone(&self.session), id };
        let outcome = {
            let work = pin!(self.invoke(incoming));
            let mut work = pin!(deadline.bounds(work));
            match timeout(ACCEPT_AFTER.min(deadline.remaining()), &mut work).await {
                Ok(outcome) => outcome,
                Err(_) => {
                    sending.node.send_now(&sending.session, id, &Frame::Accepted(Accepted { id }));
                    timeout(deadline.remaining(), work).await.ok().flatten()
                }
            }
        };
        let outcome = outcome.unwrap_or_else(|| Err(too_late()));
        let (head, bytes, source) = compose(&sending, outcome).await;
        let mut reply = Vec::with_capacity(bytes.len() + HEAD_ROOM);
        Frame::Reply(Box::new(head), bytes).encode_into(&mut reply);
        let reply = Bytes::from(reply);
        let streams = !source.is_empty();
        if !streams {
            // From now on whoever asks again hears this, whatever becomes of the message.
            sending.node.memory.say(id, reply.clone());
        }
        if let Err(error) = send_reply(&sending, &reply, deadline, streams).await {
            tracing::debug!(%id, %error, "a reply could not be sent");
        } else if streams {
            Box::pin(source.send(&sending, &incoming.leaves)).await;
        }
        !streams
    }

    async fn invoke(mut self, incoming: &Incoming) -> Result<Reply, CallError> {
        let whole = split_whole(&mut self.bytes, self.call.whole_body)?;
        let stream = |lane: Lane| {
            let receiver = Arc::clone(incoming.upload(lane)?);
            Some(Received::new(&self.node, &self.session, (self.call.id, lane), receiver, None))
        };
        let body: Option<Body> = match (stream(Lane::Body), whole) {
            (Some(received), _) => {
                received.grant();
                Some(received.boxed_unsync())
            }
            (None, whole) => whole.map(full_body),
        };
        if let (Some(length), Some(value)) = (self.call.value_bytes, stream(Lane::Value)) {
            self.bytes = Box::pin(collect(value, length, &self.node.values, Code::Busy)).await?;
        }
        let call = self.call;
        let params = head::decode_params(&call.interface, &call.operation, self.bytes)?;
        let invocation = Invocation {
            id: call.id,
            caller: call.caller,
            link: call.link,
            target: Some(call.target),
            interface: call.interface,
            operation: call.operation.into(),
            params,
            body,
            deadline: self.deadline,
            trace: call.trace,
            pin: None,
            from: Some(Origin { host: self.session.peer.clone(), boot: self.session.peer_boot }),
        };
        // Whoever waits for a call that broke this host hears so, and not nothing.
        let served = AssertUnwindSafe(self.serve.serve(invocation)).catch_unwind().await;
        served.unwrap_or_else(|_| Err(broken()))
    }
}

/// The reply's head, what travels with it and what streams behind it.
async fn compose(sending: &Sending, outcome: Result<Reply, CallError>) -> (ReplyHead, Bytes, Source) {
    let divided = match outcome {
        Ok(reply) => match head::encode_answer(reply.answer) {
            Ok(value) => Source::divide(value, reply.body, sending.session.max_frame).await,
            Err(error) => Err(error),
        },
        Err(error) => Err(error),
    };
    let mut head = ReplyHead {
        id: sending.id,
        error: None,
        value_bytes: None,
        body: false,
        whole_body: None,
        load: sending.node.load(),
    };
    match divided {
        Ok((inline, source)) => {
            (head.value_bytes, head.whole_body) = (inline.value_bytes, inline.whole_body);
            head.body = source.body.is_some();
            (head, inline.bytes, source)
        }
        Err(mut error) => {
            // A head has to fit into one frame whatever the callee has to say.
            let end = error.message.floor_char_boundary(4_096);
            error.message.truncate(end);
            head.error = Some(error);
            (head, Bytes::new(), Source::default())
        }
    }
}

/// Sends the head of the reply. One that streams follow waits for the connection, if that is in time; any other is
/// said when the caller asks again.
async fn send_reply(sending: &Sending, reply: &[u8], deadline: Deadline, streams: bool) -> Result<(), CallError> {
    let node = &sending.node;
    if streams && !node.connections.data_up() {
        let mut health = node.connections.health();
        let up = Box::pin(timeout(deadline.remaining(), health.wait_for(|health| health.data_up)));
        if !matches!(up.await, Ok(Ok(_))) {
            return Err(disconnected());
        }
    }
    let bytes = sending.session.seal_encoded(Class::Io, reply).ok_or_else(unsealed)?;
    node.post(Sealed::io(&sending.session, sending.id, bytes)).await
}

fn broken() -> CallError {
    CallError::new(Code::Internal, "the host broke down under the call; its log says where")
}

fn too_late() -> CallError {
    CallError::new(Code::DeadlineExceeded, "the deadline passed while the call ran; it was stopped")
}

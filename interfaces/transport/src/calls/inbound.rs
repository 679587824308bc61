//! The one task that reads what other hosts send: it opens, decides and hands on, and never waits for work. What it
//! decides of calls stands in `take.rs`.
//!
//! Draining ends the subscriptions of `hello` and `call`, tells everybody who calls here, reads what was on its way, and
//! keeps `io`.

use std::{sync::Arc, time::Duration};

use async_nats::{Client, Message, StatusCode, Subscriber};
use bytes::Bytes;
use futures::StreamExt as _;
use mesh_lattice::{
    clock::Monotonic,
    frame::{Frame, Lane, Ping, ReplyHead, StreamAbort},
    id::CallId,
    invocation::{CallError, Code, Serve},
    subject,
};
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use super::{
    AdmitCall, CallsError, Node, Post, count,
    door::{Door, door},
    greet::GONE_PAUSE,
    lane::Receiver,
    outbox,
    outgoing::Outgoing,
    pulse,
    take::Copy,
};
use crate::{
    refusals::{About, Kind},
    session::{Class, Rejected, Session, bundle, session_of},
};

/// How long the calls that run get to end once they are told to.
const END_TIMEOUT: Duration = Duration::from_secs(2);

/// What other hosts send to this one.
pub struct Inbound {
    node: Arc<Node>,
    hello: Subscriber,
    call: Subscriber,
    io: Subscriber,
    pulse: Subscriber,
    outbox: mpsc::Receiver<Post>,
    draining: watch::Receiver<bool>,
}

/// What the reader decides with.
pub(super) struct Reader {
    pub(super) node: Arc<Node>,
    pub(super) serve: Arc<dyn Serve>,
    pub(super) admit: Arc<dyn AdmitCall>,
    door: Door,
}

impl Inbound {
    pub(super) async fn subscribe(node: Arc<Node>, outbox: mpsc::Receiver<Post>) -> Result<Self, CallsError> {
        let identity = &node.identity;
        let (lattice, host, boot) = (&identity.lattice, &identity.host, identity.boot);
        let data = &node.client;
        let io = subscribe(data, subject::io_all(lattice, host, boot)).await?;
        let call = subscribe(data, subject::call(lattice, host, boot)).await?;
        let hello = subscribe(data, subject::hello(lattice, host)).await?;
        let pulse = subscribe(node.connections.control_or_waiting(), subject::pulse(lattice, host, boot)).await?;
        let draining = node.draining.subscribe();
        Ok(Self { node, hello, call, io, pulse, outbox, draining })
    }

    /// Reads until `cancel`; then every call that still runs is stopped.
    pub async fn run(self, serve: Arc<dyn Serve>, admit: Arc<dyn AdmitCall>, cancel: CancellationToken) {
        let Self { node, hello, call, io, pulse, outbox, draining } = self;
        let (door, doorkeeper) = door(&node);
        let reader = Reader { node: Arc::clone(&node), serve, admit, door };
        let mut beside = JoinSet::new();
        // A task of its own, so that it runs after those that fill the outbox and not in between.
        beside.spawn(outbox::run(Arc::clone(&node), outbox));
        beside.spawn(doorkeeper.run());
        beside.spawn(pulse::run(Arc::clone(&node)));
        beside.spawn(pulse::answer(Arc::clone(&node), pulse));
        tokio::select! {
            biased;
            () = cancel.cancelled() => {}
            () = reader.run(hello, call, io, draining) => {}
        }
        for incoming in node.incoming.values() {
            incoming.cancel();
        }
        for outgoing in node.outgoing.values() {
            outgoing.abandon();
        }
        node.tasks.close();
        let _ = timeout(END_TIMEOUT, node.tasks.wait()).await;
        let _ = timeout(END_TIMEOUT, node.settle()).await;
    }
}

async fn subscribe(client: &Client, subject: String) -> Result<Subscriber, CallsError> {
    let subscribed = timeout(END_TIMEOUT, client.subscribe(subject)).await;
    let subscriber = subscribed.map_err(|error| CallsError::Subscribe(error.to_string()))?;
    subscriber.map_err(|error| CallsError::Subscribe(error.to_string()))
}

impl Reader {
    async fn run(
        mut self,
        mut hello: Subscriber,
        mut call: Subscriber,
        mut io: Subscriber,
        draining: watch::Receiver<bool>,
    ) {
        // Dropped when nothing new can come any more: whoever drains waits for that.
        let mut draining = Some(draining);
        let (mut hello_open, mut call_open, mut told_to_drain) = (true, true, false);
        loop {
            if !hello_open && !call_open {
                draining = None;
            }
            tokio::select! {
                message = io.next() => match message {
                    Some(message) => self.take_io(message),
                    None => return,
                },
                message = call.next(), if call_open => match message {
                    Some(message) => self.take_call(message),
                    None => call_open = false,
                },
                message = hello.next(), if hello_open => match message {
                    Some(message) => self.door.take(message),
                    None => hello_open = false,
                },
                () = told(draining.as_mut()), if !told_to_drain => {
                    told_to_drain = true;
                    for subscriber in [&mut hello, &mut call] {
                        let _ = timeout(END_TIMEOUT, subscriber.drain()).await;
                    }
                    self.say_leaving();
                }
            }
        }
    }

    /// Tells whoever has called here that new calls go elsewhere: after the subscriptions have ended, so that nobody
    /// who hears it can make a session anew.
    fn say_leaving(&self) {
        for session in self.node.sessions.callers() {
            self.node.send_now(&session, session.no_call(), &Frame::Drain);
        }
    }

    /// The frames of a message that are to be believed.
    fn open_all(&self, class: Class, message: Bytes) -> impl Iterator<Item = (Arc<Session>, Frame)> {
        bundle::split(message).filter_map(move |sealed| match sealed {
            Ok(sealed) => self.node.open(class, sealed),
            Err(rejected) => {
                self.node.reject(None, rejected);
                None
            }
        })
    }

    fn take_io(&self, message: Message) {
        if message.status == Some(StatusCode::NO_RESPONDERS) {
            for (id, copy) in subject::copies_of(&message.subject).take(bundle::MOST) {
                if let Some(call) = self.node.outgoing.get(id) {
                    call.doubt(copy);
                }
            }
            return;
        }
        for (session, frame) in self.open_all(Class::Io, message.payload) {
            self.take_frame(session, frame);
        }
    }

    fn take_frame(&self, session: Arc<Session>, frame: Frame) {
        match frame {
            Frame::Reply(head, body) => self.with_call(&session, head.id, |call| call.reply(head, body)),
            Frame::Busy(busy) => self.with_call(&session, busy.id, |call| call.refused(busy.load, busy.firm)),
            Frame::Accepted(accepted) => self.with_call(&session, accepted.id, |call| {
                count(&self.node.counters.accepted);
                call.accept();
            }),
            Frame::Call(call, bytes) => self.judge_call(session, *call, bytes, Copy::Again),
            Frame::StreamData(data, bytes) => {
                self.with_receiver(&session, data.id, data.lane, |receiver| receiver.push(data.offset, bytes));
            }
            Frame::StreamEnd(end) => {
                self.with_receiver(&session, end.id, end.lane, |receiver| receiver.end(*end));
            }
            Frame::StreamAbort(abort) => {
                self.with_receiver(&session, abort.id, abort.lane, |receiver| {
                    receiver.fail(abort.error);
                });
            }
            Frame::StreamCredit(credit) => self.credit(&session, credit.id, credit.lane, credit.upto),
            Frame::Cancel(cancel) => self.cancel(&session, cancel.id),
            Frame::Ping(ping) => {
                let now = Monotonic::now();
                session.note_clock(ping.clock, now);
                let pong = Ping { nonce: ping.nonce, clock: now };
                self.node.send_now(&session, session.no_call(), &Frame::Pong(pong));
            }
            Frame::Pong(pong) => {
                let now = Monotonic::now();
                session.note_clock(pong.clock, now);
                let asked = Monotonic(pong.nonce);
                if session.life.pong(asked, now) {
                    session.note_reading(asked, pong.clock, now);
                }
            }
            Frame::Unknown(kind) => self.unsupported(&session, kind),
            Frame::Drain => self.node.sessions.leave(&session, GONE_PAUSE),
            Frame::Hello(_) => self.node.reject(Some(&session), Rejected::Malformed),
        }
    }

    fn with_call(&self, session: &Session, id: CallId, with: impl FnOnce(&Outgoing)) {
        if let Some(call) = self.node.outgoing.get(id).filter(|call| call.belongs_to(session)) {
            with(&call);
        }
    }

    /// Stops the call, or keeps it from running where it has yet to come: the two took different ways.
    fn cancel(&self, session: &Session, id: CallId) {
        self.node.memory.end(id, &session.peer, Monotonic::now());
        if let Some(incoming) = self.node.incoming.get(id).filter(|incoming| incoming.belongs_to(session)) {
            incoming.cancel();
        }
    }

    /// A stream of a call of ours is one of the reply; of another's, one of the call.
    fn with_receiver(&self, session: &Session, id: CallId, lane: Lane, with: impl FnOnce(&Receiver)) {
        if let Some(call) = self.node.outgoing.get(id).filter(|call| call.belongs_to(session)) {
            if let Some(receiver) = call.download(lane) {
                with(&receiver);
            }
        } else if let Some(call) = self.node.incoming.get(id).filter(|call| call.belongs_to(session))
            && let Some(receiver) = call.upload(lane)
        {
            with(receiver);
        }
    }

    /// Raises how far a stream may go. One that is not here any more says so: its end may have been lost.
    fn credit(&self, session: &Arc<Session>, id: CallId, lane: Lane, upto: u64) {
        if let Some(call) = self.node.outgoing.get(id).filter(|call| call.belongs_to(session)) {
            call.leave(lane).raise(upto);
        } else if let Some(call) = self.node.incoming.get(id).filter(|call| call.belongs_to(session)) {
            call.leave(lane).raise(upto);
        } else {
            let error = CallError::new(Code::Lost, "the stream's sender no longer has it");
            self.node.send_now(session, id, &Frame::StreamAbort(Box::new(StreamAbort { id, lane, error })));
        }
    }

    fn unsupported(&self, session: &Arc<Session>, kind: u8) {
        let error = CallError::new(Code::Unsupported, format!("a frame of kind {kind}"));
        self.refuse(session, CallId(uuid::Uuid::nil()), error);
    }

    pub(super) fn refuse(&self, session: &Arc<Session>, id: CallId, error: CallError) {
        let load = self.node.load();
        let head = ReplyHead { id, error: Some(error), value_bytes: None, body: false, whole_body: None, load };
        self.node.send_now(session, id, &Frame::Reply(Box::new(head), Bytes::new()));
    }

    fn take_call(&self, message: Message) {
        for (session, frame) in self.open_all(Class::Call, message.payload) {
            match frame {
                Frame::Call(call, bytes) => self.judge_call(session, *call, bytes, Copy::First),
                Frame::Unknown(kind) => self.unsupported(&session, kind),
                _ => self.node.reject(Some(&session), Rejected::Malformed),
            }
        }
    }
}

impl Node {
    /// The frame, where it is to be believed; what is not is counted.
    pub(super) fn open(&self, class: Class, sealed: Bytes) -> Option<(Arc<Session>, Frame)> {
        let Some(id) = session_of(&sealed) else {
            self.reject(None, Rejected::Malformed);
            return None;
        };
        let Some(session) = self.sessions.get(id) else {
            self.reject(None, Rejected::UnknownSession);
            return None;
        };
        let silent = session.life.is_silent();
        let opened = session.open(class, &sealed);
        if silent && opened.is_ok() && class != Class::Pulse {
            self.sessions.revive(&session);
        }
        match opened.and_then(|bytes| Frame::decode(&bytes).map_err(|_| Rejected::Malformed)) {
            Ok(frame) => Some((session, frame)),
            Err(rejected) => {
                self.reject(Some(&session), rejected);
                None
            }
        }
    }

    /// Counts a frame that is not taken; `session` is the one that it names.
    pub(super) fn reject(&self, session: Option<&Session>, rejected: Rejected) {
        let about = session.map_or_else(About::default, |session| About::host(&session.peer));
        self.refusals.note(Kind::Frame, rejected.reason(), about);
    }
}

/// Returns when this host is to drain; never, where it does so already.
async fn told(draining: Option<&mut watch::Receiver<bool>>) {
    let Some(draining) = draining else { return std::future::pending().await };
    if draining.wait_for(|draining| *draining).await.is_err() {
        std::future::pending().await
    }
}

//! What goes out: sealed frames, alone or together with others of the same session, in the order in which they came.
//!
//! ```text
//! send      a frame of a stream                            waits for room in the outbox
//! post      the head of a call or a reply ─┬─ alone ─────► straight to the connection
//!                                          └─ in a crowd ► waits for room in the outbox
//! send_now  what the reader itself says                    dropped where the outbox is full
//! pulse     a sign of life                                 at once over the other connection, or dropped
//!
//! outbox ─► gathered by session ─┬─ one frame ─────► `call` or `io.<call>`
//!                                └─ small ones ─────► one bundle to `call` or `io.shared`
//! ```

use std::sync::{Arc, atomic::Ordering};

use async_nats::Subject;
use bytes::Bytes;
use futures::FutureExt as _;
use mesh_lattice::{
    clock::Monotonic,
    frame::Frame,
    id::CallId,
    invocation::{CallError, Code},
    subject,
};
use tokio::{
    sync::{mpsc, oneshot},
    task::unconstrained,
};

use super::{Node, count, disconnected, unsealed};
use crate::session::{Class, Session, bundle};

/// What is to be sent waits here. Calls and streams wait for room; what the reader itself has to say is dropped where
/// there is none, and said again or timed out by whoever misses it.
pub(super) const CAPACITY: usize = 1_024;

/// Heads that are sent within so many microseconds of each other are sent together.
const CLOSE_TOGETHER: u64 = 60;

/// Heads that are sent so many microseconds after the last are not.
const FAR_APART: u64 = 1_000;

/// With more calls open than these, the next head is taken to be close.
const FEW: usize = 2;

/// As much is taken out of the outbox at once.
const BATCH: usize = 128;

/// Frames up to this size share a message: what is larger is worth one of its own.
const SMALL: usize = 8 << 10;

/// The largest message that is shared.
const LARGEST: usize = 64 << 10;

/// What goes through the outbox.
pub(super) enum Post {
    Sealed(Sealed),
    /// A message that belongs to no session.
    Message {
        subject: Subject,
        payload: Bytes,
    },
    /// Answered once all before it was published.
    Barrier(oneshot::Sender<()>),
}

/// A frame, sealed for one boot.
pub(super) struct Sealed {
    pub(super) session: Arc<Session>,
    pub(super) class: Class,
    /// What it belongs to.
    pub(super) call: CallId,
    /// Which copy of its call it is: we want to hear where nobody listens.
    pub(super) copy: Option<u32>,
    pub(super) bytes: Bytes,
}

impl Sealed {
    /// What belongs to `call`, which its callee took.
    pub(super) fn io(session: &Arc<Session>, call: CallId, bytes: Bytes) -> Self {
        Self { session: Arc::clone(session), class: Class::Io, call, copy: None, bytes }
    }
}

/// Frames of one session and class, in order: never empty, and more than one only where they fit into one message.
struct Together {
    first: Sealed,
    more: Vec<Sealed>,
    size: usize,
}

impl Node {
    /// Sends what belongs to `call`; waits while the connection is slow, not while it is down.
    pub(super) async fn send(
        &self,
        session: &Arc<Session>,
        call: CallId,
        frame: &Frame,
        body: usize,
    ) -> Result<(), CallError> {
        if !self.connections.data_up() {
            return Err(disconnected());
        }
        let bytes = session.seal(Class::Io, frame, body).ok_or_else(unsealed)?;
        if bytes.len() > session.max_frame {
            return Err(CallError::new(Code::TooLarge, "a frame is larger than the other host takes"));
        }
        self.outbox.send(Post::Sealed(Sealed::io(session, call, bytes))).await.map_err(|_| disconnected())
    }

    /// Sends the head of a call or of its reply: straight to the connection where none was sent a moment ago, so that
    /// it waits for nobody; through the outbox where they come thick and fast, so that they share the work.
    pub(super) async fn post(&self, sealed: Sealed) -> Result<(), CallError> {
        if self.is_alone() {
            return if self.publish_together(Together::new(sealed)).await { Ok(()) } else { Err(disconnected()) };
        }
        self.outbox.send(Post::Sealed(sealed)).await.map_err(|_| disconnected())
    }

    /// Whether nobody else is about to send: none was sent for a while, or none a moment ago and hardly any call is
    /// open.
    fn is_alone(&self) -> bool {
        let now = Monotonic::now().0;
        let gap = now.saturating_sub(self.last_post.swap(now, Ordering::Relaxed));
        gap > FAR_APART || gap > CLOSE_TOGETHER && self.outgoing.len() + self.incoming.len() <= FEW
    }

    /// Sends what belongs to `call` without ever waiting: drops it where the outbox is full.
    pub(super) fn send_now(&self, session: &Arc<Session>, call: CallId, frame: &Frame) {
        self.post_now(session, call, session.seal(Class::Io, frame, 0));
    }

    /// The same for a frame that is sealed already.
    pub(super) fn post_now(&self, session: &Arc<Session>, call: CallId, sealed: Option<Bytes>) {
        let sent =
            sealed.is_some_and(|bytes| self.outbox.try_send(Post::Sealed(Sealed::io(session, call, bytes))).is_ok());
        if !sent {
            count(&self.counters.dropped);
        }
    }

    /// Sends a sign of life over the connection of leases, where no stream is in front of it; drops what cannot be sent
    /// at once. Nothing is said there that holds only while calls can come too.
    pub(super) fn pulse(&self, session: &Session, frame: &Frame) {
        let Some(control) = self.connections.control().ok().filter(|_| self.connections.data_up()) else { return };
        let sent = session.seal(Class::Pulse, frame, 0).and_then(|sealed| {
            // Polled once: that its task has used up its turn is no reason to drop it.
            unconstrained(control.publish(session.pulse_subject(), sealed)).now_or_never()
        });
        if !matches!(sent, Some(Ok(()))) {
            count(&self.counters.dropped);
        }
    }

    /// Waits until the server has what was sent before.
    pub(super) async fn settle(&self) {
        let (published, done) = oneshot::channel();
        if self.outbox.send(Post::Barrier(published)).await.is_ok() && done.await.is_ok() {
            self.connections.settle_data().await;
        }
    }

    /// Whether the message is on its way: what cannot be sent now is not kept.
    async fn publish(&self, subject: Subject, reply: Option<Subject>, payload: Bytes) -> bool {
        if !self.connections.data_up() {
            return false;
        }
        let published = match reply {
            Some(reply) => self.client.publish_with_reply(subject, reply, payload).await,
            None => self.client.publish(subject, payload).await,
        };
        published.is_ok()
    }

    async fn publish_together(&self, together: Together) -> bool {
        let own = &self.identity;
        let copies: Vec<(CallId, u32)> = together.all().filter_map(|one| Some((one.call, one.copy?))).collect();
        let unheard = || subject::io_copies(&own.lattice, &own.host, own.boot, &copies).into();
        let reply = (!copies.is_empty()).then(unheard);
        let Together { first, more, .. } = together;
        let subject = match first.class {
            Class::Call => first.session.call_subject.clone(),
            Class::Io if more.is_empty() => first.session.io_subject(first.call).into(),
            Class::Io => first.session.shared_subject.clone(),
            // Signs of life go the other way.
            Class::Pulse => return false,
        };
        let payload = if more.is_empty() {
            first.bytes
        } else {
            let frames: Vec<Bytes> = std::iter::once(first).chain(more).map(|one| one.bytes).collect();
            bundle::join(&frames)
        };
        self.publish(subject, reply, payload).await
    }
}

impl Together {
    fn new(first: Sealed) -> Self {
        let size = bundle::EMPTY + bundle::room_for(&first.bytes);
        Self { first, more: Vec::new(), size }
    }

    fn all(&self) -> impl Iterator<Item = &Sealed> {
        std::iter::once(&self.first).chain(&self.more)
    }

    /// Whether `next` goes the same way.
    fn is_beside(&self, next: &Sealed) -> bool {
        self.first.class == next.class && self.first.session.id == next.session.id
    }

    /// Takes `next` in, or gives it back where there is no room.
    fn take(&mut self, next: Sealed) -> Option<Sealed> {
        let size = self.size + bundle::room_for(&next.bytes);
        let fits = size <= LARGEST.min(next.session.max_frame) && self.more.len() + 1 < bundle::MOST;
        if !next.session.bundles || !fits || self.first.bytes.len().max(next.bytes.len()) > SMALL {
            return Some(next);
        }
        self.size = size;
        self.more.push(next);
        None
    }
}

/// The sending end of the outbox.
struct Sender {
    node: Arc<Node>,
    /// At most one for each session and class, so that what goes one way keeps its order.
    gathered: Vec<Together>,
}

/// Sends what waits in the outbox.
///
/// It lets everybody else who is ready run first, and takes what they all left: woken by the first of many short calls
/// that end together, it would otherwise write each of their answers to the socket on its own.
pub(super) async fn run(node: Arc<Node>, mut outbox: mpsc::Receiver<Post>) {
    let mut batch = Vec::with_capacity(BATCH);
    let mut sender = Sender { node, gathered: Vec::new() };
    loop {
        let Some(first) = outbox.recv().await else { return };
        tokio::task::yield_now().await;
        batch.push(first);
        while let Ok(next) = outbox.try_recv() {
            batch.push(next);
            if batch.len() == BATCH {
                break;
            }
        }
        for post in batch.drain(..) {
            match post {
                Post::Sealed(sealed) => sender.gather(sealed).await,
                Post::Message { subject, payload } => {
                    let published = sender.node.publish(subject, None, payload).await;
                    sender.note(published, 1);
                }
                Post::Barrier(published) => {
                    sender.flush().await;
                    // Whoever waits may have gone.
                    let _ = published.send(());
                }
            }
        }
        sender.flush().await;
    }
}

impl Sender {
    async fn gather(&mut self, sealed: Sealed) {
        let Some(together) = self.gathered.iter_mut().find(|together| together.is_beside(&sealed)) else {
            return self.gathered.push(Together::new(sealed));
        };
        if let Some(sealed) = together.take(sealed) {
            let full = std::mem::replace(together, Together::new(sealed));
            self.publish(full).await;
        }
    }

    async fn flush(&mut self) {
        let mut gathered = std::mem::take(&mut self.gathered);
        for together in gathered.drain(..) {
            self.publish(together).await;
        }
        self.gathered = gathered;
    }

    async fn publish(&self, together: Together) {
        let frames = together.more.len() + 1;
        let published = self.node.publish_together(together).await;
        self.note(published, frames);
    }

    fn note(&self, published: bool, frames: usize) {
        if !published {
            self.node.counters.dropped.fetch_add(u64::try_from(frames).unwrap_or(0), Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::tests::{pair, pair_of};

    fn sealed(session: &Arc<Session>, class: Class, length: usize) -> Sealed {
        let session = Arc::clone(session);
        Sealed { session, class, call: CallId::new(), copy: None, bytes: vec![1; length].into() }
    }

    #[test]
    fn only_what_goes_the_same_way_goes_together() {
        let ((one, _), (another, _)) = (pair(), pair());
        let together = Together::new(sealed(&one, Class::Io, 10));
        assert!(together.is_beside(&sealed(&one, Class::Io, 10)));
        assert!(!together.is_beside(&sealed(&one, Class::Call, 10)));
        assert!(!together.is_beside(&sealed(&another, Class::Io, 10)));
    }

    #[test]
    fn a_message_has_room_for_so_many_and_for_small_ones_only() {
        let (one, _) = pair();
        let mut together = Together::new(sealed(&one, Class::Io, 100));
        while together.take(sealed(&one, Class::Io, 100)).is_none() {}
        assert_eq!(together.all().count(), bundle::MOST);
        let frames: Vec<_> = together.all().map(|one| one.bytes.clone()).collect();
        assert_eq!(together.size, bundle::join(&frames).len());

        let mut together = Together::new(sealed(&one, Class::Io, SMALL));
        while together.take(sealed(&one, Class::Io, SMALL)).is_none() {}
        assert!(together.size <= LARGEST && together.all().count() > 5);

        let mut together = Together::new(sealed(&one, Class::Io, 10));
        assert!(together.take(sealed(&one, Class::Io, SMALL + 1)).is_some(), "worth a message of its own");
        let mut together = Together::new(sealed(&one, Class::Io, SMALL + 1));
        assert!(together.take(sealed(&one, Class::Io, 10)).is_some());
    }

    #[test]
    fn a_peer_of_the_version_before_gets_each_frame_alone() {
        let (one, _) = pair_of(mesh_lattice::frame::BUNDLES - 1);
        let mut together = Together::new(sealed(&one, Class::Io, 10));
        assert!(together.take(sealed(&one, Class::Io, 10)).is_some());
    }
}

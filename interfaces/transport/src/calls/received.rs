//! The receiving end of one stream as the body that its reader reads.
//!
//! As the reader goes on it lets the sender go on; while nothing comes it says the credit again, so that a lost one
//! costs a second and not the stream, and gives up in the end. Its end, or its drop, ends the call that it belongs to.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body::Frame as BodyFrame;
use mesh_lattice::{
    frame::{Frame, Lane, StreamCredit},
    id::CallId,
    invocation::{CallError, Code},
    wit::http,
};
use tokio::time::{Instant, Sleep, sleep_until};

use super::{
    Node,
    lane::{Piece, Receiver},
    outgoing::OpenCall,
};
use crate::session::Session;

/// Credit is said again after this long without a byte.
const REPEAT: Duration = Duration::from_secs(1);

/// A stream that could be given no credit at all asks again this soon.
const STARVED: Duration = Duration::from_millis(20);

/// The receiving end as a body.
pub(super) struct Received {
    node: Arc<Node>,
    session: Arc<Session>,
    id: CallId,
    lane: Lane,
    receiver: Arc<Receiver>,
    /// Set while nothing comes: when to say the credit again.
    timer: Option<Pin<Box<Sleep>>>,
    quiet_since: Option<Instant>,
    done: bool,
    /// Kept for as long as the body lives: ends the call when the body does.
    call: Option<OpenCall>,
}

impl Received {
    pub(super) fn new(
        node: &Arc<Node>,
        session: &Arc<Session>,
        (id, lane): (CallId, Lane),
        receiver: Arc<Receiver>,
        call: Option<OpenCall>,
    ) -> Self {
        Self {
            node: Arc::clone(node),
            session: Arc::clone(session),
            id,
            lane,
            receiver,
            timer: None,
            quiet_since: None,
            done: false,
            call,
        }
    }

    /// Lets the sender begin, or go on.
    pub(super) fn grant(&self) {
        if let Some(upto) = self.receiver.grant() {
            self.say(upto);
        }
    }

    /// Lets the sender begin where nothing could be given ahead.
    pub(super) fn grant_first(&self) {
        if self.receiver.granted().0 == 0 {
            self.grant();
        }
    }

    fn say(&self, upto: u64) {
        let credit = StreamCredit { id: self.id, lane: self.lane, upto };
        self.node.send_now(&self.session, self.id, &Frame::StreamCredit(credit));
    }

    /// While nothing comes: says the credit again now and then, and gives up in the end.
    fn poll_quiet(&mut self, context: &mut Context<'_>) -> Poll<CallError> {
        let now = Instant::now();
        let since = *self.quiet_since.get_or_insert(now);
        loop {
            let (granted, starved) = self.receiver.granted();
            let pause = if starved { STARVED } else { REPEAT };
            let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(now + pause)));
            if timer.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
            if since.elapsed() >= self.node.idle {
                return Poll::Ready(CallError::new(Code::Lost, "the stream stood still for too long"));
            }
            self.timer = Some(Box::pin(sleep_until(Instant::now() + pause)));
            match self.receiver.grant() {
                Some(upto) => self.say(upto),
                None if !starved => self.say(granted),
                None => {}
            }
        }
    }

    fn finish(&mut self) {
        self.done = true;
        self.timer = None;
        if let Some(call) = self.call.take() {
            call.finish();
        }
    }
}

impl http_body::Body for Received {
    type Data = Bytes;
    type Error = CallError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<BodyFrame<Bytes>, CallError>>> {
        if self.done {
            return Poll::Ready(None);
        }
        match self.receiver.poll(context) {
            Poll::Ready(Piece::Bytes(bytes)) => {
                (self.timer, self.quiet_since) = (None, None);
                self.grant();
                Poll::Ready(Some(Ok(BodyFrame::data(bytes))))
            }
            Poll::Ready(Piece::End(trailers)) => {
                self.finish();
                if trailers.is_empty() {
                    return Poll::Ready(None);
                }
                Poll::Ready(Some(http::headers(&trailers).map(BodyFrame::trailers)))
            }
            Poll::Ready(Piece::Failed(error)) => {
                self.done = true;
                Poll::Ready(Some(Err(error)))
            }
            Poll::Pending => match self.poll_quiet(context) {
                Poll::Pending => Poll::Pending,
                Poll::Ready(error) => {
                    self.done = true;
                    Poll::Ready(Some(Err(error)))
                }
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        self.done
    }
}

impl Drop for Received {
    fn drop(&mut self) {
        self.receiver.abandon();
    }
}

//! Keeping a call so that it can be made once more.
//!
//! Whoever serves a call owns it, its body included. A call that was refused with nothing done, or that may run twice,
//! may go to another host, so the router keeps what it takes to make it again: parameters are shared memory and cost
//! nothing to keep; a body is lent, and comes back whole as long as no more was read of it than fits into one frame.

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt as _;
use mesh_lattice::{
    Body, CallError, CallId, Caller, Deadline, Interface, Invocation, LinkName, Name, Params, TraceContext,
    frame::INLINE_LIMIT,
};
use parking_lot::Mutex;

use super::idempotent;
use crate::links::Grant;

/// What it takes to make a call again.
pub(super) struct Kept {
    id: CallId,
    caller: Caller,
    link: LinkName,
    target: Option<Name>,
    interface: Interface,
    operation: Arc<str>,
    params: KeptParams,
    body: Option<Slot>,
    deadline: Deadline,
    trace: Option<TraceContext>,
    pin: Option<mesh_lattice::handle::Pin>,
    from: Option<mesh_lattice::handle::Origin>,
}

enum KeptParams {
    Wire(Bytes),
    Http(Box<http::request::Parts>),
}

/// Where a lent body is put back.
type Slot = Arc<Mutex<Option<Body>>>;

/// The call as it goes out, and what is kept of it.
pub(super) fn keep(mut invocation: Invocation) -> (Invocation, Kept) {
    let params = match &invocation.params {
        Params::Wire(bytes) => KeptParams::Wire(bytes.clone()),
        Params::Http(parts) => KeptParams::Http(parts.clone()),
    };
    let mut slot = None;
    if let Some(body) = invocation.body.take() {
        let back = slot.insert(Slot::default());
        let lent = Lent { back: Arc::clone(back), rest: Some(body), read: VecDeque::new(), bytes: 0, spent: false };
        invocation.body = Some(lent.boxed_unsync());
    }
    let kept = Kept {
        id: invocation.id,
        caller: invocation.caller.clone(),
        link: invocation.link.clone(),
        target: invocation.target.clone(),
        interface: invocation.interface.clone(),
        operation: invocation.operation.clone(),
        params,
        body: slot,
        deadline: invocation.deadline,
        trace: invocation.trace.clone(),
        pin: invocation.pin.clone(),
        from: invocation.from.clone(),
    };
    (invocation, kept)
}

impl Kept {
    /// Whether the call may run twice.
    pub(super) fn may_run_twice(&self, grant: Option<&Grant>) -> bool {
        idempotent::may_run_twice(&self.interface, &self.operation, grant)
    }

    /// From now on it is another call: an earlier one may have run.
    pub(super) fn renew(&mut self) {
        self.id = CallId::new();
    }

    /// The same call once more; `None` where too much of its body was read, or somebody still reads it.
    pub(super) fn again(self) -> Option<Invocation> {
        let body = match self.body {
            None => None,
            Some(slot) => Some(slot.lock().take()?),
        };
        let params = match self.params {
            KeptParams::Wire(bytes) => Params::Wire(bytes),
            KeptParams::Http(parts) => Params::Http(parts),
        };
        Some(Invocation {
            id: self.id,
            caller: self.caller,
            link: self.link,
            target: self.target,
            interface: self.interface,
            operation: self.operation,
            params,
            body,
            deadline: self.deadline,
            trace: self.trace,
            pin: self.pin,
            from: self.from,
        })
    }
}

/// A body that goes back to its lender when whoever reads it lets go of it.
struct Lent {
    back: Slot,
    rest: Option<Body>,
    /// What was read of it so far.
    read: VecDeque<Piece>,
    bytes: usize,
    /// More was read than is kept, or it failed.
    spent: bool,
}

enum Piece {
    Data(Bytes),
    Trailers(http::HeaderMap),
}

impl Lent {
    fn note(&mut self, frame: Option<&Result<Frame<Bytes>, CallError>>) {
        match frame {
            None => self.rest = None,
            Some(Err(_)) => self.spent = true,
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    self.bytes += data.len();
                    self.read.push_back(Piece::Data(data.clone()));
                } else if let Some(trailers) = frame.trailers_ref() {
                    self.read.push_back(Piece::Trailers(trailers.clone()));
                }
            }
        }
        if self.bytes > INLINE_LIMIT || self.spent {
            self.spent = true;
            self.read.clear();
        }
    }
}

impl http_body::Body for Lent {
    type Data = Bytes;
    type Error = CallError;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, CallError>>> {
        let this = self.get_mut();
        let Some(body) = &mut this.rest else { return Poll::Ready(None) };
        let polled = Pin::new(body).poll_frame(context);
        if let (Poll::Ready(frame), false) = (&polled, this.spent) {
            this.note(frame.as_ref());
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.rest.as_ref().is_none_or(http_body::Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.rest.as_ref().map_or_else(|| SizeHint::with_exact(0), http_body::Body::size_hint)
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if !self.spent {
            let again = Again { read: std::mem::take(&mut self.read), rest: self.rest.take() };
            *self.back.lock() = Some(again.boxed_unsync());
        }
    }
}

/// A body that was read already in part, from its beginning.
struct Again {
    read: VecDeque<Piece>,
    rest: Option<Body>,
}

impl http_body::Body for Again {
    type Data = Bytes;
    type Error = CallError;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, CallError>>> {
        let this = self.get_mut();
        match (this.read.pop_front(), &mut this.rest) {
            (Some(Piece::Data(data)), _) => Poll::Ready(Some(Ok(Frame::data(data)))),
            (Some(Piece::Trailers(trailers)), _) => Poll::Ready(Some(Ok(Frame::trailers(trailers)))),
            (None, Some(body)) => Pin::new(body).poll_frame(context),
            (None, None) => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.read.is_empty() && self.rest.as_ref().is_none_or(http_body::Body::is_end_stream)
    }
}

#[cfg(test)]
mod tests {
    use http_body::Body as _;
    use mesh_lattice::invocation::full_body;

    use super::*;

    fn call(body: Option<Body>) -> Invocation {
        let mut call = crate::testing::call("web", "counter");
        call.body = body;
        call
    }

    #[tokio::test]
    async fn a_body_that_nobody_read_comes_back_whole() {
        let (lent, kept) = keep(call(Some(full_body(Bytes::from_static(b"body")))));
        assert_eq!(lent.body.as_ref().unwrap().size_hint().exact(), Some(4));
        drop(lent);
        let again = kept.again().unwrap();
        assert_eq!(again.body.unwrap().collect().await.unwrap().to_bytes(), "body");
    }

    #[tokio::test]
    async fn a_body_that_was_read_in_part_comes_back_from_its_beginning() {
        let mut trailers = http::HeaderMap::new();
        trailers.insert("x-sum", "42".parse().unwrap());
        let frames = [Frame::data("one ".into()), Frame::data("two".into()), Frame::trailers(trailers.clone())];
        let body = http_body_util::StreamBody::new(futures::stream::iter(frames.map(Ok))).boxed_unsync();
        let (mut lent, mut kept) = keep(call(Some(body)));
        for read in 1..=4 {
            let body = lent.body.as_mut().unwrap();
            for _ in 0..read {
                body.frame().await;
            }
            drop(lent);
            let again = kept.again().unwrap();
            (lent, kept) = keep(again);
        }
        drop(lent);
        let collected = kept.again().unwrap().body.unwrap().collect().await.unwrap();
        assert_eq!(collected.trailers(), Some(&trailers));
        assert_eq!(collected.to_bytes(), "one two");
    }

    #[tokio::test]
    async fn a_body_of_which_much_was_read_does_not_come_back_and_neither_does_one_that_is_being_read() {
        let (mut lent, kept) = keep(call(Some(full_body(vec![0; INLINE_LIMIT + 1].into()))));
        assert!(lent.body.as_mut().unwrap().frame().await.is_some());
        drop(lent);
        assert!(kept.again().is_none());
        let (lent, kept) = keep(call(Some(full_body(Bytes::from_static(b"body")))));
        assert!(kept.again().is_none());
        drop(lent);
    }

    #[test]
    fn a_call_without_a_body_is_made_again_as_it_was() {
        let (lent, kept) = keep(call(None));
        let again = kept.again().unwrap();
        assert_eq!((again.id, again.interface), (lent.id, lent.interface));
    }
}

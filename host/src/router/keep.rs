//! Keeping a call so that it can be made once more.
//!
//! Whoever serves a call owns it, its body included. A call that was refused with nothing done may go to another
//! host, so the router keeps what it takes to make it again: parameters are shared memory and cost nothing to keep;
//! a body is lent, and comes back as long as nobody has read from it.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt as _;
use mesh_lattice::{
    Body, CallError, CallId, Caller, Deadline, Interface, Invocation, LinkName, Name, Params, TraceContext,
};
use parking_lot::Mutex;

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
}

enum KeptParams {
    Wire(Bytes),
    Http(Box<http::request::Parts>),
}

type Slot = Arc<Mutex<Option<Body>>>;

/// The call as it goes out, and what is kept of it.
pub(super) fn keep(mut invocation: Invocation) -> (Invocation, Kept) {
    let params = match &invocation.params {
        Params::Wire(bytes) => KeptParams::Wire(bytes.clone()),
        Params::Http(parts) => KeptParams::Http(parts.clone()),
    };
    let body = invocation.body.take().map(|body| Arc::new(Mutex::new(Some(body))));
    invocation.body = body.clone().map(lend);
    let kept = Kept {
        id: invocation.id,
        caller: invocation.caller.clone(),
        link: invocation.link.clone(),
        target: invocation.target.clone(),
        interface: invocation.interface.clone(),
        operation: invocation.operation.clone(),
        params,
        body,
        deadline: invocation.deadline,
        trace: invocation.trace.clone(),
    };
    (invocation, kept)
}

impl Kept {
    /// The same call once more; `None` where somebody has read from its body.
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
        })
    }
}

fn lend(slot: Slot) -> Body {
    Lent { slot, taken: None }.boxed_unsync()
}

/// A body that is still its lender's until it is first read.
struct Lent {
    slot: Slot,
    taken: Option<Body>,
}

impl http_body::Body for Lent {
    type Data = Bytes;
    type Error = CallError;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, CallError>>> {
        let this = self.get_mut();
        if this.taken.is_none() {
            this.taken = this.slot.lock().take();
        }
        match &mut this.taken {
            Some(body) => Pin::new(body).poll_frame(context),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.taken {
            Some(body) => body.is_end_stream(),
            None => self.slot.lock().as_ref().is_none_or(http_body::Body::is_end_stream),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.taken {
            Some(body) => body.size_hint(),
            None => self.slot.lock().as_ref().map_or_else(SizeHint::default, http_body::Body::size_hint),
        }
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
    async fn a_body_that_somebody_read_does_not_come_back() {
        let (mut lent, kept) = keep(call(Some(full_body(Bytes::from_static(b"body")))));
        assert!(lent.body.as_mut().unwrap().frame().await.is_some());
        assert!(kept.again().is_none());
    }

    #[test]
    fn a_call_without_a_body_is_made_again_as_it_was() {
        let (lent, kept) = keep(call(None));
        let again = kept.again().unwrap();
        assert_eq!((again.id, again.interface), (lent.id, lent.interface));
    }
}

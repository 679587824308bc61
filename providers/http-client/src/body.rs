//! The body of an answer, which may not stand still: a server that stops in the middle would hold its reader for ever.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use mesh_lattice::{CallError, Code};
use mesh_provider::Taken;
use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep};

pin_project! {
    /// An answer's body; the provider waits for its end when it drains.
    pub(crate) struct Paced {
        #[pin]
        inner: Incoming,
        #[pin]
        late: Sleep,
        idle: Duration,
        _taken: Taken,
    }
}

impl Paced {
    pub(crate) fn new(inner: Incoming, idle: Duration, taken: Taken) -> Self {
        Self { inner, late: tokio::time::sleep(idle), idle, _taken: taken }
    }
}

impl Body for Paced {
    type Data = Bytes;
    type Error = CallError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, CallError>>> {
        let mut this = self.project();
        if let Poll::Ready(frame) = this.inner.poll_frame(cx) {
            this.late.reset(Instant::now() + *this.idle);
            let lost = |error: hyper::Error| CallError::new(Code::Lost, format!("the answer broke off: {error}"));
            return Poll::Ready(frame.map(|frame| frame.map_err(lost)));
        }
        ready!(this.late.as_mut().poll(cx));
        Poll::Ready(Some(Err(CallError::new(Code::Lost, format!("the answer stood still for {:?}", this.idle)))))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

//! Bodies with a limit on silence, in both directions: what a client sends, and what an actor answers.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use hyper::body::Incoming;
use mesh_lattice::{Body, CallError, Code, invocation::full_body};
use tokio::time::{Instant, Sleep};

use crate::connection::InFlight;

/// The body of a response; its request is over when it is dropped.
pub(crate) type ResponseBody = IdleBody<Body>;

/// A body that fails where it stays silent for too long.
pub(crate) struct IdleBody<B> {
    inner: B,
    timeout: Duration,
    /// Made with the first wait: a body that is there at once costs no timer.
    timer: Option<Pin<Box<Sleep>>>,
    waiting: bool,
    _in_flight: Option<InFlight>,
}

impl IdleBody<Incoming> {
    pub(crate) fn of_request(inner: Incoming, timeout: Duration) -> Self {
        Self { inner, timeout, timer: None, waiting: false, _in_flight: None }
    }
}

impl ResponseBody {
    pub(crate) fn of_response(inner: Body, timeout: Duration, in_flight: InFlight) -> Self {
        Self { inner, timeout, timer: None, waiting: false, _in_flight: Some(in_flight) }
    }

    pub(crate) fn of_bytes(bytes: Bytes, in_flight: InFlight) -> Self {
        Self::of_response(full_body(bytes), Duration::ZERO, in_flight)
    }
}

/// How a failing source of bytes is told to who reads them.
pub(crate) trait Failure {
    fn into_call_error(self) -> CallError;
}

impl Failure for hyper::Error {
    fn into_call_error(self) -> CallError {
        CallError::new(Code::Cancelled, format!("the client's request broke off: {self}"))
    }
}

impl Failure for CallError {
    fn into_call_error(self) -> CallError {
        self
    }
}

impl<B> http_body::Body for IdleBody<B>
where
    B: http_body::Body<Data = Bytes> + Unpin,
    B::Error: Failure,
{
    type Data = Bytes;
    type Error = CallError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, CallError>>> {
        let this = self.get_mut();
        if let Poll::Ready(frame) = Pin::new(&mut this.inner).poll_frame(cx) {
            this.waiting = false;
            return Poll::Ready(frame.map(|frame| frame.map_err(Failure::into_call_error)));
        }
        let until = Instant::now() + this.timeout;
        let timer = this.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(until)));
        if !this.waiting {
            timer.as_mut().reset(until);
            this.waiting = true;
        }
        timer.as_mut().poll(cx).map(|()| {
            Some(Err(CallError::new(Code::Cancelled, "the body stayed silent for too long and was given up")))
        })
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// Whether there is anything to send on.
pub(crate) fn is_empty(body: &Incoming) -> bool {
    body.is_end_stream()
}

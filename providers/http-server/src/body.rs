//! Bodies with limits, in both directions: what a client sends, and what an actor answers.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use hyper::body::Incoming;
use mesh_lattice::{Body, CallError, Code, invocation::full_body};
use tokio::time::{Instant, Sleep};

use crate::{
    connection::{InFlight, streams::Taken, watch::Watch},
    respond::Own,
    uploads::Contention,
};

/// How often a body that is waited for is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// What a body has to bring between two looks while others wait for its place, in bytes.
const LEAST: u64 = 1024;

/// What became of a request's body, for whoever answers the request: a failing call may be the client's own doing.
#[derive(Debug, Clone, Default)]
pub(crate) struct Fate(Arc<AtomicU8>);

/// Why a body has no end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Fault {
    /// Longer than it may be.
    TooLarge = 1,
    /// Silent, or too slow.
    Timeout = 2,
    /// Ended by the client, or malformed.
    Broken = 3,
}

impl Fate {
    fn meet(&self, fault: Fault) -> CallError {
        self.0.store(fault as u8, Ordering::Relaxed);
        match fault {
            Fault::TooLarge => CallError::new(Code::TooLarge, "the request's body is larger than it may be"),
            Fault::Timeout => CallError::new(Code::Cancelled, "the request's body stayed silent or was too slow"),
            Fault::Broken => CallError::new(Code::Cancelled, "the client's request broke off"),
        }
    }

    /// What the client is told where the call failed by this.
    pub(crate) fn told(&self) -> Option<Own> {
        match self.0.load(Ordering::Relaxed) {
            1 => Some(Own::body_too_large()),
            2 => Some(Own::body_timeout()),
            3 => Some(Own::body_broken()),
            _ => None,
        }
    }
}

/// The body of a request, as it comes in.
pub(crate) struct RequestBody {
    inner: Incoming,
    left: u64,
    timeout: Duration,
    watch: Arc<Watch>,
    contention: Contention,
    fate: Fate,
    /// Made with the first wait: a body that is there at once costs no timer.
    timer: Option<Pin<Box<Sleep>>>,
    waits_since: Option<Instant>,
    /// What came since the last look.
    came: u64,
}

impl RequestBody {
    pub(crate) fn new(
        inner: Incoming,
        limit: u64,
        timeout: Duration,
        watch: Arc<Watch>,
        contention: Contention,
        fate: Fate,
    ) -> Self {
        Self { inner, left: limit, timeout, watch, contention, fate, timer: None, waits_since: None, came: 0 }
    }

    fn take(&mut self, frame: Frame<Bytes>) -> Result<Frame<Bytes>, CallError> {
        if let Some(data) = frame.data_ref() {
            let length = data.len() as u64;
            self.came += length;
            self.left = self.left.checked_sub(length).ok_or_else(|| self.fate.meet(Fault::TooLarge))?;
        }
        Ok(frame)
    }

    /// Ready where the body has been waited for too long.
    fn poll_patience(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.watch.body(true);
        let now = Instant::now();
        let since = *self.waits_since.get_or_insert(now);
        let step = self.timeout.min(LOOK);
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(now + step)));
        loop {
            ready!(timer.as_mut().poll(cx));
            let now = Instant::now();
            if now.duration_since(since) >= self.timeout || (self.contention.is_there() && self.came < LEAST) {
                return Poll::Ready(());
            }
            self.came = 0;
            let next = (now + step).min(since + self.timeout);
            timer.as_mut().reset(next);
        }
    }
}

impl http_body::Body for RequestBody {
    type Data = Bytes;
    type Error = CallError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, CallError>>> {
        let this = &mut *self;
        let Poll::Ready(frame) = Pin::new(&mut this.inner).poll_frame(cx) else {
            ready!(this.poll_patience(cx));
            return Poll::Ready(Some(Err(this.fate.meet(Fault::Timeout))));
        };
        this.waits_since = None;
        this.watch.body(false);
        if this.inner.is_end_stream() {
            this.watch.read_to_its_end();
        }
        Poll::Ready(match frame {
            Some(Ok(frame)) => Some(this.take(frame)),
            Some(Err(error)) => {
                tracing::debug!(%error, "a request's body broke off");
                Some(Err(this.fate.meet(Fault::Broken)))
            }
            None => {
                this.watch.read_to_its_end();
                None
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// The body of a response; its request is over when it is dropped.
pub(crate) struct ResponseBody {
    inner: Body,
    /// How long the actor may stay silent.
    timeout: Duration,
    timer: Option<Pin<Box<Sleep>>>,
    waits: bool,
    taken: Option<Arc<Taken>>,
    in_flight: InFlight,
}

impl ResponseBody {
    pub(crate) fn new(inner: Body, timeout: Duration, taken: Option<Arc<Taken>>, mut in_flight: InFlight) -> Self {
        if inner.is_end_stream() {
            in_flight.finish();
        }
        Self { inner, timeout, timer: None, waits: false, taken, in_flight }
    }

    pub(crate) fn of_bytes(bytes: Bytes, in_flight: InFlight) -> Self {
        Self::new(full_body(bytes), Duration::ZERO, None, in_flight)
    }

    fn poll_patience(&mut self, cx: &mut Context<'_>) -> Poll<CallError> {
        let until = Instant::now() + self.timeout;
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(until)));
        if !self.waits {
            timer.as_mut().reset(until);
            self.waits = true;
        }
        timer.as_mut().poll(cx).map(|()| CallError::new(Code::Cancelled, "the answer stayed silent for too long"))
    }
}

impl http_body::Body for ResponseBody {
    type Data = Bytes;
    type Error = CallError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, CallError>>> {
        let this = &mut *self;
        let frame = Pin::new(&mut this.inner).poll_frame(cx);
        if let Some(taken) = &this.taken {
            taken.asked(frame.is_ready());
        }
        let Poll::Ready(frame) = frame else { return this.poll_patience(cx).map(|late| Some(Err(late))) };
        this.waits = false;
        if this.inner.is_end_stream() || !matches!(frame, Some(Ok(_))) {
            this.in_flight.finish();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

//! Bodies on their way between guests and callers, each boxed once.

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::BodyExt as _;
use mesh_lattice::{
    Body, CallError, Code,
    invocation::{empty_body, full_body},
};
use tokio::task::AbortHandle;
use wasmtime_wasi_http::{Error as HttpError, WasiBody, p2::body::HyperOutgoingBody};

use crate::meter::Meter;

/// The body of a request, as the guest reads it.
pub(crate) struct RequestBody {
    body: Option<Body>,
    meter: Arc<Meter>,
}

impl RequestBody {
    pub(super) fn new(body: Option<Body>, meter: &Arc<Meter>) -> Self {
        Self { body, meter: Arc::clone(meter) }
    }
}

impl http_body::Body for RequestBody {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let frame = Pin::new(body).poll_frame(cx).map_err(|error| HttpError::InternalError(Some(error.to_string())));
        if frame.is_ready() {
            self.meter.made_progress();
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

/// The body of a response while its guest is still at work. Dropping it before its end cancels the guest.
pub(super) struct ResponseBody {
    body: HyperOutgoingBody,
    meter: Arc<Meter>,
    rest: Option<AbortHandle>,
}

impl ResponseBody {
    pub(super) fn new(body: HyperOutgoingBody, meter: Arc<Meter>, rest: AbortHandle) -> Self {
        Self { body, meter, rest: Some(rest) }
    }

    pub(super) fn boxed(self) -> Body {
        self.boxed_unsync()
    }
}

impl http_body::Body for ResponseBody {
    type Data = Bytes;
    type Error = CallError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) else { return Poll::Pending };
        self.meter.made_progress();
        Poll::Ready(match frame {
            Some(Ok(frame)) => Some(Ok(frame)),
            Some(Err(error)) => Some(Err(broken(&self.meter, &error))),
            None => {
                // The guest may work on behind its answer; its failure after this is nobody's but its own.
                self.rest = None;
                self.meter.failure().map(|error| Err(error.clone()))
            }
        })
    }
}

impl Drop for ResponseBody {
    fn drop(&mut self) {
        if let Some(rest) = &self.rest {
            rest.abort();
        }
    }
}

/// Why a body broke off: what became of the guest, where that is known.
fn broken(meter: &Meter, error: &HttpError) -> CallError {
    let unknown = || CallError::new(Code::NoAnswer, format!("the guest broke off its body: {error}"));
    meter.failure().cloned().unwrap_or_else(unknown)
}

/// The body of a guest that is done: everything that it wrote is there, so its length is known, which spares the
/// caller the chunks. `None` where it wrote nothing.
pub(super) fn finished(mut body: HyperOutgoingBody, meter: &Arc<Meter>) -> Option<Body> {
    let first = match next(&mut body, meter) {
        Next::Frame(frame) => frame,
        Next::End => return None,
        Next::Later => return Some(Written { frames: VecDeque::new(), tail: Some(body) }.boxed_with(meter)),
    };
    let mut frames = match (next(&mut body, meter), first) {
        (Next::End, Ok(frame)) => match frame.into_data() {
            Ok(data) => return Some(full_body(data)),
            Err(trailers) => VecDeque::from([Ok(trailers)]),
        },
        (Next::End, Err(error)) => VecDeque::from([Err(error)]),
        (Next::Frame(second), first) => VecDeque::from([first, second]),
        (Next::Later, first) => VecDeque::from([first]),
    };
    loop {
        match next(&mut body, meter) {
            Next::Frame(frame) => frames.push_back(frame),
            Next::End => return Some(Written { frames, tail: None }.boxed_with(meter)),
            Next::Later => return Some(Written { frames, tail: Some(body) }.boxed_with(meter)),
        }
    }
}

enum Next {
    Frame(Result<Frame<Bytes>, CallError>),
    End,
    /// The task has done enough for now; the frame itself is there.
    Later,
}

fn next(body: &mut HyperOutgoingBody, meter: &Meter) -> Next {
    match Pin::new(body).poll_frame(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(Some(Ok(frame))) => Next::Frame(Ok(frame)),
        Poll::Ready(Some(Err(error))) => Next::Frame(Err(broken(meter, &error))),
        Poll::Ready(None) => Next::End,
        Poll::Pending => Next::Later,
    }
}

/// Frames that a guest wrote before it was done.
struct Written {
    frames: VecDeque<Result<Frame<Bytes>, CallError>>,
    tail: Option<HyperOutgoingBody>,
}

impl Written {
    fn boxed_with(self, meter: &Arc<Meter>) -> Body {
        WrittenBody { written: self, meter: Arc::clone(meter) }.boxed_unsync()
    }
}

struct WrittenBody {
    written: Written,
    meter: Arc<Meter>,
}

impl http_body::Body for WrittenBody {
    type Data = Bytes;
    type Error = CallError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = &mut *self;
        if let Some(frame) = this.written.frames.pop_front() {
            return Poll::Ready(Some(frame));
        }
        let Some(tail) = &mut this.written.tail else { return Poll::Ready(None) };
        Pin::new(tail).poll_frame(cx).map_err(|error| broken(&this.meter, &error))
    }

    fn is_end_stream(&self) -> bool {
        self.written.frames.is_empty() && self.written.tail.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        let length = |frame: &Result<Frame<Bytes>, CallError>| match frame {
            Ok(frame) => frame.data_ref().and_then(|data| u64::try_from(data.len()).ok()),
            Err(_) => None,
        };
        let whole = match self.written.tail {
            None => self.written.frames.iter().map(length).sum::<Option<u64>>(),
            Some(_) => None,
        };
        whole.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

/// The body of a request that a guest sends.
pub(super) fn from_guest(body: WasiBody) -> Body {
    body.map_err(|error| CallError::new(Code::Cancelled, format!("the caller broke off its body: {error}")))
        .boxed_unsync()
}

/// The body of a response that a guest receives.
pub(super) fn to_guest(body: Option<Body>) -> WasiBody {
    let body = body.unwrap_or_else(empty_body);
    body.map_err(|error| HttpError::InternalError(Some(error.to_string()))).boxed_unsync()
}

//! Calls whose client still sends. A client that sends slowly must not hold an actor's instance while others wait for
//! one, so a call begins when its body is there, if that is small and comes soon; a larger or slower one begins with
//! what there is, but only so many of those run at one time.
//!
//! ```text
//! body ─┬─ all of it is there ──────────────────► call
//!       ├─ more to come, a place is free ───────► call, the rest streams; the place is given up with the body's end
//!       └─ more to come, no place ─► gathered ─┬─► all there, or a place: call
//!                                              └─► too late: 408, or 503 where it was a place that lacked
//! ```
//!
//! While somebody waits for a place, whoever holds one and brings next to nothing loses it.

use std::{
    collections::VecDeque,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::BodyExt as _;
use mesh_lattice::{Body, CallError, Code};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{
    body::{Fate, RequestBody},
    respond::Own,
};

/// What is gathered of a body before its call begins, in bytes.
const GATHERED: usize = 64 << 10;

/// The places of one address.
pub(crate) struct Uploads {
    places: Arc<Semaphore>,
    waiting: Arc<AtomicUsize>,
    /// How long a body may take to be gathered.
    patience: Duration,
}

/// Whether somebody waits for a place.
#[derive(Debug, Clone, Default)]
pub(crate) struct Contention(Arc<AtomicUsize>);

impl Contention {
    pub(crate) fn is_there(&self) -> bool {
        self.0.load(Ordering::Relaxed) > 0
    }
}

/// One who waits.
struct Waits<'a>(&'a AtomicUsize);

impl<'a> Waits<'a> {
    fn new(waiting: &'a AtomicUsize) -> Self {
        waiting.fetch_add(1, Ordering::Relaxed);
        Self(waiting)
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Uploads {
    pub(crate) fn new(places: usize, body_timeout: Duration) -> Self {
        Self {
            places: Arc::new(Semaphore::new(places)),
            waiting: Arc::default(),
            patience: body_timeout.saturating_mul(2),
        }
    }

    pub(crate) fn contention(&self) -> Contention {
        Contention(Arc::clone(&self.waiting))
    }

    /// The body as the call gets it, once the call may begin.
    pub(crate) async fn receive(&self, body: RequestBody, fate: &Fate) -> Result<Body, Own> {
        let mut body = Gathered { frames: VecDeque::new(), bytes: 0, rest: Some(body), _place: None };
        body.gather(fate).await?;
        if body.rest.is_some() {
            // What is on its way within the connection comes with its next turn.
            tokio::task::yield_now().await;
            body.gather(fate).await?;
        }
        if body.rest.is_some() {
            let place = match Arc::clone(&self.places).try_acquire_owned() {
                Ok(place) => Some(place),
                Err(_) => self.wait(&mut body, fate).await?,
            };
            body._place = place;
        }
        Ok(body.boxed_unsync())
    }

    /// A place, or the whole body.
    async fn wait(&self, body: &mut Gathered, fate: &Fate) -> Result<Option<OwnedSemaphorePermit>, Own> {
        let _waits = Waits::new(&self.waiting);
        let mut place = pin!(Arc::clone(&self.places).acquire_owned());
        let mut late = pin!(tokio::time::sleep(self.patience));
        loop {
            let more = body.has_room();
            tokio::select! {
                biased;
                whole = body.next(fate), if more => {
                    if whole? {
                        return Ok(None);
                    }
                }
                place = &mut place => return Ok(place.ok()),
                () = &mut late => {
                    return Err(if more { Own::body_timeout() } else { Own::failed(Code::Busy) });
                }
            }
        }
    }
}

/// A body whose beginning has been gathered.
struct Gathered {
    frames: VecDeque<Frame<Bytes>>,
    bytes: usize,
    rest: Option<RequestBody>,
    _place: Option<OwnedSemaphorePermit>,
}

impl Gathered {
    fn has_room(&self) -> bool {
        self.bytes < GATHERED
    }

    /// Takes what is there.
    async fn gather(&mut self, fate: &Fate) -> Result<(), Own> {
        while self.rest.is_some() && self.has_room() {
            match futures::poll!(pin!(self.next(fate))) {
                Poll::Ready(whole) => _ = whole?,
                Poll::Pending => break,
            }
        }
        Ok(())
    }

    /// Takes one frame; says whether that was all.
    async fn next(&mut self, fate: &Fate) -> Result<bool, Own> {
        let Some(rest) = &mut self.rest else { return Ok(true) };
        match rest.frame().await {
            Some(Ok(frame)) => {
                self.bytes += frame.data_ref().map_or(0, Bytes::len);
                self.frames.push_back(frame);
                if rest.is_end_stream() {
                    self.rest = None;
                }
            }
            Some(Err(_)) => return Err(fate.told().unwrap_or_else(Own::body_broken)),
            None => self.rest = None,
        }
        Ok(self.rest.is_none())
    }
}

impl http_body::Body for Gathered {
    type Data = Bytes;
    type Error = CallError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, CallError>>> {
        if let Some(frame) = self.frames.pop_front() {
            return Poll::Ready(Some(Ok(frame)));
        }
        let Some(rest) = &mut self.rest else { return Poll::Ready(None) };
        let frame = Pin::new(rest).poll_frame(cx);
        if matches!(frame, Poll::Ready(None | Some(Err(_)))) {
            self.rest = None;
            self._place = None;
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.frames.is_empty() && self.rest.as_ref().is_none_or(RequestBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let gathered = self.frames.iter().filter_map(Frame::data_ref).map(|data| data.len() as u64).sum::<u64>();
        let mut hint = self.rest.as_ref().map_or_else(|| SizeHint::with_exact(0), RequestBody::size_hint);
        if let Some(upper) = hint.upper() {
            hint.set_upper(upper.saturating_add(gathered));
        }
        hint.set_lower(hint.lower().saturating_add(gathered));
        hint
    }
}

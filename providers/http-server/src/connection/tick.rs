//! Polling one connection and looking after it: what each tick and each phase of the server means for it.

use std::{
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use hyper::{
    Request, Response,
    body::Incoming,
    server::conn::{http1, http2},
    service::Service,
};
use hyper_util::rt::TokioIo;
use tokio::time::{Instant, Sleep};

use super::{
    Connections, Phase,
    stream::WatchedStream,
    streams::Streams,
    watch::{TICK, Verdict, Watch},
};
use crate::{body::ResponseBody, counters::Reason};

/// How often a connection is looked after while the server stops.
const DRAIN_TICK: Duration = Duration::from_millis(50);

/// A connection of either HTTP.
pub(super) trait Conversation {
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<hyper::Result<()>>;
    /// Ends it once what is being served has been.
    fn finish(self: Pin<&mut Self>);
    /// Whether it says at once that it will end, and still takes what was sent before its client heard of it.
    const SAYS_GOODBYE: bool;
}

impl<S> Conversation for http1::Connection<TokioIo<WatchedStream>, S>
where
    S: Service<Request<Incoming>, Response = Response<ResponseBody>, Error = std::convert::Infallible>,
{
    const SAYS_GOODBYE: bool = false;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<hyper::Result<()>> {
        Future::poll(self, cx)
    }

    fn finish(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

impl<S> Conversation for http2::Connection<TokioIo<WatchedStream>, S, Streams>
where
    S: Service<Request<Incoming>, Response = Response<ResponseBody>, Error = std::convert::Infallible>,
    S::Future: Future<Output = Result<Response<ResponseBody>, std::convert::Infallible>> + Send + 'static,
{
    const SAYS_GOODBYE: bool = true;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<hyper::Result<()>> {
        Future::poll(self, cx)
    }

    fn finish(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

/// Looks after one connection.
pub(super) struct Ticking<'a> {
    connections: &'a Connections,
    watch: &'a Watch,
    tick: Pin<Box<Sleep>>,
    every: Duration,
    /// Whether the connection began when the server was leaving already: it still gets its answer.
    late: bool,
    phase: Phase,
}

impl<'a> Ticking<'a> {
    pub(super) fn new(connections: &'a Connections, watch: &'a Watch) -> Self {
        let phase = connections.phase();
        let tick = Box::pin(tokio::time::sleep(TICK));
        Self { connections, watch, tick, every: TICK, late: phase >= Phase::Leaving, phase: Phase::Open }
    }

    /// Whether the client speaks HTTP/2; `None` where the connection is over.
    pub(super) async fn which(&mut self, stream: &mut WatchedStream) -> Option<bool> {
        poll_fn(|cx| {
            self.watch.waker.register(cx.waker());
            loop {
                if let Poll::Ready(known) = stream.poll_is_http2(cx) {
                    return Poll::Ready(known.ok());
                }
                match std::task::ready!(self.poll_verdict(cx)) {
                    Verdict::Keep => {}
                    Verdict::Cut(reason) => {
                        self.connections.counters.closed(reason);
                        return Poll::Ready(None);
                    }
                    Verdict::Finish(_) | Verdict::End => return Poll::Ready(None),
                }
            }
        })
        .await
    }

    /// Polls the connection to its end.
    pub(super) async fn run<C: Conversation>(&mut self, mut connection: Pin<&mut C>) {
        let mut finished = false;
        poll_fn(|cx| {
            self.watch.waker.register(cx.waker());
            loop {
                if let Poll::Ready(ended) = connection.as_mut().poll(cx) {
                    self.ended(ended);
                    return Poll::Ready(());
                }
                if C::SAYS_GOODBYE && !self.late && !finished && self.connections.phase() != Phase::Open {
                    finished = true;
                    connection.as_mut().finish();
                    continue;
                }
                match std::task::ready!(self.poll_verdict(cx)) {
                    Verdict::Keep => {}
                    Verdict::Finish(reason) => {
                        if let Some(reason) = reason.filter(|_| !finished) {
                            self.connections.counters.closed(reason);
                        }
                        finished = true;
                        connection.as_mut().finish();
                    }
                    Verdict::Cut(reason) => {
                        self.connections.counters.closed(reason);
                        return Poll::Ready(());
                    }
                    Verdict::End => return Poll::Ready(()),
                }
            }
        })
        .await;
    }

    fn poll_verdict(&mut self, cx: &mut Context<'_>) -> Poll<Verdict> {
        if let Some(reason) = self.watch.is_cut() {
            return Poll::Ready(Verdict::Cut(reason));
        }
        let phase = self.connections.phase();
        if phase == Phase::Closed {
            return Poll::Ready(Verdict::Cut(Reason::Drained));
        }
        if phase == Phase::Draining && self.phase != phase {
            self.every = DRAIN_TICK;
            self.tick.as_mut().reset(Instant::now() + self.every);
        }
        self.phase = phase;
        std::task::ready!(self.tick.as_mut().poll(cx));
        self.tick.as_mut().reset(Instant::now() + self.every);
        Poll::Ready(self.watch.tick(self.every, phase == Phase::Draining, &self.connections.patience))
    }

    fn ended(&self, ended: hyper::Result<()>) {
        let Err(error) = ended else { return };
        tracing::debug!(%error, "a connection broke off");
        if error.is_parse() {
            self.connections.counters.closed(Reason::Malformed);
        }
    }
}

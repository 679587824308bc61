//! One subscription of a link to a handler.
//!
//! ```text
//! NATS ─► reader ─┬─ a handler call is free ──► call of the actor, in a task of its own
//!                 ├─ the buffer has room ─────► waits, in order
//!                 └─ neither ─────────────────► dropped and counted
//!
//! reading ── stop ──► draining (what NATS had sent, what waits, what runs) ── all done ──► ended
//!    └──────────────────────┴── cut ──► ended at once; what is left is counted as late
//! ```
//!
//! The reader never waits for a handler, so that NATS never takes it for a slow consumer. A call that found no room is
//! made again until the message is late: it holds one of the calls in flight meanwhile, and the buffer takes what
//! comes.

use std::{collections::VecDeque, num::NonZeroUsize, sync::Arc, time::Duration};

use async_nats::Subscriber;
use futures::StreamExt as _;
use mesh_lattice::{
    Answer, CallError, CallId, Caller, Code, Deadline, Interface, Invocation, LinkName, Name, Params, Serve,
    TraceContext,
    wit::{Outcome, from_wire, to_wire},
};
use mesh_nats::Connection;
use mesh_provider::jitter;
use tokio::{task::JoinSet, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::{
    counters::{Counters, Held, count},
    message::received,
};

/// The most bytes that wait in one subscription.
const PENDING_BYTES: usize = 16 << 20;

/// The first wait before a call that found no room is made again, and the longest.
const AGAIN: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(500));

/// What is late is answered as such by whoever handles it; only where it is not, it is left.
const GRACE: Duration = Duration::from_secs(1);

/// What the calls of a link have in common.
pub(crate) struct Handling {
    pub(crate) caller: Caller,
    pub(crate) target: Name,
    pub(crate) link: LinkName,
    /// Of the two interfaces that handle messages, the one that the link names.
    pub(crate) interface: Interface,
    pub(crate) operation: Arc<str>,
    pub(crate) calls: Arc<dyn Serve>,
    pub(crate) timeout: Duration,
    pub(crate) in_flight: NonZeroUsize,
    pub(crate) pending: usize,
    pub(crate) counters: Arc<Counters>,
    /// Lives as long as something is read from it.
    pub(crate) connection: Arc<Connection>,
}

/// How a subscription is told to end.
#[derive(Clone)]
pub(crate) struct Ending {
    /// Take nothing new, finish what is there in the time that messages have.
    pub(crate) stop: CancellationToken,
    /// Leave it.
    pub(crate) cut: CancellationToken,
}

/// Messages that wait, in the order in which they came.
#[derive(Default)]
struct Waiting {
    messages: VecDeque<(async_nats::Message, Deadline)>,
    bytes: usize,
}

impl Waiting {
    /// Whether there was room.
    fn push(&mut self, message: async_nats::Message, deadline: Deadline, most: usize) -> bool {
        let bytes = self.bytes.saturating_add(message.length);
        let fits = self.messages.len() < most && bytes <= PENDING_BYTES;
        if fits {
            self.bytes = bytes;
            self.messages.push_back((message, deadline));
        }
        fits
    }

    fn pop(&mut self) -> Option<(async_nats::Message, Deadline)> {
        let (message, deadline) = self.messages.pop_front()?;
        self.bytes = self.bytes.saturating_sub(message.length);
        Some((message, deadline))
    }
}

/// One subscription, as its task has it.
struct Desk {
    handling: Arc<Handling>,
    subscriber: Subscriber,
    waiting: Waiting,
    running: JoinSet<()>,
    reading: bool,
    told_to_stop: bool,
    /// When all that it had when it was told to stop is late.
    until: Instant,
}

/// Reads and handles, to its end.
pub(crate) async fn run(subscriber: Subscriber, handling: Arc<Handling>, ending: Ending) {
    let mut desk = Desk {
        handling,
        subscriber,
        waiting: Waiting::default(),
        running: JoinSet::new(),
        reading: true,
        told_to_stop: false,
        until: Instant::now(),
    };
    while desk.reading || !desk.running.is_empty() || !desk.waiting.messages.is_empty() {
        tokio::select! {
            biased;
            () = ending.cut.cancelled() => break,
            () = ending.stop.cancelled(), if !desk.told_to_stop => desk.stop().await,
            Some(ended) = desk.running.join_next() => desk.ended(ended.is_err()),
            message = desk.subscriber.next(), if desk.reading => desk.take(message),
            () = tokio::time::sleep_until(desk.until), if desk.told_to_stop => break,
        }
    }
    desk.leave();
}

impl Desk {
    /// The server is told to send nothing more; the stream ends behind what it had sent.
    async fn stop(&mut self) {
        self.told_to_stop = true;
        self.until = Instant::now() + self.handling.timeout + GRACE;
        if let Err(error) = self.subscriber.drain().await {
            tracing::debug!(%error, "a subscription cannot be drained: its connection is gone");
            self.reading = false;
        }
    }

    fn take(&mut self, message: Option<async_nats::Message>) {
        let Some(message) = message else {
            self.reading = false;
            return;
        };
        let deadline = Deadline::after(self.handling.timeout);
        if self.running.len() < self.handling.in_flight.get() {
            self.start(message, deadline);
        } else if self.waiting.push(message, deadline, self.handling.pending) {
            count(&self.handling.counters.pending);
        } else {
            count(&self.handling.counters.full);
        }
    }

    fn ended(&mut self, broken: bool) {
        if broken {
            tracing::error!(target = %self.handling.target, "the handling of a message broke off");
            count(&self.handling.counters.failed);
        }
        if let Some((message, deadline)) = self.waiting.pop() {
            self.handling.counters.pending.fetch_sub(1, std::sync::atomic::Ordering::Relaxed);
            self.start(message, deadline);
        }
    }

    fn start(&mut self, message: async_nats::Message, deadline: Deadline) {
        let handling = Arc::clone(&self.handling);
        self.running.spawn(async move { handling.handle(message, deadline).await });
    }

    /// Counts what nobody will handle.
    fn leave(mut self) {
        while self.waiting.pop().is_some() {
            self.handling.counters.pending.fetch_sub(1, std::sync::atomic::Ordering::Relaxed);
            count(&self.handling.counters.late);
        }
    }
}

impl Handling {
    async fn handle(&self, message: async_nats::Message, deadline: Deadline) {
        let _held = Held::new(&self.counters.in_flight);
        if deadline.has_passed() {
            return count(&self.counters.late);
        }
        let subject = message.subject.clone();
        let (message, trace) = received(message);
        let result = match to_wire(&(message,)) {
            Ok(params) => self.call(&params, trace, deadline).await,
            Err(error) => Err(error),
        };
        match result {
            Ok(Outcome::Ok(())) => count(&self.counters.handled),
            Ok(Outcome::Err(message)) => {
                count(&self.counters.refused);
                tracing::debug!(%subject, target = %self.target, "a handler refuses a message: {message}");
            }
            Err(error) => {
                count(&self.counters.failed);
                tracing::debug!(%subject, target = %self.target, "a message was not handled: {error}");
            }
        }
    }

    /// Calls the handler, once more wherever it has certainly not begun for want of room.
    async fn call(
        &self,
        params: &bytes::Bytes,
        trace: Option<TraceContext>,
        deadline: Deadline,
    ) -> Result<Outcome<(), String>, CallError> {
        let mut attempt = 0;
        loop {
            let invocation = Invocation {
                id: CallId::new(),
                caller: self.caller.clone(),
                link: self.link.clone(),
                target: Some(self.target.clone()),
                interface: self.interface.clone(),
                operation: Arc::clone(&self.operation),
                params: Params::Wire(params.clone()),
                body: None,
                deadline,
                trace: trace.clone(),
                pin: None,
                from: None,
            };
            let error = match self.calls.serve(invocation).await {
                Ok(reply) => return read(reply.answer),
                Err(error) => error,
            };
            let no_room = matches!(error.code, Code::Busy | Code::Unavailable);
            let wait = jitter::backoff(attempt, AGAIN.0, AGAIN.1);
            if !no_room || deadline.remaining() <= wait {
                return Err(error);
            }
            tokio::time::sleep(wait).await;
            attempt += 1;
        }
    }
}

fn read(answer: Answer) -> Result<Outcome<(), String>, CallError> {
    match answer {
        Answer::Wire(bytes) => from_wire(&bytes),
        Answer::Http(_) => Err(CallError::new(Code::Internal, "an HTTP answer to a message")),
    }
}

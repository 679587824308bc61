//! Where one connection stands, and what its limits make of it. Pure but for the atomics: time comes in with each tick.
//!
//! ```text
//! Fresh ─ first byte ─► Reading ─ head complete ─► Serving ─ response sent ─► Idle ─ first byte ─► Reading
//!   │ header_timeout       │ header_timeout           │ write_timeout           │ idle_timeout
//!   ▼                      ▼                          ▼                         ▼
//!  cut                    cut                        cut                       finished
//! ```
//!
//! An HTTP/2 connection is Serving while a request is open and Idle otherwise: its pings and windows are no requests.

use std::{
    cmp::Reverse,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};

use futures::task::AtomicWaker;

use crate::{counters::Reason, limits::Limits};

/// How often a connection is looked after.
pub(crate) const TICK: Duration = Duration::from_millis(500);

/// How long a connection that was told to end may take to do so where nothing is open on it, and how long one that was
/// refused may take to hear why.
const LINGER: u32 = 1_000;

/// The limits in milliseconds. Time is counted in ticks, so what is measured may be one tick longer than what was.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    head: u32,
    idle: u32,
    write: u32,
    resets: u32,
}

impl Patience {
    pub(crate) fn new(limits: &Limits) -> Self {
        let millis = |limit: Duration| u32::try_from((limit + TICK).as_millis()).unwrap_or(u32::MAX);
        Self {
            head: millis(limits.header_timeout),
            idle: millis(limits.idle_timeout),
            write: millis(limits.write_timeout),
            resets: limits.max_resets,
        }
    }
}

/// A connection that was asked something just now may be asked the next thing before its client has heard that the
/// server leaves: it is read from for so long.
const BREATH: u32 = 200;

/// What a connection is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Stage {
    /// Nothing has come yet.
    Fresh = 0,
    /// A head has begun.
    Reading = 1,
    /// A request is open.
    Serving = 2,
    /// Between two requests.
    Idle = 3,
    /// Closed on this side, and still read from so that the client gets to see the last answer.
    Lingering = 4,
}

/// What a tick comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Keep,
    /// Close once what is being served has been.
    Finish(Option<Reason>),
    /// Close now.
    Cut(Reason),
    /// It has been closed for long enough.
    End,
}

/// Where a connection stands; written by its socket and its requests, read by its tick and by whoever needs its place.
pub(crate) struct Watch {
    pub(super) waker: AtomicWaker,
    stage: AtomicU8,
    http2: AtomicBool,
    /// Requests that are open.
    open: AtomicU32,
    /// Requests that the client took back, less those that it let finish.
    resets: AtomicU32,
    most_resets: u32,
    /// Milliseconds by the ticks.
    now: AtomicU32,
    /// When the stage began.
    since: AtomicU32,
    /// When the client stopped taking what is sent, plus one; 0 where it does take it.
    stalled: AtomicU32,
    /// When a request's body began to be waited for, plus one; 0 where none is.
    body: AtomicU32,
    /// Whether a request has begun that was not read to its end.
    unread: AtomicBool,
    /// Why it has to go at once, plus one.
    cut: AtomicU8,
    peer: IpAddr,
}

impl Watch {
    pub(crate) fn new(peer: IpAddr, patience: &Patience) -> Arc<Self> {
        Arc::new(Self {
            waker: AtomicWaker::new(),
            stage: AtomicU8::new(Stage::Fresh as u8),
            http2: AtomicBool::new(false),
            open: AtomicU32::new(0),
            resets: AtomicU32::new(0),
            most_resets: patience.resets,
            now: AtomicU32::new(0),
            since: AtomicU32::new(0),
            stalled: AtomicU32::new(0),
            body: AtomicU32::new(0),
            unread: AtomicBool::new(false),
            cut: AtomicU8::new(0),
            peer,
        })
    }

    pub(crate) fn stage(&self) -> Stage {
        match self.stage.load(Relaxed) {
            _ if self.http2.load(Relaxed) && self.open.load(Relaxed) > 0 => Stage::Serving,
            0 => Stage::Fresh,
            1 => Stage::Reading,
            2 => Stage::Serving,
            3 => Stage::Idle,
            _ => Stage::Lingering,
        }
    }

    pub(super) fn enter(&self, stage: Stage) {
        self.since.store(self.now.load(Relaxed), Relaxed);
        self.stage.store(stage as u8, Relaxed);
    }

    /// The client speaks HTTP/2.
    pub(super) fn is_http2(&self) {
        self.enter(Stage::Idle);
        self.http2.store(true, Relaxed);
    }

    /// Bytes came in.
    pub(super) fn read(&self) {
        match self.stage() {
            // A head that begins with the connection has the time from its opening.
            Stage::Fresh => self.stage.store(Stage::Reading as u8, Relaxed),
            Stage::Idle if !self.http2.load(Relaxed) => self.enter(Stage::Reading),
            _ => return,
        }
        self.unread.store(true, Relaxed);
    }

    /// Bytes went out, or did not.
    pub(super) fn written(&self, taken: bool) {
        if taken {
            self.stalled.store(0, Relaxed);
        } else if self.stalled.load(Relaxed) == 0 {
            self.stalled.store(self.now.load(Relaxed).saturating_add(1), Relaxed);
        }
    }

    /// A request's body is waited for, or has moved.
    pub(crate) fn body(&self, waits: bool) {
        let since = if waits { self.now.load(Relaxed).saturating_add(1) } else { 0 };
        if !waits || self.body.load(Relaxed) == 0 {
            self.body.store(since, Relaxed);
        }
    }

    /// The request that was begun has been read to its end.
    pub(crate) fn read_to_its_end(&self) {
        self.unread.store(false, Relaxed);
    }

    /// Whether closing now could take the last answer away from the client: what it still sends would be answered with
    /// a reset, which overtakes what it has not read.
    pub(super) fn has_to_linger(&self) -> bool {
        self.unread.load(Relaxed) && !self.http2.load(Relaxed)
    }

    /// A request begins; its end is the drop of what this returns.
    pub(crate) fn begin(self: &Arc<Self>) -> InFlight {
        self.open.fetch_add(1, Relaxed);
        if !self.http2.load(Relaxed) {
            self.enter(Stage::Serving);
        }
        InFlight { watch: Arc::clone(self), finished: false }
    }

    fn end(&self, finished: bool) {
        if !self.http2.load(Relaxed) {
            self.open.store(0, Relaxed);
            self.body(false);
            self.enter(Stage::Idle);
            return;
        }
        if self.open.fetch_sub(1, Relaxed) == 1 {
            self.since.store(self.now.load(Relaxed), Relaxed);
        }
        if finished {
            let _ = self.resets.fetch_update(Relaxed, Relaxed, |resets| resets.checked_sub(1));
        } else if self.resets.fetch_add(1, Relaxed) >= self.most_resets {
            self.cut(Reason::Resets);
        }
    }

    /// Closes the connection as soon as its task sees it.
    pub(crate) fn cut(&self, reason: Reason) {
        self.cut.store(reason as u8 + 1, Relaxed);
        self.waker.wake();
    }

    /// Whether it has to go at once, and why. One that began a request while its place was being taken keeps it.
    pub(super) fn is_cut(&self) -> Option<Reason> {
        match self.cut.load(Relaxed) {
            0 => None,
            reason if reason == Reason::Resets as u8 + 1 => Some(Reason::Resets),
            _ if self.claim().is_none() => {
                self.cut.store(0, Relaxed);
                None
            }
            _ => Some(Reason::Evicted),
        }
    }

    fn age(&self, since: u32) -> u32 {
        self.now.load(Relaxed).saturating_sub(since)
    }

    /// Time has passed. `leaving` says that the server stops and reads no more from who asks nothing.
    pub(super) fn tick(&self, passed: Duration, leaving: bool, limits: &Patience) -> Verdict {
        let passed = u32::try_from(passed.as_millis()).unwrap_or(u32::MAX);
        self.now.fetch_add(passed, Relaxed);
        let age = self.age(self.since.load(Relaxed));
        let stalled = self.stalled.load(Relaxed);
        if stalled > 0 && self.age(stalled - 1) > limits.write {
            return Verdict::Cut(Reason::Write);
        }
        match self.stage() {
            Stage::Fresh | Stage::Reading if age > limits.head => Verdict::Cut(Reason::Header),
            Stage::Lingering if age > LINGER => Verdict::End,
            Stage::Idle if age > limits.idle.saturating_add(LINGER) => Verdict::Cut(Reason::Idle),
            Stage::Idle if age > limits.idle => Verdict::Finish(Some(Reason::Idle)),
            // Its client may be sending the first request just then.
            Stage::Fresh if leaving && age > LINGER => Verdict::Finish(None),
            Stage::Idle if leaving && age <= BREATH && !self.http2.load(Relaxed) => Verdict::Keep,
            Stage::Idle | Stage::Serving if leaving => Verdict::Finish(None),
            _ => Verdict::Keep,
        }
    }

    /// How readily its place is given to another: less is sooner; `None` while it is made good use of.
    pub(crate) fn claim(&self) -> Option<Claim> {
        let waits = |at: u32| at > 0 && self.age(at - 1) >= 500;
        let (stalled, body) = (self.stalled.load(Relaxed), self.body.load(Relaxed));
        let (rank, since) = match self.stage() {
            Stage::Fresh | Stage::Reading | Stage::Lingering => (0, self.since.load(Relaxed)),
            Stage::Serving if waits(body) => (1, body - 1),
            _ if waits(stalled) => (2, stalled - 1),
            Stage::Idle => (3, self.since.load(Relaxed)),
            Stage::Serving => return None,
        };
        Some(Claim { rank, peer: neighbourhood(self.peer), age: self.age(since) })
    }
}

/// What a connection has to say for its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Claim {
    rank: u8,
    peer: IpAddr,
    age: u32,
}

impl Claim {
    pub(crate) fn peer(&self) -> IpAddr {
        self.peer
    }

    /// The order in which places are taken: by rank, then from whoever has most, then from who has waited longest.
    pub(crate) fn order(&self, of_this_peer: usize) -> (u8, Reverse<usize>, Reverse<u32>) {
        (self.rank, Reverse(of_this_peer), Reverse(self.age))
    }
}

/// One peer: an address, or the network that one IPv6 customer has.
fn neighbourhood(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(peer) => {
            let [a, b, c, d, ..] = peer.segments();
            IpAddr::from([a, b, c, d, 0, 0, 0, 0])
        }
        peer => peer,
    }
}

/// A request that is being served.
pub(crate) struct InFlight {
    watch: Arc<Watch>,
    finished: bool,
}

impl InFlight {
    /// Its answer has gone out to the end: the client did not take it back.
    pub(crate) fn finish(&mut self) {
        self.finished = true;
    }

    pub(crate) fn watch(&self) -> &Arc<Watch> {
        &self.watch
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.watch.end(self.finished);
    }
}

#[cfg(test)]
mod tests;

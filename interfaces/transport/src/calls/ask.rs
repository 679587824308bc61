//! One call to one boot: the copies that are sent of it, and what is waited for.
//!
//! ```text
//! copy ─► wait ─┬─► Reply                              the answer; its streams live on in the bodies
//!               ├─► Busy for every copy, or for good   nothing was done
//!               ├─► "no responders" for every copy     no proof by itself: `doubt.rs`
//!               ├─► Accepted: in good hands; asked after now and then, in case the reply was lost
//!               ├─► silence ─► the same id again, newly sealed, with growing gaps ── or elsewhere, if the caller may
//!               ├─► our connection came back ─► the same id again at once
//!               ├─► Lost: three pings unanswered, or a new boot
//!               └─► the deadline
//! ```
//!
//! Each copy says until when the callee may begin it: twice the gap to the next copy, so that one of them is always in
//! time, and none begins long after the call was given up. A copy that is not the first goes to the callee's `io`: it
//! may belong to a call already taken, which a draining host still answers.

use std::{pin::pin, sync::Arc, time::Duration};

use mesh_lattice::{
    clock::{Deadline, Monotonic},
    frame::Frame,
    id::CallId,
    invocation::{CallError, Code},
};
use tokio::{
    sync::{oneshot, watch},
    time::{Instant, Sleep, sleep},
};

use super::{
    Leave, Node, count,
    doubt::Doubt,
    outbox::Sealed,
    outgoing::{Answered, OpenCall, Outgoing},
    source::{Sending, Source},
    unsealed,
};
use crate::{
    connect::Health,
    session::{Class, Session},
};

/// What each stream of a reply may send before it is given more.
const REPLY_CREDIT: u64 = 64 << 10;

/// The longest gap between two copies of a call that nothing was heard of.
const LONGEST_GAP: Duration = Duration::from_secs(2);

/// A call that was accepted is asked after this much later, then after twice that, and so on up to four times.
const ACCEPTED_GAP: Duration = Duration::from_secs(1);

/// What is sent, possibly several times.
pub(super) struct Prepared {
    pub(super) id: CallId,
    pub(super) deadline: Deadline,
    /// The call and what travels in its frame.
    pub(super) frame: Frame,
    pub(super) length: usize,
    pub(super) source: Source,
    pub(super) http: bool,
}

/// How long to wait for something before the next copy.
struct Gaps {
    silence: Duration,
    turn: u32,
    accepted_turn: u32,
    /// Up to an eighth more, so that what began together does not go on together.
    jitter: f64,
}

impl Gaps {
    fn new(silence: Duration, id: CallId) -> Self {
        let jitter = 1.0 + f64::from(u8::try_from(id.0.as_u128() & 0xff).unwrap_or(0)) / 2_048.0;
        Self { silence, turn: 0, accepted_turn: 0, jitter }
    }

    fn next(&mut self, accepted: bool) -> Duration {
        let (first, turn, longest) = if accepted {
            (ACCEPTED_GAP, &mut self.accepted_turn, 4 * ACCEPTED_GAP)
        } else {
            (self.silence, &mut self.turn, LONGEST_GAP.max(self.silence))
        };
        let gap = first.saturating_mul(1 << (*turn).min(8)).min(longest);
        *turn += 1;
        gap.mul_f64(self.jitter)
    }
}

/// What ended a wait.
enum Woken {
    Answered(Answered),
    /// Time for the next copy, or the deadline.
    Timer,
    /// Our own connection came back.
    Back,
    /// It is said of every copy that nobody listened.
    Doubted,
}

/// Our own connection, watched from the first silence on.
struct Line {
    health: watch::Receiver<Health>,
    epoch: u64,
}

impl Line {
    fn watch(node: &Node) -> Self {
        let health = node.connections.health();
        let epoch = health.borrow().data_epoch;
        Self { health, epoch }
    }

    /// Returns once the connection came up again.
    async fn back(&mut self) {
        let epoch = self.epoch;
        let up = self.health.wait_for(|health| health.data_up && health.data_epoch != epoch).await;
        let up = up.map(|health| health.data_epoch).ok();
        match up {
            Some(epoch) => self.epoch = epoch,
            None => std::future::pending().await,
        }
    }
}

/// A call that is being asked for.
pub(super) struct Asking<'a> {
    pub(super) node: &'a Arc<Node>,
    pub(super) open: OpenCall,
    prepared: &'a mut Prepared,
    leave: Leave<'a>,
    reply_credit: u64,
    gaps: Gaps,
    line: Option<Line>,
    pub(super) doubt: Doubt,
    /// When the first copy was sent.
    pub(super) since: Monotonic,
    /// After this the callee begins no copy of it any more; `None` where it was not told when to.
    pub(super) over: Option<Monotonic>,
}

impl Node {
    /// Makes a call of one boot, until there is an answer or certainty that there will be none.
    pub(super) async fn ask(
        self: &Arc<Self>,
        session: &Arc<Session>,
        prepared: &mut Prepared,
        leave: Leave<'_>,
    ) -> Result<(Answered, OpenCall), CallError> {
        let reply_credit = self.budget.take_ahead(2 * REPLY_CREDIT) / 2;
        let (call, answer) = Outgoing::new(session, &self.budget, reply_credit);
        let asking = Asking {
            node: self,
            open: OpenCall::open(self, prepared.id, call),
            leave,
            reply_credit,
            gaps: Gaps::new(session.life.silence(), prepared.id),
            prepared,
            line: None,
            doubt: Doubt::None,
            since: Monotonic::now(),
            over: Some(Monotonic(0)),
        };
        asking.run(answer).await
    }

    fn note_silence(&self, session: &Session) {
        if !session.life.is_silent() {
            tracing::debug!(host = %session.peer, "a host is silent");
        }
        session.life.fall_silent();
        count(&self.counters.silent);
    }

    /// Sends the streams of a call beside it, until they or the call are over.
    fn upload(self: &Arc<Self>, open: &OpenCall, source: Source) {
        let call = Arc::clone(&open.call);
        let sending = Sending { node: Arc::clone(self), session: Arc::clone(&call.session), id: open.id };
        self.tasks.spawn_on(async move { source.send(&sending, &call.leaves).await }, &self.work);
    }
}

impl Asking<'_> {
    async fn run(mut self, mut answer: oneshot::Receiver<Answered>) -> Result<(Answered, OpenCall), CallError> {
        let gap = self.gaps.next(false);
        if let Err(error) = self.send_copy(Class::Call, 2 * gap).await {
            if error.code != Code::Unavailable {
                return Err(error);
            }
            self.watch_line();
        }
        let mut timer = pin!(sleep(self.bounded(gap)));
        loop {
            let next = match self.wait(&mut answer, timer.as_mut()).await? {
                Woken::Answered(answered) => return Ok((answered, self.open)),
                _ if self.prepared.deadline.remaining() < Duration::from_millis(1) => {
                    return Err(unanswered(self.open.call.is_accepted()));
                }
                Woken::Doubted => self.begin_to_doubt().await?,
                Woken::Timer if matches!(self.doubt, Doubt::Asked | Doubt::Waiting) => {
                    self.go_on_doubting(&mut answer).await?
                }
                woken => self.go_on(matches!(woken, Woken::Timer)).await?,
            };
            match next {
                Next::Wait(wait) => timer.as_mut().reset(Instant::now() + self.bounded(wait)),
                Next::Answered(answered) => return Ok((answered, self.open)),
            }
        }
    }

    /// Nothing came for a while, or our own connection came back: sends another copy, or gives the call up here.
    async fn go_on(&mut self, waited: bool) -> Result<Next, CallError> {
        let accepted = self.open.call.is_accepted();
        self.watch_line();
        if waited && accepted && self.gaps.accepted_turn == 0 {
            // What was waited for was a sign of life, and it came.
            return Ok(Next::Wait(self.gaps.next(true)));
        }
        if waited && !accepted && self.node.connections.data_up() {
            self.node.note_silence(&self.open.call.session);
            self.try_to_leave()?;
        }
        let gap = self.gaps.next(accepted);
        let sent = self.node.connections.data_up() && self.send_again(2 * gap).await;
        Ok(Next::Wait(if sent { gap } else { LONGEST_GAP }))
    }

    /// Gives the call up where it may run twice and can be made elsewhere.
    pub(super) fn try_to_leave(&self) -> Result<(), CallError> {
        if !(self.leave)() {
            return Ok(());
        }
        count(&self.node.counters.left);
        Err(CallError::new(Code::Lost, "the host did not answer; whether the call ran is unknown"))
    }

    /// Waits for the answer, the timer or the connection; lets the streams of the call begin with the first credit.
    async fn wait(
        &mut self,
        answer: &mut oneshot::Receiver<Answered>,
        mut timer: std::pin::Pin<&mut Sleep>,
    ) -> Result<Woken, CallError> {
        loop {
            let (open, source) = (&self.open, &mut self.prepared.source);
            tokio::select! {
                biased;
                answered = &mut *answer => {
                    let answered = answered.map_err(|_| ended())?;
                    // Where the answer overtakes the first credit, the callee may still read on.
                    if matches!(answered, Answered::Reply(..)) && !source.is_empty() {
                        self.node.upload(open, std::mem::take(source));
                    }
                    return Ok(Woken::Answered(answered));
                }
                () = open.call.credited(), if !source.is_empty() => {
                    self.node.upload(open, std::mem::take(source));
                }
                () = open.call.doubted(), if self.doubt.is_none() => return Ok(Woken::Doubted),
                () = timer.as_mut() => return Ok(Woken::Timer),
                () = back(&mut self.line), if self.line.is_some() => return Ok(Woken::Back),
            }
        }
    }

    fn watch_line(&mut self) {
        let node = self.node;
        self.line.get_or_insert_with(|| Line::watch(node));
    }

    fn bounded(&self, wait: Duration) -> Duration {
        wait.min(self.prepared.deadline.remaining())
    }

    /// Sends one more copy, which the callee may begin within `window`; whether it is on its way.
    pub(super) async fn send_again(&mut self, window: Duration) -> bool {
        count(&self.node.counters.resent);
        self.send_copy(Class::Io, window).await.is_ok()
    }

    async fn send_copy(&mut self, class: Class, window: Duration) -> Result<(), CallError> {
        let (node, session, now) = (self.node, Arc::clone(&self.open.call.session), Monotonic::now());
        let limit = session.limit(now, window);
        if let Frame::Call(call, _) = &mut self.prepared.frame {
            call.sent = now;
            call.start_by = limit.map(|limit| limit.theirs);
            call.reply_credit = self.reply_credit;
        }
        let sealed = session.seal(class, &self.prepared.frame, self.prepared.length).ok_or_else(unsealed)?;
        if sealed.len() > session.max_frame {
            return Err(CallError::new(Code::TooLarge, "the head of the call is too large"));
        }
        let Some(copy) = self.open.call.begin_copy() else { return Ok(()) };
        session.life.ask(now);
        if copy == 0 {
            self.since = now;
        }
        let call = self.prepared.id;
        let copied = Sealed { session: Arc::clone(&session), class, call, copy: Some(copy), bytes: sealed };
        let sent = node.post(copied).await;
        match &sent {
            Ok(()) => self.over = self.over.zip(limit).map(|(over, limit)| over.max(limit.ours)),
            Err(_) => self.open.call.take_back_copy(),
        }
        if session.is_reading_old(now) && now.since(session.life.pinged()) > session.life.silence() {
            node.ping(&session, now);
        }
        sent
    }
}

/// What comes after something was waited for.
pub(super) enum Next {
    Wait(Duration),
    Answered(Answered),
}

async fn back(line: &mut Option<Line>) {
    match line {
        Some(line) => line.back().await,
        None => std::future::pending().await,
    }
}

pub(super) fn ended() -> CallError {
    CallError::new(Code::Lost, "calls have ended on this host")
}

fn unanswered(accepted: bool) -> CallError {
    let words = if accepted {
        "the host that took the call did not answer before the deadline"
    } else {
        "there was no answer before the deadline; whether the call ran is unknown"
    };
    CallError::new(Code::DeadlineExceeded, words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_grow_to_a_bound_and_begin_anew_where_the_call_was_accepted() {
        let mut gaps = Gaps::new(Duration::from_millis(250), CallId(uuid::Uuid::nil()));
        let taken: Vec<_> = (0..5).map(|_| gaps.next(false).as_millis()).collect();
        assert_eq!(taken, [250, 500, 1_000, 2_000, 2_000]);
        let taken: Vec<_> = (0..4).map(|_| gaps.next(true).as_millis()).collect();
        assert_eq!(taken, [1_000, 2_000, 4_000, 4_000]);
        let mut other = Gaps::new(Duration::from_millis(250), CallId(uuid::Uuid::max()));
        let gap = other.next(false);
        assert!(gap > Duration::from_millis(275) && gap < Duration::from_millis(285), "{gap:?}");
    }
}

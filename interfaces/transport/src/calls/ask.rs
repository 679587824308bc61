//! One call to one boot: the copies that are sent of it, and what is waited for.
//!
//! ```text
//! copy ─► wait ─┬─► Reply                              the answer; its streams live on in the bodies
//!               ├─► Busy or "no responders" for every copy   nothing was done
//!               ├─► Accepted: in good hands; asked after now and then, in case the reply was lost
//!               ├─► silence ─► the same id again, newly sealed, with growing gaps ── or elsewhere, if the caller may
//!               ├─► our connection came back ─► the same id again at once
//!               ├─► Lost: three pings unanswered, or a new boot
//!               └─► the deadline
//! ```
//!
//! A copy that is not the first goes to the callee's `io`: it may belong to a call already taken, which a draining
//! host still answers.

use std::{pin::pin, sync::Arc, time::Duration};

use mesh_lattice::{
    clock::{Deadline, Monotonic},
    frame::Frame,
    id::CallId,
    invocation::{CallError, Code},
    subject,
};
use tokio::{
    sync::{oneshot, watch},
    time::{Instant, sleep},
};

use super::{
    Leave, Node, count,
    credit::LEAST,
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

impl Node {
    /// Makes a call of one boot, until there is an answer or certainty that there will be none.
    pub(super) async fn ask(
        self: &Arc<Self>,
        session: &Arc<Session>,
        prepared: &mut Prepared,
        leave: Leave<'_>,
    ) -> Result<(Answered, OpenCall), CallError> {
        let reply_credit = self.budget.take(2 * REPLY_CREDIT, LEAST) / 2;
        let (call, mut answer) = Outgoing::new(session, &self.budget, reply_credit);
        let open = OpenCall::open(self, prepared.id, call);
        let mut gaps = Gaps::new(session.life.silence(), prepared.id);
        let mut line = None;
        if let Err(error) = self.send_copy(&open, prepared, reply_credit, Class::Call).await {
            if error.code != Code::Unavailable {
                return Err(error);
            }
            line = Some(Line::watch(self));
        }
        let mut timer = pin!(sleep(gaps.next(false).min(prepared.deadline.remaining())));
        loop {
            let woken = self.wait(&open, &mut answer, prepared, timer.as_mut(), &mut line).await?;
            if let Woken::Answered(answered) = woken {
                return Ok((answered, open));
            }
            let accepted = open.call.is_accepted();
            if prepared.deadline.remaining() < Duration::from_millis(1) {
                return Err(unanswered(accepted));
            }
            if accepted && gaps.accepted_turn == 0 && matches!(woken, Woken::Timer) {
                // What was waited for was a sign of life, and it came.
                timer.as_mut().reset(Instant::now() + gaps.next(true).min(prepared.deadline.remaining()));
                line.get_or_insert_with(|| Line::watch(self));
                continue;
            }
            if !accepted && matches!(woken, Woken::Timer) && self.connections.data_up() {
                self.note_silence(session);
                if leave() {
                    count(&self.counters.left);
                    return Err(CallError::new(Code::Lost, "the host did not answer; whether the call ran is unknown"));
                }
            }
            line.get_or_insert_with(|| Line::watch(self));
            let sent = self.connections.data_up() && {
                count(&self.counters.resent);
                self.send_copy(&open, prepared, reply_credit, Class::Io).await.is_ok()
            };
            let gap = if sent { gaps.next(open.call.is_accepted()) } else { LONGEST_GAP };
            timer.as_mut().reset(Instant::now() + gap.min(prepared.deadline.remaining()));
        }
    }

    /// Waits for the answer, the timer or the connection; lets the streams of the call begin with the first credit.
    async fn wait(
        self: &Arc<Self>,
        open: &OpenCall,
        answer: &mut oneshot::Receiver<Answered>,
        prepared: &mut Prepared,
        mut timer: std::pin::Pin<&mut tokio::time::Sleep>,
        line: &mut Option<Line>,
    ) -> Result<Woken, CallError> {
        loop {
            tokio::select! {
                biased;
                answered = &mut *answer => {
                    let answered = answered.map_err(|_| CallError::new(Code::Lost, "calls have ended on this host"))?;
                    // Where the answer overtakes the first credit, the callee may still read on.
                    if matches!(answered, Answered::Reply(..)) && !prepared.source.is_empty() {
                        self.upload(open, std::mem::take(&mut prepared.source));
                    }
                    return Ok(Woken::Answered(answered));
                }
                () = open.call.credited(), if !prepared.source.is_empty() => {
                    self.upload(open, std::mem::take(&mut prepared.source));
                }
                () = timer.as_mut() => return Ok(Woken::Timer),
                () = back(line), if line.is_some() => return Ok(Woken::Back),
            }
        }
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

    async fn send_copy(
        &self,
        open: &OpenCall,
        prepared: &mut Prepared,
        reply_credit: u64,
        class: Class,
    ) -> Result<(), CallError> {
        let session = &open.call.session;
        if let Frame::Call(call, _) = &mut prepared.frame {
            call.sent = Monotonic::now();
            call.reply_credit = reply_credit;
        }
        let sealed = session.seal(class, &prepared.frame, prepared.length).ok_or_else(unsealed)?;
        if sealed.len() > session.max_frame {
            return Err(CallError::new(Code::TooLarge, "the head of the call is too large"));
        }
        let to = match class {
            Class::Call => session.call_subject.clone(),
            Class::Io => session.io_subject(prepared.id).into(),
        };
        let reply = subject::io(&self.identity.lattice, &self.identity.host, self.identity.boot, prepared.id);
        if !open.call.begin_copy() {
            return Ok(());
        }
        let sent = self.post(to, Some(reply.into()), sealed).await;
        if sent.is_err() {
            open.call.take_back_copy();
        }
        sent
    }
}

async fn back(line: &mut Option<Line>) {
    match line {
        Some(line) => line.back().await,
        None => std::future::pending().await,
    }
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

//! A call of ours that is open: how many copies of it are on their way, where its answer goes, and its streams.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use bytes::Bytes;
use mesh_lattice::{
    frame::{Cancel, Frame, Lane, Load, ReplyHead},
    id::CallId,
    invocation::{CallError, Code},
};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::{
    Node,
    credit::{Budget, Leave},
    lane::Receiver,
};
use crate::session::Session;

/// A call of ours that waits for its answer or its streams.
pub(super) struct Outgoing {
    pub(super) session: Arc<Session>,
    waiting: Mutex<Waiting>,
    /// The callee said that it has the call.
    accepted: AtomicBool,
    /// How far the streams of the call may go.
    pub(super) leaves: [Leave; 2],
    downloads: Mutex<Downloads>,
    budget: Arc<Budget>,
}

/// Who waits for the answer, and what a refusal of it proves.
struct Waiting {
    answer: Option<oneshot::Sender<Answered>>,
    /// How often the call was sent, and how often that was answered "not by me": only where both are the same has
    /// certainly nothing been done.
    copies: u32,
    refused: u32,
}

/// What the streams of the reply bring: made when the reply's head comes, before their first byte.
#[derive(Default)]
struct Downloads {
    lanes: [Option<Arc<Receiver>>; 2],
    /// The credit that each of the two was given ahead; 0 once it is used or given back.
    ahead: u64,
}

/// What came back.
pub(super) enum Answered {
    Reply(Box<ReplyHead>, Bytes),
    /// No room: nothing was done.
    Busy(Load),
    /// The server says that nobody listens where the call went: nothing was done.
    Gone,
    /// There will be no answer.
    Lost(CallError),
}

/// Keeps a call open; when it goes before the call is finished, the callee is told.
pub(super) struct OpenCall {
    node: Arc<Node>,
    pub(super) call: Arc<Outgoing>,
    pub(super) id: CallId,
    finished: bool,
}

impl Outgoing {
    /// A call through `session` whose reply's streams may each send `ahead` before they are given more; twice that has
    /// been taken from the budget.
    pub(super) fn new(
        session: &Arc<Session>,
        budget: &Arc<Budget>,
        ahead: u64,
    ) -> (Arc<Self>, oneshot::Receiver<Answered>) {
        let (answer, answered) = oneshot::channel();
        let call = Self {
            session: Arc::clone(session),
            waiting: Mutex::new(Waiting { answer: Some(answer), copies: 0, refused: 0 }),
            accepted: AtomicBool::new(false),
            leaves: Default::default(),
            downloads: Mutex::new(Downloads { ahead, ..Downloads::default() }),
            budget: Arc::clone(budget),
        };
        (Arc::new(call), answered)
    }

    pub(super) fn belongs_to(&self, session: &Session) -> bool {
        self.session.id == session.id
    }

    /// Counts one more copy; `false` where the answer is there already and none may follow.
    pub(super) fn begin_copy(&self) -> bool {
        let mut waiting = self.waiting.lock();
        let unanswered = waiting.answer.is_some();
        waiting.copies += u32::from(unanswered);
        unanswered
    }

    /// The copy that was counted last was not sent after all.
    pub(super) fn take_back_copy(&self) {
        let mut waiting = self.waiting.lock();
        waiting.copies = waiting.copies.saturating_sub(1);
    }

    /// Whether anybody may have the call.
    pub(super) fn may_have_run(&self) -> bool {
        let waiting = self.waiting.lock();
        waiting.copies > waiting.refused
    }

    /// The callee has the call, and answers later.
    pub(super) fn accept(&self) {
        self.accepted.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_accepted(&self) -> bool {
        self.accepted.load(Ordering::Relaxed)
    }

    /// Hands the reply over; the streams that it announces can be filled from now on.
    pub(super) fn reply(&self, head: Box<ReplyHead>, bytes: Bytes) {
        let mut waiting = self.waiting.lock();
        let Some(answer) = waiting.answer.take() else { return };
        self.announce(&head);
        let _ = answer.send(Answered::Reply(head, bytes));
    }

    fn announce(&self, head: &ReplyHead) {
        let mut downloads = self.downloads.lock();
        let ahead = std::mem::take(&mut downloads.ahead);
        let [value, body] = &mut downloads.lanes;
        for (lane, announced) in [(value, head.value_bytes.is_some()), (body, head.body)] {
            if announced && lane.is_none() {
                *lane = Some(Receiver::new(&self.budget, ahead));
            } else {
                self.budget.give(ahead);
            }
        }
    }

    /// One copy of the call was not taken. With several on their way that says nothing of the others.
    pub(super) fn refused(&self, why: Answered) {
        let mut waiting = self.waiting.lock();
        waiting.refused += 1;
        if waiting.refused >= waiting.copies
            && !self.is_accepted()
            && let Some(answer) = waiting.answer.take()
        {
            let _ = answer.send(why);
        }
    }

    /// Ends the call without an answer, streams included; whether that was still open.
    pub(super) fn lose(&self, error: &CallError) -> bool {
        let answer = self.waiting.lock().answer.take();
        let mut lost = answer.is_some_and(|answer| answer.send(Answered::Lost(error.clone())).is_ok());
        for receiver in self.downloads.lock().lanes.iter().flatten() {
            lost |= receiver.fail(error.clone());
        }
        for leave in &self.leaves {
            leave.close();
        }
        lost
    }

    /// Lets the call fail: nobody reads for it any more.
    pub(super) fn abandon(&self) {
        self.lose(&CallError::new(Code::Lost, "calls have ended on this host"));
    }

    pub(super) fn download(&self, lane: Lane) -> Option<Arc<Receiver>> {
        let downloads = self.downloads.lock();
        let [value, body] = &downloads.lanes;
        match lane {
            Lane::Value => value.clone(),
            Lane::Body => body.clone(),
        }
    }

    pub(super) fn leave(&self, lane: Lane) -> &Leave {
        let [value, body] = &self.leaves;
        match lane {
            Lane::Value => value,
            Lane::Body => body,
        }
    }

    /// Returns once a stream of the call may begin.
    pub(super) async fn credited(&self) {
        let [value, body] = &self.leaves;
        tokio::select! {
            _ = value.beyond(0) => {}
            _ = body.beyond(0) => {}
        }
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        self.budget.give(2 * self.downloads.get_mut().ahead);
    }
}

impl OpenCall {
    /// Puts the call into the table.
    pub(super) fn open(node: &Arc<Node>, id: CallId, call: Arc<Outgoing>) -> Self {
        call.session.life.call_opened();
        node.outgoing.insert(id, Arc::clone(&call));
        Self { node: Arc::clone(node), call, id, finished: false }
    }

    /// The call is over: nobody needs to be told.
    pub(super) fn finish(mut self) {
        self.finished = true;
    }
}

impl Drop for OpenCall {
    fn drop(&mut self) {
        self.call.session.life.call_closed();
        self.node.outgoing.remove(self.id);
        for leave in &self.call.leaves {
            leave.close();
        }
        if !self.finished && self.call.may_have_run() {
            self.node.send_now(&self.call.session, self.id, &Frame::Cancel(Cancel { id: self.id }));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::tests::pair;

    fn call() -> (Arc<Outgoing>, oneshot::Receiver<Answered>) {
        Outgoing::new(&pair().0, &Arc::new(Budget::default()), 0)
    }

    #[test]
    fn a_refusal_counts_once_every_copy_was_refused() {
        let (call, mut answered) = call();
        assert!(call.begin_copy() && call.begin_copy());
        call.refused(Answered::Gone);
        assert!(answered.try_recv().is_err(), "the other copy may run");
        assert!(call.may_have_run());
        call.refused(Answered::Busy(Load(1)));
        assert!(matches!(answered.try_recv(), Ok(Answered::Busy(_))));
        assert!(!call.may_have_run() && !call.begin_copy());
    }

    #[test]
    fn what_was_accepted_is_not_refused_by_what_comes_later() {
        let (call, mut answered) = call();
        call.begin_copy();
        call.accept();
        call.refused(Answered::Gone);
        assert!(answered.try_recv().is_err());
        assert!(call.lose(&CallError::new(Code::Lost, "")));
        assert!(matches!(answered.try_recv(), Ok(Answered::Lost(_))));
        assert!(!call.lose(&CallError::new(Code::Lost, "")), "it was lost before");
    }
}

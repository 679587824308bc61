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
use tokio::sync::{Notify, oneshot};

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
    /// Told where the server says of every copy that nobody listened.
    doubted: Notify,
    /// How far the streams of the call may go.
    pub(super) leaves: [Leave; 2],
    downloads: Mutex<Downloads>,
    budget: Arc<Budget>,
}

/// Who waits for the answer, and what a refusal of it proves.
struct Waiting {
    answer: Option<oneshot::Sender<Answered>>,
    /// How often the call was sent, and how often the callee answered "not by me": only where both are the same has
    /// certainly nothing been done.
    copies: u32,
    refused: u32,
    /// The copies of which the server, or whoever speaks in its name, said that nobody listened: a bit for each.
    unheard: u64,
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
    /// The boot takes no new calls, and has not taken this one: nothing was done.
    Leaving,
    /// The boot is gone, and went without the call.
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
            waiting: Mutex::new(Waiting { answer: Some(answer), copies: 0, refused: 0, unheard: 0 }),
            accepted: AtomicBool::new(false),
            doubted: Notify::new(),
            leaves: Default::default(),
            downloads: Mutex::new(Downloads { ahead, ..Downloads::default() }),
            budget: Arc::clone(budget),
        };
        (Arc::new(call), answered)
    }

    pub(super) fn belongs_to(&self, session: &Session) -> bool {
        self.session.id == session.id
    }

    /// Counts one more copy and says which one it is; `None` where the answer is there already and none may follow.
    pub(super) fn begin_copy(&self) -> Option<u32> {
        let mut waiting = self.waiting.lock();
        waiting.answer.as_ref()?;
        waiting.copies += 1;
        Some(waiting.copies - 1)
    }

    /// The copy that was counted last was not sent after all.
    pub(super) fn take_back_copy(&self) {
        let mut waiting = self.waiting.lock();
        waiting.copies = waiting.copies.saturating_sub(1);
    }

    /// Somebody says that nobody listened where this copy went. Anyone who may publish can say so: it proves nothing by
    /// itself, see `doubt.rs`.
    pub(super) fn doubt(&self, copy: u32) {
        let mut waiting = self.waiting.lock();
        waiting.unheard |= 1u64.checked_shl(copy).unwrap_or(0);
        if waiting.is_doubted() {
            self.doubted.notify_one();
        }
    }

    /// Whether that was said of every copy.
    pub(super) fn is_doubted(&self) -> bool {
        !self.is_accepted() && self.waiting.lock().is_doubted()
    }

    /// Returns once it was said of every copy.
    pub(super) async fn doubted(&self) {
        self.doubted.notified().await;
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
        self.budget.settle_ahead(2 * ahead);
        let [value, body] = &mut downloads.lanes;
        for (lane, announced) in [(value, head.value_bytes.is_some()), (body, head.body)] {
            if announced && lane.is_none() {
                *lane = Some(Receiver::new(&self.budget, ahead));
            } else {
                self.budget.give(ahead);
            }
        }
    }

    /// The callee did not take one copy of the call. With several on their way that says nothing of the others, unless
    /// it is `firm` about all of them.
    pub(super) fn refused(&self, load: Load, firm: bool) {
        let mut waiting = self.waiting.lock();
        waiting.refused += 1;
        if (firm || waiting.refused >= waiting.copies)
            && !self.is_accepted()
            && let Some(answer) = waiting.answer.take()
        {
            waiting.refused = waiting.copies;
            let _ = answer.send(if firm { Answered::Leaving } else { Answered::Busy(load) });
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

impl Waiting {
    fn is_doubted(&self) -> bool {
        let all = 1u64.checked_shl(self.copies).map_or(u64::MAX, |bit| bit - 1);
        self.copies > 0 && self.unheard & all == all
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        let ahead = 2 * self.downloads.get_mut().ahead;
        self.budget.settle_ahead(ahead);
        self.budget.give(ahead);
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
        assert_eq!((call.begin_copy(), call.begin_copy()), (Some(0), Some(1)));
        call.refused(Load(2), false);
        assert!(answered.try_recv().is_err(), "the other copy may run");
        assert!(call.may_have_run());
        call.refused(Load(1), false);
        assert!(matches!(answered.try_recv(), Ok(Answered::Busy(_))));
        assert!(!call.may_have_run() && call.begin_copy().is_none());
    }

    #[test]
    fn a_firm_refusal_is_one_of_every_copy() {
        let (call, mut answered) = call();
        call.begin_copy();
        call.begin_copy();
        call.refused(Load(1), true);
        assert!(matches!(answered.try_recv(), Ok(Answered::Leaving)));
        assert!(!call.may_have_run(), "nobody needs to be told that it is not wanted any more");
    }

    #[test]
    fn what_was_accepted_is_not_refused_by_what_comes_later() {
        let (call, mut answered) = call();
        call.begin_copy();
        call.accept();
        call.refused(Load(1), true);
        call.doubt(0);
        assert!(answered.try_recv().is_err() && !call.is_doubted());
        assert!(call.lose(&CallError::new(Code::Lost, "")));
        assert!(matches!(answered.try_recv(), Ok(Answered::Lost(_))));
        assert!(!call.lose(&CallError::new(Code::Lost, "")), "it was lost before");
    }

    #[test]
    fn doubt_answers_nothing_and_is_complete_only_with_every_copy() {
        let (call, mut answered) = call();
        assert!(!call.is_doubted());
        for copy in 0..3 {
            assert_eq!(call.begin_copy(), Some(copy));
        }
        call.doubt(1);
        call.doubt(1);
        call.doubt(2);
        call.doubt(90);
        assert!(!call.is_doubted(), "the first copy may have been taken");
        call.doubt(0);
        assert!(call.is_doubted() && answered.try_recv().is_err());
        call.begin_copy();
        assert!(!call.is_doubted() && call.may_have_run());
    }
}

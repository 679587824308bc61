//! A call of ours that is open: where its answer goes, and its streams.

use std::sync::Arc;

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
    answer: Mutex<Option<oneshot::Sender<Answered>>>,
    /// How far the streams of the call may go.
    pub(super) leaves: [Leave; 2],
    downloads: Mutex<Downloads>,
    budget: Arc<Budget>,
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
    Busy(Load),
    /// The server says that nobody listens where the call went.
    Gone,
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
            answer: Mutex::new(Some(answer)),
            leaves: Default::default(),
            downloads: Mutex::new(Downloads { ahead, ..Downloads::default() }),
            budget: Arc::clone(budget),
        };
        (Arc::new(call), answered)
    }

    pub(super) fn belongs_to(&self, session: &Session) -> bool {
        self.session.id == session.id
    }

    /// Hands the answer over; the streams that it announces can be filled from now on.
    pub(super) fn answered(&self, answered: Answered) {
        if let Answered::Reply(head, _) = &answered {
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
        if let Some(waiting) = self.answer.lock().take() {
            let _ = waiting.send(answered);
        }
    }

    /// Lets the call fail: nobody reads for it any more.
    pub(super) fn abandon(&self) {
        drop(self.answer.lock().take());
        for receiver in self.downloads.lock().lanes.iter().flatten() {
            receiver.fail(CallError::new(Code::Lost, "calls have ended on this host"));
        }
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
        self.node.outgoing.remove(self.id);
        for leave in &self.call.leaves {
            leave.close();
        }
        if !self.finished {
            self.node.send_now(&self.call.session, self.id, &Frame::Cancel(Cancel { id: self.id }));
        }
    }
}

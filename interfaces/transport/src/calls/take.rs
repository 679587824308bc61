//! What is done with a call that another host sent.
//!
//! It passes these questions in order; the first "no" ends it. Can its answer still be of use? Is its host enrolled
//! now? Was its id taken before? Is it early enough to be begun? Is there room? May its caller make it? Nothing is kept
//! of a call that is not taken: asked again, it is judged again.
//!
//! A call whose id was taken before is answered as before and never runs again. A host that drains refuses for good
//! what it is asked for a second time and did not take: its caller goes elsewhere, so the first copy, should it still
//! come, must not run.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use mesh_lattice::{
    clock::Monotonic,
    frame::{Accepted, Busy, Call, Frame},
    id::CallId,
    invocation::{CallError, Code},
};

use super::{
    count,
    inbound::Reader,
    memory::{LONGEST, Recalled},
    served::{Incoming, Taken},
};
use crate::{
    refusals::{About, Kind, Reason},
    session::{Class, Session},
};

/// Which copy of a call came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Copy {
    First,
    /// Its caller heard nothing of the ones before.
    Again,
}

impl Reader {
    pub(super) fn judge_call(&self, session: Arc<Session>, call: Call, bytes: Bytes, copy: Copy) {
        let (node, now) = (&self.node, Monotonic::now());
        session.note_clock(call.sent, now);
        let longest = now.plus(Duration::from_secs(LONGEST));
        let deadline = session.map(call.deadline).sooner(mesh_lattice::Deadline(longest));
        if now >= deadline.0 {
            count(&node.counters.expired);
            return node.refusals.note(Kind::Call, Reason::Late, About::default());
        }
        if !node.policy.is_enrolled(&session.peer) {
            count(&node.counters.refused);
            node.refusals.note(Kind::Call, Reason::Unenrolled, About::call(&session.peer, &call));
            return self.refuse(&session, call.id, CallError::new(Code::Unauthenticated, "the host is not enrolled"));
        }
        match node.memory.recall(call.id, &session.peer, now) {
            Recalled::New => {}
            Recalled::Full => return self.busy(&session, call.id, false),
            known => return self.repeat(&session, call.id, known),
        }
        if is_late(&call, now) {
            count(&node.counters.expired);
            return node.refusals.note(Kind::Call, Reason::Late, About::default());
        }
        // Whoever drains takes nothing new; a first copy was on its way before the subscription ended.
        if copy == Copy::Again && *node.draining.borrow() {
            node.memory.refuse(call.id, &session.peer, deadline, now);
            return self.busy(&session, call.id, true);
        }
        if node.incoming.len() >= node.in_flight {
            return self.busy(&session, call.id, false);
        }
        if let Err(error) = self.admit.admit(&session.peer, &call) {
            count(&node.counters.refused);
            return self.refuse(&session, call.id, error);
        }
        node.memory.keep(call.id, &session.peer, deadline, now);
        count(&node.counters.taken);
        let incoming = Incoming::new(node, &session, &call);
        node.incoming.insert(call.id, Arc::clone(&incoming));
        let serve = Arc::clone(&self.serve);
        let taken = Taken { node: Arc::clone(node), session, call, bytes, deadline, serve };
        node.tasks.spawn_on(taken.run(incoming), &node.work);
    }

    fn busy(&self, session: &Arc<Session>, id: CallId, firm: bool) {
        count(&self.node.counters.busy);
        let busy = Busy { id, load: self.node.load(), firm };
        self.node.send_now(session, id, &Frame::Busy(busy));
    }

    /// Says what was said before.
    fn repeat(&self, session: &Arc<Session>, id: CallId, known: Recalled) {
        let node = &self.node;
        count(&node.counters.repeated);
        match known {
            Recalled::Said(reply) => node.post_now(session, id, session.seal_encoded(Class::Io, &reply)),
            Recalled::Taken => node.send_now(session, id, &Frame::Accepted(Accepted { id })),
            Recalled::Over => {
                count(&node.counters.reply_lost);
                let error = CallError::new(Code::ReplyLost, "the call ran, and its reply cannot be sent again");
                self.refuse(session, id, error);
            }
            Recalled::Refused => self.busy(session, id, true),
            Recalled::Foreign => node.refusals.note(Kind::Call, Reason::Duplicate, About::host(&session.peer)),
            Recalled::New | Recalled::Full => {}
        }
    }
}

/// Whether the caller goes by it that this copy is not begun any more.
pub(super) fn is_late(call: &Call, now: Monotonic) -> bool {
    call.start_by.is_some_and(|start_by| now > start_by)
}

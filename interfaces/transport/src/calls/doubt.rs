//! What a "no responders" is worth.
//!
//! The server says it where nobody listens, at once; but so can anybody who may publish, and a call that runs must not be
//! made a second time because of that. So it only begins a check that the boot itself decides, if it lives:
//!
//! ```text
//! every copy "no responders" ─► the same id to `io`, and a ping ─┬─► a frame of the boot   it lives: what it says counts
//!                                                                └─► nothing, soon ─► Hello
//!   Hello ─┬─► this boot answers       it lives: the call goes on as after silence
//!          ├─► another boot answers    gone
//!          └─► nobody answers ─► wait until the callee begins no copy any more ─► gone
//! ```
//!
//! Gone it is only where not one frame of the boot came since the first copy was sent. Whoever forges has to forge for
//! every copy and for the Hello too, and gains something only where the boot, having begun the call, dies in that very
//! moment, before it sealed one more frame for us. A host that is killed is left after half a second at the latest by
//! the few calls that were on their way to it; new ones avoid it from the first "no responders" on.

use std::time::Duration;

use mesh_lattice::{clock::Monotonic, invocation::CallError};
use tokio::sync::oneshot;

use super::{
    ask::{Asking, Next, ended},
    outgoing::Answered,
};

/// How far the check has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Doubt {
    /// There is none.
    None,
    /// The boot was asked on `io`, and has to answer soon.
    Asked,
    /// Nobody answers: only time can tell.
    Waiting,
    /// The boot lives, whatever is said.
    Refuted,
}

impl Doubt {
    /// Whether a "no responders" is of interest.
    pub(super) fn is_none(self) -> bool {
        self == Self::None
    }
}

impl Asking<'_> {
    /// Nobody listened to any copy, as it is said: asks the boot itself.
    pub(super) async fn begin_to_doubt(&mut self) -> Result<Next, CallError> {
        if !self.open.call.is_doubted() {
            return Ok(Next::Wait(self.open.call.session.life.silence()));
        }
        self.try_to_leave()?;
        self.doubt = Doubt::Asked;
        let left = self.begins_within();
        if self.node.connections.data_up() {
            self.send_again(left).await;
            self.node.ping(&self.open.call.session, Monotonic::now());
        }
        Ok(Next::Wait(self.open.call.session.life.soon()))
    }

    /// The boot had time to answer.
    pub(super) async fn go_on_doubting(&mut self, answer: &mut oneshot::Receiver<Answered>) -> Result<Next, CallError> {
        match self.doubt {
            Doubt::Asked if self.is_unheard() => self.greet(answer).await,
            Doubt::Waiting if self.is_gone() => Ok(Next::Answered(Answered::Gone)),
            _ => {
                self.doubt = Doubt::Refuted;
                Ok(Next::Wait(self.open.call.session.life.silence()))
            }
        }
    }

    /// Asks whether the host has this boot, another one or none.
    async fn greet(&mut self, answer: &mut oneshot::Receiver<Answered>) -> Result<Next, CallError> {
        let session = &self.open.call.session;
        session.life.fall_silent();
        let found = tokio::select! {
            biased;
            answered = answer => return Ok(Next::Answered(answered.map_err(|_| ended())?)),
            found = self.node.boot_of(&session.peer) => found,
        };
        if found == Some(session.peer_boot) {
            self.doubt = Doubt::Refuted;
            return Ok(Next::Wait(session.life.silence()));
        }
        self.node.sessions.retire(session);
        if found.is_some() && self.is_unheard() {
            return Ok(Next::Answered(Answered::Gone));
        }
        self.doubt = Doubt::Waiting;
        Ok(Next::Wait(self.begins_within() + Duration::from_millis(1)))
    }

    /// Whether the boot went without the call: it begins no copy any more, and nothing of it came since the first.
    fn is_gone(&self) -> bool {
        self.is_unheard() && self.over.is_some_and(|over| Monotonic::now() > over)
    }

    fn is_unheard(&self) -> bool {
        self.open.call.is_doubted() && self.open.call.session.life.is_unheard_since(self.since)
    }

    /// How long the callee may still begin a copy that was sent.
    fn begins_within(&self) -> Duration {
        self.over.map_or(Duration::ZERO, |over| over.since(Monotonic::now()))
    }
}

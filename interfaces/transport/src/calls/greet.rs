//! The way to a host: the connection, and the session that it is called through.
//!
//! ```text
//! connected? ─no─► waited for, to the deadline ─► session? ─no─► hello, once for all who wait ─► session
//!                                                    │             └─ no answer: away for a while
//!                                                    └─► owes an answer? ─► a sign of life, or hello
//! ```
//!
//! What is sent to a host that is cut off may have run; what is not sent has not. So while a host owes an answer for too
//! long, new calls wait for a sign of it.

use std::{sync::Arc, time::Duration};

use async_nats::client::RequestErrorKind;
use mesh_lattice::{
    clock::{Deadline, Monotonic},
    frame::Frame,
    id::{BootId, HostId},
    invocation::{CallError, Code},
    subject,
};
use tokio::time::{Instant, sleep, timeout};

use super::{Node, disconnected, sessions::Known, unsealed};
use crate::{
    refusals::{About, Kind},
    session::Session,
};

/// How long a host may take to answer a Hello.
const HELLO_TIMEOUT: Duration = Duration::from_secs(1);

/// A host that did not answer a Hello is not asked again before this.
const SILENT_PAUSE: Duration = Duration::from_secs(2);

/// Where nobody listens, somebody may soon: asking costs one round trip to the server.
pub(super) const GONE_PAUSE: Duration = Duration::from_millis(100);

/// A silent host is asked for a sign of life this often, however many calls wait for it.
const ASK_AGAIN: Duration = Duration::from_millis(20);

/// A session that is silent is followed by a new one, and that is that.
const ATTEMPTS: u32 = 2;

impl Node {
    /// Waits until our own connection is up; a bounded number of calls may.
    async fn connected(&self, deadline: Deadline) -> Result<(), CallError> {
        if self.connections.data_up() {
            return Ok(());
        }
        let Ok(_permit) = self.waiting.try_acquire() else {
            return Err(CallError::new(Code::Busy, "too many calls wait for the connection to the lattice"));
        };
        let mut health = self.connections.health();
        let up = Box::pin(timeout(deadline.remaining(), health.wait_for(|health| health.data_up))).await;
        if matches!(up, Ok(Ok(_))) { Ok(()) } else { Err(disconnected()) }
    }

    /// The session that `host` is called through, as soon as there can be one: after an outage of the server others may
    /// come back a moment after us.
    pub(super) async fn reach(self: &Arc<Self>, host: &HostId, deadline: Deadline) -> Result<Arc<Session>, CallError> {
        loop {
            self.connected(deadline).await?;
            match self.session(host).await {
                Err(error)
                    if error.code == Code::Unavailable
                        && !self.connections.settled()
                        && deadline.remaining() > GONE_PAUSE =>
                {
                    let Ok(_permit) = self.waiting.try_acquire() else { return Err(error) };
                    sleep(GONE_PAUSE).await;
                }
                reached => return reached,
            }
        }
    }

    /// The same, and its other end is awake as far as can be told: nothing is sent to a host that says nothing.
    pub(super) async fn reach_awake(
        self: &Arc<Self>,
        host: &HostId,
        deadline: Deadline,
    ) -> Result<Arc<Session>, CallError> {
        for _ in 0..ATTEMPTS {
            let session = self.reach(host, deadline).await?;
            if !session.life.is_doubtful(Monotonic::now) || Box::pin(self.gives_sign(&session, deadline)).await {
                return Ok(session);
            }
            // Its next boot, if it has one, answers a Hello.
            self.sessions.retire(&session);
        }
        Err(CallError::new(Code::Unavailable, format!("{host} is silent; nothing was sent to it")))
    }

    async fn gives_sign(&self, session: &Arc<Session>, deadline: Deadline) -> bool {
        let Ok(_permit) = self.waiting.try_acquire() else { return false };
        let (life, now) = (&session.life, Monotonic::now());
        if now.since(life.pinged()) > ASK_AGAIN {
            self.ping(session, now);
        }
        let heard = life.sign(life.silence().min(deadline.remaining())).await;
        if !heard {
            life.fall_silent();
        }
        heard
    }

    /// The session that `host` is called through; the first caller makes it, the others wait for that.
    pub(super) async fn session(self: &Arc<Self>, host: &HostId) -> Result<Arc<Session>, CallError> {
        if !self.policy.is_enrolled(host) {
            return Err(CallError::new(Code::Unauthenticated, format!("{host} is not a host of this lattice")));
        }
        let known = self.sessions.host(host);
        let current = known.current();
        match current.get() {
            Some(session) => Ok(Arc::clone(session)),
            None => Box::pin(current.get_or_try_init(|| self.greet(host, &known))).await.map(Arc::clone),
        }
    }

    /// Asks a host for a session, unless it is known to be away: of many callers who wait, the first one's failure is
    /// that of all.
    async fn greet(self: &Arc<Self>, host: &HostId, known: &Known) -> Result<Arc<Session>, CallError> {
        if known.is_away() {
            return Err(CallError::new(Code::Unavailable, format!("{host} did not answer a moment ago")));
        }
        let greeted = self.shake_hands(host).await;
        match &greeted {
            Ok(session) => {
                known.come_back();
                self.sessions.keep(session, Instant::now());
            }
            Err(failed) => known.stay_away(if failed.gone { GONE_PAUSE } else { SILENT_PAUSE }),
        }
        greeted.map_err(|failed| CallError::new(Code::Unavailable, format!("no session with {host}: {}", failed.what)))
    }

    /// Asks a host for a session; nothing is kept of it yet.
    async fn shake_hands(self: &Arc<Self>, host: &HostId) -> Result<Arc<Session>, Failed> {
        let asked = self.identity.ask(host, self.max_frame()).map_err(|error| Failed::of(&error))?;
        let question = Frame::Hello(Box::new(asked.hello().clone())).encode();
        let sent = asked.hello().clock;
        let started = Instant::now();
        let request = self.client.request(subject::hello(&self.identity.lattice, host), question.into());
        let message = match timeout(HELLO_TIMEOUT, request).await {
            Ok(Ok(message)) => message,
            Ok(Err(error)) => {
                return Err(Failed { gone: error.kind() == RequestErrorKind::NoResponders, what: error.to_string() });
            }
            Err(_) => return Err(Failed::of(&"it did not answer")),
        };
        let Ok(Frame::Hello(answer)) = Frame::decode(&message.payload) else {
            return Err(Failed::of(&"its answer cannot be read"));
        };
        let enrolled = |host: &HostId| self.policy.is_enrolled(host);
        let (peer, keys) = asked.finish(&answer, enrolled).map_err(|error| {
            self.refusals.note(Kind::Hello, error.reason(), About::hello(&answer));
            Failed::of(&error)
        })?;
        let session =
            Session::new(&self.identity.lattice, peer, &keys).ok_or_else(|| Failed::of(&unsealed().message))?;
        session.life.note_round_trip(started.elapsed());
        session.note_reading(sent, answer.clock, Monotonic::now());
        Ok(session)
    }

    /// The boot of a host that answers now; asked once for all who ask at the same time. The session that this makes is
    /// not used: there is one already, and its peer keeps no more than a few.
    pub(super) async fn boot_of(self: &Arc<Self>, host: &HostId) -> Option<BootId> {
        let (known, since) = (self.sessions.host(host), Instant::now());
        let mut seen = known.seen.lock().await;
        if let Some((answered, boot)) = *seen
            && answered >= since
        {
            return boot;
        }
        let boot = self.shake_hands(host).await.ok().map(|session| session.peer_boot);
        *seen = Some((Instant::now(), boot));
        boot
    }
}

/// Why there is no session.
struct Failed {
    /// The server says that nobody listens there.
    gone: bool,
    what: String,
}

impl Failed {
    fn of(what: &dyn std::fmt::Display) -> Self {
        Self { gone: false, what: what.to_string() }
    }
}

//! Whether the hosts that hold calls of ours still live.
//!
//! A session with open calls is pinged every [`EVERY`]. A ping that nothing answered until the next one is a miss: the
//! host takes no new calls where another one can. [`MISSES`] of them while our own connection is up, or the first one
//! where a new boot of that host has been seen, end the session's open calls with `lost`: whether they ran is unknown.
//! A silent host is pinged on, so that it is known when it is back; after [`GIVE_UP`] the session is let go of.
//!
//! Seconds of streams may wait in front of a ping on a slow line. So from the first miss on the host is asked beside the
//! calls too, over the connection of leases, and answers only while its own connection of calls is up. That it lives
//! keeps its calls from being lost, for [`PATIENCE`] at most, also where it is the way that is broken; it is as silent
//! as before, because what says nothing of the way of the calls is no reason to send more of them there.
//!
//! The same beat ends what is open with hosts that are revoked. Their sessions stay until they are silent: what still
//! comes through them is refused, and counted, by their name.
//!
//! After our own connection was away nothing is counted for as long as the other end may need to come back to the
//! server itself.

use std::{collections::HashMap, sync::Arc, time::Duration};

use async_nats::Subscriber;
use futures::StreamExt as _;
use mesh_lattice::{
    clock::Monotonic,
    frame::{Frame, Ping},
    invocation::{CallError, Code},
};
use tokio::time::{MissedTickBehavior, interval};

use super::{Node, count};
use crate::session::{Class, Rejected, Session, SessionId};

/// Sessions with open calls are pinged this often.
pub(super) const EVERY: Duration = Duration::from_millis(500);

/// So many pings in a row without anything from the other end, and its calls are lost.
pub(super) const MISSES: u32 = 3;

/// So many while the host is known to live, and they are lost all the same: a line on which nothing comes for half a
/// minute brings nothing.
const PATIENCE: u32 = 60;

/// So many, and nobody asks after it any more.
const GIVE_UP: u32 = 120;

/// A sealed ping is smaller than this: nothing else is worth opening on the connection of leases.
const LARGEST: usize = 256;

/// What is known of one session's pings.
#[derive(Debug, Default)]
struct Pulse {
    pinged: bool,
    misses: u32,
}

/// What a beat brought to light.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Beat {
    Alive,
    Missed,
    Lost,
    GivenUp,
}

impl Pulse {
    /// One beat; a ping follows it. `counting`: our own connection has been up for long enough to tell.
    fn beat(&mut self, heard: bool, lives: bool, counting: bool, succeeded: bool) -> Beat {
        let unanswered = std::mem::replace(&mut self.pinged, counting) && !heard;
        if heard {
            self.misses = 0;
        }
        if !unanswered || !counting {
            return Beat::Alive;
        }
        self.misses += 1;
        match self.misses {
            GIVE_UP.. => Beat::GivenUp,
            misses if succeeded || misses >= if lives { PATIENCE } else { MISSES } => Beat::Lost,
            _ => Beat::Missed,
        }
    }
}

/// Beats for as long as it is polled.
pub(super) async fn run(node: Arc<Node>) {
    let mut pulses: HashMap<SessionId, Pulse> = HashMap::new();
    let mut tick = interval(EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        let counting = node.connections.settled();
        let watched = node.sessions.watched();
        pulses.retain(|id, _| watched.iter().any(|session| session.id == *id));
        for session in watched {
            let pulse = pulses.entry(session.id).or_default();
            let lives = Monotonic::now().since(session.life.assured()) < EVERY * MISSES;
            let beat = pulse.beat(session.life.was_heard(), lives, counting, node.sessions.is_succeeded(&session));
            node.note_beat(&session, beat);
        }
        for session in node.sessions.those(|session| node.policy.is_revoked(&session.peer)) {
            node.part(&session);
        }
    }
}

/// Answers whoever asks beside the calls, and hears what is answered to us, for as long as it is polled.
pub(super) async fn answer(node: Arc<Node>, mut beside: Subscriber) {
    while let Some(message) = beside.next().await {
        if message.payload.len() > LARGEST {
            node.reject(None, Rejected::Malformed);
            continue;
        }
        let Some((session, frame)) = node.open(Class::Pulse, message.payload) else { continue };
        let now = Monotonic::now();
        match frame {
            Frame::Ping(_) if !session.life.may_answer(now) => {}
            Frame::Ping(ping) => node.pulse(&session, &Frame::Pong(Ping { nonce: ping.nonce, clock: now })),
            Frame::Pong(pong) => session.life.assure(Monotonic(pong.nonce), now),
            Frame::Unknown(_) => {}
            _ => node.reject(Some(&session), Rejected::Malformed),
        }
    }
}

impl Node {
    fn note_beat(&self, session: &Arc<Session>, beat: Beat) {
        match beat {
            Beat::Alive => {}
            Beat::Missed => session.life.fall_silent(),
            Beat::Lost => {
                session.life.fall_silent();
                self.lose_calls(session);
            }
            Beat::GivenUp => {
                self.lose_calls(session);
                return self.sessions.drop_session(session);
            }
        }
        if self.connections.data_up() {
            self.ping(session, Monotonic::now());
        }
        if beat != Beat::Alive {
            self.ping_beside(session, Monotonic::now());
        }
    }

    /// Asks for a sign of life, and what the other end's clock says.
    pub(super) fn ping(&self, session: &Arc<Session>, now: Monotonic) {
        session.life.ping(now);
        self.send_now(session, session.no_call(), &Frame::Ping(Ping { nonce: now.0, clock: now }));
    }

    /// Asks for a sign of life on the way that streams do not go.
    pub(super) fn ping_beside(&self, session: &Session, now: Monotonic) {
        self.pulse(session, &Frame::Ping(Ping { nonce: now.0, clock: now }));
    }

    /// Ends what a revoked host has open here and what we have there.
    fn part(&self, session: &Session) {
        for call in self.incoming.values().iter().filter(|call| call.belongs_to(session)) {
            call.cancel();
        }
        self.end_calls(session, &CallError::new(Code::Lost, "the host that holds the call was revoked"));
    }

    fn lose_calls(&self, session: &Session) {
        self.end_calls(session, &lost());
    }

    /// Ends what we have open through this session.
    fn end_calls(&self, session: &Session, error: &CallError) {
        for call in self.outgoing.values() {
            if call.belongs_to(session) && call.lose(error) {
                count(&self.counters.lost);
            }
        }
    }
}

fn lost() -> CallError {
    CallError::new(Code::Lost, "the host that holds the call is gone or unreachable; whether the call ran is unknown")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_misses_lose_the_calls_and_any_frame_begins_anew() {
        let mut pulse = Pulse::default();
        let mut beat = |heard| pulse.beat(heard, false, true, false);
        assert_eq!(beat(false), Beat::Alive, "nothing was asked yet");
        assert_eq!([beat(false), beat(false)], [Beat::Missed, Beat::Missed]);
        assert_eq!(beat(true), Beat::Alive);
        assert_eq!(
            [beat(false), beat(false), beat(false), beat(false)],
            [Beat::Missed, Beat::Missed, Beat::Lost, Beat::Lost]
        );
        assert_eq!(beat(true), Beat::Alive);
        for _ in 1..GIVE_UP {
            assert_ne!(beat(false), Beat::GivenUp);
        }
        assert_eq!(beat(false), Beat::GivenUp);
    }

    #[test]
    fn nothing_is_counted_while_the_own_connection_is_away() {
        let mut pulse = Pulse::default();
        for _ in 0..20 {
            assert_eq!(pulse.beat(false, true, false, false), Beat::Alive);
        }
        assert_eq!(pulse.beat(false, false, true, false), Beat::Alive, "the first ping since");
        assert_eq!(pulse.beat(false, false, true, false), Beat::Missed);
    }

    #[test]
    fn a_new_boot_makes_the_first_miss_the_last() {
        let mut pulse = Pulse::default();
        assert_eq!(pulse.beat(true, false, true, true), Beat::Alive, "who is heard lives, whoever else does");
        assert_eq!(pulse.beat(false, true, true, true), Beat::Lost);
    }

    #[test]
    fn who_lives_behind_a_slow_line_is_waited_for_but_not_for_ever() {
        let mut pulse = Pulse::default();
        let mut beat = |lives| pulse.beat(false, lives, true, false);
        assert_eq!(beat(false), Beat::Alive, "nothing was asked yet");
        for _ in 1..PATIENCE {
            assert_eq!(beat(true), Beat::Missed);
        }
        assert_eq!(beat(true), Beat::Lost);
        let mut pulse = Pulse::default();
        let mut beat = |lives| pulse.beat(false, lives, true, false);
        let beats = [false, true, true, true, true, false].map(&mut beat);
        assert_eq!(beats.last(), Some(&Beat::Lost), "it died meanwhile: {beats:?}");
    }
}

//! Where Hellos come in: from the cheapest question to the dearest.
//!
//! ```text
//! reader:  readable? ─► for us, from an enrolled host? ─► newer than its last? ─► within the rate? ─► queue
//! worker:  signature? versions? ─► keys ─► a session, half open until its peer seals a frame
//! ```
//!
//! Anybody with the lattice's NATS credentials can send Hellos in any host's name and play back recorded ones. The
//! reader answers its questions in a few microseconds and without memory; what they let through is worked on by one
//! task, at a rate that leaves most of a processor to others. Each name has a rate of its own below that, so that a flood
//! in one host's name keeps that host alone from new sessions. Half-open sessions have a place apart that is bounded for
//! each host and in all: see [`super::sessions`].

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use async_nats::{Message, Subject};
use mesh_lattice::{
    clock::Monotonic,
    frame::{Frame, Hello},
    id::{BootId, HostId},
};
use parking_lot::Mutex;
use tokio::sync::mpsc;

use super::{Node, Post, count};
use crate::{
    rate::{Limit, Rate},
    refusals::{About, Kind, Reason},
    session::{Session, handshake::BadHello},
};

/// Hellos that wait to be worked on: as many as the hosts of a large lattice that all come back at once.
const WAITING: usize = 512;

/// Handshakes that may be begun: another one every 2 ms, which is a sixth of a processor at a third of a millisecond of
/// work.
const OF_ALL: Rate = Rate { burst: 512, refill: Duration::from_millis(2) };

/// The same of one host: it needs one for each boot, and a few where messages are lost.
const OF_HOST: Rate = Rate { burst: 16, refill: Duration::from_millis(50) };

/// Boots of one host whose last Hello is remembered: the one that runs, and earlier ones.
const BOOTS: usize = 8;

/// The newest Hello that each boot of each enrolled host signed: one as old was recorded and played back.
#[derive(Default)]
struct Newest(HashMap<HostId, Vec<(BootId, Monotonic)>>);

impl Newest {
    fn is_newer(&self, hello: &Hello) -> bool {
        let known = self.0.get(&hello.from).into_iter().flatten().find(|(boot, _)| *boot == hello.from_boot);
        known.is_none_or(|(_, clock)| *clock < hello.clock)
    }

    fn keep(&mut self, hello: &Hello) {
        let boots = self.0.entry(hello.from.clone()).or_default();
        boots.retain(|(boot, _)| *boot != hello.from_boot);
        if boots.len() >= BOOTS {
            boots.remove(0);
        }
        boots.push((hello.from_boot, hello.clock));
    }
}

/// How many handshakes may still be begun: of all hosts, and of each enrolled one.
struct Limits {
    all: Limit,
    hosts: HashMap<HostId, Limit>,
}

impl Limits {
    fn new(now: Instant) -> Self {
        Self { all: Limit::new(OF_ALL, now), hosts: HashMap::new() }
    }

    fn take(&mut self, host: &HostId, now: Instant) -> bool {
        let host = self.hosts.entry(host.clone()).or_insert_with(|| Limit::new(OF_HOST, now));
        host.take(now) && self.all.take(now)
    }
}

/// The reader's side.
pub(super) struct Door {
    node: Arc<Node>,
    newest: Arc<Mutex<Newest>>,
    limits: Limits,
    waiting: mpsc::Sender<(Box<Hello>, Subject)>,
}

/// The worker's side.
pub(super) struct Doorkeeper {
    node: Arc<Node>,
    newest: Arc<Mutex<Newest>>,
    waiting: mpsc::Receiver<(Box<Hello>, Subject)>,
}

/// Both sides.
pub(super) fn door(node: &Arc<Node>) -> (Door, Doorkeeper) {
    let (sender, waiting) = mpsc::channel(WAITING);
    let newest = Arc::new(Mutex::new(Newest::default()));
    let limits = Limits::new(Instant::now());
    let door = Door { node: Arc::clone(node), newest: Arc::clone(&newest), limits, waiting: sender };
    (door, Doorkeeper { node: Arc::clone(node), newest, waiting })
}

impl Door {
    /// Takes a Hello in, or counts why not. A stranger hears nothing either way.
    pub(super) fn take(&mut self, message: Message) {
        let (Some(reply), Ok(Frame::Hello(hello))) = (message.reply, Frame::decode(&message.payload)) else {
            return self.node.refusals.note(Kind::Hello, Reason::Malformed, About::default());
        };
        match self.judge(&hello) {
            Ok(()) => {
                if let Err(full) = self.waiting.try_send((hello, reply)) {
                    let (hello, _) = full.into_inner();
                    self.node.refusals.note(Kind::Hello, Reason::Flooded, About::hello(&hello));
                }
            }
            Err(reason) => self.node.refusals.note(Kind::Hello, reason, About::hello(&hello)),
        }
    }

    fn judge(&mut self, hello: &Hello) -> Result<(), Reason> {
        self.node.identity.screen(hello, |host| self.node.policy.is_enrolled(host)).map_err(BadHello::reason)?;
        if !self.newest.lock().is_newer(hello) {
            return Err(Reason::Replayed);
        }
        if self.limits.take(&hello.from, Instant::now()) { Ok(()) } else { Err(Reason::Flooded) }
    }
}

impl Doorkeeper {
    /// Works until the door is gone.
    pub(super) async fn run(mut self) {
        while let Some((hello, reply)) = self.waiting.recv().await {
            self.answer(&hello, reply);
            tokio::task::yield_now().await;
        }
    }

    fn answer(&self, hello: &Hello, reply: Subject) {
        let node = &self.node;
        let refuse = |reason| node.refusals.note(Kind::Hello, reason, About::hello(hello));
        // Asked again: the same Hello may have waited in the queue beside this one.
        if !self.newest.lock().is_newer(hello) {
            return refuse(Reason::Replayed);
        }
        match node.identity.answer(hello, node.max_frame(), |host| node.policy.is_enrolled(host)) {
            Ok((answer, peer, keys)) => {
                self.newest.lock().keep(hello);
                let Some(session) = Session::new(&node.identity.lattice, peer, &keys) else { return };
                node.sessions.accept(&session, tokio::time::Instant::now());
                let payload = Frame::Hello(Box::new(answer)).encode().into();
                if node.outbox.try_send(Post::Message { subject: reply, payload }).is_err() {
                    count(&node.counters.dropped);
                }
            }
            Err(bad) => refuse(bad.reason()),
        }
    }
}

#[cfg(test)]
mod tests {
    use mesh_claims::keys::{KeyKind, KeyPair};

    use super::*;

    fn hello(from: &HostId, boot: BootId, clock: u64) -> Hello {
        Hello {
            versions: mesh_lattice::frame::VERSIONS,
            lattice: mesh_lattice::LatticeName::default(),
            from: from.clone(),
            from_boot: boot,
            to: from.clone(),
            to_boot: None,
            ephemeral: [0; 32],
            answers: None,
            max_frame: 1,
            clock: Monotonic(clock),
            signature: Vec::new(),
        }
    }

    #[test]
    fn a_hello_counts_once_and_none_before_it_does_any_more() {
        let host = KeyPair::generate(KeyKind::Host).host_id().unwrap();
        let (boot, mut newest) = (BootId::new(), Newest::default());
        assert!(newest.is_newer(&hello(&host, boot, 5)));
        newest.keep(&hello(&host, boot, 5));
        assert!(!newest.is_newer(&hello(&host, boot, 5)));
        assert!(!newest.is_newer(&hello(&host, boot, 4)));
        assert!(newest.is_newer(&hello(&host, boot, 6)));
        assert!(newest.is_newer(&hello(&host, BootId::new(), 1)), "another boot has another clock");
        for _ in 0..100 {
            newest.keep(&hello(&host, BootId::new(), 9));
        }
        assert_eq!(newest.0[&host].len(), BOOTS);
    }

    #[test]
    fn a_flood_of_hellos_is_worked_on_at_a_rate() {
        let start = Instant::now();
        let mut rate = Limit::new(OF_ALL, start);
        let burst = OF_ALL.burst as usize;
        assert_eq!((0..10_000).filter(|_| rate.take(start)).count(), burst);
        let second = start + Duration::from_secs(1);
        assert_eq!((0..10_000).filter(|_| rate.take(second)).count(), 500);
        let later = second + OF_ALL.refill * (OF_ALL.burst + 1);
        assert_eq!((0..10_000).filter(|_| rate.take(later)).count(), burst);
        // Asked so often that no single gap is worth one, it still fills.
        let taken = (1..=100_000u32).filter(|step| rate.take(later + Duration::from_micros(10) * *step)).count();
        assert_eq!(taken, 500, "in a second");
    }

    #[test]
    fn a_flood_in_one_name_keeps_no_other_host_out() {
        let [flooded, other] = [(); 2].map(|()| KeyPair::generate(KeyKind::Host).host_id().unwrap());
        let start = Instant::now();
        let mut limits = Limits::new(start);
        for millisecond in 0..5_000 {
            let now = start + Duration::from_millis(millisecond);
            let taken = (0..20).filter(|_| limits.take(&flooded, now)).count();
            assert!(taken <= OF_HOST.burst as usize);
            assert!(millisecond % 100 != 0 || limits.take(&other, now), "after {millisecond} ms");
        }
        assert!(!limits.take(&flooded, start + Duration::from_millis(4_999)));
    }
}

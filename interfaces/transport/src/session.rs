//! A session: what two boots agreed on, and the frames that they seal for each other.
//!
//! A sealed message is `[1][session: 8][counter: 8][ciphertext][tag: 16]`. The frame is sealed with AES-256-GCM under
//! the key of its direction; the counter is the nonce, and never repeats because one atomic number of the session
//! makes it. The 17 bytes in front and the subject's class (`call`, `io` or `pulse`) are authenticated with it, so that a
//! frame cannot be moved to another session, another place in the order or another subject. A window of counters for
//! each class lets frames overtake each other a little, and none be taken twice. Several sealed messages may travel in
//! one: see [`bundle`].
//!
//! A session proves the *host*. It ends with either boot; it is never resumed.

pub(crate) mod bundle;
mod clock;
pub(crate) mod handshake;
mod life;
mod window;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use mesh_lattice::{
    clock::{Deadline, Monotonic},
    frame::{BUNDLES, Frame},
    id::{BootId, CallId, HostId},
    name::LatticeName,
    subject,
};
use parking_lot::Mutex;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};

use crate::refusals::Reason;
use clock::{Limit, PeerClock, Reading};
use life::Life;
use window::Window;

/// The form of sealed messages.
const FORM: u8 = 1;

/// The peer's clock is read again after this long, where it matters: two clocks drift apart by 6 ms in it.
const FRESH: Duration = Duration::from_secs(30);

/// What stands in front of the ciphertext.
const PREFIX: usize = 1 + 8 + 8;

/// The tag behind it.
const TAG: usize = 16;

/// What sealing adds to a frame.
pub(crate) const SEAL_OVERHEAD: usize = PREFIX + TAG;

/// Names a session to both of its ends; made from its keys.
pub(crate) type SessionId = u64;

/// Which kind of subject a frame came on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Class {
    /// New calls.
    Call = 1,
    /// What belongs to calls already taken.
    Io = 2,
    /// Signs of life that do not come the way of the calls, and say nothing of that way.
    Pulse = 3,
}

/// Why a sealed message is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Rejected {
    #[error("it is not a sealed message")]
    Malformed,
    #[error("it names no session of ours")]
    UnknownSession,
    #[error("it is not what the session's other end sealed")]
    Unauthentic,
    #[error("it was taken before, or is too late to tell")]
    Replayed,
}

impl Rejected {
    /// As it is counted.
    pub(crate) fn reason(self) -> Reason {
        match self {
            Self::Malformed => Reason::Malformed,
            Self::UnknownSession => Reason::UnknownSession,
            Self::Unauthentic => Reason::Unauthentic,
            Self::Replayed => Reason::Replayed,
        }
    }
}

/// What both ends know once they have shaken hands.
pub(crate) struct Keys {
    pub(crate) id: SessionId,
    pub(crate) seal: [u8; 32],
    pub(crate) open: [u8; 32],
}

/// One session.
pub(crate) struct Session {
    pub(crate) id: SessionId,
    pub(crate) peer: HostId,
    pub(crate) peer_boot: BootId,
    /// Where the peer takes new calls.
    pub(crate) call_subject: async_nats::Subject,
    /// Where it takes bundles of what belongs to calls already taken.
    pub(crate) shared_subject: async_nats::Subject,
    lattice: LatticeName,
    seal: LessSafeKey,
    open: LessSafeKey,
    counter: AtomicU64,
    windows: [Mutex<Window>; 3],
    clock: Mutex<PeerClock>,
    /// What the peer's clock said last; none where only the peer has asked.
    reading: Mutex<Option<Reading>>,
    /// Whether the other end lives.
    pub(crate) life: Life,
    /// The largest message that both ends can take.
    pub(crate) max_frame: usize,
    /// Whether the peer takes several frames in one message.
    pub(crate) bundles: bool,
    /// Whether the peer has sealed a frame: only then does it hold the keys.
    confirmed: AtomicBool,
}

/// The parts of a session that the handshake found out.
pub(crate) struct Peer {
    pub(crate) host: HostId,
    pub(crate) boot: BootId,
    pub(crate) clock: Monotonic,
    pub(crate) max_frame: usize,
    /// The highest that both speak.
    pub(crate) version: u16,
}

impl Session {
    pub(crate) fn new(lattice: &LatticeName, peer: Peer, keys: &Keys) -> Option<Arc<Self>> {
        let key = |bytes: &[u8; 32]| UnboundKey::new(&AES_256_GCM, bytes).ok().map(LessSafeKey::new);
        let session = Self {
            id: keys.id,
            call_subject: subject::call(lattice, &peer.host, peer.boot).into(),
            shared_subject: subject::io_shared(lattice, &peer.host, peer.boot).into(),
            peer: peer.host,
            peer_boot: peer.boot,
            lattice: lattice.clone(),
            seal: key(&keys.seal)?,
            open: key(&keys.open)?,
            counter: AtomicU64::new(0),
            windows: Default::default(),
            clock: Mutex::new(PeerClock::new(peer.clock, Monotonic::now())),
            reading: Mutex::new(None),
            life: Life::default(),
            max_frame: peer.max_frame,
            bundles: peer.version >= BUNDLES,
            confirmed: AtomicBool::new(false),
        };
        Some(Arc::new(session))
    }

    /// Where the peer takes what belongs to the call `id`.
    pub(crate) fn io_subject(&self, id: CallId) -> String {
        subject::io(&self.lattice, &self.peer, self.peer_boot, id)
    }

    /// Where the peer is asked for signs of life beside its calls.
    pub(crate) fn pulse_subject(&self) -> String {
        subject::pulse(&self.lattice, &self.peer, self.peer_boot)
    }

    /// What a frame that belongs to no call is sent under.
    pub(crate) fn no_call(&self) -> CallId {
        CallId(uuid::Uuid::from_u64_pair(0, self.id))
    }

    pub(crate) fn is_confirmed(&self) -> bool {
        self.confirmed.load(Ordering::Relaxed)
    }

    /// The frame, ready to be sent on a subject of this class.
    pub(crate) fn seal(&self, class: Class, frame: &Frame, body: usize) -> Option<Bytes> {
        self.seal_with(class, body + 320, |out| frame.encode_into(out))
    }

    /// A frame that is bytes already, ready to be sent on a subject of this class.
    pub(crate) fn seal_encoded(&self, class: Class, frame: &[u8]) -> Option<Bytes> {
        self.seal_with(class, frame.len(), |out| out.extend_from_slice(frame))
    }

    fn seal_with(&self, class: Class, room: usize, write: impl FnOnce(&mut Vec<u8>)) -> Option<Bytes> {
        let mut out = Vec::with_capacity(SEAL_OVERHEAD + room);
        let counter = self.counter.fetch_add(1, Ordering::Relaxed);
        out.push(FORM);
        out.extend_from_slice(&self.id.to_be_bytes());
        out.extend_from_slice(&counter.to_be_bytes());
        write(&mut out);
        let (prefix, plain) = out.split_at_mut_checked(PREFIX)?;
        let tag = self.seal.seal_in_place_separate_tag(nonce(counter), aad(class, prefix)?, plain).ok()?;
        out.extend_from_slice(tag.as_ref());
        Some(out.into())
    }

    /// The frame inside a message of this class, if the peer sealed it for us and we did not take it before.
    pub(crate) fn open(&self, class: Class, sealed: &[u8]) -> Result<Bytes, Rejected> {
        let mut message = sealed.to_vec();
        let (prefix, sealed) = message.split_at_mut_checked(PREFIX).ok_or(Rejected::Malformed)?;
        let counter = prefix.get(9..).and_then(|bytes| bytes.try_into().ok()).map(u64::from_be_bytes);
        let counter = counter.ok_or(Rejected::Malformed)?;
        let additional = aad(class, prefix).ok_or(Rejected::Malformed)?;
        let length = self.open.open_in_place(nonce(counter), additional, sealed).map_err(|_| Rejected::Unauthentic)?;
        let end = PREFIX + length.len();
        let [call, io, pulse] = &self.windows;
        let window = match class {
            Class::Call => call,
            Class::Io => io,
            Class::Pulse => pulse,
        };
        if !window.lock().take(counter) {
            return Err(Rejected::Replayed);
        }
        if !self.confirmed.load(Ordering::Relaxed) {
            self.confirmed.store(true, Ordering::Relaxed);
        }
        if class != Class::Pulse {
            self.life.hear();
        }
        Ok(Bytes::from(message).slice(PREFIX..end))
    }

    /// Notes that what the peer sent at `sent` by its clock arrived at `received` by ours.
    pub(crate) fn note_clock(&self, sent: Monotonic, received: Monotonic) {
        self.clock.lock().note(sent, received);
    }

    /// Notes that the peer's clock said `said` some time between these two of ours.
    pub(crate) fn note_reading(&self, asked: Monotonic, said: Monotonic, came: Monotonic) {
        *self.reading.lock() = Some(Reading { asked, said, came });
    }

    /// By when the peer is to begin what is sent now, where it gets at least `length` for it.
    pub(crate) fn limit(&self, now: Monotonic, length: Duration) -> Option<Limit> {
        let reading = *self.reading.lock();
        reading.map(|reading| reading.limit(now, length))
    }

    /// Whether the peer's clock was read so long ago that it should be read again.
    pub(crate) fn is_reading_old(&self, now: Monotonic) -> bool {
        self.reading.lock().is_none_or(|reading| now.since(reading.came) > FRESH)
    }

    /// A deadline of the peer's clock on ours: the quickest frame is taken to have needed no time.
    pub(crate) fn map(&self, deadline: Deadline) -> Deadline {
        self.clock.lock().map(deadline)
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Session({:016x} with {})", self.id, self.peer)
    }
}

/// The session that a sealed message names.
pub(crate) fn session_of(message: &[u8]) -> Option<SessionId> {
    match message {
        [FORM, rest @ ..] => rest.first_chunk::<8>().map(|bytes| SessionId::from_be_bytes(*bytes)),
        _ => None,
    }
}

fn nonce(counter: u64) -> Nonce {
    let [a, b, c, d, e, f, g, h] = counter.to_be_bytes();
    let bytes: [u8; NONCE_LEN] = [0, 0, 0, 0, a, b, c, d, e, f, g, h];
    Nonce::assume_unique_for_key(bytes)
}

fn aad(class: Class, prefix: &[u8]) -> Option<Aad<[u8; PREFIX + 1]>> {
    let mut bytes = [class as u8; PREFIX + 1];
    bytes.split_first_mut()?.1.copy_from_slice(prefix);
    Some(Aad::from(bytes))
}

#[cfg(test)]
pub(crate) mod tests {
    use mesh_claims::keys::{KeyKind, KeyPair};
    use mesh_lattice::frame::{Cancel, StreamData};

    use super::*;

    /// The two ends of one session.
    pub(crate) fn pair() -> (Arc<Session>, Arc<Session>) {
        pair_of(BUNDLES)
    }

    /// The same, of a protocol version.
    pub(crate) fn pair_of(version: u16) -> (Arc<Session>, Arc<Session>) {
        let id = uuid::Uuid::now_v7().as_u64_pair().1;
        let [one, other] = [(); 2].map(|()| KeyPair::generate(KeyKind::Host).host_id().unwrap());
        let end = |host: &HostId, seal, open| {
            let (boot, clock) = (BootId::new(), Monotonic::now());
            let peer = Peer { host: host.clone(), boot, clock, max_frame: 1 << 20, version };
            Session::new(&LatticeName::default(), peer, &Keys { id, seal: [seal; 32], open: [open; 32] }).unwrap()
        };
        (end(&other, 1, 2), end(&one, 2, 1))
    }

    fn cancel() -> Frame {
        Frame::Cancel(Cancel { id: CallId::new() })
    }

    #[test]
    fn what_one_end_seals_the_other_opens_once() {
        let (one, other) = pair();
        let frame = Frame::StreamData(
            StreamData { id: CallId::new(), lane: mesh_lattice::frame::Lane::Body, offset: 3 },
            Bytes::from(vec![9; 70_000]),
        );
        let sealed = one.seal(Class::Io, &frame, 70_000).unwrap();
        assert!(!other.is_confirmed());
        assert_eq!(Frame::decode(&other.open(Class::Io, &sealed).unwrap()).unwrap(), frame);
        assert!(other.is_confirmed());
        assert_eq!(other.open(Class::Io, &sealed), Err(Rejected::Replayed));
    }

    #[test]
    fn a_changed_moved_or_returned_frame_is_refused() {
        let (one, other) = pair();
        let sealed = one.seal(Class::Call, &cancel(), 0).unwrap();
        for at in 0..sealed.len() {
            let mut changed = sealed.to_vec();
            changed[at] ^= 1;
            assert!(other.open(Class::Call, &changed).is_err(), "byte {at}");
        }
        for end in 0..sealed.len() {
            assert!(other.open(Class::Call, &sealed[..end]).is_err());
        }
        assert_eq!(other.open(Class::Io, &sealed), Err(Rejected::Unauthentic), "another subject");
        assert_eq!(other.open(Class::Pulse, &sealed), Err(Rejected::Unauthentic), "another subject");
        assert_eq!(one.open(Class::Call, &sealed), Err(Rejected::Unauthentic), "its own sender");
        assert!(other.open(Class::Call, &sealed).is_ok(), "none of that used the frame up");
    }

    #[test]
    fn a_sign_of_life_says_nothing_of_the_way_of_the_calls_and_pushes_none_of_them_out() {
        let (one, other) = pair();
        other.life.ask(Monotonic(1));
        let sealed = one.seal(Class::Io, &cancel(), 0).unwrap();
        for _ in 0..40_000 {
            let pulse = one.seal(Class::Pulse, &Frame::Drain, 0).unwrap();
            assert!(other.open(Class::Pulse, &pulse).is_ok());
            assert_eq!(other.open(Class::Pulse, &pulse), Err(Rejected::Replayed));
        }
        assert!(other.life.is_unheard_since(Monotonic(1)) && !other.life.was_heard());
        assert!(other.open(Class::Io, &sealed).is_ok(), "it waited behind streams meanwhile");
        assert!(!other.life.is_unheard_since(Monotonic(1)) && other.life.was_heard());
    }
}

//! What was refused, and why: counted by a closed set of reasons, and told to the audit log where somebody should look.
//!
//! One value of a host, shared by whoever refuses: the reader of frames, the handshake, and on the host's side the
//! admission of calls and the router. The audit log is written at target `audit`, one event for each refusal, and no
//! more than a few a second for each source and for each reason: an attacker who can make us refuse cannot make us
//! write, and whoever is refused often hides nobody else. What was left out is said by a later event of that reason,
//! and the counters miss nothing.

use std::{
    collections::{HashMap, hash_map::Entry},
    hash::{BuildHasher as _, RandomState},
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use mesh_lattice::{
    Caller, Interface, LinkName, Name,
    frame::{Call, Hello},
    id::HostId,
    invocation::Invocation,
};
use parking_lot::Mutex;

use crate::rate::{Limit, Rate};

/// Events of one source that may be written at once, and after how long one more.
const OF_SOURCE: Rate = Rate { burst: 10, refill: Duration::from_secs(1) };

/// The same of all sources together, for each kind and reason.
const OF_REASON: Rate = Rate { burst: 50, refill: Duration::from_millis(200) };

/// Sources of one kind and reason that are told apart at one time; all others share what is left.
const SOURCES: usize = 256;

/// A word that an attacker chose is written up to this many bytes.
const WORD: usize = 64;

macro_rules! closed_set {
    ($(#[$doc:meta])* $name:ident { $($(#[$case_doc:meta])* $case:ident = $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$case_doc])* $case,)+
        }

        impl $name {
            /// Every one of them.
            pub const ALL: &[Self] = &[$(Self::$case,)+];

            /// As it stands in metrics and logs.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$case => $text,)+
                }
            }
        }
    };
}

closed_set! {
    /// What was refused.
    Kind {
        /// A message on a subject that takes sealed frames.
        Frame = "frame",
        /// What asks for a session, or answers that.
        Hello = "hello",
        /// A call that a session vouches for.
        Call = "call",
        /// A call that a person is said to have signed.
        Operator = "operator",
    }
}

closed_set! {
    /// Why.
    Reason {
        /// It cannot be read.
        Malformed = "malformed",
        /// It names no session of this boot.
        UnknownSession = "unknown_session",
        /// Whoever it names did not seal or sign it.
        Unauthentic = "unauthentic",
        /// It was taken before, or is too old to tell.
        Replayed = "replayed",
        /// It is not for this host, this lattice or this question.
        Misdirected = "misdirected",
        /// It is for another boot of this host.
        StaleBoot = "stale_boot",
        /// Its host is not enrolled, or no longer.
        Unenrolled = "unenrolled",
        /// There is no protocol version that both speak.
        Version = "version",
        /// There were too many of them.
        Flooded = "flooded",
        /// Whoever calls is not placed on the host that says so.
        NotPlaced = "not_placed",
        /// No link lets the caller make this call.
        NotLinked = "not_linked",
        /// It came after its deadline.
        Late = "late",
        /// Its id was taken before.
        Duplicate = "duplicate",
        /// Whoever signed it is no user whom the lattice trusts.
        Untrusted = "untrusted",
    }
}

impl Reason {
    /// Whether somebody should look: late and repeated calls are what networks make by themselves.
    fn is_audited(self) -> bool {
        !matches!(self, Self::Late | Self::Duplicate)
    }
}

/// Who and what a refusal is about, as far as that is known. Nothing in it is proved unless the reason implies it.
#[derive(Debug, Clone, Copy, Default)]
pub struct About<'a> {
    peer: Option<&'a HostId>,
    caller: Option<&'a Caller>,
    target: Option<&'a Name>,
    interface: Option<&'a Interface>,
    operation: Option<&'a str>,
    link: Option<&'a LinkName>,
}

impl<'a> About<'a> {
    /// A host.
    #[must_use]
    pub fn host(peer: &'a HostId) -> Self {
        Self { peer: Some(peer), ..Self::default() }
    }

    /// A Hello: the host that it says it is from.
    #[must_use]
    pub fn hello(hello: &'a Hello) -> Self {
        Self::host(&hello.from)
    }

    /// A call that `caller` is said to make.
    #[must_use]
    pub fn caller(caller: &'a Caller) -> Self {
        Self { caller: Some(caller), ..Self::default() }
    }

    /// A call that `peer` sent.
    #[must_use]
    pub fn call(peer: &'a HostId, call: &'a Call) -> Self {
        Self {
            peer: Some(peer),
            caller: Some(&call.caller),
            target: Some(&call.target),
            interface: Some(&call.interface),
            operation: Some(&call.operation),
            link: Some(&call.link),
        }
    }

    /// An invocation.
    #[must_use]
    pub fn invocation(invocation: &'a Invocation) -> Self {
        Self {
            peer: None,
            caller: Some(&invocation.caller),
            target: invocation.target.as_ref(),
            interface: Some(&invocation.interface),
            operation: Some(&invocation.operation),
            link: Some(&invocation.link),
        }
    }
}

const KINDS: usize = Kind::ALL.len();
const REASONS: usize = Reason::ALL.len();

/// The refusals of one host.
#[derive(Debug)]
pub struct Refusals {
    tallies: [[Tally; REASONS]; KINDS],
    hasher: RandomState,
}

impl Default for Refusals {
    fn default() -> Self {
        let now = Instant::now();
        Self { tallies: std::array::from_fn(|_| std::array::from_fn(|_| Tally::new(now))), hasher: RandomState::new() }
    }
}

impl Refusals {
    /// Counts a refusal, and writes it down unless too many of its source or reason were.
    pub fn note(&self, kind: Kind, reason: Reason, about: About<'_>) {
        let Some(tally) = self.tally(kind, reason) else { return };
        tally.count.fetch_add(1, Ordering::Relaxed);
        if !reason.is_audited() {
            return;
        }
        let source = self.hasher.hash_one((about.peer, about.caller));
        let suppressed = tally.limits.lock().take(source, Instant::now());
        if let Some(suppressed) = suppressed {
            write(kind, reason, about, suppressed);
        }
    }

    /// How often this was refused for that.
    #[must_use]
    pub fn count(&self, kind: Kind, reason: Reason) -> u64 {
        self.tally(kind, reason).map_or(0, |tally| tally.count.load(Ordering::Relaxed))
    }

    /// How often this was refused.
    #[must_use]
    pub fn of(&self, kind: Kind) -> u64 {
        Reason::ALL.iter().map(|reason| self.count(kind, *reason)).sum()
    }

    /// Every refusal that happened at all, and how often: never more than the two sets allow.
    pub fn all(&self) -> impl Iterator<Item = (Kind, Reason, u64)> {
        let pairs = Kind::ALL.iter().flat_map(|kind| Reason::ALL.iter().map(move |reason| (*kind, *reason)));
        pairs.map(|(kind, reason)| (kind, reason, self.count(kind, reason))).filter(|(.., count)| *count > 0)
    }

    fn tally(&self, kind: Kind, reason: Reason) -> Option<&Tally> {
        self.tallies.get(kind as usize)?.get(reason as usize)
    }
}

fn write(kind: Kind, reason: Reason, about: About<'_>, suppressed: u64) {
    // An operation is whatever its sender says; everything else was parsed and holds no character that could forge a
    // line of the log.
    let operation = about.operation.map(|word| word.get(..word.floor_char_boundary(WORD)).unwrap_or_default());
    tracing::warn!(
        target: "audit",
        refused = kind.as_str(),
        reason = reason.as_str(),
        peer = about.peer.map(tracing::field::display),
        caller = about.caller.map(tracing::field::display),
        callee = about.target.map(tracing::field::display),
        interface = about.interface.map(tracing::field::display),
        operation = operation.map(tracing::field::debug),
        link = about.link.map(tracing::field::display),
        suppressed,
        "refused"
    );
}

/// The refusals of one kind and reason.
#[derive(Debug)]
struct Tally {
    count: AtomicU64,
    limits: Mutex<Limits>,
}

impl Tally {
    fn new(now: Instant) -> Self {
        Self { count: AtomicU64::new(0), limits: Mutex::new(Limits::new(now)) }
    }
}

/// What may still be written of one kind and reason.
#[derive(Debug)]
struct Limits {
    all: Limit,
    sources: HashMap<u64, Source>,
    others: Source,
    /// When those that rest were let go of last: not for every refusal of a flood.
    swept: Instant,
}

/// One source of refusals, or all those that are not told apart.
#[derive(Debug)]
struct Source {
    limit: Limit,
    suppressed: u64,
}

impl Limits {
    fn new(now: Instant) -> Self {
        Self { all: Limit::new(OF_REASON, now), sources: HashMap::new(), others: Source::new(now), swept: now }
    }

    /// How many events of this source were left out since its last one, if this one may be written.
    fn take(&mut self, source: u64, now: Instant) -> Option<u64> {
        if self.sources.len() >= SOURCES && now.saturating_duration_since(self.swept) > OF_SOURCE.refill {
            self.swept = now;
            let left_out = self.sources.extract_if(|_, source| !source.is_of_interest(now));
            self.others.suppressed += left_out.map(|(_, source)| source.suppressed).sum::<u64>();
        }
        let room = self.sources.len() < SOURCES;
        let source = match self.sources.entry(source) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) if room => new.insert(Source::new(now)),
            Entry::Vacant(_) => &mut self.others,
        };
        let may = source.limit.take(now) && self.all.take(now);
        if !may {
            source.suppressed += 1;
            return None;
        }
        Some(std::mem::take(&mut source.suppressed))
    }
}

impl Source {
    fn new(now: Instant) -> Self {
        Self { limit: Limit::new(OF_SOURCE, now), suppressed: 0 }
    }

    /// Whether it was refused lately.
    fn is_of_interest(&mut self, now: Instant) -> bool {
        !self.limit.is_full(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_and_reason_has_a_counter_of_its_own() {
        for (at, kind) in Kind::ALL.iter().enumerate() {
            assert_eq!(*kind as usize, at);
        }
        for (at, reason) in Reason::ALL.iter().enumerate() {
            assert_eq!(*reason as usize, at);
        }
        let refusals = Refusals::default();
        refusals.note(Kind::Hello, Reason::Replayed, About::default());
        refusals.note(Kind::Frame, Reason::Replayed, About::default());
        refusals.note(Kind::Frame, Reason::Replayed, About::default());
        let all: Vec<_> = refusals.all().collect();
        assert_eq!(all, [(Kind::Frame, Reason::Replayed, 2), (Kind::Hello, Reason::Replayed, 1)]);
        assert_eq!(refusals.of(Kind::Frame), 2);
    }

    fn written(limits: &mut Limits, source: u64, times: usize, now: Instant) -> Vec<u64> {
        (0..times).filter_map(|_| limits.take(source, now)).collect()
    }

    #[test]
    fn a_flood_is_written_a_few_times_and_says_how_much_was_left_out() {
        let (start, burst, refill) = (Instant::now(), OF_SOURCE.burst, OF_SOURCE.refill);
        let mut limits = Limits::new(start);
        assert_eq!(written(&mut limits, 1, 100_000, start).len(), burst as usize);
        assert_eq!(limits.take(1, start + refill / 2), None);
        assert_eq!(limits.take(1, start + refill), Some(100_001 - u64::from(burst)));
        assert_eq!(limits.take(1, start + refill), None);
        let later = written(&mut limits, 1, 100, start + 1_000 * refill);
        assert_eq!(later.len(), burst as usize, "what was not used does not pile up");
        assert_eq!(later.first(), Some(&1));
    }

    #[test]
    fn whoever_is_refused_often_hides_nobody_else() {
        let start = Instant::now();
        let mut limits = Limits::new(start);
        written(&mut limits, 1, 100_000, start);
        assert_eq!(limits.take(2, start), Some(0), "another source");
    }

    #[test]
    fn many_sources_together_are_written_no_more_often_than_their_reason_may_be() {
        let start = Instant::now();
        let mut limits = Limits::new(start);
        let all = (0..100_000).filter(|source| limits.take(*source, start).is_some()).count();
        assert_eq!(all, OF_REASON.burst as usize);
        assert!(limits.sources.len() <= SOURCES);
        let later = start + OF_SOURCE.refill * OF_SOURCE.burst;
        assert_eq!(limits.take(1 << 40, later), Some(0), "whoever comes later is told apart again");
        let left_out: u64 = written(&mut limits, u64::MAX, 1, later).iter().sum::<u64>() + limits.others.suppressed;
        assert_eq!(left_out, 100_000 - u64::from(OF_REASON.burst), "what was left out is not forgotten");
    }

    #[test]
    fn a_flood_of_one_reason_hides_no_other() {
        let refusals = Refusals::default();
        for _ in 0..10_000 {
            refusals.note(Kind::Hello, Reason::Malformed, About::default());
        }
        let tally = refusals.tally(Kind::Call, Reason::NotLinked).unwrap();
        assert_eq!(tally.limits.lock().take(1, Instant::now()), Some(0));
    }
}

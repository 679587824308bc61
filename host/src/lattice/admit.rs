//! Which calls of other hosts may be made here, judged before anything is done for them: the host has to be enrolled,
//! and whoever it says is calling has to be placed there. That the caller is linked is checked where the call is
//! routed, because a link may be on its way.
//!
//! What is placed where is known by each host from its own watch, and the host that calls may have heard of it earlier:
//! a caller that is not placed where it calls from, as far as is known, is told for [`PLACEMENT_LAG`] that the call
//! cannot be taken *yet*. Nothing is done then, and whoever is honest is placed a moment later.
//!
//! A session proves a host and nobody else. A host that says that a person calls could be believed only with that
//! person's signature, which a call does not carry: so no call of another host is an operator's.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use mesh_lattice::{CallError, Caller, Code, HostId, Name, frame::Call};
use mesh_transport::{
    AdmitCall, PeerPolicy,
    refusals::{About, Kind, Reason, Refusals},
};
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::known::{Known, Origin};

/// By this much two hosts may hear of a placement one after the other.
const PLACEMENT_LAG: Duration = Duration::from_secs(1);
/// Callers of one host that are remembered for that; further ones are denied at once.
const MAX_REMEMBERED: usize = 1_000;
/// And for so long: whoever lies is told "not yet" no more often.
const REMEMBERED_FOR: Duration = Duration::from_secs(60);

/// Judges by what this host knows.
pub(super) struct Admit {
    known: watch::Receiver<Arc<Known>>,
    /// When a caller first called from where it is not placed.
    ahead: Mutex<HashMap<HostId, HashMap<Name, Instant>>>,
    refusals: Arc<Refusals>,
}

impl Admit {
    pub(super) fn new(known: watch::Receiver<Arc<Known>>, refusals: Arc<Refusals>) -> Self {
        Self { known, ahead: Mutex::default(), refusals }
    }

    fn judge(&self, peer: &HostId, caller: &Caller, now: Instant) -> Result<(), (Reason, CallError)> {
        let known = self.known.borrow().clone();
        let denied = |message: String| CallError::new(Code::Denied, message);
        if !known.trust.is_host(peer) {
            return Err((Reason::Unenrolled, denied(format!("the host {peer} is not enrolled"))));
        }
        let Caller::Named(name) = caller else {
            return Err((Reason::NotPlaced, denied(format!("the host {peer} does not speak for {caller}"))));
        };
        // Before the lattice has been read nothing is known of what runs there: its host's word has to do.
        let unknown = known.origin != Origin::Lattice && !known.placements.contains_key(peer);
        if unknown || known.is_placed(peer, name, now) {
            return Ok(());
        }
        let code = if self.may_be_ahead(peer, name, now) { Code::Unavailable } else { Code::Denied };
        Err((Reason::NotPlaced, CallError::new(code, format!("{name} is not placed on the host {peer}"))))
    }

    /// Whether the peer may know of a placement that has not been heard of here yet.
    fn may_be_ahead(&self, peer: &HostId, name: &Name, now: Instant) -> bool {
        let is_fresh = |since: &Instant| now.saturating_duration_since(*since) < REMEMBERED_FOR;
        let mut ahead = self.ahead.lock();
        let ahead = ahead.entry(peer.clone()).or_default();
        if ahead.len() >= MAX_REMEMBERED {
            ahead.retain(|_, since| is_fresh(since));
        }
        match ahead.get(name).copied().filter(is_fresh) {
            Some(since) => now.saturating_duration_since(since) < PLACEMENT_LAG,
            None if ahead.len() < MAX_REMEMBERED => {
                ahead.insert(name.clone(), now);
                true
            }
            None => false,
        }
    }
}

impl AdmitCall for Admit {
    fn admit(&self, peer: &HostId, call: &Call) -> Result<(), CallError> {
        self.judge(peer, &call.caller, Instant::now()).map_err(|(reason, error)| {
            self.refusals.note(Kind::Call, reason, About::call(peer, call));
            error
        })
    }
}

/// Which hosts are enrolled, by what this host knows.
pub(super) struct Peers(pub(super) watch::Receiver<Arc<Known>>);

impl PeerPolicy for Peers {
    fn is_enrolled(&self, host: &HostId) -> bool {
        self.0.borrow().trust.is_host(host)
    }

    fn is_revoked(&self, host: &HostId) -> bool {
        self.0.borrow().trust.is_revoked(host.as_str())
    }
}

#[cfg(test)]
mod tests {
    use mesh_claims::{Envelope, KeyKind, KeyPair, Trust};
    use mesh_lattice::{
        CallId, Deadline, Incarnation, LinkName, Monotonic,
        key::{Key, TrustKey},
        stored::TrustStatement,
    };

    use super::*;

    fn call(caller: &str) -> Call {
        let call = crate::testing::call(caller, "kv");
        let frame = serde_json::json!({
            "i": CallId::new(), "c": { "n": caller }, "l": LinkName::default(), "t": "kv", "w": call.interface,
            "o": "get", "s": Monotonic(1), "d": Deadline(Monotonic(2)),
        });
        serde_json::from_value(frame).unwrap()
    }

    fn known_hosts(hosts: &[&HostId]) -> Known {
        let root = KeyPair::generate(KeyKind::Operator);
        let (mut trust, incarnation) = (Trust::new(root.operator_id().unwrap()), Incarnation::new());
        for host in hosts {
            let key = Key::Trust(TrustKey::Host((*host).clone()));
            let statement = TrustStatement::Host { id: (*host).clone(), labels: None };
            trust.apply(&key, &Envelope::sign(&key, incarnation, 1, &statement, &root).unwrap()).unwrap();
        }
        Known { origin: Origin::Lattice, ..Known::nothing(trust) }
    }

    fn known(host: &HostId, placed: &[&str]) -> Arc<Known> {
        let mut known = known_hosts(&[host]);
        known.placements.insert(host.clone(), placed.iter().map(|name| name.parse().unwrap()).collect());
        Arc::new(known)
    }

    /// What is known later, when that is so.
    fn later(before: &Arc<Known>, after: &Arc<Known>, now: Instant) -> Arc<Known> {
        let mut known = Known { trust: before.trust.clone(), ..after.as_ref().clone() };
        known.remember_placements(before, now);
        Arc::new(known)
    }

    fn code(admit: &Admit, host: &HostId, caller: &str, now: Instant) -> Option<Code> {
        admit.judge(host, &call(caller).caller, now).err().map(|(_, error)| error.code)
    }

    #[test]
    fn a_caller_is_believed_only_where_it_is_placed() {
        let (host, stranger) = (crate::testing::host_id(1), crate::testing::host_id(2));
        let (_publish, receive) = watch::channel(known(&host, &["counter"]));
        let refusals = Arc::new(Refusals::default());
        let admit = Admit::new(receive, refusals.clone());
        assert!(admit.admit(&host, &call("counter")).is_ok());
        assert!(admit.admit(&host, &call("other")).is_err());
        assert_eq!(admit.admit(&stranger, &call("counter")).unwrap_err().code, Code::Denied);
        let all: Vec<_> = refusals.all().collect();
        assert_eq!(all, [(Kind::Call, Reason::Unenrolled, 1), (Kind::Call, Reason::NotPlaced, 1)]);
    }

    #[test]
    fn what_is_moved_away_may_finish_there_even_if_it_never_called_before() {
        let (host, start) = (crate::testing::host_id(1), Instant::now());
        let (with, without) = (known(&host, &["counter"]), known(&host, &[]));
        let moved = later(&with, &without, start);
        let (publish, receive) = watch::channel(moved.clone());
        let admit = Admit::new(receive, Arc::default());
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(code(&admit, &host, "counter", at(59)), None);
        publish.send_replace(later(&moved, &without, at(50)));
        assert_eq!(code(&admit, &host, "counter", at(59)), None, "another change does not shorten it");
        assert!(code(&admit, &host, "counter", at(61)).is_some(), "nor does it make it longer");
        assert!(code(&admit, &host, "other", at(1)).is_some());
    }

    #[test]
    fn a_caller_whose_placement_was_not_heard_of_yet_is_told_to_wait_and_a_liar_is_denied() {
        let (host, start) = (crate::testing::host_id(1), Instant::now());
        let (publish, receive) = watch::channel(known(&host, &[]));
        let admit = Admit::new(receive, Arc::default());
        let at = |millis| start + Duration::from_millis(millis);
        assert_eq!(code(&admit, &host, "counter", at(0)), Some(Code::Unavailable));
        assert_eq!(code(&admit, &host, "liar", at(0)), Some(Code::Unavailable));
        publish.send_replace(known(&host, &["counter"]));
        assert_eq!(code(&admit, &host, "counter", at(300)), None);
        assert_eq!(code(&admit, &host, "liar", at(1_000)), Some(Code::Denied));
        assert_eq!(code(&admit, &host, "liar", at(59_000)), Some(Code::Denied));
    }

    #[test]
    fn a_host_that_was_given_no_work_speaks_for_nobody_once_the_lattice_is_known() {
        let host = crate::testing::host_id(1);
        let mut without = known(&host, &[]).as_ref().clone();
        without.placements.clear();
        let (publish, receive) = watch::channel(Arc::new(without.clone()));
        let admit = Admit::new(receive, Arc::default());
        assert!(admit.admit(&host, &call("counter")).is_err());
        without.origin = Origin::Snapshot;
        publish.send_replace(Arc::new(without));
        assert!(admit.admit(&host, &call("counter")).is_ok(), "before that its word has to do");
    }

    #[test]
    fn no_host_speaks_for_a_person() {
        let host = crate::testing::host_id(1);
        let (root, user) = (KeyPair::generate(KeyKind::Operator), KeyPair::generate(KeyKind::User));
        let user = user.user_id().unwrap();
        let mut trust = Trust::new(root.operator_id().unwrap());
        let statements = [
            (TrustKey::Host(host.clone()), TrustStatement::Host { id: host.clone(), labels: None }),
            (TrustKey::User(user.clone()), TrustStatement::User { id: user.clone(), admin: true }),
        ];
        for (key, statement) in statements {
            let key = Key::Trust(key);
            trust.apply(&key, &Envelope::sign(&key, Incarnation::new(), 1, &statement, &root).unwrap()).unwrap();
        }
        assert!(trust.is_user(&user));
        let (_publish, receive) = watch::channel(Arc::new(Known::nothing(trust)));
        let admit = Admit::new(receive, Arc::default());
        let mut as_user = call("counter");
        as_user.caller = Caller::Operator(user);
        assert_eq!(admit.admit(&host, &as_user).unwrap_err().code, Code::Denied);
    }

    #[test]
    fn a_host_that_lies_much_fills_its_own_share_alone() {
        let (honest, liar) = (crate::testing::host_id(1), crate::testing::host_id(2));
        let (_publish, receive) = watch::channel(Arc::new(known_hosts(&[&honest, &liar])));
        let admit = Admit::new(receive, Arc::default());
        let now = Instant::now();
        for number in 0..2 * MAX_REMEMBERED {
            code(&admit, &liar, &format!("made-up-{number}"), now);
        }
        assert_eq!(code(&admit, &liar, "one-more", now), Some(Code::Denied));
        assert_eq!(code(&admit, &honest, "early", now), Some(Code::Unavailable), "it may know more than we do");
    }
}

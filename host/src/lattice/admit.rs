//! Which calls of other hosts may be made here, judged before anything is done for them: the host has to be enrolled,
//! and whoever it says is calling has to be placed there. That the caller is linked is checked where the call is
//! routed, because a link may be on its way.
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

/// What was moved away from a host may finish what it does there: it may call for this long after.
const MOVED_AWAY: Duration = Duration::from_secs(60);
/// Callers that are remembered for that.
const MAX_REMEMBERED: usize = 10_000;

/// Judges by what this host knows.
pub(super) struct Admit {
    known: watch::Receiver<Arc<Known>>,
    /// When a caller was last seen where it is placed.
    placed: Mutex<HashMap<(HostId, Name), Instant>>,
    refusals: Arc<Refusals>,
}

impl Admit {
    pub(super) fn new(known: watch::Receiver<Arc<Known>>, refusals: Arc<Refusals>) -> Self {
        Self { known, placed: Mutex::default(), refusals }
    }

    fn judge(&self, peer: &HostId, caller: &Caller) -> Result<(), (Reason, String)> {
        let known = self.known.borrow().clone();
        if !known.trust.is_host(peer) {
            return Err((Reason::Unenrolled, format!("the host {peer} is not enrolled")));
        }
        let Caller::Named(name) = caller else {
            return Err((Reason::NotPlaced, format!("the host {peer} does not speak for {caller}")));
        };
        let placed = match known.placements.get(peer) {
            Some(names) => names.contains(name),
            // Before the lattice has been read nothing is known of what runs there: its host's word has to do.
            None if known.origin != Origin::Lattice => return Ok(()),
            None => false,
        };
        if self.was_placed(peer, name, placed) {
            return Ok(());
        }
        Err((Reason::NotPlaced, format!("{name} is not placed on the host {peer}")))
    }

    fn was_placed(&self, peer: &HostId, name: &Name, placed_now: bool) -> bool {
        let mut placed = self.placed.lock();
        let key = (peer.clone(), name.clone());
        if placed_now {
            if placed.len() >= MAX_REMEMBERED {
                placed.retain(|_, seen| seen.elapsed() < MOVED_AWAY);
            }
            if placed.len() < MAX_REMEMBERED || placed.contains_key(&key) {
                placed.insert(key, Instant::now());
            }
            return true;
        }
        placed.get(&key).is_some_and(|seen| seen.elapsed() < MOVED_AWAY)
    }
}

impl AdmitCall for Admit {
    fn admit(&self, peer: &HostId, call: &Call) -> Result<(), CallError> {
        self.judge(peer, &call.caller).map_err(|(reason, message)| {
            self.refusals.note(Kind::Call, reason, About::call(peer, call));
            CallError::new(Code::Denied, message)
        })
    }
}

/// Which hosts are enrolled, by what this host knows.
pub(super) struct Peers(pub(super) watch::Receiver<Arc<Known>>);

impl PeerPolicy for Peers {
    fn is_enrolled(&self, host: &HostId) -> bool {
        self.0.borrow().trust.is_host(host)
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

    fn known(host: &HostId, placed: &[&str]) -> Arc<Known> {
        let root = KeyPair::generate(KeyKind::Operator);
        let mut trust = Trust::new(root.operator_id().unwrap());
        let key = Key::Trust(TrustKey::Host(host.clone()));
        let statement = TrustStatement::Host { id: host.clone(), labels: None };
        trust.apply(&key, &Envelope::sign(&key, Incarnation::new(), 1, &statement, &root).unwrap()).unwrap();
        let mut known = Known { origin: Origin::Lattice, ..Known::nothing(trust) };
        known.placements.insert(host.clone(), placed.iter().map(|name| name.parse().unwrap()).collect());
        Arc::new(known)
    }

    #[test]
    fn a_caller_is_believed_only_where_it_is_placed() {
        let (host, stranger) = (crate::testing::host_id(1), crate::testing::host_id(2));
        let (publish, receive) = watch::channel(known(&host, &["counter"]));
        let refusals = Arc::new(Refusals::default());
        let admit = Admit::new(receive, refusals.clone());
        assert!(admit.admit(&host, &call("counter")).is_ok());
        assert_eq!(admit.admit(&host, &call("other")).unwrap_err().code, Code::Denied);
        assert_eq!(admit.admit(&stranger, &call("counter")).unwrap_err().code, Code::Denied);
        publish.send_replace(known(&host, &[]));
        assert!(admit.admit(&host, &call("counter")).is_ok(), "it may finish what it does there");
        assert!(admit.admit(&host, &call("other")).is_err());
        let all: Vec<_> = refusals.all().collect();
        assert_eq!(all, [(Kind::Call, Reason::Unenrolled, 1), (Kind::Call, Reason::NotPlaced, 2)]);
    }

    #[test]
    fn a_host_that_was_given_no_work_speaks_for_nobody_once_the_lattice_is_known() {
        let host = crate::testing::host_id(1);
        let mut without = known(&host, &[]).as_ref().clone();
        without.placements.clear();
        let (publish, receive) = watch::channel(Arc::new(without.clone()));
        let admit = Admit::new(receive, Arc::default());
        assert_eq!(admit.admit(&host, &call("counter")).unwrap_err().code, Code::Denied);
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
}

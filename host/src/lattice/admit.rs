//! Which calls of other hosts may be made here, judged before anything is done for them: the host has to be enrolled,
//! and whoever it says is calling has to be placed there. That the caller is linked is checked where the call is
//! routed, because a link may be on its way.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use mesh_lattice::{CallError, Caller, Code, HostId, Name, frame::Call};
use mesh_transport::{AdmitCall, PeerPolicy};
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::known::Known;

/// What was moved away from a host may finish what it does there: it may call for this long after.
const MOVED_AWAY: Duration = Duration::from_secs(60);
/// Callers that are remembered for that.
const MAX_REMEMBERED: usize = 10_000;

/// Judges by what this host knows.
pub(super) struct Admit {
    known: watch::Receiver<Arc<Known>>,
    /// When a caller was last seen where it is placed.
    placed: Mutex<HashMap<(HostId, Name), Instant>>,
}

impl Admit {
    pub(super) fn new(known: watch::Receiver<Arc<Known>>) -> Self {
        Self { known, placed: Mutex::default() }
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
        let known = self.known.borrow().clone();
        let denied = |message: String| Err(CallError::new(Code::Denied, message));
        if !known.trust.is_host(peer) {
            return denied(format!("the host {peer} is not enrolled"));
        }
        match &call.caller {
            Caller::Operator(user) if known.trust.is_user(user) => Ok(()),
            Caller::Operator(user) => denied(format!("{user} is no user of this lattice")),
            Caller::Named(name) => match known.placements.get(peer) {
                // Nothing is known of what runs there: its host's word has to do.
                None => Ok(()),
                Some(names) if self.was_placed(peer, name, names.contains(name)) => Ok(()),
                Some(_) => denied(format!("{name} is not placed on the host {peer}")),
            },
        }
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
        BootId, CallId, Deadline, Incarnation, LinkName, Monotonic,
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
        let mut known = Known::nothing(trust);
        known.placements.insert(host.clone(), placed.iter().map(|name| name.parse().unwrap()).collect());
        Arc::new(known)
    }

    #[test]
    fn a_caller_is_believed_only_where_it_is_placed() {
        let _ = BootId::new();
        let (host, stranger) = (crate::testing::host_id(1), crate::testing::host_id(2));
        let (publish, receive) = watch::channel(known(&host, &["counter"]));
        let admit = Admit::new(receive);
        assert!(admit.admit(&host, &call("counter")).is_ok());
        assert_eq!(admit.admit(&host, &call("other")).unwrap_err().code, Code::Denied);
        assert_eq!(admit.admit(&stranger, &call("counter")).unwrap_err().code, Code::Denied);
        publish.send_replace(known(&host, &[]));
        assert!(admit.admit(&host, &call("counter")).is_ok(), "it may finish what it does there");
        assert!(admit.admit(&host, &call("other")).is_err());
    }
}

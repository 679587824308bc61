//! What somebody with the lattice's NATS credentials cannot do: play back, change, invent. Each attack stands beside
//! a call that is executed once, so that a test which attacks nothing fails.

mod forged;
mod hello;
mod nobody;
mod raw;
mod replay;

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use mesh_claims::keys::{KeyKind, KeyPair};
use mesh_lattice::Reply;
use mesh_transport::refusals::{Kind, Reason, Refusals};

use crate::fixture::{Enrolled, Host, Server, eventually, serving};

/// A host that counts what it executes and what it refuses.
struct Target {
    host: Host,
    executed: Arc<AtomicU64>,
    refusals: Arc<Refusals>,
}

impl Target {
    async fn start(server: &Server, enrolled: &Enrolled) -> Self {
        Self::again(server, enrolled, Arc::new(KeyPair::generate(KeyKind::Host)), Arc::default()).await
    }

    /// With this key, counting on.
    async fn again(server: &Server, enrolled: &Enrolled, key: Arc<KeyPair>, executed: Arc<AtomicU64>) -> Self {
        let refusals = Arc::new(Refusals::default());
        let (counter, noted) = (Arc::clone(&executed), Arc::clone(&refusals));
        let counting = serving(move |_| {
            counter.fetch_add(1, Ordering::Relaxed);
            async { Ok(Reply::wire("done")) }
        });
        let host = Host::again(server, enrolled, counting, key, |config| config.refusals = noted).await;
        Self { host, executed, refusals }
    }

    fn executed(&self) -> u64 {
        self.executed.load(Ordering::Relaxed)
    }

    fn refused(&self, kind: Kind, reason: Reason) -> u64 {
        self.refusals.count(kind, reason)
    }

    /// Waits until so many were refused for this reason, and not one more of this kind for any other.
    async fn until_refused(&self, kind: Kind, reason: Reason, count: u64) {
        let before = self.refused_otherwise(kind, reason);
        eventually(&format!("{count} of kind {kind:?} are refused as {reason:?}, now {:?}", self.all()), || async {
            self.refused(kind, reason) >= count
        })
        .await;
        assert_eq!(self.refused(kind, reason), count, "{:?}", self.all());
        assert_eq!(self.refused_otherwise(kind, reason), before, "{:?}", self.all());
    }

    /// How many of this kind were refused for other reasons.
    fn refused_otherwise(&self, kind: Kind, reason: Reason) -> u64 {
        let others = self.refusals.all().filter(|(of, why, _)| *of == kind && *why != reason);
        others.map(|(.., count)| count).sum()
    }

    fn all(&self) -> Vec<(Kind, Reason, u64)> {
        self.refusals.all().collect()
    }

    /// Waits until so many calls were executed in all.
    async fn until_executed(&self, count: u64) {
        eventually(&format!("{count} calls are executed"), || async { self.executed() >= count }).await;
        assert_eq!(self.executed(), count);
    }
}

//! Whether a boot lives that has called here and holds what it was given: nobody waits for an answer of it, so that
//! [`super::pulse`] does not beat for it. It is asked by sealed pings, the way of the calls and beside it: what others
//! say of it, or that nobody listens there, proves nothing.

use futures::{FutureExt as _, future::BoxFuture};
use mesh_lattice::{
    clock::Monotonic,
    handle::{Liveness, Origin},
};
use tokio::time::sleep;

use super::{
    Remote,
    pulse::{EVERY, MISSES},
};

impl Remote {
    /// Pings until something comes back. As many pings as make a host lost, and it is; one, where another boot of it has
    /// been seen.
    async fn asks(&self, boot: &Origin) -> bool {
        let node = &self.node;
        for _ in 0..MISSES {
            let sessions = node.sessions.of_boot(boot);
            if !node.connections.settled() {
                return true;
            }
            let asked = Monotonic::now();
            for session in &sessions {
                node.ping(session, asked);
                node.ping_beside(session, asked);
            }
            sleep(EVERY).await;
            if sessions.iter().any(|one| !one.life.is_unheard_since(asked) || one.life.assured() >= asked) {
                return true;
            }
            if sessions.iter().all(|session| node.sessions.is_succeeded(session)) {
                break;
            }
        }
        !node.connections.settled()
    }
}

impl Liveness for Remote {
    fn lives<'a>(&'a self, boot: &'a Origin) -> BoxFuture<'a, bool> {
        self.asks(boot).boxed()
    }
}

//! Follows the lattice's state, as far as one host needs it: applications, shared configuration, trust, routes and
//! assignments.
//!
//! All routes and all assignments are watched, not only those that concern this host: they change only when hosts
//! come, go or get other work, one watch costs the server less than one for each target, and the assignments of the
//! others are what a caller's placement is checked against.

use std::{sync::Arc, time::Duration};

use mesh_lattice::{HostId, id::OperatorId, stored::Assignment};
use mesh_transport::{Change, State};
use tokio::{sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::{
    known::{Known, Origin},
    mirror::{Mirror, history},
    readiness::{Concern, Readiness},
};

/// What is watched.
const PATTERNS: [&str; 5] = ["app.>", "config.*", "trust.>", "assign.*", "route.*"];
/// Changes that come close together are taken in together.
const TOGETHER: Duration = Duration::from_millis(10);

/// Makes [`Known`] of the stored state.
pub(super) struct Follow {
    pub(super) state: State,
    pub(super) own: HostId,
    pub(super) root: OperatorId,
    pub(super) known: watch::Sender<Arc<Known>>,
    pub(super) readiness: Readiness,
    /// What this host kept of an earlier life.
    pub(super) spare: Option<Known>,
    /// When the spare is used if the state has not been read by then.
    pub(super) patience: Instant,
    /// Whether the state has been read: who is enrolled is known from then on.
    pub(super) caught_up: watch::Sender<bool>,
}

impl Follow {
    /// Follows until `cancel`.
    pub(super) async fn run(mut self, cancel: CancellationToken) {
        let mut mirror = Mirror::new(self.root.clone(), self.state.incarnation());
        let mut changes = self.state.watch_all(&PATTERNS);
        let mut due: Option<Instant> = None;
        loop {
            tokio::select! {
                () = cancel.cancelled() => return,
                change = changes.next() => {
                    take(&mut mirror, change);
                    due.get_or_insert_with(|| Instant::now() + TOGETHER);
                }
                () = until(due) => {
                    due = None;
                    self.publish(&mut mirror);
                }
                () = until(self.spare.is_some().then_some(self.patience)) => self.use_spare(),
            }
        }
    }

    fn publish(&mut self, mirror: &mut Mirror) {
        if let Some(reason) = mirror.stale() {
            let reason = format!("the lattice's state cannot be read, what runs goes on: {reason}");
            self.readiness.set(Concern::StateStale, Some(reason));
            return;
        }
        if !mirror.is_complete() {
            return;
        }
        let held = self.known.borrow().clone();
        let before = match (held.origin, self.spare.take()) {
            (Origin::Nothing, Some(spare)) => Arc::new(spare),
            _ => held,
        };
        mirror.recall(&before);
        // Twice as many as the leader leaves: what it assigns meanwhile may be some revisions behind what was read here.
        for key in mirror.outdated(2 * history::KEPT) {
            mirror.forget(&key);
        }
        self.say_enrolled(mirror);
        let (known, stale) = match accepted(mirror, &self.own, &before) {
            Some(assignment) => {
                let mut known = mirror.known(assignment);
                known.remember_placements(&before, std::time::Instant::now());
                (known, None)
            }
            None => {
                let (trust, statements) = mirror.trusted();
                let known = Known { trust, statements, ..before.as_ref().clone() };
                (known, Some("the lattice's state says nothing about this host, what runs goes on".to_owned()))
            }
        };
        self.readiness.set(Concern::StateStale, stale);
        self.known.send_replace(Arc::new(known));
        self.caught_up.send_replace(true);
    }

    fn say_enrolled(&self, mirror: &Mirror) {
        let enrolled = mirror.trust().is_host(&self.own);
        let reason = || format!("this host is not enrolled: meshctl trust add host {}", self.own);
        self.readiness.set(Concern::NotEnrolled, (!enrolled).then(reason));
    }

    fn use_spare(&mut self) {
        if let Some(spare) = self.spare.take()
            && self.known.borrow().origin == Origin::Nothing
        {
            tracing::warn!("the lattice cannot be read; starting from what was kept of an earlier life");
            self.known.send_replace(Arc::new(spare));
        }
    }
}

/// The assignment to follow from now on; nothing where the state is silent about a host that has work. Silence is no
/// statement: a state that was lost and made anew knows nothing yet.
#[expect(clippy::option_option, reason = "no assignment yet is an answer, no answer is another")]
fn accepted(mirror: &Mirror, own: &HostId, before: &Known) -> Option<Option<Assignment>> {
    match (mirror.assignment(own), &before.assignment) {
        (Some(stored), Some(held)) if stored.incarnation == held.incarnation && stored.term < held.term => {
            tracing::warn!(term = stored.term, held = held.term, "an assignment of an earlier leader is refused");
            Some(Some(held.clone()))
        }
        (Some(stored), _) => Some(Some(stored.clone())),
        (None, Some(held)) if held.incarnation == mirror.incarnation() => Some(Some(held.clone())),
        (None, Some(_)) => None,
        (None, None) => Some(None),
    }
}

fn take(mirror: &mut Mirror, change: Change) {
    if let Err(refusal) = mirror.apply(change) {
        tracing::warn!(target: "audit", refusal, "a stored value was refused");
    }
}

pub(super) async fn until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

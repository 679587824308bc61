//! Says what runs here: writes `observed.<host>` as soon as something changes, and once a second whether it did or
//! not, so that the counters in it are young and the traffic does not depend on the load.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use mesh_lattice::{
    key::Key,
    name::Labels,
    stored::{ActorState, Observed, ObservedActor, ProviderState},
};
use mesh_transport::{Position, State, StateError};
use tokio::{sync::watch, time::timeout};
use tokio_util::sync::CancellationToken;

use crate::{converge::Report, identity::Identity};

/// Written at least this often.
const EVERY: Duration = Duration::from_secs(1);
/// Changes that come close together are said together.
const TOGETHER: Duration = Duration::from_millis(20);
/// One write takes at most this long.
const WRITE: Duration = Duration::from_secs(2);

/// Writes this host's report.
pub(crate) struct Observe {
    pub(crate) state: State,
    pub(crate) identity: Identity,
    pub(crate) name: String,
    pub(crate) labels: Labels,
    pub(crate) report: watch::Receiver<Arc<Report>>,
    pub(crate) draining: watch::Receiver<bool>,
    pub(crate) started: Instant,
}

impl Observe {
    /// Reports until `cancel`, then says that all of it has stopped.
    pub(crate) async fn run(mut self, cancel: CancellationToken) {
        let mut position = None;
        let mut tick = tokio::time::interval(EVERY);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = cancel.cancelled() => break,
                _ = tick.tick() => {}
                Ok(()) = self.report.changed() => tokio::time::sleep(TOGETHER).await,
                Ok(()) = self.draining.changed() => {}
            }
            let observed = self.observed();
            self.write(&observed, &mut position).await;
        }
        let stopped = stopped(self.observed());
        self.write(&stopped, &mut position).await;
    }

    async fn write(&self, observed: &Observed, position: &mut Option<Position>) {
        // A second try where somebody else wrote: an earlier life of this host, before it was gone for good.
        for _ in 0..2 {
            match timeout(WRITE, self.put(observed, position)).await {
                Ok(Ok(())) => return,
                Ok(Err(StateError::Conflict { .. })) => *position = None,
                Ok(Err(error)) => {
                    tracing::debug!(%error, "the report is not written; the next one is");
                    *position = None;
                    return;
                }
                Err(_) => {
                    *position = None;
                    return;
                }
            }
        }
    }

    async fn put(&self, observed: &Observed, position: &mut Option<Position>) -> Result<(), StateError> {
        let key = Key::Observed(self.identity.id.clone());
        let at = match position {
            Some(at) => *at,
            None => self.state.entry(&key).await?.as_ref().map(Position::from).unwrap_or_default(),
        };
        *position = Some(self.state.put_signed(&key, observed, at, &self.identity.key).await?);
        Ok(())
    }

    fn observed(&self) -> Observed {
        let report = self.report.borrow().clone();
        let actors = report.actors.iter().map(|(observed, actor)| match actor {
            Some(actor) => {
                let stats = actor.stats();
                let (breakdowns, last_breakdown) = actor.breakdowns();
                let (instances, calls) = (stats.instances, stats.calls);
                ObservedActor { instances, calls, breakdowns, last_breakdown, ..observed.clone() }
            }
            None => observed.clone(),
        });
        Observed {
            boot: self.identity.boot,
            name: self.name.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            labels: self.labels.clone(),
            uptime_seconds: self.started.elapsed().as_secs(),
            draining: *self.draining.borrow(),
            term: report.term,
            actors: actors.collect(),
            providers: report.providers.clone(),
        }
    }
}

fn stopped(mut observed: Observed) -> Observed {
    observed.draining = true;
    for actor in &mut observed.actors {
        (actor.state, actor.instances) = (ActorState::Draining, 0);
        actor.reason = "its host has stopped".into();
    }
    for provider in &mut observed.providers {
        provider.state = ProviderState::Stopped;
        provider.reason = "its host has stopped".into();
    }
    observed
}

//! The instances of an actor that wait for a call, and how long they do.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use super::Instance;
use crate::actor::Shared;

/// One that was used, and that nobody calls for this long, goes.
const IDLE: Duration = Duration::from_secs(5);

/// So does one that was made ahead of its call.
const AHEAD: Duration = Duration::from_secs(1);

/// The instances of one actor that wait for a call.
pub(crate) struct Idle {
    reuse: u32,
    makes_ahead: AtomicBool,
    kept: Mutex<Kept>,
    closed: CancellationToken,
}

#[derive(Default)]
struct Kept {
    /// The latest last.
    instances: Vec<(Instant, Instance)>,
    /// Whether a task looks after them.
    watched: bool,
}

impl Idle {
    /// Instances serve up to `reuse` calls each.
    pub(crate) fn new(reuse: u32) -> Self {
        Self { reuse, makes_ahead: AtomicBool::new(true), kept: Mutex::default(), closed: CancellationToken::new() }
    }

    pub(super) fn reuse(&self) -> u32 {
        self.reuse
    }

    /// How long one waits: as it is where it was used before, and where none was, for the next of calls that come close
    /// together.
    fn patience(&self) -> Duration {
        if self.reuse > 1 { IDLE } else { AHEAD }
    }

    pub(crate) fn len(&self) -> usize {
        self.kept.lock().instances.len()
    }

    pub(super) fn take(&self) -> Option<Instance> {
        self.kept.lock().instances.pop().map(|(_, instance)| instance)
    }

    /// Whether one is to be made ahead of its call: where calls leave none, and none waits.
    pub(super) fn wants_one(&self, shared: &Shared) -> bool {
        self.reuse <= 1
            && self.makes_ahead.load(Ordering::Relaxed)
            && self.kept.lock().instances.is_empty()
            && !self.closed.is_cancelled()
            && shared.has_room_for_idle()
    }

    pub(super) fn make_none_ahead(&self) {
        self.makes_ahead.store(false, Ordering::Relaxed);
    }

    /// Instances that wait hold slots and memory, which they may not take from those that work.
    pub(super) fn keep(&self, mut instance: Instance, shared: &Arc<Shared>) {
        if !shared.has_room_for_idle() {
            return;
        }
        instance.store.data_mut().rest();
        let mut kept = self.kept.lock();
        if self.closed.is_cancelled() {
            return;
        }
        kept.instances.push((Instant::now(), instance));
        if !std::mem::replace(&mut kept.watched, true) {
            shared.tasks.spawn(watch(Arc::clone(shared)));
        }
    }

    /// Drops them all, and every one that would come.
    pub(crate) fn close(&self) {
        self.closed.cancel();
        let gone = std::mem::take(&mut self.kept.lock().instances);
        drop(gone);
    }

    /// Drops those that waited too long; when the next has.
    fn expire(&self, now: Instant) -> Option<Instant> {
        let mut kept = self.kept.lock();
        let expired = kept.instances.partition_point(|(since, _)| *since + self.patience() <= now);
        let gone: Vec<_> = kept.instances.drain(..expired).collect();
        let next = kept.instances.first().map(|(since, _)| *since + self.patience());
        kept.watched = next.is_some();
        drop(kept);
        drop(gone);
        next
    }
}

/// Ends with the last idle instance, or with the actor.
async fn watch(shared: Arc<Shared>) {
    while let Some(next) = shared.idle.expire(Instant::now()) {
        tokio::select! {
            () = shared.idle.closed.cancelled() => return,
            () = tokio::time::sleep_until(next.into()) => {}
        }
    }
}

//! What runs on this host under a name: one task owns each, is told through a channel what is wanted, and publishes
//! how it is. The same for actors and providers, which keep what they alone do.

use std::{collections::BTreeMap, future::Future, sync::Arc, time::Duration};

use mesh_lattice::Name;
use tokio::{
    runtime::Handle,
    sync::{Notify, watch},
    task::JoinSet,
    time::timeout,
};

/// What has nothing to do ends within this.
const AT_REST: Duration = Duration::from_millis(500);

/// Things of one kind, by name.
pub(crate) struct Slots<W, S> {
    kind: &'static str,
    slots: BTreeMap<Name, Slot<W, S>>,
    tasks: JoinSet<()>,
}

struct Slot<W, S> {
    wanted: watch::Sender<Option<W>>,
    status: watch::Receiver<S>,
}

/// What the task of one thing holds: what it is to do, and where it says how it is.
pub(crate) struct Seat<W, S> {
    pub(crate) name: Name,
    /// `None` where it is not wanted any more.
    pub(crate) wants: watch::Receiver<Option<W>>,
    publish: watch::Sender<S>,
    changed: Arc<Notify>,
}

impl<W: Clone, S: Clone> Slots<W, S> {
    pub(crate) fn new(kind: &'static str) -> Self {
        Self { kind, slots: BTreeMap::new(), tasks: JoinSet::new() }
    }

    /// Tells the owner of this name what is wanted; `None` where it has one, else the seat of a new one, which begins
    /// with `status` and must be given to [`Slots::spawn`].
    pub(crate) fn put(
        &mut self,
        name: &Name,
        wanted: W,
        status: impl FnOnce(&W) -> S,
        changed: &Arc<Notify>,
    ) -> Option<Seat<W, S>> {
        if let Some(slot) = self.slots.get(name) {
            slot.wanted.send_replace(Some(wanted));
            return None;
        }
        let (publish, status) = watch::channel(status(&wanted));
        let (wanted, wants) = watch::channel(Some(wanted));
        self.slots.insert(name.clone(), Slot { wanted, status });
        Some(Seat { name: name.clone(), wants, publish, changed: Arc::clone(changed) })
    }

    /// Runs a new owner on `on`.
    pub(crate) fn spawn(&mut self, owner: impl Future<Output = ()> + Send + 'static, on: &Handle) {
        self.tasks.spawn_on(owner, on);
    }

    /// Lets the owner of this name end. Returns at once.
    pub(crate) fn stop(&mut self, name: &Name) {
        if let Some(slot) = self.slots.remove(name) {
            slot.wanted.send_replace(None);
        }
    }

    /// What is wanted of each.
    pub(crate) fn wanted(&self) -> impl Iterator<Item = (&Name, Option<W>)> {
        self.slots.iter().map(|(name, slot)| (name, slot.wanted.borrow().clone()))
    }

    /// How each is.
    pub(crate) fn statuses(&self) -> impl Iterator<Item = (&Name, S)> {
        self.slots.iter().map(|(name, slot)| (name, slot.status.borrow().clone()))
    }

    /// Forgets the tasks that have ended.
    pub(crate) fn reap(&mut self) {
        while let Some(ended) = self.tasks.try_join_next() {
            if let Err(error) = ended {
                tracing::error!("the task of {} ended unexpectedly: {error}", self.kind);
            }
        }
    }

    /// Stops all and waits until their tasks have ended, and `more` has; for this long. What is left then is aborted.
    pub(crate) async fn stop_all(&mut self, within: Duration, more: impl Future<Output = ()>) {
        for slot in std::mem::take(&mut self.slots).into_values() {
            slot.wanted.send_replace(None);
        }
        let joined = async {
            while self.tasks.join_next().await.is_some() {}
            more.await;
        };
        // Those that have nothing to do end at once, whoever used the time up before.
        if timeout(within.max(AT_REST), joined).await.is_err() {
            tracing::warn!("not all was at rest at the deadline: {}", self.kind);
            self.tasks.abort_all();
        }
    }
}

impl<W, S> Seat<W, S> {
    /// Changes a part of what was said last.
    pub(crate) fn amend(&self, change: impl FnOnce(&mut S)) {
        self.publish.send_modify(change);
        self.changed.notify_one();
    }

    /// Says how it is, where `differs` finds that news.
    pub(crate) fn say(&self, status: S, differs: impl FnOnce(&S, &S) -> bool) {
        let news = differs(&self.publish.borrow(), &status);
        if news {
            self.publish.send_replace(status);
            self.changed.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn own(mut seat: Seat<u32, u32>) {
        loop {
            let Some(wanted) = *seat.wants.borrow_and_update() else { return };
            seat.say(wanted, |old, new| old != new);
            if seat.wants.changed().await.is_err() {
                return;
            }
        }
    }

    #[tokio::test]
    async fn an_owner_hears_what_is_wanted_and_is_gone_when_nothing_is() {
        let (mut slots, changed) = (Slots::new("numbers"), Arc::new(Notify::new()));
        let name: Name = "one".parse().unwrap();
        let seat = slots.put(&name, 1, |_| 0, &changed).unwrap();
        slots.spawn(own(seat), &Handle::current());
        changed.notified().await;
        assert!(slots.put(&name, 2, |_| 0, &changed).is_none(), "it has an owner");
        changed.notified().await;
        assert_eq!(slots.statuses().map(|(_, status)| status).collect::<Vec<_>>(), [2]);
        slots.stop(&name);
        assert_eq!((slots.wanted().count(), slots.statuses().count()), (0, 0));
        let seat = slots.put(&name, 3, |_| 0, &changed).expect("a name that was stopped begins anew");
        slots.spawn(own(seat), &Handle::current());
        slots.stop_all(Duration::from_secs(10), async {}).await;
        assert!(slots.tasks.is_empty());
    }
}

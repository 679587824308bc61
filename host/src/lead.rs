//! The leader: whoever holds the lease plans for all.
//!
//! ```text
//!            Leadership.leading
//!  following ───────────────────► leading: watch state and leases ──► World ──► plan ──► write what changes
//!      ▲                              │                                           ▲            │ conflict
//!      └──────────────────────────────┘ lost or stopped                           └────────────┘ look again
//! ```
//!
//! Every host could lead; one does. It watches everything that is stored and every lease, and answers the control
//! requests, because it alone has the whole state and because commits that one host judges do not race. Nothing that
//! it does is needed for what already runs: without a leader, or with one that cannot plan (state missing, not yet
//! read, grace not over), assignments and routes stay as they are.
//!
//! It also tells what happens (`events`): it signs each event and puts it into the lattice's stream of them, from which
//! the next leader goes on.

mod events;

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use mesh_claims::KeyPair;
use mesh_lattice::{
    HostId, Name,
    control::StatusRequest,
    id::OperatorId,
    key::{Key, pattern},
    stored::Event,
};
use mesh_scheduler::{Plan, Standing, World};
use mesh_transport::{
    Artifacts, Connections, EventLog, Judgement, Leadership, LeaseTable, Leases, Standing as Renewal, State, StateError,
};
use serde::Serialize;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

pub(crate) use self::events::Told;
use self::events::{Happening, Seen};
use crate::{
    ctl::{self, Desk},
    known::Known,
    mirror::{Mirror, Sign, history},
};

/// How often the state of the leases is looked at, and plans are made that have become due.
const TICK: Duration = Duration::from_millis(200);

/// How long after taking office a host whose lease was not seen yet is not called gone: time for every lease to be
/// read and for two renewals. One whose lease *was* seen has the whole time that the lease allows it.
const GRACE: Duration = Duration::from_secs(1);

/// Old revisions that are taken away at once.
const TIDIED: usize = 32;

/// What people see is looked at for events this often at most: it is all of the lattice.
const LOOK: Duration = Duration::from_secs(1);

/// What leading needs.
pub(crate) struct Lead {
    pub(crate) connections: Connections,
    pub(crate) state: State,
    pub(crate) leadership: watch::Receiver<Leadership>,
    pub(crate) key: Arc<KeyPair>,
    pub(crate) host: HostId,
    pub(crate) root: OperatorId,
    pub(crate) kinds: BTreeMap<Name, ctl::Kind>,
    /// What this host knows and remembers: it stands in for what is stored and not believed.
    pub(crate) known: watch::Receiver<Arc<Known>>,
}

impl Lead {
    /// Leads whenever this host is the leader, until `cancel`.
    pub(crate) async fn run(mut self, cancel: CancellationToken) {
        loop {
            let leading = tokio::select! {
                () = cancel.cancelled() => return,
                leading = now_leads(&mut self.leadership) => leading,
            };
            if !leading {
                return;
            }
            let term = self.leadership.borrow().term;
            tracing::info!(term, "this host leads");
            Term::begin(&self, term).run(&mut self.leadership.clone(), &cancel).await;
            if cancel.is_cancelled() {
                return;
            }
            tracing::info!(term, "this host no longer leads");
        }
    }
}

/// Waits until this host leads; false where nobody will say so any more.
async fn now_leads(leadership: &mut watch::Receiver<Leadership>) -> bool {
    leadership.wait_for(|now| now.leading).await.is_ok()
}

async fn no_longer_leads(leadership: &mut watch::Receiver<Leadership>, term: u64) {
    // Where nobody will say so any more, the term is over too.
    let _ = leadership.wait_for(|now| !now.leading || now.term != term).await;
}

/// One term in office.
struct Term<'a> {
    lead: &'a Lead,
    term: u64,
    mirror: Mirror,
    leases: LeaseTable,
    /// Whether something changed since the last plan.
    due: bool,
    /// How each host stood when it was last looked at: what events are made from.
    standings: BTreeMap<HostId, Standing>,
    desk: Desk,
    /// The events: where they are kept, what was told, and whether that was read.
    log: EventLog,
    told: Told,
    recalled: bool,
    /// What people saw at the last look, when that was, and whether something changed since.
    seen: Seen,
    looked: Option<Instant>,
    unseen: bool,
}

impl<'a> Term<'a> {
    fn begin(lead: &'a Lead, term: u64) -> Self {
        Self {
            lead,
            term,
            mirror: Mirror::new(lead.root.clone(), lead.state.incarnation()),
            leases: LeaseTable::new(Instant::now(), GRACE),
            due: true,
            standings: BTreeMap::new(),
            desk: Desk::new(lead.kinds.clone(), Artifacts::new(&lead.connections)),
            log: EventLog::new(&lead.connections),
            told: Told::new(mesh_transport::events::KEPT),
            recalled: false,
            seen: Seen::default(),
            looked: None,
            unseen: true,
        }
    }

    async fn run(mut self, leadership: &mut watch::Receiver<Leadership>, cancel: &CancellationToken) {
        let mut changes = self.lead.state.watch(pattern::ALL);
        let mut sightings = Leases::new(&self.lead.state).watch();
        let mut requests = None;
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            if requests.is_none() && self.mirror.is_complete() {
                requests = mesh_transport::control::serve(&self.lead.connections).await.ok();
            }
            tokio::select! {
                () = cancel.cancelled() => return,
                () = no_longer_leads(leadership, self.term) => return,
                change = changes.next() => self.note(change),
                event = sightings.next() => self.leases.step(event, Instant::now()),
                request = ctl::next(&mut requests) => self.answer(request).await,
                () = self.desk.next_read() => self.answer_parked().await,
                _ = tick.tick() => self.look().await,
            }
        }
    }

    fn note(&mut self, change: mesh_transport::Change) {
        (self.due, self.unseen) = (true, true);
        if let Err(refusal) = self.mirror.apply(change) {
            tracing::warn!(target: "audit", refusal, "a stored value was refused");
        }
        if let Some(reason) = self.mirror.stale() {
            tracing::warn!(reason, "state_stale: nothing is planned until the state is back");
        }
    }

    fn signs(&self) -> BTreeMap<HostId, Sign> {
        let sign = |one: &Judgement| Sign { alive: one.standing != Renewal::Lost, draining: one.draining };
        self.leases.judge(Instant::now()).into_iter().map(|one| (one.host.clone(), sign(&one))).collect()
    }

    fn world(&self) -> World {
        self.mirror.world(self.term, &self.signs())
    }

    /// Looks at the hosts, and plans where something changed and everything is known.
    async fn look(&mut self) {
        if self.desk.has_parked() {
            self.answer_parked().await;
        }
        let settled = self.leases.settled(Instant::now());
        if !self.mirror.is_complete() || !settled {
            return;
        }
        if self.due {
            let known = self.lead.known.borrow().clone();
            self.mirror.recall(&known);
        }
        let world = self.world();
        self.tell(&world).await;
        if !std::mem::take(&mut self.due) {
            return;
        }
        self.desk.read_ahead(&world);
        let mut plan = mesh_scheduler::plan(&world);
        self.mirror.confirm(&world, &mut plan);
        self.desk.learn(std::mem::take(&mut plan.placements));
        if let Err(error) = self.write(plan).await {
            tracing::debug!(%error, "a plan was not written; it is made again");
            self.due = true;
            return;
        }
        self.tidy().await;
    }

    /// Takes revisions that nothing needs any more out of the store, some at a time.
    async fn tidy(&mut self) {
        let outdated = self.mirror.outdated(history::KEPT);
        for key in outdated.iter().take(TIDIED) {
            if let Err(error) = self.lead.state.purge(key).await {
                tracing::debug!(%error, %key, "an old revision was not taken away; it is tried again");
                return;
            }
            self.mirror.forget(key);
        }
        self.due |= outdated.len() > TIDIED;
    }

    /// Says what happened since the last look, and publishes what is due.
    async fn tell(&mut self, world: &World) {
        self.recall().await;
        let now = crate::trust::now();
        self.tell_hosts(world, now);
        if self.unseen && self.looked.is_none_or(|looked| looked.elapsed() >= LOOK) {
            (self.unseen, self.looked) = (false, Some(Instant::now()));
            let office = office(self.lead, &self.mirror, world, &self.told);
            let status = self.desk.status(&StatusRequest::default(), &office);
            for happening in self.seen.look(&status, &self.told) {
                self.told.tell(happening, now);
            }
        }
        for event in self.told.due(now) {
            let Event { kind, subject, message, count, .. } = &event;
            tracing::info!(kind, subject, message, count, "event");
            if self.log.write(&event, self.mirror.incarnation(), &self.lead.key).await.is_err() {
                tracing::debug!(kind, "an event could not be published: the lattice is away");
            }
        }
    }

    /// Reads, once, what was told by whoever led before.
    async fn recall(&mut self) {
        if std::mem::replace(&mut self.recalled, true) {
            return;
        }
        match self.log.read(self.mirror.incarnation(), self.mirror.trust()).await {
            Ok(events) => self.told.recall(events),
            Err(error) => tracing::debug!(%error, "what was told before is not known"),
        }
    }

    /// Tells what changed about the hosts, and makes a plan due where that matters.
    fn tell_hosts(&mut self, world: &World, now: u64) {
        for (id, host) in &world.hosts {
            let before = self.standings.insert(id.clone(), host.standing);
            if before == Some(host.standing) {
                continue;
            }
            (self.due, self.unseen) = (true, true);
            let (kind, message) = match (before, host.standing) {
                (_, Standing::Untrusted) => ("host_rejected", "its key is not enrolled: it gets no work"),
                (Some(Standing::Leaving), Standing::Lost) => ("host_left", "it has shut down"),
                (_, Standing::Lost) => ("host_lost", "its lease is no longer renewed"),
                (_, Standing::Leaving) => ("host_leaving", "it is shutting down"),
                (None | Some(Standing::Lost | Standing::Leaving | Standing::Untrusted), Standing::Ready) => {
                    ("host_ready", "it takes work")
                }
                (_, Standing::Draining | Standing::Cordoned | Standing::Ready) => ("host_changed", "people changed it"),
            };
            // Whoever led before may have said so already.
            if before.is_some() || !self.told.is_last_word(kind, id.as_str()) {
                let (kind, subject, message) = (kind.to_owned(), id.to_string(), message.to_owned());
                self.told.tell(Happening { kind, subject, host: self.lead.host.clone(), message, times: 1 }, now);
            }
        }
    }

    /// Routes first, so that callers leave what is about to stop; then pins, then the work itself.
    async fn write(&self, plan: Plan) -> Result<(), StateError> {
        for (name, route) in &plan.routes {
            self.put(Key::Route(name.clone()), route).await?;
        }
        for (name, pin) in &plan.pins {
            self.put(Key::Pin(name.clone()), pin).await?;
        }
        for (host, assignment) in &plan.assignments {
            self.put(Key::Assign(host.clone()), assignment).await?;
        }
        Ok(())
    }

    async fn put<T: Serialize>(&self, key: Key, value: &T) -> Result<(), StateError> {
        let position = self.mirror.position(&key);
        self.lead.state.put_signed(&key, value, position, &self.lead.key).await.map(drop)
    }

    async fn answer(&mut self, request: mesh_transport::Request) {
        let world = self.world();
        self.desk.answer(request, office(self.lead, &self.mirror, &world, &self.told)).await;
    }

    async fn answer_parked(&mut self) {
        let world = self.world();
        self.desk.answer_parked(office(self.lead, &self.mirror, &world, &self.told)).await;
    }
}

/// What requests are answered from.
fn office<'a>(lead: &'a Lead, mirror: &'a Mirror, world: &'a World, told: &'a Told) -> ctl::Office<'a> {
    ctl::Office {
        host: &lead.host,
        lattice: lead.connections.lattice(),
        state: &lead.state,
        mirror,
        world,
        leader: Some(&lead.host),
        told,
    }
}

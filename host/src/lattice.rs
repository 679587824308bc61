//! This host's part in the lattice: it follows the state, renews its lease, stands for leadership, reports, and takes
//! the calls of other hosts.
//!
//! ```text
//! connecting ──► no state yet ──► following ──┬─► stale: keeps running, goes on looking
//!      │               │                      └─► another boot renews its lease: stops with `identity_in_use`
//!      └───────────────┴── for 2 s ──► runs what it kept of an earlier life
//! ```
//!
//! `host.rs` builds and runs it. It has a runtime of its own with all that belongs to it, so that guests delay none
//! of it.

mod admit;
mod follow;

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use mesh_lattice::{Name, Serve, id::OperatorId};
use mesh_runtime::Journals;
use mesh_transport::{
    Artifacts, CallsConfig, CallsError, Candidate, ConnectConfig, ConnectError, Connections, Inbound, LeaseConfig,
    LeaseError, Leases, Refusals, Remote, State, StateError, Tls,
};
use tokio::{runtime::Handle, sync::watch, task::JoinSet, time::sleep};
use tokio_util::sync::CancellationToken;

use crate::{
    config::Config,
    converge::Report,
    ctl,
    identity::Identity,
    known::{Known, Origin},
    lead::Lead,
    logs::Telling,
    observe::Observe,
    operator::Operators,
    providers::Kinds,
    readiness::{Concern, Readiness},
};
use admit::{Admit, Peers};
use follow::Follow;

/// How long the lattice may take to say what to run before what was kept of an earlier life is used.
const PATIENCE: Duration = Duration::from_secs(2);
/// The state is looked for this often while it is not there.
const LOOK: Duration = Duration::from_millis(500);

/// Why a host cannot take part.
#[derive(Debug, thiserror::Error)]
pub enum LatticeError {
    /// The settings of the connection are wrong.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// Calls of other hosts cannot be taken.
    #[error(transparent)]
    Calls(#[from] CallsError),
    /// Another process runs under this host's key, or the lease cannot be written.
    #[error(transparent)]
    Lease(#[from] LeaseError),
}

/// What both sides of a host share.
pub(crate) struct Parts {
    pub(crate) identity: Identity,
    pub(crate) root: OperatorId,
    pub(crate) known: watch::Sender<Arc<Known>>,
    pub(crate) spare: Option<Known>,
    pub(crate) report: watch::Receiver<Arc<Report>>,
    pub(crate) store: watch::Sender<Option<Arc<Artifacts>>>,
    pub(crate) readiness: Readiness,
    pub(crate) kinds: Kinds,
    pub(crate) inward: Arc<dyn Serve>,
    /// What actors print.
    pub(crate) journals: Arc<Journals>,
    /// Where guests run.
    pub(crate) work: Handle,
    pub(crate) draining: watch::Receiver<bool>,
    pub(crate) started: Instant,
}

/// The connections to a lattice, before anything runs on them.
pub(crate) struct Link {
    pub(crate) connections: Connections,
    pub(crate) remote: Remote,
    inbound: Inbound,
    refusals: Arc<Refusals>,
}

impl Link {
    /// Prepares to connect; nothing needs to be there yet.
    pub(crate) async fn open(
        config: &Config,
        server: &str,
        calls: CallsConfig,
        known: watch::Receiver<Arc<Known>>,
    ) -> Result<Self, LatticeError> {
        let connect = ConnectConfig {
            creds: config.creds.clone(),
            js_domain: config.js_domain.clone(),
            tls: Tls { ca: config.tls_ca.clone(), cert: config.tls_cert.clone(), key: config.tls_key.clone() },
            name: format!("meshd {}", config.name),
            ..ConnectConfig::new(server, config.lattice.clone())
        };
        let connections = Connections::open(connect).await?;
        let refusals = calls.refusals.clone();
        let (remote, inbound) = mesh_transport::calls(&connections, calls, Arc::new(Peers(known))).await?;
        Ok(Self { connections, remote, inbound, refusals })
    }
}

/// Runs this host's part in the lattice until `cancel`; then its lease is given back and its last report written.
///
/// # Errors
///
/// Where another process runs under this host's key.
pub(crate) async fn run(
    link: Link,
    config: Config,
    parts: Parts,
    cancel: CancellationToken,
) -> Result<(), LatticeError> {
    let Link { connections, inbound, refusals, .. } = link;
    // Taking calls ends last: what was taken is answered, whatever else stops.
    let intake = CancellationToken::new();
    let mut tasks = JoinSet::new();
    let operators = Operators {
        host: parts.identity.id.clone(),
        boot: parts.identity.boot,
        known: parts.known.subscribe(),
        inward: parts.inward.clone(),
        refusals: refusals.clone(),
        work: parts.work.clone(),
    };
    tasks.spawn(operators.run(connections.clone(), intake.clone()));
    let telling =
        Telling { host: parts.identity.id.clone(), boot: parts.identity.boot, journals: parts.journals.clone() };
    tasks.spawn(telling.run(connections.clone(), intake.clone()));
    let admit = Arc::new(Admit::new(parts.known.subscribe(), refusals));
    tasks.spawn(inbound.run(parts.inward.clone(), admit, intake.clone()));
    tasks.spawn(watch_health(connections.clone(), parts.readiness.clone(), intake.clone()));
    let result = match find_state(&connections, &parts, &cancel).await {
        Some(state) => follow_state(state, connections, config, parts, cancel).await,
        None => Ok(()),
    };
    intake.cancel();
    while tasks.join_next().await.is_some() {}
    result
}

/// Looks for the lattice's state until it is there. Meanwhile this host runs what it kept of an earlier life.
async fn find_state(connections: &Connections, parts: &Parts, cancel: &CancellationToken) -> Option<State> {
    let patience = tokio::time::Instant::now() + PATIENCE;
    loop {
        let opened = tokio::select! {
            () = cancel.cancelled() => return None,
            opened = State::open(connections, &parts.root) => opened,
        };
        let reason = match opened {
            Ok(state) => return Some(state),
            Err(StateError::Missing) => "the lattice has no state yet: meshctl up makes it".to_owned(),
            Err(StateError::Disconnected(_)) => format!("not connected to {}; trying again", connections.server()),
            Err(error) => format!("the lattice's state cannot be read: {error}; trying again"),
        };
        parts.readiness.set(Concern::StateStale, Some(reason));
        if tokio::time::Instant::now() >= patience
            && parts.known.borrow().origin == Origin::Nothing
            && let Some(spare) = &parts.spare
        {
            tracing::warn!("the lattice cannot be reached; starting from what was kept of an earlier life");
            parts.known.send_replace(Arc::new(spare.clone()));
        }
        tokio::select! {
            () = cancel.cancelled() => return None,
            () = sleep(LOOK.mul_f64(0.5 + crate::chance())) => {}
        }
    }
}

/// Everything that needs the state.
async fn follow_state(
    state: State,
    connections: Connections,
    config: Config,
    parts: Parts,
    cancel: CancellationToken,
) -> Result<(), LatticeError> {
    parts.store.send_replace(Some(Arc::new(Artifacts::new(&connections))));
    let mut tasks: JoinSet<()> = JoinSet::new();
    let (caught_up, ready) = watch::channel(false);
    let follow = Follow {
        caught_up,
        state: state.clone(),
        own: parts.identity.id.clone(),
        root: parts.root.clone(),
        known: parts.known.clone(),
        readiness: parts.readiness.clone(),
        spare: parts.spare,
        patience: tokio::time::Instant::now() + PATIENCE,
    };
    tasks.spawn(follow.run(cancel.clone()));
    let peers = Arc::new(Peers(parts.known.subscribe()));
    let candidate = Candidate::new(&state, parts.identity.key.clone(), parts.identity.boot, peers);
    if let Some((candidate, leadership)) = candidate {
        let lead = Lead {
            connections: connections.clone(),
            state: state.clone(),
            leadership,
            key: parts.identity.key.clone(),
            host: parts.identity.id.clone(),
            root: parts.root,
            kinds: kinds(&parts.kinds),
            known: parts.known.subscribe(),
        };
        tasks.spawn(stand(candidate, ready, cancel.clone()));
        tasks.spawn(lead.run(cancel.clone()));
    }
    let observe = Observe {
        state: state.clone(),
        identity: parts.identity.clone(),
        name: config.name,
        labels: config.labels,
        report: parts.report,
        draining: parts.draining.clone(),
        started: parts.started,
    };
    tasks.spawn(observe.run(cancel.clone()));
    let lease = LeaseConfig::new(parts.identity.key, parts.identity.boot);
    let leases = Leases::new(&state);
    let renewed = leases.renew(lease, parts.draining, cancel.clone()).await;
    if renewed.is_err() {
        tasks.abort_all();
    }
    while let Some(ended) = tasks.join_next().await {
        if let Err(error) = ended
            && error.is_panic()
        {
            tracing::error!("a task of the lattice ended unexpectedly: {error}");
        }
    }
    Ok(renewed?)
}

/// Stands for leadership as soon as it is known who is enrolled: before that, the record of whoever leads would look
/// like nobody's.
async fn stand(candidate: Candidate, mut caught_up: watch::Receiver<bool>, cancel: CancellationToken) {
    tokio::select! {
        () = cancel.cancelled() => return,
        known = has_caught_up(&mut caught_up) => if !known { return },
    }
    candidate.run(cancel).await;
}

async fn has_caught_up(caught_up: &mut watch::Receiver<bool>) -> bool {
    caught_up.wait_for(|caught_up| *caught_up).await.is_ok()
}

fn kinds(kinds: &Kinds) -> BTreeMap<Name, ctl::Kind> {
    kinds.iter().map(|(name, factory)| (name.clone(), ctl::Kind { factory: factory.clone() })).collect()
}

async fn watch_health(connections: Connections, readiness: Readiness, cancel: CancellationToken) {
    let mut health = connections.health();
    loop {
        let up = {
            let now = health.borrow_and_update();
            now.control_up && now.data_up
        };
        let reason = || format!("not connected to nats-server at {}; trying again", connections.server());
        readiness.set(Concern::Disconnected, (!up).then(reason));
        if let (true, Some(old)) = (up, connections.too_old()) {
            tracing::warn!("{old}");
        }
        tokio::select! {
            () = cancel.cancelled() => return,
            changed = health.changed() => if changed.is_err() { return },
        }
    }
}

//! One host: the order in which it is built, and the one in which it stops.
//!
//! ```text
//! build: identity ─► trust ─► what is known ─► lattice ─► router ─► engine ─► actors, providers ─► admin port
//! run:   until SIGTERM or SIGINT, until another process has this host's identity, or until something essential ends
//! stop:  one function, numbered, with one deadline: `host/shutdown.rs`
//! ```

mod beginning;
mod duties;
mod shutdown;

use std::{io, net::SocketAddr, sync::Arc, time::Instant};

use mesh_lattice::handle;
use mesh_runtime::{Engine, EngineConfig, EngineError, Journals};
use mesh_transport::{CallsConfig, LeaseError, Refusals};
use tokio::{
    runtime::Handle,
    signal::unix::{Signal, SignalKind, signal},
    sync::{Notify, mpsc, watch},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

use beginning::{Beginning, beginning, default_nats, export, site};
use shutdown::{Membership, Shutdown, core_task, left};

use crate::{
    actors::{self, Actors},
    admin::{Admin, metrics::Metrics},
    artifacts::Artifacts,
    config::Config,
    converge::{Converge, Report},
    identity::{Identity, IdentityError},
    known::{Known, Origin},
    lattice::{self, LatticeError, Link, Parts},
    providers::{self, Kinds, Providers},
    readiness::Readiness,
    router::{Far, Inward, Router, table::Table},
    snapshot::SnapshotError,
    telemetry::{ExportError, Spans},
    trust::{TrustFile, TrustFileError},
};

/// Why there is no host.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// It does not know who it is.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// It does not know whom to trust.
    #[error(transparent)]
    Trust(#[from] TrustFileError),
    /// What it is to run cannot be read.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// It cannot take part in the lattice.
    #[error(transparent)]
    Lattice(#[from] LatticeError),
    /// Nothing can run on it.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// Its spans cannot be exported.
    #[error(transparent)]
    Export(#[from] ExportError),
    /// Its admin port is taken, or none of this machine's.
    #[error("the admin port cannot be opened at {address}")]
    Admin {
        /// Where it was to be.
        address: SocketAddr,
        /// Why it is not.
        #[source]
        source: io::Error,
    },
    /// Something of the machine cannot be had.
    #[error("{what}")]
    Machine {
        /// What was tried.
        what: String,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
}

/// Why a host stopped by itself.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Another process runs under its key.
    #[error("identity_in_use: {0}")]
    IdentityInUse(LeaseError),
    /// It can no longer take part in the lattice.
    #[error(transparent)]
    Lattice(LatticeError),
    /// Something essential ended.
    #[error("{0} ended unexpectedly")]
    Ended(&'static str),
    /// It was told a second time to stop.
    #[error("stopped at once, as asked for twice")]
    Forced,
}

/// A host that has been built.
pub struct Host {
    config: Config,
    identity: Identity,
    root: mesh_lattice::id::OperatorId,
    known: watch::Sender<Arc<Known>>,
    spare: Option<Known>,
    link: Option<Link>,
    router: Arc<Router>,
    converge: Converge,
    journals: Arc<Journals>,
    report: watch::Receiver<Arc<Report>>,
    store: watch::Sender<Option<Arc<mesh_transport::Artifacts>>>,
    kinds: Kinds,
    readiness: Readiness,
    admin: Option<Admin>,
    spans: Option<Spans>,
    signals: Signals,
    started: Instant,
    work: Handle,
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn listen() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

impl Host {
    /// Builds a host: binds what it needs, runs nothing. `work` is where guests, HTTP and providers run.
    ///
    /// # Errors
    ///
    /// Where something that it cannot do without is missing.
    pub async fn build(config: Config, kinds: Kinds, work: Handle) -> Result<Self, BuildError> {
        let signals = Signals::listen().map_err(machine("signals cannot be handled"))?;
        beginning::assignment_is_there(&config)?;
        let identity = Identity::open(&config.host_key, config.make_host_key)?;
        let trust = TrustFile::read(&config.trust)?;
        let Beginning { known, spare, ran_before } = beginning(&config, &trust)?;
        let (known, known_here) = watch::channel(Arc::new(known));

        let refusals = Arc::new(Refusals::default());
        let link = match config.server.as_deref() {
            Some(server) => {
                let calls = CallsConfig {
                    work: work.clone(),
                    refusals: refusals.clone(),
                    ..CallsConfig::new(identity.key.clone(), identity.boot)
                };
                Some(Link::open(&config, server, calls, known_here.clone()).await?)
            }
            None => None,
        };
        let spans = match config.otel.as_deref() {
            Some(url) => Some(export(&config, url, identity.id.as_str()).await?),
            None => None,
        };
        let (table, tables) = watch::channel(Arc::new(Table::default()));
        let far = link.as_ref().map(|link| -> Arc<dyn Far> { Arc::new(link.remote.clone()) });
        let router = Router::new(tables, far, spans.as_ref().map(Spans::tracer), refusals);

        let engine_config = EngineConfig {
            cache_dir: Some(actors::compiled_dir(&config.dir)),
            origin: Some(handle::Origin { host: identity.id.clone(), boot: identity.boot }),
            liveness: link.as_ref().map(|link| -> Arc<dyn handle::Liveness> { Arc::new(link.remote.clone()) }),
            ..EngineConfig::default()
        };
        let engine = Engine::new(engine_config)?;
        let journals = engine.journals().clone();
        let changed = Arc::new(Notify::new());
        let (store, stores) = watch::channel(None);
        let actors = Actors::new(Arc::new(actors::Starter {
            engine: engine.clone(),
            artifacts: Artifacts::new(config.dir.join("artifacts"), stores),
            calls: router.clone(),
            known: known_here.clone(),
            ran_before,
            changed: changed.clone(),
        }));
        let providers = Providers::new(Arc::new(providers::Starter {
            lattice: config.lattice.clone(),
            kinds: kinds.clone(),
            data_dir: config.dir.join("data"),
            runtime_dir: config.runtime_dir.clone(),
            calls: router.clone(),
            default_nats: default_nats(&config),
            tracing: spans.is_some(),
            work: work.clone(),
            changed: changed.clone(),
        }));
        let (report, reports) = watch::channel(Arc::new(Report {
            origin: Origin::Nothing,
            term: 0,
            actors: Vec::new(),
            providers: Vec::new(),
            serving: Vec::new(),
        }));
        let converge = Converge {
            own: identity.id.clone(),
            site: site(&config),
            known: known_here,
            actors,
            providers,
            kinds: kinds.clone(),
            changed,
            table,
            report,
        };
        let readiness = Readiness::default();
        let metrics = Metrics::new(&identity, config.lattice.as_str(), router.clone(), reports.clone(), engine)
            .with_tasks([("control", Handle::current()), ("work", work.clone())]);
        let metrics = match &link {
            Some(link) => metrics.with_lattice(link),
            None => metrics,
        };
        let admin =
            config.admin.map(|address| duties::bind_admin(address, &config, &readiness, metrics)).transpose()?;
        Ok(Self {
            root: trust.root,
            config,
            identity,
            known,
            spare,
            link,
            router,
            converge,
            journals,
            report: reports,
            store,
            kinds,
            readiness,
            admin,
            spans,
            signals,
            started: Instant::now(),
            work,
        })
    }

    /// Runs until it is told to stop, and stops.
    ///
    /// # Errors
    ///
    /// Where it stopped by itself, or was told twice.
    pub async fn run(self) -> Result<(), RunError> {
        let Self { config, identity, mut signals, readiness, .. } = self;
        tracing::info!(host = %identity.id, boot = %identity.boot, name = config.name, lattice = %config.lattice, "starting");
        let (draining, drains) = watch::channel(false);
        let cancel = CancellationToken::new();
        let (stops, stopping) = mpsc::channel(4);
        let mut core: JoinSet<&'static str> = JoinSet::new();
        core.spawn(async move {
            self.converge.run(stopping).await;
            "converging"
        });
        core.spawn(duties::run_readiness(
            self.report.clone(),
            readiness.clone(),
            config.server.is_none(),
            cancel.clone(),
        ));
        if let Some(admin) = self.admin {
            core.spawn(duties::run_admin(admin, cancel.clone()));
        }
        let snapshots = self.known.subscribe();
        core.spawn(duties::keep_snapshot(snapshots, config.dir.join(crate::snapshot::FILE), cancel.clone()));

        let leave = CancellationToken::new();
        let mut lattice = None;
        if let Some(link) = self.link {
            let parts = Parts {
                identity,
                root: self.root,
                known: self.known,
                spare: self.spare,
                report: self.report,
                store: self.store,
                readiness: readiness.clone(),
                kinds: self.kinds,
                inward: Arc::new(Inward(self.router)),
                journals: self.journals,
                work: self.work,
                draining: drains,
                started: self.started,
            };
            let (connections, remote) = (link.connections.clone(), link.remote.clone());
            let task = core_task(lattice::run(link, config.clone(), parts, leave.clone()));
            lattice = Some(Membership { connections, remote, task, leave });
        }
        let ended = tokio::select! {
            () = signals.next() => Ok(()),
            Some(ended) = core.join_next() => Err(RunError::Ended(ended.unwrap_or("a core task"))),
            ended = left(&mut lattice) => Err(ended),
        };
        if let Err(error) = &ended {
            tracing::error!("{error}");
        }
        if matches!(ended, Err(RunError::IdentityInUse(_))) {
            // The other process has this identity and its work: whatever this one still does, it does in its name.
            return ended;
        }
        let all = Shutdown { config, readiness, draining, stops, lattice, cancel, core, spans: self.spans };
        tokio::select! {
            () = all.run() => ended,
            () = signals.next() => Err(RunError::Forced),
        }
    }
}

fn machine(what: &str) -> impl FnOnce(io::Error) -> BuildError {
    let what = what.to_owned();
    move |source| BuildError::Machine { what, source }
}

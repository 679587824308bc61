//! The connections of one process to NATS: who connects, how often, and whether they are up.
//!
//! A host has two connections, so that a flood of calls cannot delay a lease: *control* carries state, leases and
//! control requests, *data* carries calls and their streams. `meshctl` has one for both. Nothing in this crate
//! publishes without looking at the connection first: async-nats keeps what is published while it is disconnected and
//! blocks when that is full, and a call that waited in a buffer is of no use.
//!
//! ```text
//! connect() ── one attempt ──► up                       meshctl: says what is wrong and stops
//! open() ────► down ◄────────► up                       meshd: keeps trying, full jitter
//! ```

mod error;
mod options;
mod tls;

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_nats::{Client, connection::State, jetstream};
use mesh_lattice::{clock::Monotonic, name::LatticeName};
use tokio::{sync::watch, time::timeout};

pub use error::{ConnectError, Disconnected, TooOld};
use options::{addresses, is_fit, options, refused_or_unreachable};
pub use tls::TlsTrouble;

/// How long one attempt to connect may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The oldest servers without known holes that have everything we use.
const FLOOR: &str = "2.12.12 or 2.14.3";

/// Files of a TLS connection; without any, the server decides whether there is TLS.
#[derive(Debug, Clone, Default)]
pub struct Tls {
    /// Certificates that the server's is checked against, beside those of the system.
    pub ca: Option<PathBuf>,
    /// Our own certificate.
    pub cert: Option<PathBuf>,
    /// Its key.
    pub key: Option<PathBuf>,
}

/// Where and how to connect.
#[derive(Debug, Clone)]
pub struct ConnectConfig {
    /// The server's URL; several are separated by commas.
    pub server: String,
    /// A NATS credentials file.
    pub creds: Option<PathBuf>,
    /// The JetStream domain of the lattice's state, where it is not the server's own.
    pub js_domain: Option<String>,
    /// TLS files.
    pub tls: Tls,
    /// The lattice.
    pub lattice: LatticeName,
    /// What the server's own tools call this connection.
    pub name: String,
}

impl ConnectConfig {
    /// Plain settings for a server.
    pub fn new(server: impl Into<String>, lattice: LatticeName) -> Self {
        Self {
            server: server.into(),
            creds: None,
            js_domain: None,
            tls: Tls::default(),
            lattice,
            name: "mesh".to_owned(),
        }
    }
}

/// Which connections are up, and how often each came up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Health {
    /// The connection of state, leases and control requests.
    pub control_up: bool,
    /// The connection of calls.
    pub data_up: bool,
    /// How often the control connection came up: a change means that something may have been missed.
    pub control_epoch: u64,
    /// How often the data connection came up.
    pub data_epoch: u64,
    /// When it did so last.
    pub data_since: Monotonic,
}

/// The connections of one process. Cheap to clone.
#[derive(Clone)]
pub struct Connections {
    inner: Arc<Inner>,
}

struct Inner {
    config: ConnectConfig,
    control: Client,
    data: Client,
    js: jetstream::Context,
    health: watch::Receiver<Health>,
    shared: Arc<Shared>,
}

/// What the clients of a process and their callbacks share.
pub(super) struct Shared {
    /// How many hosts reconnect when the server comes back.
    known_hosts: AtomicUsize,
    /// Messages that no subscription had room for.
    overflowed: AtomicU64,
}

impl Default for Shared {
    fn default() -> Self {
        Self { known_hosts: AtomicUsize::new(1), overflowed: AtomicU64::new(0) }
    }
}

impl std::fmt::Debug for Connections {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connections").field("server", &self.inner.config.server).finish_non_exhaustive()
    }
}

/// Which of the two connections an event is about.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Control,
    Data,
    Both,
}

impl Connections {
    /// One attempt, one connection for both roles.
    ///
    /// # Errors
    ///
    /// Says what stands in the way: the address, the credentials or the server's JetStream.
    pub async fn connect(config: ConnectConfig) -> Result<Self, ConnectError> {
        let server = config.server.clone();
        let (health, watched) = watch::channel(Health::default());
        let shared = Arc::new(Shared::default());
        let options = options(&config, Role::Both, health, &shared).await?;
        let attempt = timeout(CONNECT_TIMEOUT, options.connect(addresses(&config)?)).await;
        let client = match attempt {
            Ok(Ok(client)) => client,
            Ok(Err(error)) => return Err(refused_or_unreachable(&server, &error)),
            Err(_) => return Err(ConnectError::Unreachable { server, what: "no answer within 5 s".to_owned() }),
        };
        let connections = Self::assemble(config, client.clone(), client, watched, shared);
        connections.check_jetstream().await?;
        Ok(connections)
    }

    /// Two connections that keep trying for ever; returns at once, connected or not.
    ///
    /// # Errors
    ///
    /// [`ConnectError::Configuration`] alone: a file that cannot be read, an address that is none.
    pub async fn open(config: ConnectConfig) -> Result<Self, ConnectError> {
        let (health, watched) = watch::channel(Health::default());
        let shared = Arc::new(Shared::default());
        let mut clients = Vec::with_capacity(2);
        for role in [Role::Control, Role::Data] {
            let options = options(&config, role, health.clone(), &shared).await?;
            let client = options.retry_on_initial_connect().connect(addresses(&config)?).await;
            clients.push(client.map_err(|error| ConnectError::Configuration { what: error.to_string() })?);
        }
        let (Some(data), Some(control)) = (clients.pop(), clients.pop()) else {
            return Err(ConnectError::Configuration { what: "no connection was made".to_owned() });
        };
        Ok(Self::assemble(config, control, data, watched, shared))
    }

    fn assemble(
        config: ConnectConfig,
        control: Client,
        data: Client,
        health: watch::Receiver<Health>,
        shared: Arc<Shared>,
    ) -> Self {
        let js = match &config.js_domain {
            Some(domain) => jetstream::with_domain(control.clone(), domain),
            None => jetstream::new(control.clone()),
        };
        Self { inner: Arc::new(Inner { config, control, data, js, health, shared }) }
    }

    async fn check_jetstream(&self) -> Result<(), ConnectError> {
        let server = self.inner.config.server.clone();
        let subject = format!("{}.INFO", self.api_prefix());
        let note = self.too_old().map_or_else(String::new, |old| format!("; {old}"));
        let answer = timeout(CONNECT_TIMEOUT, self.inner.control.request(subject, "".into())).await;
        match answer {
            Ok(Ok(message)) if !message.payload.windows(7).any(|part| part == b"\"error\"") => Ok(()),
            Ok(Ok(_)) => Err(ConnectError::NoJetStream { server, note }),
            Ok(Err(error)) if error.kind() == async_nats::RequestErrorKind::NoResponders => {
                Err(ConnectError::NoJetStream { server, note })
            }
            Ok(Err(error)) => Err(ConnectError::Unreachable { server, what: error.to_string() }),
            Err(_) => {
                Err(ConnectError::Unreachable { server, what: format!("JetStream did not answer within 5 s{note}") })
            }
        }
    }

    /// Which connections are up, as it changes.
    #[must_use]
    pub fn health(&self) -> watch::Receiver<Health> {
        self.inner.health.clone()
    }

    /// Waits until both connections are up.
    ///
    /// # Errors
    ///
    /// Where they are not within `limit`.
    pub async fn up(&self, limit: Duration) -> Result<(), Disconnected> {
        let mut health = self.health();
        let both = health.wait_for(|health| health.control_up && health.data_up);
        let up = timeout(limit, both).await.is_ok_and(|up| up.is_ok());
        if up { Ok(()) } else { Err(Disconnected) }
    }

    /// Returns once the connection of state, leases and control requests is down.
    pub async fn down(&self) {
        let _ = self.health().wait_for(|health| !health.control_up).await;
    }

    /// Whether the connection of state, leases and control requests is up.
    #[must_use]
    pub fn control_up(&self) -> bool {
        self.inner.control.connection_state() == State::Connected
    }

    /// Whether the connection of calls is up.
    #[must_use]
    pub fn data_up(&self) -> bool {
        self.inner.data.connection_state() == State::Connected
    }

    /// The lattice.
    #[must_use]
    pub fn lattice(&self) -> &LatticeName {
        &self.inner.config.lattice
    }

    /// The server's address as it was given.
    #[must_use]
    pub fn server(&self) -> &str {
        &self.inner.config.server
    }

    /// The server's version; `None` before the first connection.
    #[must_use]
    pub fn server_version(&self) -> Option<String> {
        self.inner.control.try_server_info().map(|info| info.version).filter(|version| !version.is_empty())
    }

    /// A warning, where the server is below the versions that are known to be fit.
    #[must_use]
    pub fn too_old(&self) -> Option<TooOld> {
        let found = self.server_version()?;
        (!is_fit(&found)).then_some(TooOld { found, floor: FLOOR })
    }

    /// The largest message that the server takes, headers included.
    #[must_use]
    pub fn max_payload(&self) -> usize {
        self.inner.data.max_payload()
    }

    /// How many hosts reconnect when the server comes back: what the jitter of our own attempts is made of.
    pub fn set_known_hosts(&self, hosts: usize) {
        self.inner.shared.known_hosts.store(hosts.max(1), Ordering::Relaxed);
    }

    /// How many messages were dropped because this process did not take them in time, as far as that was counted.
    #[must_use]
    pub fn overflowed(&self) -> u64 {
        self.inner.shared.overflowed.load(Ordering::Relaxed)
    }

    /// Whether the connection of calls is up, and others had the time to come back too: only then can be told who is
    /// gone.
    pub(crate) fn settled(&self) -> bool {
        let (epoch, since) = {
            let health = self.inner.health.borrow();
            (health.data_epoch, health.data_since)
        };
        let window = options::reconnect_window(self.inner.shared.known_hosts.load(Ordering::Relaxed));
        // Up from the beginning: nobody had to come back.
        self.data_up() && (epoch <= 1 || Monotonic::now().since(since) >= window)
    }

    /// One round trip to the server and back, on the control connection.
    ///
    /// # Errors
    ///
    /// Where the connection is down or does not answer within 5 s.
    pub async fn round_trip(&self) -> Result<Duration, Disconnected> {
        round_trip(self.control()?).await
    }

    /// Waits until the server has taken in what was sent on the data connection before, where that is up.
    pub(crate) async fn settle_data(&self) {
        if self.data_up() {
            let _ = round_trip(&self.inner.data).await;
        }
    }

    /// Lets go of what is on its way, and ends both connections.
    pub async fn close(&self, limit: Duration) {
        for client in [&self.inner.data, &self.inner.control] {
            // One that is down has nobody to say goodbye to, and would wait for a server.
            if client.connection_state() == State::Connected {
                let _ = timeout(limit, client.flush()).await;
                let _ = timeout(limit, client.drain()).await;
            }
        }
    }

    /// The connection of state, leases and control requests, where it is up.
    pub(crate) fn control(&self) -> Result<&Client, Disconnected> {
        if self.control_up() { Ok(&self.inner.control) } else { Err(Disconnected) }
    }

    /// The same, up or not: for subscriptions, which hold from the next time that it is up.
    pub(crate) fn control_or_waiting(&self) -> &Client {
        &self.inner.control
    }

    /// The connection of calls, up or not: the caller looks at [`Connections::data_up`] first.
    pub(crate) fn data(&self) -> &Client {
        &self.inner.data
    }

    /// JetStream over the control connection.
    pub(crate) fn js(&self) -> &jetstream::Context {
        &self.inner.js
    }

    /// `$JS.API`, or that of the domain.
    pub(crate) fn api_prefix(&self) -> String {
        match &self.inner.config.js_domain {
            Some(domain) => format!("$JS.{domain}.API"),
            None => "$JS.API".to_owned(),
        }
    }

    /// What a publish into a stream's own subjects has to begin with: nothing without a domain.
    pub(crate) fn publish_prefix(&self) -> String {
        self.inner.config.js_domain.as_ref().map_or_else(String::new, |domain| format!("$JS.{domain}.API."))
    }
}

/// Asks where nobody listens: the server itself answers that, after everything that came before.
async fn round_trip(client: &Client) -> Result<Duration, Disconnected> {
    let started = tokio::time::Instant::now();
    match timeout(CONNECT_TIMEOUT, client.request(client.new_inbox(), "".into())).await {
        Ok(Err(error)) if error.kind() == async_nats::RequestErrorKind::NoResponders => Ok(started.elapsed()),
        Ok(Ok(_)) => Ok(started.elapsed()),
        _ => Err(Disconnected),
    }
}

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

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_nats::{Client, ConnectErrorKind, ConnectOptions, Event as NatsEvent, connection::State, jetstream};
use futures::StreamExt as _;
use mesh_lattice::{name::LatticeName, stored::Event, subject};
use tokio::{sync::watch, time::timeout};

/// How long one attempt to connect may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How often the connection itself is checked; after three unanswered ones it counts as down.
const PING_INTERVAL: Duration = Duration::from_secs(2);

/// Messages that one subscription holds before the newest is dropped. Readers never wait for work, so this is only
/// reached where the process itself stands still.
const SUBSCRIPTION_CAPACITY: usize = 16_384;

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

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Nothing answers there.
    #[error("cannot reach nats-server at {server}: {what}")]
    Unreachable {
        /// The address that was tried.
        server: String,
        /// What came of it.
        what: String,
    },
    /// The server does not take these credentials.
    #[error("nats-server at {server} refused the credentials: {what}")]
    Refused {
        /// The address that was tried.
        server: String,
        /// What it said.
        what: String,
    },
    /// The server, or this account of it, has no JetStream.
    #[error("nats-server at {server} has no JetStream for this account")]
    NoJetStream {
        /// The address that was tried.
        server: String,
    },
    /// A file or an address in the settings is of no use.
    #[error("{what}")]
    Configuration {
        /// What is wrong with it.
        what: String,
    },
}

/// The connection is down; nothing was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not connected to nats-server")]
pub struct Disconnected;

/// A server that is older than it should be: a warning, it is used all the same.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("nats-server {found} is older than {floor}: it has known holes or lacks atomic batches")]
pub struct TooOld {
    /// Its version.
    pub found: String,
    /// The oldest versions that are fit.
    pub floor: &'static str,
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
    known_hosts: Arc<AtomicUsize>,
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
        let known_hosts = Arc::new(AtomicUsize::new(1));
        let options = options(&config, Role::Both, health, &known_hosts).await?;
        let attempt = timeout(CONNECT_TIMEOUT, options.connect(addresses(&config)?)).await;
        let client = match attempt {
            Ok(Ok(client)) => client,
            Ok(Err(error)) => return Err(refused_or_unreachable(&server, &error)),
            Err(_) => return Err(ConnectError::Unreachable { server, what: "no answer within 5 s".to_owned() }),
        };
        let connections = Self::assemble(config, client.clone(), client, watched, known_hosts);
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
        let known_hosts = Arc::new(AtomicUsize::new(1));
        let mut clients = Vec::with_capacity(2);
        for role in [Role::Control, Role::Data] {
            let options = options(&config, role, health.clone(), &known_hosts).await?;
            let client = options.retry_on_initial_connect().connect(addresses(&config)?).await;
            clients.push(client.map_err(|error| ConnectError::Configuration { what: error.to_string() })?);
        }
        let (Some(data), Some(control)) = (clients.pop(), clients.pop()) else {
            return Err(ConnectError::Configuration { what: "no connection was made".to_owned() });
        };
        Ok(Self::assemble(config, control, data, watched, known_hosts))
    }

    fn assemble(
        config: ConnectConfig,
        control: Client,
        data: Client,
        health: watch::Receiver<Health>,
        known_hosts: Arc<AtomicUsize>,
    ) -> Self {
        let js = match &config.js_domain {
            Some(domain) => jetstream::with_domain(control.clone(), domain),
            None => jetstream::new(control.clone()),
        };
        Self { inner: Arc::new(Inner { config, control, data, js, health, known_hosts }) }
    }

    async fn check_jetstream(&self) -> Result<(), ConnectError> {
        let server = self.inner.config.server.clone();
        let subject = format!("{}.INFO", self.api_prefix());
        let answer = timeout(CONNECT_TIMEOUT, self.inner.control.request(subject, "".into())).await;
        match answer {
            Ok(Ok(message)) if !message.payload.windows(7).any(|part| part == b"\"error\"") => Ok(()),
            Ok(Ok(_)) => Err(ConnectError::NoJetStream { server }),
            Ok(Err(error)) if error.kind() == async_nats::RequestErrorKind::NoResponders => {
                Err(ConnectError::NoJetStream { server })
            }
            Ok(Err(error)) => Err(ConnectError::Unreachable { server, what: error.to_string() }),
            Err(_) => Err(ConnectError::Unreachable { server, what: "JetStream did not answer within 5 s".to_owned() }),
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
        self.inner.known_hosts.store(hosts.max(1), Ordering::Relaxed);
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
            if client.connection_state() == State::Connected {
                let _ = timeout(limit, client.flush()).await;
            }
            let _ = timeout(limit, client.drain()).await;
        }
    }

    /// Says what happened to whoever listens now.
    ///
    /// # Errors
    ///
    /// Where the control connection is down.
    pub async fn publish_event(&self, event: &Event) -> Result<(), Disconnected> {
        let client = self.control()?;
        let bytes = rmp_serde::to_vec_named(event).map_err(|_| Disconnected)?;
        let sent = timeout(CONNECT_TIMEOUT, client.publish(subject::events(self.lattice()), bytes.into())).await;
        if matches!(sent, Ok(Ok(()))) { Ok(()) } else { Err(Disconnected) }
    }

    /// What happens from now on.
    ///
    /// # Errors
    ///
    /// Where the control connection is down.
    pub async fn events(&self) -> Result<Events, Disconnected> {
        let subscribed = self.control()?.subscribe(subject::events(self.lattice())).await;
        Ok(Events(subscribed.map_err(|_| Disconnected)?))
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

/// What happens on the lattice: see [`Connections::events`].
#[derive(Debug)]
pub struct Events(async_nats::Subscriber);

impl Events {
    /// The next event; `None` once the connection is closed. What cannot be read is left out.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            let message = self.0.next().await?;
            if let Ok(event) = rmp_serde::from_slice(&message.payload) {
                return Some(event);
            }
        }
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

fn addresses(config: &ConnectConfig) -> Result<Vec<async_nats::ServerAddr>, ConnectError> {
    let addresses = config.server.split(',').map(|address| address.trim().parse()).collect::<Result<Vec<_>, _>>();
    addresses.map_err(|error| ConnectError::Configuration {
        what: format!("{:?} is not the address of a nats-server: {error}", config.server),
    })
}

async fn options(
    config: &ConnectConfig,
    role: Role,
    health: watch::Sender<Health>,
    known_hosts: &Arc<AtomicUsize>,
) -> Result<ConnectOptions, ConnectError> {
    let name = match role {
        Role::Control => format!("{} control", config.name),
        Role::Data => format!("{} data", config.name),
        Role::Both => config.name.clone(),
    };
    let known_hosts = Arc::clone(known_hosts);
    let mut options = ConnectOptions::new()
        .name(name)
        .ping_interval(PING_INTERVAL)
        .request_timeout(None)
        .connection_timeout(CONNECT_TIMEOUT)
        .subscription_capacity(SUBSCRIPTION_CAPACITY)
        .max_reconnects(None)
        // Every subject is made by `mesh_lattice::subject` from parsed names, or is a reply that came with a message.
        .skip_subject_validation(true)
        .reconnect_delay_callback(move |attempts| {
            reconnect_delay(attempts, known_hosts.load(Ordering::Relaxed), uuid::Uuid::new_v4().as_u64_pair().0)
        })
        .event_callback(move |event| {
            note(&health, role, &event);
            std::future::ready(())
        });
    if let Some(creds) = &config.creds {
        options = options.credentials_file(creds).await.map_err(|error| ConnectError::Configuration {
            what: format!("cannot use the credentials file {}: {error}", creds.display()),
        })?;
    }
    if let Some(ca) = &config.tls.ca {
        options = options.add_root_certificates(ca.clone()).require_tls(true);
    }
    match (&config.tls.cert, &config.tls.key) {
        (Some(cert), Some(key)) => options = options.add_client_certificate(cert.clone(), key.clone()),
        (None, None) => {}
        _ => return Err(ConnectError::Configuration { what: "a TLS certificate and its key go together".to_owned() }),
    }
    Ok(options)
}

/// Any moment of a window that grows to one second, or further where many hosts reconnect at once.
fn reconnect_delay(attempts: usize, known_hosts: usize, random: u64) -> Duration {
    let window = Duration::from_millis(u64::try_from(known_hosts).unwrap_or(u64::MAX).saturating_mul(10))
        .clamp(Duration::from_millis(100), Duration::from_secs(5));
    let exponent = u32::try_from(attempts.min(10)).unwrap_or(10);
    let grown = window.saturating_mul(2u32.saturating_pow(exponent)).min(window.max(Duration::from_secs(1)));
    let share = (random >> 11) as f64 / (1u64 << 53) as f64;
    grown.mul_f64(share)
}

fn note(health: &watch::Sender<Health>, role: Role, event: &NatsEvent) {
    let up = match event {
        NatsEvent::Connected => true,
        NatsEvent::Disconnected | NatsEvent::Closed => false,
        NatsEvent::SlowConsumer(_) => {
            tracing::warn!("a subscription is full: messages were dropped");
            return;
        }
        _ => return,
    };
    health.send_modify(|health| {
        if role != Role::Data {
            health.control_up = up;
            health.control_epoch += u64::from(up);
        }
        if role != Role::Control {
            health.data_up = up;
            health.data_epoch += u64::from(up);
        }
    });
}

fn refused_or_unreachable(server: &str, error: &async_nats::ConnectError) -> ConnectError {
    let (server, what) = (server.to_owned(), error.to_string());
    match error.kind() {
        ConnectErrorKind::Authentication | ConnectErrorKind::AuthorizationViolation => {
            ConnectError::Refused { server, what }
        }
        ConnectErrorKind::ServerParse => ConnectError::Configuration { what },
        _ => ConnectError::Unreachable { server, what },
    }
}

/// Whether a server of this version is fit: 2.12 from .12 on, 2.14 from .3 on, all that is later.
fn is_fit(version: &str) -> bool {
    let core = version.trim_start_matches('v').split(['-', '+']).next().unwrap_or_default();
    let mut numbers = core.split('.').map(|number| number.parse::<u32>().unwrap_or(0));
    let mut next = || numbers.next().unwrap_or(0);
    let version = (next(), next(), next());
    match (version.0, version.1) {
        (2, 12) => version.2 >= 12,
        (2, 14) => version.2 >= 3,
        later => later >= (2, 15),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_below_the_floor_are_told_apart() {
        for fit in ["2.12.12", "2.14.3", "2.15.0", "2.15.1", "v2.15.1-rc.1", "3.0.0"] {
            assert!(is_fit(fit), "{fit}");
        }
        for unfit in ["2.9.10", "2.12.11", "2.13.9", "2.14.2", "", "x"] {
            assert!(!is_fit(unfit), "{unfit}");
        }
    }

    #[test]
    fn attempts_are_spread_over_the_whole_window() {
        for attempts in 0..40 {
            assert_eq!(reconnect_delay(attempts, 1, 0), Duration::ZERO);
            assert!(reconnect_delay(attempts, 1, u64::MAX) <= Duration::from_secs(1));
            assert!(reconnect_delay(attempts, usize::MAX, u64::MAX) <= Duration::from_secs(5));
        }
        assert!(reconnect_delay(1, 300, u64::MAX) > Duration::from_secs(2));
    }
}

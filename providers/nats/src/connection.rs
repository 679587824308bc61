//! One connection to NATS. It connects in the background and stays: a server that is away makes calls fail in time,
//! not links. Reconnecting is spread over random waits; subscriptions come back with it.

use std::{
    future::Future,
    io,
    path::Path,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_nats::{Client, ConnectOptions, Event, connection::State};
use mesh_lattice::Deadline;
use mesh_provider::jitter;
use tokio::sync::watch;

use crate::server::ServerSettings;

/// The longest wait on NATS for one answer.
pub const ANSWER: Duration = Duration::from_secs(5);

/// How long a call waits for a connection that is down: what is sent into one would be done when it is up again, late.
const CONNECTED: Duration = Duration::from_secs(2);

/// There is no connection, and none came in time.
#[derive(Debug, Clone, thiserror::Error)]
#[error("not connected to NATS at {0}")]
pub struct NotConnected(String);

/// NATS did not answer in time.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("NATS did not answer in time")]
pub struct Late;

/// A connection.
#[derive(Debug)]
pub struct Connection {
    url: String,
    client: Client,
    changes: watch::Receiver<u64>,
}

impl Connection {
    /// Begins to connect under this name. In `lost` it counts the messages that nobody read in time, as far as the
    /// client says so.
    ///
    /// # Errors
    ///
    /// Where the credentials or certificates cannot be read, or the address is none.
    pub async fn open(
        name: &str,
        settings: &ServerSettings,
        data_dir: &Path,
        lost: &Arc<AtomicU64>,
    ) -> io::Result<Self> {
        let (changed, changes) = watch::channel(0u64);
        let changed = Arc::new(changed);
        let counted = Arc::clone(lost);
        let options = credentials(settings, data_dir)
            .await?
            .name(name)
            .retry_on_initial_connect()
            .max_reconnects(None)
            .ping_interval(Duration::from_secs(2))
            .connection_timeout(Duration::from_secs(2))
            .request_timeout(Some(ANSWER))
            .reconnect_delay_callback(|attempt| {
                jitter::backoff(attempt, Duration::from_millis(100), Duration::from_secs(2))
            })
            .event_callback(move |event| {
                let (changed, lost) = (Arc::clone(&changed), Arc::clone(&counted));
                async move {
                    if matches!(event, Event::SlowConsumer(_)) {
                        lost.fetch_add(1, Ordering::Relaxed);
                    } else if !matches!(event, Event::Connected) {
                        tracing::debug!(%event, "a provider's connection to NATS");
                    }
                    changed.send_modify(|count| *count += 1);
                }
            });
        let urls: Vec<&str> = settings.url.split(',').map(str::trim).collect();
        let client = options.connect(urls).await.map_err(io::Error::other)?;
        Ok(Self { url: settings.url.clone(), client, changes })
    }

    /// The client itself.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Whether it is connected now.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.client.connection_state() == State::Connected
    }

    /// Where it connects to.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The largest message that the server takes.
    #[must_use]
    pub fn max_payload(&self) -> usize {
        self.client.server_info().max_payload
    }

    /// Returns when it is connected.
    ///
    /// # Errors
    ///
    /// Where it is not, at the deadline or after two seconds.
    pub async fn connected(&self, deadline: Deadline) -> Result<(), NotConnected> {
        if self.is_connected() {
            return Ok(());
        }
        let mut changes = self.changes.clone();
        let wait = async {
            while !self.is_connected() {
                if changes.changed().await.is_err() {
                    return;
                }
            }
        };
        match tokio::time::timeout(deadline.remaining().min(CONNECTED), wait).await {
            Ok(()) if self.is_connected() => Ok(()),
            _ => Err(NotConnected(self.url.clone())),
        }
    }

    /// Sends what is still to be sent.
    pub async fn close(&self, deadline: Deadline) {
        let flushed = tokio::time::timeout(deadline.remaining().min(ANSWER), self.client.flush()).await;
        if !matches!(flushed, Ok(Ok(()))) {
            tracing::debug!(url = self.url, "a connection to NATS was not flushed at its end");
        }
    }
}

/// What NATS answers, in time: by the deadline, and within [`ANSWER`]. Once the deadline has passed nothing is handed to
/// the connection any more; what it has by then it still sends.
///
/// # Errors
///
/// Where it does not.
pub async fn within<T>(deadline: Deadline, answer: impl Future<Output = T>) -> Result<T, Late> {
    let answered = tokio::time::timeout(deadline.remaining().min(ANSWER), deadline.bounds(pin!(answer))).await;
    answered.ok().flatten().ok_or(Late)
}

async fn credentials(settings: &ServerSettings, data_dir: &Path) -> io::Result<ConnectOptions> {
    let mut options = ConnectOptions::new();
    if let Some(file) = &settings.credentials_file {
        options = options.credentials_file(file).await?;
    }
    match (&settings.jwt, &settings.seed) {
        (Some(jwt), Some(seed)) => {
            let key = Arc::new(nkeys::KeyPair::from_seed(seed).map_err(io::Error::other)?);
            options = options.jwt(jwt.clone(), move |nonce| {
                let key = Arc::clone(&key);
                async move { key.sign(&nonce).map_err(async_nats::AuthError::new) }
            });
        }
        (None, Some(seed)) => options = options.nkey(seed.clone()),
        _ => {}
    }
    if let Some(file) = &settings.tls_ca_file {
        options = options.add_root_certificates(file.clone()).require_tls(true);
    } else if let Some(text) = &settings.tls_ca {
        // The client reads certificates from files alone.
        tokio::fs::create_dir_all(data_dir).await?;
        let file = data_dir.join(format!("{}.pem", mesh_lattice::Digest::of(text.as_bytes())));
        tokio::fs::write(&file, text).await?;
        options = options.add_root_certificates(file).require_tls(true);
    }
    Ok(options)
}

//! One connection to NATS for each set of credentials. It connects in the background and stays: a server that is away
//! makes calls fail in time, not links. Reconnecting is spread over random waits.

use std::{collections::HashMap, future::Future, io, path::Path, sync::Arc, time::Duration};

use async_nats::{
    Client, ConnectOptions, Event,
    connection::State,
    jetstream::{
        self,
        context::{GetStreamError, GetStreamErrorKind, KeyValueErrorKind},
        kv,
    },
};
use mesh_lattice::Deadline;
use mesh_provider::{jitter, keyvalue::StoreError};
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::settings::{LinkSettings, ServerSettings};

/// The longest wait on NATS for one answer.
const ANSWER: Duration = Duration::from_secs(5);

/// How long a call waits for a connection that is down: what is sent into one would be done when it is up again, late.
const CONNECTED: Duration = Duration::from_secs(2);

/// A connection and the buckets that were opened on it.
pub(crate) struct Connection {
    url: String,
    client: Client,
    changes: watch::Receiver<u64>,
    buckets: Mutex<HashMap<(Option<String>, String), kv::Store>>,
}

impl Connection {
    /// Begins to connect.
    pub(crate) async fn open(settings: &ServerSettings, data_dir: &Path) -> io::Result<Arc<Self>> {
        let (changed, changes) = watch::channel(0u64);
        let changed = Arc::new(changed);
        let options = credentials(settings, data_dir)
            .await?
            .name("mesh keyvalue-nats")
            .retry_on_initial_connect()
            .max_reconnects(None)
            .ping_interval(Duration::from_secs(2))
            .connection_timeout(Duration::from_secs(2))
            .request_timeout(Some(ANSWER))
            .reconnect_delay_callback(|attempt| {
                jitter::backoff(attempt, Duration::from_millis(100), Duration::from_secs(2))
            })
            .event_callback(move |event| {
                let changed = Arc::clone(&changed);
                async move {
                    if !matches!(event, Event::Connected) {
                        tracing::debug!(%event, "a key-value connection");
                    }
                    changed.send_modify(|count| *count += 1);
                }
            });
        let urls: Vec<&str> = settings.url.split(',').map(str::trim).collect();
        let client = options.connect(urls).await.map_err(io::Error::other)?;
        Ok(Arc::new(Self { url: settings.url.clone(), client, changes, buckets: Mutex::default() }))
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.client.connection_state() == State::Connected
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// A subject that nobody else has.
    pub(crate) fn inbox(&self) -> String {
        self.client.new_inbox()
    }

    /// The largest message that the server takes.
    pub(crate) fn max_payload(&self) -> usize {
        self.client.server_info().max_payload
    }

    /// Returns when it is connected.
    pub(crate) async fn connected(&self, deadline: Deadline) -> Result<(), StoreError> {
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
            _ => Err(StoreError::backend(format!("not connected to NATS at {}", self.url))),
        }
    }

    /// The bucket, opened once, made where that is allowed.
    pub(crate) async fn bucket(
        &self,
        settings: &LinkSettings,
        bucket: &str,
        deadline: Deadline,
    ) -> Result<kv::Store, StoreError> {
        let name = (settings.domain.clone(), bucket.to_owned());
        let known = self.buckets.lock().get(&name).cloned();
        self.connected(deadline).await?;
        if let Some(known) = known {
            return Ok(known);
        }
        let context = match &settings.domain {
            Some(domain) => jetstream::with_domain(self.client.clone(), domain),
            None => jetstream::new(self.client.clone()),
        };
        let store = match within(deadline, context.get_key_value(bucket)).await? {
            Ok(store) => store,
            Err(error) if !is_missing(&error) => {
                return Err(StoreError::backend(format!("the bucket {bucket} cannot be opened: {error}")));
            }
            Err(_) if !settings.auto_create => return Err(StoreError::no_such_store()),
            Err(_) => {
                let config = kv::Config { bucket: bucket.to_owned(), history: 1, ..Default::default() };
                let made = within(deadline, context.create_key_value(config)).await?;
                made.map_err(|error| StoreError::backend(format!("the bucket {bucket} cannot be made: {error}")))?
            }
        };
        self.buckets.lock().insert(name, store.clone());
        Ok(store)
    }

    /// Forgets a bucket that failed, so that the next call looks whether it is still there.
    pub(crate) fn forget(&self, settings: &LinkSettings, bucket: &str) {
        self.buckets.lock().remove(&(settings.domain.clone(), bucket.to_owned()));
    }

    pub(crate) async fn close(&self, deadline: Deadline) {
        let flushed = tokio::time::timeout(deadline.remaining().min(ANSWER), self.client.flush()).await;
        if !matches!(flushed, Ok(Ok(()))) {
            tracing::debug!(url = self.url, "a key-value connection was not flushed at its end");
        }
    }
}

/// What NATS answers, in time.
pub(crate) async fn within<T>(deadline: Deadline, answer: impl Future<Output = T>) -> Result<T, StoreError> {
    let time = deadline.remaining().min(ANSWER);
    tokio::time::timeout(time, answer).await.map_err(|_| StoreError::backend("NATS did not answer in time"))
}

fn is_missing(error: &jetstream::context::KeyValueError) -> bool {
    let source = std::error::Error::source(error).and_then(|source| source.downcast_ref::<GetStreamError>());
    error.kind() == KeyValueErrorKind::GetBucket
        && source.is_some_and(|source| match source.kind() {
            GetStreamErrorKind::JetStream(error) => error.error_code() == jetstream::ErrorCode::STREAM_NOT_FOUND,
            _ => false,
        })
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

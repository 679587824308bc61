//! One connection to NATS for each set of credentials, and the buckets that were opened on it.

use std::{collections::HashMap, future::Future, io, path::Path, sync::Arc};

use async_nats::jetstream::{
    self,
    context::{GetStreamError, GetStreamErrorKind, KeyValueErrorKind},
    kv,
};
use mesh_lattice::Deadline;
use mesh_nats::ServerSettings;
use mesh_provider::keyvalue::StoreError;
use parking_lot::Mutex;

use crate::settings::LinkSettings;

/// A connection and the buckets that were opened on it.
pub(crate) struct Connection {
    pub(crate) nats: mesh_nats::Connection,
    buckets: Mutex<HashMap<(Option<String>, String), kv::Store>>,
}

impl Connection {
    /// Begins to connect.
    pub(crate) async fn open(settings: &ServerSettings, data_dir: &Path) -> io::Result<Arc<Self>> {
        let nats = mesh_nats::Connection::open("mesh keyvalue-nats", settings, data_dir, &Arc::default()).await?;
        Ok(Arc::new(Self { nats, buckets: Mutex::default() }))
    }

    /// A subject that nobody else has.
    pub(crate) fn inbox(&self) -> String {
        self.nats.client().new_inbox()
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
        self.nats.connected(deadline).await.map_err(|error| StoreError::backend(error.to_string()))?;
        if let Some(known) = known {
            return Ok(known);
        }
        let context = match &settings.domain {
            Some(domain) => jetstream::with_domain(self.nats.client().clone(), domain),
            None => jetstream::new(self.nats.client().clone()),
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
}

/// What NATS answers, in time.
pub(crate) async fn within<T>(deadline: Deadline, answer: impl Future<Output = T>) -> Result<T, StoreError> {
    mesh_nats::within(deadline, answer).await.map_err(|late| StoreError::backend(late.to_string()))
}

fn is_missing(error: &jetstream::context::KeyValueError) -> bool {
    let source = std::error::Error::source(error).and_then(|source| source.downcast_ref::<GetStreamError>());
    error.kind() == KeyValueErrorKind::GetBucket
        && source.is_some_and(|source| match source.kind() {
            GetStreamErrorKind::JetStream(error) => error.error_code() == jetstream::ErrorCode::STREAM_NOT_FOUND,
            _ => false,
        })
}

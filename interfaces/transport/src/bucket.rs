//! One key-value bucket over plain requests: get, compare-and-set, one atomic batch, watch.
//!
//! This is the JetStream API spoken directly, because what we need is not what a general client offers: each wait has
//! a limit of ours, a batch is all or nothing, and a watch has to notice that its bucket was deleted and made again.
//! A conflict is told by the server's error code, never by its words.

pub(crate) mod watch;

use std::time::Duration;

use async_nats::{HeaderMap, Message, RequestErrorKind, StatusCode};
use bytes::Bytes;
use mesh_lattice::date;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::connect::{Connections, Disconnected};

/// How long the server may take to answer one request; with every write on disk before it is acknowledged, a slow
/// disk needs some of it.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// `wrong last sequence`: somebody else wrote first.
const WRONG_LAST_SEQUENCE: u64 = 10_071;

/// The same, for a key that is written twice in one batch or was written while it went on.
const WRONG_LAST_SEQUENCE_CONSTANT: u64 = 10_164;

/// There is no such stream.
const STREAM_NOT_FOUND: u64 = 10_059;

/// There is a stream of that name with other settings.
const STREAM_EXISTS: u64 = 10_058;

/// Why a bucket does not do what was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BucketError {
    #[error(transparent)]
    Disconnected(#[from] Disconnected),
    #[error("nats-server did not answer in time")]
    Timeout,
    #[error("there is no such bucket")]
    Missing,
    #[error("somebody else wrote first")]
    Conflict,
    #[error("{0}")]
    Backend(String),
}

/// What is stored under a key.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    /// `None` where the key was deleted.
    pub(crate) value: Option<Bytes>,
    pub(crate) revision: u64,
    /// When it was written, in seconds since 1970 by the server's clock, where the server says so.
    pub(crate) at: Option<u64>,
}

/// One bucket. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Bucket {
    connections: Connections,
    name: String,
    api: String,
}

impl Bucket {
    pub(crate) fn new(connections: &Connections, name: String) -> Self {
        Self { api: connections.api_prefix(), connections: connections.clone(), name }
    }

    pub(crate) fn connections(&self) -> &Connections {
        &self.connections
    }

    fn stream(&self) -> String {
        format!("KV_{}", self.name)
    }

    /// The subject that a key is stored under.
    fn subject(&self, key: &str) -> String {
        format!("$KV.{}.{key}", self.name)
    }

    /// Makes the bucket, unless there is one of this name.
    pub(crate) async fn create(&self, replicas: usize) -> Result<(), BucketError> {
        let config = json!({
            "name": self.stream(),
            "subjects": [self.subject(">")],
            "max_msgs_per_subject": 1,
            "storage": "file",
            "num_replicas": replicas,
            "discard": "new",
            "allow_direct": true,
            "allow_rollup_hdrs": true,
            "allow_atomic": true,
            "deny_delete": true,
        });
        match self.api(&format!("STREAM.CREATE.{}", self.stream()), &config).await {
            Ok(_) => Ok(()),
            Err(ApiError::Code(STREAM_EXISTS, _)) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// What is stored under `key`; `None` where nothing ever was.
    pub(crate) async fn get(&self, key: &str) -> Result<Option<Stored>, BucketError> {
        let subject = format!("{}.DIRECT.GET.{}.{}", self.api, self.stream(), self.subject(key));
        let message = match self.request(subject, None, Bytes::new()).await {
            Err(BucketError::Missing) => return Err(self.why_no_responders().await),
            other => other?,
        };
        match message.status {
            None => {}
            Some(StatusCode::NOT_FOUND) => return Ok(None),
            Some(status) => return Err(BucketError::Backend(format!("reading {key}: status {status}"))),
        }
        let headers = message.headers.as_ref();
        let revision =
            headers.and_then(|headers| headers.get("Nats-Sequence")).and_then(|text| text.as_str().parse().ok());
        let revision = revision.ok_or_else(|| BucketError::Backend("a value without its revision".to_owned()))?;
        let value = (!is_deletion(headers)).then_some(message.payload);
        let at = headers.and_then(|headers| date::from_utc(headers.get("Nats-Time-Stamp")?.as_str()));
        Ok(Some(Stored { value, revision, at }))
    }

    /// Writes one value in place of revision `expected`: 0 where there must be none.
    pub(crate) async fn put(&self, key: &str, value: Bytes, expected: u64) -> Result<u64, BucketError> {
        let mut headers = HeaderMap::new();
        headers.insert("Nats-Expected-Last-Subject-Sequence", expected.to_string());
        self.publish(key, headers, value).await
    }

    /// Says that there is nothing under `key` any more, in place of revision `expected`.
    pub(crate) async fn delete(&self, key: &str, expected: u64) -> Result<u64, BucketError> {
        let mut headers = HeaderMap::new();
        headers.insert("KV-Operation", "DEL");
        headers.insert("Nats-Expected-Last-Subject-Sequence", expected.to_string());
        self.publish(key, headers, Bytes::new()).await
    }

    /// Takes away whatever is stored under `key`, without a trace: whoever watches hears nothing of it.
    pub(crate) async fn purge(&self, key: &str) -> Result<(), BucketError> {
        let filter = json!({ "filter": self.subject(key) });
        self.api(&format!("STREAM.PURGE.{}", self.stream()), &filter).await?;
        Ok(())
    }

    /// Writes all of these or none: (key, value, expected revision), no key twice.
    ///
    /// The server collects the messages of a batch under its id and applies them when the last one says so.
    pub(crate) async fn batch(&self, writes: Vec<(String, Bytes, u64)>) -> Result<u64, BucketError> {
        let id = uuid::Uuid::new_v4().simple().to_string();
        let last = writes.len();
        for (place, (key, value, expected)) in (1..).zip(writes) {
            let mut headers = HeaderMap::new();
            headers.insert("Nats-Batch-Id", id.as_str());
            headers.insert("Nats-Batch-Sequence", place.to_string());
            headers.insert("Nats-Expected-Last-Subject-Sequence", expected.to_string());
            if place == last {
                headers.insert("Nats-Batch-Commit", "1");
                return self.publish(&key, headers, value).await;
            }
            let subject = format!("{}{}", self.connections.publish_prefix(), self.subject(&key));
            let client = self.connections.control()?;
            let sent = timeout(REQUEST_TIMEOUT, client.publish_with_headers(subject, headers, value)).await;
            sent.map_err(|_| BucketError::Timeout)?.map_err(|error| BucketError::Backend(error.to_string()))?;
        }
        Ok(0)
    }

    async fn publish(&self, key: &str, headers: HeaderMap, value: Bytes) -> Result<u64, BucketError> {
        let subject = format!("{}{}", self.connections.publish_prefix(), self.subject(key));
        let message = match self.request(subject, Some(headers), value).await {
            Err(BucketError::Missing) => return Err(self.why_no_responders().await),
            other => other?,
        };
        let answer = parse(&message)?;
        answer
            .get("seq")
            .and_then(Value::as_u64)
            .ok_or_else(|| BucketError::Backend("a write without its revision".to_owned()))
    }

    /// Nobody listens where the bucket should be: is it the bucket that is missing, or JetStream?
    async fn why_no_responders(&self) -> BucketError {
        match self.api(&format!("STREAM.INFO.{}", self.stream()), &Value::Null).await {
            Ok(_) => BucketError::Backend("the bucket does not answer".to_owned()),
            Err(ApiError::Bucket(BucketError::Missing)) => BucketError::Backend("JetStream does not answer".to_owned()),
            Err(error) => error.into(),
        }
    }

    async fn api(&self, operation: &str, request: &Value) -> Result<Value, ApiError> {
        let body = if request.is_null() { Bytes::new() } else { request.to_string().into() };
        let message = self.request(format!("{}.{operation}", self.api), None, body).await?;
        parse(&message)
    }

    async fn request(&self, subject: String, headers: Option<HeaderMap>, body: Bytes) -> Result<Message, BucketError> {
        let client = self.connections.control()?;
        let mut request = async_nats::Request::new().payload(body);
        if let Some(headers) = headers {
            request = request.headers(headers);
        }
        match timeout(REQUEST_TIMEOUT, client.send_request(subject, request)).await {
            Err(_) => Err(BucketError::Timeout),
            Ok(Ok(message)) => Ok(message),
            Ok(Err(error)) => Err(match error.kind() {
                RequestErrorKind::NoResponders => BucketError::Missing,
                RequestErrorKind::TimedOut => BucketError::Timeout,
                _ => BucketError::Backend(error.to_string()),
            }),
        }
    }
}

/// An answer of the JetStream API that is an error, or none at all.
enum ApiError {
    Code(u64, String),
    Bucket(BucketError),
}

impl From<BucketError> for ApiError {
    fn from(error: BucketError) -> Self {
        Self::Bucket(error)
    }
}

impl From<ApiError> for BucketError {
    fn from(error: ApiError) -> Self {
        match error {
            ApiError::Code(WRONG_LAST_SEQUENCE | WRONG_LAST_SEQUENCE_CONSTANT, _) => Self::Conflict,
            ApiError::Code(STREAM_NOT_FOUND, _) => Self::Missing,
            ApiError::Code(_, description) => Self::Backend(description),
            ApiError::Bucket(error) => error,
        }
    }
}

fn parse(message: &Message) -> Result<Value, ApiError> {
    let value: Value = serde_json::from_slice(&message.payload)
        .map_err(|error| BucketError::Backend(format!("an answer of JetStream cannot be read: {error}")))?;
    match value.get("error") {
        None => Ok(value),
        Some(error) => {
            let description = error.get("description").and_then(Value::as_str).unwrap_or("an error without words");
            Err(ApiError::Code(error.get("err_code").and_then(Value::as_u64).unwrap_or(0), description.to_owned()))
        }
    }
}

/// A deletion by a client, a purge, or the server's own marker are the same to a reader.
fn is_deletion(headers: Option<&HeaderMap>) -> bool {
    let Some(headers) = headers else { return false };
    let operation = headers.get("KV-Operation").map(async_nats::HeaderValue::as_str);
    matches!(operation, Some("DEL" | "PURGE")) || headers.get("Nats-Marker-Reason").is_some()
}

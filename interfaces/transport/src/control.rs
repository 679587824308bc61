//! Control requests: what `meshctl` asks, and the one host of many that answers.
//!
//! A request is MessagePack on `mesh.<lattice>.ctl.<operation>`; the answer is one [`ControlReply`]. Hosts share a
//! queue group, so each request reaches one of them. That one may die with it: the same request is sent again on
//! silence, which is safe because every operation can be done twice. What a person calls must not be done twice: it goes
//! to one boot of one host, and is sent once.

use std::time::Duration;

use async_nats::{Message, RequestErrorKind, Subject, Subscriber};
use bytes::Bytes;
use futures::StreamExt as _;
use mesh_lattice::{
    BootId, HostId,
    control::{ControlCode, ControlError, ControlReply},
    logs::{Logs, LogsRequest},
    operator::{Hail, Hailed},
    subject,
};
use serde::{Serialize, de::DeserializeOwned};
use tokio::time::{Instant, sleep, timeout};

use crate::connect::{Connections, Disconnected};

/// The queue group that all hosts take control requests in.
const QUEUE: &str = "ctl";

/// A host that says nothing for this long is asked no more: the next one is.
const SILENCE: Duration = Duration::from_secs(2);

/// Between two attempts, where nobody listens yet.
const PAUSE: Duration = Duration::from_millis(200);

/// How long an answer may take to leave.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// Why a request has no answer.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// The connection is down.
    #[error(transparent)]
    Disconnected(#[from] Disconnected),
    /// No host of this lattice listens.
    #[error("no host of the lattice answers control requests")]
    NoHost,
    /// A host listens and did not answer.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    /// The host said no.
    #[error(transparent)]
    Refused(#[from] ControlError),
    /// The request cannot be written, or the answer not read.
    #[error("{0}")]
    Malformed(String),
}

/// Asks one host of the lattice; `operation` is one of [`mesh_lattice::control::operation`].
///
/// # Errors
///
/// Where there is no answer within `limit`, or the answer is no.
pub async fn request<T: Serialize, R: DeserializeOwned>(
    connections: &Connections,
    operation: &'static str,
    value: &T,
    limit: Duration,
) -> Result<R, RequestError> {
    let body: Bytes = rmp_serde::to_vec_named(value)
        .map_err(|error| RequestError::Malformed(format!("the request cannot be written: {error}")))?
        .into();
    check_size(connections, &body)?;
    let subject = subject::control(connections.lattice(), operation);
    let until = Instant::now() + limit;
    let mut outcome = RequestError::NoHost;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(outcome);
        }
        let client = connections.control()?;
        match timeout(left.min(SILENCE), client.request(subject.clone(), body.clone())).await {
            Ok(Ok(message)) => return read(&message),
            Ok(Err(error)) if error.kind() == RequestErrorKind::NoResponders => {
                outcome = RequestError::NoHost;
                sleep(PAUSE.min(left)).await;
            }
            Ok(Err(error)) => return Err(RequestError::Malformed(error.to_string())),
            Err(_) => outcome = RequestError::Timeout(limit),
        }
    }
}

fn check_size(connections: &Connections, body: &Bytes) -> Result<(), RequestError> {
    if body.len() > connections.max_payload() {
        return Err(RequestError::Malformed(format!("a request of {} bytes is too large", body.len())));
    }
    Ok(())
}

/// Asks one host which boot it is.
///
/// # Errors
///
/// [`RequestError::NoHost`] where it does not listen.
pub async fn hail(connections: &Connections, host: &HostId, limit: Duration) -> Result<Hailed, RequestError> {
    let body = rmp_serde::to_vec_named(&Hail {}).map_err(|error| RequestError::Malformed(error.to_string()))?;
    once(connections, subject::hail(connections.lattice(), host), body.into(), limit).await
}

/// Asks one host what an actor printed there.
///
/// # Errors
///
/// [`RequestError::NoHost`] where it does not listen; [`ControlCode::NotFound`] where the actor never ran.
pub async fn logs(
    connections: &Connections,
    host: &HostId,
    request: &LogsRequest,
    limit: Duration,
) -> Result<Logs, RequestError> {
    let body = rmp_serde::to_vec_named(request).map_err(|error| RequestError::Malformed(error.to_string()))?;
    once(connections, subject::logs(connections.lattice(), host), body.into(), limit).await
}

/// Sends a signed call to one boot of one host, once: after silence its outcome is unknown.
///
/// # Errors
///
/// [`RequestError::NoHost`] where that boot is gone and nothing was done.
pub async fn operate<R: DeserializeOwned>(
    connections: &Connections,
    (host, boot): (&HostId, BootId),
    envelope: Bytes,
    limit: Duration,
) -> Result<R, RequestError> {
    once(connections, subject::operate(connections.lattice(), host, boot), envelope, limit).await
}

async fn once<R: DeserializeOwned>(
    connections: &Connections,
    subject: String,
    body: Bytes,
    limit: Duration,
) -> Result<R, RequestError> {
    check_size(connections, &body)?;
    let request = async_nats::Request::new().payload(body).timeout(Some(limit));
    match timeout(limit, connections.control()?.send_request(subject, request)).await {
        Ok(Ok(message)) => read(&message),
        Ok(Err(error)) => Err(match error.kind() {
            RequestErrorKind::NoResponders => RequestError::NoHost,
            RequestErrorKind::TimedOut => RequestError::Timeout(limit),
            _ => RequestError::Malformed(error.to_string()),
        }),
        Err(_) => Err(RequestError::Timeout(limit)),
    }
}

fn read<R: DeserializeOwned>(message: &Message) -> Result<R, RequestError> {
    match mesh_lattice::value::read_carrying::<ControlReply<R>>(&message.payload) {
        Ok(ControlReply::Ok(value)) => Ok(value),
        Ok(ControlReply::Error(error)) => Err(error.into()),
        Err(error) => Err(RequestError::Malformed(format!("the answer cannot be read: {error}"))),
    }
}

/// The control requests that come to this host.
#[derive(Debug)]
pub struct Requests {
    connections: Connections,
    subscriber: Subscriber,
}

/// Takes part in answering.
///
/// # Errors
///
/// Where the connection was closed.
pub async fn serve(connections: &Connections) -> Result<Requests, Disconnected> {
    let subject = subject::control_all(connections.lattice());
    let client = connections.control_or_waiting();
    let subscriber = timeout(ANSWER_TIMEOUT, client.queue_subscribe(subject, QUEUE.to_owned())).await;
    let subscriber = subscriber.map_err(|_| Disconnected)?.map_err(|_| Disconnected)?;
    Ok(Requests { connections: connections.clone(), subscriber })
}

/// Takes what people send to this boot of this host: hails, and signed calls.
///
/// # Errors
///
/// Where the connection was closed.
pub async fn serve_people(
    connections: &Connections,
    host: &HostId,
    boot: BootId,
) -> Result<(Requests, Requests), Disconnected> {
    let lattice = connections.lattice();
    let hails = subscribe(connections, subject::hail(lattice, host)).await?;
    Ok((hails, subscribe(connections, subject::operate(lattice, host, boot)).await?))
}

/// Takes what people ask this host about its actors' lines.
///
/// # Errors
///
/// Where the connection was closed.
pub async fn serve_logs(connections: &Connections, host: &HostId) -> Result<Requests, Disconnected> {
    subscribe(connections, subject::logs(connections.lattice(), host)).await
}

async fn subscribe(connections: &Connections, subject: String) -> Result<Requests, Disconnected> {
    let client = connections.control_or_waiting();
    let subscriber = timeout(ANSWER_TIMEOUT, client.subscribe(subject)).await;
    let subscriber = subscriber.map_err(|_| Disconnected)?.map_err(|_| Disconnected)?;
    Ok(Requests { connections: connections.clone(), subscriber })
}

impl Requests {
    /// The next request; `None` once they were stopped or the connection was closed.
    pub async fn next(&mut self) -> Option<Request> {
        loop {
            let message = self.subscriber.next().await?;
            let Some(reply) = message.reply else { continue };
            return Some(Request {
                connections: self.connections.clone(),
                subject: message.subject,
                payload: message.payload,
                reply,
            });
        }
    }

    /// Takes no more; what was on its way still comes out of [`Requests::next`].
    pub async fn stop(&mut self) {
        let _ = timeout(ANSWER_TIMEOUT, self.subscriber.drain()).await;
    }
}

/// One request, to be answered once.
#[derive(Debug)]
pub struct Request {
    connections: Connections,
    subject: Subject,
    payload: Bytes,
    reply: Subject,
}

impl Request {
    /// What is asked for: one of [`mesh_lattice::control::operation`], or a word that we do not know.
    #[must_use]
    pub fn operation(&self) -> &str {
        self.subject.rsplit('.').next().unwrap_or_default()
    }

    /// What was sent, as it came.
    #[must_use]
    pub fn payload(&self) -> &Bytes {
        &self.payload
    }

    /// The request itself.
    ///
    /// # Errors
    ///
    /// `invalid`, where it cannot be read.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, ControlError> {
        mesh_lattice::value::read_carrying(&self.payload).map_err(|error| ControlError {
            code: ControlCode::Invalid,
            message: format!("the request cannot be read: {error}"),
            hint: "meshctl and the hosts may be of different versions".to_owned(),
        })
    }

    /// Answers it.
    ///
    /// # Errors
    ///
    /// Where the connection is down: who asked will ask again.
    pub async fn answer<R: Serialize>(self, outcome: Result<R, ControlError>) -> Result<(), Disconnected> {
        let client = self.connections.control()?;
        let reply = match outcome {
            Ok(value) => ControlReply::Ok(value),
            Err(error) => ControlReply::Error(error),
        };
        let bytes = rmp_serde::to_vec_named(&reply).ok().filter(|bytes| bytes.len() <= client.max_payload());
        let bytes = match bytes {
            Some(bytes) => bytes,
            None => rmp_serde::to_vec_named(&ControlReply::<()>::Error(ControlError {
                code: ControlCode::Internal,
                message: "the answer is too large for one message".to_owned(),
                hint: String::new(),
            }))
            .map_err(|_| Disconnected)?,
        };
        let sent = timeout(ANSWER_TIMEOUT, client.publish(self.reply, bytes.into())).await;
        if matches!(sent, Ok(Ok(()))) { Ok(()) } else { Err(Disconnected) }
    }
}

//! What happened on the lattice: a bounded stream in which each kind of event about one thing has one place, so that
//! what happens all the time takes no more room than what happened once.
//!
//! The leader writes; people read through it, or listen. Each event is an envelope that its host signed: who has the
//! lattice's NATS credentials can write into the stream, and nobody believes it.

use std::time::Duration;

use async_nats::jetstream::{
    consumer::{AckPolicy, DeliverPolicy, pull},
    stream,
};
use futures::StreamExt as _;
use mesh_claims::{Envelope, Refusal, RefusalCode, keys::KeyPair, trust::Trust};
use mesh_lattice::{id::Incarnation, key, stored::Event, subject};
use tokio::time::timeout;

use crate::connect::{Connections, Disconnected};

/// Events that are kept.
pub const KEPT: usize = 500;

/// How long they are kept.
const MAX_AGE: Duration = Duration::from_secs(7 * 24 * 3_600);

/// The largest that is kept, its envelope included.
const MAX_SIZE: i32 = 8 << 10;

/// How long one request to the stream may take.
const REQUEST: Duration = Duration::from_secs(2);

/// Why the events could not be read.
#[derive(Debug, thiserror::Error)]
pub enum EventError {
    /// The connection is down.
    #[error(transparent)]
    Disconnected(#[from] Disconnected),
    /// The server did not answer in time.
    #[error("the stream of events did not answer in time")]
    Timeout,
    /// JetStream says no.
    #[error("the stream of events: {0}")]
    Backend(String),
}

/// The events of one lattice. Cheap to clone.
#[derive(Debug, Clone)]
pub struct EventLog {
    connections: Connections,
}

impl EventLog {
    /// The events; whether there is a stream of them shows when it is used.
    #[must_use]
    pub fn new(connections: &Connections) -> Self {
        Self { connections: connections.clone() }
    }

    /// Makes the stream, unless it is there.
    pub(crate) async fn create(&self, replicas: usize) -> Result<(), EventError> {
        self.stream(replicas).await.map(drop)
    }

    async fn stream(&self, replicas: usize) -> Result<stream::Stream, EventError> {
        self.connections.control()?;
        let lattice = self.connections.lattice();
        let config = stream::Config {
            name: key::event_stream(lattice),
            subjects: vec![subject::events(lattice)],
            max_messages: i64::try_from(KEPT).unwrap_or(i64::MAX),
            max_messages_per_subject: 1,
            max_message_size: MAX_SIZE,
            max_age: MAX_AGE,
            discard: stream::DiscardPolicy::Old,
            num_replicas: replicas,
            ..stream::Config::default()
        };
        let made = timeout(REQUEST, self.connections.js().get_or_create_stream(config)).await;
        made.map_err(|_| EventError::Timeout)?.map_err(backend)
    }

    /// Says what happened: to whoever listens, and to the stream, where there is one.
    ///
    /// # Errors
    ///
    /// Where the connection is down.
    pub async fn write(&self, event: &Event, incarnation: Incarnation, signer: &KeyPair) -> Result<(), Disconnected> {
        let client = self.connections.control()?;
        let place = event.place();
        let signed = Envelope::sign(&key::event(&place), incarnation, event.count.max(1), event, signer);
        let bytes = signed.map_err(|_| Disconnected)?.encode();
        let subject = subject::event(self.connections.lattice(), &place);
        let sent = timeout(REQUEST, client.publish(subject, bytes.into())).await;
        if matches!(sent, Ok(Ok(()))) { Ok(()) } else { Err(Disconnected) }
    }

    /// What is kept, oldest first, as far as hosts signed it that are trusted. Makes the stream where it is missing.
    ///
    /// # Errors
    ///
    /// Where it cannot be read.
    pub async fn read(&self, incarnation: Incarnation, trust: &Trust) -> Result<Vec<Event>, EventError> {
        let stream = self.stream(1).await?;
        let config = pull::Config {
            deliver_policy: DeliverPolicy::All,
            ack_policy: AckPolicy::None,
            inactive_threshold: Duration::from_secs(5),
            memory_storage: true,
            num_replicas: 1,
            ..pull::Config::default()
        };
        let read = async {
            let consumer = stream.create_consumer(config).await.map_err(backend)?;
            let mut messages = consumer.fetch().max_messages(KEPT).messages().await.map_err(backend)?;
            let mut events: Vec<Event> = Vec::new();
            while let Some(Ok(message)) = messages.next().await {
                // What nobody who may say so has signed did not happen.
                if let Ok(event) = open(&message.payload, incarnation, |signer| is_hosts(trust, signer)) {
                    // One that is told again while this is read comes twice: its last telling counts.
                    events.retain(|held| (&held.kind, &held.subject) != (&event.kind, &event.subject));
                    events.push(event);
                }
            }
            Ok(events)
        };
        timeout(REQUEST, read).await.map_err(|_| EventError::Timeout)?
    }

    /// What happens from now on.
    ///
    /// # Errors
    ///
    /// Where the connection is down.
    pub async fn follow(&self) -> Result<Events, Disconnected> {
        let subscribed = self.connections.control()?.subscribe(subject::events(self.connections.lattice())).await;
        Ok(Events(subscribed.map_err(|_| Disconnected)?))
    }
}

/// What happens on the lattice: see [`EventLog::follow`].
#[derive(Debug)]
pub struct Events(async_nats::Subscriber);

impl Events {
    /// The next event that a host signed of whom `trust` knows, or any host where nobody can say; `None` once the
    /// connection is closed. What cannot be believed is left out.
    pub async fn next(&mut self, incarnation: Incarnation, trust: Option<&Trust>) -> Option<Event> {
        loop {
            let message = self.0.next().await?;
            let known = |signer: &str| trust.is_none_or(|trust| is_hosts(trust, signer));
            if let Ok(event) = open(&message.payload, incarnation, known) {
                return Some(event);
            }
        }
    }
}

fn is_hosts(trust: &Trust, signer: &str) -> bool {
    signer.parse().is_ok_and(|host| trust.is_host(&host))
}

/// The event, where it stands at its own place and `known` knows its signer.
fn open(bytes: &[u8], incarnation: Incarnation, known: impl Fn(&str) -> bool) -> Result<Event, Refusal> {
    let envelope = Envelope::decode(bytes)?;
    let event: Event = envelope.open(&envelope.key, incarnation, |signer| {
        let unknown = || Refusal::new(RefusalCode::UnknownIssuer, "no host that is known here signed it");
        known(signer).then_some(()).ok_or_else(unknown)
    })?;
    if envelope.key == key::event(&event.place()) {
        return Ok(event);
    }
    Err(Refusal::new(RefusalCode::Tampered, "the event was signed for another place"))
}

fn backend(error: impl std::fmt::Display) -> EventError {
    EventError::Backend(error.to_string())
}

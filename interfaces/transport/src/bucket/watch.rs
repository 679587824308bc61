//! Watching a bucket: what is there, then what changes, whatever happens to connections and servers in between.
//!
//! ```text
//! closed ─► open: everything that is there now ─► CaughtUp ─► changes
//!    ▲                                                           │ reconnected │ a gap │ 3 s of silence
//!    └───────────────────────────────────────────────────────────┘
//! ```
//!
//! A watch never resumes at a revision: after any doubt it asks for everything again and leaves out what it has shown
//! before. To resume would be silent for ever in a bucket that was deleted and made again, where revisions start over.
//! Silence is told from rest by the server's heartbeats.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use async_nats::{HeaderMap, Message, StatusCode, Subscriber};
use bytes::Bytes;
use futures::StreamExt as _;
use serde_json::{Value, json};
use tokio::{
    sync::watch::Receiver,
    time::{Instant, sleep_until, timeout},
};

use super::{Bucket, BucketError, REQUEST_TIMEOUT, is_deletion};
use crate::connect::{Disconnected, Health};

/// The server says this often that there is nothing to say.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// After this long without a word the watch is opened again.
const SILENCE: Duration = Duration::from_secs(3);

/// Between two attempts to open.
const RETRY: Duration = Duration::from_millis(500);

/// What a watch sees.
#[derive(Debug)]
pub(crate) enum Raw {
    /// Everything that is there comes again, less what was shown before.
    Opened,
    Put {
        key: String,
        value: Bytes,
        revision: u64,
    },
    Deleted {
        key: String,
    },
    CaughtUp,
    /// It cannot be opened; it goes on trying.
    Closed(BucketError),
}

/// A watch of some keys of a bucket.
pub(crate) struct BucketWatch {
    bucket: Bucket,
    filters: Vec<String>,
    health: Receiver<Health>,
    /// What was shown of each key.
    shown: HashMap<String, u64>,
    ready: VecDeque<Raw>,
    live: Option<Live>,
    retry_at: Instant,
}

/// An open watch: an ephemeral consumer that pushes to a subscription of ours.
struct Live {
    messages: Subscriber,
    epoch: u64,
    sequence: u64,
    heard: Instant,
    caught_up: bool,
}

/// What to do with the next thing that happened.
enum Step {
    Message(Option<Message>),
    Silence,
    Health,
}

impl BucketWatch {
    pub(crate) fn new(bucket: &Bucket, patterns: &[&str]) -> Self {
        Self {
            filters: patterns.iter().map(|pattern| bucket.subject(pattern)).collect(),
            health: bucket.connections().health(),
            bucket: bucket.clone(),
            shown: HashMap::new(),
            ready: VecDeque::new(),
            live: None,
            retry_at: Instant::now(),
        }
    }

    /// Forgets what was shown and opens again: everything comes once more.
    pub(crate) fn restart(&mut self) {
        self.shown.clear();
        self.close();
    }

    /// Opens again a little later.
    pub(crate) fn close(&mut self) {
        self.ready.clear();
        self.live = None;
        self.retry_at = Instant::now() + RETRY;
    }

    /// What happened next. Nothing is lost where the future is dropped.
    pub(crate) async fn next(&mut self) -> Raw {
        loop {
            if let Some(raw) = self.ready.pop_front() {
                return raw;
            }
            let Some(live) = &mut self.live else {
                if let Some(raw) = self.open().await {
                    return raw;
                }
                continue;
            };
            let step = tokio::select! {
                biased;
                message = live.messages.next() => Step::Message(message),
                () = sleep_until(live.heard + SILENCE) => Step::Silence,
                changed = self.health.changed() => if changed.is_ok() { Step::Health } else { Step::Silence },
            };
            let sound = match step {
                Step::Message(Some(message)) => self.take(message).await,
                Step::Message(None) | Step::Silence => false,
                Step::Health => self.health.borrow_and_update().control_epoch == live.epoch,
            };
            if !sound {
                self.live = None;
            }
        }
    }

    async fn open(&mut self) -> Option<Raw> {
        sleep_until(self.retry_at).await;
        let epoch = match timeout(SILENCE, self.health.wait_for(|health| health.control_up)).await {
            Ok(Ok(health)) => health.control_epoch,
            _ => {
                self.retry_at = Instant::now();
                return Some(Raw::Closed(Disconnected.into()));
            }
        };
        match timeout(REQUEST_TIMEOUT, self.subscribe()).await.map_err(|_| BucketError::Timeout).flatten() {
            Ok((messages, pending)) => {
                let caught_up = pending == 0;
                self.live = Some(Live { messages, epoch, sequence: 0, heard: Instant::now(), caught_up });
                if caught_up {
                    self.ready.push_back(Raw::CaughtUp);
                }
                Some(Raw::Opened)
            }
            Err(error) => {
                self.retry_at = Instant::now() + RETRY;
                Some(Raw::Closed(error))
            }
        }
    }

    async fn subscribe(&self) -> Result<(Subscriber, u64), BucketError> {
        let client = self.bucket.connections().control()?;
        let inbox = client.new_inbox();
        let messages =
            client.subscribe(inbox.clone()).await.map_err(|error| BucketError::Backend(error.to_string()))?;
        let name = uuid::Uuid::new_v4().simple().to_string();
        let config = json!({
            "stream_name": self.bucket.stream(),
            "config": {
                "name": name,
                "deliver_subject": inbox,
                "deliver_policy": "last_per_subject",
                "ack_policy": "none",
                "replay_policy": "instant",
                "filter_subjects": self.filters,
                "idle_heartbeat": HEARTBEAT.as_nanos() as u64,
                "flow_control": true,
                "max_deliver": 1,
                "mem_storage": true,
                "num_replicas": 1,
            },
        });
        let operation = format!("CONSUMER.CREATE.{}.{name}", self.bucket.stream());
        let made = self.bucket.api(&operation, &config).await?;
        Ok((messages, made.get("num_pending").and_then(Value::as_u64).unwrap_or(0)))
    }

    /// Takes one message in; whether the watch is still sound.
    async fn take(&mut self, message: Message) -> bool {
        let Some(live) = &mut self.live else { return false };
        live.heard = Instant::now();
        if message.status == Some(StatusCode::IDLE_HEARTBEAT) {
            if let Some(reply) = message.reply {
                // Flow control: the server goes on when it hears that we got this far.
                let Ok(client) = self.bucket.connections().control() else { return false };
                return client.publish(reply, Bytes::new()).await.is_ok();
            }
            let headers = message.headers.as_ref();
            let stalled = headers.is_some_and(|headers| headers.get("Nats-Consumer-Stalled").is_some());
            return !stalled && last_of(headers).is_none_or(|last| last == live.sequence);
        }
        let Some(place) = message.reply.as_deref().and_then(Place::parse) else { return message.status.is_none() };
        if place.consumer != live.sequence + 1 {
            return false;
        }
        live.sequence = place.consumer;
        let caught_up = place.pending == 0 && !live.caught_up;
        live.caught_up |= caught_up;
        self.show(message, place.revision);
        if caught_up {
            self.ready.push_back(Raw::CaughtUp);
        }
        true
    }

    fn show(&mut self, message: Message, revision: u64) {
        let prefix = self.bucket.subject("");
        let Some(key) = message.subject.strip_prefix(prefix.as_str()).map(str::to_owned) else { return };
        if self.shown.get(&key).is_some_and(|shown| *shown >= revision) {
            return;
        }
        self.shown.insert(key.clone(), revision);
        self.ready.push_back(if is_deletion(message.headers.as_ref()) {
            Raw::Deleted { key }
        } else {
            Raw::Put { key, value: message.payload, revision }
        });
    }
}

fn last_of(headers: Option<&HeaderMap>) -> Option<u64> {
    headers?.get("Nats-Last-Consumer")?.as_str().parse().ok()
}

/// Where a message stands: in the bucket, in this watch, before how many others.
struct Place {
    revision: u64,
    consumer: u64,
    pending: u64,
}

impl Place {
    /// `$JS.ACK.[<domain>.<account>.]<stream>.<consumer>.<delivered>.<revision>.<sequence>.<time>.<pending>[.<token>]`
    fn parse(reply: &str) -> Option<Self> {
        let tokens: Vec<_> = reply.split('.').collect();
        let first = match tokens.len() {
            9 => 5,
            11.. => 7,
            _ => return None,
        };
        let number = |at: usize| tokens.get(first + at)?.parse().ok();
        tokens.starts_with(&["$JS", "ACK"]).then_some(())?;
        Some(Self { revision: number(0)?, consumer: number(1)?, pending: number(3)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_in_both_forms() {
        for reply in [
            "$JS.ACK.KV_X.c.1.42.7.1700000000000000000.3",
            "$JS.ACK.hub.ACC.KV_X.c.1.42.7.1700000000000000000.3",
            "$JS.ACK._.ACC.KV_X.c.1.42.7.1700000000000000000.3.token",
        ] {
            let place = Place::parse(reply).unwrap();
            assert_eq!((place.revision, place.consumer, place.pending), (42, 7, 3), "{reply}");
        }
        assert!(Place::parse("_INBOX.a.b").is_none());
    }
}

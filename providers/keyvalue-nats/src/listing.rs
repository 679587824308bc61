//! Pages of keys. The cursor is the place in the bucket's stream of the last key that was seen: a key that is written
//! again moves to the end and is seen again there, so no key that stands throughout is missed, whatever else comes
//! and goes.

use async_nats::jetstream::{
    consumer::{DeliverPolicy, ReplayPolicy, push::OrderedConfig},
    kv,
};
use futures::StreamExt as _;
use mesh_lattice::wit::keyvalue::KeyResponse;

/// The keys of a page.
const PAGE: usize = 1_000;

/// The page behind `cursor`, keys as they stand in the bucket. It comes in at `inbox`, a fresh subject.
pub(crate) async fn page(
    bucket: &kv::Store,
    inbox: String,
    cursor: Option<u64>,
) -> Result<KeyResponse, async_nats::Error> {
    let after = cursor.unwrap_or(0);
    // With one message for each key, what stands behind the cursor is the rest; else only the last of each counts.
    let single = bucket.stream.cached_info().config.max_messages_per_subject == 1;
    let deliver_policy = if single {
        DeliverPolicy::ByStartSequence { start_sequence: after.saturating_add(1) }
    } else {
        DeliverPolicy::LastPerSubject
    };
    let config = OrderedConfig {
        deliver_subject: inbox,
        filter_subject: format!("{}>", bucket.prefix),
        headers_only: true,
        replay_policy: ReplayPolicy::Instant,
        deliver_policy,
        ..Default::default()
    };
    let consumer = bucket.stream.create_consumer(config).await?;
    let mut page = KeyResponse::default();
    if consumer.cached_info().num_pending == 0 {
        return Ok(page);
    }
    let mut messages = consumer.messages().await?;
    while let Some(message) = messages.next().await {
        let message = message?;
        let info = message.info()?;
        let (sequence, pending) = (info.stream_sequence, info.pending);
        let deleted = message.headers.as_ref().is_some_and(is_marker);
        if sequence > after
            && !deleted
            && let Some(key) = message.subject.strip_prefix(bucket.prefix.as_str())
        {
            page.keys.push(key.to_owned());
        }
        if pending == 0 {
            break;
        }
        if page.keys.len() == PAGE {
            page.cursor = Some(sequence);
            break;
        }
    }
    Ok(page)
}

/// Whether the message says that the key is gone.
fn is_marker(headers: &async_nats::HeaderMap) -> bool {
    let operation = headers.get("KV-Operation").is_some_and(|operation| matches!(operation.as_str(), "DEL" | "PURGE"));
    operation || headers.get("Nats-Marker-Reason").is_some()
}

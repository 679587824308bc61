//! A message of NATS as one of the mesh, and back. Metadata are headers, a content type is the header of that name, and
//! the trace of a call travels in the headers that W3C has for it. Pure.

use std::str::FromStr as _;

use async_nats::{HeaderMap, HeaderName, HeaderValue};
use mesh_lattice::{TraceContext, wit::messaging::Message};
use serde_bytes::ByteBuf;

const CONTENT_TYPE: &str = "Content-Type";
const TRACEPARENT: &str = "traceparent";
const TRACESTATE: &str = "tracestate";

/// Headers with which a client tells the server what to do are not for actors: one of them has copies sent anywhere.
const RESERVED: &str = "nats-";

/// The longest trace header that is believed.
const LONGEST_TRACE: usize = 512;

/// What arrived.
pub(crate) fn received(message: async_nats::Message) -> (Message, Option<TraceContext>) {
    let mut content_type = None;
    let mut metadata = Vec::new();
    let headers = message.headers.unwrap_or_default();
    for (name, values) in headers.iter() {
        let name = name.to_string();
        for value in values {
            if name.eq_ignore_ascii_case(CONTENT_TYPE) {
                content_type = Some(value.as_str().to_owned());
            } else {
                metadata.push((name.clone(), value.as_str().to_owned()));
            }
        }
    }
    // Headers lie in no order; values of one name keep theirs.
    metadata.sort_by(|(one, _), (other, _)| one.cmp(other));
    let said = |wanted: &str| {
        let found =
            metadata.iter().find(|(name, value)| name.eq_ignore_ascii_case(wanted) && value.len() <= LONGEST_TRACE);
        found.map(|(_, value)| value.as_str().into())
    };
    let trace = said(TRACEPARENT).map(|traceparent| TraceContext { traceparent, tracestate: said(TRACESTATE) });
    let message = Message {
        subject: message.subject.as_str().to_owned(),
        body: ByteBuf::from(message.payload.to_vec()),
        reply_to: message.reply.map(|reply| reply.as_str().to_owned()),
        content_type,
        metadata,
    };
    (message, trace)
}

/// The headers of what is sent; none where there is nothing to say.
///
/// # Errors
///
/// In words, where something cannot stand in a header.
pub(crate) fn headers(message: &Message, trace: Option<&TraceContext>) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    if let Some(content_type) = &message.content_type {
        headers.insert(CONTENT_TYPE, value(CONTENT_TYPE, content_type)?);
    }
    for (name, text) in &message.metadata {
        let header = HeaderName::from_str(name).ok().filter(|_| !name.is_empty());
        let header = header.ok_or_else(|| format!("the metadata {name:?} cannot be a header"))?;
        if name.get(..RESERVED.len()).is_some_and(|start| start.eq_ignore_ascii_case(RESERVED)) {
            return Err(format!("the metadata {name:?} is a header for NATS itself"));
        }
        headers.append(header, value(name, text)?);
    }
    let own = message.metadata.iter().any(|(name, _)| name.eq_ignore_ascii_case(TRACEPARENT));
    if let Some(trace) = trace.filter(|_| !own) {
        headers.insert(TRACEPARENT, value(TRACEPARENT, &trace.traceparent)?);
        if let Some(state) = &trace.tracestate {
            headers.insert(TRACESTATE, value(TRACESTATE, state)?);
        }
    }
    Ok(headers)
}

fn value(name: &str, text: &str) -> Result<HeaderValue, String> {
    HeaderValue::from_str(text).map_err(|_| format!("the value of {name:?} cannot stand in a header"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(metadata: &[(&str, &str)]) -> Message {
        let metadata = metadata.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Message { subject: "a".into(), metadata, content_type: Some("text/plain".into()), ..Default::default() }
    }

    fn through(message: &Message, trace: Option<&TraceContext>) -> (Message, Option<TraceContext>) {
        let headers = Some(headers(message, trace).unwrap());
        received(async_nats::Message {
            subject: "a".into(),
            reply: None,
            payload: Default::default(),
            headers,
            status: None,
            description: None,
            length: 0,
        })
    }

    #[test]
    fn metadata_and_content_type_travel_as_headers_and_so_does_a_trace() {
        let message = with(&[("a", "1"), ("b", "2"), ("b", "3")]);
        assert_eq!(through(&message, None), (message.clone(), None));
        let trace = TraceContext { traceparent: "00-1-2-01".into(), tracestate: Some("x=y".into()) };
        assert_eq!(through(&message, Some(&trace)).1, Some(trace.clone()));
        let own = with(&[("Traceparent", "00-own-1-01")]);
        assert_eq!(through(&own, Some(&trace)).1.unwrap().traceparent.as_ref(), "00-own-1-01");
    }

    #[test]
    fn what_would_split_a_message_or_command_the_server_is_refused() {
        for name in ["", "a b", "a:b", "a\r\nb", "Nats-Trace-Dest", "nats-msg-id", "NATS-Expected-Last-Sequence"] {
            assert!(headers(&with(&[(name, "x")]), None).is_err(), "{name:?}");
        }
        assert!(headers(&with(&[("a", "1\r\nNats-Trace-Dest: mesh.x")]), None).is_err());
        assert!(headers(&with(&[("native", "é")]), None).is_ok());
    }
}

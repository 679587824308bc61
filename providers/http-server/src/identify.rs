//! What a request is called and which trace it belongs to: taken from the client where it is well-formed, else made.

use http::{HeaderMap, HeaderName, HeaderValue};
use mesh_lattice::{CallId, TraceContext};
use uuid::Uuid;

pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// The request's id: the client's own where it is harmless, else the call's. The actor sees it too.
pub(crate) fn request_id(headers: &mut HeaderMap, id: CallId) -> HeaderValue {
    let harmless = |value: &&HeaderValue| {
        let bytes = value.as_bytes();
        matches!(bytes.len(), 1..=128) && bytes.iter().all(|b| b.is_ascii_alphanumeric() || b"-_.:+/=@".contains(b))
    };
    if let Some(given) = headers.get(REQUEST_ID).filter(harmless).cloned() {
        // Another one beside it goes.
        headers.insert(REQUEST_ID, given.clone());
        return given;
    }
    let mut buffer = Uuid::encode_buffer();
    let text = id.0.simple().encode_lower(&mut buffer);
    let value = HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static("0"));
    headers.insert(REQUEST_ID, value.clone());
    value
}

/// The trace that the client is in. <https://www.w3.org/TR/trace-context/>
pub(crate) fn trace(headers: &HeaderMap) -> Option<TraceContext> {
    let parent = headers.get(TRACEPARENT)?.to_str().ok().filter(|text| is_traceparent(text))?;
    let state = headers.get(TRACESTATE).and_then(|state| state.to_str().ok()).filter(|state| state.len() <= 512);
    Some(TraceContext { traceparent: parent.into(), tracestate: state.map(Into::into) })
}

fn is_traceparent(text: &str) -> bool {
    let mut parts = text.split('-');
    let mut part = |length: usize| {
        parts
            .next()
            .filter(|part| part.len() == length && part.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'a'..=b'f')))
    };
    let (version, trace, span, flags) = (part(2), part(32), part(16), part(2));
    let nonzero = |part: Option<&str>| part.is_some_and(|part| part.bytes().any(|b| b != b'0'));
    version.is_some_and(|version| version != "ff")
        && nonzero(trace)
        && nonzero(span)
        && flags.is_some()
        && text.len() == 55
}

/// A trace that begins here.
pub(crate) fn fresh_trace() -> TraceContext {
    let (trace, span) = (Uuid::new_v4(), Uuid::new_v4());
    let mut text = String::with_capacity(55);
    text.push_str("00-");
    text.push_str(trace.simple().encode_lower(&mut Uuid::encode_buffer()));
    text.push('-');
    text.extend(span.simple().encode_lower(&mut Uuid::encode_buffer()).chars().take(16));
    text.push_str("-01");
    TraceContext { traceparent: text.into(), tracestate: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_harmless_request_id_is_kept_and_another_replaced() {
        let id = CallId::new();
        let given = |value: &'static str| {
            let mut headers = HeaderMap::from_iter([(REQUEST_ID, HeaderValue::from_static(value))]);
            let used = request_id(&mut headers, id);
            assert_eq!(headers[REQUEST_ID], used, "the actor sees the same");
            used.to_str().unwrap().to_owned()
        };
        assert_eq!(given("abc-1.2:3"), "abc-1.2:3");
        for harmful in ["", "a\"b", "a b", "<x>"] {
            assert_eq!(given(harmful), id.to_string());
        }
    }

    #[test]
    fn only_a_traceparent_of_the_standard_is_taken() {
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert!(is_traceparent(good));
        assert!(is_traceparent(&fresh_trace().traceparent));
        for bad in [
            "",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
        ] {
            assert!(!is_traceparent(bad), "{bad}");
        }
    }
}

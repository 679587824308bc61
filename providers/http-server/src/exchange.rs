//! One request, the call that it becomes, and the response. Everything that a request costs beside its call is here.

use std::{convert::Infallible, future::poll_fn, sync::Arc, task::Poll, time::Duration};

use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, header, request, response};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use mesh_lattice::{
    Answer, CallError, CallId, Caller, Code, Deadline, Interface, Invocation, Params, Reply, Serve, TraceContext,
    invocation::empty_body,
    wit::{
        Outcome, from_wire,
        http::{HANDLE, ResponseHead},
    },
};
use mesh_provider::ConfigError;
use parking_lot::RwLock;
use uuid::Uuid;

use crate::{
    body::{IdleBody, ResponseBody, is_empty},
    connection::{Connections, InFlight, Phase},
    respond::Own,
    routes::{Route, Routes},
    settings::ServerSettings,
};

/// What it calls.
pub(crate) const INTERFACE: &str = "wasi:http/incoming-handler";

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// The callee stops what is late by itself and says why; only where it does not, the connection gives up.
const GRACE: Duration = Duration::from_millis(500);

/// How long a response's body may pause: what it comes from has limits of its own, which end first.
const RESPONSE_IDLE: Duration = Duration::from_secs(60);

/// What calls out of this provider have in common.
#[derive(Clone)]
pub(crate) struct Outward {
    pub(crate) caller: Caller,
    pub(crate) calls: Arc<dyn Serve>,
    pub(crate) interface: Interface,
    pub(crate) operation: Arc<str>,
    pub(crate) tracing: bool,
}

impl Outward {
    pub(crate) fn new(context: &mesh_provider::Context) -> Result<Self, ConfigError> {
        Ok(Self {
            caller: Caller::Named(context.name.clone()),
            calls: Arc::clone(&context.calls),
            interface: INTERFACE.parse().map_err(|_| ConfigError::invalid("interface", "an interface"))?,
            operation: HANDLE.into(),
            tracing: context.tracing,
        })
    }
}

/// One address: its routes, its connections, and where its calls go.
pub(crate) struct Site {
    pub(crate) outward: Outward,
    pub(crate) connections: Connections,
    /// Replaced as a whole: a request takes the table that stands, and lets go of the lock at once.
    pub(crate) routes: RwLock<Arc<Routes>>,
    pub(crate) host_header: HeaderName,
    pub(crate) body_timeout: Duration,
}

impl Site {
    pub(crate) fn new(outward: Outward, settings: &ServerSettings) -> Self {
        Self {
            outward,
            connections: Connections::new(settings),
            routes: RwLock::default(),
            host_header: settings.host_header.clone(),
            body_timeout: settings.body_timeout,
        }
    }

    /// Answers one request. It never fails: what goes wrong becomes a response.
    pub(crate) async fn exchange(
        &self,
        in_flight: InFlight,
        request: Request<Incoming>,
    ) -> Result<Response<ResponseBody>, Infallible> {
        let (mut parts, body) = request.into_parts();
        let id = CallId::new();
        let request_id = request_id(&mut parts.headers, id);
        let route = self.route(&parts);
        let origin = route
            .as_ref()
            .and_then(|route| route.settings.cors.as_ref())
            .and_then(|cors| parts.headers.get(header::ORIGIN).cloned().map(|origin| (cors.clone(), origin)));
        let answered = match &route {
            None => Err(Own::no_route()),
            Some(route) => self.answer(route, id, parts, body).await,
        };
        let mut response = match answered {
            Ok((parts, body)) => Response::from_parts(parts, ResponseBody::of_response(body, RESPONSE_IDLE, in_flight)),
            Err(own) => own.into_response(&request_id, in_flight),
        };
        let headers = response.headers_mut();
        if let Some((cors, origin)) = origin {
            cors.apply(Some(&origin), headers);
        }
        if let Some(cache) = route.as_ref().and_then(|route| route.settings.cache_control.as_ref()) {
            headers.entry(header::CACHE_CONTROL).or_insert_with(|| cache.clone());
        }
        headers.insert(REQUEST_ID, request_id);
        let close = route.is_some_and(|route| route.settings.close);
        if close || self.connections.phase() != Phase::Open {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        Ok(response)
    }

    fn route(&self, parts: &request::Parts) -> Option<Arc<Route>> {
        let named = || parts.headers.get(&self.host_header).and_then(|host| host.to_str().ok());
        let host = parts.uri.host().filter(|_| self.host_header == header::HOST).or_else(named);
        let routes = Arc::clone(&self.routes.read());
        routes.find(host, parts.uri.path()).cloned()
    }

    async fn answer(
        &self,
        route: &Route,
        id: CallId,
        parts: request::Parts,
        body: Incoming,
    ) -> Result<(response::Parts, mesh_lattice::Body), Own> {
        if let Some(headers) = route.settings.cors.as_ref().and_then(|cors| cors.preflight(&parts)) {
            let (mut parts, ()) = Response::new(()).into_parts();
            parts.status = http::StatusCode::NO_CONTENT;
            parts.headers = headers;
            return Ok((parts, empty_body()));
        }
        if route.settings.read_only && !matches!(parts.method, Method::GET | Method::HEAD) {
            return Err(Own::read_only());
        }
        let deadline = Deadline::after(route.settings.timeout);
        let invocation = self.invocation(route, id, deadline, parts, body);
        let replied = within(deadline, self.outward.calls.serve(invocation)).await;
        replied.and_then(head).map_err(|error| {
            // A full actor says so to every request that it turns away: that is no news.
            tracing::debug!(%id, target = %route.target, %error, "a request has no answer");
            Own::failed(error.code)
        })
    }

    fn invocation(
        &self,
        route: &Route,
        id: CallId,
        deadline: Deadline,
        parts: request::Parts,
        body: Incoming,
    ) -> Invocation {
        let trace = trace(&parts.headers).or_else(|| self.outward.tracing.then(fresh_trace));
        let body = (!is_empty(&body)).then(|| IdleBody::of_request(body, self.body_timeout).boxed_unsync());
        Invocation {
            id,
            caller: self.outward.caller.clone(),
            link: route.link.clone(),
            target: Some(route.target.clone()),
            interface: self.outward.interface.clone(),
            operation: Arc::clone(&self.outward.operation),
            params: Params::Http(Box::new(parts)),
            body,
            deadline,
            trace,
        }
    }
}

/// The reply, or that it is late. No timer is armed: the connection's tick polls this often enough.
async fn within(
    deadline: Deadline,
    mut call: futures::future::BoxFuture<'_, Result<Reply, CallError>>,
) -> Result<Reply, CallError> {
    let given_up = Deadline(deadline.0.plus(GRACE));
    poll_fn(|cx| match call.as_mut().poll(cx) {
        Poll::Ready(reply) => Poll::Ready(reply),
        Poll::Pending if given_up.has_passed() => {
            Poll::Ready(Err(CallError::new(Code::DeadlineExceeded, "no answer, not even that it is late")))
        }
        Poll::Pending => Poll::Pending,
    })
    .await
}

fn head(reply: Reply) -> Result<(response::Parts, mesh_lattice::Body), CallError> {
    let body = reply.body.unwrap_or_else(empty_body);
    let parts = match reply.answer {
        Answer::Http(parts) => *parts,
        Answer::Wire(bytes) => match from_wire::<Outcome<ResponseHead, String>>(&bytes)? {
            Outcome::Ok(head) => head.into_parts()?,
            Outcome::Err(words) => return Err(CallError::new(Code::NoAnswer, words)),
        },
    };
    Ok((parts, body))
}

/// The request's id: the client's own where it is harmless, else the call's. The actor sees it too.
fn request_id(headers: &mut HeaderMap, id: CallId) -> HeaderValue {
    let harmless = |value: &&HeaderValue| {
        let bytes = value.as_bytes();
        matches!(bytes.len(), 1..=128) && bytes.iter().all(|b| b.is_ascii_alphanumeric() || b"-_.:+/=@".contains(b))
    };
    if let Some(given) = headers.get(REQUEST_ID).filter(harmless) {
        return given.clone();
    }
    let mut buffer = Uuid::encode_buffer();
    let text = id.0.simple().encode_lower(&mut buffer);
    let value = HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static("0"));
    headers.insert(REQUEST_ID, value.clone());
    value
}

/// The trace that the client is in. <https://www.w3.org/TR/trace-context/>
fn trace(headers: &HeaderMap) -> Option<TraceContext> {
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
fn fresh_trace() -> TraceContext {
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

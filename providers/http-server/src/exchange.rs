//! One request, the call that it becomes, and the response. Everything that a request costs beside its call is here.

use std::{convert::Infallible, future::poll_fn, sync::Arc, task::Poll, time::Duration};

use futures::future::BoxFuture;
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, Version, header, request, response};
use http_body::Body as _;
use hyper::body::Incoming;
use mesh_lattice::{
    Answer, Body, CallError, CallId, Caller, Code, Deadline, Interface, Invocation, Params, Reply, Serve,
    invocation::empty_body,
    wit::{
        Outcome, from_wire,
        http::{HANDLE, ResponseHead},
    },
};
use mesh_provider::ConfigError;
use parking_lot::RwLock;
use tokio::sync::Semaphore;

use crate::{
    body::{Fate, RequestBody, ResponseBody},
    connection::{Connections, InFlight, Phase, streams::Taken},
    counters::Counters,
    head::{self, is_for_the_server},
    identify::{REQUEST_ID, fresh_trace, request_id, trace},
    journal::Journal,
    respond::Own,
    routes::{Route, Routes},
    settings::ServerSettings,
    uploads::Uploads,
};

/// What it calls.
pub(crate) const INTERFACE: &str = "wasi:http/incoming-handler";

/// The callee stops what is late by itself and says why; only where it does not, the connection gives up.
const GRACE: Duration = Duration::from_millis(500);

/// How long a response's body may pause: what it comes from has limits of its own, which end first.
const RESPONSE_IDLE: Duration = Duration::from_secs(60);

/// Clients that are told at one time that there is no place for them.
const REFUSING: usize = 128;

/// What calls out of this provider have in common.
#[derive(Clone)]
pub(crate) struct Outward {
    pub(crate) caller: Caller,
    pub(crate) calls: Arc<dyn Serve>,
    pub(crate) interface: Interface,
    pub(crate) operation: Arc<str>,
    pub(crate) tracing: bool,
    pub(crate) counters: Arc<Counters>,
    journal: Arc<Journal>,
}

impl Outward {
    pub(crate) fn new(context: &mesh_provider::Context) -> Result<Self, ConfigError> {
        Ok(Self {
            caller: Caller::Named(context.name.clone()),
            calls: Arc::clone(&context.calls),
            interface: INTERFACE.parse().map_err(|_| ConfigError::invalid("interface", "an interface"))?,
            operation: HANDLE.into(),
            tracing: context.tracing,
            counters: Arc::default(),
            journal: Arc::default(),
        })
    }
}

/// One address: its routes, its connections, and where its calls go.
pub(crate) struct Site {
    pub(crate) outward: Outward,
    pub(crate) connections: Connections,
    /// Replaced as a whole: a request takes the table that stands, and lets go of the lock at once.
    pub(crate) routes: RwLock<Arc<Routes>>,
    /// Clients that are being told that there is no place for them; beyond these they are told nothing.
    pub(crate) refusing: Arc<Semaphore>,
    host_header: HeaderName,
    uploads: Uploads,
    body_timeout: Duration,
    max_uri: usize,
    max_headers: usize,
}

/// One request before its call.
struct Asked {
    id: CallId,
    request_id: HeaderValue,
    parts: request::Parts,
    body: Incoming,
}

impl Site {
    pub(crate) fn new(outward: Outward, settings: &ServerSettings) -> Self {
        let limits = &settings.limits;
        Self {
            connections: Connections::new(limits, Arc::clone(&outward.counters)),
            outward,
            routes: RwLock::default(),
            refusing: Arc::new(Semaphore::new(REFUSING)),
            host_header: settings.host_header.clone(),
            uploads: Uploads::new(limits.max_uploads, limits.body_timeout),
            body_timeout: limits.body_timeout,
            max_uri: limits.max_uri,
            max_headers: limits.max_headers,
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
        // What is added below is not the client's.
        let too_many_headers = head::has_more_fields_than(&parts.headers, self.max_headers);
        let request_id = request_id(&mut parts.headers, id);
        let nothing_to_read = body.is_end_stream();
        if nothing_to_read {
            in_flight.watch().read_to_its_end();
        }
        let (version, method) = (parts.version, parts.method.clone());
        let accepted =
            if too_many_headers { Err(Own::too_many_headers()) } else { head::accept(&mut parts, self.max_uri) };
        let mut response = match accepted {
            Err(own) => own.into_response(&request_id, in_flight),
            Ok(()) => {
                let asked = Asked { id, request_id: request_id.clone(), parts, body };
                self.respond(asked, version, in_flight).await
            }
        };
        settle_length(&method, &mut response);
        let status = response.status();
        self.outward.counters.answered(status);
        let headers = response.headers_mut();
        headers.insert(REQUEST_ID, request_id);
        // A client that was refused may still be sending what nobody will read.
        let unread = !nothing_to_read && (status.is_client_error() || status.is_server_error());
        if version <= Version::HTTP_11 && (unread || self.connections.phase() != Phase::Open) {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        Ok(response)
    }

    async fn respond(&self, asked: Asked, version: Version, in_flight: InFlight) -> Response<ResponseBody> {
        if is_for_the_server(&asked.parts) {
            let mut response = Response::new(ResponseBody::new(empty_body(), RESPONSE_IDLE, None, in_flight));
            *response.status_mut() = StatusCode::NO_CONTENT;
            return response;
        }
        let Some(route) = self.route(&asked.parts) else {
            return Own::no_route().into_response(&asked.request_id, in_flight);
        };
        let origin = asked.parts.headers.get(header::ORIGIN).cloned();
        let request_id = asked.request_id.clone();
        let taken = (version == Version::HTTP_2).then(Taken::of_this_request).flatten();
        let mut response = match self.answer(&route, asked, version, &in_flight).await {
            Ok((parts, body)) => Response::from_parts(parts, ResponseBody::new(body, RESPONSE_IDLE, taken, in_flight)),
            Err(own) => own.into_response(&request_id, in_flight),
        };
        let headers = response.headers_mut();
        if let (Some(cors), Some(origin)) = (&route.settings.cors, origin) {
            cors.apply(Some(&origin), headers);
        }
        if let Some(cache) = &route.settings.cache_control {
            headers.entry(header::CACHE_CONTROL).or_insert_with(|| cache.clone());
        }
        if route.settings.close && version <= Version::HTTP_11 {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }

    fn route(&self, parts: &request::Parts) -> Option<Arc<Route>> {
        let host = parts.headers.get(&self.host_header).and_then(|host| host.to_str().ok());
        let routes = Arc::clone(&self.routes.read());
        routes.find(host, &head::normal_path(parts.uri.path())).cloned()
    }

    async fn answer(
        &self,
        route: &Route,
        asked: Asked,
        version: Version,
        in_flight: &InFlight,
    ) -> Result<(response::Parts, Body), Own> {
        let Asked { id, request_id, parts, body } = asked;
        if let Some(headers) = route.settings.cors.as_ref().and_then(|cors| cors.preflight(&parts)) {
            let (mut parts, ()) = Response::new(()).into_parts();
            parts.status = StatusCode::NO_CONTENT;
            parts.headers = headers;
            return Ok((parts, empty_body()));
        }
        if route.settings.read_only && !matches!(parts.method, Method::GET | Method::HEAD) {
            return Err(Own::read_only());
        }
        let fate = Fate::default();
        let body = self.receive(route, body, in_flight, &fate).await?;
        let deadline = Deadline::after(route.settings.timeout);
        let call = self.outward.calls.serve(self.invocation(route, id, deadline, parts, body));
        let replied = match version {
            // Nothing but its own progress polls the task of an HTTP/2 request.
            Version::HTTP_2 => {
                let call = within(deadline, call);
                let given_up = deadline.remaining() + GRACE + GRACE;
                tokio::time::timeout(given_up, call).await.unwrap_or_else(|_| Err(late()))
            }
            _ => within(deadline, call).await,
        };
        replied.and_then(head_of).map_err(|error| {
            self.outward.journal.failed(id, &request_id, &route.target, &error);
            fate.told().unwrap_or_else(|| Own::failed(error.code))
        })
    }

    /// The request's body as the call gets it, once the call may begin.
    async fn receive(
        &self,
        route: &Route,
        body: Incoming,
        in_flight: &InFlight,
        fate: &Fate,
    ) -> Result<Option<Body>, Own> {
        if body.is_end_stream() {
            return Ok(None);
        }
        let limit = route.settings.max_body;
        if body.size_hint().lower() > limit {
            return Err(Own::body_too_large());
        }
        let (watch, contention) = (Arc::clone(in_flight.watch()), self.uploads.contention());
        let body = RequestBody::new(body, limit, self.body_timeout, watch, contention, fate.clone());
        self.uploads.receive(body, fate).await.map(Some)
    }

    fn invocation(
        &self,
        route: &Route,
        id: CallId,
        deadline: Deadline,
        parts: request::Parts,
        body: Option<Body>,
    ) -> Invocation {
        let trace = trace(&parts.headers).or_else(|| self.outward.tracing.then(fresh_trace));
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
            pin: None,
            from: None,
        }
    }
}

/// The reply, or that it is late. No timer is armed: a connection's tick polls this often enough.
async fn within(deadline: Deadline, mut call: BoxFuture<'_, Result<Reply, CallError>>) -> Result<Reply, CallError> {
    let given_up = Deadline(deadline.0.plus(GRACE));
    poll_fn(|cx| match call.as_mut().poll(cx) {
        Poll::Ready(reply) => Poll::Ready(reply),
        Poll::Pending if given_up.has_passed() => Poll::Ready(Err(late())),
        Poll::Pending => Poll::Pending,
    })
    .await
}

fn late() -> CallError {
    CallError::new(Code::DeadlineExceeded, "no answer, not even that it is late")
}

/// The response's head and body: a final status, and no header that is this server's own to write.
fn head_of(reply: Reply) -> Result<(response::Parts, Body), CallError> {
    let body = reply.body.unwrap_or_else(empty_body);
    let mut parts = match reply.answer {
        Answer::Http(parts) => *parts,
        Answer::Wire(bytes) => match from_wire::<Outcome<ResponseHead, String>>(&bytes)? {
            Outcome::Ok(head) => head.into_parts()?,
            Outcome::Err(words) => return Err(CallError::new(Code::NoAnswer, words)),
        },
    };
    if parts.status.is_informational() {
        return Err(CallError::new(Code::NoAnswer, format!("the actor answered {}", parts.status)));
    }
    parts.version = Version::HTTP_11;
    parts.extensions.clear();
    head::remove_hops(&mut parts.headers);
    Ok((parts, body))
}

/// An answer says how long it is, or nothing: where the actor's word and what it sent differ, the client would take the
/// next answer for the rest of this one.
fn settle_length(method: &Method, response: &mut Response<ResponseBody>) {
    let Some(known) = response.body().size_hint().exact() else {
        let lengths = response.headers().get_all(header::CONTENT_LENGTH).iter().count();
        if lengths > 1 {
            response.headers_mut().remove(header::CONTENT_LENGTH);
        }
        return;
    };
    let bodiless = method == Method::HEAD || response.status() == StatusCode::NOT_MODIFIED;
    if !(bodiless && known == 0) && response.headers().contains_key(header::CONTENT_LENGTH) {
        response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(known));
    }
}

#[cfg(test)]
mod tests {
    use mesh_lattice::invocation::full_body;

    use super::*;
    use crate::{
        connection::watch::{Patience, Watch},
        limits::Limits,
    };

    fn settled(method: Method, status: u16, body: Body, said: &[&'static str]) -> Vec<String> {
        let peer = std::net::IpAddr::from([127, 0, 0, 1]);
        let in_flight = Watch::new(peer, &Patience::new(&Limits::default())).begin();
        let mut response = Response::new(ResponseBody::new(body, RESPONSE_IDLE, None, in_flight));
        *response.status_mut() = StatusCode::from_u16(status).unwrap();
        for length in said {
            response.headers_mut().append(header::CONTENT_LENGTH, HeaderValue::from_static(length));
        }
        settle_length(&method, &mut response);
        let lengths = response.headers().get_all(header::CONTENT_LENGTH).iter();
        lengths.map(|length| length.to_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn an_answer_cannot_lie_about_its_length() {
        let five = || full_body("hello".into());
        assert_eq!(settled(Method::GET, 200, five(), &["5"]), ["5"]);
        assert_eq!(settled(Method::GET, 200, five(), &["50"]), ["5"]);
        assert_eq!(settled(Method::GET, 200, five(), &["5", "6"]), ["5"]);
        assert_eq!(settled(Method::GET, 200, empty_body(), &["5"]), ["0"]);
        assert_eq!(settled(Method::HEAD, 200, empty_body(), &["5"]), ["5"], "what GET would have sent");
        assert_eq!(settled(Method::GET, 304, empty_body(), &["5"]), ["5"]);
        assert!(settled(Method::GET, 200, five(), &[]).is_empty());
    }

    #[test]
    fn an_answer_that_is_none_is_refused() {
        for (status, good) in [(200, true), (404, true), (100, false), (101, false)] {
            let parts = Response::builder().status(status).body(()).unwrap().into_parts().0;
            let reply = Reply { answer: Answer::Http(Box::new(parts)), body: None };
            assert_eq!(head_of(reply).is_ok(), good, "{status}");
        }
    }
}

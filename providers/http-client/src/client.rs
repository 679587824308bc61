//! One request and its answer, over the connections of one link.

use std::{
    error::Error,
    io,
    path::Path,
    sync::{Arc, atomic::AtomicU64, atomic::Ordering},
};

use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, Version, header, request, response};
use http_body_util::BodyExt as _;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy,
    rt::{TokioExecutor, TokioTimer},
};
use mesh_lattice::{Answer, Body, CallError, Code, Reply, TraceContext, invocation::empty_body};
use mesh_provider::Taken;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};
use tokio::sync::Semaphore;

use crate::{
    body::Paced,
    connect::{ConnectError, Connector, Resolve},
    destination::Refused,
    settings::LinkSettings,
};

/// What belongs to a connection and not to a request or an answer.
const OF_THE_CONNECTION: [HeaderName; 7] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// What became of the requests, over all links.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) answered: AtomicU64,
    pub(crate) refused: AtomicU64,
    pub(crate) failed: AtomicU64,
    pub(crate) busy: AtomicU64,
}

/// The requests of one link.
pub(crate) struct Client {
    inner: legacy::Client<HttpsConnector<Connector>, Body>,
    connector: Connector,
    settings: LinkSettings,
    room: Semaphore,
}

impl Client {
    /// Reads the certificates; connects to nothing yet. Blocks while it reads.
    pub(crate) fn new(settings: LinkSettings, resolve: Arc<dyn Resolve>) -> io::Result<Self> {
        let connector = Connector::new(settings.destinations.clone(), resolve, settings.connect);
        let https = HttpsConnectorBuilder::new().with_tls_config(tls(&settings)?).https_or_http();
        let https = https.enable_all_versions().wrap_connector(connector.clone());
        let inner = legacy::Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_max_idle_per_host(32)
            .build(https);
        Ok(Self { inner, connector, room: Semaphore::new(settings.max_requests), settings })
    }

    /// Sends a request and waits for the head of its answer.
    pub(crate) async fn send(
        &self,
        parts: request::Parts,
        body: Option<Body>,
        trace: Option<&TraceContext>,
        taken: Taken,
    ) -> Result<Reply, CallError> {
        let Ok(_permit) = self.room.try_acquire() else {
            return Err(CallError::new(Code::Busy, "the link has as many requests under way as it may"));
        };
        let request = self.request(parts, body, trace)?;
        let uri = request.uri().clone();
        let answer = self.inner.request(request).await.map_err(|error| failed(&uri, &error))?;
        let (mut parts, body) = answer.into_parts();
        clean(&mut parts.headers);
        Ok(reply(parts, Paced::new(body, self.settings.idle, taken)))
    }

    fn request(
        &self,
        mut parts: request::Parts,
        body: Option<Body>,
        trace: Option<&TraceContext>,
    ) -> Result<Request<Body>, CallError> {
        self.connector.allow(&parts.uri).map_err(|refused| denied(&parts.uri, &refused))?;
        if parts.method == Method::CONNECT {
            return Err(CallError::new(Code::Denied, "a tunnel is not a request"));
        }
        if self.settings.https_only && parts.uri.scheme_str() != Some("https") {
            return Err(CallError::new(Code::Denied, "the link allows https alone"));
        }
        parts.version = Version::HTTP_11;
        clean(&mut parts.headers);
        // Of the address that is called, and of nothing else.
        parts.headers.remove(header::HOST);
        let traced = trace.and_then(|trace| HeaderValue::from_str(&trace.traceparent).ok());
        if let Some(traced) = traced {
            parts.headers.insert("traceparent", traced);
        }
        Ok(Request::from_parts(parts, body.unwrap_or_else(empty_body)))
    }
}

fn reply(parts: response::Parts, body: Paced) -> Reply {
    Reply { answer: Answer::Http(Box::new(parts)), body: Some(body.boxed_unsync()) }
}

/// Takes out what belongs to the connection, and what the connection's own header names.
fn clean(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in OF_THE_CONNECTION.iter().chain(&named) {
        headers.remove(name);
    }
}

/// What the caller hears of a destination that it may not have. Which address a name has inside is the operator's.
fn denied(uri: &Uri, refused: &Refused) -> CallError {
    let destination = uri.authority().map_or_else(|| uri.to_string(), ToString::to_string);
    tracing::info!(target: "audit", destination, "a request is refused: {refused}");
    let message = match refused {
        Refused::NotPublic(host, _) => format!("{host} leads to an address that the link does not allow"),
        other => other.to_string(),
    };
    CallError::new(Code::Denied, message)
}

fn failed(uri: &Uri, error: &legacy::Error) -> CallError {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    let mut said = Vec::new();
    while let Some(one) = cause {
        match one.downcast_ref::<ConnectError>() {
            Some(ConnectError::Refused(refused)) => return denied(uri, refused),
            Some(ConnectError::Late(_)) => return CallError::new(Code::DeadlineExceeded, one.to_string()),
            _ => {}
        }
        if let Some(own) = one.downcast_ref::<CallError>() {
            // The body that the guest was sending failed.
            return own.clone();
        }
        said.push(one.to_string());
        cause = one.source();
    }
    let host = uri.host().unwrap_or_default();
    CallError::new(Code::Backend, format!("{host}: {}", said.join(": ")))
}

fn tls(settings: &LinkSettings) -> io::Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    match &settings.tls_ca_file {
        Some(file) => {
            for certificate in certificates(file)? {
                roots.add(certificate).map_err(io::Error::other)?;
            }
        }
        // A machine without any trusts nobody: requests with TLS fail, others do not need them.
        None => drop(roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs)),
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots);
    match &settings.tls_client {
        Some((certificate, key)) => {
            let key = PrivateKeyDer::from_pem_file(key).map_err(io::Error::other)?;
            config.with_client_auth_cert(certificates(certificate)?, key).map_err(io::Error::other)
        }
        None => Ok(config.with_no_client_auth()),
    }
}

fn certificates(file: &Path) -> io::Result<Vec<CertificateDer<'static>>> {
    let unreadable = |error| io::Error::other(format!("{}: {error}", file.display()));
    CertificateDer::pem_file_iter(file).map_err(unreadable)?.collect::<Result<_, _>>().map_err(unreadable)
}

impl Counters {
    /// Counts how a request ended.
    pub(crate) fn note(&self, answer: &Result<Reply, CallError>) {
        let counter = match answer {
            Ok(_) => &self.answered,
            Err(error) if error.code == Code::Denied => &self.refused,
            Err(error) if error.code == Code::Busy => &self.busy,
            Err(_) => &self.failed,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

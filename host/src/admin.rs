//! The admin port: `/livez`, `/readyz` with the reasons as JSON, `/metrics` as Prometheus text. It listens on the
//! address that the configuration names and on no other, and changes nothing.

pub mod metrics;

use std::{convert::Infallible, io, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{net::TcpListener, sync::Semaphore, task::JoinSet};
use tokio_util::sync::CancellationToken;

use crate::readiness::Readiness;
use metrics::Metrics;

/// Connections at one time; more wait to be accepted.
const MAX_CONNECTIONS: usize = 32;
/// A request's head is here within this.
const HEAD: Duration = Duration::from_secs(5);

/// Serves the admin port.
pub struct Admin {
    listener: std::net::TcpListener,
    readiness: Readiness,
    metrics: Arc<Metrics>,
}

impl Admin {
    /// Binds the address; serves nothing yet.
    ///
    /// # Errors
    ///
    /// Where the address cannot be had.
    pub fn bind(address: SocketAddr, readiness: Readiness, metrics: Arc<Metrics>) -> io::Result<Self> {
        let listener = std::net::TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        Ok(Self { listener, readiness, metrics })
    }

    /// Where it listens: the port is the one that was found where 0 was asked for.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until it is cancelled.
    ///
    /// # Errors
    ///
    /// Where the listener cannot be used.
    pub async fn run(self, cancel: CancellationToken) -> io::Result<()> {
        let listener = TcpListener::from_std(self.listener)?;
        let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        let mut connections = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                () = cancel.cancelled() => break,
                Some(_) = connections.join_next() => continue,
                accepted = accept(&listener, &room) => accepted,
            };
            let Some((stream, permit)) = accepted else { continue };
            let (readiness, metrics) = (self.readiness.clone(), self.metrics.clone());
            let service = service_fn(move |request: Request<Incoming>| {
                let response = answer(&request, &readiness, &metrics);
                async move { Ok::<_, Infallible>(response) }
            });
            connections.spawn(async move {
                let connection = http1::Builder::new()
                    .timer(TokioTimer::new())
                    .header_read_timeout(HEAD)
                    .serve_connection(TokioIo::new(stream), service);
                // How a connection of the admin port ends concerns nobody.
                let _ = connection.await;
                drop(permit);
            });
        }
        connections.shutdown().await;
        Ok(())
    }
}

async fn accept(
    listener: &TcpListener,
    room: &Arc<Semaphore>,
) -> Option<(tokio::net::TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let permit = room.clone().acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, _)) => Some((stream, permit)),
        Err(error) => {
            // Out of file descriptors, most likely: trying again at once would spin.
            tracing::warn!("the admin port cannot accept: {error}");
            tokio::time::sleep(Duration::from_millis(100)).await;
            None
        }
    }
}

fn answer<B>(request: &Request<B>, readiness: &Readiness, metrics: &Metrics) -> Response<Full<Bytes>> {
    if request.method() != Method::GET && request.method() != Method::HEAD {
        return respond(StatusCode::METHOD_NOT_ALLOWED, "text/plain", "only GET\n".into());
    }
    match request.uri().path() {
        "/livez" => respond(StatusCode::OK, "text/plain", "ok\n".into()),
        "/readyz" => {
            let reasons = readiness.reasons();
            let status = if reasons.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
            let body = serde_json::json!({ "ready": reasons.is_empty(), "reasons": reasons });
            respond(status, "application/json", format!("{body}\n"))
        }
        "/metrics" => respond(StatusCode::OK, "text/plain; version=0.0.4", metrics.render()),
        _ => respond(StatusCode::NOT_FOUND, "text/plain", "/livez, /readyz or /metrics\n".into()),
    }
}

fn respond(status: StatusCode, kind: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
    response
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;
    use crate::readiness::Concern;

    async fn get(path: &str, readiness: &Readiness) -> (StatusCode, String) {
        let request = Request::builder().uri(path).body(()).unwrap();
        let response = answer(&request, readiness, &Metrics::for_tests());
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn readyz_says_why_not() {
        let readiness = Readiness::default();
        assert_eq!(get("/readyz", &readiness).await.0, StatusCode::OK);
        readiness.set(Concern::NotEnrolled, Some("meshctl trust add host N".into()));
        let (status, body) = get("/readyz", &readiness).await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        let body: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!(body["reasons"][0]["code"], "not_enrolled");
        assert_eq!(get("/livez", &readiness).await.0, StatusCode::OK);
        readiness.set(Concern::NotEnrolled, None);
        assert_eq!(get("/readyz", &readiness).await.0, StatusCode::OK);
    }

    #[tokio::test]
    async fn metrics_are_prometheus_text() {
        let (status, body) = get("/metrics", &Readiness::default()).await;
        assert_eq!(status, StatusCode::OK);
        assert!(body.contains("# TYPE mesh_calls_total counter\n"), "{body}");
        for line in body.lines().filter(|line| !line.starts_with('#')) {
            let (name, value) = line.rsplit_once(' ').unwrap();
            assert!(name.starts_with("mesh_") || name.starts_with("process_"), "{line}");
            value.parse::<f64>().unwrap();
        }
    }

    #[tokio::test]
    async fn nothing_else_is_served() {
        assert_eq!(get("/", &Readiness::default()).await.0, StatusCode::NOT_FOUND);
    }
}

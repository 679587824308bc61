//! Connections of one link: the name is checked, resolved once, every address that it has is checked, and one of
//! exactly these is connected to. A name that answers otherwise a moment later gains nothing.

use std::{
    io,
    net::SocketAddr,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures::future::BoxFuture;
use http::Uri;
use hyper_util::rt::TokioIo;
use tokio::{
    net::TcpStream,
    time::{Instant, timeout_at},
};

use crate::destination::{Destinations, Refused};

/// Finds the addresses of a name.
pub trait Resolve: Send + Sync + 'static {
    /// All of them.
    fn resolve(&self, host: String, port: u16) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>>;
}

/// The resolver of the machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct System;

impl Resolve for System {
    fn resolve(&self, host: String, port: u16) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> {
        Box::pin(async move { Ok(tokio::net::lookup_host((host, port)).await?.collect()) })
    }
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The link does not allow it.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The name has no address.
    #[error("{host} has no address")]
    Unresolved {
        /// The name.
        host: String,
        /// What the resolver said, where it said anything.
        #[source]
        source: Option<io::Error>,
    },
    /// Nobody answered at any address.
    #[error("{host} cannot be connected to")]
    Unreachable {
        /// The name.
        host: String,
        /// What the last attempt came to.
        #[source]
        source: io::Error,
    },
    /// It took too long.
    #[error("{0} was not connected to in time")]
    Late(String),
}

/// Connects for one link.
#[derive(Clone)]
pub(crate) struct Connector {
    destinations: Arc<Destinations>,
    resolve: Arc<dyn Resolve>,
    limit: Duration,
}

impl Connector {
    pub(crate) fn new(destinations: Destinations, resolve: Arc<dyn Resolve>, limit: Duration) -> Self {
        Self { destinations: Arc::new(destinations), resolve, limit }
    }

    /// Whether a request to this address may be begun: said before a connection is taken from those that are kept.
    pub(crate) fn allow(&self, uri: &Uri) -> Result<(), Refused> {
        let (host, port) = host_and_port(uri)?;
        self.destinations.allow_name(host, port)
    }

    async fn connect(self, uri: Uri) -> Result<TcpStream, ConnectError> {
        let (host, port) = host_and_port(&uri)?;
        self.destinations.allow_name(host, port)?;
        let until = Instant::now() + self.limit;
        let late = |_| ConnectError::Late(host.to_owned());
        // Brackets belong to the address of a page, not to the one of a machine.
        let name = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let found = timeout_at(until, self.resolve.resolve(name, port)).await.map_err(late)?;
        let addresses =
            found.map_err(|source| ConnectError::Unresolved { host: host.to_owned(), source: Some(source) })?;
        for address in &addresses {
            self.destinations.allow_address(host, address.ip())?;
        }
        let mut failed = ConnectError::Unresolved { host: host.to_owned(), source: None };
        for (tried, address) in addresses.iter().enumerate() {
            // Each gets its share of the time that is left, so that one that is silent does not use it all up.
            let left = until.saturating_duration_since(Instant::now());
            let share = left / u32::try_from(addresses.len() - tried).unwrap_or(1);
            match timeout_at(Instant::now() + share, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => {
                    let _ = stream.set_nodelay(true);
                    return Ok(stream);
                }
                Ok(Err(source)) => failed = ConnectError::Unreachable { host: host.to_owned(), source },
                Err(elapsed) => failed = late(elapsed),
            }
        }
        Err(failed)
    }
}

impl tower_service::Service<Uri> for Connector {
    type Response = TokioIo<TcpStream>;
    type Error = ConnectError;
    type Future = BoxFuture<'static, Result<Self::Response, ConnectError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connecting = self.clone().connect(uri);
        Box::pin(async move { connecting.await.map(TokioIo::new) })
    }
}

fn host_and_port(uri: &Uri) -> Result<(&str, u16), Refused> {
    let authority = uri.authority().ok_or_else(|| Refused::Malformed(uri.to_string()))?;
    // `allowed.example@evil.example` is the host evil.example with a user; nobody needs that.
    if authority.as_str().contains('@') {
        return Err(Refused::Malformed(authority.to_string()));
    }
    let port = match (authority.port(), uri.scheme_str()) {
        (Some(port), _) => Some(port.as_u16()),
        (None, Some("https")) => Some(443),
        (None, Some("http")) => Some(80),
        (None, _) => None,
    };
    let port = port.filter(|port| *port != 0).ok_or_else(|| Refused::Malformed(authority.to_string()))?;
    Ok((authority.host(), port))
}

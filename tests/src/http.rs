//! HTTP clients: one connection that is kept, and one for each request.
//!
//! An answer of any status is an answer; what comes back as an error is a request that got none.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full, combinators::BoxBody};
use hyper::{
    body::Incoming,
    client::conn::http1::{self, SendRequest},
};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, task::JoinSet, time::timeout};

/// How long one request may take where nothing else is said.
const WITHIN: Duration = Duration::from_secs(30);

/// What is sent as a body.
pub type Sent = BoxBody<Bytes, std::io::Error>;

/// An answer, whole.
#[derive(Debug, Clone)]
pub struct Response {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

impl Response {
    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as a number.
    ///
    /// # Errors
    ///
    /// Where it is none, or the status is not 200.
    pub fn number(&self) -> Result<u64> {
        ensure!(self.status == StatusCode::OK, "{}: {}", self.status, self.text());
        self.text().trim().parse().with_context(|| format!("{:?} is not a number", self.text()))
    }
}

/// A body that is there as a whole.
#[must_use]
pub fn whole(bytes: impl Into<Bytes>) -> Sent {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed()
}

/// A client of one address that keeps its connection for as long as the server does.
#[derive(Debug)]
pub struct Client {
    address: SocketAddr,
    connection: Option<SendRequest<Sent>>,
    driver: JoinSet<()>,
    keep: bool,
    again: bool,
    within: Duration,
}

/// What is said where a connection brought no head of an answer.
const NO_ANSWER: &str = "no answer";

impl Client {
    /// Keeps its connection.
    #[must_use]
    pub fn keep_alive(address: SocketAddr) -> Self {
        Self { address, connection: None, driver: JoinSet::new(), keep: true, again: false, within: WITHIN }
    }

    /// Makes a connection for each request.
    #[must_use]
    pub fn one_shot(address: SocketAddr) -> Self {
        Self { keep: false, ..Self::keep_alive(address) }
    }

    /// Asks once more, on a new connection, where one that was kept is closed as it is used again: what a server and
    /// its client cannot agree on in HTTP/1, and what every client does for a request that may be repeated.
    #[must_use]
    pub fn again(mut self) -> Self {
        self.again = true;
        self
    }

    /// Gives up on a request after this time.
    #[must_use]
    pub fn within(mut self, within: Duration) -> Self {
        self.within = within;
        self
    }

    /// Asks for `path`.
    ///
    /// # Errors
    ///
    /// Where there is no answer.
    pub async fn get(&mut self, path: &str) -> Result<Response> {
        let kept = self.again && self.connection.is_some();
        match self.send(Method::GET, path, whole("")).await {
            Err(error) if kept && error.to_string() == NO_ANSWER => self.send(Method::GET, path, whole("")).await,
            answer => answer,
        }
    }

    /// Sends a request and reads the answer to its end.
    ///
    /// # Errors
    ///
    /// Where there is no answer, or it breaks off.
    pub async fn send(&mut self, method: Method, path: &str, body: Sent) -> Result<Response> {
        timeout(self.within, self.exchange(method, path, body)).await.context("no answer in time")?
    }

    /// Sends a request and returns the answer's head with the body still to come; the connection is not used again.
    ///
    /// # Errors
    ///
    /// Where there is no answer.
    pub async fn begin(&mut self, method: Method, path: &str, body: Sent) -> Result<http::Response<Incoming>> {
        let mut connection = self.connect().await?;
        let request = self.request(method, path, body)?;
        timeout(self.within, connection.send_request(request)).await.context("no answer in time")?.context("no answer")
    }

    async fn exchange(&mut self, method: Method, path: &str, body: Sent) -> Result<Response> {
        let mut connection = self.connect().await?;
        let response = connection.send_request(self.request(method, path, body)?).await.context(NO_ANSWER)?;
        let (parts, body) = response.into_parts();
        let body = body.collect().await.context("the answer broke off")?.to_bytes();
        let closes = parts.headers.get(header::CONNECTION).is_some_and(|value| value == "close");
        if self.keep && !closes {
            self.connection = Some(connection);
        }
        Ok(Response { status: parts.status, headers: parts.headers, body })
    }

    fn request(&self, method: Method, path: &str, body: Sent) -> Result<Request<Sent>> {
        let request = Request::builder().method(method).uri(path).header(header::HOST, self.address.to_string());
        let request = if self.keep { request } else { request.header(header::CONNECTION, "close") };
        Ok(request.body(body)?)
    }

    /// The kept connection, where the server has not closed it while nothing was asked, else a new one.
    async fn connect(&mut self) -> Result<SendRequest<Sent>> {
        if let Some(mut kept) = self.connection.take()
            && kept.ready().await.is_ok()
        {
            return Ok(kept);
        }
        let stream = TcpStream::connect(self.address).await.context("no connection")?;
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.context("no connection")?;
        while self.driver.try_join_next().is_some() {}
        self.driver.spawn(async move {
            // How a connection ends is told to the request that was on it.
            let _ = connection.await;
        });
        Ok(sender)
    }
}

/// One request on a connection of its own.
///
/// # Errors
///
/// Where there is no answer.
pub async fn get(address: SocketAddr, path: &str) -> Result<Response> {
    Client::one_shot(address).get(path).await
}

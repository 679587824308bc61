//! A server with invented actors behind it, and an HTTP client that does only what it is told.

use std::{
    collections::HashMap,
    net::SocketAddr,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures::future::BoxFuture;
use http_body_util::BodyExt as _;
use mesh_http_server::HttpServerFactory;
use mesh_lattice::{
    Answer, Body, CallError, Code, Deadline, Invocation, LinkName, Params, Reply, Serve,
    invocation::{empty_body, full_body},
};
use mesh_provider::{Context, End, Factory as _, LinkError, Provider, ProviderLink};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::Notify,
};

/// What stands where a host's router would.
#[derive(Default)]
pub struct Actors {
    fail: std::sync::Mutex<Option<Code>>,
    running: AtomicUsize,
    begun: AtomicUsize,
    pub served: AtomicU64,
    released: Notify,
}

struct Running<'a>(&'a Actors);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Actors {
    pub fn fail_with(&self, code: Option<Code>) {
        *self.fail.lock().unwrap() = code;
    }

    pub fn running(&self) -> usize {
        self.running.load(Ordering::SeqCst)
    }

    /// Calls that have begun, ever.
    pub fn begun(&self) -> usize {
        self.begun.load(Ordering::SeqCst)
    }

    pub fn release(&self) {
        self.released.notify_one();
    }

    async fn answer(&self, invocation: Invocation) -> Result<Reply, CallError> {
        self.running.fetch_add(1, Ordering::SeqCst);
        self.begun.fetch_add(1, Ordering::SeqCst);
        let _running = Running(self);
        if let Some(code) = *self.fail.lock().unwrap() {
            return Err(CallError::new(code, "a secret of the inside"));
        }
        assert_eq!(invocation.caller.name().unwrap().as_str(), "web");
        assert_eq!(invocation.interface.as_str(), "wasi:http/incoming-handler");
        assert_eq!(&*invocation.operation, "handle");
        let Params::Http(head) = invocation.params else { panic!("the head is parsed") };
        let (body, text): (Body, String) = match head.uri.path() {
            "/mirror" => (invocation.body.unwrap_or_else(empty_body), String::new()),
            "/hang" => std::future::pending().await,
            "/liar" => return Ok(liar()),
            "/endless" => (endless(), String::new()),
            "/hold" => {
                self.released.notified().await;
                (empty_body(), "held".into())
            }
            "/trace" => {
                let trace = invocation.trace.map(|trace| match trace.tracestate {
                    Some(state) => format!("{} {state}", trace.traceparent),
                    None => trace.traceparent.to_string(),
                });
                (empty_body(), trace.unwrap_or("none".into()))
            }
            _ => {
                let sent = match invocation.body {
                    Some(body) => body.collect().await?.to_bytes(),
                    None => Default::default(),
                };
                let id = head.headers["x-request-id"].to_str().unwrap();
                let host = head.headers.get("host").map_or("-", |host| host.to_str().unwrap());
                let (target, link) = (invocation.target.unwrap(), invocation.link);
                let sent = String::from_utf8_lossy(&sent).into_owned();
                (empty_body(), format!("{target} {} {} {host} {link} {id} {sent}", head.method, head.uri))
            }
        };
        self.served.fetch_add(1, Ordering::SeqCst);
        let body = if text.is_empty() { body } else { full_body(text.into()) };
        let (parts, ()) = http::Response::new(()).into_parts();
        Ok(Reply { answer: Answer::Http(Box::new(parts)), body: Some(body) })
    }
}

/// An answer whose headers are not its own to say, or not true.
fn liar() -> Reply {
    let response = http::Response::builder()
        .header("content-length", "500")
        .header("connection", "x-hop, close")
        .header("x-hop", "1")
        .header("keep-alive", "timeout=1")
        .header("upgrade", "h2c")
        .header("transfer-encoding", "chunked");
    let (parts, ()) = response.body(()).unwrap().into_parts();
    Reply { answer: Answer::Http(Box::new(parts)), body: Some(full_body("five.".into())) }
}

/// A body without an end.
fn endless() -> Body {
    let part = bytes::Bytes::from(vec![b'e'; 16 << 10]);
    let parts = futures::stream::repeat_with(move || Ok(http_body::Frame::data(part.clone())));
    http_body_util::StreamBody::new(parts).boxed_unsync()
}

impl Serve for Actors {
    fn serve(&self, invocation: Invocation) -> BoxFuture<'_, Result<Reply, CallError>> {
        Box::pin(self.answer(invocation))
    }
}

pub struct Server {
    pub provider: Arc<dyn Provider>,
}

impl Server {
    pub async fn start(dir: &Path, actors: &Arc<Actors>, config: &[(&str, &str)]) -> Self {
        let server = Self::with(dir, actors, config, false).await;
        server.provider.begin().await;
        server
    }

    pub async fn start_tracing(dir: &Path, actors: &Arc<Actors>) -> Self {
        let server = Self::with(dir, actors, &[], true).await;
        server.provider.begin().await;
        server
    }

    /// One that is still being told the links of its start.
    pub async fn not_begun(dir: &Path, actors: &Arc<Actors>) -> Self {
        Self::with(dir, actors, &[], false).await
    }

    async fn with(dir: &Path, actors: &Arc<Actors>, config: &[(&str, &str)], tracing: bool) -> Self {
        let calls: Arc<Actors> = Arc::clone(actors);
        let context = Context {
            lattice: Default::default(),
            name: "web".parse().unwrap(),
            config: values(config),
            data_dir: dir.join("data"),
            runtime_dir: dir.join("run"),
            calls,
            default_nats: None,
            tracing,
        };
        Self { provider: HttpServerFactory::new().unwrap().start(context).await.unwrap() }
    }

    pub async fn put(&self, link: ProviderLink) -> Result<(), LinkError> {
        self.provider.put_link(link).await
    }

    /// A value that it counts.
    pub fn counted(&self, metric: &str, labels: &str) -> u64 {
        let all = self.provider.metrics();
        let values = &all.iter().find(|one| one.name == metric).unwrap().values;
        values.iter().find(|(of, _)| *of == labels).unwrap().1
    }

    pub async fn drain(&self) {
        self.provider.drain(Deadline::after(Duration::from_secs(10))).await;
    }
}

pub fn values(pairs: &[(&str, &str)]) -> mesh_lattice::application::Values {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

pub fn link(target: &str, address: SocketAddr, config: &[(&str, &str)]) -> ProviderLink {
    let mut config = values(config);
    config.insert("listen".into(), address.to_string());
    ProviderLink {
        end: End::Source,
        peer: target.parse().unwrap(),
        name: LinkName::default(),
        interfaces: vec!["wasi:http/incoming-handler".parse().unwrap()],
        config,
        timeout: None,
    }
}

pub fn dir() -> std::path::PathBuf {
    tempfile::Builder::new().prefix("mesh-http-").tempdir().unwrap().keep()
}

pub fn free_address() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// Waits until something holds, ten seconds at most.
pub async fn until<F: Future<Output = bool>>(holds: impl Fn() -> F) {
    let wait = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), wait).await.expect("it did not come about");
}

#[derive(Debug)]
pub struct Response {
    pub status: u16,
    headers: HashMap<String, String>,
    body: Vec<u8>,
}

impl Response {
    pub fn header(&self, name: &str) -> Option<String> {
        self.headers.get(name).cloned()
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// One request on a connection of its own.
pub async fn get(address: SocketAddr, path: &str) -> Response {
    try_get(address, path).await.unwrap()
}

pub async fn try_get(address: SocketAddr, path: &str) -> std::io::Result<Response> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    try_read_response(&mut stream).await
}

pub async fn send(stream: &mut TcpStream, request: &str) -> Response {
    stream.write_all(request.as_bytes()).await.unwrap();
    read_response(stream).await
}

pub async fn read_response(stream: &mut TcpStream) -> Response {
    tokio::time::timeout(Duration::from_secs(10), try_read_response(stream)).await.unwrap().unwrap()
}

/// A response whose length is said in its head.
pub async fn try_read_response(stream: &mut TcpStream) -> std::io::Result<Response> {
    let ended = || std::io::Error::from(std::io::ErrorKind::UnexpectedEof);
    let mut bytes = Vec::new();
    let mut part = [0; 4096];
    let head_ends = loop {
        if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
        let n = stream.read(&mut part).await?;
        if n == 0 {
            return Err(ended());
        }
        bytes.extend_from_slice(&part[..n]);
    };
    let head = String::from_utf8(bytes[..head_ends].to_vec()).unwrap();
    let mut lines = head.lines();
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let headers: HashMap<String, String> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let length = headers.get("content-length").map_or(0, |length| length.parse::<usize>().unwrap());
    let mut body = bytes.split_off(head_ends);
    while body.len() < length {
        let n = stream.read(&mut part).await?;
        if n == 0 {
            return Err(ended());
        }
        body.extend_from_slice(&part[..n]);
    }
    Ok(Response { status, headers, body })
}

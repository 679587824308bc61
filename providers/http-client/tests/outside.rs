//! Requests to the outside, against servers on loopback that record who came.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a test fails by panicking and prints what it measured"
)]

use std::{
    collections::HashMap,
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures::future::BoxFuture;
use http::{Method, Request};
use http_body_util::{BodyExt as _, StreamBody};
use mesh_http_client::{HttpClientFactory, connect::Resolve};
use mesh_lattice::{
    Answer, CallError, CallId, Caller, Code, Deadline, Invocation, LinkName, Params, Reply, Serve,
    application::Values,
    invocation::full_body,
    wit::{http::RequestHead, to_wire},
};
use mesh_provider::{Context, End, Factory as _, Provider, ProviderLink};
use parking_lot::Mutex;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

struct Nobody;

impl Serve for Nobody {
    fn serve(&self, _: Invocation) -> BoxFuture<'_, Result<Reply, CallError>> {
        Box::pin(std::future::ready(Err(CallError::new(Code::UnknownTarget, "nobody"))))
    }
}

/// Names of our own. What a name has several answers for, it gives one after the other.
#[derive(Default)]
struct Names {
    answers: HashMap<&'static str, Vec<Vec<&'static str>>>,
    asked: Mutex<HashMap<String, usize>>,
}

impl Resolve for Names {
    fn resolve(&self, host: String, port: u16) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> {
        let at = {
            let mut asked = self.asked.lock();
            let count = asked.entry(host.clone()).or_default();
            *count += 1;
            *count - 1
        };
        let answers = self.answers.get(host.as_str()).map(|answers| answers[at.min(answers.len() - 1)].clone());
        Box::pin(async move {
            match answers {
                Some(answers) => Ok(answers.iter().map(|ip| SocketAddr::new(ip.parse().unwrap(), port)).collect()),
                // Whatever the machine makes of it: odd spellings of addresses above all.
                None => Ok(tokio::net::lookup_host((host, port)).await?.collect()),
            }
        })
    }
}

/// A server of HTTP on every loopback address that a test names, counting connections.
struct Server {
    port: u16,
    connections: Arc<AtomicUsize>,
}

impl Server {
    /// Answers each request with `answer`, and keeps what it was.
    async fn start(address: &str, answer: &'static str) -> (Self, Arc<Mutex<Vec<String>>>) {
        let listener = TcpListener::bind((address, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (connections, requests) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(Vec::new())));
        let (counted, kept) = (connections.clone(), requests.clone());
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                counted.fetch_add(1, Ordering::SeqCst);
                let kept = kept.clone();
                tokio::spawn(async move {
                    let (mut request, mut buffer) = (Vec::new(), [0; 4096]);
                    while let Ok(read) = stream.read(&mut buffer).await {
                        request.extend_from_slice(&buffer[..read]);
                        let ended = ["\r\n\r\n", "\r\n\r\nbody"].iter().any(|end| request.ends_with(end.as_bytes()));
                        if read == 0 || ended {
                            kept.lock().push(String::from_utf8_lossy(&request).into_owned());
                            request.clear();
                            let _ = stream.write_all(answer.as_bytes()).await;
                        }
                        if read == 0 {
                            return;
                        }
                    }
                });
            }
        });
        (Self { port, connections }, requests)
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

const HELLO: &str =
    "HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: x-secret\r\nx-secret: 1\r\nx-kept: 2\r\n\r\nhello";

struct Outside {
    provider: Arc<dyn Provider>,
}

impl Outside {
    async fn start(names: Names, config: &[(&str, &str)]) -> Self {
        let context = Context {
            lattice: Default::default(),
            name: "out".parse().unwrap(),
            config: Values::new(),
            data_dir: "/nowhere".into(),
            runtime_dir: "/nowhere".into(),
            calls: Arc::new(Nobody),
            default_nats: None,
            tracing: false,
        };
        let factory = HttpClientFactory::with_resolver(Arc::new(names)).unwrap();
        let provider = factory.start(context).await.unwrap();
        provider.put_link(link(config)).await.unwrap();
        Self { provider }
    }

    async fn send(&self, request: Request<&'static str>, limit: Duration) -> Result<Reply, CallError> {
        let (parts, body) = request.into_parts();
        let params = Params::Http(Box::new(parts));
        self.provider.serve(invocation("shop", params, Some(full_body(body.into())), limit)).await
    }

    async fn get(&self, uri: &str) -> Result<(http::response::Parts, Bytes), CallError> {
        let request = Request::get(uri).body("").map_err(|error| CallError::new(Code::BadParams, error.to_string()))?;
        let reply = self.send(request, Duration::from_secs(10)).await?;
        let Answer::Http(parts) = reply.answer else { panic!("not HTTP") };
        Ok((*parts, reply.body.unwrap().collect().await?.to_bytes()))
    }
}

fn link(config: &[(&str, &str)]) -> ProviderLink {
    ProviderLink {
        end: End::Target,
        peer: "shop".parse().unwrap(),
        name: LinkName::default(),
        interfaces: vec!["wasi:http/outgoing-handler".parse().unwrap()],
        config: config.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
        timeout: None,
    }
}

fn invocation(caller: &str, params: Params, body: Option<mesh_lattice::Body>, limit: Duration) -> Invocation {
    Invocation {
        id: CallId::new(),
        caller: Caller::Named(caller.parse().unwrap()),
        link: LinkName::default(),
        target: None,
        interface: "wasi:http/outgoing-handler@0.2.2".parse().unwrap(),
        operation: "handle".into(),
        params,
        body,
        deadline: Deadline::after(limit),
        trace: Some(mesh_lattice::TraceContext {
            traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into(),
            tracestate: None,
        }),
        pin: None,
        from: None,
    }
}

fn code<T>(answer: Result<T, CallError>) -> Option<Code> {
    answer.err().map(|error| error.code)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_goes_out_and_its_answer_comes_back() {
    let (server, requests) = Server::start("127.0.0.1", HELLO).await;
    let outside = Outside::start(Names::default(), &[("allow", "127.0.0.1"), ("allow_networks", "127.0.0.1")]).await;
    let uri = format!("http://127.0.0.1:{}/path?query", server.port);
    let request = Request::post(&uri)
        .header("host", "elsewhere.example")
        .header("connection", "x-hop")
        .header("x-hop", "1")
        .header("x-own", "2")
        .body("body")
        .unwrap();
    let reply = outside.send(request, Duration::from_secs(10)).await.unwrap();
    let Answer::Http(parts) = reply.answer else { panic!("not HTTP") };
    assert_eq!(parts.status, 200);
    assert!(parts.headers.contains_key("x-kept") && !parts.headers.contains_key("x-secret"), "{:?}", parts.headers);
    assert_eq!(reply.body.unwrap().collect().await.unwrap().to_bytes(), "hello");
    let request = requests.lock()[0].to_ascii_lowercase();
    assert!(request.starts_with("post /path?query http/1.1\r\n"), "{request}");
    for (header, there) in [
        (format!("host: 127.0.0.1:{}", server.port), true),
        ("x-own: 2".into(), true),
        ("traceparent: 00-0af7651916cd43dd8448eb211c80319c-".into(), true),
        ("x-hop".into(), false),
        ("elsewhere".into(), false),
    ] {
        assert_eq!(request.contains(&header), there, "{header} in {request}");
    }

    // The same as another host sends it.
    let (parts, ()) = Request::get(&uri).body(()).unwrap().into_parts();
    let params = Params::Wire(to_wire(&(RequestHead::from(&parts),)).unwrap());
    let reply = outside.provider.serve(invocation("shop", params, None, Duration::from_secs(10))).await.unwrap();
    assert!(matches!(reply.answer, Answer::Http(parts) if parts.status == 200));
    let metric = &outside.provider.metrics()[0];
    assert_eq!(metric.values[0], ("end=\"answered\"", 2));
}

/// Where a link that may call everything public still does not get, whatever the spelling.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_is_not_public_is_connected_to() {
    let (server, _) = Server::start("127.0.0.1", HELLO).await;
    let (listening, port) = (format!("127.0.0.1:{}", server.port), server.port);
    let names = Names {
        answers: HashMap::from([
            ("internal.example", vec![vec!["127.0.0.1"]]),
            ("mapped.example", vec![vec!["::ffff:127.0.0.1"]]),
            ("one-of-two.example", vec![vec!["1.1.1.1", "127.0.0.1"]]),
            ("metadata.example", vec![vec!["169.254.169.254"]]),
            ("private.example", vec![vec!["10.0.0.1"]]),
            ("nat64.example", vec![vec!["64:ff9b::7f00:1"]]),
            ("6to4.example", vec![vec!["2002:7f00:1::"]]),
        ]),
        ..Names::default()
    };
    let outside = Outside::start(names, &[("allow", "*")]).await;
    let hosts = [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "0177.0.0.1",
        "017700000001",
        "127.0.0.1.",
        "0.0.0.0",
        "0",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "[fe80::1]",
        "[fd00:ec2::254]",
        "[ff02::1]",
        "169.254.169.254",
        "169.254.170.2",
        "100.100.100.200",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.0.1",
        "192.0.0.192",
        "198.18.0.1",
        "224.0.0.1",
        "255.255.255.255",
        "localhost",
        "LOCALHOST.",
        "internal.example",
        "mapped.example",
        "one-of-two.example",
        "metadata.example",
        "private.example",
        "nat64.example",
        "6to4.example",
        "allowed.example@127.0.0.1",
        "127.0.0.1%2f@1.1.1.1",
    ];
    assert!(hosts.len() >= 40);
    for host in hosts {
        for scheme in ["http", "https"] {
            let answer = outside.get(&format!("{scheme}://{host}:{port}/")).await;
            let said = answer.as_ref().err().map(ToString::to_string).unwrap_or_default();
            // What no resolver understands is no destination either.
            let refused = matches!(code(answer), Some(Code::Denied | Code::BadParams | Code::Backend));
            assert!(refused, "{scheme}://{host}: {said}");
            assert!(!said.contains("169.254.169.254") || host.contains("169.254"), "an inner address is told: {said}");
        }
    }
    assert_eq!(server.connections(), 0, "{listening} was connected to");
    let denied = outside.provider.metrics()[0].values[1];
    println!("{} targets, {denied:?}, 0 connections", hosts.len());
    assert!(denied.1 >= 60, "most are refused by rule, not because they failed: {denied:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_changes_its_answer_gains_nothing() {
    // Both servers have one port: 127.0.0.2 stands for the outside, 127.0.0.1 for what must not be reached.
    let (forbidden, _) = Server::start("127.0.0.1", HELLO).await;
    let outer = TcpListener::bind(("127.0.0.2", forbidden.port)).await.unwrap();
    let outer_connections = Arc::new(AtomicUsize::new(0));
    let counted = outer_connections.clone();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = outer.accept().await.unwrap();
            counted.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(async move {
                let mut buffer = [0; 4096];
                let _ = stream.read(&mut buffer).await;
                // One answer for each connection: the next request has to connect, and to resolve, again.
                let redirect = "HTTP/1.1 302 Found\r\nlocation: http://inner.example/\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
                let _ = stream.write_all(redirect.as_bytes()).await;
            });
        }
    });
    let names = Names {
        answers: HashMap::from([
            ("rebinds.example", vec![vec!["127.0.0.2"], vec!["127.0.0.1"]]),
            ("inner.example", vec![vec!["127.0.0.1"]]),
        ]),
        ..Names::default()
    };
    let outside = Outside::start(names, &[("allow", "*"), ("allow_networks", "127.0.0.2")]).await;
    let uri = format!("http://rebinds.example:{}/", forbidden.port);
    let (parts, _) = outside.get(&uri).await.unwrap();
    assert_eq!(parts.status, 302, "a redirect is the guest's to follow");
    for _ in 0..5 {
        assert_eq!(code(outside.get(&uri).await), Some(Code::Denied));
    }
    let inner = format!("http://inner.example:{}/", forbidden.port);
    assert_eq!(code(outside.get(&inner).await), Some(Code::Denied), "the redirect, followed");
    assert_eq!((outer_connections.load(Ordering::SeqCst), forbidden.connections()), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_reaches_its_own_hosts_and_strangers_reach_none() {
    let (server, _) = Server::start("127.0.0.1", HELLO).await;
    let names = || Names {
        answers: HashMap::from([("api.example", vec![vec!["127.0.0.1"]]), ("other.example", vec![vec!["127.0.0.1"]])]),
        ..Names::default()
    };
    let own = [("allow", "api.example"), ("allow_networks", "127.0.0.0/8")];
    let outside = Outside::start(names(), &own).await;
    let uri = |host: &str| format!("http://{host}:{}/", server.port);
    assert!(outside.get(&uri("api.example")).await.is_ok());
    assert_eq!(code(outside.get(&uri("other.example")).await), Some(Code::Denied));
    assert_eq!(code(outside.get(&uri("127.0.0.1")).await), Some(Code::Denied), "by its address neither");
    let tunnel = Request::builder().method(Method::CONNECT).uri(uri("api.example")).body("").unwrap();
    assert_eq!(code(outside.send(tunnel, Duration::from_secs(5)).await), Some(Code::Denied));

    let (parts, ()) = Request::get(uri("api.example")).body(()).unwrap().into_parts();
    let stranger = invocation("stranger", Params::Http(Box::new(parts)), None, Duration::from_secs(5));
    assert_eq!(code(outside.provider.serve(stranger).await), Some(Code::Denied));

    outside.provider.put_link(link(&[own[0], own[1], ("https_only", "true")])).await.unwrap();
    assert_eq!(code(outside.get(&uri("api.example")).await), Some(Code::Denied), "a changed link holds at once");
    outside.provider.delete_link(&link(&own).id()).await;
    assert_eq!(code(outside.get(&uri("api.example")).await), Some(Code::Denied));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_slow_or_gone_costs_its_time_and_no_more() {
    let stalls = "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf";
    let (half, _) = Server::start("127.0.0.1", stalls).await;
    let (silent, _) = Server::start("127.0.0.1", "").await;
    let config =
        [("allow", "127.0.0.1"), ("allow_networks", "127.0.0.1"), ("idle_timeout_ms", "200"), ("max_requests", "1")];
    let outside = Outside::start(Names::default(), &config).await;
    let began = std::time::Instant::now();
    let stood = outside.get(&format!("http://127.0.0.1:{}/", half.port)).await;
    println!("an answer that stands still ends after {:?}", began.elapsed());
    assert_eq!(code(stood), Some(Code::Lost));
    let request = || Request::get(format!("http://127.0.0.1:{}/", silent.port)).body("").unwrap();
    let waiting = outside.send(request(), Duration::from_millis(300));
    let second = async {
        // The first is under way once the server has seen it.
        while silent.connections() == 0 {
            tokio::task::yield_now().await;
        }
        outside.send(request(), Duration::from_secs(5)).await
    };
    let (first, second) = tokio::join!(waiting, second);
    assert_eq!((code(first), code(second)), (Some(Code::DeadlineExceeded), Some(Code::Busy)));

    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let refused = outside.get(&format!("http://127.0.0.1:{free}/")).await;
    assert_eq!(code(refused), Some(Code::Backend));
}

/// A body that fails on the guest's side ends the request with that failure, and is no half request for a server.
#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_breaks_off_is_not_sent_as_whole() {
    let (server, requests) = Server::start("127.0.0.1", HELLO).await;
    let outside = Outside::start(Names::default(), &[("allow", "127.0.0.1"), ("allow_networks", "127.0.0.1")]).await;
    let (parts, ()) = Request::post(format!("http://127.0.0.1:{}/", server.port)).body(()).unwrap().into_parts();
    let pieces = futures::stream::iter([
        Ok(http_body::Frame::data(Bytes::from_static(b"half"))),
        Err(CallError::new(Code::Cancelled, "the guest stopped")),
    ]);
    let body = StreamBody::new(pieces).boxed_unsync();
    let params = Params::Http(Box::new(parts));
    let answer = outside.provider.serve(invocation("shop", params, Some(body), Duration::from_secs(5))).await;
    assert_eq!(code(answer), Some(Code::Cancelled));
    let whole = requests.lock().iter().any(|request| request.ends_with("0\r\n\r\n"));
    assert!(!whole, "{:?}", requests.lock());
}

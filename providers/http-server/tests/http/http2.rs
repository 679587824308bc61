//! HTTP/2 without TLS, spoken by a client that does only what it is told.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use h2::{Reason, client::SendRequest};
use http::{HeaderMap, HeaderValue, Request, StatusCode};
use tokio::{net::TcpStream, task::JoinSet};

use crate::fixture::{Actors, Server, dir, free_address, get, link, until};

struct Client {
    send: SendRequest<Bytes>,
    connection: JoinSet<Result<(), h2::Error>>,
}

impl Client {
    async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        let (send, connection) = h2::client::handshake(stream).await.unwrap();
        let mut driver = JoinSet::new();
        driver.spawn(connection);
        Self { send, connection: driver }
    }

    /// Sends a head; the stream of its body, if it has one, comes back.
    async fn begin(&mut self, request: Request<()>, ends: bool) -> (h2::client::ResponseFuture, h2::SendStream<Bytes>) {
        let mut ready = self.send.clone().ready().await.unwrap();
        ready.send_request(request, ends).unwrap()
    }

    async fn get(&mut self, path: &str) -> Result<(http::response::Parts, String), h2::Error> {
        let (response, _) = self.begin(request("GET", path), true).await;
        whole(response).await
    }

    /// How the connection ends.
    async fn end(&mut self) -> Result<(), h2::Error> {
        let end = tokio::time::timeout(Duration::from_secs(10), self.connection.join_next()).await;
        end.expect("the connection is still there").unwrap().unwrap()
    }
}

fn request(method: &str, path: &str) -> Request<()> {
    Request::builder().method(method).uri(format!("http://x{path}")).body(()).unwrap()
}

async fn whole(response: h2::client::ResponseFuture) -> Result<(http::response::Parts, String), h2::Error> {
    let read = async {
        let (parts, mut body) = response.await?.into_parts();
        let mut bytes = Vec::new();
        while let Some(data) = body.data().await {
            let data = data?;
            body.flow_control().release_capacity(data.len())?;
            bytes.extend_from_slice(&data);
        }
        Ok((parts, String::from_utf8_lossy(&bytes).into_owned()))
    };
    tokio::time::timeout(Duration::from_secs(10), read).await.expect("no answer")
}

#[tokio::test(flavor = "multi_thread")]
async fn both_versions_reach_the_same_actor_on_the_same_address() {
    let (dir, actors, address) = (dir(), Arc::new(Actors::default()), free_address());
    let server = Server::start(&dir, &actors, &[]).await;
    server.put(link("api", address, &[("host", "x")])).await.unwrap();
    let mut client = Client::connect(address).await;
    let mut asked = request("GET", "/a?b");
    asked.headers_mut().insert("x-request-id", HeaderValue::from_static("r1"));
    let (response, _) = client.begin(asked, true).await;
    let (parts, text) = whole(response).await.unwrap();
    assert_eq!((parts.status, &*text), (StatusCode::OK, "api GET /a?b x default r1 "));
    assert_eq!(parts.headers["x-request-id"], "r1");
    let (_, text) = client.get("/a").await.unwrap();
    let first = get(address, "/a").await.text();
    let without_id = |text: &str| text.split(' ').take(5).collect::<Vec<_>>().join(" ");
    assert_eq!(without_id(&text), without_id(&first), "the actor cannot tell them apart");

    // Many at once, and a body with trailers in both directions.
    let many = (0..100).map(|number| {
        let mut client = client.send.clone();
        async move {
            let (response, _) = client.send_request(request("GET", &format!("/{number}")), true).unwrap();
            whole(response).await.unwrap().1.contains(&format!("GET /{number} "))
        }
    });
    assert!(futures::future::join_all(many).await.into_iter().all(|good| good));
    let (response, mut sending) = client.begin(request("POST", "/mirror"), false).await;
    sending.send_data(Bytes::from_static(b"hello"), false).unwrap();
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", HeaderValue::from_static("5"));
    sending.send_trailers(trailers).unwrap();
    let (_, mut body) = response.await.unwrap().into_parts();
    assert_eq!(body.data().await.unwrap().unwrap(), "hello");
    assert_eq!(body.trailers().await.unwrap().unwrap()["x-sum"], "5");
    server.drain().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_limits_are_the_same() {
    let (dir, actors, address) = (dir(), Arc::new(Actors::default()), free_address());
    let config = [("max_streams", "10"), ("max_body_bytes", "100"), ("body_timeout_ms", "100")];
    let server = Server::start(&dir, &actors, &config).await;
    server.put(link("api", address, &[("timeout_ms", "300")])).await.unwrap();
    let mut client = Client::connect(address).await;
    assert_eq!(client.get("/").await.unwrap().0.status, 200);
    assert_eq!(client.send.current_max_send_streams(), 10);
    let long = format!("/{}", "a".repeat(20_000));
    let (parts, text) = client.get(&long).await.unwrap();
    assert_eq!(parts.status, 414, "{text}");
    let (parts, text) = client.get("/hang").await.unwrap();
    assert_eq!((parts.status.as_u16(), text.contains("deadline_exceeded")), (504, true), "{text}");

    let (response, mut sending) = client.begin(request("POST", "/"), false).await;
    sending.send_data(Bytes::from(vec![0; 101]), false).unwrap();
    assert_eq!(whole(response).await.unwrap().0.status, 413);
    let (response, _sending) = client.begin(request("POST", "/"), false).await;
    assert_eq!(whole(response).await.unwrap().0.status, 408);
    let mut head = request("GET", "/");
    for number in 0..80 {
        let name: http::HeaderName = format!("x-{number}").parse().unwrap();
        head.headers_mut().insert(name, "v".repeat(1000).parse().unwrap());
    }
    let (response, _) = client.begin(head, true).await;
    let refused = whole(response).await;
    assert!(matches!(&refused, Ok((parts, _)) if parts.status == 431) || refused.is_err(), "{refused:?}");
    let mut client = Client::connect(address).await;
    for (name, fields, status) in [("x", 100, 200), ("x", 101, 431), ("x", 3_000, 431), ("cookie", 200, 200)] {
        let mut head = request("GET", "/");
        for _ in 0..fields {
            head.headers_mut().append(name, HeaderValue::from_static(""));
        }
        let (response, _) = client.begin(head, true).await;
        let (parts, text) = whole(response).await.unwrap();
        assert_eq!(parts.status, status, "{fields} times {name}: {text}");
    }
    assert_eq!(client.get("/").await.unwrap().0.status, 200, "nobody else is harmed");
    server.drain().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_are_taken_back_again_and_again_cost_the_connection() {
    let (dir, actors, address) = (dir(), Arc::new(Actors::default()), free_address());
    let server = Server::start(&dir, &actors, &[("max_resets", "50")]).await;
    server.put(link("api", address, &[])).await.unwrap();
    let mut honest = Client::connect(address).await;
    let hostile = Client::connect(address).await;
    let mut taken_back = 0;
    let gone = async {
        loop {
            let Ok(mut ready) = hostile.send.clone().ready().await else { return };
            let Ok((_response, mut stream)) = ready.send_request(request("GET", "/hang"), true) else { return };
            let before = actors.begun();
            // Some are taken back before they have begun, some when they run already.
            if taken_back % 2 == 0 {
                for _ in 0..20 {
                    if actors.begun() > before {
                        break;
                    }
                    tokio::task::yield_now().await;
                }
            }
            stream.send_reset(Reason::CANCEL);
            taken_back += 1;
            assert!(taken_back < 100_000, "nobody minds");
        }
    };
    tokio::time::timeout(Duration::from_secs(20), gone).await.expect("the connection goes on");
    println!("gone after {taken_back} requests that were taken back, {} of them begun", actors.begun());
    until(|| async { actors.running() == 0 }).await;
    assert_eq!(honest.get("/").await.unwrap().0.status, 200);
    server.drain().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn resets_of_calls_that_run_are_counted_one_by_one() {
    let (dir, actors, address) = (dir(), Arc::new(Actors::default()), free_address());
    let server = Server::start(&dir, &actors, &[("max_resets", "5")]).await;
    server.put(link("api", address, &[])).await.unwrap();
    let mut client = Client::connect(address).await;
    for number in 0..6 {
        let (_response, mut stream) = client.begin(request("GET", "/hang"), true).await;
        until(|| async { actors.begun() == number + 1 }).await;
        stream.send_reset(Reason::CANCEL);
        until(|| async { actors.running() == 0 }).await;
    }
    let _ = client.end().await;
    assert_eq!(server.counted("mesh_http_connections_closed_total", "reason=\"resets\""), 1);
    server.drain().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_not_taken_is_given_up_and_others_on_the_connection_go_on() {
    let (dir, actors, address) = (dir(), Arc::new(Actors::default()), free_address());
    let server = Server::start(&dir, &actors, &[("write_timeout_ms", "200")]).await;
    server.put(link("api", address, &[])).await.unwrap();
    let mut client = Client::connect(address).await;
    let (response, _) = client.begin(request("GET", "/endless"), true).await;
    let (_, mut body) = response.await.unwrap().into_parts();
    until(|| async { server.counted("mesh_http_connections_closed_total", "reason=\"write_timeout\"") == 1 }).await;
    let mut end = Ok(());
    while let Some(data) = body.data().await {
        match data {
            Ok(data) => body.flow_control().release_capacity(data.len()).unwrap(),
            Err(error) => {
                end = Err(error);
                break;
            }
        }
    }
    assert_eq!(end.unwrap_err().reason(), Some(Reason::CANCEL));
    assert_eq!(client.get("/").await.unwrap().0.status, 200);
    server.drain().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopping_server_says_goaway_and_answers_what_it_has() {
    let (dir, actors, address) = (dir(), Arc::new(Actors::default()), free_address());
    let server = Server::start(&dir, &actors, &[("drain_delay_ms", "500")]).await;
    server.put(link("api", address, &[])).await.unwrap();
    let mut idle = Client::connect(address).await;
    assert_eq!(idle.get("/").await.unwrap().0.status, 200);
    let mut busy = Client::connect(address).await;
    let (held, _) = busy.begin(request("GET", "/hold"), true).await;
    until(|| async { actors.running() == 1 }).await;
    let clients = async {
        idle.end().await.unwrap();
        // One that comes while the server leaves is answered before it is sent away.
        let mut late = Client::connect(address).await;
        assert_eq!(late.get("/").await.unwrap().0.status, 200);
        actors.release();
        assert_eq!(whole(held).await.unwrap().1, "held");
        busy.end().await.unwrap();
        late.end().await.unwrap();
    };
    tokio::join!(server.drain(), clients);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_asks_nothing_is_told_to_go() {
    let (dir, actors, address) = (dir(), Arc::new(Actors::default()), free_address());
    let server = Server::start(&dir, &actors, &[("idle_timeout_ms", "100")]).await;
    server.put(link("api", address, &[])).await.unwrap();
    let mut client = Client::connect(address).await;
    assert_eq!(client.get("/").await.unwrap().0.status, 200);
    client.end().await.unwrap();
    assert_eq!(server.counted("mesh_http_connections_closed_total", "reason=\"idle_timeout\""), 1);
    server.drain().await;
}

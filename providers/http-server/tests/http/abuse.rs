//! Clients that take places and give nothing for them: each is closed for its own reason, which is counted, and those
//! who ask for something are served meanwhile.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use crate::fixture::{Actors, Server, dir, free_address, get, link, read_response, send, try_read_response, until};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n";

async fn connect(address: SocketAddr) -> TcpStream {
    TcpStream::connect(address).await.unwrap()
}

async fn connect_and_send(address: SocketAddr, bytes: &[u8]) -> TcpStream {
    let mut stream = connect(address).await;
    stream.write_all(bytes).await.unwrap();
    stream
}

/// Whether the other side closes before long.
async fn is_closed(stream: &mut TcpStream) -> bool {
    let end = async {
        let mut space = vec![0; 64 << 10];
        while matches!(stream.read(&mut space).await, Ok(1..)) {}
    };
    tokio::time::timeout(Duration::from_secs(10), end).await.is_ok()
}

async fn closed(server: &Server, reason: &str, at_least: u64) {
    let label = format!("reason=\"{reason}\"");
    until(|| async { server.counted("mesh_http_connections_closed_total", &label) >= at_least }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_kind_of_slowness_has_its_own_end() {
    let (dir, actors, address) = (dir(), Arc::new(Actors::default()), free_address());
    let config = [
        ("header_timeout_ms", "100"),
        ("body_timeout_ms", "100"),
        ("idle_timeout_ms", "100"),
        ("write_timeout_ms", "100"),
    ];
    let server = Server::start(&dir, &actors, &config).await;
    server.put(link("api", address, &[])).await.unwrap();
    let mut silent = connect(address).await;
    let mut head = connect_and_send(address, b"GET / HTTP/1.1\r\nx: ").await;
    let mut preface = connect_and_send(address, b"PRI * HTTP/2.0\r\n").await;
    let mut idle = connect_and_send(address, REQUEST).await;
    assert_eq!(read_response(&mut idle).await.status, 200);
    let _reader = connect_and_send(address, b"GET /endless HTTP/1.1\r\nhost: x\r\n\r\n").await;
    until(|| async { actors.running() == 0 && server.counted("mesh_http_connections_open", "") > 0 }).await;
    for (what, stream) in [("silent", &mut silent), ("head", &mut head), ("preface", &mut preface), ("idle", &mut idle)]
    {
        assert!(is_closed(stream).await, "{what} is still open");
    }
    closed(&server, "header_timeout", 3).await;
    closed(&server, "idle_timeout", 1).await;
    closed(&server, "write_timeout", 1).await;
    // Large enough that its call begins before it is there, and small enough to be gathered: both hear 408.
    for length in [5, 1 << 20] {
        let head = format!("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\nhe");
        let mut body = connect_and_send(address, head.as_bytes()).await;
        let response = read_response(&mut body).await;
        assert_eq!(response.status, 408, "{}", response.text());
        assert!(response.text().contains("body_timeout"), "{}", response.text());
        assert!(is_closed(&mut body).await);
    }
    until(|| async { server.counted("mesh_http_connections_open", "") == 0 }).await;
    assert_eq!(get(address, "/").await.status, 200);
    server.drain().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn when_places_run_out_those_who_use_them_least_give_theirs() {
    let (dir, actors, address) = (dir(), Arc::new(Actors::default()), free_address());
    let server = Server::start(&dir, &actors, &[("max_connections", "8")]).await;
    server.put(link("api", address, &[])).await.unwrap();
    let mut kept = connect_and_send(address, REQUEST).await;
    assert_eq!(read_response(&mut kept).await.status, 200);
    let mut slow = Vec::new();
    for _ in 0..100 {
        slow.push(connect_and_send(address, b"GET / HTTP/1.1\r\nx: ").await);
        // Every honest one finds a place, and one that was there before keeps its own.
        if slow.len() % 10 == 0 {
            assert_eq!(get(address, "/").await.status, 200);
            assert_eq!(send(&mut kept, "GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.status, 200);
        }
    }
    until(|| async { server.counted("mesh_http_connections_open", "") <= 8 }).await;
    closed(&server, "evicted", 90).await;
    assert_eq!(server.counted("mesh_http_connections_closed_total", "reason=\"full\""), 0);
    drop(slow);
    server.drain().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn when_all_places_are_in_good_use_the_next_hears_when_to_come_again() {
    let (dir, actors, address) = (dir(), Arc::new(Actors::default()), free_address());
    let server = Server::start(&dir, &actors, &[("max_connections", "3")]).await;
    server.put(link("api", address, &[])).await.unwrap();
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(connect_and_send(address, b"GET /hold HTTP/1.1\r\nhost: x\r\n\r\n").await);
    }
    until(|| async { actors.running() == 3 }).await;
    for _ in 0..10 {
        let refused = get(address, "/").await;
        assert_eq!((refused.status, refused.header("retry-after").as_deref()), (503, Some("1")));
        assert_eq!(refused.text(), "{\"error\":\"full\"}\n");
    }
    closed(&server, "full", 10).await;
    (0..3).for_each(|_| actors.release());
    for stream in &mut held {
        assert_eq!(read_response(stream).await.status, 200, "what is served is served to its end");
    }
    assert_eq!(get(address, "/").await.status, 200);
    server.drain().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_bodies_hold_few_calls_and_keep_nobody_from_sending() {
    let (dir, actors, address) = (dir(), Arc::new(Actors::default()), free_address());
    let server = Server::start(&dir, &actors, &[("max_uploads", "4"), ("body_timeout_ms", "20000")]).await;
    server.put(link("api", address, &[])).await.unwrap();
    let head = b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n";
    let mut slow = Vec::new();
    for _ in 0..4 {
        slow.push(connect_and_send(address, head).await);
    }
    until(|| async { actors.running() == 4 }).await;
    for _ in 0..20 {
        slow.push(connect_and_send(address, head).await);
    }
    for _ in 0..10 {
        let mut small = connect(address).await;
        let sent = "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\nhello";
        assert!(send(&mut small, sent).await.text().ends_with("hello"), "what is there at once needs no place");
    }
    assert!(actors.running() <= 4, "{} calls wait for their bodies", actors.running());
    // One that sends gets the place of one that does not.
    let large = "b".repeat(300 << 10);
    let sent = format!("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n{large}", large.len());
    let mut upload = connect(address).await;
    assert!(send(&mut upload, &sent).await.text().ends_with("bbb"));
    drop(slow);
    until(|| async { actors.running() == 0 }).await;
    server.drain().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopping_server_answers_for_a_while_and_sends_everybody_away() {
    let (dir, actors, address) = (dir(), Arc::new(Actors::default()), free_address());
    let server = Server::start(&dir, &actors, &[("drain_delay_ms", "2000")]).await;
    server.put(link("api", address, &[])).await.unwrap();
    let mut kept = connect_and_send(address, REQUEST).await;
    assert_eq!(read_response(&mut kept).await.header("connection"), None);
    let mut idle = connect_and_send(address, REQUEST).await;
    assert_eq!(read_response(&mut idle).await.status, 200);
    let drain = server.drain();
    let clients = async {
        // The first answer that closes says that the server leaves.
        until(|| async { get(address, "/").await.header("connection").as_deref() == Some("close") }).await;
        let last = send(&mut kept, "GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
        assert_eq!((last.status, last.header("connection").as_deref()), (200, Some("close")));
        assert!(try_read_response(&mut kept).await.is_err(), "and it is closed");
        let mut late = connect(address).await;
        let answer = send(&mut late, "GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
        assert_eq!((answer.status, answer.header("connection").as_deref()), (200, Some("close")));
        assert!(is_closed(&mut idle).await);
    };
    tokio::join!(drain, clients);
    assert!(TcpStream::connect(address).await.is_err());
}

//! The HTTP server over real sockets: what becomes of requests, of links and of bad clients.

use std::{sync::Arc, time::Duration};

use crate::fixture::{Actors, Server, dir, free_address, get, link, read_response, send};
use mesh_lattice::{Code, Deadline};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_request_becomes_a_call_and_its_answer_a_response() {
    let (dir, actors, address) = (dir(), Arc::new(Actors::default()), free_address());
    let server = Server::start(&dir, &actors, &[]).await;
    server.put(link("hello", address, &[])).await.unwrap();

    let mut stream = TcpStream::connect(address).await.unwrap();
    for number in 0..3 {
        let request = format!(
            "POST /a?b={number} HTTP/1.1\r\nhost: x\r\nx-request-id: r{number}\r\ncontent-length: 5\r\n\r\nhello"
        );
        let response = send(&mut stream, &request).await;
        assert_eq!(response.status, 200);
        assert_eq!(response.header("x-request-id"), Some(format!("r{number}")));
        assert_eq!(response.text(), format!("hello POST /a?b={number} x default r{number} hello"));
    }
    let response = get(address, "/").await;
    let id = response.header("x-request-id").unwrap();
    assert_eq!(response.text(), format!("hello GET / x default {id} "), "the actor sees the id that the client gets");
    server.drain().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn links_tell_requests_apart_and_go_as_they_came() {
    let (dir, actors, address) = (dir(), Arc::new(Actors::default()), free_address());
    let server = Server::start(&dir, &actors, &[]).await;
    server.put(link("api", address, &[("path", "/api")])).await.unwrap();
    server.put(link("shop", address, &[("host", "shop.example")])).await.unwrap();
    assert!(get(address, "/api/x").await.text().starts_with("api "));
    assert_eq!(get(address, "/apis").await.status, 404);
    let mut stream = TcpStream::connect(address).await.unwrap();
    let response = send(&mut stream, "GET / HTTP/1.1\r\nhost: Shop.example:80\r\n\r\n").await;
    assert!(response.text().starts_with("shop "));

    let taken = server.put(link("other", address, &[("path", "/api/")])).await.unwrap_err().reason();
    assert!(taken.contains("api already takes") && taken.contains(&address.to_string()), "{taken}");

    server.provider.delete_link(&link("api", address, &[]).id()).await;
    assert_eq!(get(address, "/api").await.status, 404);
    server.provider.delete_link(&link("shop", address, &[]).id()).await;
    crate::fixture::until(|| async { TcpStream::connect(address).await.is_err() }).await;
    server.put(link("api", address, &[])).await.unwrap();
    assert_eq!(get(address, "/").await.status, 200, "an address is opened again");
    let elsewhere = free_address();
    server.put(link("api", elsewhere, &[])).await.unwrap();
    assert_eq!(get(elsewhere, "/").await.status, 200, "a link that changed its address moved there");
    crate::fixture::until(|| async { TcpStream::connect(address).await.is_err() }).await;
    server.drain().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_cannot_be_had_refuses_the_link() {
    let (dir, actors) = (dir(), Arc::new(Actors::default()));
    let server = Server::start(&dir, &actors, &[]).await;
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let error = server.put(link("hello", taken.local_addr().unwrap(), &[])).await.unwrap_err().reason();
    assert!(error.contains("cannot be listened at") && error.contains("in use"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_failure_has_its_status_and_says_nothing_more() {
    let (dir, actors, address) = (dir(), Arc::new(Actors::default()), free_address());
    let server = Server::start(&dir, &actors, &[]).await;
    server.put(link("hello", address, &[])).await.unwrap();
    for (code, status) in [
        (Code::Busy, 503),
        (Code::Unavailable, 503),
        (Code::NotLinked, 502),
        (Code::UnknownTarget, 502),
        (Code::Lost, 502),
        (Code::DeadlineExceeded, 504),
        (Code::Trap, 500),
        (Code::CpuLimit, 500),
        (Code::MemoryLimit, 500),
        (Code::TooLarge, 413),
    ] {
        actors.fail_with(Some(code));
        let response = get(address, "/").await;
        assert_eq!(response.status, status, "{code}");
        assert_eq!(response.header("retry-after").as_deref(), (status == 503).then_some("1"), "{code}");
        let id = response.header("x-request-id").unwrap();
        assert_eq!(response.text(), format!("{{\"error\":\"{code}\",\"request_id\":\"{id}\"}}\n"));
    }
    server.drain().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_stream_both_ways_while_both_sides_write() {
    let (dir, actors, address) = (dir(), Arc::new(Actors::default()), free_address());
    let server = Server::start(&dir, &actors, &[]).await;
    server.put(link("mirror", address, &[])).await.unwrap();
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut read, mut write) = stream.into_split();
    write.write_all(b"POST /mirror HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n").await.unwrap();
    let mut head = vec![0; 4096];
    let mut seen = Vec::new();
    for number in 0..20 {
        // Each part comes back before the next is sent: nothing waits for the end.
        let part = format!("part-{number};");
        write.write_all(format!("{:x}\r\n{part}\r\n", part.len()).as_bytes()).await.unwrap();
        while !String::from_utf8_lossy(&seen).contains(&part) {
            let n = tokio::time::timeout(Duration::from_secs(5), read.read(&mut head)).await.unwrap().unwrap();
            assert!(n > 0, "the response ended early");
            seen.extend_from_slice(&head[..n]);
        }
    }
    write.write_all(b"0\r\n\r\n").await.unwrap();
    while !seen.ends_with(b"0\r\n\r\n") {
        let n = tokio::time::timeout(Duration::from_secs(5), read.read(&mut head)).await.unwrap().unwrap();
        assert!(n > 0);
        seen.extend_from_slice(&head[..n]);
    }
    server.drain().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_away_drops_its_call() {
    let (dir, actors, address) = (dir(), Arc::new(Actors::default()), free_address());
    let server = Server::start(&dir, &actors, &[]).await;
    server.put(link("hang", address, &[])).await.unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET /hang HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    crate::fixture::until(|| async { actors.running() == 1 }).await;
    drop(stream);
    crate::fixture::until(|| async { actors.running() == 0 }).await;
    server.drain().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_callee_that_never_answers_is_given_up_after_the_links_time() {
    let (dir, actors, address) = (dir(), Arc::new(Actors::default()), free_address());
    let server = Server::start(&dir, &actors, &[]).await;
    server.put(link("hang", address, &[("timeout_ms", "100")])).await.unwrap();
    let response = get(address, "/hang").await;
    assert_eq!(response.status, 504);
    crate::fixture::until(|| async { actors.running() == 0 }).await;
    server.drain().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_and_large_heads_are_refused_while_others_are_served() {
    let (dir, actors, address) = (dir(), Arc::new(Actors::default()), free_address());
    let server = Server::start(&dir, &actors, &[("header_timeout_ms", "200"), ("body_timeout_ms", "200")]).await;
    server.put(link("hello", address, &[])).await.unwrap();

    let mut silent = TcpStream::connect(address).await.unwrap();
    let mut slow = TcpStream::connect(address).await.unwrap();
    slow.write_all(b"GET / HTTP/1.1\r\nx: ").await.unwrap();
    let mut body = TcpStream::connect(address).await.unwrap();
    body.write_all(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\nhe").await.unwrap();
    assert_eq!(get(address, "/").await.status, 200);
    for stream in [&mut silent, &mut slow] {
        let end = tokio::time::timeout(Duration::from_secs(5), stream.read(&mut [0; 16])).await.unwrap();
        assert!(matches!(end, Ok(0) | Err(_)), "a head that does not come ends the connection");
    }
    let response = read_response(&mut body).await;
    assert_eq!(response.status, 408, "half a body");

    let mut large = TcpStream::connect(address).await.unwrap();
    let mut request = b"GET / HTTP/1.1\r\nhost: x\r\n".to_vec();
    for number in 0..80 {
        request.extend_from_slice(format!("x-{number}: {}\r\n", "v".repeat(1000)).as_bytes());
    }
    request.extend_from_slice(b"\r\n");
    // The server may close before it has read all of it.
    let _ = large.write_all(&request).await;
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(Duration::from_secs(5), large.read_to_end(&mut answer)).await.unwrap();
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    assert_eq!(get(address, "/").await.status, 200);
    server.drain().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_link_says_about_methods_caches_and_origins_is_done() {
    let (dir, actors, address) = (dir(), Arc::new(Actors::default()), free_address());
    let server = Server::start(&dir, &actors, &[]).await;
    let config = [("readonly_mode", "true"), ("cache_control", "max-age=60"), ("cors_allowed_origins", "https://a.b")];
    server.put(link("hello", address, &config)).await.unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    let response = send(&mut stream, "GET / HTTP/1.1\r\nhost: x\r\norigin: https://a.b\r\n\r\n").await;
    assert_eq!(response.header("cache-control").as_deref(), Some("max-age=60"));
    assert_eq!(response.header("access-control-allow-origin").as_deref(), Some("https://a.b"));
    assert_eq!(send(&mut stream, "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n").await.status, 405);
    let preflight =
        "OPTIONS / HTTP/1.1\r\nhost: x\r\norigin: https://a.b\r\naccess-control-request-method: PUT\r\n\r\n";
    let response = send(&mut stream, preflight).await;
    assert_eq!(response.status, 204);
    assert!(response.header("access-control-allow-methods").is_some());
    server.drain().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_goes_on_or_begins_where_spans_are_exported() {
    let (dir, actors, address) = (dir(), Arc::new(Actors::default()), free_address());
    let server = Server::start(&dir, &actors, &[]).await;
    server.put(link("trace", address, &[])).await.unwrap();
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET /trace HTTP/1.1\r\nhost: x\r\ntraceparent: {parent}\r\ntracestate: a=b\r\n\r\n");
    assert_eq!(send(&mut stream, &request).await.text(), format!("{parent} a=b"));
    assert_eq!(get(address, "/trace").await.text(), "none");
    server.drain().await;

    let server = Server::start_tracing(&dir, &actors).await;
    server.put(link("trace", address, &[])).await.unwrap();
    let (one, other) = (get(address, "/trace").await.text(), get(address, "/trace").await.text());
    assert!(one.starts_with("00-") && one != other, "{one}");
    server.drain().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn draining_finishes_what_is_there_and_cuts_at_the_deadline() {
    let (dir, actors, address) = (dir(), Arc::new(Actors::default()), free_address());
    let server = Server::start(&dir, &actors, &[("drain_delay_ms", "50")]).await;
    server.put(link("hold", address, &[])).await.unwrap();
    let mut held = TcpStream::connect(address).await.unwrap();
    held.write_all(b"GET /hold HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    crate::fixture::until(|| async { actors.running() == 1 }).await;
    let drain = server.provider.drain(Deadline::after(Duration::from_secs(20)));
    let release = async {
        crate::fixture::until(|| async { TcpStream::connect(address).await.is_err() }).await;
        actors.release();
        read_response(&mut held).await
    };
    let ((), response) = tokio::join!(drain, release);
    assert_eq!(response.status, 200);
    assert_eq!(response.header("connection").as_deref(), Some("close"));
    let refused = server.put(link("hold", address, &[])).await.unwrap_err().reason();
    assert_eq!(refused, "the provider is stopping");

    let server = Server::start(&dir, &actors, &[]).await;
    server.put(link("hang", address, &[])).await.unwrap();
    let mut hanging = TcpStream::connect(address).await.unwrap();
    hanging.write_all(b"GET /hang HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    crate::fixture::until(|| async { actors.running() == 1 }).await;
    let drain = server.provider.drain(Deadline::after(Duration::from_millis(200)));
    tokio::time::timeout(Duration::from_secs(5), drain).await.unwrap();
    assert_eq!(actors.running(), 0, "what did not end in time was cut");
}

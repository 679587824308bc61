//! HTTP/1 byte by byte: what a well-meant client may send, and what one that means harm does. Each row is one
//! connection; what the actor got to see is in the answer.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use crate::fixture::{Actors, Server, dir, free_address, link, read_response, try_read_response};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// What comes back: a status, and what the text has to contain.
struct Row {
    what: &'static str,
    sent: String,
    status: u16,
    says: &'static str,
    /// Whether the connection goes on.
    kept: bool,
}

fn row(what: &'static str, sent: impl Into<String>, status: u16, says: &'static str, kept: bool) -> Row {
    Row { what, sent: sent.into(), status, says, kept }
}

fn rows() -> Vec<Row> {
    let get = |target: &str, headers: &str| format!("GET {target} HTTP/1.1\r\n{headers}\r\n");
    let host = "host: x\r\n";
    let long = "a".repeat(16 << 10);
    let many: String = (0..101).map(|number| format!("x-{number}: 1\r\n")).collect();
    vec![
        row("the plain case, a positive control", get("/a", host), 200, "api GET /a x", true),
        // The head.
        row("absolute form: the target's authority is the one", get("http://y/a", host), 200, "api GET /a y", true),
        row("no Host", get("/a", ""), 400, "no_host", true),
        row("two Hosts", get("/a", "host: x\r\nhost: x\r\n"), 400, "two_hosts", true),
        row("a Host that is none", get("/a", "host: x/y\r\n"), 400, "bad_host", true),
        row("a Host with a user", get("/a", "host: u@x\r\n"), 400, "bad_host", true),
        row("HTTP/1.0 without Host", "GET /a HTTP/1.0\r\n\r\n", 200, "api GET /a", false),
        row("HTTP/1.0 that asks to be kept", "GET /a HTTP/1.0\r\nconnection: keep-alive\r\n\r\n", 200, "GET /a", true),
        row("a client that closes", get("/a", "host: x\r\nconnection: close\r\n"), 200, "api GET /a", false),
        row("OPTIONS *", "OPTIONS * HTTP/1.1\r\nhost: x\r\n\r\n", 204, "", true),
        row("* for another method", get("*", host), 400, "bad_target", true),
        row("CONNECT", "CONNECT x:1 HTTP/1.1\r\nhost: x\r\n\r\n", 501, "method_unsupported", true),
        row("TRACE", "TRACE /a HTTP/1.1\r\nhost: x\r\n\r\n", 501, "method_unsupported", true),
        row("a method of its own", "PURGE /a HTTP/1.1\r\nhost: x\r\n\r\n", 200, "api PURGE /a", true),
        row("a target over the limit", get(&format!("/{long}"), host), 414, "uri_too_long", true),
        row("a target below it", get(&format!("/{}", &long[1..]), host), 200, "api GET /aaa", true),
        row("too many headers", get("/a", &format!("{host}{many}")), 431, "", false),
        row("no HTTP at all", "hello\r\n\r\n", 400, "", false),
        row("a space before the colon", get("/a", "host: x\r\na : 1\r\n"), 400, "", false),
        row("a folded header", get("/a", "host: x\r\na: 1\r\n b\r\n"), 400, "", false),
        row("a NUL in a header", get("/a", "host: x\r\na: \0\r\n"), 400, "", false),
        row("HTTP/3.0", "GET /a HTTP/3.0\r\nhost: x\r\n\r\n", 400, "", false),
        // Where the body ends.
        row("two lengths", post("content-length: 5\r\ncontent-length: 6\r\n", "hello!"), 400, "", false),
        row("the same length twice", post("content-length: 5\r\ncontent-length: 5\r\n", "hello"), 200, "hello", true),
        row("a list of lengths", post("content-length: 5, 6\r\n", "hello!"), 400, "", false),
        row("a length with a sign", post("content-length: +5\r\n", "hello"), 400, "", false),
        row("a length that is none", post("content-length: x\r\n", "hello"), 400, "", false),
        row("chunks of nothing", post("transfer-encoding: chunked\r\n", "0\r\n\r\n"), 200, "api POST /a", true),
        row("chunks", post("transfer-encoding: chunked\r\n", "5\r\nhello\r\n0\r\n\r\n"), 200, "hello", true),
        row("chunks in HTTP/1.0", "POST /a HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", 400, "", false),
        row(
            "an encoding that is not the last",
            post("transfer-encoding: chunked, gzip\r\n", "0\r\n\r\n"),
            400,
            "",
            false,
        ),
        row("an unknown encoding", post("transfer-encoding: xchunked\r\n", "0\r\n\r\n"), 400, "", false),
        row(
            "a chunk's length that is none",
            post("transfer-encoding: chunked\r\n", "z\r\nhello\r\n0\r\n\r\n"),
            400,
            "body_broken",
            false,
        ),
        row("a body over the limit", post("content-length: 101\r\n", ""), 413, "body_too_large", false),
        row(
            "chunks over the limit",
            post("transfer-encoding: chunked\r\n", &format!("65\r\n{}\r\n0\r\n\r\n", "b".repeat(101))),
            413,
            "body_too_large",
            false,
        ),
        row("a body at the limit", post("content-length: 100\r\n", &"b".repeat(100)), 200, "bbb", true),
        row(
            "an unknown expectation",
            post("expect: money\r\ncontent-length: 5\r\n", "hello"),
            417,
            "expectation_failed",
            false,
        ),
        // Paths and links.
        row("an escaped letter", get("/%73hop/x", host), 200, "shop GET /%73hop/x", true),
        row("dots that lead elsewhere", get("/a/../shop/x", host), 200, "shop GET /a/../shop/x", true),
        row("escaped dots", get("/shop/%2e%2e/a", host), 200, "api GET /shop/%2e%2e/a", true),
        row("an escaped slash is no slash", get("/shop%2fx", host), 200, "api GET", true),
        row(
            "an upgrade that nobody offers",
            get("/a", "host: x\r\nconnection: upgrade\r\nupgrade: h2c\r\n"),
            200,
            "GET /a",
            true,
        ),
    ]
}

fn post(headers: &str, body: &str) -> String {
    format!("POST /a HTTP/1.1\r\nhost: x\r\n{headers}\r\n{body}")
}

#[tokio::test(flavor = "multi_thread")]
async fn each_row_has_its_answer() {
    let (dir, actors, address) = (dir(), Arc::new(Actors::default()), free_address());
    let server = Server::start(&dir, &actors, &[]).await;
    server.put(link("api", address, &[("max_body_bytes", "100")])).await.unwrap();
    server.put(link("shop", address, &[("path", "/shop")])).await.unwrap();
    for row in rows() {
        let what = row.what;
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(row.sent.as_bytes()).await.unwrap();
        let response = read_response(&mut stream).await;
        assert_eq!(response.status, row.status, "{what}: {}", response.text());
        assert!(response.text().contains(row.says), "{what}: {}", response.text());
        let follows = follow_up(&mut stream).await;
        assert_eq!(follows, row.kept, "{what}: whether the connection goes on");
    }
    server.drain().await;
}

/// Whether one more request on the connection is answered.
async fn follow_up(stream: &mut TcpStream) -> bool {
    if stream.write_all(b"GET /follow HTTP/1.1\r\nhost: x\r\n\r\n").await.is_err() {
        return false;
    }
    match tokio::time::timeout(Duration::from_secs(10), try_read_response(stream))
        .await
        .expect("neither kept nor closed")
    {
        Ok(response) => {
            assert!(response.status == 200 && response.text().contains("/follow"), "{}", response.text());
            true
        }
        Err(_) => false,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_in_anothers_body_is_never_run() {
    let (dir, actors, address) = (dir(), Arc::new(Actors::default()), free_address());
    let server = Server::start(&dir, &actors, &[]).await;
    server.put(link("api", address, &[])).await.unwrap();
    let smuggled = "GET /smuggled HTTP/1.1\r\nhost: x\r\n\r\n";
    for sent in [
        // Who believes the length sees one request, who believes the chunks two.
        post(
            &format!("content-length: {}\r\ntransfer-encoding: chunked\r\n", 5 + smuggled.len()),
            &format!("0\r\n\r\n{smuggled}"),
        ),
        post(
            &format!("transfer-encoding: chunked\r\ncontent-length: {}\r\n", 5 + smuggled.len()),
            &format!("0\r\n\r\n{smuggled}"),
        ),
        // Behind a refusal, what was meant as a body is none.
        format!("POST /a HTTP/1.1\r\nhost: x\r\nhost: y\r\ncontent-length: {}\r\n\r\n{smuggled}", smuggled.len()),
        post(&format!("content-length: {}\r\ncontent-length: 0\r\n", smuggled.len()), smuggled),
        // The header that says where the body ends cannot be named away.
        post(&format!("connection: content-length\r\ncontent-length: {}\r\n", smuggled.len()), smuggled),
    ] {
        let all = answers(address, &sent).await;
        assert!(all.starts_with("HTTP/1.1 "), "{sent:?} has no answer");
        assert!(!all.contains("api GET /smuggled"), "{sent:?}: {all:?}");
    }
    let two = format!("{}{smuggled}", post("content-length: 5\r\n", "hello"));
    let all = answers(address, &two).await;
    assert!(all.contains("api GET /smuggled"), "a positive control: what is no body is run: {all:?}");
    server.drain().await;
}

/// All that comes back to these bytes and one more request, until that is answered or the connection is closed.
async fn answers(address: SocketAddr, sent: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(sent.as_bytes()).await.unwrap();
    // The server may have closed already.
    let _ = stream.write_all(b"GET /last HTTP/1.1\r\nhost: x\r\n\r\n").await;
    let (mut all, mut part) = (Vec::new(), [0; 4096]);
    while !String::from_utf8_lossy(&all).contains("GET /last") {
        match tokio::time::timeout(Duration::from_secs(10), stream.read(&mut part)).await.expect("no end") {
            Ok(0) | Err(_) => break,
            Ok(n) => all.extend_from_slice(&part[..n]),
        }
    }
    String::from_utf8_lossy(&all).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_waits_for_leave_to_send_gets_it_or_its_answer() {
    let (dir, actors, address) = (dir(), Arc::new(Actors::default()), free_address());
    let server = Server::start(&dir, &actors, &[]).await;
    server.put(link("api", address, &[("path", "/a"), ("max_body_bytes", "100")])).await.unwrap();
    let ask = |path: &str, length: u32| {
        format!("POST {path} HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: {length}\r\n\r\n")
    };
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(ask("/a", 5).as_bytes()).await.unwrap();
    assert_eq!(read_response(&mut stream).await.status, 100);
    stream.write_all(b"hello").await.unwrap();
    assert!(read_response(&mut stream).await.text().ends_with("hello"));
    for (path, length, status) in [("/none", 5, 404), ("/a", 101, 413)] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(ask(path, length).as_bytes()).await.unwrap();
        let response = read_response(&mut stream).await;
        assert_eq!(response.status, status, "{path}: nothing has to be sent for this");
        assert_eq!(response.header("connection").as_deref(), Some("close"));
    }
    server.drain().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn head_has_the_head_of_get_and_no_body() {
    let (dir, actors, address) = (dir(), Arc::new(Actors::default()), free_address());
    let server = Server::start(&dir, &actors, &[]).await;
    server.put(link("api", address, &[])).await.unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"HEAD /a HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut seen = Vec::new();
    let mut part = [0; 1024];
    while !seen.ends_with(b"\r\n\r\n") {
        let n = tokio::time::timeout(Duration::from_secs(10), stream.read(&mut part)).await.unwrap().unwrap();
        assert!(n > 0);
        seen.extend_from_slice(&part[..n]);
    }
    let head = String::from_utf8(seen).unwrap();
    assert!(head.starts_with("HTTP/1.1 200") && head.contains("content-length: "), "{head}");
    stream.write_all(b"GET /b HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    assert!(read_response(&mut stream).await.text().contains("GET /b"), "no body stood between the two");
    server.drain().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_actor_says_about_the_connection_stays_between_them() {
    let (dir, actors, address) = (dir(), Arc::new(Actors::default()), free_address());
    let server = Server::start(&dir, &actors, &[]).await;
    server.put(link("api", address, &[])).await.unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    for _ in 0..2 {
        stream.write_all(b"GET /liar HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        let response = read_response(&mut stream).await;
        assert_eq!(response.text(), "five.", "an actor's length that is not true is put right");
        for gone in ["connection", "keep-alive", "upgrade", "x-hop", "transfer-encoding"] {
            assert_eq!(response.header(gone), None, "{gone}");
        }
    }
    server.drain().await;
}

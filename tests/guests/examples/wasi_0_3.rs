//! An actor of WASI 0.3: asynchronous throughout, with bodies as streams and trailers as futures. It calls interfaces of
//! 0.2 beside those of 0.3, as every guest does whose standard library still stands on 0.2.

mod bindings {
    wasip3::wit_bindgen::generate!({
        path: ["../../interfaces/wit", "wit/bus-2.0.1.wit", "wit/later.wit"],
        world: "mesh:guests/later",
        runtime_path: "wasip3::wit_bindgen::rt",
        generate_all,
    });
}

use std::sync::atomic::{AtomicU32, Ordering};

use bindings::wasi::keyvalue0_2_0_draft2::{atomics, store};
use wasip3::{
    cli,
    clocks::monotonic_clock,
    http::{
        client,
        types::{ErrorCode, Fields, Method, Request, Response, Scheme, Trailers},
    },
    wit_bindgen::{FutureReader, StreamReader, spawn_local},
    wit_future, wit_stream,
};

static CALLS: AtomicU32 = AtomicU32::new(0);

struct Service;

wasip3::http::service::export!(Service);

impl wasip3::exports::http::handler::Guest for Service {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let path = request.get_path_with_query().unwrap_or_default();
        if let Some(milliseconds) = path.strip_prefix("/sleep/") {
            monotonic_clock::wait_for(milliseconds.parse::<u64>().unwrap() * 1_000_000).await;
            return Ok(text("awake".into()));
        }
        if let Some(path) = path.strip_prefix("/fetch") {
            return Ok(text(fetch(path).await));
        }
        match path.as_str() {
            "/echo" => Ok(echo(request)),
            "/count" => Ok(text(count())),
            "/print" => Ok(text(print().await)),
            "/reach" => Ok(text(reach().await)),
            "/keep" => {
                std::mem::forget(Fields::new());
                Ok(text("kept".into()))
            }
            "/refuse" => Err(ErrorCode::LoopDetected),
            _ => Ok(text((CALLS.fetch_add(1, Ordering::Relaxed) + 1).to_string())),
        }
    }
}

type End = Result<Option<Trailers>, ErrorCode>;

fn respond(headers: Fields, body: StreamReader<u8>, end: FutureReader<End>) -> Response {
    Response::new(headers, Some(body), end).0
}

fn text(text: String) -> Response {
    let (mut body, reader) = wit_stream::new();
    let (_, end) = wit_future::new(|| Ok(None));
    spawn_local(async move {
        body.write_all(text.into_bytes()).await;
    });
    respond(Fields::new(), reader, end)
}

/// Streams the body of the request back while it comes in, with some of its head, and its trailers behind it.
fn echo(request: Request) -> Response {
    let headers = Fields::new();
    let authority = request.get_authority();
    headers.set("x-method", &[format!("{:?}", request.get_method()).into_bytes()]).unwrap();
    headers.set("x-authority", &[authority.unwrap_or_default().into_bytes()]).unwrap();
    headers.set("x-host", &request.get_headers().get("host")).unwrap();
    headers.set("x-seen", &request.get_headers().get("x-given")).unwrap();
    let (_, done) = wit_future::new(|| Ok(()));
    let (mut from, trailers) = Request::consume_body(request, done);
    let (mut to, reader) = wit_stream::new();
    let (end, ended) = wit_future::new(|| Err(ErrorCode::HttpResponseIncomplete));
    spawn_local(async move {
        loop {
            let (status, bytes) = from.read(Vec::with_capacity(64 << 10)).await;
            if !bytes.is_empty() && !to.write_all(bytes).await.is_empty() {
                return;
            }
            if !matches!(status, wasip3::wit_bindgen::StreamResult::Complete(_)) {
                break;
            }
        }
        drop(to);
        let trailers = trailers.await.map(|trailers| trailers.map(|trailers| trailers.clone()));
        end.write(trailers).await.ok();
    });
    respond(headers, reader, ended)
}

/// Sends a request along the actor's link; what came back, or why nothing did.
async fn fetch(path: &str) -> String {
    let (mut body, contents) = wit_stream::new();
    let (_, end) = wit_future::new(|| Ok(None));
    let (request, _sent) = Request::new(Fields::new(), Some(contents), end, None);
    request.set_method(&Method::Post).unwrap();
    request.set_scheme(Some(&Scheme::Http)).unwrap();
    request.set_authority(Some("peer")).unwrap();
    request.set_path_with_query(Some(path)).unwrap();
    spawn_local(async move {
        body.write_all(b"from the guest".to_vec()).await;
    });
    match client::send(request).await {
        Err(error) => format!("{error:?}"),
        Ok(response) => {
            let status = response.get_status_code();
            let (_, done) = wit_future::new(|| Ok(()));
            let (body, _) = Response::consume_body(response, done);
            format!("{status} {}", String::from_utf8(body.collect().await).unwrap())
        }
    }
}

/// A call on an interface without anything asynchronous in it.
fn count() -> String {
    let bucket = store::open("counts").unwrap();
    format!("{:?}", atomics::increment(&bucket, "n", 2))
}

/// Prints through the standard library, which stands on 0.2, and through 0.3.
async fn print() -> String {
    println!("a line of the old kind");
    let (mut line, reader) = wit_stream::new();
    let written = cli::stdout::write_via_stream(reader);
    line.write_all(b"a line of the new kind\n".to_vec()).await;
    drop(line);
    format!("{:?}", written.await)
}

/// What it reaches without a link.
async fn reach() -> String {
    use wasip3::{
        filesystem::preopens,
        sockets::{
            ip_name_lookup,
            types::{IpAddressFamily, TcpSocket, UdpSocket},
        },
    };
    let mut reached = Vec::new();
    reached.extend(preopens::get_directories().first().map(|_| "files"));
    reached.extend(TcpSocket::create(IpAddressFamily::Ipv4).is_ok().then_some("tcp"));
    reached.extend(UdpSocket::create(IpAddressFamily::Ipv4).is_ok().then_some("udp"));
    reached.extend(ip_name_lookup::resolve_addresses("localhost".into()).await.is_ok().then_some("names"));
    reached.extend((!cli::environment::get_environment().is_empty()).then_some("environment"));
    reached.extend((!cli::environment::get_arguments().is_empty()).then_some("arguments"));
    format!("reached: {}", reached.join(" "))
}

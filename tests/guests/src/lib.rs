//! What most guests do: read a request, write an answer.

use http::{
    outgoing_handler,
    types::{Method, OutgoingRequest, Scheme},
};
use io::streams::StreamError;
pub use wasi::{
    clocks, http,
    http::types::{Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam},
    io,
};

/// Answers with this status and these bytes, and finishes the body.
pub fn answer(out: ResponseOutparam, status: u16, bytes: &[u8]) {
    let body = begin(out, status);
    {
        let stream = body.write().unwrap();
        for chunk in bytes.chunks(4096) {
            stream.blocking_write_and_flush(chunk).unwrap();
        }
    }
    OutgoingBody::finish(body, None).unwrap();
}

/// Sends the head of an answer.
pub fn begin(out: ResponseOutparam, status: u16) -> OutgoingBody {
    let response = OutgoingResponse::new(Fields::new());
    response.set_status_code(status).unwrap();
    let body = response.body().unwrap();
    ResponseOutparam::set(out, Ok(response));
    body
}

/// Sends a request along the actor's link, and answers with the status and the body that came back, or with why nothing
/// did.
pub fn forward(out: ResponseOutparam, method: &Method, authority: &str, path: &str, body: &[u8]) {
    let outgoing = OutgoingRequest::new(Fields::new());
    outgoing.set_method(method).unwrap();
    outgoing.set_scheme(Some(&Scheme::Http)).unwrap();
    outgoing.set_authority(Some(authority)).unwrap();
    outgoing.set_path_with_query(Some(path)).unwrap();
    let sent = outgoing.body().unwrap();
    let future = match outgoing_handler::handle(outgoing, None) {
        Ok(future) => future,
        Err(error) => return answer(out, 502, format!("{error:?}").as_bytes()),
    };
    if !body.is_empty() {
        sent.write().unwrap().blocking_write_and_flush(body).ok();
    }
    OutgoingBody::finish(sent, None).ok();
    future.subscribe().block();
    match future.get().unwrap().unwrap() {
        Err(error) => answer(out, 502, format!("{error:?}").as_bytes()),
        Ok(response) => {
            let mut text = format!("{} ", response.status()).into_bytes();
            let body = response.consume().unwrap();
            let stream = body.stream().unwrap();
            loop {
                match stream.blocking_read(4096) {
                    Ok(bytes) => text.extend(bytes),
                    Err(StreamError::Closed) => break,
                    Err(error) => panic!("{error}"),
                }
            }
            answer(out, 200, &text);
        }
    }
}

/// The path and the query of a request.
pub fn path(request: &IncomingRequest) -> String {
    request.path_with_query().unwrap_or_default()
}

/// Waits.
pub fn sleep(milliseconds: u64) {
    clocks::monotonic_clock::subscribe_duration(milliseconds * 1_000_000).block();
}

/// Exports a function as the handler of incoming requests.
#[macro_export]
macro_rules! handler {
    ($handle:path) => {
        struct Guest;

        impl wasi::exports::http::incoming_handler::Guest for Guest {
            fn handle(request: $crate::IncomingRequest, out: $crate::ResponseOutparam) {
                $handle(request, out)
            }
        }

        wasi::http::proxy::export!(Guest);
    };
}

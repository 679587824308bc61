//! What most guests do: read a request, write an answer.

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

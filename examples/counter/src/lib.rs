//! Counts its requests in the bucket that it is linked to and answers with the new count.
//!
//! The count is one atomic increment in the store, so it is right whichever host and instance took the request.
//! Each path has a count of its own.

use wasi::http::types::{Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam};

use bindings::wasi::keyvalue0_2_0_draft::{atomics, store};

mod bindings {
    wit_bindgen::generate!({ path: "../../interfaces/wit", world: "mesh:interfaces/counting", generate_all });
}

struct Counter;

wasi::http::proxy::export!(Counter);

impl wasi::exports::http::incoming_handler::Guest for Counter {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let path = request.path_with_query().unwrap_or_default();
        match count(path.split('?').next().unwrap_or_default()) {
            Ok(count) => respond(out, 200, &format!("{count}\n")),
            Err(error) => respond(out, 502, &format!("the count cannot be kept: {error:?}\n")),
        }
    }
}

/// Adds one to the count of `path`.
fn count(path: &str) -> Result<u64, store::Error> {
    let bucket = store::open("")?;
    let key = match path.trim_matches('/') {
        "" => "count",
        key => key,
    };
    atomics::increment(&bucket, key, 1)
}

/// Sends `text` as the whole body. A client that is gone is nobody's error, so what fails here is let go.
fn respond(out: ResponseOutparam, status: u16, text: &str) {
    let response = OutgoingResponse::new(Fields::new());
    if response.set_status_code(status).is_err() {
        return;
    }
    let Ok(body) = response.body() else { return };
    ResponseOutparam::set(out, Ok(response));
    if let Ok(stream) = body.write() {
        let _ = stream.blocking_write_and_flush(text.as_bytes());
    }
    let _ = OutgoingBody::finish(body, None);
}

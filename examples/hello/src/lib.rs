//! Answers every request with the value of a counter that lives in the actor's own memory. Each call gets a fresh
//! instance, so the answer is always 1: whatever an actor wants to keep, it keeps in a provider.

use std::sync::atomic::{AtomicU32, Ordering};

use wasi::http::types::{Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam};

static CALLS: AtomicU32 = AtomicU32::new(0);

struct Hello;

wasi::http::proxy::export!(Hello);

impl wasi::exports::http::incoming_handler::Guest for Hello {
    fn handle(_request: IncomingRequest, out: ResponseOutparam) {
        let count = CALLS.fetch_add(1, Ordering::Relaxed) + 1;
        respond(out, format!("{count}\n").as_bytes());
    }
}

/// Sends `text` as the whole body. A client that is gone is nobody's error, so what fails here is let go.
fn respond(out: ResponseOutparam, text: &[u8]) {
    let response = OutgoingResponse::new(Fields::new());
    let Ok(body) = response.body() else { return };
    ResponseOutparam::set(out, Ok(response));
    if let Ok(stream) = body.write() {
        let _ = stream.blocking_write_and_flush(text);
    }
    let _ = OutgoingBody::finish(body, None);
}

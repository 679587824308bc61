//! Greets over HTTP: `GET /Ada` is answered with `Hello, Ada.`

// What only a host calls is exported to WebAssembly alone: on this machine nothing but the tests run.
#![cfg_attr(not(target_arch = "wasm32"), allow(dead_code))]

use wasi::http::types::{
    Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam,
};

struct Actor;

#[cfg(target_arch = "wasm32")]
wasi::http::proxy::export!(Actor);

impl wasi::exports::http::incoming_handler::Guest for Actor {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let path = request.path_with_query().unwrap_or_default();
        respond(out, 200, &greeting(&path));
    }
}

/// What is said to whoever asks for this path.
fn greeting(path: &str) -> String {
    match path.split('?').next().unwrap_or_default().trim_matches('/') {
        "" => "Hello.\n".to_owned(),
        name => format!("Hello, {name}.\n"),
    }
}

/// Sends `text` as the whole body. A client that is gone is nobody's error, so what fails here is let go.
fn respond(out: ResponseOutparam, status: u16, text: &str) {
    let response = OutgoingResponse::new(Fields::new());
    let _ = response.set_status_code(status);
    let Ok(body) = response.body() else { return };
    ResponseOutparam::set(out, Ok(response));
    if let Ok(stream) = body.write() {
        // One write takes 4,096 bytes at most.
        for part in text.as_bytes().chunks(4_096) {
            if stream.blocking_write_and_flush(part).is_err() {
                break;
            }
        }
    }
    let _ = OutgoingBody::finish(body, None);
}

#[cfg(test)]
mod tests {
    use super::greeting;

    #[test]
    fn greets_by_name_and_without() {
        assert_eq!(greeting("/Ada"), "Hello, Ada.\n");
        assert_eq!(greeting("/Ada/?loud"), "Hello, Ada.\n");
        assert_eq!(greeting("/"), "Hello.\n");
    }
}

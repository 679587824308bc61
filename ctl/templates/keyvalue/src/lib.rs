//! Counts the requests of each path in the key-value store that it is linked to. The count is one atomic step there, so
//! it is right whichever host took the request.

// What only a host calls is exported to WebAssembly alone: on this machine nothing but the tests run.
#![cfg_attr(not(target_arch = "wasm32"), allow(dead_code))]

use bindings::wasi::keyvalue::{atomics, store};
use wasi::http::types::{
    Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam,
};

mod bindings {
    wit_bindgen::generate!({ path: "wit", world: "actor", generate_all });
}

struct Actor;

#[cfg(target_arch = "wasm32")]
wasi::http::proxy::export!(Actor);

impl wasi::exports::http::incoming_handler::Guest for Actor {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let path = request.path_with_query().unwrap_or_default();
        match count(key(&path)) {
            Ok(count) => respond(out, 200, &format!("{count}\n")),
            Err(error) => respond(out, 502, &format!("the count cannot be kept: {error:?}\n")),
        }
    }
}

/// Adds one to what stands under this key. The empty name is the bucket that the link says.
fn count(key: &str) -> Result<u64, store::Error> {
    let bucket = store::open("")?;
    atomics::increment(&bucket, key, 1)
}

/// The key that this path is counted under.
fn key(path: &str) -> &str {
    match path.split('?').next().unwrap_or_default().trim_matches('/') {
        "" => "count",
        key => key,
    }
}

/// Sends `text` as the whole body. A client that is gone is nobody's error, so what fails here is let go.
fn respond(out: ResponseOutparam, status: u16, text: &str) {
    let response = OutgoingResponse::new(Fields::new());
    let _ = response.set_status_code(status);
    let Ok(body) = response.body() else { return };
    ResponseOutparam::set(out, Ok(response));
    if let Ok(stream) = body.write() {
        let _ = stream.blocking_write_and_flush(text.as_bytes());
    }
    let _ = OutgoingBody::finish(body, None);
}

#[cfg(test)]
mod tests {
    use super::key;

    #[test]
    fn each_path_has_a_key_whatever_its_query() {
        assert_eq!(key("/orders"), "orders");
        assert_eq!(key("/orders/?page=2"), "orders");
        assert_eq!(key("/"), "count");
    }
}

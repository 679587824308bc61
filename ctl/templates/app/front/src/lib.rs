//! Takes requests over HTTP and asks the greeter: `GET /Countess/Ada` is answered with `Hello, Countess Ada.`
//!
//! Where the greeter runs makes no difference here: the link of the manifest says who it is.

// What only a host calls is exported to WebAssembly alone: on this machine nothing but the tests run.
#![cfg_attr(not(target_arch = "wasm32"), allow(dead_code))]

use bindings::example::greeting::greet::{self, Error, Person};
use wasi::http::types::{
    Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam,
};

mod bindings {
    wit_bindgen::generate!({ path: "../wit", world: "front" });
}

struct Front;

#[cfg(target_arch = "wasm32")]
wasi::http::proxy::export!(Front);

impl wasi::exports::http::incoming_handler::Guest for Front {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let path = request.path_with_query().unwrap_or_default();
        match greet::greet(&person(&path)) {
            Ok(greeting) => respond(out, 200, &format!("{greeting}\n")),
            Err(Error::Nobody) => respond(out, 404, "there is nobody to greet\n"),
        }
    }
}

/// Whom this path means: `/NAME` or `/TITLE/NAME`.
fn person(path: &str) -> Person {
    let path = path.split('?').next().unwrap_or_default().trim_matches('/');
    match path.split_once('/') {
        Some((title, name)) => Person {
            name: name.to_owned(),
            title: Some(title.to_owned()),
        },
        None => Person {
            name: path.to_owned(),
            title: None,
        },
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
    use super::person;

    #[test]
    fn a_path_is_a_name_with_or_without_a_title() {
        let ada = person("/Countess/Ada?loud");
        assert_eq!(
            (ada.title.as_deref(), ada.name.as_str()),
            (Some("Countess"), "Ada")
        );
        let grace = person("/Grace");
        assert_eq!((grace.title, grace.name.as_str()), (None, "Grace"));
    }
}

//! An actor as people write them with the published crate: http, keyvalue, messaging, config, logging and bus. It sends
//! what it is told over HTTP, and counts what it gets; a message that wants an answer gets one.
#![allow(unsafe_op_in_unsafe_fn, reason = "the bindings call what they export")]

mod bindings {
    wit_bindgen::generate!({
        path: "../../interfaces/wit",
        world: "mesh:interfaces/messaging-v2-handler",
        generate_all,
    });
}

use bindings::exports::wasmcloud::messaging0_2_0::handler::{self, BrokerMessage};
use wasmcloud_component::{
    http, info,
    wasi::{
        config,
        keyvalue::{atomics, store},
    },
    wasmcloud::{
        bus::lattice::{self, CallTargetInterface},
        messaging::{consumer, types},
    },
};

struct Courier;

http::export!(Courier);
bindings::export!(Courier with_types_in bindings);

impl http::Server for Courier {
    fn handle(request: http::IncomingRequest) -> http::Result<http::Response<impl http::OutgoingBody>> {
        let path = request.uri().path().trim_start_matches('/').to_owned();
        let answer = match path.splitn(3, '/').collect::<Vec<_>>()[..] {
            ["publish", subject, text] => format!("{:?}", publish(subject, text, None)),
            ["request", subject, text] => request_text(subject, text),
            ["handled", key] => String::from_utf8(counts().get(key).unwrap().unwrap_or_default()).unwrap(),
            _ => "a visitor".to_owned(),
        };
        Ok(http::Response::new(answer))
    }
}

fn publish(subject: &str, text: &str, reply_to: Option<String>) -> Result<(), String> {
    let message = types::BrokerMessage { subject: subject.into(), body: text.into(), reply_to };
    consumer::publish(&message)
}

fn request_text(subject: &str, text: &str) -> String {
    match consumer::request(subject, text.as_bytes(), 5_000) {
        Ok(answer) => String::from_utf8(answer.body).unwrap(),
        Err(error) => format!("error: {error}"),
    }
}

/// The bucket that handlers count in, along a link of its own.
fn counts() -> store::Bucket {
    let targets = ["store", "atomics"].map(|name| CallTargetInterface::new("wasi", "keyvalue", name));
    lattice::set_link_name("counts", targets.into()).unwrap();
    store::open("").unwrap()
}

impl handler::Guest for Courier {
    fn handle_message(message: BrokerMessage) -> Result<(), String> {
        let text = String::from_utf8(message.body).map_err(|error| error.to_string())?;
        if text == "refuse" {
            return Err("told to".into());
        }
        // Once for each message, so that one that is handled twice is seen.
        let count = atomics::increment(&counts(), &text, 1).map_err(|error| format!("{error:?}"))?;
        info!(context: "courier", "{text} for the {count}. time");
        match message.reply_to {
            Some(subject) => {
                let greeting = config::store::get("greeting").unwrap().unwrap_or_else(|| "hello".into());
                publish(&subject, &format!("{greeting} {text}"), None)
            }
            None => Ok(()),
        }
    }
}

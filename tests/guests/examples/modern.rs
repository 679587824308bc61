//! What `courier` does, with version 0.3 of messaging and the later draft of key-value.
#![allow(unsafe_op_in_unsafe_fn, reason = "the bindings call what they export")]

mod bindings {
    wit_bindgen::generate!({
        path: ["../../interfaces/wit", "wit/modern.wit"],
        world: "mesh:guests/modern",
        generate_all,
    });
}

use bindings::{
    exports::wasmcloud::messaging0_3_0::incoming_handler,
    wasi::keyvalue0_2_0_draft2::{atomics, store},
    wasmcloud::messaging0_3_0::{
        producer, request_reply,
        types::{Client, Error, Message},
    },
};
use mesh_guests::{IncomingRequest, ResponseOutparam, answer, path};

fn handle(request: IncomingRequest, out: ResponseOutparam) {
    let path = path(&request);
    let text = match path.trim_start_matches('/').splitn(3, '/').collect::<Vec<_>>()[..] {
        ["publish", subject, text] => format!("{:?}", send(subject, text)),
        ["request", subject, text] => request_text(subject, text),
        ["handled", key] => {
            let value = store::open("").unwrap().get(key).unwrap().unwrap_or_default();
            String::from_utf8(value).unwrap()
        }
        ["hoard", "", ""] | ["hoard"] => hoard(),
        _ => fields(),
    };
    answer(out, 200, text.as_bytes());
}

fn send(subject: &str, text: &str) -> Result<(), Error> {
    let client = Client::connect("any")?;
    let message = Message::new(text.as_bytes());
    message.set_content_type("text/plain");
    message.add_metadata("shop", "7");
    producer::send(&client, &subject.into(), message)
}

fn request_text(subject: &str, text: &str) -> String {
    let client = Client::connect("any").unwrap();
    let options = request_reply::RequestOptions::new();
    options.set_timeout_ms(5_000);
    options.set_expected_replies(1);
    match request_reply::request(&client, &subject.into(), &Message::new(text.as_bytes()), Some(options)) {
        Ok(replies) => replies.iter().map(|reply| String::from_utf8(reply.data()).unwrap()).collect(),
        Err(error) => format!("error: {error:?}"),
    }
}

/// What a message says of itself.
fn fields() -> String {
    let message = Message::new(b"a");
    let empty = format!("{:?} {:?} {:?}", message.topic(), message.content_type(), message.metadata());
    message.set_data(b"b");
    message.set_content_type("t");
    message.set_metadata(&vec![("k".into(), "1".into()), ("l".into(), "2".into())]);
    message.add_metadata("k", "3");
    message.remove_metadata("l");
    format!("{empty} {:?} {:?} {:?}", message.data(), message.content_type(), message.metadata())
}

/// Keeps messages until the host has no room for them.
fn hoard() -> String {
    let megabyte = vec![0; 1 << 20];
    let kept: Vec<_> = (0..4_000).map(|_| Message::new(&megabyte)).collect();
    kept.len().to_string()
}

impl incoming_handler::Guest for Guest {
    fn handle(message: Message) -> Result<(), Error> {
        let text = String::from_utf8(message.data()).map_err(|error| Error::Other(error.to_string()))?;
        if text == "refuse" {
            return Err(Error::PermissionDenied("told to".into()));
        }
        let bucket = store::open("").map_err(|error| Error::Other(format!("{error:?}")))?;
        atomics::increment(&bucket, &text, 1).map_err(|error| Error::Other(format!("{error:?}")))?;
        if message.metadata().is_some_and(|metadata| metadata.contains(&("wants".into(), "nothing".into()))) {
            return Ok(());
        }
        let shop = message.metadata().unwrap_or_default().into_iter().find(|(key, _)| key == "shop");
        let reply = Message::new(format!("modern {text} {:?} {shop:?}", message.topic().is_some()).as_bytes());
        match request_reply::reply(&message, reply) {
            // Not every message wants an answer.
            Err(Error::Other(_)) => Ok(()),
            other => other,
        }
    }
}

mesh_guests::handler!(handle);
bindings::export!(Guest with_types_in bindings);

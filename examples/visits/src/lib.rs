//! A visitors' book: counts who came in one bucket and remembers the last name in another.
//!
//! It is written with the published crate `wasmcloud-component`, as it stands, and with nothing of the mesh: an actor
//! that was made for another host of the same interfaces runs here unchanged. It uses five of them: HTTP, key-value
//! (under two link names, so that the two buckets can be two providers), configuration, logging, and the bus that
//! chooses between the links.

use wasmcloud_component::{
    http::{self, ErrorCode, IncomingRequest, OutgoingBody, Response, StatusCode},
    info, warn,
    wasi::{
        config,
        keyvalue::{atomics, store},
    },
    wasmcloud::bus::lattice::{CallTargetInterface, set_link_name},
};

struct Visits;

http::export!(Visits);

impl http::Server for Visits {
    fn handle(request: IncomingRequest) -> http::Result<Response<impl OutgoingBody>> {
        let name = request.uri().path().trim_matches('/').to_owned();
        let name = if name.is_empty() { "stranger" } else { &name };
        match visit(name) {
            Ok(text) => Ok(Response::new(text)),
            Err(error) => {
                warn!("a visit of {name} was not counted: {error}");
                Response::builder()
                    .status(StatusCode::BAD_GATEWAY)
                    .body(format!("{error}\n"))
                    .map_err(|error| ErrorCode::InternalError(Some(error.to_string())))
            }
        }
    }
}

/// Counts one visit of `name` and says what there is to say about it.
fn visit(name: &str) -> Result<String, String> {
    let greeting = config::store::get("greeting").map_err(|error| format!("configuration: {error:?}"))?;
    let greeting = greeting.unwrap_or_else(|| "hello".into());

    choose("default")?;
    let counts = store::open("").map_err(|error| format!("counts: {error:?}"))?;
    let count = atomics::increment(&counts, name, 1).map_err(|error| format!("counts: {error:?}"))?;

    choose("guests")?;
    let guests = store::open("").map_err(|error| format!("guests: {error:?}"))?;
    let before = guests.get("last").map_err(|error| format!("guests: {error:?}"))?;
    guests.set("last", name.as_bytes()).map_err(|error| format!("guests: {error:?}"))?;

    info!("visit {count} of {name}");
    let before = before.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    let before = before.unwrap_or_else(|| "nobody".into());
    Ok(format!("{greeting} {name}, visit {count}; before you came {before}\n"))
}

/// From here on, in this invocation, key-value goes along the links named `link`.
fn choose(link: &str) -> Result<(), String> {
    let interfaces = ["store", "atomics"].map(|name| CallTargetInterface::new("wasi", "keyvalue", name));
    set_link_name(link, interfaces.into())
}

//! Stands on one release of WASI alone: that of the crate that each package here, one for each release, names exactly.
//! They are workspaces of their own, because no two of these crates go into one.

use wasi::{
    exports::http::incoming_handler,
    http::types::{Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam},
};

struct Guest;

impl incoming_handler::Guest for Guest {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let path = request.path_with_query().unwrap_or_default();
        let response = OutgoingResponse::new(Fields::new());
        let body = response.body().unwrap();
        ResponseOutparam::set(out, Ok(response));
        let stream = body.write().unwrap();
        stream.blocking_write_and_flush(format!("{} {path}", env!("CARGO_PKG_DESCRIPTION")).as_bytes()).unwrap();
        drop(stream);
        OutgoingBody::finish(body, None).unwrap();
    }
}

wasi::http::proxy::export!(Guest);

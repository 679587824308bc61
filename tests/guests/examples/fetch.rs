//! Fetches `http://HOST:PORT/PATH` for whoever asks for `/HOST:PORT/PATH`, and answers with what came back or why nothing
//! did.

use mesh_guests::{IncomingRequest, ResponseOutparam, answer, forward, http::types::Method, path};

fn handle(request: IncomingRequest, out: ResponseOutparam) {
    let wanted = path(&request);
    match wanted.trim_start_matches('/').split_once('/') {
        Some((authority, path)) => forward(out, &Method::Get, authority, &format!("/{path}"), b""),
        None => answer(out, 200, b"say where"),
    }
}

mesh_guests::handler!(handle);

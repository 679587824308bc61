//! Returns without an answer; with one that is an error where the path says so.

use mesh_guests::{IncomingRequest, ResponseOutparam, http::types::ErrorCode, path};

fn handle(request: IncomingRequest, out: ResponseOutparam) {
    if path(&request) == "/error" {
        ResponseOutparam::set(out, Err(ErrorCode::LoopDetected));
    }
}

mesh_guests::handler!(handle);

//! Passes a request on to `peer`, and answers with what came back or why nothing did.

use mesh_guests::{IncomingRequest, ResponseOutparam, forward, http::types::Method, path};

fn handle(request: IncomingRequest, out: ResponseOutparam) {
    forward(out, &Method::Post, "peer", &path(&request), b"from the guest");
}

mesh_guests::handler!(handle);

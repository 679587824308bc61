//! Answers after as many milliseconds as its path says.

use mesh_guests::{IncomingRequest, ResponseOutparam, answer, path, sleep};

fn handle(request: IncomingRequest, out: ResponseOutparam) {
    sleep(path(&request).trim_start_matches('/').parse().unwrap_or(0));
    answer(out, 200, b"awake");
}

mesh_guests::handler!(handle);

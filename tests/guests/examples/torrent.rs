//! Writes a body that never ends as fast as it is read.

use mesh_guests::{IncomingRequest, ResponseOutparam, begin};

fn handle(_: IncomingRequest, out: ResponseOutparam) {
    let body = begin(out, 200);
    let stream = body.write().unwrap();
    while stream.blocking_write_and_flush(&[b'x'; 4096]).is_ok() {}
}

mesh_guests::handler!(handle);

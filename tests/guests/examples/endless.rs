//! Writes a body that never ends.

use mesh_guests::{IncomingRequest, ResponseOutparam, begin, sleep};

fn handle(_: IncomingRequest, out: ResponseOutparam) {
    let body = begin(out, 200);
    let stream = body.write().unwrap();
    while stream.blocking_write_and_flush(&[b'x'; 1024]).is_ok() {
        sleep(1);
    }
}

mesh_guests::handler!(handle);

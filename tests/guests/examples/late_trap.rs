//! Answers, writes a part of its body, and traps when the reader has had it.

use mesh_guests::{IncomingRequest, ResponseOutparam, begin, sleep};

fn handle(_: IncomingRequest, out: ResponseOutparam) {
    let body = begin(out, 200);
    let stream = body.write().unwrap();
    stream.blocking_write_and_flush(b"part").unwrap();
    sleep(20);
    core::arch::wasm32::unreachable();
}

mesh_guests::handler!(handle);

//! Answers with how often this instance was called: always 1, where each call has an instance of its own.

use std::sync::atomic::{AtomicU32, Ordering};

use mesh_guests::{IncomingRequest, ResponseOutparam, answer};

static CALLS: AtomicU32 = AtomicU32::new(0);

fn handle(_: IncomingRequest, out: ResponseOutparam) {
    let calls = CALLS.fetch_add(1, Ordering::Relaxed) + 1;
    answer(out, 200, calls.to_string().as_bytes());
}

mesh_guests::handler!(handle);

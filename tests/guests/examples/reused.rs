//! Answers with how often this instance was called, after doing to it what the path says.

use std::sync::atomic::{AtomicU32, Ordering};

use mesh_guests::{Fields, IncomingRequest, ResponseOutparam, answer, begin, path, sleep};

static CALLS: AtomicU32 = AtomicU32::new(0);

fn handle(request: IncomingRequest, out: ResponseOutparam) {
    let calls = CALLS.fetch_add(1, Ordering::Relaxed) + 1;
    match path(&request).as_str() {
        "/trap" => core::arch::wasm32::unreachable(),
        "/keep" => std::mem::forget(Fields::new()),
        "/keep-request" => std::mem::forget(request),
        "/sleep" => sleep(60_000),
        "/work" => work(),
        "/grow" => std::mem::forget(std::hint::black_box(vec![1u8; 6 << 20])),
        "/keep-body" => return std::mem::forget(begin(out, 200)),
        _ => {}
    }
    answer(out, 200, calls.to_string().as_bytes());
}

/// Uses processor time, within what one call may use.
fn work() {
    let start = wasi::clocks::monotonic_clock::now();
    while wasi::clocks::monotonic_clock::now() - start < 120_000_000 {
        std::hint::black_box(start);
    }
}

mesh_guests::handler!(handle);

//! Uses the processor for as many thousand turns as its path says, then answers.

use mesh_guests::{IncomingRequest, ResponseOutparam, answer, path};

fn handle(request: IncomingRequest, out: ResponseOutparam) {
    let thousands: u64 = path(&request).trim_start_matches('/').parse().unwrap_or(0);
    let mut turns = 0u64;
    while turns < thousands * 1_000 {
        turns = std::hint::black_box(turns + 1);
    }
    answer(out, 200, b"done");
}

mesh_guests::handler!(handle);

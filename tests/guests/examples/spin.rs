//! Never ends and never waits; answers first where the path says so.

use mesh_guests::{IncomingRequest, ResponseOutparam, begin, path};

fn handle(request: IncomingRequest, out: ResponseOutparam) {
    let _open = (path(&request) == "/behind-its-head").then(|| begin(out, 200));
    let mut turns = 0u64;
    loop {
        turns = std::hint::black_box(turns.wrapping_add(1));
    }
}

mesh_guests::handler!(handle);

//! Takes memory until it gets no more.

use mesh_guests::{IncomingRequest, ResponseOutparam};

fn handle(_: IncomingRequest, _out: ResponseOutparam) {
    let mut held = Vec::new();
    loop {
        held.push(std::hint::black_box(vec![1u8; 1 << 20]));
    }
}

mesh_guests::handler!(handle);

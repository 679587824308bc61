//! Calls itself until its stack is full.

use mesh_guests::{IncomingRequest, ResponseOutparam};

#[inline(never)]
#[allow(unconditional_recursion)]
fn deeper(depth: u64) -> u64 {
    std::hint::black_box(deeper(std::hint::black_box(depth + 1)) + 1)
}

fn handle(_: IncomingRequest, _out: ResponseOutparam) {
    std::hint::black_box(deeper(0));
}

mesh_guests::handler!(handle);

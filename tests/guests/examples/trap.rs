//! Traps at once.

use mesh_guests::{IncomingRequest, ResponseOutparam};

fn handle(_: IncomingRequest, _out: ResponseOutparam) {
    core::arch::wasm32::unreachable();
}

mesh_guests::handler!(handle);

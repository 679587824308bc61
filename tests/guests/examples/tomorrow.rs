//! Needs a version of WASI that the host does not have.

mod bindings {
    wit_bindgen::generate!({ path: "wit/tomorrow.wit", world: "tomorrow", generate_all });
}

use mesh_guests::{IncomingRequest, ResponseOutparam, answer};

fn handle(_: IncomingRequest, out: ResponseOutparam) {
    answer(out, 200, bindings::wasi::clocks::monotonic_clock::now().to_string().as_bytes());
}

mesh_guests::handler!(handle);

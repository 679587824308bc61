//! Calls the greeter of the examples with other types than that one has.

mod bindings {
    wit_bindgen::generate!({ path: "wit/misfit.wit", world: "misfit" });
}

use mesh_guests::{IncomingRequest, ResponseOutparam, answer, path};

fn handle(request: IncomingRequest, out: ResponseOutparam) {
    answer(out, 200, bindings::acme::greeting::greet::greet(&path(&request)).as_bytes());
}

mesh_guests::handler!(handle);

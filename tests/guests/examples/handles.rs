//! Makes resources and lets none of them go.

use mesh_guests::{Fields, IncomingRequest, ResponseOutparam};

fn handle(_: IncomingRequest, _out: ResponseOutparam) {
    loop {
        std::mem::forget(Fields::new());
    }
}

mesh_guests::handler!(handle);

//! Fills headers without end.

use mesh_guests::{Fields, IncomingRequest, ResponseOutparam};

fn handle(_: IncomingRequest, _out: ResponseOutparam) {
    let fields = Fields::new();
    for n in 0u64.. {
        fields.append(&format!("x-{n}"), &vec![b'v'; 64]).unwrap();
    }
}

mesh_guests::handler!(handle);

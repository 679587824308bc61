//! Ends itself.

use mesh_guests::{IncomingRequest, ResponseOutparam};

fn handle(_: IncomingRequest, _out: ResponseOutparam) {
    std::process::exit(0);
}

mesh_guests::handler!(handle);

//! Makes the host copy or make more in one call than it should.

use mesh_guests::{Fields, IncomingRequest, ResponseOutparam, begin, path};

const LARGE: usize = 20 << 20;

fn handle(request: IncomingRequest, out: ResponseOutparam) {
    match path(&request).as_str() {
        "/random" => drop(wasi::random::random::get_random_bytes(LARGE as u64)),
        "/header" => Fields::new().append(&"x".to_owned(), &vec![b'v'; LARGE]).unwrap(),
        _ => begin(out, 200).write().unwrap().write(&vec![0; LARGE]).unwrap(),
    }
}

mesh_guests::handler!(handle);

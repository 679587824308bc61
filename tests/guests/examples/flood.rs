//! Makes the host copy or make more in one call than it should.

use mesh_guests::{Fields, IncomingRequest, ResponseOutparam, begin, path};

const LARGE: usize = 20 << 20;
/// Each is sixteen bytes in the guest: a name and a value that point to the same text.
const PAIRS: usize = 500_000;

fn handle(request: IncomingRequest, out: ResponseOutparam) {
    match path(&request).as_str() {
        "/random" => drop(wasi::random::random::get_random_bytes(4 << 30)),
        "/insecure" => drop(wasi::random::insecure::get_insecure_random_bytes(4 << 30)),
        "/list" => drop(Fields::from_list(&vec![(String::new(), Vec::new()); PAIRS])),
        "/header" => Fields::new().append(&"x".to_owned(), &vec![b'v'; LARGE]).unwrap(),
        _ => begin(out, 200).write().unwrap().write(&vec![0; LARGE]).unwrap(),
    }
}

mesh_guests::handler!(handle);

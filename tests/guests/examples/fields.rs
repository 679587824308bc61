//! Fills headers: without end, or 10,000 of them in one list, where the path says so.

use mesh_guests::{Fields, IncomingRequest, OutgoingResponse, ResponseOutparam, path};

fn handle(request: IncomingRequest, out: ResponseOutparam) {
    if path(&request) == "/list" {
        let list: Vec<_> = (0..10_000).map(|n| (format!("x-{n}"), vec![b'v'; 64])).collect();
        let response = OutgoingResponse::new(Fields::from_list(&list).unwrap());
        return ResponseOutparam::set(out, Ok(response));
    }
    let fields = Fields::new();
    for n in 0u64.. {
        fields.append(&format!("x-{n}"), &vec![b'v'; 64]).unwrap();
    }
}

mesh_guests::handler!(handle);

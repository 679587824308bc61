//! Calls `bench:bytes/echo` for whoever asks for `/FUNCTION/SIZE/COUNT`, one call after the other, and answers with the
//! nanoseconds that all of them took.

mod bindings {
    wit_bindgen::generate!({ path: "wit/bytes.wit", world: "client", generate_all });
}

use bindings::bench::bytes::echo::{Parcel, same, wrapped};
use mesh_guests::{IncomingRequest, ResponseOutparam, answer, clocks::monotonic_clock, path};

fn handle(request: IncomingRequest, out: ResponseOutparam) {
    let wanted = path(&request);
    let mut parts = wanted.trim_start_matches('/').split('/');
    let (function, size, count) = (parts.next(), number(parts.next()), number(parts.next()));
    let data = vec![7; size];
    let start = monotonic_clock::now();
    for _ in 0..count {
        let came = match function {
            Some("wrapped") => wrapped(&Parcel { label: "bench".into(), data: data.clone() }).unwrap().data,
            _ => same(&data),
        };
        assert_eq!(came.len(), size);
    }
    let took = monotonic_clock::now() - start;
    answer(out, 200, took.to_string().as_bytes());
}

fn number(text: Option<&str>) -> usize {
    text.and_then(|text| text.parse().ok()).unwrap_or(0)
}

mesh_guests::handler!(handle);

//! Speaks the later draft of key-value, and the last version of the bus.

mod bindings {
    wit_bindgen::generate!({
        path: ["../../interfaces/wit", "wit/bus-2.0.1.wit", "wit/later.wit"],
        world: "mesh:guests/later",
        generate_all,
    });
}

use bindings::{
    wasi::keyvalue0_2_0_draft2::{
        atomics::{self, Cas, CasError},
        batch, store,
    },
    wasmcloud::bus2_0_1::lattice,
};
use mesh_guests::{IncomingRequest, ResponseOutparam, answer, path};

fn handle(request: IncomingRequest, out: ResponseOutparam) {
    let text = match path(&request).as_str() {
        "/swap" => swap(),
        "/list" => list(),
        "/bad-link" => {
            let target = lattice::CallTargetInterface::new("wasi", "keyvalue", "");
            format!("{:?}", lattice::set_link_name("No Such Link", vec![target]))
        }
        _ => {
            let bucket = store::open("counts").unwrap();
            format!("{:?}", atomics::increment(&bucket, "n", -3))
        }
    };
    answer(out, 200, text.as_bytes());
}

/// Adds a letter to what stands there, as often as somebody comes in between.
fn swap() -> String {
    let bucket = store::open("").unwrap();
    let mut cas = Cas::new(&bucket, "word").unwrap();
    let mut attempts = 0;
    loop {
        let mut word = cas.current().unwrap().unwrap_or_default();
        word.push(b'x');
        attempts += 1;
        match atomics::swap(cas, &word) {
            Ok(()) => return format!("{} after {attempts}", String::from_utf8(word).unwrap()),
            Err(CasError::CasFailed(next)) => cas = next,
            Err(CasError::StoreError(error)) => return format!("{error:?}"),
        }
    }
}

fn list() -> String {
    let bucket = store::open("").unwrap();
    batch::set_many(&bucket, &[("a".into(), vec![1])]).unwrap();
    let values = batch::get_many(&bucket, &["a".into(), "b".into()]).unwrap();
    batch::delete_many(&bucket, &["c".into()]).unwrap();
    bucket.set("k", b"v").unwrap();
    bucket.delete("k").unwrap();
    let page = bucket.list_keys(Some("7")).unwrap();
    format!("{:?} {values:?} {:?} {:?}", bucket.exists("k").unwrap(), page.keys, page.cursor)
}

mesh_guests::handler!(handle);

//! Reads many values at once, in the newer spelling of the later draft of key-value.

mod bindings {
    wit_bindgen::generate!({
        path: ["wit/later-keyvalue.wit", "wit/latest.wit"],
        world: "mesh:guests/latest",
        generate_all,
    });
}

use bindings::wasi::keyvalue::{batch, store};
use mesh_guests::{IncomingRequest, ResponseOutparam, answer};

fn handle(_: IncomingRequest, out: ResponseOutparam) {
    let bucket = store::open("counts").unwrap();
    let keys = ["a", "b", "a"].map(str::to_owned);
    answer(out, 200, format!("{:?}", batch::get_many(&bucket, &keys)).as_bytes());
}

mesh_guests::handler!(handle);

//! Speaks the older and the unversioned packages: configuration, logging, bus.

mod bindings {
    wit_bindgen::generate!({
        path: [
            "../../interfaces/wit/wasi-config",
            "../../interfaces/wit/wasi-config-rc",
            "../../interfaces/wit/wasi-logging-unversioned",
            "../../interfaces/wit/wasmcloud-bus-1",
            "wit/older.wit",
        ],
        world: "mesh:guests/older",
        generate_all,
    });
}

use bindings::{wasi::logging::logging, wasmcloud::bus::lattice};
use mesh_guests::{IncomingRequest, ResponseOutparam, answer, path};

fn handle(request: IncomingRequest, out: ResponseOutparam) {
    let name = path(&request);
    lattice::set_link_name(
        name.trim_start_matches('/'),
        vec![lattice::CallTargetInterface::new("wasi", "keyvalue", "")],
    );
    logging::log(logging::Level::Warn, "older", "a warning");
    let runtime = bindings::wasi::config0_2_0_draft::runtime::get("greeting").unwrap();
    let store = bindings::wasi::config0_2_0_rc_1::store::get_all().unwrap();
    answer(out, 200, format!("{runtime:?} {store:?}").as_bytes());
}

mesh_guests::handler!(handle);

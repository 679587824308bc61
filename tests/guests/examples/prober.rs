//! Tries 20 operations under each of 50 names of links, and says what became of the 1,000 calls: how many ended in which
//! way. Serves the operations too.

#![allow(unsafe_op_in_unsafe_fn, reason = "the bindings are of an older edition")]

use std::collections::BTreeMap;

mod bindings {
    wit_bindgen::generate!({ path: "wit/targets.wit", world: "prober", generate_all });
}

use mesh_guests::{IncomingRequest, ResponseOutparam, answer};
use wasmcloud_component::wasmcloud::bus::lattice::{CallTargetInterface, set_link_name};

const TARGETS: usize = 50;

macro_rules! operations {
    ($($name:ident => $number:literal,)*) => {
        $(
            impl bindings::exports::acme::targets::$name::Guest for Guest {
                fn run() -> Result<u32, String> {
                    Ok($number)
                }
            }
        )*

        const OPERATIONS: [fn() -> Result<u32, String>; 20] = [$(bindings::acme::targets::$name::run),*];
    };
}

operations! {
    operation0 => 0,
    operation1 => 1,
    operation2 => 2,
    operation3 => 3,
    operation4 => 4,
    operation5 => 5,
    operation6 => 6,
    operation7 => 7,
    operation8 => 8,
    operation9 => 9,
    operation10 => 10,
    operation11 => 11,
    operation12 => 12,
    operation13 => 13,
    operation14 => 14,
    operation15 => 15,
    operation16 => 16,
    operation17 => 17,
    operation18 => 18,
    operation19 => 19,
}

fn handle(_: IncomingRequest, out: ResponseOutparam) {
    let mut ended = BTreeMap::<String, u32>::new();
    for target in 0..TARGETS {
        set_link_name(&format!("target-{target}"), vec![CallTargetInterface::new("acme", "targets", "")]).unwrap();
        for (number, operation) in OPERATIONS.iter().enumerate() {
            let how = match operation() {
                Ok(answered) => format!("target-{target} operation-{number} answered {answered}"),
                Err(error) => error.split(':').next().unwrap_or_default().to_owned(),
            };
            *ended.entry(how).or_default() += 1;
        }
    }
    let lines: String = ended.iter().map(|(how, count)| format!("{count} {how}\n")).collect();
    answer(out, 200, lines.as_bytes());
}

mesh_guests::handler!(handle);
bindings::export!(Guest with_types_in bindings);

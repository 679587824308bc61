//! Imports an interface that nobody has heard of, and calls it where the path says so.

mod bindings {
    wit_bindgen::generate!({ path: "wit/custom.wit", world: "custom", generate_all });
}

use bindings::acme::billing::ledger;
use mesh_guests::{IncomingRequest, ResponseOutparam, answer, path};

fn handle(request: IncomingRequest, out: ResponseOutparam) {
    let text = match path(&request).as_str() {
        "/balance" => ledger::balance("a").to_string(),
        "/charge" => {
            let amount = ledger::Amount { cents: 1, currency: "CHF".into() };
            format!("{:?}", ledger::Account::new("a").charge(&amount))
        }
        _ => "not called".into(),
    };
    answer(out, 200, text.as_bytes());
}

mesh_guests::handler!(handle);

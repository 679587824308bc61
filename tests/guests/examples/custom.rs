//! Imports an interface that nobody has heard of, and calls it where the path says so.

mod bindings {
    wit_bindgen::generate!({ path: "wit/custom.wit", world: "custom", generate_all });
}

use bindings::acme::billing::ledger;
use mesh_guests::{IncomingRequest, ResponseOutparam, answer, path, sleep};

fn handle(request: IncomingRequest, out: ResponseOutparam) {
    let text = match path(&request).as_str() {
        "/balance" => ledger::balance("a").to_string(),
        "/charge" => {
            let amount = ledger::Amount { cents: 1, currency: "CHF".into() };
            format!("{:?}", ledger::Account::new("a").charge(&amount))
        }
        "/story" => story(),
        "/hold" => {
            let accounts = ledger::open(&["a".into(), "b".into()]);
            sleep(60_000);
            accounts.len().to_string()
        }
        "/never-drops" => {
            let accounts = ledger::open(&["a".into(), "b".into(), "c".into()]);
            let count = accounts.len();
            std::mem::forget(accounts);
            count.to_string()
        }
        "/trap-holding" => {
            let _accounts = ledger::open(&["a".into(), "b".into()]);
            std::process::abort()
        }
        "/many" => {
            let names = vec!["x".to_owned(); 200];
            let mut all = Vec::new();
            for _ in 0..10 {
                all.extend(ledger::open(&names));
            }
            all.len().to_string()
        }
        _ => "not called".into(),
    };
    answer(out, 200, text.as_bytes());
}

/// Resources made, called, borrowed, given away, given back and dropped.
fn story() -> String {
    let amount = |cents| ledger::Amount { cents, currency: "CHF".into() };
    let one = ledger::Account::new("one");
    let refused = one.charge(&ledger::Amount { cents: 1, currency: "EUR".into() });
    one.charge(&amount(5)).unwrap();
    let others = ledger::open(&["two".into(), "three".into()]);
    for (at, other) in others.iter().enumerate() {
        other.charge(&amount(10 * (at as u64 + 1))).unwrap();
    }
    let [two, three]: [ledger::Account; 2] = others.try_into().unwrap();
    let both = ledger::Account::join(two, &three);
    let (both_total, three_total) = (both.total(), three.total());
    drop(three);
    let closed = ledger::close(both);
    format!("{refused:?} {} {both_total} {three_total} {closed:?}", one.total())
}

mesh_guests::handler!(handle);

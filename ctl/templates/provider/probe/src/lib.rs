//! Uses the key-value store that it is linked to, and says what it found: what a person can call to see the provider
//! work.

use bindings::{
    exports::example::buckets::check::Guest,
    wasi::keyvalue::{
        atomics,
        store::{self, Error},
    },
};

mod bindings {
    wit_bindgen::generate!({ path: "../wit", world: "probe", generate_all });
}

struct Probe;

#[cfg(target_arch = "wasm32")]
bindings::export!(Probe with_types_in bindings);

impl Guest for Probe {
    fn count(bucket: String, key: String) -> Result<(u64, Vec<String>), String> {
        count(&bucket, &key).map_err(|error| format!("{error:?}"))
    }
}

fn count(bucket: &str, key: &str) -> Result<(u64, Vec<String>), Error> {
    let bucket = store::open(bucket)?;
    let count = atomics::increment(&bucket, key, 1)?;
    let mut keys = Vec::new();
    let mut cursor = None;
    loop {
        let page = bucket.list_keys(cursor)?;
        keys.extend(page.keys);
        cursor = page.cursor;
        if cursor.is_none() {
            break;
        }
    }
    keys.sort();
    Ok((count, keys))
}

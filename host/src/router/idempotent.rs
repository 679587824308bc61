//! Which calls may run twice, so that silence can be answered by asking another host.
//!
//! Of the well-known interfaces it is known by their functions: reading, and writing or deleting what the call itself
//! says, in full. Running `set` twice leaves what running it once leaves; where somebody else writes the same key in
//! between, the second run wins over him, as a slow first one would have. Not in the table: `increment`, which counts
//! twice, `swap`, whose second run finds what the first one wrote, messages, which arrive twice, and `wasi:http`, where a method promises what the code behind it may not keep. For these and for all other
//! interfaces the link says it.

use mesh_lattice::{Interface, wit::keyvalue::operation};

use crate::links::Grant;

/// Functions of `wasi:keyvalue` that may run twice, by interface.
const KEY_VALUE: [(&str, &[&str]); 3] = [
    (
        "store",
        &[operation::OPEN, operation::GET, operation::SET, operation::DELETE, operation::EXISTS, operation::LIST_KEYS],
    ),
    ("atomics", &[operation::CAS_NEW, operation::CAS_CURRENT]),
    ("batch", &[operation::GET_MANY, operation::SET_MANY, operation::DELETE_MANY]),
];

/// Whether a call of this function along this link may run twice.
pub(super) fn may_run_twice(interface: &Interface, operation: &str, grant: Option<&Grant>) -> bool {
    grant.is_some_and(|grant| grant.idempotent) || is_well_known(interface, operation)
}

fn is_well_known(interface: &Interface, operation: &str) -> bool {
    let within = interface.interface();
    interface.package() == "wasi:keyvalue"
        && KEY_VALUE.iter().any(|(name, functions)| *name == within && functions.contains(&operation))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reading_and_writing_whole_values_may_run_twice_and_counting_may_not() {
        let well_known = |interface: &str, operation: &str| is_well_known(&interface.parse().unwrap(), operation);
        for operation in ["open", "[method]bucket.get", "[method]bucket.set", "[method]bucket.list-keys"] {
            assert!(well_known("wasi:keyvalue/store@0.2.0-draft", operation), "{operation}");
        }
        assert!(well_known("wasi:keyvalue/batch@0.2.0-draft", "set-many"));
        assert!(well_known("wasi:keyvalue/atomics@0.2.0-draft2", "[method]cas.current"));
        assert!(!well_known("wasi:keyvalue/atomics@0.2.0-draft", "increment"));
        assert!(!well_known("wasi:keyvalue/atomics@0.2.0-draft2", "swap"));
        assert!(!well_known("wasmcloud:messaging/consumer@0.2.0", "publish"));
        assert!(!well_known("wasi:keyvalue/store@0.2.0-draft", "increment"));
        assert!(!well_known("wasi:http/incoming-handler@0.2.2", "handle"));
        assert!(!well_known("other:keyvalue/store", "[method]bucket.get"));
    }
}

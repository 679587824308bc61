//! The providers that hosts have built in: what each serves and calls, and whether its data lives on its host.
//!
//! A host's own code says the same and judges every commit by it; this table lets a person be told before.

use std::collections::BTreeMap;

use mesh_lattice::{InterfacePattern, Name};

/// What is known of a kind of provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kind {
    /// What it serves.
    pub serves: Vec<InterfacePattern>,
    /// What it calls.
    pub calls: Vec<InterfacePattern>,
    /// Whether its data lives on its host: then it is placed once.
    pub local_state: bool,
}

/// Name, what it serves, what it calls, whether its data lives on its host.
const BUILT_IN: &[(&str, &[&str], &[&str], bool)] = &[
    ("echo", &["mesh:echo"], &[], false),
    ("http-client", &["wasi:http/outgoing-handler"], &[], false),
    ("http-server", &[], &["wasi:http/incoming-handler"], false),
    ("keyvalue-nats", &["wasi:keyvalue"], &[], false),
    ("keyvalue-redb", &["wasi:keyvalue"], &[], true),
    ("keyvalue-redis", &["wasi:keyvalue"], &[], false),
    (
        "messaging-nats",
        &["wasmcloud:messaging/consumer", "wasmcloud:messaging/producer", "wasmcloud:messaging/request-reply"],
        &["wasmcloud:messaging/handler", "wasmcloud:messaging/incoming-handler"],
        false,
    ),
];

/// The providers that hosts of this version have built in.
#[must_use]
pub fn built_in() -> BTreeMap<Name, Kind> {
    let patterns = |texts: &[&str]| texts.iter().filter_map(|text| text.parse().ok()).collect();
    BUILT_IN
        .iter()
        .filter_map(|(name, serves, calls, local_state)| {
            let kind = Kind { serves: patterns(serves), calls: patterns(calls), local_state: *local_state };
            Some((name.parse().ok()?, kind))
        })
        .collect()
}

/// Their names in a sentence.
pub(crate) fn listed() -> String {
    crate::fields::listed(BUILT_IN.iter().map(|(name, ..)| *name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_and_pattern_of_the_table_is_one() {
        let kinds = built_in();
        assert_eq!(kinds.len(), BUILT_IN.len());
        for (name, serves, calls, _) in BUILT_IN {
            let kind = &kinds[*name];
            assert_eq!((kind.serves.len(), kind.calls.len()), (serves.len(), calls.len()), "{name}");
        }
    }
}

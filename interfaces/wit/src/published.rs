//! The signatures of the WIT packages beside this crate: what providers serve and call, which have no component to
//! read them from. The build script reads the packages and writes the list that stands here.

use std::{collections::BTreeMap, sync::LazyLock};

use mesh_lattice::Interface;

use crate::signature::{Function, Type};

include!(concat!(env!("OUT_DIR"), "/published.rs"));

static PUBLISHED: LazyLock<BTreeMap<Interface, Vec<Function>>> = LazyLock::new(|| {
    let parsed = published().into_iter().map(|(name, functions)| Some((name.parse().ok()?, functions)));
    parsed.flatten().collect()
});

/// The functions of this interface, where its package lies here.
#[must_use]
pub fn functions(interface: &Interface) -> Option<&'static [Function]> {
    let exact = PUBLISHED.get(interface).map(Vec::as_slice);
    exact.or_else(|| interfaces().find(|(name, _)| name.fits(interface)).map(|(_, functions)| functions))
}

/// Every interface whose package lies here.
pub fn interfaces() -> impl Iterator<Item = (&'static Interface, &'static [Function])> {
    PUBLISHED.iter().map(|(interface, functions)| (interface, functions.as_slice()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn every_package_is_read() {
        assert_eq!(interfaces().count(), published().len(), "every name is an interface's");
        let packages: std::collections::BTreeSet<_> = interfaces().map(|(name, _)| name.package()).collect();
        for package in ["mesh:echo", "wasi:config", "wasi:keyvalue", "wasi:logging", "wasmcloud:bus"] {
            assert!(packages.contains(package), "{package} of {packages:?}");
        }
    }

    #[test]
    fn functions_are_found_by_the_version_rule_and_written_as_wit() {
        let find = |name: &str| functions(&name.parse().unwrap());
        let text = |name: &str| -> Vec<String> { find(name).unwrap().iter().map(ToString::to_string).collect() };
        assert_eq!(
            text("wasi:keyvalue/atomics@0.2.0-draft"),
            ["increment: func(bucket: borrow<bucket>, key: string, delta: u64) -> result<u64, error>"]
        );
        assert_eq!(text("mesh:echo/echo"), ["echo: func(bytes: list<u8>) -> list<u8>"]);
        assert_eq!(
            text("wasi:keyvalue/store@0.2.0-draft")[1],
            "bucket.get: func(key: string) -> result<option<list<u8>>, error>"
        );
        assert!(find("wasi:keyvalue/store@0.2.0-draft9").is_none());
        assert!(find("acme:a/b").is_none());
    }

    #[test]
    fn what_a_name_stands_for_is_written_on_demand() {
        let open = &functions(&"wasi:keyvalue/store@0.2.0-draft".parse().unwrap()).unwrap()[0];
        let whole = "open: func(identifier: string) -> \
                     result<bucket, variant error { no-such-store, access-denied, other(string) }>";
        assert_eq!(format!("{open:#}"), whole);
        assert_eq!(open.named().len(), 1);
    }
}

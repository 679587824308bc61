//! What the unit tests of this crate share.

use mesh_claims::{KeyKind, KeyPair};
use mesh_lattice::{CallId, Caller, Deadline, HostId, Invocation, LinkName, Params};

/// A host's key, always the same for one seed.
pub(crate) fn host_id(seed: u8) -> HostId {
    use std::{collections::HashMap, sync::LazyLock};
    static KEYS: LazyLock<parking_lot::Mutex<HashMap<u8, HostId>>> = LazyLock::new(Default::default);
    KEYS.lock().entry(seed).or_insert_with(|| KeyPair::generate(KeyKind::Host).host_id().unwrap()).clone()
}

/// A call from `caller` to `target` on `wasi:keyvalue/store`.
pub(crate) fn call(caller: &str, target: &str) -> Invocation {
    Invocation {
        id: CallId::new(),
        caller: Caller::Named(caller.parse().unwrap()),
        link: LinkName::default(),
        target: Some(target.parse().unwrap()),
        interface: "wasi:keyvalue/store@0.2.0-draft".parse().unwrap(),
        operation: "get".into(),
        params: Params::Wire(bytes::Bytes::from_static(b"\x90")),
        body: None,
        deadline: Deadline::after(std::time::Duration::from_secs(5)),
        trace: None,
        pin: None,
        from: None,
    }
}

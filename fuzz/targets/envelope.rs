//! Any bytes as a stored envelope: what is read is written and read back as itself, and nobody believes it.

#![no_main]

use std::sync::LazyLock;

use mesh_claims::{Envelope, KeyKind, KeyPair, Trust};
use mesh_lattice::{id::OperatorId, key::Key};

static ROOT: LazyLock<OperatorId> =
    LazyLock::new(|| KeyPair::generate(KeyKind::Operator).operator_id().expect("an operator's key"));

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Ok(envelope) = Envelope::decode(data) else { return };
    assert_eq!(Envelope::decode(&envelope.encode()).expect("what was written is read"), envelope);
    if let Some(key) = Key::parse(&envelope.key) {
        // The root's key is made for this run: nothing here can be signed by it or by anybody whom it names.
        assert!(Trust::new(ROOT.clone()).apply(&key, &envelope).is_err());
    }
});

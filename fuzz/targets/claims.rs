//! Artifacts, whole and changed. Whatever is done to a signed component, if its claims still hold it is the component
//! that was signed; and any bytes at all can be asked.

#![no_main]

use std::sync::LazyLock;

use mesh_claims::{Claims, KeyKind, KeyPair, sign, verify};

/// A component with a nested module and a section of its own, as it was signed, and its claims.
static SIGNED: LazyLock<(Vec<u8>, Claims)> = LazyLock::new(|| {
    let plain = [
        &[0, b'a', b's', b'm', 0x0d, 0, 1, 0][..],
        &[1, 8, 0, b'a', b's', b'm', 1, 0, 0, 0],
        &[0, 6, 4, b'n', b'o', b't', b'e', 7],
    ]
    .concat();
    let issuer = KeyPair::generate(KeyKind::Account);
    let options = sign::SignOptions::new(KeyPair::generate(KeyKind::Actor));
    let signed = sign::component(&plain, &issuer, &options).expect("it is signed");
    let claims = verify::read(&signed).expect("its claims hold");
    (signed, claims)
});

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _ = verify::read(data);
    let (signed, claims) = &*SIGNED;
    // Three bytes are one change: what is done, where, and with which byte.
    let mut changed = signed.clone();
    for step in data.chunks_exact(3) {
        let at = usize::from(step[1]) * changed.len().max(1) / 256;
        match step[0] % 4 {
            0 => changed.insert(at.min(changed.len()), step[2]),
            1 if at < changed.len() => drop(changed.remove(at)),
            2 if at < changed.len() => changed[at] ^= step[2],
            _ => changed.truncate(changed.len() - usize::from(step[2] % 4).min(changed.len())),
        }
    }
    if let Ok(found) = verify::read(&changed) {
        assert_eq!(found, *claims, "claims that nobody signed");
        // All that the claims speak of is there as it was signed; only the form of the lengths may differ.
        assert!(changed.len() >= signed.len(), "something was cut out of it");
    }
});

//! Any text as a manifest: taken or refused, never a panic; what is taken is written and reads back as itself.

#![no_main]

use mesh_manifest::{Facts, Reading, Source, convert, read, resolve};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let manifests = match read(&[Source::new("fuzz.yaml", "/app", data.to_vec())], &Reading::default()) {
        Ok(manifests) => manifests,
        Err(faults) => return drop(faults.render(false)),
    };
    if let Err(faults) = resolve(&manifests.drafts, &Facts::default()) {
        drop(faults.render(false));
    }
    // Who has which link is not known where two things have one name: that is refused later.
    let unique = |draft: &mesh_manifest::Draft| {
        let names: std::collections::BTreeSet<_> = draft.names().map(|name| name.value.clone()).collect();
        names.len() == draft.names().count()
    };
    if !manifests.drafts.iter().all(unique) {
        return;
    }
    let text = convert(&manifests.drafts).expect("what was read is written");
    let again = read(&[Source::new("again.yaml", "/app", text.clone().into_bytes())], &Reading::default());
    let again = again.unwrap_or_else(|faults| panic!("{}\n{text}", faults.render(false)));
    assert_eq!(again.drafts, manifests.drafts, "{text}");
});

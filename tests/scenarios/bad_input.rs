//! What is not an actor is refused where it is started; what lacks a link is accepted, waits, and says for what.

use std::time::Duration;

use anyhow::Result;
use mesh_tests::{lattice::Lattice, wait::eventually};

/// A core module that imports two functions: `(module (import "wasmbus" "__host_call" (func)) (import "env" "now"
/// (func)))`.
const CORE_MODULE: &[u8] =
    b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x02\x21\x02\x07wasmbus\x0b__host_call\0\0\x03env\x03now\0\0";

#[tokio::test]
async fn a_file_that_is_not_wasm_is_refused() -> Result<()> {
    let lattice = Lattice::builder().start().await?;
    let text = lattice.file("text.wasm");
    std::fs::write(&text, "this is not Wasm")?;
    let ran = lattice.meshctl(["start", "actor", &text.to_string_lossy(), "--name", "text"]).await?;
    assert_eq!(ran.code, 2, "{ran}");
    let missing = lattice.meshctl(["start", "actor", "/nowhere/at/all.wasm", "--name", "text"]).await?;
    assert_eq!(missing.code, 2, "{missing}");
    assert!(missing.stderr.contains("/nowhere/at/all.wasm"), "{missing}");
    assert!(lattice.get("actors").await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn imports_that_can_never_be_served_are_refused_by_name() -> Result<()> {
    let lattice = Lattice::builder().start().await?;
    let module = lattice.file("module.wasm");
    std::fs::write(&module, CORE_MODULE)?;
    let ran = lattice.meshctl(["start", "actor", &module.to_string_lossy(), "--name", "module"]).await?;
    assert_eq!(ran.code, 2, "{ran}");
    for import in ["wasmbus", "__host_call", "env", "now"] {
        assert!(ran.stderr.contains(import), "{import} is not named: {ran}");
    }
    assert!(lattice.get("actors").await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn an_import_without_a_link_waits_and_says_which_link_it_wants() -> Result<()> {
    let lattice = Lattice::builder().start().await?;
    let file = lattice.signed("counter").await?;
    lattice.ok(["start", "actor", &file.to_string_lossy(), "--name", "counter"]).await?;
    eventually("it says what it waits for", Duration::from_secs(30), || async {
        let told = lattice.ok(["describe", "actor", "counter"]).await?;
        anyhow::ensure!(told.contains("link put counter") && told.contains("wasi:keyvalue"), "{told}");
        Ok(Some(()))
    })
    .await?;
    let actor = lattice.get_one("actors", "counter").await?;
    assert_eq!(actor["replicas"]["ready"], 0, "{actor}");
    lattice.key_value("kv", mesh_tests::lattice::Store::Redb, "counter").await?;
    lattice.until_ready("counter", 1).await?;
    Ok(())
}

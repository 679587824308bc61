//! A name outside its grammar is refused at the edge, before anything is asked of a lattice.

use anyhow::Result;
use mesh_lattice::LatticeName;
use mesh_tests::lattice::Lattice;

#[tokio::test]
async fn names_outside_the_grammar_are_refused_and_nothing_is_said_to_the_lattice() -> Result<()> {
    let lattice = Lattice::builder().start().await?;
    let file = lattice.signed("hello").await?;
    let file = file.to_string_lossy();
    for name in ["", "A", "a.b", "a b", "a*", ">", "$JS", "a/b", "_a", "-", "é", "a\nb", &"x".repeat(64)] {
        let mut attempts = vec![
            vec!["start", "actor", &file, "--name", name],
            vec!["start", "provider", "http-server", "--name", name],
            vec!["link", "put", name, "kv", "wasi:keyvalue"],
            vec!["link", "put", "counter", "kv", "wasi:keyvalue", "--name", name],
            vec!["config", "put", name, "a=b"],
        ];
        // A lattice may be called `-`.
        if name.parse::<LatticeName>().is_err() {
            attempts.push(vec!["-l", name, "get", "hosts"]);
        }
        for attempt in attempts {
            // The name that a command line cannot tell from a flag is refused as one.
            let ran = lattice.meshctl(&attempt).await?;
            assert_eq!(ran.code, 2, "{ran}");
        }
    }
    for interface in ["keyvalue", "wasi", "wasi:", "wasi:keyvalue/", "wasi:key value", "wasi:keyvalue.>"] {
        let ran = lattice.meshctl(["link", "put", "counter", "kv", interface]).await?;
        assert_eq!(ran.code, 2, "{ran}");
    }
    assert!(lattice.get("actors").await?.is_empty());
    assert!(lattice.get("links").await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn labels_outside_the_grammar_start_nothing() -> Result<()> {
    let dir = tempfile::TempDir::with_prefix("mesh-e2e-")?;
    let below = dir.path().join("lattice");
    for label in ["", "=", "a b=c", "a=b c", "a", &format!("{}=v", "k".repeat(64))] {
        let output = std::process::Command::new(mesh_tests::guest::program("meshctl")?)
            .args(["up", "--port", "0", "--label", label, "--dir"])
            .arg(&below)
            .output()?;
        assert_eq!(output.status.code(), Some(2), "{label:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
    assert!(!below.exists());
    Ok(())
}

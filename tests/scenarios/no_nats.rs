//! Without a usable NATS `meshctl` says what it tried and what to do, and a host keeps trying and says so.

use std::{
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result};
use mesh_tests::{
    guest, http,
    lattice::{READY_WITHIN, free_address},
    wait::eventually,
};

#[tokio::test]
async fn nobody_at_the_address_is_exit_5_with_the_address() -> Result<()> {
    let dir = tempfile::TempDir::with_prefix("mesh-e2e-")?;
    let server = format!("nats://{}", free_address()?);
    for arguments in [&["get", "hosts"][..], &["config", "put", "a", "b=c"], &["doctor"]] {
        let output = Command::new(guest::program("meshctl")?)
            .args(["--server", &server, "--timeout", "2s"])
            .args(arguments)
            .current_dir(dir.path())
            .env_remove("MESH_SERVER")
            .stdin(Stdio::null())
            .output()?;
        let talk = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(5), "{arguments:?}: {talk}");
        assert!(talk.contains(&server), "{arguments:?} does not say what it tried: {talk}");
    }
    Ok(())
}

#[tokio::test]
async fn a_server_without_jetstream_is_exit_5_and_named() -> Result<()> {
    let dir = tempfile::TempDir::with_prefix("mesh-e2e-")?;
    let address = free_address()?;
    let mut server = Command::new(guest::program("meshctl")?)
        .args(["hold", "--parent", &std::process::id().to_string(), "--", &nats_server()?])
        .args(["-a", "127.0.0.1", "-p", &address.port().to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let listens = eventually("nats-server listens", READY_WITHIN, || async {
        Ok(tokio::net::TcpStream::connect(address).await.ok())
    })
    .await;
    let output = Command::new(guest::program("meshctl")?)
        .args(["--server", &format!("nats://{address}"), "--timeout", "2s", "get", "hosts"])
        .current_dir(dir.path())
        .stdin(Stdio::null())
        .output();
    server.kill()?;
    server.wait()?;
    listens?;
    let output = output?;
    let talk = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(5), "{talk}");
    assert!(talk.contains("JetStream"), "{talk}");
    Ok(())
}

/// The server that `meshctl up` would run.
fn nats_server() -> Result<String> {
    let here = std::env::current_dir()?;
    let tools = here.ancestors().map(|folder| folder.join(".tools/bin/nats-server")).find(|path| path.is_file());
    Ok(tools.map_or_else(|| "nats-server".to_owned(), |path| path.to_string_lossy().into_owned()))
}

#[tokio::test]
async fn a_host_without_nats_keeps_trying_and_says_so() -> Result<()> {
    let dir = tempfile::TempDir::with_prefix("mesh-e2e-")?;
    let (server, admin) = (format!("nats://{}", free_address()?), free_address()?);
    let root = mesh_claims::KeyPair::generate(mesh_claims::KeyKind::Operator);
    let host = mesh_claims::KeyPair::generate(mesh_claims::KeyKind::Host);
    std::fs::write(dir.path().join("trust.toml"), format!("root = \"{}\"\n", root.public()))?;
    let key = dir.path().join("host.nk");
    std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&key)?
        .write_all(host.seed().as_bytes())?;
    let mut meshd = Command::new(guest::program("meshctl")?)
        .args(["hold", "--parent", &std::process::id().to_string(), "--"])
        .arg(guest::program("meshd")?)
        .args(["--server", &server, "--admin", &admin.to_string(), "--dir"])
        .arg(dir.path().join("data"))
        .arg("--host-key")
        .arg(&key)
        .arg("--trust")
        .arg(dir.path().join("trust.toml"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(std::fs::File::create(dir.path().join("log"))?)
        .spawn()?;
    let said = eventually("/readyz says what is missing", READY_WITHIN, || async {
        let ready = http::get(admin, "/readyz").await?;
        anyhow::ensure!(ready.status == 503, "{}: {}", ready.status, ready.text());
        let alive = http::get(admin, "/livez").await?;
        anyhow::ensure!(alive.status == 200, "/livez: {}", alive.status);
        Ok(Some(ready.text()))
    })
    .await;
    let lives = meshd.try_wait()?.is_none();
    meshd.kill()?;
    meshd.wait()?;
    let (text, _) = said.with_context(|| std::fs::read_to_string(dir.path().join("log")).unwrap_or_default())?;
    assert!(text.contains(&server), "{text}");
    assert!(lives, "it gave up");
    Ok(())
}

//! What `meshctl up` starts goes with it, whichever way it goes; what is detached stays until `down`.

use std::{
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::Result;
use mesh_tests::{
    guest,
    lattice::{Lattice, READY_WITHIN},
    process::{naming, runs},
    wait::eventually,
};
use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

/// What is promised; the bound is three times that.
const PROMISED: Duration = Duration::from_secs(2);

#[tokio::test]
async fn a_killed_up_takes_its_server_and_its_hosts_with_it() -> Result<()> {
    let dir = TempDir::with_prefix("mesh-e2e-")?;
    let mut up = Command::new(guest::program("meshctl")?)
        .args(["up", "--hosts", "2", "--port", "0", "--dir"])
        .arg(dir.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let text = dir.path().to_string_lossy().into_owned();
    let started = eventually("a server and two hosts run", READY_WITHIN, || async {
        Ok((children(&text).len() == 3).then_some(()))
    })
    .await;
    let ids: Vec<_> = children(&text);
    up.kill()?;
    up.wait()?;
    started?;
    let ((), after) = eventually("none of them runs", PROMISED * 3, || async {
        let left: Vec<_> = ids.iter().filter(|(pid, _)| runs(*pid)).collect();
        anyhow::ensure!(left.is_empty() && naming(&text).is_empty(), "{left:?}");
        Ok(Some(()))
    })
    .await?;
    println!("nothing left {after:?} after kill -9 of meshctl up");
    Ok(())
}

/// The processes that live in this folder, `up` itself left out.
fn children(dir: &str) -> Vec<(i32, String)> {
    naming(dir)
        .into_iter()
        .filter(|(_, arguments)| !arguments.contains(" up ") && !arguments.contains(" hold "))
        .collect()
}

/// Stops a detached lattice when its test ends, however it ends.
struct Detached<'a>(&'a std::path::Path);

impl Drop for Detached<'_> {
    fn drop(&mut self) {
        if self.0.exists() {
            // The test has said already what was wrong.
            let _ = run(&["down", "--purge", "--dir"], self.0);
        }
    }
}

#[tokio::test]
async fn a_detached_lattice_stays_until_down_and_keeps_its_keys() -> Result<()> {
    let dir = TempDir::with_prefix("mesh-e2e-")?;
    let up = ["up", "--hosts", "2", "--port", "0", "--detach", "--dir"];
    let _stopped = Detached(dir.path());
    let first = run(&up, dir.path())?;
    let record = read(dir.path())?;
    let processes = pids(&record);
    assert_eq!(processes.len(), 3, "{record}");
    assert!(processes.iter().all(|pid| runs(*pid)), "{first}");

    let second = run(&up, dir.path())?;
    assert_eq!(pids(&read(dir.path())?), processes, "a second time changes nothing: {second}");

    mesh_tests::process::signal(processes[1], Signal::KILL)?;
    eventually("the killed host is gone", PROMISED, || async { Ok((!runs(processes[1])).then_some(())) }).await?;
    run(&up, dir.path())?;
    let again = pids(&read(dir.path())?);
    assert_eq!((again[0], again[2]), (processes[0], processes[2]), "only what is missing is started");
    assert!(again[1] != processes[1] && runs(again[1]));

    run(&["down", "--dir"], dir.path())?;
    assert!(again.iter().all(|pid| !runs(*pid)));
    let id = |record: &Value| record["hosts"][0]["id"].clone();
    run(&up, dir.path())?;
    assert_eq!(id(&read(dir.path())?), id(&record), "the same hosts as before");
    run(&["down", "--purge", "--dir"], dir.path())?;
    assert!(!dir.path().exists());
    Ok(())
}

#[tokio::test]
async fn keys_are_their_owners_alone() -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let lattice = Lattice::builder().start().await?;
    let mode = |path: &std::path::Path| Ok::<_, std::io::Error>(std::fs::metadata(path)?.permissions().mode() & 0o777);
    assert_eq!(mode(&lattice.file("keys"))?, 0o700);
    for name in ["root.nk", "admin.nk", "issuer.nk", "host-1.nk"] {
        assert_eq!(mode(&lattice.file("keys").join(name))?, 0o600, "{name}");
    }
    Ok(())
}

fn run(arguments: &[&str], dir: &std::path::Path) -> Result<String> {
    let output = Command::new(guest::program("meshctl")?).args(arguments).arg(dir).stdin(Stdio::null()).output()?;
    let talk = String::from_utf8_lossy(&output.stderr).into_owned();
    anyhow::ensure!(output.status.success(), "{arguments:?} ended with {}: {talk}", output.status);
    Ok(talk)
}

fn read(dir: &std::path::Path) -> Result<Value> {
    Ok(serde_json::from_slice(&std::fs::read(dir.join("lattice.json"))?)?)
}

/// nats-server first, then the hosts.
fn pids(record: &Value) -> Vec<i32> {
    let hosts = record["hosts"].as_array().into_iter().flatten().map(|host| &host["pid"]);
    let all = std::iter::once(&record["nats_pid"]).chain(hosts);
    all.filter_map(|pid| i32::try_from(pid.as_i64()?).ok()).collect()
}

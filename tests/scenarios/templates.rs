//! What `meshctl new` writes builds, passes its own tests, the last of them in a lattice, and runs: with one command, and
//! with the same one after each change.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use mesh_tests::{
    guest, http,
    lattice::{READY_WITHIN, free_address},
    wait::eventually,
};
use serde_json::Value;
use tokio::process::Command;

/// Each command ends within this; the first one compiles what all the projects use.
const WITHIN: Duration = Duration::from_secs(900);

/// A project of its own folder. The lattice that runs it is stopped with it.
struct Project {
    folder: tempfile::TempDir,
    name: &'static str,
}

impl Drop for Project {
    fn drop(&mut self) {
        if let Ok(meshctl) = guest::program("meshctl") {
            let mut down = std::process::Command::new(meshctl);
            let down = down.args(["down", "--purge"]).current_dir(self.dir());
            let _ = down.stdout(Stdio::null()).stderr(Stdio::null()).status();
        }
    }
}

impl Project {
    async fn new(kind: &str, name: &'static str, template: &str) -> Result<Self> {
        let project = Self { folder: tempfile::TempDir::with_prefix("mesh-new-")?, name };
        let folder = project.folder.path();
        run(folder, "meshctl", &["new", kind, name, "--template", template]).await?;
        Ok(project)
    }

    fn dir(&self) -> PathBuf {
        self.folder.path().join(self.name)
    }

    async fn run(&self, program: &str, arguments: &[&str]) -> Result<String> {
        run(&self.dir(), program, arguments).await
    }

    fn replace(&self, file: &str, from: &str, to: &str) -> Result<()> {
        let path = self.dir().join(file);
        let text = std::fs::read_to_string(&path)?;
        ensure!(text.contains(from), "{file} has no {from:?}: {text}");
        Ok(std::fs::write(path, text.replace(from, to))?)
    }

    /// What its one actor runs.
    async fn digest(&self) -> Result<String> {
        let actors: Value = serde_json::from_str(&self.run("meshctl", &["get", "actors", "-o", "json"]).await?)?;
        let digest = actors.pointer("/0/digest").and_then(Value::as_str).context("no actor has a digest")?;
        Ok(digest.to_owned())
    }
}

/// Runs a program as a person would who has `meshctl` on his path and no lattice in his environment. Nothing is
/// fetched: the packages that the projects name are those of the examples.
async fn run(folder: &Path, program: &str, arguments: &[&str]) -> Result<String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths(std::iter::once(guest::built()?).chain(std::env::split_paths(&path)))?;
    let mut command = Command::new(program);
    command.args(arguments).current_dir(folder).env("PATH", &path);
    command.env("CARGO_TARGET_DIR", guest::target()?).env("CARGO_NET_OFFLINE", "true");
    for variable in ["MESH_SERVER", "MESH_KEY", "MESH_LATTICE", "MESH_CONTEXT", "MESH_ROOT", "MAKEFLAGS", "MAKELEVEL"] {
        command.env_remove(variable);
    }
    let output = tokio::time::timeout(WITHIN, command.stdin(Stdio::null()).kill_on_drop(true).output());
    let output = output.await.with_context(|| format!("{program} {arguments:?} does not end"))??;
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.success(), "{program} {arguments:?} ended with {}\n{out}\n{err}", output.status);
    Ok(out.into_owned())
}

#[tokio::test]
async fn each_template_passes_its_own_tests_in_a_lattice_of_its_own() -> Result<()> {
    guest::unsigned("hello")?;
    for (kind, template, name, said) in [
        ("actor", "http", "pay-now", "meshctl call pay-now http GET /Ada: Hello, Ada."),
        ("actor", "keyvalue", "count", "meshctl call count http GET /orders: 2"),
        ("actor", "messaging", "told", ": ok"),
        ("actor", "custom", "greet_all", r#": ok("Hello, Countess Ada.")"#),
        ("provider", "keyvalue", "buckets", r#": ok((2, ["a"]))"#),
        ("app", "custom", "shop", "meshctl call shop-front http GET /Countess/Ada: Hello, Countess Ada."),
    ] {
        let project = Project::new(kind, name, template).await?;
        let out = project.run("make", &["test"]).await?;
        ensure!(out.contains("test result: ok. 1 passed"), "{kind} {template} has no tests of its own: {out}");
        ensure!(out.lines().any(|line| line.ends_with(said)), "{kind} {template} does not say {said:?}: {out}");
        ensure!(!out.contains("warning"), "{kind} {template}: {out}");
    }
    Ok(())
}

#[tokio::test]
async fn a_test_of_a_template_fails_where_its_actor_is_broken() -> Result<()> {
    guest::unsigned("hello")?;
    let project = Project::new("actor", "broken", "http").await?;
    project.replace("src/lib.rs", "respond(out, 200, &greeting(&path))", "respond(out, 200, &path)")?;
    let failed = project.run("make", &["test"]).await.err().context("its test passes")?;
    ensure!(format!("{failed:#}").contains(r#"said "/Ada", not "Hello, Ada.""#), "{failed:#}");
    Ok(())
}

#[tokio::test]
async fn one_command_runs_an_actor_and_the_same_one_runs_it_changed() -> Result<()> {
    guest::unsigned("hello")?;
    let project = Project::new("actor", "first-one", "http").await?;
    let address = free_address()?;
    project.replace("mesh.yaml", "127.0.0.1:8080", &address.to_string())?;
    project.run("meshctl", &["up", "--detach", "--port", "0"]).await?;
    project.run("make", &[]).await?;
    assert_eq!(http::get(address, "/Ada").await?.text(), "Hello, Ada.\n");
    let first = project.digest().await?;
    project.run("make", &[]).await?;
    assert_eq!(project.digest().await?, first, "nothing was changed, and nothing rolls out");
    project.replace("src/lib.rs", "Hello, {name}.", "Good day, {name}.")?;
    project.run("make", &[]).await?;
    assert_ne!(project.digest().await?, first);
    eventually("the changed actor answers", READY_WITHIN, || async {
        let said = http::get(address, "/Ada").await?.text();
        ensure!(said == "Good day, Ada.\n", "{said}");
        Ok(Some(()))
    })
    .await?;
    Ok(())
}

#[tokio::test]
async fn the_messaging_template_answers_whoever_asks_over_nats() -> Result<()> {
    guest::unsigned("hello")?;
    let project = Project::new("actor", "words", "messaging").await?;
    project.run("meshctl", &["up", "--detach", "--port", "0"]).await?;
    project.run("make", &[]).await?;
    let record: Value = serde_json::from_slice(&std::fs::read(project.dir().join(".mesh/lattice.json"))?)?;
    let server = record.get("server").and_then(Value::as_str).context("lattice.json has no server")?;
    let nats = async_nats::connect(server).await?;
    let ask = || nats.request("words.ask", "three little words".into());
    let (answer, _) = eventually("somebody answers", READY_WITHIN, || async { Ok(ask().await.ok()) }).await?;
    assert_eq!(&answer.payload[..], b"3 words");
    Ok(())
}

//! A development lattice of its own for one scenario: the built `meshctl up` in the foreground, driven through
//! `meshctl` as a person would, gone with the test however that ends.

use std::{
    ffi::OsStr,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use mesh_lattice::id::OperatorId;
use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::{
    guest, http,
    process::{runs, signal},
    wait::eventually,
};

mod ask;
mod joined;
mod ran;
mod server;

pub use ask::Store;
pub use joined::Joined;
pub use ran::Ran;
pub use server::Server;

/// How long a lattice, a host or an actor may take until it is ready on a machine that does much else. A speed is not
/// what this asserts.
pub const READY_WITHIN: Duration = Duration::from_secs(60);

/// What a lattice is to be like.
#[derive(Debug, Default)]
pub struct Builder {
    hosts: usize,
    labels: Vec<String>,
}

/// A lattice that is up.
#[derive(Debug)]
pub struct Lattice {
    dir: TempDir,
    ups: Vec<std::process::Child>,
}

impl Builder {
    /// On this many hosts.
    #[must_use]
    pub fn hosts(mut self, hosts: usize) -> Self {
        self.hosts = hosts;
        self
    }

    /// Whose hosts carry this label.
    #[must_use]
    pub fn label(mut self, label: &str) -> Self {
        self.labels.push(label.to_owned());
        self
    }

    /// Brings it up.
    ///
    /// # Errors
    ///
    /// Where it does not become ready.
    pub async fn start(self) -> Result<Lattice> {
        let mut lattice = Lattice { dir: TempDir::with_prefix("mesh-e2e-")?, ups: Vec::new() };
        let labels: Vec<_> = self.labels.iter().flat_map(|label| ["--label", label.as_str()]).collect();
        lattice.up_with(self.hosts.max(1), &labels).await?;
        Ok(lattice)
    }
}

impl Lattice {
    /// One host, unless more is said.
    #[must_use]
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Where its state lives.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// A file of this test, gone with it.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.dir().join(name)
    }

    /// Starts what is missing of this many hosts and waits until all are ready.
    ///
    /// # Errors
    ///
    /// Where they do not become ready.
    pub async fn up(&mut self, hosts: usize) -> Result<()> {
        self.up_with(hosts, &[]).await
    }

    async fn up_with(&mut self, hosts: usize, more: &[&str]) -> Result<()> {
        let meshctl = guest::program("meshctl")?;
        guest::program("meshd")?;
        let number = self.ups.len();
        let (said, talk) = (self.file(&format!("up-{number}.out")), self.file(&format!("up-{number}.err")));
        // Held by this thread: however the test ends, `up` is killed with it, and what `up` started with that.
        let mut up = Command::new(&meshctl);
        up.args(["hold", "--parent", &std::process::id().to_string(), "--"]).arg(&meshctl);
        up.args(["up", "--hosts", &hosts.to_string(), "--dir"]).arg(self.dir()).args(more);
        if number == 0 {
            up.args(["--port", "0"]);
        }
        let up = up
            .env_remove("MESH_SERVER")
            .env_remove("MESH_LATTICE")
            .env_remove("MESH_CONTEXT")
            .stdin(Stdio::null())
            .stdout(fs::File::create(&said)?)
            .stderr(fs::File::create(&talk)?)
            .spawn()?;
        self.ups.push(up);
        eventually("`meshctl up` says that it is ready", READY_WITHIN, || {
            let ended = self.ups.last_mut().and_then(|up| up.try_wait().ok().flatten());
            let ready = fs::read_to_string(&said).is_ok_and(|text| !text.trim().is_empty());
            let talk = &talk;
            async move {
                match ended {
                    _ if ready => Ok(Some(())),
                    Some(status) => bail!("it ended with {status}: {}", fs::read_to_string(talk)?),
                    None => Ok(None),
                }
            }
        })
        .await
        .with_context(|| self.logs())?;
        Ok(())
    }

    /// What it says about itself to programs.
    ///
    /// # Errors
    ///
    /// Where that cannot be read.
    pub fn record(&self) -> Result<Value> {
        Ok(serde_json::from_slice(&fs::read(self.file("lattice.json"))?)?)
    }

    /// A text of its record.
    ///
    /// # Errors
    ///
    /// Where there is none.
    pub fn says(&self, field: &str) -> Result<String> {
        Ok(self
            .record()?
            .get(field)
            .and_then(Value::as_str)
            .with_context(|| format!("lattice.json has no {field}"))?
            .to_owned())
    }

    /// The root that its hosts trust.
    ///
    /// # Errors
    ///
    /// Where that cannot be read.
    pub fn root(&self) -> Result<OperatorId> {
        let file = fs::read_to_string(self.file("trust.toml"))?;
        Ok(file.split('"').nth(1).context("trust.toml names no root")?.parse()?)
    }

    /// The process of a host, counted from 0.
    ///
    /// # Errors
    ///
    /// Where there is none.
    pub fn host_pid(&self, index: usize) -> Result<i32> {
        let record = self.record()?;
        let pid = record.pointer(&format!("/hosts/{index}/pid")).and_then(Value::as_i64);
        Ok(pid.with_context(|| format!("host {index} has no pid"))?.try_into()?)
    }

    /// The key of a host, counted from 0.
    ///
    /// # Errors
    ///
    /// Where there is none.
    pub fn host_id(&self, index: usize) -> Result<String> {
        let record = self.record()?;
        let id = record.pointer(&format!("/hosts/{index}/id")).and_then(Value::as_str);
        Ok(id.with_context(|| format!("host {index} has no id"))?.to_owned())
    }

    /// Where a host, counted from 0, tells how it is.
    ///
    /// # Errors
    ///
    /// Where there is none.
    pub fn admin(&self, index: usize) -> Result<SocketAddr> {
        let record = self.record()?;
        let admin = record.pointer(&format!("/hosts/{index}/admin")).and_then(Value::as_str);
        let admin = admin.with_context(|| format!("host {index} has no admin port"))?;
        Ok(admin.trim_start_matches("http://").parse()?)
    }

    /// The process of nats-server.
    ///
    /// # Errors
    ///
    /// Where there is none.
    pub fn nats_pid(&self) -> Result<i32> {
        Ok(self.record()?.get("nats_pid").and_then(Value::as_i64).context("no nats_pid")?.try_into()?)
    }

    /// Kills a process at once and waits until it is gone.
    ///
    /// # Errors
    ///
    /// Where it is not there, or does not go.
    pub async fn end(&self, pid: i32, with: Signal) -> Result<Duration> {
        signal(pid, with)?;
        let gone = || async move { Ok((!runs(pid)).then_some(())) };
        let ((), after) = eventually("the process is gone", READY_WITHIN, gone).await.with_context(|| self.logs())?;
        Ok(after)
    }

    /// Runs `meshctl` against it.
    ///
    /// # Errors
    ///
    /// Where it cannot be run at all; how it ended is in what is returned.
    pub async fn meshctl<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Result<Ran> {
        let mut command = tokio::process::Command::new(guest::program("meshctl")?);
        let context =
            [("MESH_SERVER", "server"), ("MESH_KEY", "key"), ("MESH_LATTICE", "lattice"), ("MESH_ROOT", "root")];
        for (variable, field) in context {
            command.env(variable, self.says(field)?);
        }
        command.args(arguments).stdin(Stdio::null()).kill_on_drop(true);
        ran::run(command).await
    }

    /// Runs `meshctl` and expects it to succeed; returns what it printed.
    ///
    /// # Errors
    ///
    /// Where it fails.
    pub async fn ok<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Result<String> {
        let ran = self.meshctl(arguments).await?;
        ensure!(ran.code == 0, "{ran}\n{}", self.logs());
        Ok(ran.stdout)
    }

    /// A signed copy of a guest.
    ///
    /// # Errors
    ///
    /// Where it is not built or cannot be signed.
    pub async fn signed(&self, name: &str) -> Result<PathBuf> {
        let file = guest::copy(name, self.dir())?;
        self.sign(&file, name).await?;
        Ok(file)
    }

    /// Signs a file in place with the lattice's issuer.
    ///
    /// # Errors
    ///
    /// Where it cannot be signed.
    pub async fn sign(&self, file: &Path, name: &str) -> Result<()> {
        let issuer = self.says("issuer")?;
        let arguments: [&OsStr; 7] = [
            "claims".as_ref(),
            "sign".as_ref(),
            file.as_ref(),
            "--issuer".as_ref(),
            issuer.as_ref(),
            "--name".as_ref(),
            name.as_ref(),
        ];
        self.ok(arguments).await?;
        Ok(())
    }

    /// What nats-server counted, for example `in_msgs`.
    ///
    /// # Errors
    ///
    /// Where it does not say.
    pub async fn server_counter(&self, counter: &str) -> Result<u64> {
        let monitor = self.says("monitor")?;
        let address: SocketAddr = monitor.trim_start_matches("http://").parse()?;
        let varz: Value = serde_json::from_slice(&http::get(address, "/varz").await?.body)?;
        varz.get(counter).and_then(Value::as_u64).with_context(|| format!("/varz has no {counter}"))
    }

    /// The ends of all its logs, for whoever reads a failure.
    #[must_use]
    pub fn logs(&self) -> String {
        let mut files: Vec<_> = fs::read_dir(self.file("logs")).into_iter().flatten().flatten().collect();
        files.sort_by_key(std::fs::DirEntry::file_name);
        let mut all = String::new();
        for file in files {
            let text = fs::read(file.path()).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
            let text = text.unwrap_or_default();
            let lines: Vec<_> = text.lines().rev().take(25).collect();
            let lines: Vec<_> = lines.into_iter().rev().collect();
            all += &format!("--- {}\n{}\n", file.file_name().to_string_lossy(), lines.join("\n"));
        }
        all
    }
}

impl Drop for Lattice {
    fn drop(&mut self) {
        for up in &mut self.ups {
            // Killing `up` kills what it started; the folder goes with the test.
            let _ = up.kill();
            let _ = up.wait();
        }
    }
}

/// A free address below those that the system gives to outgoing connections.
///
/// # Errors
///
/// Where there is none.
pub fn free_address() -> Result<SocketAddr> {
    for _ in 0..200 {
        let port = 10_240 + u16::try_from(mesh_lattice::CallId::new().0.as_u128() % 20_000)?;
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        if std::net::TcpListener::bind(address).is_ok() {
            return Ok(address);
        }
    }
    bail!("no free port")
}

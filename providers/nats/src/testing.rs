//! A real nats-server on a random port, which dies with the test: for the tests of providers.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::missing_panics_doc,
    clippy::must_use_candidate,
    reason = "a test fails by panicking"
)]

use std::{
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use async_nats::jetstream::{self, kv};

/// A server.
#[derive(Debug)]
pub struct NatsServer {
    child: Child,
    port: u16,
    dir: tempfile::TempDir,
}

impl NatsServer {
    /// One that lets everybody in.
    pub fn start() -> Self {
        Self::with("")
    }

    /// One that lets in this user alone.
    pub fn start_for(user: &str) -> Self {
        Self::with(&format!("authorization {{ users: [ {{ nkey: {user} }} ] }}"))
    }

    fn with(more: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let config = format!(
            "listen: \"127.0.0.1:-1\"\nports_file_dir: \"{0}\"\njetstream {{ store_dir: \"{0}/js\" }}\n{more}\n",
            dir.path().display()
        );
        std::fs::write(dir.path().join("nats.conf"), config).unwrap();
        let child = spawn(dir.path(), &[]);
        let ports = dir.path().join(format!("nats-server_{}.ports", child.id()));
        let port = wait(|| {
            let text = std::fs::read_to_string(&ports).ok()?;
            text.split("127.0.0.1:").nth(1)?.split('"').next()?.parse().ok()
        });
        Self { child, port, dir }
    }

    /// Where it keeps its files.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// Kills it.
    pub fn stop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// A plain client of it.
    pub async fn client(&self) -> async_nats::Client {
        async_nats::connect(self.url()).await.unwrap()
    }

    /// The same server again, at the same port, with what it had stored.
    pub fn restart(&mut self) {
        self.child = spawn(self.dir.path(), &["-p", &self.port.to_string()]);
    }

    async fn jetstream(&self) -> jetstream::Context {
        jetstream::new(self.client().await)
    }

    /// A bucket that is there.
    pub async fn bucket(&self, name: &str) -> kv::Store {
        self.jetstream().await.get_key_value(name).await.unwrap()
    }

    /// A new one.
    pub async fn make_bucket(&self, name: &str) -> kv::Store {
        self.make_bucket_with_history(name, 1).await
    }

    /// A new one that keeps so many values of a key.
    pub async fn make_bucket_with_history(&self, name: &str, history: i64) -> kv::Store {
        let config = kv::Config { bucket: name.into(), history, ..Default::default() };
        self.jetstream().await.create_key_value(config).await.unwrap()
    }
}

impl Drop for NatsServer {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A test that is killed takes its server along.
fn spawn(dir: &Path, more: &[&str]) -> Child {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).arg(binary()).arg("-c").arg(dir.join("nats.conf")).args(more);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
    command.spawn().unwrap()
}

fn binary() -> PathBuf {
    let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.tools/bin/nats-server");
    if tools.exists() { tools } else { "nats-server".into() }
}

fn wait<T>(ready: impl Fn() -> Option<T>) -> T {
    let until = std::time::Instant::now() + std::time::Duration::from_secs(10);
    loop {
        if let Some(value) = ready() {
            return value;
        }
        assert!(std::time::Instant::now() < until, "nats-server did not start");
        std::thread::park_timeout(std::time::Duration::from_millis(10));
    }
}

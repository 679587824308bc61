//! A docker-registry on a free port, which dies with the test.

use std::{
    net::SocketAddr,
    os::unix::process::CommandExt as _,
    process::{Child, Command, Stdio},
};

use anyhow::{Context as _, Result};
use tempfile::TempDir;
use tokio::net::TcpStream;

use crate::{
    lattice::{READY_WITHIN, free_address},
    wait::eventually,
};

/// One registry; its images are gone with it.
#[derive(Debug)]
pub struct Registry {
    child: Child,
    address: SocketAddr,
    _dir: TempDir,
}

impl Registry {
    /// Starts one and waits until it listens.
    ///
    /// # Errors
    ///
    /// Where it does not.
    pub async fn start() -> Result<Self> {
        let dir = TempDir::with_prefix("mesh-registry-")?;
        let address = free_address()?;
        let config = dir.path().join("config.yml");
        let images = dir.path().join("images");
        let text = format!(
            "version: 0.1\nlog: {{ level: error, accesslog: {{ disabled: true }} }}\n\
             storage: {{ filesystem: {{ rootdirectory: {images:?} }} }}\nhttp: {{ addr: \"{address}\" }}\n"
        );
        std::fs::write(&config, text)?;
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--", "docker-registry", "serve"]).arg(config);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        let child = command.spawn().context("docker-registry cannot be started: `make tools` brings it")?;
        let registry = Self { child, address, _dir: dir };
        eventually("docker-registry listens", READY_WITHIN, || async {
            Ok(TcpStream::connect(address).await.ok().map(drop))
        })
        .await?;
        Ok(registry)
    }

    /// An image in it.
    #[must_use]
    pub fn image(&self, name: &str) -> String {
        format!("oci://{}/{name}", self.address)
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

//! A redis-server on a free port, which dies with the test.

use std::{
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

/// One server; its data is gone with it.
#[derive(Debug)]
pub struct Redis {
    child: Child,
    port: u16,
    _dir: TempDir,
}

impl Redis {
    /// Starts one and waits until it listens.
    ///
    /// # Errors
    ///
    /// Where it does not.
    pub async fn start() -> Result<Self> {
        let dir = TempDir::with_prefix("mesh-redis-")?;
        let address = free_address()?;
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--", "redis-server", "--bind", "127.0.0.1", "--save", "", "--port"]);
        command.arg(address.port().to_string()).arg("--dir").arg(dir.path());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        let child = command.spawn().context("redis-server cannot be started: `make tools` brings it")?;
        let redis = Self { child, port: address.port(), _dir: dir };
        eventually("redis-server listens", READY_WITHIN, || async {
            Ok(TcpStream::connect(address).await.ok().map(drop))
        })
        .await?;
        Ok(redis)
    }

    /// Where it listens, on loopback.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

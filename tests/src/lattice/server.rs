//! The nats-server of a lattice, killed and started again as fast as a fault has it: `meshctl up` would wait for all
//! hosts as well.

use std::{
    fs,
    net::SocketAddr,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result};
use rustix::process::Signal;
use tokio::net::TcpStream;

use super::{Lattice, READY_WITHIN};
use crate::{
    guest,
    process::{runs, signal},
    wait::eventually,
};

/// One nats-server, whoever started it.
#[derive(Debug)]
pub struct Server {
    program: PathBuf,
    config: PathBuf,
    log: PathBuf,
    address: SocketAddr,
    pid: i32,
    child: Option<Child>,
}

impl Lattice {
    /// Its nats-server, to be killed and started.
    ///
    /// # Errors
    ///
    /// Where it does not run.
    pub fn server(&self) -> Result<Server> {
        let pid = self.nats_pid()?;
        Ok(Server {
            program: fs::read_link(format!("/proc/{pid}/exe")).context("nats-server does not run")?,
            config: self.file("nats.conf"),
            log: self.file("logs").join("nats-server-again.log"),
            address: self.server_address()?,
            pid,
            child: None,
        })
    }

    /// Where its nats-server listens.
    ///
    /// # Errors
    ///
    /// Where its record does not say.
    pub fn server_address(&self) -> Result<SocketAddr> {
        Ok(self.says("server")?.trim_start_matches("nats://").parse()?)
    }
}

impl Server {
    /// Kills it at once and waits until it is gone.
    ///
    /// # Errors
    ///
    /// Where it does not run.
    pub async fn kill(&mut self) -> Result<()> {
        signal(self.pid, Signal::KILL)?;
        if let Some(mut child) = self.child.take() {
            child.wait()?;
        }
        let pid = self.pid;
        eventually("nats-server is gone", READY_WITHIN, || async move { Ok((!runs(pid)).then_some(())) }).await?;
        Ok(())
    }

    /// Starts it with the state and at the address of before, and returns when it listens.
    ///
    /// # Errors
    ///
    /// Where it does not start.
    pub async fn start(&mut self) -> Result<Duration> {
        let log = fs::OpenOptions::new().create(true).append(true).open(&self.log)?;
        let mut command = Command::new(guest::program("meshctl")?);
        command.args(["hold", "--parent", &std::process::id().to_string(), "--"]).arg(&self.program);
        command.arg("--config").arg(&self.config);
        let child = command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn()?;
        self.pid = i32::try_from(child.id())?;
        self.child = Some(child);
        let address = self.address;
        let listens = || async move { Ok(TcpStream::connect(address).await.ok().map(drop)) };
        let ((), after) = eventually("nats-server listens again", READY_WITHIN, listens).await?;
        Ok(after)
    }

    /// Its process.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.pid
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

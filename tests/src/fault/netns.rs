//! A network namespace of a host's own, joined to ours by a pair of virtual links that can be cut.
//!
//! ```text
//! our namespace                          the host's
//! proxy on 198.18.x.1 ── mr<pid>o<n> ══ mr<pid>i<n> ── meshd on 198.18.x.2
//! ```
//!
//! Names carry the process that made them. What a killed one left behind is removed by the next that comes; all else
//! goes with the [`Namespace`], also where a scenario fails or is interrupted.

use std::{
    ffi::OsStr,
    net::Ipv4Addr,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};

use crate::process::runs;

const PREFIX: &str = "mesh-rig-";

/// One namespace with its link.
#[derive(Debug)]
pub struct Namespace {
    name: String,
    outer: String,
    inner: String,
    /// A pair of addresses of the range for tests of networks, 198.18.0.0/15.
    pair: u32,
}

impl Namespace {
    /// Makes one; `number` tells those of one process apart.
    ///
    /// # Errors
    ///
    /// Without the rights of root, or where the kernel refuses.
    pub fn make(number: u8) -> Result<Self> {
        ensure!(
            rustix::process::geteuid().is_root(),
            "network namespaces need root: run this as root, or a scenario that needs none"
        );
        remove_stale()?;
        let pid = std::process::id();
        let pair = pid.wrapping_mul(8).wrapping_add(u32::from(number)) % (1 << 15);
        let made = Self {
            name: format!("{PREFIX}{pid}-{number}"),
            outer: format!("mr{pid}o{number}"),
            inner: format!("mr{pid}i{number}"),
            pair,
        };
        made.build()?;
        Ok(made)
    }

    fn build(&self) -> Result<()> {
        let (name, outer, inner) = (self.name.as_str(), self.outer.as_str(), self.inner.as_str());
        let (outside, inside) = (format!("{}/30", self.outside()), format!("{}/30", self.inside()));
        ip(["netns", "add", name])?;
        ip(["link", "add", outer, "type", "veth", "peer", "name", inner])?;
        ip(["link", "set", inner, "netns", name])?;
        ip(["addr", "add", &outside, "dev", outer])?;
        ip(["link", "set", outer, "up"])?;
        ip(["-n", name, "addr", "add", &inside, "dev", inner])?;
        ip(["-n", name, "link", "set", "lo", "up"])?;
        ip(["-n", name, "link", "set", inner, "up"])
    }

    /// The address of our end.
    #[must_use]
    pub fn outside(&self) -> Ipv4Addr {
        self.address(1)
    }

    /// The address of the host's end.
    #[must_use]
    pub fn inside(&self) -> Ipv4Addr {
        self.address(2)
    }

    fn address(&self, end: u32) -> Ipv4Addr {
        Ipv4Addr::from_bits(Ipv4Addr::new(198, 18, 0, 0).to_bits() + self.pair * 4 + end)
    }

    /// A command that runs inside.
    pub fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name]).arg(program.as_ref());
        command
    }

    /// Takes the host's end of the link down: nothing gets through any more, and nobody is told.
    ///
    /// # Errors
    ///
    /// Where the kernel refuses.
    pub fn cut(&self) -> Result<()> {
        ip(["-n", &self.name, "link", "set", &self.inner, "down"])
    }

    /// Takes the link up again.
    ///
    /// # Errors
    ///
    /// Where the kernel refuses.
    pub fn heal(&self) -> Result<()> {
        ip(["-n", &self.name, "link", "set", &self.inner, "up"])
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // The one link goes with the other, and either may not have come into being.
        let _ = ip(["link", "del", &self.outer]);
        let _ = ip(["netns", "del", &self.name]);
    }
}

/// Removes what processes left behind that are gone.
fn remove_stale() -> Result<()> {
    let output = Command::new("ip").args(["netns", "list"]).stdin(Stdio::null()).output();
    let output = output.context("`ip` of iproute2 cannot be run")?;
    let text = String::from_utf8_lossy(&output.stdout);
    for name in text.lines().filter_map(|line| line.split_ascii_whitespace().next()) {
        let owner = name.strip_prefix(PREFIX).and_then(|rest| rest.split_once('-')?.0.parse().ok());
        if owner.is_some_and(|pid| !runs(pid)) {
            ip(["netns", "del", name])?;
        }
    }
    Ok(())
}

fn ip<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Result<()> {
    let mut command = Command::new("ip");
    command.args(arguments).stdin(Stdio::null());
    let output = command.output().context("`ip` of iproute2 cannot be run")?;
    ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(())
}

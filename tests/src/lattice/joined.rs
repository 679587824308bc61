//! A host that joins a lattice from elsewhere: with a key of its own, over an address of its own, in a network
//! namespace if need be.

use std::{
    fs,
    net::SocketAddr,
    process::{Child, Command, Stdio},
};

use anyhow::{Context as _, Result};

use super::{Lattice, READY_WITHIN, free_address};
use crate::{fault::Namespace, guest, wait::eventually};

/// Gone with its value.
#[derive(Debug)]
pub struct Joined {
    /// Its key.
    pub id: String,
    /// Where it tells how it is.
    pub admin: SocketAddr,
    child: Child,
}

impl Joined {
    /// Its process.
    ///
    /// # Errors
    ///
    /// Never on this system: ids of processes are positive numbers.
    pub fn pid(&self) -> Result<i32> {
        Ok(i32::try_from(self.child.id())?)
    }
}

impl Lattice {
    /// Enrols a host of this name, starts it over this address of nats-server and waits until it is ready.
    ///
    /// # Errors
    ///
    /// Where it does not become ready.
    pub async fn join(&self, name: &str, server: SocketAddr, inside: Option<&Namespace>) -> Result<Joined> {
        let key = self.file(&format!("{name}.nk"));
        self.ok(["keys", "gen", "host", &key.to_string_lossy()]).await?;
        let seed = fs::read_to_string(&key)?;
        let id = mesh_claims::KeyPair::from_seed(seed.trim())?.host_id().context("not a host's key")?;
        self.ok(["trust", "add", "host", id.as_str()]).await?;
        let admin = match inside {
            Some(namespace) => SocketAddr::new(namespace.inside().into(), free_address()?.port()),
            None => free_address()?,
        };
        let meshctl = guest::program("meshctl")?;
        let mut command = inside.map_or_else(|| Command::new(&meshctl), |namespace| namespace.command(&meshctl));
        // Held by this thread, so that it goes with the scenario however that ends.
        command.args(["hold", "--parent", &std::process::id().to_string(), "--"]).arg(guest::program("meshd")?);
        command.args(["--server", &format!("nats://{server}"), "--lattice", &self.says("lattice")?, "--name", name]);
        command.arg("--dir").arg(self.file(name)).arg("--host-key").arg(&key);
        command.arg("--trust").arg(self.file("trust.toml")).args(["--admin", &admin.to_string()]);
        let log = fs::File::create(self.file("logs").join(format!("{name}.log")))?;
        let child = command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn()?;
        let joined = Joined { id: id.to_string(), admin, child };
        eventually(&format!("{name} is ready"), READY_WITHIN, || async {
            let host = self.get_one("hosts", &joined.id).await?;
            anyhow::ensure!(host.get("state").is_some_and(|state| state == "ready"), "{host}");
            Ok(Some(()))
        })
        .await
        .with_context(|| self.logs())?;
        Ok(joined)
    }
}

impl Drop for Joined {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

//! A host whose key the root has not named is seen, named untrusted, and never given work.

use std::{
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result};
use mesh_lattice::key::Key;
use mesh_tests::{
    guest,
    lattice::{Lattice, free_address},
    wait::eventually,
};
use mesh_transport::{ConnectConfig, Connections, State};

#[tokio::test]
async fn a_host_that_is_not_enrolled_never_gets_work_until_it_is() -> Result<()> {
    let lattice = Lattice::builder().start().await?;
    let key = lattice.file("rogue.nk");
    lattice.ok(["keys", "gen", "host", &key.to_string_lossy()]).await?;
    let seed = std::fs::read_to_string(&key)?;
    let rogue = mesh_claims::KeyPair::from_seed(seed.trim())?.host_id().context("not a host's key")?;
    let mut process = start(&lattice, &key)?;
    let seen = eventually("it is shown as untrusted", Duration::from_secs(20), || async {
        let host = lattice.get_one("hosts", rogue.as_str()).await?;
        anyhow::ensure!(host["state"] == "untrusted", "{host}");
        Ok(Some(()))
    })
    .await
    .with_context(|| lattice.logs());
    let done = match seen {
        Ok(((), after)) => {
            println!("shown as untrusted {after:?} after its start");
            judge(&lattice, &rogue).await
        }
        Err(error) => Err(error),
    };
    process.kill()?;
    process.wait()?;
    done
}

async fn judge(lattice: &Lattice, rogue: &mesh_lattice::HostId) -> Result<()> {
    let file = lattice.signed("hello").await?;
    lattice.ok(["start", "actor", &file.to_string_lossy(), "--name", "hello", "--replicas", "2"]).await?;
    lattice.until_ready("hello", 1).await?;
    let actor = lattice.get_one("actors", "hello").await?;
    let hosts = actor["hosts"].as_array().context("hosts")?;
    assert!(hosts.iter().all(|host| host["id"] != rogue.as_str()), "{actor}");
    let connections =
        Connections::connect(ConnectConfig::new(lattice.says("server")?, lattice.says("lattice")?.parse()?)).await?;
    let state = State::open(&connections, &lattice.root()?).await?;
    assert!(state.entry(&Key::Assign(rogue.clone())).await?.is_none(), "it was assigned something");

    lattice.ok(["trust", "add", "host", rogue.as_str()]).await?;
    lattice.until_ready("hello", 2).await?;
    Ok(())
}

fn start(lattice: &Lattice, key: &std::path::Path) -> Result<std::process::Child> {
    let log = std::fs::File::create(lattice.file("logs").join("rogue.log"))?;
    // Held by this thread, so that it goes with the test.
    let mut command = Command::new(guest::program("meshctl")?);
    command.args(["hold", "--parent", &std::process::id().to_string(), "--"]);
    command.arg(guest::program("meshd")?);
    command.args(["--server", &lattice.says("server")?, "--lattice", &lattice.says("lattice")?, "--name", "rogue"]);
    command.arg("--dir").arg(lattice.file("rogue")).arg("--host-key").arg(key);
    command.arg("--trust").arg(lattice.file("trust.toml")).args(["--admin", &free_address()?.to_string()]);
    Ok(command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn()?)
}

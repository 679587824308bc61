//! A development lattice on this machine: a nats-server and hosts as child processes. Called by the commands `up` and
//! `down` alone.
//!
//! | part | owns |
//! |---|---|
//! | [`record`] | the folder: where each file lies, and `lattice.json`, which says to programs what runs |
//! | [`keys`] | the seeds, made on first use |
//! | [`process`] | one process that we started: known by its id and its start time, stopped through a pidfd |
//! | [`hold`] | the moment between fork and exec: dies with its parent, or outlives the terminal |
//! | [`server`] | finding, configuring and starting nats-server |
//! | [`hosts`] | finding and starting `meshd` |
//! | [`enrol`] | the root's first statements |
//!
//! What is started stays as it is: nothing here starts again what died. [`up`](Lattice::up) starts what is missing,
//! so running it again is how a person does that.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use mesh_lattice::{
    HostId, LatticeName,
    control::{HostState, Status, StatusRequest, operation},
    name::{LabelKey, LabelValue},
};
use mesh_transport::{ConnectConfig, Connections};
use tokio::time::sleep;

use self::{
    keys::Keys,
    process::{Life, Process},
    record::{Folder, HostRecord, Record},
};
use crate::exit::{Exit, Failure};

mod enrol;
pub(crate) mod hold;
mod hosts;
mod keys;
pub(crate) mod process;
pub(crate) mod record;
mod server;

/// How long everything together may take to become ready.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// Where its state lives where nothing is said.
const USUAL_FOLDER: &str = ".mesh";
/// Between two looks at something that has no event to wait for.
const LOOK_EVERY: Duration = Duration::from_millis(25);
/// What a host gets to finish what it has.
const HOST_STOPS_WITHIN: Duration = Duration::from_secs(20);
/// What nats-server gets to write down what it has.
const SERVER_STOPS_WITHIN: Duration = Duration::from_secs(5);

/// What a person asked for.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    /// Where its state lives.
    pub(crate) dir: PathBuf,
    /// Its name; the one of before, or the usual one, where nothing is said.
    pub(crate) lattice: Option<LatticeName>,
    /// How many hosts; as many as before, or one, where nothing is said.
    pub(crate) hosts: Option<usize>,
    /// The port of nats-server: 0 for a free one; the one of before where nothing is said.
    pub(crate) port: Option<u16>,
    /// The labels of the hosts that are started now.
    pub(crate) labels: Vec<(LabelKey, LabelValue)>,
    /// Whether it outlives this process.
    pub(crate) life: Life,
}

/// A lattice that is up, and the processes of it that this `up` started.
#[derive(Debug)]
pub(crate) struct Lattice {
    /// What runs.
    pub(crate) record: Record,
    folder: Folder,
    server: Option<Process>,
    hosts: Vec<(String, Process)>,
}

impl Lattice {
    /// Starts what is missing and waits until every host is ready. Where that fails, what was started is stopped.
    pub(crate) async fn up(wanted: Wanted) -> anyhow::Result<Self> {
        let folder = Folder::make(&wanted.dir)?;
        let _lock = folder.lock()?;
        let keys = Keys::make(&folder)?;
        let name = wanted.lattice.clone().unwrap_or_default();
        let mut record = folder.read()?.unwrap_or_else(|| Record::new(&folder, name));
        if let Some(other) = wanted.lattice.iter().find(|name| **name != record.lattice) {
            let dir = folder.root().display();
            bail!("{dir} holds the lattice {}, not {other}: name another folder with --dir", record.lattice);
        }
        record.forget_the_dead();
        refuse_other_port(&record, wanted.port)?;
        let mut lattice = Self { record, folder, server: None, hosts: Vec::new() };
        match lattice.start_what_is_missing(&wanted, &keys).await {
            Ok(()) => Ok(lattice),
            Err(error) => {
                lattice.stop_own().await;
                Err(error)
            }
        }
    }

    async fn start_what_is_missing(&mut self, wanted: &Wanted, keys: &Keys) -> anyhow::Result<()> {
        let count = wanted.hosts.unwrap_or_else(|| self.record.hosts.len().max(1));
        let missing = self.record.missing_hosts(count);
        if !missing.is_empty() {
            hosts::find()?;
        }
        if self.record.nats().is_none() {
            let started = server::start(&self.folder, &self.record, wanted.port, wanted.life).await?;
            self.record.put_server(&started);
            self.server = Some(started.process);
            self.folder.write(&self.record)?;
        }
        let connections = Connections::connect(ConnectConfig::new(&self.record.server, self.record.lattice.clone()))
            .await
            .with_context(|| {
                format!("nats-server runs but cannot be used: see {}", self.folder.server_log().display())
            })?;
        let mut enrolled = Vec::new();
        for name in self.record.host_names(count) {
            enrolled.push(Keys::host(&self.folder, &name)?);
        }
        enrol::state(&connections, keys, &enrolled).await?;
        self.folder.write_trust(keys)?;
        for name in missing {
            let (host, process) = hosts::start(&self.folder, &self.record, &name, wanted)?;
            self.record.put_host(host);
            self.hosts.push((name, process));
            self.folder.write(&self.record)?;
        }
        let ready = self.wait_until_ready(&connections).await;
        connections.close(Duration::from_secs(1)).await;
        ready
    }

    /// Waits until each running host is ready, as the lattice sees it and as it says itself, and one of them leads.
    async fn wait_until_ready(&self, connections: &Connections) -> anyhow::Result<()> {
        let wanted: Vec<HostId> = self.record.running().map(|host| host.id.clone()).collect();
        let start = Instant::now();
        loop {
            for (name, process) in &self.hosts {
                if !process.is_alive() {
                    bail!("{name} ended while it started:\n{}", self.folder.tail_of_host_log(name));
                }
            }
            let status = mesh_transport::control::request::<_, Status>(
                connections,
                operation::STATUS,
                &StatusRequest::default(),
                Duration::from_secs(1),
            )
            .await;
            match status {
                Ok(status) if wanted.iter().any(|id| is_revoked(&status, id)) => {
                    return Err(self.revoked(&status).into());
                }
                Ok(status) if all_ready(&status, &wanted) && self.all_say_ready().await => return Ok(()),
                Ok(_) | Err(_) if start.elapsed() < READY_WITHIN => sleep(LOOK_EVERY).await,
                Ok(status) => return Err(self.not_ready(&status).into()),
                Err(error) => {
                    let logs = self.folder.logs();
                    let message = format!("no host answers within {READY_WITHIN:?} ({error})");
                    return Err(Failure::new(Exit::TimedOut, message).hint(format!("see {}", logs.display())).into());
                }
            }
        }
    }

    /// What stands against it, each host by its name.
    fn not_ready(&self, status: &Status) -> Failure {
        let state = |host: &HostRecord| {
            let seen = status.hosts.iter().find(|seen| seen.id == host.id);
            seen.map_or_else(
                || format!("{} is not heard of", host.name),
                |seen| format!("{} is {}", host.name, state_word(seen.state)),
            )
        };
        let leader = if status.hosts.iter().any(|host| host.leader) { "" } else { "; nobody leads" };
        let states = self.record.running().map(state).collect::<Vec<_>>().join(", ");
        Failure::new(Exit::TimedOut, format!("not ready within {READY_WITHIN:?}: {states}{leader}"))
            .hint(format!("`meshctl doctor` looks what is wrong; the logs are in {}", self.folder.logs().display()))
    }

    /// A host that is revoked never becomes ready, however long one waits.
    fn revoked(&self, status: &Status) -> Failure {
        let revoked: Vec<&HostRecord> = self.record.running().filter(|host| is_revoked(status, &host.id)).collect();
        let names = revoked.iter().map(|host| format!("{} ({})", host.name, host.id)).collect::<Vec<_>>().join(", ");
        let back = revoked.iter().map(|host| format!("`meshctl trust remove revoked {}", host.id));
        let back: Vec<String> = back.map(|begin| format!("{begin} --key {}`", self.record.root.display())).collect();
        Failure::new(Exit::Refused, format!("revoked, and so never ready: {names}"))
            .hint(format!("{} takes that back", back.join(", ")))
    }

    async fn all_say_ready(&self) -> bool {
        let asked = self.record.running().map(hosts::says_ready);
        futures::future::join_all(asked).await.into_iter().all(|ready| ready)
    }

    /// The hosts that run although fewer are wanted: `up` starts what is missing and stops nothing.
    pub(crate) fn more_than(&self, wanted: usize) -> Vec<String> {
        let names = self.record.host_names(wanted);
        let more = self.record.running().filter(|host| !names.contains(&host.name));
        more.map(|host| host.name.clone()).collect()
    }

    /// The processes that this `up` started, to wait for.
    pub(crate) fn own(&self) -> Vec<(String, Process)> {
        let server = self.server.iter().map(|process| ("nats-server".to_owned(), process.clone()));
        self.hosts.iter().cloned().chain(server).collect()
    }

    /// Where the log of one of them is.
    pub(crate) fn log_of(&self, name: &str) -> PathBuf {
        if name == "nats-server" { self.folder.server_log() } else { self.folder.host_log(name) }
    }

    /// Stops what this `up` started: hosts first, so that they can say goodbye over NATS.
    pub(crate) async fn stop_own(&mut self) {
        stop_all(self.hosts.iter().map(|(_, process)| process), HOST_STOPS_WITHIN).await;
        stop_all(&self.server, SERVER_STOPS_WITHIN).await;
        // Where another `up` or `down` is at it, or nothing can be written, the next reader finds out who is dead.
        if let (Ok(_lock), Ok(Some(mut record))) = (self.folder.lock(), self.folder.read()) {
            record.forget_the_dead();
            let _ = self.folder.write(&record);
        }
    }

    /// The whole record as it stands on disk now.
    pub(crate) fn file(&self) -> PathBuf {
        self.folder.record()
    }
}

/// A server that runs stays where it is.
fn refuse_other_port(record: &Record, port: Option<u16>) -> Result<(), Failure> {
    let at = record.server.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
    match (record.nats(), port, at) {
        (Some(_), Some(port), Some(at)) if port != 0 && port != at => {
            Err(Failure::invalid(format!("nats-server runs already, at port {at}, not {port}"))
                .hint("`meshctl down` first, or leave --port out"))
        }
        _ => Ok(()),
    }
}

/// What `down` stopped.
#[derive(Debug, Default, serde::Serialize)]
pub(crate) struct Stopped {
    /// Names of hosts, and `nats-server`.
    pub(crate) processes: Vec<String>,
    /// Whether the folder is gone.
    pub(crate) purged: bool,
}

/// The folder of the nearest lattice, from the current one upward; where there is none, where one would be.
pub(crate) fn nearest() -> PathBuf {
    let usual = PathBuf::from(USUAL_FOLDER);
    let here = std::env::current_dir().unwrap_or_default();
    let found = here.ancestors().map(|folder| folder.join(USUAL_FOLDER)).find(|dir| Folder::find(dir).is_some());
    found.unwrap_or(usual)
}

/// Stops all of the lattice whose state lives in `dir`; `None` where none does.
pub(crate) async fn down(dir: &std::path::Path, purge: bool) -> anyhow::Result<Option<Stopped>> {
    let Some(folder) = Folder::find(dir) else { return Ok(None) };
    let mut stopped = Stopped::default();
    {
        let _lock = folder.lock()?;
        if let Some(mut record) = folder.read()? {
            let hosts: Vec<_> = record.running().map(|host| (host.name.clone(), host.process())).collect();
            let server = record.nats();
            stop_all(hosts.iter().filter_map(|(_, process)| process.as_ref()), HOST_STOPS_WITHIN).await;
            stop_all(&server, SERVER_STOPS_WITHIN).await;
            stopped.processes.extend(hosts.into_iter().map(|(name, _)| name));
            stopped.processes.extend(server.map(|_| "nats-server".to_owned()));
            record.forget_the_dead();
            folder.write(&record)?;
        }
    }
    if purge {
        folder.purge()?;
        stopped.purged = true;
    }
    Ok(Some(stopped))
}

async fn stop_all(processes: impl IntoIterator<Item = &Process>, within: Duration) {
    futures::future::join_all(processes.into_iter().map(|process| process.stop(within))).await;
}

fn all_ready(status: &Status, wanted: &[HostId]) -> bool {
    let ready = |id: &HostId| status.hosts.iter().any(|host| host.id == *id && host.state == HostState::Ready);
    wanted.iter().all(ready) && status.hosts.iter().any(|host| host.leader)
}

fn is_revoked(status: &Status, id: &HostId) -> bool {
    status.trust.iter().any(|view| view.kind == "revoked" && view.id == id.as_str())
}

fn state_word(state: HostState) -> &'static str {
    match state {
        HostState::Ready => "ready",
        HostState::Cordoned => "cordoned",
        HostState::Draining => "draining",
        HostState::Lost => "lost",
        HostState::Untrusted => "untrusted",
    }
}

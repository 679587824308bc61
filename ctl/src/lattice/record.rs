//! The folder of a development lattice, and `lattice.json` in it, which says to programs what runs and how to reach
//! it. `meshctl` itself looks for that file where it is told nothing.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use mesh_lattice::{HostId, LatticeName, name::Labels};
use serde::{Deserialize, Serialize};

use super::{
    keys::{Keys, private_folder},
    process::Process,
    server::Started,
};

/// The name of the file that programs read.
pub(crate) const FILE: &str = "lattice.json";

/// What runs, as `lattice.json` says it. A process id of `null` is one that does not run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Record {
    /// Where nats-server listens.
    pub(crate) server: String,
    /// Where it can be looked at.
    pub(crate) monitor: String,
    /// The lattice.
    pub(crate) lattice: LatticeName,
    /// The file with the credentials that it wants, where it wants any.
    pub(crate) creds: Option<PathBuf>,
    /// The seed file of the user who may change everything.
    pub(crate) key: PathBuf,
    /// The seed file of the root.
    pub(crate) root: PathBuf,
    /// The seed file of the issuer.
    pub(crate) issuer: PathBuf,
    /// The process of nats-server.
    pub(crate) nats_pid: Option<i32>,
    /// When it started, in clock ticks since the machine did: tells it from a later process of the same id.
    #[serde(default)]
    pub(crate) nats_started: Option<u64>,
    /// The hosts.
    pub(crate) hosts: Vec<HostRecord>,
}

/// One host.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct HostRecord {
    /// Its public key.
    pub(crate) id: HostId,
    /// Its name.
    pub(crate) name: String,
    /// Its process.
    pub(crate) pid: Option<i32>,
    /// Where its health and its figures are.
    pub(crate) admin: String,
    /// When its process started, in clock ticks since the machine did.
    #[serde(default)]
    pub(crate) started: Option<u64>,
    /// The labels that it was started with.
    #[serde(default)]
    pub(crate) labels: Labels,
}

impl HostRecord {
    /// Its process, where it runs.
    pub(crate) fn process(&self) -> Option<Process> {
        Process::known(self.pid?, self.started?)
    }
}

impl Record {
    pub(super) fn new(folder: &Folder, lattice: LatticeName) -> Self {
        Self {
            server: String::new(),
            monitor: String::new(),
            lattice,
            creds: None,
            key: folder.admin_key(),
            root: folder.root_key(),
            issuer: folder.issuer_key(),
            nats_pid: None,
            nats_started: None,
            hosts: Vec::new(),
        }
    }

    /// The process of nats-server, where it runs.
    pub(super) fn nats(&self) -> Option<Process> {
        Process::known(self.nats_pid?, self.nats_started?)
    }

    /// The hosts that run.
    pub(super) fn running(&self) -> impl Iterator<Item = &HostRecord> {
        self.hosts.iter().filter(|host| host.process().is_some())
    }

    /// The names of this many hosts.
    pub(super) fn host_names(&self, count: usize) -> Vec<String> {
        (1..=count).map(|number| format!("host-{number}")).collect()
    }

    /// Those of this many hosts that do not run.
    pub(super) fn missing_hosts(&self, count: usize) -> Vec<String> {
        let runs = |name: &String| self.running().any(|host| host.name == *name);
        self.host_names(count).into_iter().filter(|name| !runs(name)).collect()
    }

    /// Forgets the ids of processes that are gone, so that nobody takes a later process for one of them.
    pub(super) fn forget_the_dead(&mut self) {
        if self.nats().is_none() {
            (self.nats_pid, self.nats_started) = (None, None);
        }
        for host in &mut self.hosts {
            if host.process().is_none() {
                (host.pid, host.started) = (None, None);
            }
        }
    }

    pub(super) fn put_server(&mut self, started: &Started) {
        self.server = format!("nats://127.0.0.1:{}", started.port);
        self.monitor = format!("http://127.0.0.1:{}", started.monitor);
        self.nats_pid = Some(started.process.pid());
        self.nats_started = Some(started.process.started());
    }

    pub(super) fn put_host(&mut self, host: HostRecord) {
        self.hosts.retain(|old| old.name != host.name);
        self.hosts.push(host);
        self.hosts.sort_by_key(|host| (host.name.len(), host.name.clone()));
    }
}

/// Where each file of a development lattice lies. All paths are absolute.
#[derive(Debug, Clone)]
pub(crate) struct Folder(PathBuf);

impl Folder {
    /// The folder, made where it is not there.
    pub(super) fn make(dir: &Path) -> anyhow::Result<Self> {
        let wanted = || format!("{} cannot be made a lattice's folder", dir.display());
        fs::create_dir_all(dir).with_context(wanted)?;
        let folder = Self(dir.canonicalize().with_context(wanted)?);
        private_folder(&folder.0.join("keys")).with_context(wanted)?;
        fs::create_dir_all(folder.logs()).with_context(wanted)?;
        Ok(folder)
    }

    /// The folder, where it is there and one of ours.
    pub(super) fn find(dir: &Path) -> Option<Self> {
        let folder = Self(dir.canonicalize().ok()?);
        (folder.record().is_file() || folder.root_key().is_file()).then_some(folder)
    }

    /// Keeps others from starting or stopping anything here until it is dropped.
    pub(super) fn lock(&self) -> anyhow::Result<fs::File> {
        let path = self.0.join("lock");
        let file = fs::File::create(&path).with_context(|| format!("{} cannot be opened", path.display()))?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(fs::TryLockError::WouldBlock) => {
                bail!("another meshctl starts or stops the lattice in {} right now", self.0.display())
            }
            Err(fs::TryLockError::Error(error)) => Err(error).context(format!("{} cannot be locked", path.display())),
        }
    }

    /// What runs; `None` where nothing ever did.
    pub(super) fn read(&self) -> anyhow::Result<Option<Record>> {
        let path = self.record();
        match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map(Some)
                .with_context(|| format!("{} cannot be read: remove it once nothing runs any more", path.display())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("{} cannot be read", path.display())),
        }
    }

    /// Says to programs what runs. A reader sees the old file or the new one, never a part.
    pub(super) fn write(&self, record: &Record) -> anyhow::Result<()> {
        let path = self.record();
        let beside = path.with_extension("json.new");
        let text = serde_json::to_string_pretty(record)? + "\n";
        let written = fs::write(&beside, text).and_then(|()| fs::rename(&beside, &path));
        written.with_context(|| format!("{} cannot be written", path.display()))
    }

    /// The trust file of the hosts: the root's public key.
    pub(super) fn write_trust(&self, keys: &Keys) -> anyhow::Result<()> {
        let path = self.trust();
        let text = format!(
            "# Whom the hosts of this lattice trust: its root. The rest is said by the root, in the lattice.\nroot = \"{}\"\n",
            keys.root_id
        );
        fs::write(&path, text).with_context(|| format!("{} cannot be written", path.display()))
    }

    /// Removes all of it, keys included.
    pub(super) fn purge(self) -> anyhow::Result<()> {
        fs::remove_dir_all(&self.0).with_context(|| format!("{} cannot be removed", self.0.display()))
    }

    pub(super) fn root(&self) -> &Path {
        &self.0
    }

    pub(super) fn record(&self) -> PathBuf {
        self.0.join(FILE)
    }

    pub(super) fn trust(&self) -> PathBuf {
        self.0.join("trust.toml")
    }

    pub(super) fn root_key(&self) -> PathBuf {
        self.0.join("keys/root.nk")
    }

    pub(super) fn admin_key(&self) -> PathBuf {
        self.0.join("keys/admin.nk")
    }

    pub(super) fn issuer_key(&self) -> PathBuf {
        self.0.join("keys/issuer.nk")
    }

    pub(super) fn host_key(&self, name: &str) -> PathBuf {
        self.0.join("keys").join(format!("{name}.nk"))
    }

    pub(super) fn host_data(&self, name: &str) -> PathBuf {
        self.0.join("hosts").join(name)
    }

    pub(super) fn logs(&self) -> PathBuf {
        self.0.join("logs")
    }

    pub(super) fn host_log(&self, name: &str) -> PathBuf {
        self.logs().join(format!("{name}.log"))
    }

    pub(super) fn server_log(&self) -> PathBuf {
        self.logs().join("nats-server.log")
    }

    pub(super) fn server_config(&self) -> PathBuf {
        self.0.join("nats.conf")
    }

    pub(super) fn server_state(&self) -> PathBuf {
        self.0.join("nats")
    }

    /// The last lines of a host's log, for a person.
    pub(super) fn tail_of_host_log(&self, name: &str) -> String {
        tail(&self.host_log(name))
    }
}

/// The last lines of a log, and where the rest is.
pub(super) fn tail(path: &Path) -> String {
    let text = fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let lines: Vec<_> = text.lines().rev().take(12).collect();
    let lines: String = lines.into_iter().rev().map(|line| format!("  {line}\n")).collect();
    format!("{lines}  (all of it in {})", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_the_dead_are_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::make(dir.path()).unwrap();
        assert!(folder.read().unwrap().is_none());
        let mut record = Record::new(&folder, LatticeName::default());
        let this = Process::of(std::process::id().try_into().unwrap()).unwrap();
        (record.nats_pid, record.nats_started) = (Some(this.pid()), Some(this.started()));
        folder.write(&record).unwrap();
        let mut read = folder.read().unwrap().unwrap();
        assert!(read.nats().is_some());
        read.nats_started = Some(this.started() + 1);
        assert!(read.nats().is_none(), "the same id with another start is another process");
        read.forget_the_dead();
        assert_eq!(read.nats_pid, None);
    }

    #[test]
    fn two_at_once_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::make(dir.path()).unwrap();
        let held = folder.lock().unwrap();
        assert!(folder.lock().unwrap_err().to_string().contains("another meshctl"));
        drop(held);
        folder.lock().unwrap();
    }

    #[test]
    fn a_folder_that_is_not_ours_is_not_found() {
        let dir = tempfile::tempdir().unwrap();
        assert!(Folder::find(dir.path()).is_none());
        assert!(Folder::find(&dir.path().join("nothing")).is_none());
    }
}

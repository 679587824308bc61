//! One process that we started. Its id alone proves nothing, because ids are used again: a process is known by its id
//! and the moment it started, and is signalled through a pidfd that was opened before both were compared.

use std::{
    ffi::OsString,
    fs,
    os::{fd::OwnedFd, unix::process::CommandExt as _},
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::Context as _;
use rustix::process::{Pid, PidfdFlags, Signal, WaitOptions, pidfd_open, pidfd_send_signal, waitpid};
use tokio::time::{sleep, timeout};

use super::LOOK_EVERY;

/// How long a process lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Life {
    /// As long as the `up` that started it, even where that is killed.
    WithUs,
    /// On its own, also when the terminal closes.
    OnItsOwn,
}

/// A process that ran when this was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Process {
    pid: i32,
    started: u64,
}

impl Process {
    /// Starts a program with its output in a log. It must be called on the main thread where it is to live
    /// [`Life::WithUs`]: the kernel takes the end of the *thread* that forked for the end of the parent.
    pub(super) fn start(program: &Path, arguments: &[OsString], log: &Path, life: Life) -> anyhow::Result<Self> {
        let output = fs::OpenOptions::new().create(true).append(true).open(log);
        let output = output.with_context(|| format!("{} cannot be opened", log.display()))?;
        let hold = std::env::current_exe().context("the path of meshctl itself is not known")?;
        let mut command = Command::new(hold);
        command.arg("hold").arg("--parent").arg(std::process::id().to_string());
        match life {
            // A session of its own is made by who leads no group yet.
            Life::OnItsOwn => command.arg("--alone"),
            // Of a group of its own: a Ctrl-C is for us, who stop the hosts before the server.
            Life::WithUs => command.process_group(0),
        };
        command.arg("--").arg(program).args(arguments);
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        // What is said to meshctl in the environment is not meant for what it starts, except where it says how to look.
        let kept = ["MESH_OTEL", "MESH_LOG_FORMAT", "MESH_RUNTIME_DIR"];
        let ours = std::env::vars_os()
            .map(|(name, _)| name)
            .filter(|name| name.to_str().is_some_and(|name| name.starts_with("MESH_") && !kept.contains(&name)));
        for name in ours {
            command.env_remove(name);
        }
        let child = command.spawn().with_context(|| format!("{} cannot be started", program.display()))?;
        let pid = i32::try_from(child.id()).context("the system gave an impossible process id")?;
        Self::of(pid).with_context(|| format!("{} ended at once: see {}", program.display(), log.display()))
    }

    /// The process that has this id now.
    pub(crate) fn of(pid: i32) -> Option<Self> {
        start_of(pid).map(|started| Self { pid, started })
    }

    /// The process that has this id, where it is still the one that started then.
    pub(crate) fn known(pid: i32, started: u64) -> Option<Self> {
        Self::of(pid).filter(|process| process.started == started)
    }

    pub(crate) fn pid(&self) -> i32 {
        self.pid
    }

    pub(crate) fn started(&self) -> u64 {
        self.started
    }

    pub(crate) fn is_alive(&self) -> bool {
        Self::known(self.pid, self.started).is_some()
    }

    /// A handle on this very process; `None` where it is gone.
    fn handle(&self) -> Option<OwnedFd> {
        let handle = pidfd_open(Pid::from_raw(self.pid)?, PidfdFlags::empty()).ok()?;
        self.is_alive().then_some(handle)
    }

    /// Takes away the remains of a child of ours that has ended.
    pub(crate) fn reap(&self) {
        // Not a child of ours, or reaped already: there is nothing to take away.
        let _ = Pid::from_raw(self.pid).map(|pid| waitpid(Some(pid), WaitOptions::NOHANG));
    }

    /// Waits until it has ended.
    pub(crate) async fn ended(&self) {
        while self.is_alive() {
            sleep(LOOK_EVERY).await;
        }
    }

    /// Asks it to end, and ends it where it has not within this time.
    pub(crate) async fn stop(&self, within: Duration) {
        for signal in [Signal::TERM, Signal::KILL] {
            let Some(handle) = self.handle() else { return };
            // It may have ended just now: then there is nothing left to do.
            let _ = pidfd_send_signal(&handle, signal);
            if timeout(within, self.ended()).await.is_ok() {
                return;
            }
        }
    }
}

/// When the process of this id started, in clock ticks since the machine did; `None` where there is none, or only the
/// remains of one that nobody has waited for.
fn start_of(pid: i32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the program's name in parentheses and may hold anything.
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
    let state = fields.next()?;
    if matches!(state, "Z" | "X") {
        return None;
    }
    // The state is field 3, the start is field 22.
    fields.nth(18)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_process_is_stopped_and_its_remains_do_not_count() {
        let mut child = Command::new("sleep").arg("600").stdin(Stdio::null()).spawn().unwrap();
        let process = Process::of(child.id().try_into().unwrap()).unwrap();
        assert!(process.is_alive());
        process.stop(Duration::from_secs(5)).await;
        assert!(!process.is_alive(), "nobody has waited for it, so the id is still taken");
        child.wait().unwrap();
    }

    #[tokio::test]
    async fn one_that_does_not_listen_is_killed() {
        let script = "trap '' TERM; echo ready; while :; do read -r _; done";
        let mut child =
            Command::new("bash").args(["-c", script]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = [0; 5];
        std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut line).unwrap();
        let process = Process::of(child.id().try_into().unwrap()).unwrap();
        process.stop(Duration::from_millis(100)).await;
        assert!(!process.is_alive());
        child.wait().unwrap();
    }

    #[tokio::test]
    async fn a_later_process_of_the_same_id_is_left_alone() {
        let mut child = Command::new("sleep").arg("600").stdin(Stdio::null()).spawn().unwrap();
        let mut process = Process::of(child.id().try_into().unwrap()).unwrap();
        process.started += 1;
        process.stop(Duration::from_secs(5)).await;
        assert!(child.try_wait().unwrap().is_none(), "it was stopped");
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

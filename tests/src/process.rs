//! Signals to processes that a scenario started, and what is left of them.

use std::fs;

use anyhow::{Context as _, Result};
use rustix::process::{Pid, Signal, kill_process};

/// Sends a signal.
///
/// # Errors
///
/// Where there is no such process.
pub fn signal(pid: i32, signal: Signal) -> Result<()> {
    let id = Pid::from_raw(pid).context("0 is not the id of a process")?;
    kill_process(id, signal).with_context(|| format!("{signal:?} cannot be sent to {pid}"))
}

/// Whether this process runs: the remains of one that nobody has waited for do not.
#[must_use]
pub fn runs(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_ascii_whitespace().next());
    state.is_some_and(|state| !matches!(state, "Z" | "X"))
}

/// The processes that run and have this text among their arguments, with their arguments.
#[must_use]
pub fn naming(text: &str) -> Vec<(i32, String)> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok())
        .filter_map(|pid| {
            let arguments = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
            let arguments = String::from_utf8_lossy(&arguments).replace('\0', " ");
            (arguments.contains(text) && runs(pid)).then_some((pid, arguments))
        })
        .collect()
}

/// The memory that a process holds, in bytes.
///
/// # Errors
///
/// Where there is no such process.
pub fn resident_bytes(pid: i32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    let kib: u64 = line.trim().trim_end_matches(" kB").trim().parse()?;
    Ok(kib * 1024)
}

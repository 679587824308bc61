//! One run of `meshctl`.

use std::{fmt, time::Duration};

use anyhow::{Context as _, Result};
use tokio::{process::Command, time::timeout};

/// Longer than any command waits by itself.
const WITHIN: Duration = Duration::from_secs(90);

/// What it printed, and how it ended.
#[derive(Debug, Clone)]
pub struct Ran {
    /// What was run.
    pub command: String,
    /// The exit code; -1 where a signal ended it.
    pub code: i32,
    /// Data.
    pub stdout: String,
    /// Talk.
    pub stderr: String,
}

impl fmt::Display for Ran {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ended with {}\nstdout: {}\nstderr: {}", self.command, self.code, self.stdout, self.stderr)
    }
}

/// Runs a command to its end.
///
/// # Errors
///
/// Where it cannot be started, or does not end.
pub(super) async fn run(mut command: Command) -> Result<Ran> {
    let arguments: Vec<_> = command.as_std().get_args().map(|text| text.to_string_lossy().into_owned()).collect();
    let line = format!("meshctl {}", arguments.join(" "));
    let output = timeout(WITHIN, command.output()).await.with_context(|| format!("{line} does not end"))?;
    let output = output.with_context(|| format!("{line} cannot be run"))?;
    Ok(Ran {
        command: line,
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

//! The moment between fork and exec, as a hidden command: `meshctl hold` ties its life to its parent's, or cuts itself
//! loose from the terminal, and then becomes the program that was meant. What was set survives the exec, so the
//! process id that `up` wrote down is the program's own.
//!
//! Run before any thread is started.

use std::{convert::Infallible, ffi::OsString, os::unix::process::CommandExt as _, process::Command};

use anyhow::Context as _;
use rustix::process::{Signal, getppid, set_parent_process_death_signal, setsid};

/// Becomes another program whose life is tied to its parent's.
#[derive(Debug, clap::Args)]
pub(crate) struct Hold {
    /// The process that must still be the parent.
    #[arg(long)]
    parent: i32,
    /// Outlive the parent and its terminal.
    #[arg(long)]
    alone: bool,
    /// The program and its arguments.
    #[arg(last = true, required = true)]
    program: Vec<OsString>,
}

impl Hold {
    /// Returns only where it fails.
    pub(crate) fn run(self) -> anyhow::Result<Infallible> {
        let (program, arguments) = self.program.split_first().context("no program is named")?;
        if self.alone {
            setsid().context("no session of its own")?;
        } else {
            set_parent_process_death_signal(Some(Signal::KILL)).context("the kernel does not tie it to its parent")?;
            // A parent that ended before the line above has told nobody.
            let parent = getppid().map(|pid| pid.as_raw_nonzero().get());
            anyhow::ensure!(parent == Some(self.parent), "its parent has ended");
        }
        let error = Command::new(program).args(arguments).exec();
        Err(error).with_context(|| format!("{} cannot be started", program.display()))
    }
}

//! `completion`: the completion script of a shell.

use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::{cli::Cli, output::Output};

/// Print the completion script of a shell
#[derive(Debug, clap::Args)]
pub(crate) struct Completion {
    /// Which shell
    shell: Shell,
}

impl Completion {
    pub(crate) fn run(self, out: &Output) -> anyhow::Result<()> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "meshctl", &mut script);
        out.text(&String::from_utf8_lossy(&script))
    }
}

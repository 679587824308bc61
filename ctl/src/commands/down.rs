//! `down`: stops what `up` started.

use std::path::PathBuf;

use anyhow::Context as _;

use crate::{
    exit::Failure,
    lattice,
    output::{Output, Table},
};

/// Stop the lattice that `up` started; its keys and its state stay
#[derive(Debug, clap::Args)]
pub(crate) struct Down {
    /// Where its keys and its state live [default: the nearest .mesh, here or above]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Remove the keys and the state too
    #[arg(long)]
    purge: bool,
}

impl Down {
    pub(crate) fn run(self, out: &Output) -> anyhow::Result<()> {
        let dir = self.dir.clone().unwrap_or_else(lattice::nearest);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let stopped = runtime.context("the runtime cannot be started")?.block_on(lattice::down(&dir, self.purge))?;
        let stopped = stopped.ok_or_else(|| {
            Failure::not_found(format!("there is no lattice in {}", dir.display()))
                .hint("name the folder that `meshctl up` was given with --dir")
        })?;
        out.show(&stopped, || {
            let names =
                if stopped.processes.is_empty() { "nothing ran".to_owned() } else { stopped.processes.join(", ") };
            let purged = if stopped.purged { format!("{} removed", dir.display()) } else { "kept".to_owned() };
            Table::of_fields([("stopped", names), ("keys and state", purged)])
        })
    }
}

//! `apply` and `diff`: what manifests say, wanted as a whole, or only compared.
//!
//! ```text
//! files ─► drafts ─► artifacts read and checked ─► applications ─► what is there ─► differences ─► judged by the leader
//!                                                                                                   │ all of it may be
//!                                                          wait ◄─ one commit for each ◄─ artifacts ─┘
//! ```
//!
//! Everything of all files is read and judged before anything changes, and all that is wrong is said at once. An application
//! that is as its manifest says is left alone: nothing is written and nothing sent. One that somebody else changed since it
//! was read here is a conflict, with the difference, and is left as he made it.

mod artifacts;
mod files;
mod planned;

use mesh_lattice::Name;

use self::planned::{Stage, plan};
pub(crate) use self::{
    files::Files,
    planned::{Planned, plan_removal},
};
use super::{wait, whole};
use crate::{
    cli::Global,
    client::{self, Change, Client, Judge},
    output::Output,
    registry,
};

/// Want what manifests say
#[derive(Debug, clap::Args)]
pub(crate) struct Apply {
    #[command(flatten)]
    files: Files,
    /// Check all of it, show what it would do, and change nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    registry: registry::Options,
    #[command(flatten)]
    waiting: wait::Waiting,
}

/// Show what applying manifests would change, and what each change would do
#[derive(Debug, clap::Args)]
pub(crate) struct Diff {
    #[command(flatten)]
    files: Files,
    #[command(flatten)]
    registry: registry::Options,
}

impl Diff {
    pub(crate) fn run(self, global: &Global, out: &Output) -> anyhow::Result<()> {
        let sources = self.files.sources()?;
        let planned = client::connected(global, out, async |client| {
            plan(client, &sources, &self.files, &self.registry, global, out).await
        })?;
        planned::show(&planned.apps, true, out)
    }
}

impl Apply {
    pub(crate) fn run(self, global: &Global, out: &Output) -> anyhow::Result<()> {
        let sources = self.files.sources()?;
        client::connected(global, out, async |client| self.apply(client, &sources, global, out).await)
    }

    async fn apply(
        &self,
        client: &Client,
        sources: &[files::Read],
        global: &Global,
        out: &Output,
    ) -> anyhow::Result<()> {
        let mut planned = plan(client, sources, &self.files, &self.registry, global, out).await?;
        if self.dry_run {
            planned::show(&planned.apps, false, out)?;
            return planned::must_be_judged(&planned.apps);
        }
        for (digest, bytes) in std::mem::take(&mut planned.artifacts) {
            client.upload(&digest, bytes, out).await?;
        }
        let failed = put_all(client, &mut planned.apps, &planned.judge).await;
        planned::show(&planned.apps, false, out)?;
        if let Some(error) = failed {
            return Err(error);
        }
        if let Some(limit) = self.waiting.limit() {
            let wanted: Vec<(Name, u64)> =
                planned.apps.iter().map(|app| (app.base.name.clone(), app.revision)).collect();
            wait::for_apps(client, &wanted, limit, out).await?;
        }
        Ok(())
    }
}

/// Writes each application that differs; the first error, and what it stood against is as it was.
pub(crate) async fn put_all(client: &Client, apps: &mut [Planned], judge: &Judge) -> Option<anyhow::Error> {
    let mut failed: Option<anyhow::Error> = None;
    for app in apps {
        if app.change == Change::Unchanged {
            continue;
        }
        match whole::put(client, &app.base, app.wanted.as_ref(), judge).await {
            Ok(done) => (app.change, app.revision, app.stage) = (done.change, done.revision, Stage::Written),
            Err(error) => {
                app.stage = Stage::Failed;
                failed.get_or_insert(error);
            }
        }
    }
    failed
}

/// The applications that manifests name, in their order.
pub(crate) fn names(files: &Files, out: &Output) -> anyhow::Result<Vec<Name>> {
    // On how many hosts something runs is no matter here.
    let drafts = files.drafts(&files.sources()?, Some(&[]), out)?;
    Ok(drafts.into_iter().map(|draft| draft.name.value).collect())
}

/// Shows what was done.
pub(crate) fn show(apps: &[Planned], out: &Output) -> anyhow::Result<()> {
    planned::show(apps, false, out)
}

//! `delete`: applications are wanted no more. Their names are free again; data that providers keep on their hosts stays
//! there, and their last revisions stay too, so that `rollout undo` can bring them back.

use mesh_lattice::{Name, control::Status};

use super::{
    apply::{self, Files, Planned},
    wait,
    whole::AppKind,
};
use crate::{
    cli::Global,
    client::{self, Change, Client},
    exit::Failure,
    output::Output,
};

/// Delete applications: one by its name, or those that manifests name
#[derive(Debug, clap::Args)]
pub(crate) struct Delete {
    /// What kind of thing: app
    #[arg(value_name = "KIND", requires = "name")]
    kind: Option<AppKind>,
    /// Its name
    #[arg(required_unless_present = "files", conflicts_with = "files")]
    name: Option<Name>,
    #[command(flatten)]
    files: Files,
    #[command(flatten)]
    waiting: wait::Waiting,
}

impl Delete {
    pub(crate) fn run(self, global: &Global, out: &Output) -> anyhow::Result<()> {
        let names = match &self.name {
            Some(name) => vec![name.clone()],
            None => apply::names(&self.files, out)?,
        };
        client::connected(global, out, async |client| self.delete(client, names, out).await)
    }

    async fn delete(&self, client: &Client, names: Vec<Name>, out: &Output) -> anyhow::Result<()> {
        let judge = client.judge(&client.signer()?).await?;
        let mut apps = apply::plan_removal(client, names, &judge).await?;
        if let (Some(name), [Planned { change: Change::Unchanged, .. }]) = (&self.name, apps.as_slice()) {
            return Err(Failure::not_found(format!("there is no app {name}")).into());
        }
        let kept = pinned(&client.status().await?, &apps);
        let failed = apply::put_all(client, &mut apps, &judge).await;
        apply::show(&apps, out)?;
        if let Some(error) = failed {
            return Err(error);
        }
        for (provider, host) in kept {
            out.say(&format!("the data of provider {provider} stays on {host}"));
        }
        if let Some(limit) = self.waiting.limit() {
            for app in apps.iter().filter(|app| app.change == Change::Removed) {
                wait::for_app_gone(client, app.name(), limit, out).await?;
            }
        }
        Ok(())
    }
}

/// The providers of these applications whose data lives on a host.
fn pinned(status: &Status, apps: &[Planned]) -> Vec<(Name, String)> {
    let providers = status.providers.iter().filter(|provider| apps.iter().any(|app| *app.name() == provider.app));
    let pinned = providers.filter_map(|provider| {
        let id = provider.pinned.as_ref()?;
        Some((provider.name.clone(), status.host_name(id)))
    });
    pinned.collect()
}

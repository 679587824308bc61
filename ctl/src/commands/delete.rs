//! `delete`: applications are wanted no more. Their names are free again; data that providers keep on their hosts stays
//! there, and their last revisions stay too, so that `rollout undo` can bring them back.

use mesh_lattice::Name;

use super::{wait, whole};
use crate::{
    cli::Global,
    client::{self, Change, Client},
    exit::Failure,
    output::Output,
};

/// Delete an application
#[derive(Debug, clap::Args)]
pub(crate) struct Delete {
    #[command(flatten)]
    app: whole::App,
    #[command(flatten)]
    waiting: wait::Waiting,
}

impl Delete {
    pub(crate) fn run(self, global: &Global, out: &Output) -> anyhow::Result<()> {
        client::block_on(async {
            let client = Client::connect(global, out).await?;
            let done = self.delete(&client, out).await;
            client.close().await;
            done
        })
    }

    async fn delete(&self, client: &Client, out: &Output) -> anyhow::Result<()> {
        let name = &self.app.name;
        let judge = client.judge(&client.signer()?).await?;
        let base = client.base(name, &judge).await?;
        if base.before.is_none() {
            return Err(Failure::not_found(format!("there is no app {name}")).into());
        }
        let pinned = pinned(client, name).await?;
        let done = whole::put(client, &base, None, &judge).await?;
        if let Some(limit) = self.waiting.limit() {
            wait::for_app_gone(client, name, limit, out).await?;
        }
        if done.change == Change::Removed {
            for (provider, host) in pinned {
                out.say(&format!("the data of provider {provider} stays on host {host}"));
            }
        }
        done.show("", out)
    }
}

/// The providers of an application whose data lives on a host.
async fn pinned(client: &Client, app: &Name) -> anyhow::Result<Vec<(Name, String)>> {
    let status = client.status().await?;
    let providers = status.providers.iter().filter(|provider| provider.app == *app);
    let pinned = providers.filter_map(|provider| {
        let id = provider.pinned.as_ref()?;
        let named = status.hosts.iter().find(|host| host.id == *id && !host.name.is_empty());
        Some((provider.name.clone(), named.map_or_else(|| id.to_string(), |host| host.name.clone())))
    });
    Ok(pinned.collect())
}

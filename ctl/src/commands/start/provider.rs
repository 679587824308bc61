//! `start provider`: wants one of the providers that hosts have built in.

use mesh_lattice::{
    Name,
    application::{self, ConfigPart, Replicas},
};

use crate::{
    cli::Global,
    client::{self, Change, Client},
    commands::{done, wait},
    exit::Failure,
    output::Output,
    values,
};

/// Start a provider, or change it
#[derive(Debug, clap::Args)]
pub(crate) struct Provider {
    /// Which one: http-server, http-client, keyvalue-redb, keyvalue-nats, keyvalue-redis ...
    #[arg(value_name = "USE")]
    kind: Name,
    /// Its name in the lattice
    #[arg(long)]
    name: Name,
    /// A value of its configuration; all that are given replace what was there, also where none is
    #[arg(long, value_name = "K=V", value_parser = values::pair)]
    config: Vec<(String, String)>,
    /// One on each eligible host
    #[arg(long, conflicts_with = "replicas")]
    everywhere: bool,
    /// On how many hosts it runs [default: on those that run an actor linked to it]
    #[arg(long, value_name = "R")]
    replicas: Option<u32>,
    /// Start it although a provider of another kind has the name, or its local data stays behind
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    waiting: wait::Waiting,
}

impl Provider {
    pub(crate) fn run(self, global: &Global, out: &Output) -> anyhow::Result<()> {
        let config = values::config(&self.config)?;
        client::connected(global, out, async |client| self.start(client, config, out).await)
    }

    async fn start(&self, client: &Client, config: Vec<ConfigPart>, out: &Output) -> anyhow::Result<()> {
        let (change, app) = client.edit_owner_of(&self.name, |application| self.want(application, &config)).await?;
        if let Some(limit) = self.waiting.limit() {
            let placed = self.everywhere || self.replicas.is_some();
            wait::for_provider(client, &self.name, placed, limit, out).await?;
        }
        done(out, "provider", &self.name, &app, change)
    }

    fn want(&self, application: &mut application::Application, config: &[ConfigPart]) -> anyhow::Result<Change> {
        let name = &self.name;
        if application.actor(name).is_some() {
            return Err(Failure::invalid(format!("{name} is the name of an actor")).hint("choose another name").into());
        }
        let before = application.provider(name).cloned();
        if let Some(before) = before.as_ref().filter(|before| before.kind != self.kind && !self.force) {
            let message = format!("{name} is a {} already, not a {}", before.kind, self.kind);
            return Err(Failure::invalid(message).hint("stop it first, or say --force").into());
        }
        let known = mesh_manifest::kinds::built_in().remove(&self.kind);
        let (interfaces, local_state) = known.map(|kind| (kind.serves, kind.local_state)).unwrap_or_default();
        let mut provider = match &before {
            Some(before) if before.kind == self.kind => before.clone(),
            _ => application::Provider {
                name: name.clone(),
                kind: self.kind.clone(),
                replicas: None,
                placement: Vec::new(),
                config: Vec::new(),
                local_state,
                interfaces,
            },
        };
        if self.everywhere {
            provider.replicas = Some(Replicas::Everywhere);
        } else if let Some(count) = self.replicas {
            provider.replicas = Some(Replicas::Count(count));
        }
        provider.config = config.to_vec();
        if before.as_ref() == Some(&provider) {
            return Ok(Change::Unchanged);
        }
        application.providers.retain(|other| other.name != *name);
        application.providers.push(provider);
        Ok(if before.is_some() { Change::Updated } else { Change::Created })
    }
}

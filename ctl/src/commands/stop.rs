//! `stop`: an actor or a provider is wanted no more. Its links stay, for when it comes back.

use mesh_lattice::Name;

use super::done;
use crate::{
    cli::Global,
    client::{self, Change},
    exit::Failure,
    output::Output,
};

/// Stop an actor or a provider
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Stop {
    /// Stop an actor
    Actor {
        /// Its name
        name: Name,
    },
    /// Stop a provider
    Provider {
        /// Its name
        name: Name,
    },
}

impl Stop {
    pub(crate) fn run(self, global: &Global, out: &Output) -> anyhow::Result<()> {
        let (kind, name) = match &self {
            Self::Actor { name } => ("actor", name),
            Self::Provider { name } => ("provider", name),
        };
        let (change, app) = client::connected(global, out, async |client| {
            client
                .edit_owner_of(name, |application| {
                    let before = application.actors.len() + application.providers.len();
                    match &self {
                        Self::Actor { name } => application.actors.retain(|actor| actor.name != *name),
                        Self::Provider { name } => application.providers.retain(|provider| provider.name != *name),
                    }
                    if application.actors.len() + application.providers.len() == before {
                        return Err(Failure::not_found(format!("there is no {kind} {name}")).into());
                    }
                    Ok(Change::Removed)
                })
                .await
        })?;
        done(out, kind, name, &app, change)
    }
}

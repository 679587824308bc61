//! `start`: an actor from its artifact, or a built-in provider.

mod actor;
mod provider;

use crate::{cli::Global, output::Output};

/// Start an actor or a provider
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Start {
    /// Start an actor, or replace it by another artifact
    Actor(actor::Actor),
    /// Start a provider, or change it
    Provider(provider::Provider),
}

impl Start {
    pub(crate) fn run(self, global: &Global, out: &Output) -> anyhow::Result<()> {
        match self {
            Self::Actor(actor) => actor.run(global, out),
            Self::Provider(provider) => provider.run(global, out),
        }
    }
}

//! `scale`: on how many hosts an actor runs.

use std::time::Duration;

use mesh_lattice::{Name, application::Replicas};

use super::{done, wait};
use crate::{
    cli::Global,
    client::{self, Change, Client},
    exit::Failure,
    output::Output,
};

/// Say on how many hosts an actor runs
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Scale {
    /// Say on how many hosts an actor runs
    Actor {
        /// Its name
        name: Name,
        /// On how many hosts, each at most once
        #[arg(long, value_name = "R")]
        replicas: u32,
        #[command(flatten)]
        waiting: wait::Waiting,
    },
}

impl Scale {
    pub(crate) fn run(self, global: &Global, out: &Output) -> anyhow::Result<()> {
        let Self::Actor { name, replicas, waiting } = self;
        client::connected(global, out, async |client| scale(client, &name, replicas, waiting.limit(), out).await)
    }
}

async fn scale(
    client: &Client,
    name: &Name,
    replicas: u32,
    wait: Option<Duration>,
    out: &Output,
) -> anyhow::Result<()> {
    let (change, app) = client
        .edit_owner_of(name, |application| {
            let Some(actor) = application.actors.iter_mut().find(|actor| actor.name == *name) else {
                return Err(Failure::not_found(format!("there is no actor {name}")).into());
            };
            if actor.replicas == Replicas::Count(replicas) {
                return Ok(Change::Unchanged);
            }
            actor.replicas = Replicas::Count(replicas);
            Ok(Change::Updated)
        })
        .await?;
    if let Some(limit) = wait {
        wait::for_actor(client, name, None, limit, out).await?;
    }
    done(out, "actor", name, &app, change)
}

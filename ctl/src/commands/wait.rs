//! Waiting until what was wanted is so, and saying what it waits for where it takes too long.

use std::time::Duration;

use mesh_lattice::{
    Digest, Name,
    control::{ActorView, ProviderView},
    stored::{ActorState, ProviderState},
};
use tokio::time::{Instant, sleep};

use crate::{
    client::Client,
    exit::{Exit, Failure},
    output::Output,
};

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Waits until as many replicas of the actor are ready as are wanted, of this artifact where one is named.
pub(crate) async fn for_actor(
    client: &Client,
    name: &Name,
    digest: Option<&Digest>,
    limit: Duration,
    out: &Output,
) -> anyhow::Result<()> {
    until(client, limit, out, &format!("actor {name}"), |status| {
        match status.actors.iter().find(|actor| actor.name == *name) {
            Some(actor) if digest.is_none_or(|digest| actor.digest == *digest) => actor_is_ready(actor),
            _ => Err("its host has not heard of it yet".to_owned()),
        }
    })
    .await
}

/// Waits until the provider runs on every host that it is placed on, and on one at least.
pub(crate) async fn for_provider(client: &Client, name: &Name, limit: Duration, out: &Output) -> anyhow::Result<()> {
    until(client, limit, out, &format!("provider {name}"), |status| {
        match status.providers.iter().find(|provider| provider.name == *name) {
            Some(provider) => provider_runs(provider),
            None => Err("no host has heard of it yet".to_owned()),
        }
    })
    .await
}

fn actor_is_ready(actor: &ActorView) -> Result<(), String> {
    let replicas = actor.replicas;
    if replicas.ready >= replicas.desired {
        return Ok(());
    }
    let late = actor.hosts.iter().filter(|host| host.state != ActorState::Ready);
    let reason = late.map(|host| host.reason.as_str()).find(|reason| !reason.is_empty()).unwrap_or("it is starting");
    Err(format!("{} of {} replicas are ready: {reason}", replicas.ready, replicas.desired))
}

fn provider_runs(provider: &ProviderView) -> Result<(), String> {
    let late = provider.hosts.iter().find(|host| host.state != ProviderState::Running);
    match late {
        None if provider.hosts.is_empty() => Err("no host runs it: it has no link from an actor that runs".to_owned()),
        None => Ok(()),
        Some(host) if host.reason.is_empty() => Err("it is starting".to_owned()),
        Some(host) => Err(host.reason.clone()),
    }
}

async fn until(
    client: &Client,
    limit: Duration,
    out: &Output,
    what: &str,
    is: impl Fn(&mesh_lattice::control::Status) -> Result<(), String>,
) -> anyhow::Result<()> {
    let end = Instant::now() + limit;
    let mut said = String::new();
    loop {
        let why = match client.status().await {
            Ok(status) => match is(&status) {
                Ok(()) => return Ok(()),
                Err(why) => why,
            },
            Err(error) => format!("{error:#}"),
        };
        if Instant::now() >= end {
            let failure = Failure::new(Exit::TimedOut, format!("{what} is not ready after {limit:?}: {why}"));
            return Err(failure.hint(format!("it goes on by itself; `meshctl describe {what}` says more")).into());
        }
        if why != said {
            out.say(&format!("{what}: {why}"));
            said = why;
        }
        sleep(LOOK_EVERY).await;
    }
}

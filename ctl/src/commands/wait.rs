//! Waiting until what was wanted is so, and saying what it waits for where it takes too long.

use std::time::Duration;

use mesh_lattice::{
    Digest, Name,
    application::Link,
    control::{ActorView, LinkState, LinkView, ProviderView},
    stored::{ActorState, ProviderState},
};
use tokio::time::{Instant, sleep};

use crate::{
    client::Client,
    exit::{Exit, Failure},
    output::Output,
    time,
};

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// For commands that can wait until what they changed is so.
#[derive(Debug, clap::Args)]
pub(crate) struct Waiting {
    /// Wait until calls succeed, for 60 s or as long as said
    #[arg(long, value_name = "TIME", num_args = 0..=1, require_equals = true, default_missing_value = "60s", value_parser = time::parse)]
    wait: Option<Duration>,
}

impl Waiting {
    /// How long to wait; not at all where nothing is said.
    pub(crate) fn limit(&self) -> Option<Duration> {
        self.wait
    }
}

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
/// `placed` is one that runs whether an actor is linked to it or not.
pub(crate) async fn for_provider(
    client: &Client,
    name: &Name,
    placed: bool,
    limit: Duration,
    out: &Output,
) -> anyhow::Result<()> {
    until(client, limit, out, &format!("provider {name}"), |status| {
        match status.providers.iter().find(|provider| provider.name == *name) {
            Some(provider) => provider_runs(provider, placed),
            None => Err("no host has heard of it yet".to_owned()),
        }
    })
    .await
}

/// Waits until calls along the link have somewhere to go, on each of its interfaces.
pub(crate) async fn for_link(client: &Client, link: &Link, limit: Duration, out: &Output) -> anyhow::Result<()> {
    until(client, limit, out, &format!("link {} {}", link.source, link.target), |status| {
        let ours = |view: &&LinkView| {
            (&view.source, &view.target, &view.name) == (&link.source, &link.target, &link.name)
                && view.interfaces.iter().any(|interface| link.interfaces.contains(interface))
        };
        let mut views = status.links.iter().filter(ours).peekable();
        if views.peek().is_none() {
            return Err("no host has heard of it yet".to_owned());
        }
        match views.find(|view| view.state != LinkState::Active) {
            Some(late) => Err(late.reason.clone()),
            None => Ok(()),
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

fn provider_runs(provider: &ProviderView, placed: bool) -> Result<(), String> {
    let late = provider.hosts.iter().find(|host| host.state != ProviderState::Running);
    match late {
        None if provider.hosts.is_empty() && placed => Err("no host has been given it yet".to_owned()),
        None if provider.hosts.is_empty() => {
            Err("no host runs it: without --replicas or --everywhere it runs where an actor runs that is linked to it"
                .to_owned())
        }
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

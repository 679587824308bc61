//! Waiting until what was wanted is so, and saying what it waits for where it takes too long.

mod apps;
mod goal;

use std::time::Duration;

use mesh_lattice::{
    Digest, Name,
    application::Link,
    control::{ActorView, LinkState, LinkView, ProviderHostView, ProviderView},
    stored::ProviderState,
};
use tokio::time::{Instant, sleep};

use self::goal::Goal;
pub(crate) use self::{apps::for_apps, goal::Wait};
use crate::{
    client::Client,
    exit::{Exit, Failure},
    output::Output,
    time,
};

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// What commands wait for that change something.
const READY: &str = "ready";

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
    until(client, limit, out, &Goal::Actor(name.clone()), READY, |status| {
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
    until(client, limit, out, &Goal::Provider(name.clone()), READY, |status| {
        match status.providers.iter().find(|provider| provider.name == *name) {
            Some(provider) => provider_runs(provider, placed),
            None => Err("no host has heard of it yet".to_owned()),
        }
    })
    .await
}

/// Waits until calls along the link have somewhere to go, on each of its interfaces.
pub(crate) async fn for_link(client: &Client, link: &Link, limit: Duration, out: &Output) -> anyhow::Result<()> {
    until(client, limit, out, &Goal::Link(link.source.clone(), link.target.clone(), None), READY, |status| {
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

/// Waits until nothing of an application runs any more.
pub(crate) async fn for_app_gone(client: &Client, name: &Name, limit: Duration, out: &Output) -> anyhow::Result<()> {
    until(client, limit, out, &Goal::App(name.clone()), "gone", |status| {
        match status.apps.iter().find(|app| app.name == *name) {
            None => Ok(()),
            Some(app) => Err(app.reason.clone()),
        }
    })
    .await
}

fn actor_is_ready(actor: &ActorView) -> Result<(), String> {
    let replicas = actor.replicas;
    let behind = actor.hosts.iter().any(|host| host.behind);
    if replicas.ready >= replicas.desired && !behind {
        return Ok(());
    }
    let reason = if actor.reason.is_empty() { "it is starting" } else { actor.reason.as_str() };
    Err(format!("{} of {} replicas are ready: {reason}", replicas.ready, replicas.desired))
}

fn provider_runs(provider: &ProviderView, placed: bool) -> Result<(), String> {
    let runs = |host: &ProviderHostView| host.state == ProviderState::Running;
    let late = provider.hosts.iter().find(|host| !runs(host));
    match late {
        None if provider.hosts.is_empty() && placed => Err("no host has been given it yet".to_owned()),
        None if provider.hosts.is_empty() => {
            Err("no host runs it: without --replicas or --everywhere it runs where an actor runs that is linked to it"
                .to_owned())
        }
        None => Ok(()),
        // What is away and replaced is missed by nobody.
        Some(_) if provider.reason.is_empty() && provider.hosts.iter().any(runs) => Ok(()),
        Some(_) if provider.reason.is_empty() => Err("it is starting".to_owned()),
        Some(_) => Err(provider.reason.clone()),
    }
}

async fn until(
    client: &Client,
    limit: Duration,
    out: &Output,
    goal: &Goal,
    wanted: &str,
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
            let what = goal.to_string().replace('/', " ");
            let failure = Failure::new(Exit::TimedOut, format!("{what} is not {wanted} after {limit:?}: {why}"));
            let hint =
                format!("it goes on by itself: `meshctl wait {goal}` waits again, `meshctl describe {what}` says more");
            return Err(failure.hint(hint).into());
        }
        if why != said {
            out.say(&format!("{}: {why}", goal.to_string().replace('/', " ")));
            said = why;
        }
        sleep(LOOK_EVERY).await;
    }
}

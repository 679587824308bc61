//! `wait`: until one thing is as it was wanted. What a command waited for when its time was over is named by an ID,
//! `actor/counter` or `link/web/counter`, with which this goes on.

use std::{fmt, str::FromStr, time::Duration};

use mesh_lattice::{
    HostId, LinkName, Name,
    control::{AppState, HostState, LinkState, LinkView, Status, word},
    stored::{ActorState, ProviderState},
};
use serde::Serialize;

use super::{actor_is_ready, provider_runs, until};
use crate::{
    cli::Global,
    client,
    exit::Failure,
    output::{Output, Table},
    time,
};

/// Wait until something is as it was wanted
#[derive(Debug, clap::Args)]
pub(crate) struct Wait {
    /// actor/NAME, provider/NAME, link/SOURCE/TARGET, app/NAME or host/NAME; blanks serve as well as slashes
    #[arg(required = true, num_args = 1..=4)]
    id: Vec<String>,
    /// Until it is ready, or gone, or in this state
    #[arg(long = "for", value_name = "CONDITION", default_value = "ready")]
    condition: String,
    /// For this long at most
    #[arg(long, value_name = "TIME", value_parser = time::parse, default_value = "60s")]
    limit: Duration,
}

/// What is waited for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Goal {
    Actor(Name),
    Provider(Name),
    Link(Name, Name, Option<LinkName>),
    App(Name),
    /// Its name or its key.
    Host(String),
}

impl FromStr for Goal {
    type Err = Failure;

    fn from_str(text: &str) -> Result<Self, Failure> {
        let wrong = || {
            let what = "actor/NAME, provider/NAME, link/SOURCE/TARGET, app/NAME or host/NAME";
            Failure::invalid(format!("{text:?} is nothing that can be waited for: {what}"))
        };
        let name = |text: &str| text.parse::<Name>().map_err(|_| wrong());
        match text.split('/').collect::<Vec<_>>().as_slice() {
            ["actor", actor] => Ok(Self::Actor(name(actor)?)),
            ["provider", provider] => Ok(Self::Provider(name(provider)?)),
            ["app", app] => Ok(Self::App(name(app)?)),
            ["host", host] if !host.is_empty() => Ok(Self::Host((*host).to_owned())),
            ["link", source, target] => Ok(Self::Link(name(source)?, name(target)?, None)),
            ["link", source, target, link] => {
                Ok(Self::Link(name(source)?, name(target)?, Some(link.parse().map_err(|_| wrong())?)))
            }
            _ => Err(wrong()),
        }
    }
}

impl fmt::Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Actor(name) => write!(f, "actor/{name}"),
            Self::Provider(name) => write!(f, "provider/{name}"),
            Self::App(name) => write!(f, "app/{name}"),
            Self::Host(name) => write!(f, "host/{name}"),
            Self::Link(source, target, None) => write!(f, "link/{source}/{target}"),
            Self::Link(source, target, Some(name)) => write!(f, "link/{source}/{target}/{name}"),
        }
    }
}

/// What it is to come to.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Condition {
    Ready,
    Gone,
    State(String),
}

impl Condition {
    fn of(goal: &Goal, text: &str) -> Result<Self, Failure> {
        let states = states(goal);
        match text {
            "ready" => Ok(Self::Ready),
            "gone" => Ok(Self::Gone),
            state if states.iter().any(|known| known == state) => Ok(Self::State(state.to_owned())),
            _ => Err(Failure::invalid(format!(
                "{text:?} is nothing that {goal} comes to: ready, gone, or a state, which is one of {}",
                states.join(", ")
            ))),
        }
    }
}

/// The words for the states of such a thing.
fn states(goal: &Goal) -> Vec<String> {
    match goal {
        Goal::Actor(_) => {
            use ActorState::{Draining, Failed, Pending, Ready, Starting};
            words(&[Pending, Starting, Ready, Draining, Failed])
        }
        Goal::Provider(_) => {
            use ProviderState::{Backoff, Failed, Running, Starting, Stopped, Unhealthy};
            words(&[Starting, Running, Unhealthy, Backoff, Failed, Stopped])
        }
        Goal::Link(..) => words(&[LinkState::Active, LinkState::Pending, LinkState::Failed]),
        Goal::App(_) => {
            use AppState::{Degraded, Failed, Progressing, Ready, Removing};
            words(&[Progressing, Ready, Degraded, Failed, Removing])
        }
        Goal::Host(_) => {
            use HostState::{Cordoned, Draining, Lost, Ready, Untrusted};
            words(&[Ready, Cordoned, Draining, Lost, Untrusted])
        }
    }
}

fn words<T: Serialize>(states: &[T]) -> Vec<String> {
    states.iter().map(word).collect()
}

/// What is found: whether it is ready, the states that it is in, and why.
struct Found {
    ready: Result<(), String>,
    states: Vec<String>,
    reason: String,
}

impl Goal {
    fn find(&self, status: &Status) -> Option<Found> {
        match self {
            Self::Actor(name) => {
                let actor = status.actors.iter().find(|actor| actor.name == *name)?;
                let states = actor.hosts.iter().map(|host| word(&host.state)).collect();
                Some(Found { ready: actor_is_ready(actor), states, reason: actor.reason.clone() })
            }
            Self::Provider(name) => {
                let provider = status.providers.iter().find(|provider| provider.name == *name)?;
                let states = provider.hosts.iter().map(|host| word(&host.state)).collect();
                Some(Found { ready: provider_runs(provider, true), states, reason: provider.reason.clone() })
            }
            Self::Link(source, target, name) => {
                let ours = |link: &&LinkView| {
                    link.source == *source && link.target == *target && name.as_ref().is_none_or(|n| *n == link.name)
                };
                let links: Vec<_> = status.links.iter().filter(ours).collect();
                let late = links.iter().find(|link| link.state != LinkState::Active).or(links.first())?;
                let ready = is(late.state == LinkState::Active, &late.reason);
                let states = links.iter().map(|link| word(&link.state)).collect();
                Some(Found { ready, states, reason: late.reason.clone() })
            }
            Self::App(name) => {
                let app = status.apps.iter().find(|app| app.name == *name)?;
                let ready = is(app.state == AppState::Ready, &app.reason);
                Some(Found { ready, states: vec![word(&app.state)], reason: app.reason.clone() })
            }
            Self::Host(name) => {
                let key: Option<HostId> = name.parse().ok();
                let ours = |id: &HostId, called: &str| called == name || key.as_ref() == Some(id);
                let host = status.hosts.iter().find(|host| ours(&host.id, &host.name))?;
                let state = word(&host.state);
                Some(Found {
                    ready: is(host.state == HostState::Ready, ""),
                    states: vec![state],
                    reason: String::new(),
                })
            }
        }
    }

    fn judge(&self, condition: &Condition, status: &Status) -> Result<(), String> {
        match (self.find(status), condition) {
            (None, Condition::Gone) => Ok(()),
            (None, _) => Err("there is nothing of that name".to_owned()),
            (Some(found), Condition::Gone) => Err(found.says("it is still there")),
            (Some(found), Condition::Ready) => match &found.ready {
                Err(why) if why.is_empty() => Err(found.says("it is not ready")),
                ready => ready.clone(),
            },
            (Some(found), Condition::State(state)) if found.states.contains(state) => Ok(()),
            (Some(found), Condition::State(state)) => Err(found.says(&format!("it is not {state}"))),
        }
    }
}

impl Found {
    fn says(&self, what: &str) -> String {
        let mut states = self.states.clone();
        states.sort();
        states.dedup();
        let states = if states.is_empty() { "on no host".to_owned() } else { states.join(", ") };
        if self.reason.is_empty() {
            format!("{what}, it is {states}")
        } else {
            format!("{what}, it is {states}: {}", self.reason)
        }
    }
}

fn is(ready: bool, reason: &str) -> Result<(), String> {
    if ready { Ok(()) } else { Err(reason.to_owned()) }
}

impl Wait {
    pub(crate) fn run(self, global: &Global, out: &Output) -> anyhow::Result<()> {
        let goal: Goal = self.id.join("/").parse()?;
        let condition = Condition::of(&goal, &self.condition)?;
        client::connected(global, out, async |client| {
            until(client, self.limit, out, &goal, &self.condition, |status| goal.judge(&condition, status)).await
        })?;
        #[derive(Serialize)]
        struct Done {
            id: String,
            is: String,
        }
        let done = Done { id: goal.to_string(), is: self.condition };
        out.show(&done, || Table::of_line(format!("{} is {}", done.id, done.is)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_as_they_are_written_and_what_is_none_is_refused() {
        for id in
            ["actor/counter", "provider/kv", "link/web/counter", "link/web/counter/other", "app/demo", "host/host-1"]
        {
            assert_eq!(id.parse::<Goal>().unwrap().to_string(), id);
        }
        for id in ["", "actor", "actor/", "actor/a.b", "link/a", "link/a/b/c/d", "thing/a", "host/"] {
            assert!(id.parse::<Goal>().is_err(), "{id}");
        }
        let goal: Goal = "link/a/b".parse().unwrap();
        assert_eq!(Condition::of(&goal, "active").unwrap(), Condition::State("active".into()));
        assert!(Condition::of(&goal, "running").unwrap_err().to_string().contains("active, pending, failed"));
    }
}

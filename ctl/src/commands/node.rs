//! `cordon`, `uncordon`, `drain` and `label`: what people set on a host.
//!
//! A drain moves away what is on the host and waits until nothing is left there but what is pinned to it; the host is
//! cordoned then, until `uncordon`. What has nowhere else to go stays, and is named.

use std::time::Duration;

use anyhow::Context as _;
use mesh_lattice::{
    HostId,
    control::{HostView, Status},
    key::Key,
    name::{LabelKey, LabelValue},
    stored::NodeRecord,
};
use tokio::time::{Instant, sleep};

use super::done_plain;
use crate::{
    cli::Global,
    client::{self, Change, Client},
    exit::{Exit, Failure},
    output::Output,
    time,
};

/// Between two looks at what a host still has.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Give a host no new work
#[derive(Debug, clap::Args)]
pub(crate) struct Cordon {
    /// Its name or its key
    host: String,
}

/// Give a host work again
#[derive(Debug, clap::Args)]
pub(crate) struct Uncordon {
    /// Its name or its key
    host: String,
}

/// Move away what is on a host, and give it no more
#[derive(Debug, clap::Args)]
pub(crate) struct Drain {
    /// Its name or its key
    host: String,
    /// How long to wait until it is empty
    #[arg(long, value_name = "TIME", num_args = 0..=1, require_equals = true, default_value = "60s", default_missing_value = "60s", value_parser = time::parse)]
    wait: Duration,
}

/// Set and take away labels of a host
#[derive(Debug, clap::Args)]
pub(crate) struct Label {
    /// Its name or its key
    host: String,
    /// KEY=VALUE sets a label, KEY- takes one away
    #[arg(required = true, value_name = "K=V|K-", value_parser = edit)]
    labels: Vec<Edit>,
}

/// One change of a label: a new value, or none.
#[derive(Debug, Clone)]
pub(crate) struct Edit(LabelKey, Option<LabelValue>);

fn edit(text: &str) -> Result<Edit, String> {
    let wrong = || format!("{text:?} is neither KEY=VALUE nor KEY-");
    let (key, value) = match text.split_once('=') {
        Some((key, value)) => (key, Some(value.parse().map_err(|_| wrong())?)),
        None => (text.strip_suffix('-').ok_or_else(wrong)?, None),
    };
    Ok(Edit(key.parse().map_err(|_| wrong())?, value))
}

impl Cordon {
    pub(crate) fn run(self, global: &Global, out: &Output) -> anyhow::Result<()> {
        set(global, out, &self.host, |node| node.cordoned = true)
    }
}

impl Uncordon {
    pub(crate) fn run(self, global: &Global, out: &Output) -> anyhow::Result<()> {
        set(global, out, &self.host, |node| (node.cordoned, node.drain) = (false, false))
    }
}

impl Label {
    pub(crate) fn run(self, global: &Global, out: &Output) -> anyhow::Result<()> {
        set(global, out, &self.host, |node| {
            for Edit(key, value) in &self.labels {
                node.labels.remove(key);
                node.removed_labels.retain(|removed| removed != key);
                match value {
                    Some(value) => drop(node.labels.insert(key.clone(), value.clone())),
                    // The host itself may claim it.
                    None => node.removed_labels.push(key.clone()),
                }
            }
        })
    }
}

impl Drain {
    pub(crate) fn run(self, global: &Global, out: &Output) -> anyhow::Result<()> {
        let (host, change) = client::connected(global, out, async |client| self.drain(client, out).await)?;
        done_plain(out, "host", &host, change)
    }

    async fn drain(&self, client: &Client, out: &Output) -> anyhow::Result<(String, Change)> {
        let host = find(client, &self.host).await?;
        let change = put(client, &host.id, |node| (node.cordoned, node.drain) = (true, true)).await?;
        let end = Instant::now() + self.wait;
        let mut said = String::new();
        loop {
            let (left, pinned) = left(&client.status().await?, &host.id);
            if left.is_empty() {
                if !pinned.is_empty() {
                    out.say(&format!("what keeps its data there stays: {}", pinned.join(", ")));
                }
                break;
            }
            let left = left.join(", ");
            if Instant::now() >= end {
                let failure = Failure::new(
                    Exit::TimedOut,
                    format!("host {} still has {left} after {:?}", called(&host), self.wait),
                );
                let again =
                    format!("the drain goes on; `meshctl drain {}` waits again, `meshctl uncordon` ends it", self.host);
                return Err(failure.hint(again).into());
            }
            if left != said {
                out.say(&format!("host {} still has {left}", called(&host)));
                said = left;
            }
            sleep(LOOK_EVERY).await;
        }
        put(client, &host.id, |node| node.drain = false).await?;
        Ok((called(&host).to_owned(), change))
    }
}

/// What is on a host: what is to leave it, and what is pinned to it.
fn left(status: &Status, id: &HostId) -> (Vec<String>, Vec<String>) {
    let actors = status.actors.iter().filter(|actor| actor.hosts.iter().any(|host| host.id == *id));
    let mut left: Vec<_> = actors.map(|actor| format!("actor {}", actor.name)).collect();
    let providers = status.providers.iter().filter(|provider| provider.hosts.iter().any(|host| host.id == *id));
    let (pinned, others): (Vec<_>, Vec<_>) = providers.partition(|provider| provider.pinned.as_ref() == Some(id));
    left.extend(others.iter().map(|provider| format!("provider {}", provider.name)));
    (left, pinned.iter().map(|provider| format!("provider {}", provider.name)).collect())
}

fn called(host: &HostView) -> &str {
    if host.name.is_empty() { host.id.as_str() } else { &host.name }
}

async fn find(client: &Client, name: &str) -> anyhow::Result<HostView> {
    let status = client.status().await?;
    let mut found = status.hosts.into_iter().filter(|host| host.id.as_str() == name || host.name == name);
    let host = found.next().ok_or_else(|| Failure::not_found(format!("there is no host {name}")))?;
    if found.next().is_some() {
        return Err(Failure::invalid(format!(
            "several hosts are called {name}: say its key, from `meshctl get hosts`"
        ))
        .into());
    }
    Ok(host)
}

async fn put(client: &Client, id: &HostId, change: impl Fn(&mut NodeRecord)) -> anyhow::Result<Change> {
    let key = Key::Node(id.clone());
    let edit = |before: Option<NodeRecord>| {
        let before = before.unwrap_or_default();
        let mut node = before.clone();
        change(&mut node);
        Ok((before != node).then_some(node))
    };
    Ok(match client.edit_value(&key, edit).await.context("what is set on the host")? {
        Change::Unchanged => Change::Unchanged,
        _ => Change::Updated,
    })
}

fn set(global: &Global, out: &Output, host: &str, change: impl Fn(&mut NodeRecord)) -> anyhow::Result<()> {
    let (host, change) = client::connected(global, out, async |client| {
        let host = find(client, host).await?;
        Ok((called(&host).to_owned(), put(client, &host.id, change).await?))
    })?;
    done_plain(out, "host", &host, change)
}
